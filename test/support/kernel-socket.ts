/*
 * A socket of the WASM kernel for tests: messages in, the frames that come back out, decoded as far as every test wants them.
 */
import * as C from '../../assembly/constants.ts';
import { GROUP_FIRST } from '../../assembly/kernel/families.ts';
import * as OVS from '../../assembly/netlink/openvswitch.ts';
import type { ByteView } from '../../src/native/netlink.ts';
import {
  AttributeBuilder,
  beginGenericMessage,
  endMessage,
  MessageBuffer,
  MessageCursor,
  NLM_F_ACK,
  NLM_F_DUMP,
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

/** The messages of a frame: several when it is of a dump. */
export function messagesOf({ bytes }: KernelFrame): Uint8Array[] {
  const messages: Uint8Array[] = [];
  const cursor = new MessageCursor(bytes);
  while (cursor.next()) messages.push(cursor.message());
  cursor.check();
  return messages;
}

/** What a message of ovs_vport says; `types` are its attributes in their order. */
export function shownVport(from: KernelFrame | Uint8Array) {
  const bytes = from instanceof Uint8Array ? from : from.bytes;
  const cursor = new MessageCursor(bytes);
  cursor.next();
  const shown = {
    command: cursor.command,
    flags: cursor.flags,
    ifindex: new DataView(bytes.buffer, bytes.byteOffset).getInt32(20, true),
    types: [] as number[],
    ...{ portNo: -1, type: 0, name: '', device: 0, ids: [] as number[], stats: [] as number[] },
  };
  const attributes = cursor.attributes(8);
  while (attributes.next()) {
    shown.types.push(attributes.type);
    if (attributes.type === OVS.OVS_VPORT_ATTR_PORT_NO) shown.portNo = attributes.u32();
    if (attributes.type === OVS.OVS_VPORT_ATTR_TYPE) shown.type = attributes.u32();
    if (attributes.type === OVS.OVS_VPORT_ATTR_NAME) shown.name = attributes.string();
    if (attributes.type === OVS.OVS_VPORT_ATTR_IFINDEX) shown.device = attributes.u32();
    if (attributes.type === OVS.OVS_VPORT_ATTR_UPCALL_PID) shown.ids = wordsOf(attributes.bytes());
    if (attributes.type === OVS.OVS_VPORT_ATTR_STATS) {
      shown.stats = wordsOf(attributes.bytes()).filter((_, i) => i % 2 === 0);
    }
  }
  return shown;
}

function wordsOf(bytes: Uint8Array): number[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  return Array.from({ length: bytes.length / 4 }, (_, i) => view.getUint32(i * 4, true));
}

export class KernelSocket {
  readonly address: number;
  readonly portId: number;
  readonly memory: DatapathMemory;
  /** Of the last dump's NLMSG_DONE. */
  doneErrno = 0;
  readonly #datagram: number;
  readonly #out: number;

  constructor(memory: DatapathMemory, portId = 4242, flags = C.SOCKET_ADMIN) {
    this.memory = memory;
    this.portId = portId;
    this.address = memory.wasm.openSocket(portId, flags) >>> 0;
    this.#datagram = memory.allocate(ROOM, 'a datagram');
    this.#out = memory.allocate(ROOM, 'frames');
  }

  /** Sends one datagram and returns all frames, those of a dump that it starts included. */
  send(...messages: ByteView[]): KernelFrame[] {
    const bytes = Buffer.concat(messages);
    this.memory.bytes.set(bytes, this.#datagram);
    const frames: KernelFrame[] = [];
    let at = this.#datagram;
    const end = at + bytes.length;
    do {
      const { wasm } = this.memory;
      this.#collect(wasm.handleMessages(this.address, at, end - at, this.#out, this.#out + ROOM) >>> 0, frames);
      at = this.memory.u32(this.address + C.SOCKET_NEXT);
    } while (at < end);
    while (this.memory.u32(this.address + C.SOCKET_DUMP) !== 0) this.continueDump(frames);
    return frames;
  }

  continueDump(frames: KernelFrame[] = [], size = ROOM): KernelFrame[] {
    const end = this.memory.wasm.continueDump(this.address, this.#out, this.#out + size) >>> 0;
    this.#collect(end, frames);
    return frames;
  }

  #collect(end: number, frames: KernelFrame[]): void {
    const { memory } = this;
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

  /** Sends one request that must be done; the frames before its acknowledgement, but for notifications. */
  done(parts: RequestParts): KernelFrame[] {
    const { errno, frames } = this.ask(parts);
    if (errno !== 0) throw new Error(`refused with errno ${errno}`);
    return frames.filter(({ group }) => group === 0);
  }

  /** Somebody listens to the group from now on. */
  listen(group: number): void {
    const listeners = C.SUPERBLOCK + C.SB_DP_LISTENERS;
    this.memory.setU32(listeners, this.memory.u32(listeners) | (1 << (group - GROUP_FIRST)));
  }

  messages(frame: KernelFrame): Uint8Array[] {
    return messagesOf(frame);
  }

  /** Starts a dump whose first part has `size` bytes, and returns that part's messages. */
  startDump(parts: RequestParts, size: number): Uint8Array[] {
    const bytes = message({ ...parts, flags: NLM_F_DUMP });
    this.memory.bytes.set(bytes, this.#datagram);
    const { wasm } = this.memory;
    const end = wasm.handleMessages(this.address, this.#datagram, bytes.length, this.#out, this.#out + size) >>> 0;
    return this.#part(end);
  }

  /** The messages of the parts that are left, each of `size` bytes. */
  finishDump(size: number): Uint8Array[] {
    const messages: Uint8Array[] = [];
    while (this.dumping) messages.push(...this.continuePart(size));
    return messages;
  }

  get dumping(): boolean {
    return this.memory.u32(this.address + C.SOCKET_DUMP) !== 0;
  }

  /** The messages of the next part, which has `size` bytes. */
  continuePart(size: number): Uint8Array[] {
    return this.#part(this.memory.wasm.continueDump(this.address, this.#out, this.#out + size) >>> 0);
  }

  #part(end: number): Uint8Array[] {
    const frames: KernelFrame[] = [];
    this.#collect(end, frames);
    const messages = frames.flatMap(messagesOf);
    const last = new MessageCursor(messages.at(-1) ?? new Uint8Array(0));
    if (!last.next() || !last.isDone) return messages;
    this.doneErrno = last.errno();
    return messages.slice(0, -1);
  }

  addDevice(name: string, ifindex: number, kind: number): void {
    const status = this.memory.wasm.addDevice(this.#write(name), ifindex, kind);
    if (status !== 0) throw new Error(`device ${name}: errno ${-status}`);
  }

  /** The frames that tell of it. */
  removeDevice(name: string): KernelFrame[] {
    const frames: KernelFrame[] = [];
    this.#collect(this.memory.wasm.removeDevice(this.#write(name), this.#out, this.#out + ROOM) >>> 0, frames);
    return frames;
  }

  #write(name: string): number {
    this.memory.bytes.set(Buffer.from(`${name}\0`, 'latin1'), this.#datagram);
    return this.#datagram;
  }

  close(): void {
    this.memory.wasm.closeSocket(this.address);
  }
}
