/*
 * PcapDecoder: bytes of a capture file in, packets out, for files read piece by piece and for bytes in memory alike.
 *
 * Comes before the reader (files) and readPcap (memory). It recognises the format by the first four bytes and leaves the
 * rest to that format's parser; what one parser may ask of the decoder is FileContext.
 *
 * Ownership: a chunk that was pushed belongs to the decoder; records are views over it. Threads: one. What can be lost:
 * nothing; the records before an error are handed out first, the error comes with the next call.
 */

import { ClassicParser, pcapByteOrder } from './classic.ts';
import { PcapError, type PcapErrorCode } from './error.ts';
import {
  BLOCK_SECTION,
  describeMagic,
  type PcapFormat,
  type PcapReadOptions,
  type PcapRecord,
  RECORD_SIZE_MAX,
} from './format.ts';
import { PcapngParser } from './pcapng.ts';
import { Window } from './window.ts';

/** The parser of one format. */
export interface FormatParser {
  readonly format: PcapFormat;
  /** The link type is known, so packets may follow. */
  readonly ready: boolean;
  /** Handles one header, block or record; false when more bytes are needed. Leaves the window alone in that case. */
  next(window: Window, out: PcapRecord[]): boolean;
  /** What the file ends inside of, when it ends with the window not empty or the parser not ready. */
  describePartial(): string;
}

/** What the parsers get from the decoder. */
export interface FileContext {
  /** An error at `at` bytes from the current place of the window. */
  error(code: PcapErrorCode, at: number, what: string, mend?: string): PcapError;
  /** The size on the wire to report for these two sizes of a record, or an error when they cannot be true. */
  checkSizes(at: number, capturedSize: number, wireSize: number): number;
}

export class PcapDecoder implements FileContext {
  private readonly window = new Window();
  private readonly file: string;
  private readonly lenient: boolean;
  private parser: FormatParser | undefined;
  private failure: PcapError | undefined;
  private recordCount = 0;
  private empty = true;

  constructor(file: string, options: PcapReadOptions = {}) {
    this.file = file;
    this.lenient = options.lenient ?? false;
  }

  get format(): PcapFormat | undefined {
    return this.parser?.format;
  }

  /** The headers have been read. */
  get ready(): boolean {
    return this.parser?.ready ?? false;
  }

  /** Takes the next bytes of the file and returns the packets completed by them. Throws what an earlier call found. */
  push(chunk: Uint8Array): PcapRecord[] {
    if (this.failure !== undefined) throw this.failure;
    if (chunk.length > 0) this.empty = false;
    this.window.append(chunk);
    return this.decode();
  }

  /** The file has no more bytes: says whether that was a good place to end. */
  end(): void {
    if (this.failure !== undefined) throw this.failure;
    if (this.empty) {
      throw this.error('ERR_PCAP_EMPTY', 0, 'the file is empty', 'record it again');
    }
    if (this.window.available === 0 && this.ready) return;
    if (this.lenient && this.ready) return;
    const what = this.parser?.describePartial() ?? 'the file ends inside its first four bytes';
    throw this.error('ERR_PCAP_TRUNCATED', 0, what, this.ready ? 'read it as lenient to use the packets before' : '');
  }

  error(code: PcapErrorCode, at: number, what: string, mend = ''): PcapError {
    const place = { file: this.file, offset: this.window.offset + at, recordCount: this.recordCount };
    return new PcapError(code, place, what, mend);
  }

  checkSizes(at: number, capturedSize: number, wireSize: number): number {
    if (capturedSize > RECORD_SIZE_MAX) {
      const what = `a packet of ${capturedSize} bytes, the limit is ${RECORD_SIZE_MAX}`;
      throw this.error('ERR_PCAP_RECORD', at, what, 'the file is damaged here');
    }
    if (wireSize >= capturedSize) return wireSize;
    if (this.lenient) return capturedSize;
    const what = `a packet of ${capturedSize} bytes that claims to have had only ${wireSize} on the wire`;
    throw this.error('ERR_PCAP_RECORD', at, what, 'read it as lenient to believe the captured size');
  }

  private decode(): PcapRecord[] {
    const before = this.recordCount;
    const out: PcapRecord[] = [];
    try {
      this.parser ??= this.recognise();
      while (this.parser?.next(this.window, out)) this.recordCount = before + out.length;
    } catch (error) {
      if (!(error instanceof PcapError) || out.length === 0) throw error;
      this.failure = error;
    }
    return out;
  }

  private recognise(): FormatParser | undefined {
    if (this.window.available < 4) return undefined;
    const magic = this.window.u32BigEndian(0);
    if (magic === BLOCK_SECTION) return new PcapngParser(this);
    const order = pcapByteOrder(magic);
    if (order === undefined) {
      const { what, mend } = describeMagic(magic);
      throw this.error('ERR_PCAP_MAGIC', 0, what, mend);
    }
    this.window.littleEndian = order === 'little';
    return new ClassicParser(this);
  }
}
