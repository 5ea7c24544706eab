/*
 * What the addon offers for Netlink, as TypeScript sees it. native/netlink-*.cc is the other side; src/netlink/ is the only user.
 *
 * The shim moves datagrams and matches replies; it reads nothing of a message but nlmsghdr and the errno of NLMSG_ERROR. Bytes are always
 * given as a typed-array view with an offset and a size, so that a view of shared WASM memory serves as well as any other.
 *
 * Errors. A call answers with a number: 0 or more when it is done, a negative errno when not. Arguments of the wrong type throw TypeError.
 * Threads. An object belongs to the thread that made it. `share` hands the same socket to another thread, which adopts it. `close` by any of
 * them ends it for all: who waits or receives gets -ECANCELED; the end of a thread or a collected object does not. A thread that is terminated
 * in a call that waits leaves it within 100 ms.
 */
export type ByteView = Uint8Array<ArrayBufferLike>;

// ------------------------------------------------------------------------------------------------ one received datagram: a row of words

/** Words of an Int32Array that describe one received datagram. */
export const RECEIVE_ROW_WORDS = 8;
/** Where it begins in the view. */
export const RECEIVE_OFFSET = 0;
/** Its bytes; with RECEIVE_TRUNCATED what it had, of which only the slot's size is there. */
export const RECEIVE_SIZE = 1;
export const RECEIVE_FLAGS = 2;
/** Netlink port id of the sender, 0 the kernel; `>>> 0` makes it unsigned. */
export const RECEIVE_PORT_ID = 3;
/** Multicast group that it was sent to, 0 unicast. Told to sockets that joined a group by `setOption`. */
export const RECEIVE_GROUP = 4;
/** Namespace id of the sender with NETLINK_LISTEN_ALL_NSID, -1 the own one. */
export const RECEIVE_NSID = 5;
/** Credentials that the kernel vouches for (SO_PASSCRED): process id and user id of the sender; -1 where not asked for. */
export const RECEIVE_PID = 6;
export const RECEIVE_UID = 7;

export const RECEIVE_TRUNCATED = 1;

// ------------------------------------------------------------------------------------------------ one transaction: a row of words

export const TRANSACTION_ROW_WORDS = 4;
/** 0 done, a positive errno when refused, EINPROGRESS (115) while it is under way. */
export const TRANSACTION_ERRNO = 0;
/** Where its reply begins in the reply view: whole messages, aligned to 4; of a refused one its NLMSG_ERROR message. */
export const TRANSACTION_OFFSET = 1;
/** Bytes of the reply, 0 none. */
export const TRANSACTION_SIZE = 2;
export const TRANSACTION_FLAGS = 3;

/** The reply did not fit the reply view (SIZE says what it needed) or its datagram was cut; the transaction itself has its errno. */
export const TRANSACTION_OVERFLOW = 1;
/** Sent more than once, after an overrun. */
export const TRANSACTION_RESENT = 2;

/** Options of a batch. */
export const CONFIRM_EACH = 0;
/**
 * Ask for an acknowledgement of the last request of each datagram only: errors come anyway, and the kernel answers in order. About twice as
 * fast; only sound towards the kernel.
 */
export const CONFIRM_LAST = 1;

export interface NativeNetlinkOptions {
  readonly protocol: number;
  /** Own port id; 0: the kernel chooses. */
  readonly portId?: number;
  /** Port id that the socket is connected to: 0 (default) the kernel; -1: not connected, it hears everybody. */
  readonly peer?: number;
  /** Bytes of the receive buffer; forced past the limit of the system where allowed. Default 1 MiB. */
  readonly receiveBufferSize?: number;
}

/** What another thread needs to use the same socket; a plain object of numbers that can be posted. Adopt it exactly once. */
export interface NativeSocketHandle {
  readonly fd: number;
  readonly wakeFd: number;
  readonly protocol: number;
  readonly portId: number;
  readonly peer: number;
}

export interface NativeNetlinkStatistics {
  sent: number;
  received: number;
  /** ENOBUFS: the receive buffer was full and the kernel dropped messages. */
  overruns: number;
  truncated: number;
  /** Datagrams from another sender than the peer, ignored by transactions. */
  foreign: number;
  /** Replies with a sequence number that nobody waits for. */
  stale: number;
  /** Datagrams with a message whose length lies: it and what follows it is ignored by transactions. */
  malformed: number;
  /** Requests sent again after an overrun. */
  resent: number;
}

export interface NativeNetlinkSocket {
  readonly fd: number;
  readonly portId: number;
  readonly protocol: number;
  readonly peer: number;
  /** What the kernel granted, as SO_RCVBUF tells it (it doubles what was asked for). */
  readonly receiveBufferSize: number;
  readonly closed: boolean;

  /** setsockopt(SOL_NETLINK, option, value): NETLINK_EXT_ACK and the like; groups with NETLINK_ADD_MEMBERSHIP. */
  setOption(option: number, value: number): number;
  /** SO_PASSCRED: deliver the sender's credentials. */
  passCredentials(on: boolean): number;
  /** Forces SO_RCVBUF; returns what was granted, or -errno. */
  setReceiveBuffer(size: number): number;

  /** Takes `count` (>= 1) sequence numbers in a row; never 0, and they start again at 1 before 2^31. `setSequence` serves tests. */
  allocateSequence(count: number): number;
  setSequence(next: number): void;

  /**
   * Sends the bytes as one datagram, as they are, to the peer; or to `portId` and `groups` (bitmap) on a socket that is not connected.
   * Waits at most `timeoutMs` for room (0: not at all, -1: as long as it takes). Returns 0 or -errno (-EAGAIN no room). What goes to groups
   * without a port id goes to the kernel, too; that a protocol has no kernel side to take that copy is not an error.
   */
  send(view: ByteView, offset: number, size: number, timeoutMs: number, portId?: number, groups?: number): number;

  /**
   * recvmmsg: up to `count` datagrams (64 a call), the i-th into `view` at offset + i * slotSize, described by row i of `rows`. Waits at most `timeoutMs`
   * for the first (0: not at all, -1: until there is one or the socket is closed). Returns how many, 0 none, or -errno: -ENOBUFS overrun,
   * -ECANCELED closed by another thread, -EBADF closed.
   */
  receive(view: ByteView, offset: number, slotSize: number, count: number, rows: Int32Array, timeoutMs: number): number;
  /** Size of the next datagram without taking it, or -errno (-EAGAIN none). */
  peekSize(): number;
  /** Discards what is there, at most a receive buffer's worth. Returns how many datagrams. */
  drain(): number;
  /** Waits until there is something to receive. 1, 0 after `timeoutMs`, or -errno as receive. */
  wait(timeoutMs: number): number;
  /** Calls back on the event loop while there is something to receive; replaces what was watched before. */
  watch(callback: () => void): number;
  unwatch(): void;
  /** Whether a watched socket keeps the process alive; it does by default. */
  ref(): void;
  unref(): void;

  /**
   * Begins to transact the messages in `requests` [0, size): each nlmsghdr is followed by the next at NLMSG_ALIGN(nlmsg_len). The shim writes
   * nlmsg_seq, nlmsg_pid and the flags NLM_F_REQUEST and NLM_F_ACK (by `confirm`) into them. Row i of `rows` is the i-th request's.
   * `batchSize` and `batchCount` limit what goes into one datagram (0: the defaults). Returns the number of requests, or -errno before
   * anything was sent: -EINVAL malformed, -EMSGSIZE a request over the limit (what the send buffer lets through, 212,960 bytes by default),
   * -ENOSPC more requests than rows, -EBUSY one is under way, -ENOTCONN a socket without a peer.
   */
  beginTransactions(
    requests: ByteView,
    size: number,
    rows: Int32Array,
    confirm: number,
    batchSize: number,
    batchCount: number,
  ): number;
  /**
   * Goes on with them, with the same views, waiting at most `timeoutMs` in total for what is outstanding (0: not at all). Returns 0 when all
   * are decided, -EAGAIN when some are still under way, or the -errno that was fatal to the socket and is in all rows that were left. The
   * kernel has answered when a call returns; a peer in user space may have no room for the next request, which nothing announces, so call
   * again after readiness or a millisecond. -EINVAL (a view is smaller than it was) changes nothing.
   */
  continueTransactions(requests: ByteView, replies: ByteView, rows: Int32Array, timeoutMs: number): number;
  /** Gives up those that are under way: their rows get ECANCELED. Late replies are stale from now on. */
  cancelTransactions(rows: Int32Array): void;

  /**
   * Fills frames of a ring of struct nl_mmap_hdr frames in `view` from the socket, beginning at frame `start`, as long as they are UNUSED and
   * at most `count`. A datagram that does not fit becomes a frame of status COPY with its whole length, and stays for the next `receive`.
   * Returns how many frames, or -errno as receive.
   */
  fillRing(view: ByteView, offset: number, frameSize: number, frameCount: number, start: number, count: number): number;
  /**
   * NETLINK_RX_RING or NETLINK_TX_RING (`option`), mapped over `view` at `offset` (page-aligned address). Linux 3.10-4.5 only: -ENOPROTOOPT on
   * others, and the caller uses fillRing.
   */
  mapRing(
    option: number,
    view: ByteView,
    offset: number,
    blockSize: number,
    blockCount: number,
    frameSize: number,
  ): number;
  /** Puts ordinary memory where a ring was. */
  unmapRings(): void;

  /** A handle for another thread, or -errno. Its descriptors are open until it is adopted. */
  share(): NativeSocketHandle | number;
  statistics(): NativeNetlinkStatistics;
  /** Idempotent. Whoever waits on the same socket in another thread gets -ECANCELED. */
  close(): void;
}

export interface NativeNetlinkSocketClass {
  /** Returns the socket, or a negative errno (-EPROTONOSUPPORT no such protocol, -EADDRINUSE the port id is taken). */
  open(options: NativeNetlinkOptions): NativeNetlinkSocket | number;
  /** Takes over a handle made by `share`. */
  adopt(handle: NativeSocketHandle): NativeNetlinkSocket | number;
}
