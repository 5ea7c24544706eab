/*
 * The answer to one request while its handler writes it: messages in one buffer, with a note where each begins and whom it is for.
 *
 * Before it: the dispatcher makes one a request, and a dump one for all its datagrams. After it: the dispatcher sends the messages one a datagram,
 * as the kernel does (stock clients read one answer a datagram); a dump sends as many as fit. Ownership: the buffer is the reply's own.
 */
import { AttributeBuilder } from '../attributes.ts';
import { MessageBuffer } from '../buffer.ts';
import { EMSGSIZE } from '../errors.ts';
import { beginGenericMessage, endMessage } from '../message.ts';
import { address } from './acknowledge.ts';
import { type Family, type ReplyBuilder, refuse, type WriteAttributes } from './family.ts';
import type { RegisteredFamily } from './registry.ts';

/** Bytes of one message: what receivers have room for. */
export const MESSAGE_SIZE_MAX = 65_536;
/** Bytes of all that one `do`, or one step of a dump, may write. */
const REPLY_SIZE_MAX = 1 << 20;

export interface ReplyPart {
  readonly start: number;
  readonly end: number;
  /** Id of the group it goes to; undefined: it is for the requester. */
  readonly group: number | undefined;
}

/** The flags of the next message. */
export type FlagsOf = () => number;

export class Reply implements ReplyBuilder {
  readonly buffer = new MessageBuffer();
  readonly parts: ReplyPart[] = [];
  /** What `warn` said last. */
  warning: string | undefined;
  readonly #registered: RegisteredFamily;
  readonly #seq: number;
  readonly #portId: number;
  readonly #flags: FlagsOf;

  /** `seq` and `portId` are the request's. */
  constructor(registered: RegisteredFamily, seq: number, portId: number, flags: FlagsOf = () => 0) {
    this.#registered = registered;
    this.#seq = seq;
    this.#portId = portId;
    this.#flags = flags;
  }

  message(command: number, write?: WriteAttributes, header?: Uint8Array): this {
    return this.#add(undefined, command, write, header);
  }

  notify(group: string, command: number, write?: WriteAttributes, header?: Uint8Array): this {
    return this.#add(this.#registered.groupId(group), command, write, header);
  }

  warn(text: string): this {
    this.warning = text;
    return this;
  }

  bytes(part: ReplyPart): Uint8Array<ArrayBufferLike> {
    return this.buffer.bytes.subarray(part.start, part.end);
  }

  #add(group: number | undefined, command: number, write?: WriteAttributes, header?: Uint8Array): this {
    const { id, family } = this.#registered;
    if (header !== undefined && header.length !== family.headerSize)
      throw new RangeError(`the header of family ${family.name} has ${family.headerSize} bytes`);
    const before = this.buffer.size;
    try {
      const start = this.#begin(id, command, family, header);
      if (write !== undefined) {
        const attributes = new AttributeBuilder(this.buffer);
        write(attributes);
        attributes.finish();
      }
      const size = endMessage(this.buffer, start);
      if (size > MESSAGE_SIZE_MAX || this.buffer.size > REPLY_SIZE_MAX)
        throw refuse(EMSGSIZE, 'the answer is too large');
    } catch (error) {
      this.buffer.trim(before);
      throw error;
    }
    this.parts.push({ start: before, end: this.buffer.size, group });
    return this;
  }

  #begin(id: number, command: number, family: Family, header?: Uint8Array): number {
    const start = beginGenericMessage(this.buffer, id, command, family.version, this.#flags());
    address(this.buffer, start, this.#seq, this.#portId);
    const at = this.buffer.put(family.headerSize);
    if (header !== undefined) this.buffer.set(at, header);
    return start;
  }
}
