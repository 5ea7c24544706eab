/*
 * The contract of an upcall handler: who decides what the datapath does not know. Before it: upcall/dispatcher.ts, which takes frames from the
 * rings. After it: the answers are carried out in one call for the batch.
 *
 * A handler is given batches, as views over the ring; whoever prefers one packet at a time gives `Datapath.onUpcall` a function
 * instead. Handlers run on the owner thread. An exception or a rejected promise drops the batch's packets (counted as upcallError), an answer
 * that does not come in time too (upcallTimeout); the datapath goes on.
 */
import type { Datapath } from '../datapath/datapath.ts';
import type { Port } from '../ports/port.ts';
import type { UpcallBatch } from './batch.ts';

export interface UpcallHandler {
  readonly name: string;
  /** Workers answer by themselves, from the rule table that `attach` installed; `handle` is never called. */
  readonly answersInWorkers?: boolean;
  /** Timeouts of the flows that its answers install, ms. Default: the datapath's. */
  readonly idleTimeoutMs?: number;
  readonly hardTimeoutMs?: number;
  /** Called once before the first batch: hold masks and action lists here. */
  attach?(datapath: Datapath): void | Promise<void>;
  /** Decides each upcall of the batch with `batch.answer` or `batch.drop`; what is left undecided is dropped. */
  handle(batch: UpcallBatch): void | Promise<void>;
  /** About once a second. `nowMs` is CLOCK_MONOTONIC. */
  tick?(nowMs: number): void;
  /** A port came or went. */
  portsChanged?(ports: readonly Port[]): void;
  /** The datapath closes, or another handler takes over. */
  close?(): void;
}
