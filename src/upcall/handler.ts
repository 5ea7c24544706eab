/*
 * The contract of an upcall handler: who decides what the datapath does not know. Before it: upcall/dispatcher.ts, which takes frames from the
 * rings. After it: the answers are carried out in one call for the batch.
 *
 * A handler is given batches, as views over the ring; whoever prefers one packet at a time gives `Datapath.onUpcall` a function
 * instead. Handlers run on the owner thread. An exception or a rejected promise drops the batch's packets (counted as upcallError), an answer
 * that does not come in time too (upcallTimeout); the datapath goes on.
 */
import type { MatchInput } from '../datapath/flows.ts';
import type { ActionsContext, ActionsHandle, ActionsInput, MaskHandle } from '../datapath/handles.ts';
import type { DatapathMemory } from '../wasm/memory.ts';
import type { UpcallBatch } from './batch.ts';

export interface UpcallPort {
  readonly portNo: number;
  readonly name: string;
}

/**
 * What a handler sees of the datapath whose upcalls it decides: a `Datapath` of this process, or one of the kernel (src/dpif/system/upcall-host.ts).
 * A handler that uses nothing else runs on both.
 */
export interface UpcallHost {
  /** Where the batches lie: the datapath's memory, of a datapath of the kernel one of the host's own. */
  readonly memory: DatapathMemory;
  readonly ports: Iterable<UpcallPort>;
  readonly flows: {
    /** Removes all flows. */
    flush(): void;
    /** Removes every flow that matches at least what `match` says, with the same values. Returns how many. */
    deleteWhere(match: MatchInput): number;
  };
  /** Holds an action list for answers. A datapath of the kernel looks at it only when an answer brings it there. */
  actions(actions: ActionsInput, context?: ActionsContext): ActionsHandle;
  /** Holds a mask for answers: flat, or what `fieldsMask` and `exactMask` make. */
  mask(mask: Uint8Array): MaskHandle;
}

export interface UpcallHandler {
  readonly name: string;
  /** Decided by the rule table that `attach` installed, without JavaScript; `handle` is never called. */
  readonly answersInWorkers?: boolean;
  /** Timeouts of the flows that its answers install, ms. Default: the datapath's. */
  readonly idleTimeoutMs?: number;
  readonly hardTimeoutMs?: number;
  /** Called once before the first batch: hold masks and action lists here. */
  attach?(host: UpcallHost): void | Promise<void>;
  /** Decides each upcall of the batch with `batch.answer` or `batch.drop`; what is left undecided is dropped. */
  handle(batch: UpcallBatch): void | Promise<void>;
  /** About once a second. `nowMs` is CLOCK_MONOTONIC. */
  tick?(nowMs: number): void;
  /** A port came or went. */
  portsChanged?(ports: readonly UpcallPort[]): void;
  /** The datapath closes, or another handler takes over. */
  close?(): void;
}
