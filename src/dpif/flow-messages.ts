/*
 * FlowMessages: the flows of one datagram of a dump, as the messages of the family ovs_flow that tell of them. For who has a use for the bytes, and makes records
 * of few of them or none. Before it: FlowDumpThread.nextMessages. After it: messages/flow.ts. Ownership: the bytes are the dump's, valid until it gives
 * the next ones. Threads: the dump's.
 */
import type { ByteView } from '../native/netlink.ts';
import { MessageCursor } from '../netlink/message.ts';
import type { DpifFlow } from './types.ts';

export class FlowMessages extends MessageCursor {
  readonly #read: (message: FlowMessages) => DpifFlow | undefined;

  /** `read` gives the flow of the message at hand; undefined: it has gone, or the dump has failed. */
  constructor(bytes: ByteView, read: (message: FlowMessages) => DpifFlow | undefined) {
    super(bytes);
    this.#read = read;
  }

  /** The flow of the message at hand; its parts are views. Undefined: there is none, as it has gone meanwhile, or the dump has failed. */
  flow(): DpifFlow | undefined {
    return this.#read(this);
  }
}
