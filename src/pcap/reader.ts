/*
 * PcapReader: the packets of a capture file, in order; readPcap and parsePcap do the same for bytes in memory.
 *
 * Used by pcap ports (replay), by `wdp parse-pcap` and by tests. The file is read in chunks of CHUNK_SIZE, so its size
 * does not matter. Ownership: each chunk is a fresh buffer, so records stay valid for as long as they are held; holding
 * one keeps its chunk alive. Threads: one at a time. What can be lost: nothing; a damaged file gives the packets before
 * the damage, then throws PcapError.
 */

import { type FileHandle, open } from 'node:fs/promises';
import { PcapDecoder } from './decoder.ts';
import { PcapError } from './error.ts';
import { LINKTYPE_ETHERNET, type PcapFormat, type PcapReadOptions, type PcapRecord } from './format.ts';

const CHUNK_SIZE = 262144;

export class PcapReader implements AsyncIterable<PcapRecord>, AsyncDisposable {
  readonly path: string;
  /** Always Ethernet: other link types are refused by `open`. */
  readonly linkType: number = LINKTYPE_ETHERNET;
  readonly format: PcapFormat;
  private readonly handle: FileHandle;
  private readonly decoder: PcapDecoder;
  private pending: PcapRecord[];
  private done = false;

  private constructor(path: string, handle: FileHandle, decoder: PcapDecoder, pending: PcapRecord[]) {
    this.path = path;
    this.handle = handle;
    this.decoder = decoder;
    this.format = decoder.format ?? 'pcap';
    this.pending = pending;
  }

  /** Opens a file and reads its headers. A pipe or a device is fine too: it is read from front to back. */
  static async open(path: string, options: PcapReadOptions = {}): Promise<PcapReader> {
    const handle = await attempt(path, 'cannot be opened', () => open(path, 'r'));
    try {
      const decoder = new PcapDecoder(path, options);
      let pending: PcapRecord[] = [];
      while (!decoder.ready) {
        const chunk = await readChunk(path, handle);
        if (chunk.length === 0) decoder.end();
        pending = decoder.push(chunk);
      }
      return new PcapReader(path, handle, decoder, pending);
    } catch (error) {
      await handle.close();
      throw error;
    }
  }

  /** The next packets, at least one, as many as one chunk of the file holds; undefined after the last. */
  async nextBatch(): Promise<PcapRecord[] | undefined> {
    while (this.pending.length === 0) {
      if (this.done) return undefined;
      const chunk = await readChunk(this.path, this.handle);
      if (chunk.length === 0) {
        this.decoder.end();
        this.done = true;
      } else {
        this.pending = this.decoder.push(chunk);
      }
    }
    const batch = this.pending;
    this.pending = [];
    return batch;
  }

  /** The rest of the file in batches; closes the file at the end. */
  async *batches(): AsyncGenerator<PcapRecord[], void, undefined> {
    try {
      for (let batch = await this.nextBatch(); batch !== undefined; batch = await this.nextBatch()) yield batch;
    } finally {
      await this.close();
    }
  }

  /** The rest of the file, a packet at a time; closes the file at the end. */
  async *[Symbol.asyncIterator](): AsyncGenerator<PcapRecord, void, undefined> {
    for await (const batch of this.batches()) yield* batch;
  }

  /** May be called twice. */
  async close(): Promise<void> {
    this.done = true;
    this.pending = [];
    await this.handle.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}

/** The packets of a capture held in memory, lazily. Records are views over `bytes`. */
export function* parsePcap(
  bytes: Uint8Array,
  options: PcapReadOptions = {},
  name = 'capture',
): Generator<PcapRecord, void, undefined> {
  const decoder = new PcapDecoder(name, options);
  yield* decoder.push(bytes);
  decoder.end();
}

/** All packets of a capture held in memory; throws PcapError when it is damaged anywhere. */
export function readPcap(
  bytes: Uint8Array,
  options: PcapReadOptions = {},
  name = 'capture',
): { linkType: number; format: PcapFormat; records: PcapRecord[] } {
  const decoder = new PcapDecoder(name, options);
  const records = decoder.push(bytes);
  decoder.end();
  return { linkType: LINKTYPE_ETHERNET, format: decoder.format ?? 'pcap', records };
}

async function readChunk(path: string, handle: FileHandle): Promise<Uint8Array> {
  const buffer = new Uint8Array(CHUNK_SIZE);
  const { bytesRead } = await attempt(path, 'cannot be read', () => handle.read(buffer, 0, CHUNK_SIZE, null));
  return buffer.subarray(0, bytesRead);
}

async function attempt<T>(path: string, what: string, operation: () => Promise<T>): Promise<T> {
  try {
    return await operation();
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new PcapError('ERR_PCAP_FILE', { file: path }, `${what}: ${reason}`, '', error);
  }
}
