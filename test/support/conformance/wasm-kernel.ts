/*
 * The WASM kernel as a kernel that holds several datapaths: a memory for each, one more for the next, and what they must know of each other.
 *
 * Concepts. A message goes to the memory whose datapath it names, by ifindex or by name; one that names none goes to the memory that has none, which
 * says so in the kernel's words. A dump of datapaths goes round. Every memory is told of the devices of the others, since names and numbers of
 * devices are the kernel's, not a datapath's.
 *
 * For the conformance suite. Before it: ours.ts, which plays scenarios. After it: wasm-memory.ts.
 */
import * as C from '../../../assembly/constants.ts';
import * as F from '../../../assembly/kernel/families.ts';
import type { WasmBuild } from '../../../src/wasm/load.ts';
import { attributesOf } from './canonical.ts';
import { DP, DP_ATTR, FAMILIES, type Family, VPORT, VPORT_ATTR, VPORT_TYPE } from './openvswitch.ts';
import { type Datagram, HEADERS_SIZE, NLM_F, resolve, SOCKET_NAMES, SOCKETS, type SocketName } from './scenario.ts';
import { type Sent, WasmMemory } from './wasm-memory.ts';

const FAMILY_IDS: Record<Family, number> = {
  datapath: F.FAMILY_DATAPATH,
  vport: F.FAMILY_VPORT,
  flow: F.FAMILY_FLOW,
  packet: F.FAMILY_PACKET,
  meter: F.FAMILY_METER,
  ctLimit: F.FAMILY_CT_LIMIT,
};
/** Groups have the numbers of their families. */
const GROUPS = new Map<number, Family>(FAMILIES.map((family) => [FAMILY_IDS[family], family]));
const LOOPBACK = 'lo';
const NLMSG_HDRLEN = 16;
const NLMSG_DONE = 3;
/** So far apart are the numbers that memories give to the devices they make. */
const IFINDEX_STEP = 10_000;
const NO_OWNER = undefined;

interface Device {
  ifindex: number;
  /** Whose port it is. */
  owner: WasmMemory | undefined;
  isInternal: boolean;
}

export interface Delivered {
  socket: SocketName;
  bytes: Uint8Array;
}

export class WasmKernel {
  readonly families = new Map(FAMILIES.map((family): [number, Family] => [FAMILY_IDS[family], family]));
  /** Devices that came since somebody looked. */
  readonly links: { name: string; ifindex: number }[] = [];
  private readonly build: WasmBuild;
  /** Those with a datapath, oldest first. */
  private readonly datapaths: WasmMemory[] = [];
  private spare: WasmMemory;
  /** Those that had a datapath; a dump of it may still be on its way. */
  private readonly retired: WasmMemory[] = [];
  /** Dumps of all datapaths, and whom they have asked. */
  private readonly rounds = new Map<SocketName, { message: Uint8Array; asked: Set<WasmMemory> }>();
  private made = 0;
  private nextIfindex = 2;
  private readonly devices = new Map<string, Device>([[LOOPBACK, { ifindex: 1, owner: NO_OWNER, isInternal: false }]]);
  private readonly members: Record<SocketName, Set<Family>>;
  private readonly closed = new Set<SocketName>();
  private readonly held = new Set<SocketName>();
  private delivered: Delivered[] = [];

  constructor(build: WasmBuild) {
    this.build = build;
    this.spare = this.newMemory();
    const groups = SOCKET_NAMES.map((name) => {
      const { group } = SOCKETS[name];
      return [name, new Set<Family>(group === undefined ? [] : [group])];
    });
    this.members = Object.fromEntries(groups);
  }

  private newMemory(): WasmMemory {
    this.made++;
    const first = this.made * IFINDEX_STEP;
    const memory = new WasmMemory(this.build, first, first + 1, this.open);
    for (const [name, device] of this.devices) memory.addDevice(name, device.ifindex, kindFor(name, device));
    return memory;
  }

  private get open(): SocketName[] {
    return SOCKET_NAMES.filter((name) => !this.closed.has(name));
  }

  private get memories(): WasmMemory[] {
    return [...this.datapaths, this.spare, ...this.retired];
  }

  // ------------------------------------------------------------------------------------------------------- Messages

  send(from: SocketName, datagram: Datagram): void {
    const ifindex = (name: string) => this.devices.get(name)?.ifindex ?? this.past.get(name) ?? 0;
    const bytes = resolve(datagram, (family) => FAMILY_IDS[family], ifindex);
    for (const message of messagesOf(bytes)) {
      if (this.isDatapathDump(message)) this.dumpDatapaths(from, message);
      else this.handle(this.memoryFor(from, message), from, message);
    }
  }

  private handle(memory: WasmMemory, from: SocketName, message: Uint8Array): void {
    for (const sent of memory.send(from, message)) this.deliver(memory, sent);
  }

  private isDatapathDump(message: Uint8Array): boolean {
    const view = viewOf(message);
    const isDump = (view.getUint16(6, true) & (NLM_F.DUMP | NLM_F.REQUEST)) === (NLM_F.DUMP | NLM_F.REQUEST);
    const isGet = view.getUint16(4, true) === FAMILY_IDS.datapath && message[NLMSG_HDRLEN] === DP.GET;
    return isDump && isGet && message.length >= HEADERS_SIZE && this.datapaths.length > 0;
  }

  /** Each gives its own, and only the last says that it is done. */
  private dumpDatapaths(from: SocketName, message: Uint8Array): void {
    const busy = this.memories.find((memory) => memory.isDumping(from));
    if (busy !== undefined) {
      this.handle(busy, from, message);
      return;
    }
    for (const memory of this.datapaths) this.handle(memory, from, message);
    this.rounds.set(from, { message, asked: new Set(this.datapaths) });
  }

  /** What came to the sockets, but for those that are held; dumps go on as they are received. */
  received(): Delivered[] {
    for (const memory of this.datapaths) for (const sent of memory.upcalls()) this.deliver(memory, sent);
    for (const socket of SOCKET_NAMES) while (!this.held.has(socket) && this.continueDump(socket)) {}
    const received = this.delivered.filter(({ socket }) => !this.held.has(socket));
    this.delivered = this.delivered.filter(({ socket }) => this.held.has(socket));
    return received;
  }

  /** Whether the socket receives nothing for the time being. */
  hold(socket: SocketName, isHeld: boolean): void {
    if (isHeld) this.held.add(socket);
    else this.held.delete(socket);
  }

  /** The next part of the socket's dump. False when none runs. */
  private continueDump(socket: SocketName): boolean {
    this.askNewcomers(socket);
    const running = this.memories.filter((memory) => memory.isDumping(socket));
    const [memory] = running;
    if (memory === undefined) {
      this.rounds.delete(socket);
      return false;
    }
    for (const sent of memory.continueDump(socket)) {
      if (running.length === 1 || viewOf(sent.bytes).getUint16(4, true) !== NLMSG_DONE) this.deliver(memory, sent);
    }
    return true;
  }

  /** Datapaths that came while datapaths are dumped are at the end of the list. */
  private askNewcomers(socket: SocketName): void {
    const round = this.rounds.get(socket);
    if (round === undefined) return;
    for (const memory of this.datapaths.filter((one) => !round.asked.has(one))) {
      round.asked.add(memory);
      this.handle(memory, socket, round.message);
    }
  }

  private memoryFor(from: SocketName, message: Uint8Array): WasmMemory {
    const view = viewOf(message);
    const family = this.families.get(view.getUint16(4, true));
    const isDump = (view.getUint16(6, true) & NLM_F.DUMP) === NLM_F.DUMP;
    const busy = isDump ? this.memories.find((memory) => memory.isDumping(from)) : undefined;
    if (busy !== undefined) return busy;
    if (family === undefined || message.length < HEADERS_SIZE) return this.spare;
    if (family === 'datapath' && message[NLMSG_HDRLEN] === DP.NEW) return this.spare;
    const byName = family === 'datapath' || (family === 'vport' && message[NLMSG_HDRLEN] !== VPORT.NEW);
    const name =
      byName && !isDump ? nameIn(message, family === 'datapath' ? DP_ATTR.NAME : VPORT_ATTR.NAME) : undefined;
    const byIfindex = this.ownerOf(view.getUint32(HEADERS_SIZE - 4, true));
    if (name === undefined) return byIfindex ?? this.spare;
    if (family === 'datapath') return this.devices.get(name)?.owner ?? this.spare;
    return byIfindex ?? this.devices.get(name)?.owner ?? this.spare;
  }

  /** The memory of an internal device: any of them stands for its datapath. */
  private ownerOf(ifindex: number): WasmMemory | undefined {
    for (const device of this.devices.values()) {
      if (device.ifindex === ifindex && device.isInternal) return device.owner;
    }
    return undefined;
  }

  private deliver(memory: WasmMemory, { group, portId, bytes }: Sent): void {
    this.learn(memory, group, bytes);
    for (const socket of SOCKET_NAMES) {
      const isMine = SOCKETS[socket].portId === portId;
      const family = GROUPS.get(group);
      const isFor = family === undefined ? isMine : !isMine && this.members[socket].has(family);
      if (isFor && !this.closed.has(socket)) this.delivered.push({ socket, bytes });
    }
  }

  join(socket: SocketName, family: Family): void {
    this.members[socket].add(family);
  }

  leave(socket: SocketName, family: Family): void {
    this.members[socket].delete(family);
  }

  close(socket: SocketName): void {
    for (const memory of this.memories) memory.close(socket);
    this.closed.add(socket);
  }

  // -------------------------------------------------------------------------------------------------------- Devices

  /** Of devices that are gone. */
  private readonly past = new Map<string, number>();

  addDevice(name: string): void {
    this.enter(name, { ifindex: this.nextIfindex++, owner: NO_OWNER, isInternal: false });
  }

  removeDevice(name: string): void {
    this.forget(name);
    for (const memory of this.memories) for (const sent of memory.removeDevice(name)) this.deliver(memory, sent);
  }

  /** Every memory but the one that made the device itself hears of it. */
  private enter(name: string, device: Device): void {
    this.devices.set(name, device);
    this.links.push({ name, ifindex: device.ifindex });
    for (const memory of this.memories) {
      if (memory !== device.owner) memory.addDevice(name, device.ifindex, kindFor(name, device));
    }
  }

  private forget(name: string): void {
    const device = this.devices.get(name);
    if (device === undefined) return;
    this.past.set(name, device.ifindex);
    this.devices.delete(name);
  }

  /** A device belongs to a datapath from now on, or to none: others may not use it, or may. */
  private setOwner(name: string, owner: WasmMemory | undefined): void {
    const device = this.devices.get(name);
    if (device === undefined || device.isInternal) return;
    const before = device.owner;
    device.owner = owner;
    for (const memory of this.memories) {
      if (memory === owner || memory === before) continue;
      memory.removeDevice(name);
      memory.addDevice(name, device.ifindex, kindFor(name, device));
    }
  }

  /** What notifications tell of devices and datapaths. */
  private learn(memory: WasmMemory, group: number, bytes: Uint8Array): void {
    const family = GROUPS.get(group);
    const command = bytes[NLMSG_HDRLEN];
    if (family === 'datapath' && command === DP.NEW) this.datapathCame(memory, bytes);
    if (family === 'datapath' && command === DP.DEL) this.datapathWent(memory);
    if (family === 'vport' && command === VPORT.NEW) this.portCame(memory, bytes);
    if (family === 'vport' && command === VPORT.DEL) this.portWent(memory, nameIn(bytes, VPORT_ATTR.NAME)!);
  }

  private datapathCame(memory: WasmMemory, bytes: Uint8Array): void {
    this.datapaths.push(memory);
    const ifindex = viewOf(bytes).getUint32(HEADERS_SIZE - 4, true);
    const name = nameIn(bytes, DP_ATTR.NAME)!;
    this.devices.set(name, { ifindex, owner: memory, isInternal: true });
    this.links.push({ name, ifindex });
    for (const other of this.datapaths) if (other !== memory) other.addDevice(name, ifindex, C.DEVICE_UNFIT);
    this.spare = this.newMemory();
  }

  private datapathWent(memory: WasmMemory): void {
    this.datapaths.splice(this.datapaths.indexOf(memory), 1);
    this.retired.push(memory);
    for (const [name, { owner }] of [...this.devices]) if (owner === memory) this.portWent(memory, name);
  }

  private portCame(memory: WasmMemory, bytes: Uint8Array): void {
    const values = new Map<number, number>();
    for (const [type, start] of attributesOf(bytes, HEADERS_SIZE, bytes.length)) {
      if (type !== VPORT_ATTR.NAME) values.set(type, viewOf(bytes).getUint32(start, true));
    }
    const name = nameIn(bytes, VPORT_ATTR.NAME)!;
    if (values.get(VPORT_ATTR.TYPE) === VPORT_TYPE.INTERNAL) {
      this.enter(name, { ifindex: values.get(VPORT_ATTR.IFINDEX)!, owner: memory, isInternal: true });
    } else {
      this.setOwner(name, memory);
      memory.openPort(name, values.get(VPORT_ATTR.PORT_NO)!);
    }
  }

  private portWent(memory: WasmMemory, name: string): void {
    const device = this.devices.get(name);
    if (device?.isInternal === true) {
      for (const other of this.memories) if (other !== memory) other.removeDevice(name);
      this.forget(name);
    } else {
      memory.closePort(name);
      this.setOwner(name, NO_OWNER);
    }
  }

  // -------------------------------------------------------------------------------------------------------- Packets

  receive(device: string, frame: Uint8Array): void {
    this.devices.get(device)?.owner?.receive(device, frame);
  }

  transmitted(): { device: string; data: Uint8Array }[] {
    return this.datapaths.flatMap((memory) => memory.transmitted());
  }

  check(): void {
    for (const memory of this.memories) memory.check();
  }
}

/** What a device is to a memory that does not own it. */
function kindFor(name: string, { owner, isInternal }: Device): number {
  if (isInternal || name === LOOPBACK) return C.DEVICE_UNFIT;
  return owner === undefined ? C.DEVICE_ETHERNET : C.DEVICE_BUSY;
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** The messages of a datagram, one by one with what pads them; what is no message at the end as one more. */
function messagesOf(bytes: Uint8Array): Uint8Array[] {
  const found: Uint8Array[] = [];
  for (let at = 0; at < bytes.length; ) {
    const size = bytes.length - at < NLMSG_HDRLEN ? 0 : viewOf(bytes).getUint32(at, true);
    const isWhole = size >= NLMSG_HDRLEN && at + size <= bytes.length;
    const end = isWhole ? Math.min((at + size + 3) & ~3, bytes.length) : bytes.length;
    found.push(bytes.slice(at, end));
    at = end;
  }
  return found.filter(({ length }) => length >= NLMSG_HDRLEN);
}

/** The last attribute of this type as a name. What pads a message is no part of it. */
function nameIn(message: Uint8Array, type: number): string | undefined {
  let name: string | undefined;
  const end = Math.min(message.length, viewOf(message).getUint32(0, true));
  for (const [found, from, to] of attributesOf(message, HEADERS_SIZE, end)) {
    if (found === type) name = Buffer.from(message.subarray(from, to)).toString('latin1').replace(/\0.*$/s, '');
  }
  return name;
}
