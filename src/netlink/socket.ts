/*
 * NetlinkSocket: the centre of src/netlink. This comment is the manual of the module.
 *
 * Concepts
 * ========
 * Netlink carries datagrams of messages between processes and parts of the kernel. A *protocol* (NETLINK_ROUTE, NETLINK_GENERIC,
 * ...) says which part; a *port id* is the address of one socket within a protocol, 0 being the kernel. A message begins with struct
 * nlmsghdr: length, type, flags, sequence number, sender's port id. There are four ways to use a socket:
 *
 *   transaction   one request, then messages of reply, then an acknowledgement or an error: `transact`. `transactMany` runs a batch of them
 *                 at several times the speed, see transaction.ts.
 *   dump          one request, then a whole table in many datagrams, then NLMSG_DONE: `dump`, see dump.ts.
 *   notification  messages that the kernel or a process sends to a multicast group: `join`, then `receive` or `readable`.
 *   by hand       `send` and `receive` datagrams, for servers and for everything that is none of the above.
 *
 * A transaction is complete when its acknowledgement or its error has come, and for no other reason. That the socket is empty means
 * nothing: a peer may be a process that takes its time. Sequence numbers tie replies to requests. They are never 0, which notifications
 * carry, begin anywhere, since port ids are used again, and go on at 1 after 2^31. Replies with a number that nobody waits for are ignored
 * and counted as stale, messages of another sender than the peer are ignored and counted as foreign.
 *
 * A peer is the kernel unless `peer` says otherwise: a port id of a user-space server, or -1 for a socket that is not connected, hears
 * everybody and addresses each datagram with `to`. Everything works the same towards all of them.
 *
 * Several things at once. A program may ask anything of a socket at any time, and nothing that was asked for is mixed up:
 *   - A dump takes the kernel socket away with it. When the socket is needed meanwhile, a fresh one with the same options is opened and the
 *     dump keeps the old one, to close it at its end; otherwise it is given back.
 *   - A kernel socket that somebody knows is not lent to a dump, which then runs on a clone. Known is one whose port id or descriptor was
 *     asked for or chosen, that joined a group, was shared, is not connected, or was sent or received on by hand. So a port id that was
 *     read once stays what it is, and no notification is ever read by a dump.
 *   - A socket that joined a group, is shared or is not connected transacts on a companion of its own, with another port id: what comes
 *     unasked stays in the socket until it is received.
 *   - While asynchronous transactions are under way, further asynchronous ones wait their turn, dumps run on a clone, and what would read
 *     their replies or wait behind them is refused with ERR_NETLINK_BUSY.
 *
 * Ownership
 * =========
 * A socket owns a file descriptor, now and then two; `close` it, or let `using` do it. Bytes to send are used during the call only (`send`
 * writes their header); a batch is in use until its transactions are decided. What `receive` and `transact` return is a copy. What
 * TransactionBatch.reply and Dump.next return is a view, valid until the next call on the same object. An idle socket does not keep the
 * process alive; one that somebody awaits does.
 *
 * Threads
 * =======
 * A NetlinkSocket belongs to the thread that made it. `share` makes a handle that can be posted; another thread adopts it once and
 * has a NetlinkSocket of its own on the same queue. Any number of threads may then receive, each datagram going to one of them. A thread
 * that blocks in `receive` or `wait` gets ERR_NETLINK_CLOSED when another one closes the socket. Dumps are shared in the same way, see
 * dump.ts.
 *
 * What can be lost
 * ================
 * The kernel never waits for a reader: when the receive buffer (1 MiB unless asked otherwise) is full, messages are
 * dropped, and the next reading tells once (ENOBUFS, an overrun). What that means depends on the use:
 *   - transactions: the answers may be among the dropped, so whatever is undecided is sent again. A request may thus be carried out twice,
 *     and the answer to the second time is what is reported: requests must be idempotent, or their "exists already" be understood. Batches
 *     are cut so small that their acknowledgements fit the buffer, so this is rare.
 *   - dumps: ERR_NETLINK_OVERRUN, or with `retry` the dump starts again.
 *   - notifications: `receive` throws ERR_NETLINK_OVERRUN, what follows is intact, and everything may have changed: dump the state anew.
 * A process that serves as peer and exits is not reported by the kernel either: after a second of silence a peer that is no kernel is sent
 * an NLMSG_NOOP, which a server ignores and which cannot be sent to one that is gone. Everything that waits has a time limit besides.
 *
 * Errors are DatapathErrors with the codes ERR_NETLINK_*; misuse is a TypeError or RangeError before anything is sent.
 */
import { type ByteView, type NativeSocketHandle, RECEIVE_ROW_WORDS } from '../native/netlink.ts';
import { Channel, type ChannelOptions } from './channel.ts';
import {
  MAX_LINKS,
  NETLINK_ADD_MEMBERSHIP,
  NETLINK_DROP_MEMBERSHIP,
  NLMSG_HDRLEN,
  NLMSG_LEN,
  NLMSG_PID,
  NLMSG_SEQ,
} from './constants.ts';
import { type Datagram, takeDatagram } from './datagram.ts';
import { Dump, type DumpOptions } from './dump.ts';
import { busyError, closedError, EAGAIN, systemError, timeoutError } from './errors.ts';
import { NetlinkRing, type RingMemory } from './rings.ts';
import {
  addStatistics,
  channelOptions,
  type NetlinkSocketOptions,
  type NetlinkStatistics,
  noStatistics,
  type ReceiveOptions,
  type SendOptions,
} from './socket-options.ts';
import {
  oneRequest,
  onlyReply,
  REPLY_SIZE,
  runBatch,
  runBatchAsync,
  type TransactAsyncOptions,
  type TransactionBatch,
  type TransactOneOptions,
  type TransactOptions,
} from './transaction.ts';

export class NetlinkSocket implements Disposable {
  private readonly options: ChannelOptions;
  /** Undefined while a dump has it, and until it is needed again. */
  private channel: Channel | undefined;
  /** For the transactions of a socket that hears more than answers. */
  private companion: Channel | undefined;
  private readonly groups = new Set<number>();
  private readonly past = noStatistics();
  private isClosed = false;
  /** Somebody knows it by its port id or descriptor. */
  private known: boolean;
  /** Transactions were given up on it. */
  private soiled = false;
  /** It hears more than the answers to its own requests. */
  private hears: boolean;
  /** Asynchronous transactions under way, and the end of the last one. */
  private underWay = 0;
  private turn: Promise<void> = Promise.resolve();
  private single: TransactionBatch | undefined;
  private readonly row = new Int32Array(RECEIVE_ROW_WORDS);

  private constructor(channel: Channel, shared: boolean) {
    this.channel = channel;
    this.options = channel.options;
    this.hears = shared || channel.options.peer < 0;
    this.known = this.hears || channel.options.portId !== 0;
  }

  static open(protocol: number, options: NetlinkSocketOptions = {}): NetlinkSocket {
    if (!Number.isInteger(protocol) || protocol < 0 || protocol >= MAX_LINKS) {
      throw new RangeError(`protocol ${protocol}: 0 to ${MAX_LINKS - 1}`);
    }
    return new NetlinkSocket(Channel.open(channelOptions(protocol, options)), false);
  }

  /** The socket of a handle that `share` made, in another thread; once. */
  static adopt(handle: NativeSocketHandle): NetlinkSocket {
    const { protocol, portId, peer } = handle;
    return new NetlinkSocket(Channel.adopt(handle, channelOptions(protocol, { portId, peer })), true);
  }

  /** A handle of the same socket for another thread. */
  share(): NativeSocketHandle {
    this.hears = true;
    return this.quiet('netlink share').share();
  }

  /** Another socket with the same options and groups, and a port id of its own. */
  clone(): NetlinkSocket {
    const clone = new NetlinkSocket(this.own('netlink clone').clone({ portId: 0 }), false);
    for (const group of this.groups) clone.join(group);
    return clone;
  }

  /** Idempotent. A dump that began here goes on to its end. */
  close(): void {
    if (this.isClosed) return;
    this.isClosed = true;
    for (const channel of [this.channel, this.companion]) if (channel) this.retire(channel);
  }

  [Symbol.dispose](): void {
    this.close();
  }

  get closed(): boolean {
    return this.isClosed;
  }
  get protocol(): number {
    return this.options.protocol;
  }
  get peer(): number {
    return this.options.peer;
  }
  get portId(): number {
    return this.knownOwn('netlink port id').native.portId;
  }
  get fd(): number {
    return this.knownOwn('netlink descriptor').native.fd;
  }
  /** Bytes that the kernel granted, bookkeeping included: twice what was asked for, unless a limit stood against it. */
  get receiveBufferSize(): number {
    return this.own('netlink receive buffer').native.receiveBufferSize;
  }

  /** Counters of this socket since it was opened, ended dumps and its companion included. */
  statistics(): NetlinkStatistics {
    const sum = { ...this.past };
    if (this.isClosed) return sum;
    for (const channel of [this.channel, this.companion]) if (channel) addStatistics(sum, channel.native.statistics());
    return sum;
  }

  /** As good as new: open, nobody knows it, nothing is under way, was given up half-way or waits to be received. */
  get pristine(): boolean {
    if (this.isClosed || this.known || this.soiled || this.underWay > 0) return false;
    return this.channel === undefined || !(this.channel.closed || this.channel.unread);
  }

  join(group: number): void {
    const channel = this.hearing('netlink join');
    channel.setMembership(NETLINK_ADD_MEMBERSHIP, group, 'netlink join');
    this.groups.add(group);
    this.hears = true;
  }

  leave(group: number): void {
    this.hearing('netlink leave').setMembership(NETLINK_DROP_MEMBERSHIP, group, 'netlink leave');
    this.groups.delete(group);
  }

  /** Sends one message; its length, sequence number and port id are written into it. Returns the sequence number. */
  send(message: ByteView, options: SendOptions = {}): number {
    const sequence = this.quiet('netlink send').native.allocateSequence(1);
    this.sendSequence(message, sequence, options);
    return sequence;
  }

  /** The same with a sequence number of the caller's. */
  sendSequence(message: ByteView, sequence: number, options: SendOptions = {}): void {
    if (message.length < NLMSG_HDRLEN) throw new RangeError(`a message of ${message.length} bytes has no header`);
    const header = new DataView(message.buffer, message.byteOffset, NLMSG_HDRLEN);
    header.setUint32(NLMSG_LEN, message.length, true);
    header.setUint32(NLMSG_SEQ, sequence, true);
    header.setUint32(NLMSG_PID, this.portId, true);
    this.sendRaw(message, options);
  }

  /** Sends the bytes as one datagram, as they are. */
  sendRaw(bytes: ByteView, options: SendOptions = {}): void {
    const { timeoutMs = 0, to, groups } = options;
    const result = this.quiet('netlink send').native.send(bytes, 0, bytes.length, timeoutMs, to, groups);
    if (result === -EAGAIN) throw timeoutError('netlink send');
    if (result < 0) throw systemError(-result, 'netlink send');
  }

  /** The next datagram; undefined when there is none in time. Throws ERR_NETLINK_OVERRUN once when some were dropped before it. */
  receive(options: ReceiveOptions = {}): Datagram | undefined {
    const { native } = this.quiet('netlink receive');
    if ((options.timeoutMs ?? 0) !== 0 && !this.wait(options.timeoutMs!)) return undefined;
    return takeDatagram(native, this.row, options.sizeMax ?? Number.POSITIVE_INFINITY);
  }

  /**
   * Up to `count` datagrams into slots of `slotSize` bytes of `view` from `offset` on, described by RECEIVE_ROW_WORDS words each of `rows`.
   * Returns how many, or a negative errno (-ENOBUFS: an overrun, go on; -ECANCELED, -EBADF: closed). Allocates nothing.
   */
  receiveInto(
    view: ByteView,
    offset: number,
    slotSize: number,
    count: number,
    rows: Int32Array,
    timeoutMs: number,
  ): number {
    return this.quiet('netlink receive').native.receive(view, offset, slotSize, count, rows, timeoutMs);
  }

  /** Resolves when there is something to receive. An aborted `signal` rejects with ERR_NETLINK_TIMEOUT, closing with ERR_NETLINK_CLOSED. */
  async readable(signal?: AbortSignal): Promise<void> {
    const channel = this.quiet('netlink wait');
    if (!(await channel.readable(-1, signal))) throw timeoutError('netlink wait', signal?.reason);
  }

  /** Discards what waits to be received; returns how many datagrams. */
  drain(): number {
    const result = this.quiet('netlink drain').native.drain();
    if (result < 0) throw systemError(-result, 'netlink drain');
    return result;
  }

  /** Blocks the thread until there is something to receive: true, or false after `timeoutMs` (-1: no limit). */
  wait(timeoutMs: number): boolean {
    const result = this.quiet('netlink wait').native.wait(timeoutMs);
    if (result < 0) throw systemError(-result, 'netlink wait');
    return result > 0;
  }

  /** A ring of frames in `memory` that this socket receives into. */
  ring(memory: RingMemory): NetlinkRing {
    return new NetlinkRing(this.quiet('netlink ring'), memory);
  }

  /** One transaction, waited for. Returns the messages of the reply, a copy; throws what the peer refused it with. */
  transact(request: Uint8Array, options: TransactOneOptions = {}): Uint8Array {
    const size = options.replySize ?? REPLY_SIZE;
    if (this.single === undefined || this.single.replies.length < size) this.single = oneRequest(options);
    const batch = this.single;
    batch.operation = options.operation ?? 'netlink transaction';
    batch.clear();
    this.transactMany(batch.addMessage(request), options);
    return onlyReply(batch);
  }

  /** The same on the event loop, for peers that are processes. */
  async transactAsync(
    request: Uint8Array,
    options: TransactOneOptions & TransactAsyncOptions = {},
  ): Promise<Uint8Array> {
    const batch = oneRequest(options).addMessage(request);
    await this.transactManyAsync(batch, options);
    return onlyReply(batch);
  }

  /**
   * Runs all requests of the batch and waits for them. Returns how many the peer refused (`batch.errno(i)`); throws when not all could be
   * decided, and then every row says how far it came.
   */
  transactMany(batch: TransactionBatch, options: TransactOptions = {}): number {
    if (this.underWay > 0) throw busyError(batch.operation);
    const channel = this.transactor(batch.operation);
    try {
      runBatch(channel, batch, options);
    } catch (error) {
      this.soiled = true;
      throw error;
    }
    return batch.failures();
  }

  /** The same on the event loop. Several calls run one after the other; the batch is in use until its promise settles. */
  async transactManyAsync(batch: TransactionBatch, options: TransactAsyncOptions = {}): Promise<number> {
    const previous = this.turn;
    let end = (): void => {};
    this.turn = new Promise((resolve) => {
      end = resolve;
    });
    this.underWay++;
    try {
      await previous;
      await runBatchAsync(this.transactor(batch.operation), batch, options);
    } catch (error) {
      this.soiled = true;
      throw error;
    } finally {
      this.underWay--;
      end();
    }
    return batch.failures();
  }

  /** Starts a dump: `request` is a whole message, copied; the flags of a dump are added. */
  dump(request: Uint8Array, options: DumpOptions = {}): Dump {
    const channel = this.lend('netlink dump');
    return Dump.start(channel, request, options, (clean) => this.takeBack(channel, clean));
  }

  private own(operation: string): Channel {
    if (this.isClosed) throw closedError(operation);
    this.channel ??= Channel.open(this.options);
    return this.channel;
  }

  private knownOwn(operation: string): Channel {
    this.known = true;
    return this.own(operation);
  }

  /** For what is done by hand: not while asynchronous transactions read the same queue. */
  private quiet(operation: string): Channel {
    if (this.underWay > 0 && this.companion === undefined) throw busyError(operation);
    return this.knownOwn(operation);
  }

  /** For groups: transactions under way keep the channel that they are on, and notifications come to a fresh one. */
  private hearing(operation: string): Channel {
    if (this.underWay > 0 && this.companion === undefined && !this.known) {
      this.companion = this.own(operation);
      this.channel = undefined;
    }
    return this.quiet(operation);
  }

  private transactor(operation: string): Channel {
    const own = this.own(operation);
    if (this.companion === undefined && this.hears) this.companion = this.aside(own);
    return this.companion ?? own;
  }

  private lend(operation: string): Channel {
    const own = this.own(operation);
    if (!this.pristine) return this.aside(own);
    this.channel = undefined;
    return own;
  }

  /** One beside the socket, that only hears answers. */
  private aside(own: Channel): Channel {
    return own.clone({ portId: 0, peer: own.answerer, listenAllNamespaces: false, passCredentials: false });
  }

  private takeBack(channel: Channel, clean: boolean): void {
    const lent = channel.options === this.options; // and no clone, which may have fewer
    if (clean && lent && !this.isClosed && this.channel === undefined) this.channel = channel;
    else this.retire(channel);
  }

  private retire(channel: Channel): void {
    if (!channel.closed) addStatistics(this.past, channel.native.statistics());
    channel.close();
  }
}
