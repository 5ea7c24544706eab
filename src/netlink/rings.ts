/*
 * NetlinkRing: received datagrams as frames of struct nl_mmap_hdr in memory of the caller, WASM memory above all, read without a copy into
 * JavaScript. Before it: NetlinkSocket.ring; the kernel fills the frames where it can (Linux 3.10 to 4.5), elsewhere `fill` has the addon
 * do so. After it: whoever reads the frames in place.
 *
 * Ownership: the caller's memory, for as long as the ring is open; it must not move (a shared WebAssembly.Memory never does). A frame is
 * the producer's while its status is UNUSED; from VALID or COPY on it is the consumer's, until `release` gives the oldest ones back.
 * Threads: the socket's. What can be lost: nothing by the ring: when it is full, datagrams wait in the socket, and what that drops is
 * counted in `overruns`.
 */
import { type ByteView, RECEIVE_ROW_WORDS } from '../native/netlink.ts';
import type { Channel } from './channel.ts';
import { NETLINK_RX_RING } from './constants.ts';
import { EAGAIN, ENOBUFS, ENOPROTOOPT, systemError } from './errors.ts';

/** struct nl_mmap_hdr of linux/netlink.h (gone from the kernel since 4.6): words, each u32. */
export const NL_MMAP_HDRLEN = 24;
const NM_STATUS = 0;
const NM_LEN = 1;
const NM_GROUP = 2;
const NM_PID = 3;
const NM_UID = 4;

// enum nl_mmap_status
export const NL_MMAP_STATUS_UNUSED = 0;
export const NL_MMAP_STATUS_RESERVED = 1;
export const NL_MMAP_STATUS_VALID = 2;
export const NL_MMAP_STATUS_COPY = 3;
export const NL_MMAP_STATUS_SKIP = 4;

export interface RingMemory {
  readonly view: ByteView;
  /** Of the first frame in the view; for a kernel ring its address must be page-aligned. */
  readonly offset: number;
  /** Bytes of a frame with its header; a multiple of 4. */
  readonly frameSize: number;
  readonly frameCount: number;
}

export class NetlinkRing implements Disposable {
  /** Whether the kernel fills it. */
  readonly kernel: boolean;
  /** How often the kernel dropped datagrams because the socket's queue was full. */
  overruns = 0;
  private readonly channel: Channel;
  private readonly memory: RingMemory;
  private readonly words: Int32Array;
  /** Counts of frames since the beginning: filled, read, given back. */
  private filled = 0;
  private read = 0;
  private released = 0;
  /** What a frame was too small for. */
  private copy: Uint8Array | undefined;
  private readonly row = new Int32Array(RECEIVE_ROW_WORDS);

  /** Clears the memory and makes it a ring. */
  constructor(channel: Channel, memory: RingMemory) {
    const { view, offset, frameSize, frameCount } = memory;
    if (!(frameSize > NL_MMAP_HDRLEN && frameSize % 4 === 0)) throw new RangeError(`frames of ${frameSize} bytes`);
    if (!(frameCount >= 1 && offset >= 0 && offset + frameSize * frameCount <= view.length)) {
      throw new RangeError(`${frameCount} frames of ${frameSize} bytes do not fit the memory`);
    }
    if ((view.byteOffset + offset) % 4 !== 0) throw new RangeError('frames must be aligned to 4 bytes');
    this.channel = channel;
    this.memory = memory;
    this.words = new Int32Array(view.buffer, view.byteOffset + offset, (frameSize * frameCount) / 4);
    this.words.fill(0);
    const size = frameSize * frameCount;
    const result = channel.native.mapRing(NETLINK_RX_RING, view, offset, size, 1, frameSize);
    if (result < 0 && result !== -ENOPROTOOPT) throw systemError(-result, 'netlink ring');
    this.kernel = result >= 0;
  }

  /** Receives what is there into free frames; returns how many. The kernel's ring needs none of it. */
  fill(): number {
    if (this.kernel) return 0;
    const { view, offset, frameSize, frameCount } = this.memory;
    let total = 0;
    for (;;) {
      const free = frameCount - (this.filled - this.released);
      if (free === 0) return total;
      const start = this.filled % frameCount;
      const count = this.channel.native.fillRing(view, offset, frameSize, frameCount, start, free);
      if (count === -ENOBUFS) this.overruns++;
      else if (count === 0 || count === -EAGAIN) return total;
      else if (count < 0) throw systemError(-count, 'netlink ring');
      else {
        this.filled += count;
        total += count;
      }
    }
  }

  /** Goes to the next frame that is filled; false when there is none. The frames before it stay the caller's until `release`. */
  next(): boolean {
    if (this.read - this.released === this.memory.frameCount) return false;
    for (;;) {
      this.copy = undefined;
      const status = Atomics.load(this.words, this.word(this.read, NM_STATUS));
      if (status === NL_MMAP_STATUS_UNUSED || status === NL_MMAP_STATUS_RESERVED) return false;
      this.read++;
      if (status === NL_MMAP_STATUS_COPY) this.receiveCopy();
      if (status !== NL_MMAP_STATUS_SKIP) return true;
    }
  }

  /** Where the current frame's datagram begins in the view; -1 when it did not fit its frame, and only `bytes` has it. */
  get offset(): number {
    if (this.copy !== undefined) return -1;
    return this.memory.offset + ((this.read - 1) % this.memory.frameCount) * this.memory.frameSize + NL_MMAP_HDRLEN;
  }

  get size(): number {
    return this.header(NM_LEN);
  }

  /** The datagram: a view, valid until its frame is given back. */
  get bytes(): ByteView {
    return this.copy ?? this.memory.view.subarray(this.offset, this.offset + this.size);
  }

  get group(): number {
    return this.header(NM_GROUP);
  }

  /** Process and user of the sender with `passCredentials`. */
  get pid(): number {
    return this.header(NM_PID);
  }
  get uid(): number {
    return this.header(NM_UID);
  }

  /** Gives the oldest `count` frames that were read back to the producer; by default all of them. */
  release(count = this.read - this.released): void {
    if (!(count >= 0 && count <= this.read - this.released)) throw new RangeError(`${count} frames were not read`);
    for (const end = this.released + count; this.released < end; this.released++) {
      Atomics.store(this.words, this.word(this.released, NM_STATUS), NL_MMAP_STATUS_UNUSED);
    }
  }

  /** Idempotent. The memory is the caller's again; the socket goes on without a ring. */
  close(): void {
    if (this.kernel && !this.channel.closed) this.channel.native.unmapRings();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  private receiveCopy(): void {
    const copy = new Uint8Array(this.size);
    const count = this.channel.native.receive(copy, 0, copy.length, 1, this.row, 0);
    if (count < 0) throw systemError(-count, 'netlink ring');
    this.copy = copy;
  }

  private header(field: number): number {
    if (this.read === 0) throw new RangeError('no frame was read');
    return this.words[this.word(this.read - 1, field)];
  }

  private word(frame: number, field: number): number {
    return ((frame % this.memory.frameCount) * this.memory.frameSize) / 4 + field;
  }
}
