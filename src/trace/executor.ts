/*
 * One packet in the hands of the real executor: a small datapath of its own, without handler and without traffic, on whose spare packet action lists
 * are executed one call at a time. What comes out is taken from memory ports and from the upcall ring; drops are read from the counters.
 *
 * Before it: trace/trace.ts. After it: the `execute` export, as answers to upcalls use it. The packet, its key and its descriptor (marks, header offsets,
 * what TRUNC left) stay between calls, so a list may be executed action by action; `save` and `restore` are what a copy of the packet
 * is for a nested list. Ownership: one packet, until the next `load`. Threads: the one that opened it.
 */
import * as C from '../../assembly/constants.ts';
import { Datapath } from '../datapath/datapath.ts';
import { DROP_NAMES, type DropName } from '../datapath/stats.ts';
import { readBe16 } from '../odp/layers.ts';
import type { MemoryPort } from '../ports/memory.ts';

/** What a call of `run` sent and dropped. */
export interface Effects {
  outputs: Output[];
  /** Packets of USERSPACE actions. */
  upcalls: Uint8Array[];
  /** Those that were for a port id that nobody has. */
  lostCount: number;
  /** Lookups that found no flow. */
  missCount: number;
  /** Packets given to PSAMPLE actions. */
  psampleCount: number;
  /** By name, without zeros. */
  drops: Partial<Record<DropName, number>>;
  /** Position in DatapathStats.explicitDrops of the last DROP action, undefined when there was none. */
  explicit?: number;
}

export interface Output {
  port: number;
  packet: Uint8Array;
}

/** A packet at one moment. */
export interface Saved {
  descriptor: Uint8Array;
  key: Uint8Array;
  packet: Uint8Array;
}

const OPTIONS = {
  ...{ name: 'trace', flows: 4096, emcEntries: C.EMC_ENTRIES_MIN, emc: false, upcallFrames: 1024, seed: 0n },
  ...{ arenaSize: 512 * 1048576, idleTimeoutMs: 0 },
};
/** Frames that one call may send out of one port. */
const SLOTS = 64;
/** Bytes by which pushes may make a packet longer until it goes out. */
const GROWTH = 4096;
const OVS_PACKET_CMD_ACTION = 2;

export class Executor implements AsyncDisposable {
  readonly datapath: Datapath;
  readonly #ports = new Map<number, MemoryPort>();
  readonly #buffer: number;
  readonly #list: number;
  #frameSize = 0;

  static async open(): Promise<Executor> {
    return new Executor(await Datapath.open(OPTIONS));
  }

  private constructor(datapath: Datapath) {
    this.datapath = datapath;
    this.#buffer = datapath.memory.allocate(C.HEADROOM + 2 * C.FRAME_SIZE_MAX, 'a packet');
    this.#list = datapath.memory.allocate(C.ACTIONS_SIZE_MAX + 1, 'an action list');
    datapath.memory.setOption(C.OPTION_HANDLER, true);
  }

  get #packet(): number {
    return this.datapath.memory.wasm.sparePacket() >>> 0;
  }

  /** Where the packet's key stands in the datapath's memory. */
  get keyAddress(): number {
    return this.datapath.memory.u32(this.#packet + C.PACKET_KEY);
  }

  /** The packet's key now; a copy. */
  get key(): Uint8Array {
    return this.datapath.memory.copy(this.keyAddress, C.KEY_SIZE);
  }

  /** The packet's bytes now; a copy. */
  get packet(): Uint8Array {
    const { memory } = this.datapath;
    return memory.copy(memory.u32(this.#packet + C.PACKET_DATA), memory.u32(this.#packet + C.PACKET_SIZE));
  }

  /** Ethernet type of what the packet begins with, undefined when that is an Ethernet header. */
  get firstType(): number | undefined {
    const flags = this.datapath.memory.view.getUint16(this.#packet + C.PACKET_FLAGS, true);
    return (flags & C.PACKET_FLAG_L3) === 0 ? undefined : readBe16(this.key, C.KEY_PACKET_TYPE + 2);
  }

  /** Takes a packet as a port would. Returns its key, undefined for one that no port takes: too short or too long. */
  load(packet: Uint8Array, inPort: number): Uint8Array | undefined {
    if (packet.length > C.FRAME_SIZE_MAX) return undefined;
    const { memory } = this.datapath;
    const data = this.#buffer + C.HEADROOM;
    memory.bytes.set(packet, data);
    if (memory.wasm.extractKey(data, packet.length, inPort) === 0) return undefined;
    memory.setU32(this.#packet + C.PACKET_HEAD, this.#buffer);
    memory.setU32(this.#packet + C.PACKET_TAIL, data + 2 * C.FRAME_SIZE_MAX);
    memory.setU32(this.#packet + C.PACKET_WIRE_SIZE, packet.length);
    memory.setU32(this.#packet + C.PACKET_CUT, 0);
    this.#frameSize = Math.min(packet.length + GROWTH, C.FRAME_SIZE_MAX);
    return this.key;
  }

  /** Gives the packet another key, with the recirc_id in it. */
  setKey(key: Uint8Array): void {
    const { memory } = this.datapath;
    memory.bytes.set(key, this.keyAddress);
    memory.setU32(this.#packet + C.PACKET_RECIRC_ID, memory.u32(this.keyAddress + C.KEY_RECIRC_ID));
    const flags = memory.view.getUint16(this.#packet + C.PACKET_FLAGS, true);
    memory.view.setUint16(this.#packet + C.PACKET_FLAGS, flags | C.PACKET_FLAG_KEY_COLD, true);
  }

  save(): Saved {
    return {
      descriptor: this.datapath.memory.copy(this.#packet, C.PACKET_SIZEOF),
      key: this.key,
      packet: this.packet,
    };
  }

  restore({ descriptor, key, packet }: Saved): void {
    const { memory } = this.datapath;
    memory.bytes.set(descriptor, this.#packet);
    memory.bytes.set(key, this.keyAddress);
    memory.bytes.set(packet, memory.u32(this.#packet + C.PACKET_DATA));
  }

  /** Makes sure that these ports are there: a list that names them is going to be executed. */
  openPorts(ports: Iterable<number>): void {
    for (const portNo of ports) {
      if (this.#ports.has(portNo) || portNo >= C.PORTS_MAX) continue;
      const options = { portNo, slots: SLOTS, frameSize: this.#frameSize };
      this.#ports.set(portNo, this.datapath.ports.add(`port${portNo}`, options));
    }
  }

  /** Executes a list, which the datapath has validated, on the packet. */
  run(list: Uint8Array): Effects {
    const { memory } = this.datapath;
    const before = this.datapath.stats();
    memory.bytes.set(list, this.#list);
    memory.wasm.enter();
    memory.wasm.execute(this.#packet, this.#list, list.length);
    memory.wasm.leave();
    const after = this.datapath.stats();
    const counts = DROP_NAMES.map((name) => [name, after.drops[name] - before.drops[name]] as const);
    const explicit = after.explicitDrops.findIndex((count, reason) => count !== before.explicitDrops[reason]);
    return {
      outputs: [...this.#ports.values()].flatMap((port) =>
        port.receive().map((packet) => ({ port: port.portNo, packet })),
      ),
      ...this.#takeUpcalls(),
      lostCount: after.upcalls.actionLost - before.upcalls.actionLost,
      psampleCount: after.psampled - before.psampled,
      drops: Object.fromEntries(counts.filter(([, count]) => count > 0)),
      ...(explicit < 0 ? {} : { explicit }),
    };
  }

  #takeUpcalls(): Pick<Effects, 'upcalls' | 'missCount'> {
    const { memory } = this.datapath;
    const upcalls: Uint8Array[] = [];
    let missCount = 0;
    const list = memory.upcallRing(0) + C.UPCALL_LIST;
    for (
      let taken = memory.wasm.take(0, C.UPCALL_TAKE_MAX);
      taken > 0;
      taken = memory.wasm.take(0, C.UPCALL_TAKE_MAX)
    ) {
      for (let i = 0; i < taken; i++) {
        const frame = memory.u32(list + 4 * i);
        if (memory.u32(frame + C.UPCALL_COMMAND) !== OVS_PACKET_CMD_ACTION) missCount += 1;
        else upcalls.push(memory.copy(memory.u32(frame + C.UPCALL_PACKET), memory.u32(frame + C.UPCALL_PACKET_SIZE)));
      }
      memory.wasm.dropTaken(0, taken, C.DROP_UPCALL_HANDLER);
    }
    return { upcalls, missCount };
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.datapath.close();
  }
}
