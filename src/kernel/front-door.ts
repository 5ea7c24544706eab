/*
 * The front door of one datapath, from the host's side: datagrams in, frames out (assembly/kernel/dispatch.ts). Before it: the wasm transport, and the
 * Datapath itself, which makes itself and its ports by messages as everybody does. After it: the module.
 *
 * Concepts. A client has a socket; what is sent to it comes back as frames when its datagram is handled, and is read where it lies. What a change
 * tells the groups is copied, and handed to `heard` when the call is over, so that who hears it may send messages himself.
 *
 * Ownership. Requests and frames stand in the owner thread's region of the memory (SB_DOOR) and are valid until the next datagram. Threads: the
 * owner's.
 */
import * as C from '../../assembly/constants.ts';
import { OVS_VPORT_TYPE_INTERNAL } from '../../assembly/netlink/openvswitch.ts';
import { DatapathError } from '../errors.ts';
import type { ByteView } from '../native/netlink.ts';
import { NLMSG_HDRLEN } from '../netlink/constants.ts';
import { EMSGSIZE } from '../netlink/errors.ts';
import { monotonicMs, tellTime } from '../wasm/clock.ts';
import type { DatapathMemory } from '../wasm/memory.ts';
import { firstDeviceIfindex } from './registry.ts';

/** Gets each message that answers a datagram: its address and bytes, valid until it returns. */
export type AnswerSink = (address: number, size: number) => void;
/** Gets each notification: the group, and a copy of the message. */
export type NotificationSink = (group: number, message: Uint8Array<ArrayBuffer>) => void;

/** Groups that the host itself listens to. */
const OWN_GROUPS = 0b11; // ovs_datapath, ovs_vport
let lastPortId = 1;

/** A Netlink port id that nobody in this process has. 1 is that of each datapath's own handler. */
export function nextPortId(): number {
  return ++lastPortId;
}

export class FrontDoor {
  readonly memory: DatapathMemory;
  /** Where a datagram is to be written. */
  readonly datagram: number;
  readonly #out: number;
  readonly #limit: number;
  readonly #area: number;
  readonly #heard: NotificationSink;
  #notices: [number, Uint8Array<ArrayBuffer>][] = [];
  #depth = 0;

  constructor(memory: DatapathMemory, heard: NotificationSink) {
    this.memory = memory;
    this.datagram = memory.superblock(C.SB_DOOR);
    this.#out = this.datagram + C.DOOR_DATAGRAM_SIZE;
    this.#limit = this.#out + C.DOOR_OUT_SIZE;
    this.#area = memory.workerArea(0);
    this.#heard = heard;
    memory.setU32(C.SUPERBLOCK + C.SB_IFINDEX_NEXT, firstDeviceIfindex());
    this.listen(0);
  }

  /** Which groups have listeners besides the host: a bit a group, from GROUP_FIRST up. */
  listen(groups: number): void {
    this.memory.setU32(C.SUPERBLOCK + C.SB_DP_LISTENERS, groups | OWN_GROUPS);
  }

  /** There is a datapath in this memory. */
  get exists(): boolean {
    return this.memory.superblock(C.SB_DP_EXISTS) !== 0;
  }

  get dpIfindex(): number {
    return this.memory.superblock(C.SB_DP_IFINDEX);
  }

  /** Whether there is a vport of type INTERNAL whose device has this number. */
  hasInternalPort(ifindex: number): boolean {
    const { memory } = this;
    const first = memory.superblock(C.SB_VPORTS);
    for (let at = first; at < first + C.PORTS_MAX * C.VPORT_SIZEOF; at += C.VPORT_SIZEOF) {
      if (memory.u32(at + C.VPORT_TYPE) !== OVS_VPORT_TYPE_INTERNAL) continue;
      if (memory.u32(at + C.VPORT_IFINDEX) === ifindex) return true;
    }
    return false;
  }

  /** A socket; `flags`: SOCKET_*. Throws ERR_OUT_OF_MEMORY. */
  open(portId: number, flags: number): number {
    const socket = this.memory.wasm.openSocket(portId, flags) >>> 0;
    if (socket !== 0) return socket;
    throw new DatapathError('ERR_OUT_OF_MEMORY', 'no room for a socket of the datapath', { errno: C.ENOMEM });
  }

  close(socket: number): void {
    this.memory.wasm.closeSocket(socket);
  }

  /** Sends one datagram, whole messages, and hands over what answers it. Throws ERR_NETLINK_TOO_LARGE. */
  send(socket: number, messages: ByteView, sink: AnswerSink): void {
    if (messages.length > C.DOOR_DATAGRAM_SIZE) {
      const text = `a datagram of ${messages.length} bytes is longer than the datapath takes`;
      throw new DatapathError('ERR_NETLINK_TOO_LARGE', text, { errno: EMSGSIZE });
    }
    this.memory.bytes.set(messages, this.datagram);
    this.handle(socket, messages.length, sink);
  }

  /** Handles the datagram that stands at `datagram`. `sink` must not come back here. */
  handle(socket: number, size: number, sink: AnswerSink): void {
    const { memory } = this;
    const end = this.datagram + size;
    this.#tellTime();
    this.#depth++;
    try {
      for (let at = this.datagram; end - at >= NLMSG_HDRLEN; at = memory.u32(socket + C.SOCKET_NEXT)) {
        this.#walk(memory.wasm.handleMessages(socket, at, end - at, this.#out, this.#limit) >>> 0, sink);
      }
    } finally {
      this.#depth--;
      this.#tellNotices();
    }
  }

  /** The next part of the socket's running dump, written from `out` on; returns the address and size of its messages. */
  continueDump(socket: number, out: number, limit: number): number {
    this.#tellTime();
    return this.memory.wasm.continueDump(socket, out, limit) >>> 0;
  }

  /** Says that a device is there (DEVICE_*), or that it is gone; its vport goes with it. 0 or a negative errno. */
  addDevice(name: string, ifindex: number, kind: number): number {
    this.#writeName(name);
    return this.memory.wasm.addDevice(this.datagram, ifindex, kind);
  }

  removeDevice(name: string): void {
    this.#writeName(name);
    this.#walk(this.memory.wasm.removeDevice(this.datagram, this.#out, this.#limit) >>> 0, () => {});
    this.#tellNotices();
  }

  #writeName(name: string): void {
    const bytes = Buffer.from(name, 'latin1').subarray(0, C.IFNAMSIZ - 1);
    this.memory.bytes.fill(0, this.datagram, this.datagram + C.IFNAMSIZ);
    this.memory.bytes.set(bytes, this.datagram);
  }

  #tellTime(): void {
    tellTime(this.memory, this.#area);
    this.memory.setU64(C.SUPERBLOCK + C.SB_TIME_MS, Math.floor(monotonicMs()));
  }

  #walk(end: number, sink: AnswerSink): void {
    const { memory } = this;
    for (let at = this.#out; at < end; ) {
      const size = memory.u32(at + C.NL_MMAP_LEN);
      const group = memory.u32(at + C.NL_MMAP_GROUP);
      const message = at + C.NL_MMAP_HDRLEN;
      if (group === 0) sink(message, size);
      else this.#notices.push([group, memory.copy(message, size)]);
      at = message + ((size + 3) & ~3);
    }
  }

  #tellNotices(): void {
    if (this.#depth > 0) return;
    while (this.#notices.length > 0) {
      const notices = this.#notices;
      this.#notices = [];
      for (const [group, message] of notices) this.#heard(group, message);
    }
  }
}
