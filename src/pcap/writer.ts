/*
 * PcapWriter: packets to a pcap file; encodePcap does the same into memory.
 *
 * Used by pcap ports for what goes out, and by tests. Packets gather in one buffer of fixed size that is written out when
 * the next one does not fit, by a synchronous write: a poll loop that never returns to the event loop can use it, and
 * memory stays bounded however fast packets come. Byte order is little-endian, link type Ethernet.
 *
 * Ownership: `write` copies the packet, the caller keeps its buffer. Threads: one. What can be lost: what has been
 * written since the last flush, when the process dies.
 */

import { closeSync, openSync, writeSync } from 'node:fs';
import { PcapError } from './error.ts';
import {
  LINKTYPE_ETHERNET,
  PCAP_HEADER_SIZE,
  PCAP_MAGIC_NS,
  PCAP_MAGIC_US,
  PCAP_RECORD_HEADER_SIZE,
  PCAP_VERSION_MAJOR,
  PCAP_VERSION_MINOR,
  type PcapRecord,
  RECORD_SIZE_MAX,
} from './format.ts';

/** Holds the largest record, so that no packet needs a path of its own. */
const BUFFER_SIZE = RECORD_SIZE_MAX + PCAP_RECORD_HEADER_SIZE;
const NS_PER_SECOND = 1_000_000_000n;
const SECONDS_END = 4294967296n;

export interface PcapWriteOptions {
  /** Unit of the time stamps in the file: 'ns' (the default) or 'us', for readers that know no nanosecond files. */
  precision?: 'ns' | 'us';
  /** Keep at most this many bytes of each packet; the size on the wire is still noted. */
  snapSize?: number;
}

/** Lays records into a buffer that somebody else empties. */
class RecordEncoder {
  readonly bytes: Uint8Array;
  private readonly view: DataView;
  private readonly file: string;
  private readonly nsPerTick: number;
  private readonly snapSize: number;
  used = 0;

  constructor(bytes: Uint8Array, file: string, options: PcapWriteOptions) {
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    this.file = file;
    this.nsPerTick = options.precision === 'us' ? 1000 : 1;
    this.snapSize = options.snapSize ?? RECORD_SIZE_MAX;
    if (!Number.isInteger(this.snapSize) || this.snapSize < 1 || this.snapSize > RECORD_SIZE_MAX) {
      throw new TypeError(`snapSize must be an integer from 1 to ${RECORD_SIZE_MAX}`);
    }
  }

  putHeader(): void {
    const at = this.used;
    this.view.setUint32(at, this.nsPerTick === 1 ? PCAP_MAGIC_NS : PCAP_MAGIC_US, true);
    this.view.setUint16(at + 4, PCAP_VERSION_MAJOR, true);
    this.view.setUint16(at + 6, PCAP_VERSION_MINOR, true);
    this.view.setUint32(at + 8, 0, true);
    this.view.setUint32(at + 12, 0, true);
    this.view.setUint32(at + 16, this.snapSize, true);
    this.view.setUint32(at + 20, LINKTYPE_ETHERNET, true);
    this.used += PCAP_HEADER_SIZE;
  }

  /** Bytes that this packet will take. */
  sizeOf(data: Uint8Array): number {
    return PCAP_RECORD_HEADER_SIZE + Math.min(data.length, this.snapSize);
  }

  putRecord({ timeNs, data, wireSize }: PcapRecord): void {
    if (data.length > RECORD_SIZE_MAX || wireSize < data.length) {
      const what = `cannot hold a packet of ${data.length} bytes (${wireSize} on the wire)`;
      throw new PcapError('ERR_PCAP_RECORD', { file: this.file }, what, `the limit is ${RECORD_SIZE_MAX}`);
    }
    const seconds = timeNs / NS_PER_SECOND;
    if (timeNs < 0n || seconds >= SECONDS_END) {
      throw new PcapError(
        'ERR_PCAP_RECORD',
        { file: this.file },
        `cannot hold the time ${timeNs} ns`,
        'use 1970 to 2106',
      );
    }
    const at = this.used;
    const kept = Math.min(data.length, this.snapSize);
    this.view.setUint32(at, Number(seconds), true);
    this.view.setUint32(at + 4, Math.floor(Number(timeNs % NS_PER_SECOND) / this.nsPerTick), true);
    this.view.setUint32(at + 8, kept, true);
    this.view.setUint32(at + 12, wireSize, true);
    this.bytes.set(kept === data.length ? data : data.subarray(0, kept), at + PCAP_RECORD_HEADER_SIZE);
    this.used += PCAP_RECORD_HEADER_SIZE + kept;
  }
}

export class PcapWriter implements Disposable {
  readonly path: string;
  private readonly fd: number;
  private readonly encoder: RecordEncoder;
  private closed = false;
  private records = 0;

  private constructor(path: string, fd: number, encoder: RecordEncoder) {
    this.path = path;
    this.fd = fd;
    this.encoder = encoder;
    this.encoder.putHeader();
  }

  /** Creates the file, or empties the one that is there. */
  static create(path: string, options: PcapWriteOptions = {}): PcapWriter {
    const encoder = new RecordEncoder(new Uint8Array(BUFFER_SIZE), path, options);
    const fd = attempt(path, 'cannot be created', () => openSync(path, 'w'));
    return new PcapWriter(path, fd, encoder);
  }

  /** Packets taken so far. */
  get recordCount(): number {
    return this.records;
  }

  /** Appends a packet. Throws PcapError for one that the format cannot hold. */
  write(record: PcapRecord): void {
    if (this.closed) throw new TypeError(`${this.path}: write after close`);
    if (this.encoder.used + this.encoder.sizeOf(record.data) > BUFFER_SIZE) this.flush();
    this.encoder.putRecord(record);
    this.records += 1;
  }

  /** Hands everything taken so far to the operating system. */
  flush(): void {
    const { bytes, used } = this.encoder;
    this.encoder.used = 0;
    let done = 0;
    while (done < used) {
      const from = done;
      done += attempt(this.path, 'cannot be written', () => writeSync(this.fd, bytes, from, used - from));
    }
  }

  /** Writes what is left and closes the file. May be called twice. */
  close(): void {
    if (this.closed) return;
    this.closed = true;
    try {
      this.flush();
    } finally {
      closeSync(this.fd);
    }
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

/** A whole pcap file as bytes. */
export function encodePcap(records: readonly PcapRecord[], options: PcapWriteOptions = {}): Uint8Array {
  let size = PCAP_HEADER_SIZE;
  for (const record of records) size += PCAP_RECORD_HEADER_SIZE + record.data.length;
  const encoder = new RecordEncoder(new Uint8Array(size), 'capture', options);
  encoder.putHeader();
  for (const record of records) encoder.putRecord(record);
  return encoder.bytes.subarray(0, encoder.used);
}

function attempt<T>(path: string, what: string, operation: () => T): T {
  try {
    return operation();
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new PcapError('ERR_PCAP_FILE', { file: path }, `${what}: ${reason}`, '', error);
  }
}
