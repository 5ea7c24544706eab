/*
 * A socket of the WASM kernel for tests: messages in, the frames that come back out, decoded as far as every test wants them.
 */
import * as C from '../../assembly/constants.ts';
import type { ByteView } from '../../src/native/netlink.ts';
import {
  AttributeBuilder,
  beginGenericMessage,
  endMessage,
  MessageBuffer,
  MessageCursor,
  NLM_F_ACK,
  NLM_F_REQUEST,
  type WriteAttributes,
} from '../../src/netlink/index.ts';
import type { DatapathMemory } from '../../src/wasm/memory.ts';

const ROOM = 1 << 20;

/** A frame: to a group, or to a port id. */
export interface KernelFrame {
  group: number;
  portId: number;
  bytes: Uint8Array;
}

export interface RequestParts {
  family: number;
  command: number;
  flags?: number;
  version?: number;
  seq?: number;
  ifindex?: number;
  attributes?: WriteAttributes;
}

/** One message of an ovs_* family; NLM_F_REQUEST is always set. */
export function message(parts: RequestParts): Uint8Array {
  const { family, command, flags = 0, version = 1, seq = 1, ifindex = 0, attributes } = parts;
  const buffer = new MessageBuffer();
  const start = beginGenericMessage(buffer, family, command, version, NLM_F_REQUEST | flags);
  buffer.setU32(start + 8, seq);
  buffer.setU32(buffer.put(4), ifindex);
  attributes?.(new AttributeBuilder(buffer));
  endMessage(buffer, start);
  buffer.align();
  return buffer.bytes.slice();
}

export class KernelSocket {
  readonly address: number;
  readonly portId: number;
  readonly #memory: DatapathMemory;
  readonly #datagram: number;
  readonly #out: number;

  constructor(memory: DatapathMemory, portId = 4242, flags = C.SOCKET_ADMIN) {
    this.#memory = memory;
    this.portId = portId;
    this.address = memory.wasm.openSocket(portId, flags) >>> 0;
    this.#datagram = memory.allocate(ROOM, 'a datagram');
    this.#out = memory.allocate(ROOM, 'frames');
  }

  /** Sends one datagram and returns all frames, those of a dump that it starts included. */
  send(...messages: ByteView[]): KernelFrame[] {
    const bytes = Buffer.concat(messages);
    this.#memory.bytes.set(bytes, this.#datagram);
    const frames: KernelFrame[] = [];
    let at = this.#datagram;
    const end = at + bytes.length;
    do {
      const { wasm } = this.#memory;
      this.#collect(wasm.handleMessages(this.address, at, end - at, this.#out, this.#out + ROOM) >>> 0, frames);
      at = this.#memory.u32(this.address + C.SOCKET_NEXT);
    } while (at < end);
    while (this.#memory.u32(this.address + C.SOCKET_DUMP) !== 0) this.continueDump(frames);
    return frames;
  }

  continueDump(frames: KernelFrame[] = [], size = ROOM): KernelFrame[] {
    const end = this.#memory.wasm.continueDump(this.address, this.#out, this.#out + size) >>> 0;
    this.#collect(end, frames);
    return frames;
  }

  #collect(end: number, frames: KernelFrame[]): void {
    const memory = this.#memory;
    for (let at = this.#out; at < end; ) {
      const size = memory.u32(at + C.NL_MMAP_LEN);
      const portId = memory.u32(at + C.NL_MMAP_PID);
      const group = memory.u32(at + C.NL_MMAP_GROUP);
      frames.push({ group, portId, bytes: memory.copy(at + C.NL_MMAP_HDRLEN, size) });
      at += C.NL_MMAP_HDRLEN + ((size + 3) & ~3);
    }
  }

  /** Sends one request and asks for its acknowledgement: the errno, and the frames before it. */
  ask(parts: RequestParts): { errno: number; frames: KernelFrame[]; ack: MessageCursor } {
    const frames = this.send(message({ ...parts, flags: (parts.flags ?? 0) | NLM_F_ACK }));
    const last = frames.pop();
    if (last === undefined) throw new Error('no answer');
    const ack = new MessageCursor(last.bytes);
    if (!ack.next() || !ack.isError) throw new Error('the last frame is no acknowledgement');
    return { errno: ack.errno(), frames, ack };
  }

  close(): void {
    this.#memory.wasm.closeSocket(this.address);
  }
}
