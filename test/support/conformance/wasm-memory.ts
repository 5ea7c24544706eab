/*
 * One memory of the WASM kernel, with a datapath in it or still without: sockets, devices, ports, and what comes out of them.
 *
 * For the conformance suite. Before it: wasm-kernel.ts, which puts several memories side by side as one kernel. After it: the module's front door
 * (assembly/kernel/) and its ports.
 */
import * as C from '../../../assembly/constants.ts';
import { MemoryPort } from '../../../src/ports/memory.ts';
import { DEFAULT_CONFIG } from '../../../src/ports/port-config.ts';
import { tellTime } from '../../../src/wasm/clock.ts';
import { loadModule, type WasmBuild } from '../../../src/wasm/load.ts';
import { DatapathMemory } from '../../../src/wasm/memory.ts';
import { SOCKETS, type SocketName } from './scenario.ts';

const MIB = 1048576;
const ROOM = MIB;
/** What a dump has room for in one part, as a reader of 128 KiB has it in the kernel. */
const DUMP_PART_SIZE = 32_448;
const FRAME_SIZE = 65_535;
const ALL_GROUPS = 0x3f;
const IFNAMSIZ = 16;

/** A message to a port id, or to a group and then not to that port id. */
export interface Sent {
  group: number;
  portId: number;
  bytes: Uint8Array;
}

export class WasmMemory {
  private readonly memory: DatapathMemory;
  private readonly sockets = new Map<SocketName, number>();
  private readonly datagram: number;
  private readonly out: number;
  private readonly ports = new Map<string, MemoryPort>();

  constructor(build: WasmBuild, dpIfindex: number, firstIfindex: number, sockets: readonly SocketName[]) {
    const capacity = { flows: 8192, workers: 1, emcEntries: 8192, upcallFrames: 256, arenaSize: 64 * MIB };
    const seed = 5n;
    this.memory = DatapathMemory.create(loadModule(build), { ...capacity, seed, dpIfindex, pagesMax: 8192 });
    this.memory.setOption(C.OPTION_HANDLER, true);
    this.memory.setU32(C.SUPERBLOCK + C.SB_DP_LISTENERS, ALL_GROUPS);
    this.memory.setU32(C.SUPERBLOCK + C.SB_IFINDEX_NEXT, firstIfindex);
    this.datagram = this.memory.allocate(ROOM, 'a datagram');
    this.out = this.memory.allocate(ROOM, 'frames');
    for (const name of sockets) {
      const { portId, isAdmin } = SOCKETS[name];
      this.sockets.set(name, this.memory.wasm.openSocket(portId, isAdmin ? C.SOCKET_ADMIN : 0) >>> 0);
    }
  }

  /** Hands messages to the kernel as one datagram. */
  send(from: SocketName, messages: Uint8Array): Sent[] {
    const { wasm } = this.memory;
    const socket = this.sockets.get(from)!;
    tellTime(this.memory, this.memory.workerArea(0));
    this.memory.bytes.set(messages, this.datagram);
    const sent: Sent[] = [];
    const end = this.datagram + messages.length;
    for (let at = this.datagram; at < end; at = this.memory.u32(socket + C.SOCKET_NEXT)) {
      sent.push(...this.frames(wasm.handleMessages(socket, at, end - at, this.out, this.out + ROOM) >>> 0));
    }
    return sent;
  }

  isDumping(name: SocketName): boolean {
    const socket = this.sockets.get(name);
    return socket !== undefined && this.memory.u32(socket + C.SOCKET_DUMP) !== 0;
  }

  close(name: SocketName): void {
    this.memory.wasm.closeSocket(this.sockets.get(name)!);
    this.sockets.delete(name);
  }

  continueDump(socket: SocketName): Sent[] {
    const end = this.memory.wasm.continueDump(this.sockets.get(socket)!, this.out, this.out + DUMP_PART_SIZE) >>> 0;
    return this.frames(end);
  }

  private frames(end: number): Sent[] {
    const { memory } = this;
    const sent: Sent[] = [];
    for (let at = this.out; at < end; ) {
      const size = memory.u32(at + C.NL_MMAP_LEN);
      const [group, portId] = [memory.u32(at + C.NL_MMAP_GROUP), memory.u32(at + C.NL_MMAP_PID)];
      sent.push({ group, portId, bytes: memory.copy(at + C.NL_MMAP_HDRLEN, size) });
      at += C.NL_MMAP_HDRLEN + ((size + 3) & ~3);
    }
    return sent;
  }

  /** `kind`: DEVICE_*. */
  addDevice(name: string, ifindex: number, kind: number): void {
    this.writeName(name);
    const status = this.memory.wasm.addDevice(this.datagram, ifindex, kind);
    if (status !== 0) throw new Error(`device ${name} ${ifindex}: errno ${-status}`);
  }

  removeDevice(name: string): Sent[] {
    this.writeName(name);
    return this.frames(this.memory.wasm.removeDevice(this.datagram, this.out, this.out + ROOM) >>> 0);
  }

  private writeName(name: string): void {
    this.memory.bytes.fill(0, this.datagram, this.datagram + IFNAMSIZ);
    this.memory.bytes.set(Buffer.from(name, 'latin1'), this.datagram);
  }

  /** Gives the vport of a device its driver. */
  openPort(name: string, portNo: number): void {
    const never = () => {
      throw new Error('no port here asks for it');
    };
    const context = {
      memory: this.memory,
      portNo,
      name,
      workerSlots: 1,
      worker: 0,
      isPinned: true,
      pollers: () => 0,
      stats: never,
      config: () => DEFAULT_CONFIG,
      reopened: never,
      hotFlows: never,
    };
    this.ports.set(name, new MemoryPort(context, { slots: 64, frameSize: FRAME_SIZE }));
  }

  closePort(name: string): void {
    const port = this.ports.get(name);
    if (port === undefined) return;
    this.memory.wasm.closePort(port.portNo);
    this.ports.delete(name);
  }

  /** A frame arrives at a device; nothing happens if that is no port. */
  receive(device: string, frame: Uint8Array): void {
    const port = this.ports.get(device);
    if (port === undefined) return;
    tellTime(this.memory, this.memory.workerArea(0));
    port.send(frame);
    while (port.pending > 0) this.memory.wasm.poll(8);
  }

  transmitted(): { device: string; data: Uint8Array }[] {
    return [...this.ports].flatMap(([device, port]) => port.receive().map((data) => ({ device, data })));
  }

  /** What waits in the upcall ring. */
  upcalls(): Sent[] {
    const { memory } = this;
    const sent: Sent[] = [];
    while (memory.wasm.take(0, 1) > 0) {
      const frame = memory.u32(memory.upcallRing(0) + C.UPCALL_LIST);
      const portId = memory.u32(frame + C.UPCALL_PORT_ID);
      const bytes = memory.copy(memory.u32(frame + C.UPCALL_MESSAGE), memory.u32(frame + C.NL_MMAP_LEN));
      sent.push({ group: 0, portId, bytes });
      memory.wasm.give(0, frame);
    }
    return sent;
  }

  /** Throws when the structures in the memory do not fit together. */
  check(): void {
    const status = this.memory.wasm.check();
    if (status !== 0) throw new Error(`the memory is damaged: check ${status}`);
  }
}
