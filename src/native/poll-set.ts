/*
 * What the addon offers for receiving from many sockets at once, as TypeScript sees it. native/poll-set*.cc is the other side.
 *
 * A set knows Netlink sockets by their descriptors and gives each its turn: a few datagrams, then the next socket, so that one with thousands of them
 * delays the others by one turn. Datagrams go where the caller's slots say, into WASM memory say. Errors and threads: as in netlink.ts; several sets may
 * hold the same socket, and one of them is woken for each datagram.
 */
import type { ByteView } from './netlink.ts';

/** Words of a slot: where a datagram goes. What is longer than SIZE runs on into the tail, if TAIL_SIZE is not 0. Offsets count from the view. */
export const SLOT_WORDS = 4;
export const SLOT_OFFSET = 0;
export const SLOT_SIZE = 1;
export const SLOT_TAIL = 2;
export const SLOT_TAIL_SIZE = 3;

/** Words of a row: what came. Slots are filled in their order. */
export const ROW_WORDS = 4;
/** Which slot; -1: the socket was full, and the kernel dropped messages. */
export const ROW_SLOT = 0;
/** Bytes that the datagram had. */
export const ROW_SIZE = 1;
/** Of the socket. */
export const ROW_TAG = 2;
/** 1: the datagram did not fit its slot. */
export const ROW_TRUNCATED = 3;

/** Slots of one call. */
export const SLOTS_MAX = 64;

export interface NativePollSet {
  /** Watches a socket; `tag` (0 to 2^31 - 1) is what rows call it. 0, or -errno: -EEXIST it is there. */
  add(fd: number, tag: number): number;
  /** To be called before the socket is closed. */
  remove(fd: number): number;
  /** Receives what is there into up to `count` slots, without waiting. How many rows, or -errno. */
  receive(view: ByteView, slots: Int32Array, count: number, rows: Int32Array): number;
  /** Waits until there is something: 1, 0 after `timeoutMs` (-1: no limit), or -errno. */
  wait(timeoutMs: number): number;
  /** Calls back on the event loop while there is something; replaces what was watched before. 0, or -errno. */
  watch(callback: () => void): number;
  unwatch(): void;
  /** Whether a watched set keeps the process alive; it does by default. */
  ref(): void;
  unref(): void;
  /** Idempotent; the sockets stay. */
  close(): void;
}

export type NativePollSetClass = new () => NativePollSet;
