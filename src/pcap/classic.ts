/*
 * The classic pcap format: a 24-byte file header, then records of a 16-byte header and the packet.
 *
 * Comes after the decoder has recognised the magic; hands records back to it. Both byte orders, micro- and nanoseconds.
 * Holds no memory of its own: a record's data is a view over the decoder's window. One thread.
 */

import type { FileContext, FormatParser } from './decoder.ts';
import {
  LINKTYPE_ETHERNET,
  linkTypeText,
  PCAP_FCS_PRESENT,
  PCAP_FCS_SHIFT,
  PCAP_HEADER_SIZE,
  PCAP_LINKTYPE_MASK,
  PCAP_MAGIC_NS,
  PCAP_MAGIC_US,
  PCAP_RECORD_HEADER_SIZE,
  PCAP_VERSION_MAJOR,
  type PcapRecord,
} from './format.ts';
import type { Window } from './window.ts';

/** Whether these first four bytes, read big-endian, open a classic pcap file, and in which byte order. */
export function pcapByteOrder(magic: number): 'big' | 'little' | undefined {
  if (magic === PCAP_MAGIC_US || magic === PCAP_MAGIC_NS) return 'big';
  const swapped = swap32(magic);
  if (swapped === PCAP_MAGIC_US || swapped === PCAP_MAGIC_NS) return 'little';
  return undefined;
}

function swap32(value: number): number {
  return ((value << 24) | ((value & 0xff00) << 8) | ((value >>> 8) & 0xff00) | (value >>> 24)) >>> 0;
}

export class ClassicParser implements FormatParser {
  readonly format = 'pcap';
  private readonly context: FileContext;
  private headerSeen = false;
  private nsPerTick = 1000;
  private fcsSize = 0;

  constructor(context: FileContext) {
    this.context = context;
  }

  get ready(): boolean {
    return this.headerSeen;
  }

  next(window: Window, out: PcapRecord[]): boolean {
    return this.headerSeen ? this.parseRecord(window, out) : this.parseHeader(window);
  }

  describePartial(): string {
    return this.headerSeen ? 'the file ends inside a record' : 'the file ends inside the file header';
  }

  private parseHeader(window: Window): boolean {
    if (window.available < PCAP_HEADER_SIZE) return false;
    this.nsPerTick = window.u32(0) === PCAP_MAGIC_NS ? 1 : 1000;
    const major = window.u16(4);
    if (major !== PCAP_VERSION_MAJOR) {
      throw this.context.error('ERR_PCAP_MAGIC', 4, `pcap version ${major}.${window.u16(6)} is not known, only 2.x`);
    }
    const network = window.u32(20);
    const linkType = network & PCAP_LINKTYPE_MASK;
    if (linkType !== LINKTYPE_ETHERNET) {
      const what = `link type ${linkTypeText(linkType)}, only ${linkTypeText(LINKTYPE_ETHERNET)} Ethernet is read`;
      throw this.context.error('ERR_PCAP_LINK_TYPE', 20, what, 'record on an Ethernet interface');
    }
    this.fcsSize = (network & PCAP_FCS_PRESENT) !== 0 ? (network >>> PCAP_FCS_SHIFT) * 2 : 0;
    this.headerSeen = true;
    window.skip(PCAP_HEADER_SIZE);
    return true;
  }

  private parseRecord(window: Window, out: PcapRecord[]): boolean {
    if (window.available < PCAP_RECORD_HEADER_SIZE) return false;
    const capturedSize = window.u32(8);
    const wireSize = this.context.checkSizes(8, capturedSize, window.u32(12));
    if (window.available < PCAP_RECORD_HEADER_SIZE + capturedSize) return false;
    const timeNs = BigInt(window.u32(0)) * 1_000_000_000n + BigInt(window.u32(4) * this.nsPerTick);
    const data = window.slice(PCAP_RECORD_HEADER_SIZE, capturedSize);
    out.push(withoutFcs({ timeNs, wireSize, data }, this.fcsSize));
    window.skip(PCAP_RECORD_HEADER_SIZE + capturedSize);
    return true;
  }
}

/** The record without the frame check sequence that the capture kept at the end of each packet. */
export function withoutFcs(record: PcapRecord, fcsSize: number): PcapRecord {
  if (fcsSize === 0) return record;
  const wireSize = Math.max(record.wireSize - fcsSize, 0);
  return { timeNs: record.timeNs, wireSize, data: record.data.subarray(0, wireSize) };
}
