/*
 * UpcallReceiver: the upcalls of one handler, from sockets into a ring of frames in WASM memory. Before it: upcall-sockets.ts, whose sockets the kernel sends to.
 * After it: whoever takes frames from the ring (src/upcall/dispatcher.ts, or SystemUpcalls.recv).
 *
 * Concepts. The addon asks epoll which sockets have something and gives each its turn; datagrams go straight into the frames that the ring has free, and are read there
 * by WASM (assembly/upcall/import.ts). When the ring is full the rest waits in the sockets, and when a socket is full the kernel drops what is for it, and only that:
 * an overrun, which is counted by the socket's tag.
 *
 * Ownership: the ring is that of worker slot `handler` of the memory; the memory and the sockets are the caller's. Threads: the memory's owner.
 */
import * as C from '../../../assembly/constants.ts';
import { nativeAddon } from '../../native/load.ts';
import type { ByteView } from '../../native/netlink.ts';
import { type NativePollSet, ROW_SLOT, ROW_TAG, ROW_WORDS, SLOT_WORDS, SLOTS_MAX } from '../../native/poll-set.ts';
import { closedError, systemError } from '../../netlink/errors.ts';
import type { NetlinkSocket } from '../../netlink/socket.ts';
import { tellTime } from '../../wasm/clock.ts';
import type { DatapathMemory } from '../../wasm/memory.ts';

/** An overrun takes a row and no slot. */
const ROWS_MAX = 2 * SLOTS_MAX;

export interface ReceiverOptions {
  /** Id of ovs_packet: other messages are strangers. */
  family: number;
  dpIfindex: number;
  /** Told of each overrun. */
  onOverrun: (tag: number) => void;
}

export class UpcallReceiver {
  readonly handler: number;
  /** Upcalls that came into the ring, and messages that were no upcalls of the datapath. */
  received = 0;
  strangers = 0;
  /** The ring was full the last time: the sockets may have more. */
  full = false;
  readonly #memory: DatapathMemory;
  readonly #options: ReceiverOptions;
  readonly #set: NativePollSet;
  readonly #slots: number;
  readonly #rows: number;
  readonly #work: number;
  readonly #slotWords: Int32Array<ArrayBufferLike>;
  readonly #rowWords: Int32Array<ArrayBufferLike>;

  constructor(memory: DatapathMemory, handler: number, options: ReceiverOptions) {
    const addon = nativeAddon();
    if (addon === undefined) throw closedError('upcall receive');
    this.handler = handler;
    this.#memory = memory;
    this.#options = options;
    this.#set = new addon.PollSet();
    this.#slots = memory.allocate(SLOTS_MAX * C.IMPORT_SLOT_SIZEOF, 'receiving upcalls');
    this.#rows = memory.allocate(ROWS_MAX * C.IMPORT_ROW_SIZEOF, 'receiving upcalls');
    this.#work = memory.allocate(C.KEY_SIZE + C.MATCH_SIZEOF, 'receiving upcalls');
    this.#slotWords = words(memory, this.#slots, SLOTS_MAX * SLOT_WORDS);
    this.#rowWords = words(memory, this.#rows, ROWS_MAX * ROW_WORDS);
  }

  /** Receives from this socket too; overruns are told with `tag`. */
  add(socket: NetlinkSocket, tag: number): void {
    const result = this.#set.add(socket.fd, tag);
    if (result < 0) throw systemError(-result, 'upcall receive');
  }

  /** Before the socket is closed. */
  remove(socket: NetlinkSocket): void {
    if (!socket.closed) this.#set.remove(socket.fd);
  }

  /** Receives what is there, as far as the ring has room. Returns how many upcalls came. */
  receive(): number {
    tellTime(this.#memory, this.#memory.workerArea(0));
    let total = 0;
    for (;;) {
      const { received, more } = this.#receiveSome();
      total += received;
      if (!more) break;
    }
    this.received += total;
    return total;
  }

  #receiveSome(): { received: number; more: boolean } {
    const { wasm, bytes } = this.#memory;
    const slots = wasm.importSlots(this.handler, SLOTS_MAX, this.#slots);
    this.full = slots === 0;
    if (slots === 0) return { received: 0, more: false };
    const rows = this.#set.receive(bytes as ByteView, this.#slotWords, slots, this.#rowWords);
    if (rows < 0) throw systemError(-rows, 'upcall receive');
    const { family, dpIfindex } = this.#options;
    const received = wasm.importUpcalls(this.handler, this.#rows, rows, family, dpIfindex, this.#work);
    let datagrams = 0;
    for (let row = 0; row < rows * ROW_WORDS; row += ROW_WORDS) {
      if (this.#rowWords[row + ROW_SLOT] >= 0) datagrams++;
      else this.#options.onOverrun(this.#rowWords[row + ROW_TAG]);
    }
    this.strangers += datagrams - received;
    return { received, more: datagrams === slots || datagrams < rows };
  }

  /** Calls back on the event loop while there is something to receive. */
  watch(ready: () => void): void {
    const result = this.#set.watch(ready);
    if (result < 0) throw systemError(-result, 'upcall receive');
  }

  unwatch(): void {
    this.#set.unwatch();
  }

  /** Idempotent. */
  close(): void {
    this.#set.close();
  }
}

function words(memory: DatapathMemory, address: number, count: number): Int32Array<ArrayBufferLike> {
  return memory.int32.subarray(address >>> 2, (address >>> 2) + count);
}
