/*
 * The executor of the real module, one packet at a time: a small datapath with memory ports 1 to 4 and a queue of upcalls. A frame is
 * extracted and given to `execute` with a list; what came out of the ports, the upcall messages, the drops by name and what the
 * descriptor says at the end are the answer.
 */
import * as C from '../../assembly/constants.ts';
import type { Datapath, DatapathOptions, DropName, MemoryPort } from '../../src/index.ts';
import { expectAccounted, openDatapath } from './datapath.ts';
import { UPCALL_PID } from './execute-cases.ts';
import { refuse, take } from './upcall-frames.ts';

export const PORTS = [1, 2, 3, 4] as const;
const BUFFER_SIZE = 262144;
const MARGIN = 64;
const POISON = 0xa5;

export interface Outcome {
  /** By port, in order. */
  frames: { port: number; data: Uint8Array }[];
  upcalls: Uint8Array[];
  drops: Partial<Record<DropName, number>>;
  /** The packet as the last action left it. */
  frame: Uint8Array;
  key: Uint8Array;
  /** PACKET_L3, PACKET_L4, PACKET_MPLS. */
  offsets: [number, number, number];
  flags: number;
  wireSize: number;
  /** Bytes outside of the packet's buffer were written. */
  strayed: boolean;
}

export interface Room {
  inPort?: number;
  /** Bytes before and behind the frame that pushes may use. */
  headroom?: number;
  tailroom?: number;
  /** PACKET_FLAG_* set after extraction. */
  flags?: number;
}

export class Executor implements AsyncDisposable {
  readonly datapath: Datapath;
  readonly #ports: MemoryPort[];
  readonly #buffer: number;
  readonly #list: number;

  static async open(options: DatapathOptions = {}): Promise<Executor> {
    return new Executor(await openDatapath({ upcallFrames: 64, arenaSize: 96 * 1048576, ...options }));
  }

  private constructor(datapath: Datapath) {
    this.datapath = datapath;
    this.#ports = PORTS.map((portNo) => {
      return datapath.ports.add(`port${portNo}`, { portNo, slots: 64, frameSize: C.FRAME_SIZE_MAX });
    });
    this.#buffer = datapath.memory.allocate(BUFFER_SIZE, 'a frame');
    this.#list = datapath.memory.allocate(C.ACTIONS_SIZE_MAX + 1, 'a list');
    datapath.memory.setOption(C.OPTION_HANDLER, true);
    datapath.memory.wasm.openSocket(UPCALL_PID, 0);
  }

  execute(frame: Uint8Array, list: Uint8Array, room: Room = {}): Outcome {
    const { memory } = this.datapath;
    const { inPort = 1, headroom = C.HEADROOM, tailroom = 0, flags = 0 } = room;
    const head = this.#buffer + MARGIN;
    const tail = head + headroom + frame.length + tailroom;
    memory.bytes.fill(POISON, this.#buffer, tail + MARGIN);
    memory.bytes.set(frame, head + headroom);
    memory.bytes.set(list, this.#list);
    const before = this.datapath.stats().drops;
    if (memory.wasm.extractKey(head + headroom, frame.length, inPort) === 0) throw new Error('the frame is too short');
    const packet = memory.wasm.sparePacket() >>> 0;
    memory.setU32(packet + C.PACKET_HEAD, head);
    memory.setU32(packet + C.PACKET_TAIL, tail);
    memory.setU32(packet + C.PACKET_WIRE_SIZE, frame.length);
    memory.setU32(packet + C.PACKET_CUT, 0);
    memory.setU32(packet + C.PACKET_HASH, 0);
    memory.view.setUint16(packet + C.PACKET_FLAGS, memory.view.getUint16(packet + C.PACKET_FLAGS, true) | flags, true);
    memory.wasm.enter();
    memory.wasm.execute(packet, this.#list, list.length);
    memory.wasm.leave();
    const outside = [memory.slice(this.#buffer, MARGIN), memory.slice(tail, MARGIN)];
    const u16 = (offset: number): number => memory.view.getUint16(packet + offset, true);
    return {
      ...this.#sent(),
      drops: this.#dropsSince(before),
      frame: memory.copy(memory.u32(packet + C.PACKET_DATA), memory.u32(packet + C.PACKET_SIZE)),
      key: memory.copy(memory.u32(packet + C.PACKET_KEY), C.KEY_SIZE),
      offsets: [u16(C.PACKET_L3), u16(C.PACKET_L4), u16(C.PACKET_MPLS)],
      flags: u16(C.PACKET_FLAGS),
      wireSize: memory.u32(packet + C.PACKET_WIRE_SIZE),
      strayed: outside.some((part) => part.some((byte) => byte !== POISON)),
    };
  }

  #sent(): Pick<Outcome, 'frames' | 'upcalls'> {
    const frames = this.#ports.flatMap((port) => port.receive().map((data) => ({ port: port.portNo, data })));
    const upcalls: Uint8Array[] = [];
    for (let taken = take(this.datapath); taken.length > 0; taken = take(this.datapath)) {
      upcalls.push(...taken.map(({ message }) => message));
      refuse(this.datapath, taken);
    }
    return { frames, upcalls };
  }

  #dropsSince(before: Record<DropName, number>): Outcome['drops'] {
    const now = Object.entries(this.datapath.stats().drops) as [DropName, number][];
    const changed = now.filter(([name, n]) => n !== before[name] && name !== 'upcallHandler');
    return Object.fromEntries(changed.map(([name, n]) => [name, n - before[name]]));
  }

  /** What began and what ended, and every structure, over all packets so far; `executed` counts them. */
  verify(executed: number): void {
    expectAccounted(this.datapath.stats(), executed);
    const broken = this.datapath.check();
    if (broken !== 0) throw new Error(`invariant ${broken} is broken`);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.datapath.close();
  }
}
