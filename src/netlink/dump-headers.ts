/*
 * DumpHeaders: how much of a datagram is the table of a dump and nothing else, which nearly all of it is. Headers are read a word at a time, and no object is made of a
 * message, because a table has many. Before it: dump.ts, which reads the rest of the datagram by a cursor. Ownership: it keeps a view of the last buffer. Threads: one.
 */
import type { ByteView } from '../native/netlink.ts';
import { NLM_F_DUMP_INTR, NLMSG_HDRLEN, NLMSG_MIN_TYPE } from './constants.ts';

/** In the word that type and flags of a message are. */
const INTERRUPTED = NLM_F_DUMP_INTR << 16;
const TYPE = 0xffff;

export class DumpHeaders {
  private words: Int32Array = new Int32Array(0);

  /** Bytes of the messages of the table that the `size` bytes of a datagram begin with: up to the first that is another one, or not whole, or interrupted. */
  tableSize(buffer: ByteView, size: number, sequence: number): number {
    if ((buffer.byteOffset & 3) !== 0) return 0;
    const { words } = this;
    const length = buffer.length >>> 2;
    if (words.buffer !== buffer.buffer || words.byteOffset !== buffer.byteOffset || words.length !== length)
      this.words = new Int32Array(buffer.buffer, buffer.byteOffset, length);
    return measure(this.words, size, sequence | 0);
  }
}

function measure(words: Int32Array, size: number, sequence: number): number {
  let at = 0;
  while (size - at >= NLMSG_HDRLEN) {
    const word = at >>> 2;
    const messageSize = words[word];
    if (messageSize < NLMSG_HDRLEN || messageSize > size - at || (messageSize & 3) !== 0) break;
    const typeAndFlags = words[word + 1];
    if ((typeAndFlags & TYPE) < NLMSG_MIN_TYPE || (typeAndFlags & INTERRUPTED) !== 0) break;
    if (words[word + 2] !== sequence) break;
    at += messageSize;
  }
  return at;
}
