/*
 * The addon's side of real interfaces: sockets with rings inside the datapath's memory, and the system calls of a thread that polls. Implemented
 * by native/io-object.cc. Numbers that come back are 0 or more, or a negative errno.
 */
import type { ByteView } from './netlink.ts';

export interface NativePacketOptions {
  readonly ifindex: number;
  /** 0: the socket only sends. Default 1. */
  readonly receives?: 0 | 1;
  /** PACKET_RESERVE: more bytes in front of each frame of the ring. */
  readonly reserve?: number;
  readonly promiscuous?: 0 | 1;
  /** PACKET_FANOUT: id of the group (-1 none) and PACKET_FANOUT_*. */
  readonly fanoutGroup?: number;
  readonly fanoutMode?: number;
  /** Bytes; forced past the limit of the system where allowed. */
  readonly receiveBufferSize?: number;
  readonly sendBufferSize?: number;
  /** The receive ring; without blocks there is none, and the pump receives. */
  readonly blockSize?: number;
  readonly blockCount?: number;
  readonly frameSize?: number;
}

/** An AF_PACKET socket. One thread at a time; its descriptor may be used by others. */
export interface NativePacketSocket {
  /**
   * Opens it and maps its ring over `view` from `offset` on (a page-aligned address). Returns 0 or -errno; then `operation` is what was refused.
   * Opening again closes what was open.
   */
  open(options: NativePacketOptions, view: ByteView, offset: number): number;
  readonly fd: number;
  readonly operation: string;
  /** Id of its group (PACKET_FANOUT), or -errno. */
  readonly fanoutGroup: number;
  /** Packets since it was opened: seen by the kernel for this socket, the lost ones included, and lost. */
  counts(): { packets: number; drops: number };
  /** Puts ordinary memory where the ring was. Only when no thread looks at it any more. */
  close(): void;
}

export interface NativeXdpOptions {
  readonly ifindex: number;
  /** Queue of the interface. Default 0. */
  readonly queue?: number;
  /** XDP_COPY 2, XDP_ZEROCOPY 4, XDP_USE_NEED_WAKEUP 8. */
  readonly flags: number;
  /** Bytes of a frame of the UMEM, 2048 or 4096, and how many there are. */
  readonly frameSize: number;
  readonly frameCount: number;
  /** Entries of the rings, powers of two. */
  readonly fillSize: number;
  readonly completionSize: number;
  /** 0 (default): the socket only sends. */
  readonly rxSize?: number;
  readonly txSize: number;
  readonly sendBufferSize?: number;
}

/** Offsets into the view, page-aligned: the UMEM, and each ring's entries with 4096 bytes more. */
export type NativeXdpPlaces = Record<'umem' | 'fill' | 'completion' | 'rx' | 'tx', number>;

/** Where the parts of a mapped ring are, from its place. */
export type NativeXdpRing = Record<'producer' | 'consumer' | 'flags' | 'entries', number>;

/** An AF_XDP socket. One thread at a time; its descriptor may be used by others. */
export interface NativeXdpSocket {
  /** Opens and binds it, with UMEM and rings in the view. 0 or -errno, then `operation` was refused. */
  open(options: NativeXdpOptions, view: ByteView, places: NativeXdpPlaces): number;
  /** 0 fill, 1 completion, 2 receive, 3 transmit. */
  ring(index: number): NativeXdpRing;
  /** Frames that the kernel lost since it was opened. */
  drops(): number;
  readonly fd: number;
  readonly isZeroCopy: boolean;
  readonly operation: string;
  /** Puts ordinary memory where the rings were. Only when no thread looks at any of it any more. */
  close(): void;
}

/** The XDP program of an interface, which hands frames to AF_XDP sockets by queue. It goes with the process. */
export interface NativeXdpProgram {
  /**
   * `mode`: XDP_FLAGS_SKB_MODE 2 or XDP_FLAGS_DRV_MODE 4. `hot`, and a word of eight bytes for each of the key's: it looks through the hot flows first. 0 or
   * -errno, then `operation` was refused.
   */
  open(ifindex: number, mode: number, queueCount: number, hot?: NativeHotOptions, factors?: ByteView): number;
  setSocket(queue: number, fd: number): number;
  readonly operation: string;
  close(): void;
}

/** What the XDP program of a port has to know of hot flows. */
export interface NativeHotOptions {
  /** Descriptors of the maps: of a NativeHotFlows. */
  readonly values: number;
  readonly devices: number;
  /** HOT_PAIR_BITS, HOT_RECORD_COUNT. */
  readonly pairBits: number;
  readonly recordCount: number;
  readonly portNo: number;
  /** Frames may have their checksum still to be made. */
  readonly isSoft: boolean;
}

/** The tables of hot flows, a BPF array in the datapath's memory, and the interfaces of ports. One thread at a time. */
export interface NativeHotFlows {
  /** Makes the maps, for ports below `portCount`, and maps the array over `size` bytes of `view` from `offset` on. 0 or -errno, then `operation` was refused. */
  open(view: ByteView, offset: number, size: number, portCount: number): number;
  readonly values: number;
  readonly devices: number;
  readonly operation: string;
  /** 0 or -errno. */
  setDevice(portNo: number, ifindex: number): number;
  clearDevice(portNo: number): void;
  /** Puts ordinary memory where the array was. */
  close(): void;
}

/** One queue of a TAP device, which goes with its last queue. */
export interface NativeTapQueue {
  /** Opens a queue of the device, which is made if it is not there; one of several if `isMany`. 0 or -errno, then `operation` was refused. */
  open(name: string, isMany: boolean): number;
  readonly fd: number;
  readonly name: string;
  readonly operation: string;
  close(): void;
}

/** The system calls of one thread that polls. `memory` is a view of all of the datapath's memory. */
export interface NativePump {
  /** Kicks the queues whose addresses stand at `list`: sends, then receives. Returns how many frames were refused. */
  kick(list: number, count: number): number;
}

/** The sleep of the thread that has a worker slot, and the round after it. `prepareSleep` of the module comes first, and says what is waited for. */
export interface NativeSleeper {
  /** Waits at most `limitUs`, and takes a round if something has come. The packets that it received; throws what the module throws. */
  sleep(limitUs: number): number;
  /** Has the event loop watch, which that does not keep running. 0 or -errno. */
  watch(woken: (received: number, thrown?: unknown) => void): number;
  /** From now on the first readiness takes a round and calls back, once, with the packets that it received or what the module threw. */
  arm(): void;
  disarm(): void;
  /** Watches no more. */
  close(): void;
}

/** While it is open: when the thread that made it ends, in whatever way, others are told. */
export interface NativeLifeline {
  /** Nobody is told any more. */
  close(): void;
}

export interface NativeIo {
  readonly PacketSocket: new () => NativePacketSocket;
  readonly XdpSocket: new () => NativeXdpSocket;
  readonly XdpProgram: new () => NativeXdpProgram;
  readonly HotFlows: new () => NativeHotFlows;
  readonly TapQueue: new () => NativeTapQueue;
  readonly Pump: new (memory: ByteView) => NativePump;
  /**
   * `area`: of the worker slot; `poll`: of the calling thread's instance of the module; CLOCK_REALTIME is taken to be so much ahead of CLOCK_MONOTONIC.
   */
  readonly Sleeper: new (
    memory: ByteView,
    area: number,
    poll: (breaths: number) => number,
    realtimeOffsetUs: number,
  ) => NativeSleeper;
  /**
   * At the end of the thread, if the word of `memory` at address `holder` is `id` then: the one at `state` becomes `orphaned`, that at `holder` 0, and the
   * event counter `counter` is written to.
   */
  readonly Lifeline: new (
    memory: ByteView,
    holder: number,
    id: number,
    state: number,
    orphaned: number,
    counter: number,
  ) => NativeLifeline;
  /** An event counter that wakes a sleeping thread: its descriptor, or -errno. */
  openWake(): number;
  wake(fd: number): number;
  /** Waits until it is written to, `timeoutMs` at most, and takes that away. 1, 0 when the time is over, or -errno. */
  awaitWake(fd: number, timeoutMs: number): number;
  closeWake(fd: number): number;
}
