/*
 * Samples: what PSAMPLE actions send, for one listener. Before it: assembly/actions/psample.ts, which writes messages into a ring a worker. After it:
 * the listener.
 *
 * Ownership. The rings are arena blocks that exist while somebody listens. Threads: the owner thread reads them, between its turns. What can
 * be lost: samples that find their ring full (`samples.lost` of the statistics), and what waits when the listener goes.
 */
import { FrameRing } from '../ports/ring.ts';
import { integer, powerOfTwo } from '../ranges.ts';
import type { DatapathMemory } from '../wasm/memory.ts';
import { decodeSample, type Sample } from './sample.ts';

export interface SampleOptions {
  /** Samples that a worker can have waiting, a power of two from 2 to 65,536. Default 256. */
  slots?: number;
  /** Bytes of a message, 1,024 to 65,555; the packet in a longer one is cut. Default 2,048. */
  messageSize?: number;
}

/** A sample and the port by which its packet came. What is a view in it is valid until the listener has returned. */
export type SampleListener = (sample: Sample, inPort: number) => void;

const SLOTS_MAX = 65536;
const MESSAGE_SIZE_MIN = 1024;
/** Headers, and PSAMPLE_MAX_PACKET_SIZE of attributes. */
const MESSAGE_SIZE_MAX = 65555;

export class Samples {
  readonly #memory: DatapathMemory;
  readonly #onError: (reason: unknown) => void;
  #rings: FrameRing[] = [];
  #listener: SampleListener | undefined;

  /** `onError` is told what a listener throws. */
  constructor(memory: DatapathMemory, onError: (reason: unknown) => void) {
    this.#memory = memory;
    this.#onError = onError;
  }

  /** Sets who listens; undefined: nobody. Throws RangeError, DatapathError ERR_OUT_OF_MEMORY. */
  listen(listener: SampleListener | undefined, workers: number, options: SampleOptions = {}): void {
    const { slots = 256, messageSize = 2048 } = options;
    powerOfTwo('slots', slots, 2, SLOTS_MAX);
    integer('messageSize', messageSize, MESSAGE_SIZE_MIN, MESSAGE_SIZE_MAX);
    this.close();
    if (listener === undefined) return;
    const memory = this.#memory;
    const list = memory.allocate(workers * 4, 'the list of sample rings');
    for (let worker = 0; worker < workers; worker++) {
      const ring = FrameRing.allocate(memory, slots, messageSize, `samples of worker ${worker}`);
      memory.setU32(list + worker * 4, ring.address);
      this.#rings.push(ring);
    }
    this.#listener = listener;
    memory.wasm.setSampleRings(list);
  }

  /** Gives the listener what waits. Returns how many samples. */
  deliver(): number {
    const listener = this.#listener;
    if (listener === undefined) return 0;
    let delivered = 0;
    for (const ring of this.#rings) {
      delivered += ring.drain(ring.slots, (message, _timeNs, _size, inPort) => {
        try {
          listener(decodeSample(message), inPort);
        } catch (reason) {
          this.#onError(reason);
        }
      });
    }
    return delivered;
  }

  /** Somebody listens. */
  get areHeard(): boolean {
    return this.#listener !== undefined;
  }

  /** Nobody listens any more; the rings are freed when no worker can be writing. */
  close(): void {
    if (this.#listener === undefined) return;
    this.#listener = undefined;
    this.#rings = [];
    this.#memory.wasm.setSampleRings(0);
  }
}
