/*
 * The pcapng format: a chain of blocks, each `type, total length, body, total length again`.
 *
 * Comes after the decoder has recognised a Section Header Block; hands records back to it. Sections may follow each other
 * in either byte order; each has its own list of interfaces with their own clock resolution and offset. Enhanced, Simple
 * and the obsolete Packet Block are packets; every other block is stepped over. Holds no packet memory. One thread.
 */

import { withoutFcs } from './classic.ts';
import type { FileContext, FormatParser } from './decoder.ts';
import {
  BLOCK_INTERFACE,
  BLOCK_OVERHEAD,
  BLOCK_PACKET_ENHANCED,
  BLOCK_PACKET_OBSOLETE,
  BLOCK_PACKET_SIMPLE,
  BLOCK_SECTION,
  BLOCK_SIZE_MAX,
  BYTE_ORDER_MAGIC,
  INTERFACES_MAX,
  LINKTYPE_ETHERNET,
  linkTypeText,
  OPTION_END,
  OPTION_IF_FCSLEN,
  OPTION_IF_TSOFFSET,
  OPTION_IF_TSRESOL,
  type PcapRecord,
  TSRESOL_DEFAULT,
} from './format.ts';
import type { Window } from './window.ts';

/** What one Interface Description Block says. */
interface CaptureInterface {
  snapSize: number;
  resolution: number;
  offsetNs: bigint;
  fcsSize: number;
}

/** Enhanced and obsolete Packet Block hold these at the same places; only the interface id differs in size. */
const PACKET_INTERFACE = 8;
const PACKET_TIME = 12;
const PACKET_CAPTURED_SIZE = 20;
const PACKET_WIRE_SIZE = 24;
const PACKET_DATA = 28;

export class PcapngParser implements FormatParser {
  readonly format = 'pcapng';
  private readonly context: FileContext;
  private interfaces: CaptureInterface[] = [];
  private interfaceSeen = false;
  private sectionSeen = false;

  constructor(context: FileContext) {
    this.context = context;
  }

  get ready(): boolean {
    return this.interfaceSeen;
  }

  next(window: Window, out: PcapRecord[]): boolean {
    if (window.available < BLOCK_OVERHEAD) return false;
    if (window.u32(0) === BLOCK_SECTION) this.readByteOrder(window);
    const type = window.u32(0);
    const size = this.blockSize(window);
    if (window.available < size) return false;
    if (window.u32(size - 4) !== size) {
      const what = `a block of ${size} bytes whose length is repeated as ${window.u32(size - 4)}`;
      throw this.context.error('ERR_PCAP_RECORD', size - 4, what, 'the file is damaged here');
    }
    this.parseBlock(type, size, window, out);
    window.skip(size);
    return true;
  }

  describePartial(): string {
    if (!this.sectionSeen) return 'the file ends inside its section header';
    return this.interfaceSeen ? 'the file ends inside a block' : 'the file ends before its first interface description';
  }

  /** A section header says by its byte-order magic how to read everything up to the next one. */
  private readByteOrder(window: Window): void {
    const magic = window.u32BigEndian(8);
    if (magic === BYTE_ORDER_MAGIC) window.littleEndian = false;
    else if (magic === 0x4d3c2b1a) window.littleEndian = true;
    else {
      const what = `a section header with byte-order magic ${magic.toString(16).padStart(8, '0')}`;
      throw this.context.error('ERR_PCAP_MAGIC', 8, what, 'the file is damaged here');
    }
  }

  private blockSize(window: Window): number {
    const size = window.u32(4);
    if (size < BLOCK_OVERHEAD || size % 4 !== 0 || size > BLOCK_SIZE_MAX) {
      const what = `a block length of ${size}, it must be a multiple of 4 from ${BLOCK_OVERHEAD} to ${BLOCK_SIZE_MAX}`;
      throw this.context.error('ERR_PCAP_RECORD', 4, what, 'the file is damaged here');
    }
    return size;
  }

  private parseBlock(type: number, size: number, window: Window, out: PcapRecord[]): void {
    switch (type) {
      case BLOCK_SECTION:
        return this.parseSection(size, window);
      case BLOCK_INTERFACE:
        return this.parseInterface(size, window);
      case BLOCK_PACKET_ENHANCED:
        out.push(this.parsePacket(window.u32(PACKET_INTERFACE), size, window));
        return;
      case BLOCK_PACKET_OBSOLETE:
        out.push(this.parsePacket(window.u16(PACKET_INTERFACE), size, window));
        return;
      case BLOCK_PACKET_SIMPLE:
        out.push(this.parseSimplePacket(size, window));
        return;
      default:
        return;
    }
  }

  private parseSection(size: number, window: Window): void {
    this.needSize(size, 28, 'section header');
    const major = window.u16(12);
    if (major !== 1) {
      const what = `pcapng version ${major}.${window.u16(14)} is not known, only 1.x`;
      throw this.context.error('ERR_PCAP_MAGIC', 12, what);
    }
    this.sectionSeen = true;
    this.interfaces = [];
  }

  private parseInterface(size: number, window: Window): void {
    this.needSize(size, 20, 'interface description');
    const linkType = window.u16(8);
    const index = this.interfaces.length;
    if (linkType !== LINKTYPE_ETHERNET) {
      const what = `interface ${index} has link type ${linkTypeText(linkType)}, only ${LINKTYPE_ETHERNET} (Ethernet) is read`;
      throw this.context.error('ERR_PCAP_LINK_TYPE', 8, what, 'record on Ethernet interfaces only');
    }
    if (index >= INTERFACES_MAX) {
      throw this.context.error('ERR_PCAP_RECORD', 0, `more than ${INTERFACES_MAX} interfaces in a section`);
    }
    const entry = { snapSize: window.u32(12), resolution: TSRESOL_DEFAULT, offsetNs: 0n, fcsSize: 0 };
    this.parseInterfaceOptions(entry, size - 4, window);
    this.interfaces.push(entry);
    this.interfaceSeen = true;
  }

  private parseInterfaceOptions(entry: CaptureInterface, end: number, window: Window): void {
    let at = 16;
    while (at + 4 <= end) {
      const code = window.u16(at);
      const size = window.u16(at + 2);
      if (code === OPTION_END) return;
      if (at + 4 + size > end) {
        throw this.context.error('ERR_PCAP_RECORD', at, `option ${code} of ${size} bytes is longer than its block`);
      }
      if (code === OPTION_IF_TSRESOL && size === 1) entry.resolution = window.u8(at + 4);
      if (code === OPTION_IF_TSOFFSET && size === 8) entry.offsetNs = window.i64(at + 4) * 1_000_000_000n;
      if (code === OPTION_IF_FCSLEN && size === 1) entry.fcsSize = window.u8(at + 4);
      at += 4 + padded(size);
    }
  }

  private parsePacket(interfaceId: number, size: number, window: Window): PcapRecord {
    this.needSize(size, PACKET_DATA + 4, 'packet block');
    const entry = this.interfaceOf(interfaceId);
    const capturedSize = window.u32(PACKET_CAPTURED_SIZE);
    this.needData(size, PACKET_DATA, capturedSize);
    const wireSize = this.context.checkSizes(PACKET_CAPTURED_SIZE, capturedSize, window.u32(PACKET_WIRE_SIZE));
    const ticks = (BigInt(window.u32(PACKET_TIME)) << 32n) | BigInt(window.u32(PACKET_TIME + 4));
    const timeNs = ticksToNs(ticks, entry.resolution) + entry.offsetNs;
    return withoutFcs({ timeNs, wireSize, data: window.slice(PACKET_DATA, capturedSize) }, entry.fcsSize);
  }

  /** A Simple Packet Block belongs to the first interface, has no time, and is cut to that interface's snap length. */
  private parseSimplePacket(size: number, window: Window): PcapRecord {
    this.needSize(size, 16, 'packet block');
    const entry = this.interfaceOf(0);
    const wireSize = window.u32(8);
    const capturedSize = entry.snapSize === 0 ? wireSize : Math.min(wireSize, entry.snapSize);
    this.needData(size, 12, capturedSize);
    this.context.checkSizes(8, capturedSize, wireSize);
    return withoutFcs({ timeNs: 0n, wireSize, data: window.slice(12, capturedSize) }, entry.fcsSize);
  }

  private interfaceOf(id: number): CaptureInterface {
    const entry = this.interfaces[id];
    if (entry !== undefined) return entry;
    const what = `a packet of interface ${id}, but only ${this.interfaces.length} are described`;
    throw this.context.error('ERR_PCAP_RECORD', PACKET_INTERFACE, what, 'the file is damaged here');
  }

  private needSize(size: number, least: number, what: string): void {
    if (size >= least) return;
    throw this.context.error('ERR_PCAP_RECORD', 4, `a ${what} of ${size} bytes, it needs at least ${least}`);
  }

  private needData(size: number, dataAt: number, capturedSize: number): void {
    if (dataAt + capturedSize + 4 <= size) return;
    const what = `a packet of ${capturedSize} bytes in a block of ${size}`;
    throw this.context.error('ERR_PCAP_RECORD', dataAt, what, 'the file is damaged here');
  }
}

function padded(size: number): number {
  return (size + 3) & ~3;
}

/** if_tsresol: the high bit chooses powers of two over powers of ten, the other bits are the negative exponent. */
function ticksToNs(ticks: bigint, resolution: number): bigint {
  const exponent = BigInt(resolution & 0x7f);
  if ((resolution & 0x80) !== 0) return (ticks * 1_000_000_000n) >> exponent;
  return exponent <= 9n ? ticks * 10n ** (9n - exponent) : ticks / 10n ** (exponent - 9n);
}
