/*
 * PcapError: what every function of this folder throws when a capture file cannot be read or written.
 *
 * Thrown by decoder, reader and writer; the command line prints its message, programs look at `code`. The message names
 * the file, the place (byte offset and record number) and, where there is one, the way to mend it. Plain data, any thread.
 */

export type PcapErrorCode =
  /** The file has no bytes at all. */
  | 'ERR_PCAP_EMPTY'
  /** The first bytes are not those of a pcap or pcapng file that we read, or its version is unknown. */
  | 'ERR_PCAP_MAGIC'
  /** The file ends inside a header, a record or a block. */
  | 'ERR_PCAP_TRUNCATED'
  /** The packets are not Ethernet frames. */
  | 'ERR_PCAP_LINK_TYPE'
  /** A record or block says something that cannot be true, or is beyond a limit. */
  | 'ERR_PCAP_RECORD'
  /** The operating system refused to open, read or write the file; `cause` holds its error. */
  | 'ERR_PCAP_FILE';

/** Where in a capture an error was found. */
export interface PcapPlace {
  /** Name of the file, or what stands for it when the bytes came from memory. */
  file: string;
  /** Bytes from the start of the file. */
  offset?: number;
  /** Number of whole packets before that place. */
  recordCount?: number;
}

export class PcapError extends Error {
  override readonly name = 'PcapError';
  readonly code: PcapErrorCode;
  readonly file: string;
  readonly offset: number | undefined;
  readonly recordCount: number | undefined;

  /** `what` says what is wrong, `mend` what the user can do about it. */
  constructor(code: PcapErrorCode, place: PcapPlace, what: string, mend = '', cause?: unknown) {
    super(`${place.file}${placeText(place)}: ${what}${mend === '' ? '' : `; ${mend}`}`, { cause });
    this.code = code;
    this.file = place.file;
    this.offset = place.offset;
    this.recordCount = place.recordCount;
  }
}

function placeText(place: PcapPlace): string {
  if (place.offset === undefined) return '';
  const after = place.recordCount === undefined ? '' : `, after ${place.recordCount} packets`;
  return ` (at byte ${place.offset}${after})`;
}
