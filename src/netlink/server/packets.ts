/*
 * Packet queues: the way of upcalls from a server to the sockets of its clients. A queue is a client's socket, by its port id (a vport's
 * UPCALL_PID), and an account of what was sent to it and what was lost.
 *
 * Before it: a packet family, with a message such as OVS_PACKET_CMD_MISS. After it: the client's socket buffer, which is the queue itself: nothing
 * is kept here. As in the kernel, a packet that finds no room is dropped and counted (n_lost), and the other queues do not notice. A
 * queue is made at the first subscription, and let go when it is unsubscribed or when its socket is gone.
 *
 * Ownership: `send` reads the caller's bytes during the call only; they may lie in WASM memory. Threads: the server's.
 */
import { constants } from 'node:os';

const { EAGAIN, ENOBUFS } = constants.errno;

/** Sends without waiting. Returns 0 or -errno. */
type Transmit = (bytes: Uint8Array<ArrayBufferLike>, portId: number) => number;

export class PacketQueue {
  readonly portId: number;
  /** Messages sent. */
  sent = 0;
  /** Messages dropped since the client's buffer was full. */
  overruns = 0;
  /** Messages dropped for other reasons: the queue is closed, the message is too large. */
  failed = 0;
  /** Called once when the socket was found to be gone. */
  onGone: (() => void) | undefined;
  inode: number | undefined;
  readonly #transmit: Transmit;
  readonly #gone: (queue: PacketQueue) => void;
  #closed = false;

  constructor(portId: number, transmit: Transmit, gone: (queue: PacketQueue) => void) {
    this.portId = portId;
    this.#transmit = transmit;
    this.#gone = gone;
  }

  /** The queue was released: whatever is sent is lost. */
  get closed(): boolean {
    return this.#closed;
  }

  /** Sends one message; false when it was dropped. */
  send(message: Uint8Array<ArrayBufferLike>): boolean {
    const errno = this.#closed ? -1 : -this.#transmit(message, this.portId);
    if (errno === 0) this.sent++;
    else if (errno === EAGAIN || errno === ENOBUFS) this.overruns++;
    else this.failed++;
    if (errno === constants.errno.ECONNREFUSED) this.#gone(this);
    return errno === 0;
  }

  close(): void {
    this.#closed = true;
  }
}

export class PacketQueues {
  readonly #transmit: Transmit;
  readonly #queues = new Map<number, PacketQueue>();

  constructor(transmit: Transmit) {
    this.#transmit = transmit;
  }

  get count(): number {
    return this.#queues.size;
  }

  /** The queue of a socket; the same for each call until it is released. */
  subscribe(portId: number): PacketQueue {
    if (!Number.isInteger(portId) || portId < 1 || portId > 0xffffffff) throw new RangeError(`${portId} is no port id`);
    let queue = this.#queues.get(portId);
    if (queue === undefined) {
      queue = new PacketQueue(portId, this.#transmit, (gone) => this.#release(gone));
      this.#queues.set(portId, queue);
    }
    return queue;
  }

  unsubscribe(portId: number): void {
    this.#queues.get(portId)?.close();
    this.#queues.delete(portId);
  }

  /** Releases the queues whose sockets are not among these (inode by port id), or are others by now. */
  sweep(sockets: ReadonlyMap<number, number>): void {
    for (const queue of this.#queues.values()) {
      const inode = sockets.get(queue.portId);
      if (inode === undefined || (queue.inode !== undefined && queue.inode !== inode)) this.#release(queue);
      else queue.inode = inode;
    }
  }

  close(): void {
    for (const portId of this.#queues.keys()) this.unsubscribe(portId);
  }

  #release(queue: PacketQueue): void {
    if (this.#queues.get(queue.portId) !== queue) return;
    this.unsubscribe(queue.portId);
    queue.onGone?.();
  }
}
