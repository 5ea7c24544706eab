/*
 * The memory port: for programs that embed the datapath. What the program `send`s arrives on the port; what the datapath outputs to it the
 * program `receive`s. Threads: `send` and `receive` on one thread, the owner's; the worker that polls the port may be another.
 */
import * as C from '../../assembly/constants.ts';
import { integer, powerOfTwo } from '../ranges.ts';
import { realtimeNs } from '../wasm/clock.ts';
import { wakeWorker } from '../worker/wake.ts';
import { type FrameSink, Port, type PortContext } from './port.ts';
import { FrameRing } from './ring.ts';

export interface MemoryPortOptions {
  /** Frames that wait in each direction, a power of two. Default 1024. */
  slots?: number;
  /** Largest frame, bytes. Default 2048; up to 65,535. */
  frameSize?: number;
}

const SLOTS_MAX = 65536;
/** The shortest frame of Ethernet, without its FCS. */
const FRAME_SIZE_MIN = 60;

export class MemoryPort extends Port {
  readonly type = 'memory';
  readonly #rx: FrameRing;

  constructor(context: PortContext, options: MemoryPortOptions = {}) {
    super(context);
    const { slots = 1024, frameSize = 2048 } = options;
    checkSizes(slots, frameSize);
    this.#rx = FrameRing.allocate(context.memory, slots, frameSize, `port ${context.name}`);
    this.open(C.RX_RING, this.#rx.address, C.TX_RING, this.makeTxRings(slots, frameSize));
  }

  /**
   * A frame arrives on this port (it is copied). False when its ring is full: poll, or wait for the worker. Throws RangeError for a frame
   * longer than `frameSize`.
   */
  send(frame: Uint8Array, timeNs = realtimeNs()): boolean {
    if (frame.length > this.#rx.frameCapacity)
      throw new RangeError(`a frame of ${frame.length} bytes is longer than this port takes`);
    const isTaken = this.#rx.push(frame, timeNs);
    wakeWorker(this.context.memory, this.worker);
    return isTaken;
  }

  /** Frames that have arrived and are not yet taken by the datapath. */
  get pending(): number {
    return this.#rx.queued;
  }

  /** Nothing waits here now; the program may send more. */
  override get exhausted(): boolean {
    return this.pending === 0;
  }

  /** Takes up to `max` frames that the datapath sent out of this port; copies, the caller's. */
  receive(max = Number.POSITIVE_INFINITY): Uint8Array[] {
    const frames: Uint8Array[] = [];
    this.drain((data) => frames.push(new Uint8Array(data)), max);
    return frames;
  }

  /** The same without copies: `sink` gets a view that is valid until it returns. Returns how many frames. */
  drain(sink: FrameSink, max = Number.POSITIVE_INFINITY): number {
    return this.drainTx(max, sink);
  }
}

function checkSizes(slots: number, frameSize: number): void {
  powerOfTwo('slots', slots, 1, SLOTS_MAX);
  integer('frameSize', frameSize, FRAME_SIZE_MIN, C.FRAME_SIZE_MAX);
}
