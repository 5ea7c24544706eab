/*
 * Numbers of the two capture file formats, and the names used in error messages.
 *
 * Sources: draft-ietf-opsawg-pcap and draft-ietf-opsawg-pcapng; https://www.tcpdump.org/linktypes.html. Used by decoders
 * and writer. Constants only.
 */

/** One packet of a capture. */
export interface PcapRecord {
  /** Nanoseconds since 1970; 0 when the file does not say (a pcapng Simple Packet Block). */
  timeNs: bigint;
  /** Bytes that the packet had on the wire; more than `data.length` when the capture was cut. */
  wireSize: number;
  /** The bytes kept. A view over the buffer that was read; it stays valid, that buffer is never used again. */
  data: Uint8Array;
}

/** Options of everything that reads a capture. */
export interface PcapReadOptions {
  /** A file cut in mid-record ends there without an error, and a wire size below the captured size is lifted to it. */
  lenient?: boolean;
}

export type PcapFormat = 'pcap' | 'pcapng';

/** Most bytes of one packet; tcpdump's own limit (MAXIMUM_SNAPLEN). */
export const RECORD_SIZE_MAX = 262144;
/** Most bytes of one pcapng block: what a whole packet with all its options could need, many times over. */
export const BLOCK_SIZE_MAX = 16777216;
/** Most interfaces of one pcapng section. */
export const INTERFACES_MAX = 65536;

export const LINKTYPE_ETHERNET = 1;

// ------------------------------------------------------------------------------------------------- pcap

export const PCAP_MAGIC_US = 0xa1b2c3d4;
export const PCAP_MAGIC_NS = 0xa1b23c4d;
export const PCAP_HEADER_SIZE = 24;
export const PCAP_RECORD_HEADER_SIZE = 16;
export const PCAP_VERSION_MAJOR = 2;
export const PCAP_VERSION_MINOR = 4;
/** Link type field: the low 16 bits are the type; bit 26 says that bits 28-31 count the 16-bit words of the FCS. */
export const PCAP_LINKTYPE_MASK = 0xffff;
export const PCAP_FCS_PRESENT = 0x04000000;
export const PCAP_FCS_SHIFT = 28;

// ------------------------------------------------------------------------------------------------- pcapng

export const BLOCK_SECTION = 0x0a0d0d0a;
export const BLOCK_INTERFACE = 1;
export const BLOCK_PACKET_OBSOLETE = 2;
export const BLOCK_PACKET_SIMPLE = 3;
export const BLOCK_PACKET_ENHANCED = 6;
export const BYTE_ORDER_MAGIC = 0x1a2b3c4d;
/** Type and total length before the body, total length again after it. */
export const BLOCK_OVERHEAD = 12;
export const OPTION_END = 0;
export const OPTION_IF_TSRESOL = 9;
export const OPTION_IF_FCSLEN = 13;
export const OPTION_IF_TSOFFSET = 14;
/** if_tsresol when the option is absent: microseconds. */
export const TSRESOL_DEFAULT = 6;

/** First bytes (as a big-endian number) of files that are something else, with what to do about each. */
const FOREIGN_MAGICS: readonly { magic: number; mask: number; name: string; mend: string }[] = [
  { magic: 0xa1b2cd34, mask: 0xffffffff, name: "a 'modified' pcap file", mend: 'editcap' },
  { magic: 0x34cdb2a1, mask: 0xffffffff, name: "a 'modified' pcap file", mend: 'editcap' },
  { magic: 0x1c0001ac, mask: 0xffffffff, name: 'an IXIA hardware capture', mend: 'editcap' },
  { magic: 0xac01001c, mask: 0xffffffff, name: 'an IXIA hardware capture', mend: 'editcap' },
  { magic: 0x1c0001ab, mask: 0xffffffff, name: 'an IXIA software capture', mend: 'editcap' },
  { magic: 0xab01001c, mask: 0xffffffff, name: 'an IXIA software capture', mend: 'editcap' },
  { magic: 0x736e6f6f, mask: 0xffffffff, name: 'a snoop capture', mend: 'editcap' },
  { magic: 0x1f8b0000, mask: 0xffff0000, name: 'a gzip file', mend: 'gunzip' },
  { magic: 0x28b52ffd, mask: 0xffffffff, name: 'a zstd file', mend: 'unzstd' },
  { magic: 0x04224d18, mask: 0xffffffff, name: 'an lz4 file', mend: 'unlz4' },
  { magic: 0xfd377a58, mask: 0xffffffff, name: 'an xz file', mend: 'unxz' },
];

/** What a file with these first four bytes is, and how to mend it, in words. */
export function describeMagic(magic: number): { what: string; mend: string } {
  const found = FOREIGN_MAGICS.find((each) => (magic & each.mask) >>> 0 === each.magic);
  if (found === undefined) {
    const hex = magic.toString(16).padStart(8, '0');
    return { what: `not a pcap or pcapng file (it starts with ${hex})`, mend: '' };
  }
  const mend =
    found.mend === 'editcap' ? 'convert it with: editcap -F pcap OLD NEW' : `unpack it first with ${found.mend}`;
  return { what: `${found.name}, which is not read here`, mend };
}

const LINKTYPE_NAMES: Readonly<Record<number, string>> = {
  0: 'NULL',
  6: 'IEEE802_5',
  8: 'SLIP',
  9: 'PPP',
  10: 'FDDI',
  50: 'PPP_HDLC',
  51: 'PPP_ETHER',
  101: 'RAW',
  104: 'C_HDLC',
  105: 'IEEE802_11',
  107: 'FRELAY',
  108: 'LOOP',
  113: 'LINUX_SLL',
  117: 'PFLOG',
  119: 'IEEE802_11_PRISM',
  127: 'IEEE802_11_RADIOTAP',
  147: 'USER0',
  187: 'BLUETOOTH_HCI_H4',
  189: 'USB_LINUX',
  192: 'PPI',
  195: 'IEEE802_15_4_WITHFCS',
  220: 'USB_LINUX_MMAPPED',
  227: 'CAN_SOCKETCAN',
  228: 'IPV4',
  229: 'IPV6',
  239: 'NFLOG',
  249: 'USBPCAP',
  253: 'NETLINK',
  276: 'LINUX_SLL2',
};

/** `113 (LINUX_SLL)`, or the bare number when it has no name here. */
export function linkTypeText(linkType: number): string {
  const name = LINKTYPE_NAMES[linkType];
  return name === undefined ? String(linkType) : `${linkType} (${name})`;
}
