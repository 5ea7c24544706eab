/*
 * A dump on the serving side: takes steps of the handler's iterator until a datagram is full, sends it, and waits to be asked for the next.
 *
 * Before it: the dispatcher, which made the iterator. After it: the peer, which asks for the next datagram only when the one before is in the
 * reader's socket: a reader that does not read costs one datagram. The last one ends with NLMSG_DONE, as the kernel's.
 */
import * as K from '../constants.ts';
import { beginMessage, endMessage } from '../message.ts';
import { type AckOptions, address, type Outcome, writeExtendedAck } from './acknowledge.ts';
import type { Operation } from './family.ts';
import type { Reply } from './reply.ts';

/** Bytes of a datagram; a larger one holds a single message. The kernel's dumps have the same limit. */
export const DUMP_DATAGRAM_SIZE = 32_768;
/** NLMSG_DONE with its errno. */
const DONE_SIZE = K.NLMSG_HDRLEN + 4;

export type DumpIterator = Iterator<unknown> | AsyncIterator<unknown>;

export interface DumpTarget extends AckOptions {
  readonly portId: number;
  send(bytes: Uint8Array<ArrayBufferLike>): void;
}

/** The flags of a dump's next message: NLM_F_DUMP_INTR when the generation is another than at the message before. */
export function dumpFlags(operation: Pick<Operation<unknown>, 'generation'>): () => number {
  let last = operation.generation?.();
  return () => {
    const now = generationNow(operation);
    const changed = now !== last;
    last = now;
    return K.NLM_F_MULTI | (changed ? K.NLM_F_DUMP_INTR : 0);
  };
}

/** One that throws has changed. */
function generationNow(operation: Pick<Operation<unknown>, 'generation'>): number | undefined {
  try {
    return operation.generation?.();
  } catch {
    return Number.NaN;
  }
}

export class Dump {
  readonly #target: DumpTarget;
  readonly #reply: Reply;
  readonly #seq: number;
  readonly #iterator: DumpIterator;
  readonly #flags: () => number;
  readonly #outcomeOf: (error: unknown) => Outcome;
  #over = false;

  constructor(
    target: DumpTarget,
    reply: Reply,
    seq: number,
    iterator: DumpIterator,
    flags: () => number,
    outcomeOf: (error: unknown) => Outcome,
  ) {
    this.#target = target;
    this.#reply = reply;
    this.#seq = seq;
    this.#iterator = iterator;
    this.#flags = flags;
    this.#outcomeOf = outcomeOf;
  }

  /** Makes and sends one datagram. True when it was the last; a promise when the iterator is asynchronous. */
  advance(): boolean | Promise<boolean> {
    while (!this.#over) {
      if (this.#reply.buffer.size >= DUMP_DATAGRAM_SIZE) {
        this.#sendDatagram();
        return false;
      }
      try {
        const step = this.#iterator.next();
        if (step instanceof Promise)
          return step.then(
            (result) => this.#advanceAfter(result),
            (error) => this.#fail(error),
          );
        if (step.done === true) this.#finish({ errno: 0 });
      } catch (error) {
        this.#fail(error);
      }
    }
    return true;
  }

  /** Ends it without an answer: the reader, the family or the server is gone. */
  abandon(): void {
    if (this.#over) return;
    this.#over = true;
    try {
      const ended = this.#iterator.return?.();
      if (ended instanceof Promise) ended.catch((error) => this.#outcomeOf(error));
    } catch (error) {
      this.#outcomeOf(error);
    }
  }

  #advanceAfter(result: IteratorResult<unknown>): boolean | Promise<boolean> {
    if (result.done === true && !this.#over) this.#finish({ errno: 0 });
    return this.advance();
  }

  #fail(error: unknown): true {
    const outcome = this.#outcomeOf(error);
    if (!this.#over) this.#finish(outcome);
    return true;
  }

  #finish(outcome: Outcome): void {
    this.#over = true;
    const { buffer } = this.#reply;
    while (buffer.size + DONE_SIZE > DUMP_DATAGRAM_SIZE) this.#sendDatagram();
    const start = beginMessage(buffer, K.NLMSG_DONE, this.#flags());
    address(buffer, start, this.#seq, this.#target.portId);
    buffer.setU32(buffer.put(4), -outcome.errno);
    if (this.#target.extendedAck) writeExtendedAck(buffer, start, outcome);
    endMessage(buffer, start);
    this.#target.send(buffer.bytes);
    buffer.clear();
  }

  /** Sends the first messages that fit, at least one. */
  #sendDatagram(): void {
    const { buffer, parts } = this.#reply;
    const fitting = parts.findLastIndex((part) => part.end <= DUMP_DATAGRAM_SIZE);
    const count = Math.max(1, fitting + 1);
    const end = parts[count - 1].end;
    this.#target.send(buffer.bytes.subarray(0, end));
    const rest = buffer.bytes.slice(end);
    buffer.clear();
    buffer.append(rest);
    const left = parts.splice(0).slice(count);
    for (const part of left) parts.push({ ...part, start: part.start - end, end: part.end - end });
  }
}
