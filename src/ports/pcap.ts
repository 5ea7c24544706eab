/*
 * The pcap port: receives what a capture file holds and writes what it is sent to another. Before it: src/pcap/. Files are read whole when the port opens,
 * into the datapath's arena; what goes out is written on the owner thread, and replaying ports wait rather than overrun it.
 */
import * as C from '../../assembly/constants.ts';
import { PcapReader, PcapWriter } from '../pcap/index.ts';
import { Port, type PortContext } from './port.ts';
import { Replay, type ReplayFrame, type Timeline } from './replay.ts';

export interface PcapPortOptions {
  /** Capture to replay. Default: this port receives nothing. */
  rx?: string;
  /** File to write. Default: what goes out is only counted. */
  tx?: string;
  /** `recorded` (default), `max`, or frames a second. */
  speed?: 'recorded' | 'max' | number;
  /** Rounds, 0 = for ever. Default 1. */
  loop?: number;
  /** For captures that belong together: their common clock. Default: this capture's own first packet is the beginning. */
  timeline?: Timeline;
}

const TX_SLOTS = 1024;
/** Largest frame written; longer ones are counted as txLong. */
const TX_FRAME_SIZE = 9216;
const SERVICE_MAX = 4096;

export class PcapPort extends Port {
  readonly type = 'pcap';
  readonly #replay: Replay | undefined;
  readonly #writer: PcapWriter | undefined;
  readonly #options: PcapPortOptions;

  /** Opens both files. Throws PcapError for a capture that cannot be read, DatapathError when the arena has no room for it. */
  static async open(context: PortContext, options: PcapPortOptions): Promise<PcapPort> {
    const frames = options.rx === undefined ? undefined : await readFrames(options.rx);
    const writer = options.tx === undefined ? undefined : PcapWriter.create(options.tx);
    return new PcapPort(context, options, frames, writer);
  }

  private constructor(
    context: PortContext,
    options: PcapPortOptions,
    frames: ReplayFrame[] | undefined,
    writer: PcapWriter | undefined,
  ) {
    super(context);
    this.#options = options;
    this.#writer = writer;
    const { speed = 'recorded', loop = 1 } = options;
    if (frames !== undefined) {
      const replay = { speed, loop, timeline: options.timeline };
      const source = {
        count: frames.length,
        sizeOf: (i: number) => frames[i].data.length,
        frame: (i: number) => frames[i],
      };
      this.#replay = new Replay(context.memory, source, replay, `the capture ${options.rx}`);
    }
    const rxKind = this.#replay === undefined ? C.RX_NONE : C.RX_REPLAY;
    const txRings = writer === undefined ? 0 : this.makeTxRings(TX_SLOTS, TX_FRAME_SIZE);
    const txKind = writer === undefined ? C.TX_NULL : C.TX_RING;
    this.open(rxKind, this.#replay?.address ?? 0, txKind, txRings, writer === undefined ? 0 : C.PORT_FLAG_BACKPRESSURE);
  }

  override get exhausted(): boolean {
    return this.#replay?.done ?? true;
  }

  override get needsService(): boolean {
    return this.#writer !== undefined;
  }

  override service(): boolean {
    const writer = this.#writer;
    if (writer === undefined) return false;
    const written = this.drainTx(SERVICE_MAX, (data, timeNs, wireSize) => {
      writer.write({ timeNs: BigInt(Math.round(timeNs)), data, wireSize });
    });
    return written > 0;
  }

  override async close(): Promise<void> {
    while (this.service());
    this.#writer?.close();
  }

  override describe(): string {
    const { rx, tx, speed = 'recorded', loop = 1 } = this.#options;
    return [rx && `rx=${rx}`, tx && `tx=${tx}`, rx && `speed=${speed}`, rx && `loop=${loop}`]
      .filter(Boolean)
      .join(', ');
  }
}

async function readFrames(file: string): Promise<ReplayFrame[]> {
  const frames: ReplayFrame[] = [];
  await using reader = await PcapReader.open(file);
  for await (const record of reader) frames.push(record);
  return frames;
}

/** The common clock of captures that were recorded together: the earliest packet of all, and the span to the latest. */
export async function commonTimeline(files: readonly string[]): Promise<Timeline> {
  const spans = await Promise.all(files.map(readFrames));
  const times = spans.flat().map((frame) => frame.timeNs);
  const originNs = times.reduce((least, time) => (time < least ? time : least), times.at(0) ?? 0n);
  const latestNs = times.reduce((most, time) => (time > most ? time : most), originNs);
  return { originNs, spanNs: latestNs - originNs };
}
