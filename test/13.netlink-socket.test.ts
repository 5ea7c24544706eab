/*
 * NetlinkSocket by hand: sending, receiving, groups, credentials, threads, typed errors; against a scripted peer in python and against the
 * kernel.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { RECEIVE_GROUP, RECEIVE_OFFSET, RECEIVE_ROW_WORDS, RECEIVE_SIZE } from '../src/native/netlink.ts';
import * as K from '../src/netlink/constants.ts';
import { MessageCursor, NetlinkSocket } from '../src/netlink/index.ts';
import { describeNetlink as describe, NetlinkPeer, request, thrown } from './support/netlink-peer.ts';

const TYPE = 0x20;
let peer: NetlinkPeer;
beforeAll(async () => {
  peer = await NetlinkPeer.start();
});
afterAll(() => peer.stop());
beforeEach(() => peer.rules([]));

const connect = (options: object = {}): NetlinkSocket =>
  NetlinkSocket.open(K.NETLINK_USERSOCK, { peer: peer.port, ...options });
const listen = (options: object = {}): NetlinkSocket => connect({ peer: -1, ...options });

describe('by hand', () => {
  it('send writes the header, and the answer carries it back', async () => {
    using socket = connect();
    const message = request(TYPE, [1, 2, 3, 4], K.NLM_F_REQUEST);
    const sequence = socket.send(message);
    expect(socket.wait(5000)).toBe(true);
    const datagram = socket.receive()!;
    expect(datagram).toMatchObject({ portId: peer.port, group: 0, nsid: -1, pid: -1, uid: -1 });
    const cursor = new MessageCursor(datagram.bytes);
    expect(cursor.next()).toBe(true);
    expect([cursor.isError, cursor.errno(), cursor.seq, cursor.portId]).toEqual([true, 0, sequence, socket.portId]);
    expect(await peer.log()).toMatchObject([{ seq: sequence, pid: socket.portId, type: TYPE, size: 20 }]);
    expect(socket.receive()).toBeUndefined();
    socket.sendSequence(message, 4242);
    expect(socket.receive({ timeoutMs: 60_000 })).toBeDefined();
    expect((await peer.log())[1].seq).toBe(4242);
  });

  it('an unconnected socket says to whom', async () => {
    using socket = listen();
    socket.send(request(TYPE), { to: peer.port });
    expect(socket.receive({ timeoutMs: 60_000 })).toMatchObject({ portId: peer.port });
  });

  it('credentials come from the kernel', async () => {
    using socket = connect({ passCredentials: true });
    socket.send(request(TYPE));
    const { pid, uid } = socket.receive({ timeoutMs: 60_000 })!;
    expect(uid).toBe(process.getuid!());
    expect(pid).toBeGreaterThan(1);
    expect(pid).not.toBe(process.pid);
  });

  it('a datagram is taken whole, or cut where it was asked to be', async () => {
    await peer.always({ msg: TYPE, fill: 100_000 });
    using socket = connect();
    socket.send(request(TYPE));
    expect(socket.receive({ timeoutMs: 60_000 })!.bytes.length).toBe(100_016);
    socket.send(request(TYPE));
    const cut = socket.receive({ timeoutMs: 60_000, sizeMax: 40 })!;
    expect([cut.bytes.length, cut.truncatedSize]).toEqual([40, 100_016]);
  });

  it('readable resolves, times out by signal, and rejects when the socket is closed', async () => {
    await peer.always({ sleep: 30 }, { ack: 0 });
    const socket = connect();
    socket.send(request(TYPE));
    await Promise.all([socket.readable(), socket.readable()]);
    expect(socket.receive()).toBeDefined();
    await expect(socket.readable(AbortSignal.timeout(20))).rejects.toMatchObject({ code: 'ERR_NETLINK_TIMEOUT' });
    const waiting = socket.readable();
    socket.close();
    await expect(waiting).rejects.toMatchObject({ code: 'ERR_NETLINK_CLOSED' });
  });

  it('drain discards', async () => {
    await peer.always({ msg: TYPE }, { msg: TYPE }, { msg: TYPE });
    using socket = connect();
    socket.send(request(TYPE));
    await peer.log();
    expect(socket.drain()).toBe(3);
    expect(socket.receive()).toBeUndefined();
  });
});

describe('groups', () => {
  it('are joined, left, and kept by a clone', async () => {
    using socket = listen();
    socket.join(11);
    using clone = socket.clone();
    expect(clone.portId).not.toBe(socket.portId);
    await peer.cast(11);
    expect(socket.receive()).toBeDefined();
    expect(clone.receive()).toBeDefined();
    socket.leave(11);
    await peer.cast(11);
    expect(socket.receive()).toBeUndefined();
    expect(clone.receive()).toBeDefined();
  });

  it('an overrun is told once, and what was queued is there', async () => {
    using socket = listen({ receiveBufferSize: 8192 });
    socket.join(12);
    await peer.cast(12, { count: 200, size: 1000 });
    expect(thrown(() => socket.receive())).toMatchObject({ code: 'ERR_NETLINK_OVERRUN', errno: 105 });
    const numbers = [];
    for (let one = socket.receive(); one !== undefined; one = socket.receive()) numbers.push(one.bytes[16]);
    expect(numbers.length).toBeGreaterThan(1);
    expect(numbers).toEqual(Array.from(numbers, (_, i) => i));
    expect(socket.statistics().overruns).toBe(1);
    await peer.cast(12);
    expect(socket.receive()).toBeDefined();
  });

  it('many notifications are received at once into memory of the caller', async () => {
    using socket = listen();
    socket.join(13);
    await peer.cast(13, { count: 5, size: 8 });
    const view = new Uint8Array(new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true }).buffer);
    const rows = new Int32Array(8 * RECEIVE_ROW_WORDS);
    expect(socket.receiveInto(view, 1024, 64, 8, rows, 0)).toBe(5);
    for (let i = 0; i < 5; i++) {
      const row = rows.subarray(i * RECEIVE_ROW_WORDS);
      expect([row[RECEIVE_OFFSET], row[RECEIVE_SIZE], row[RECEIVE_GROUP]]).toEqual([1024 + 64 * i, 24, 13]);
      expect(view[1024 + 64 * i + 16]).toBe(i);
    }
    expect(socket.receiveInto(view, 0, 64, 8, rows, 0)).toBe(0);
  });
});

describe('typed errors', () => {
  it.each([
    ['no such protocol', () => NetlinkSocket.open(31), { code: 'ERR_NETLINK_PROTOCOL', errno: 93 }],
    ['a protocol that cannot be', () => NetlinkSocket.open(32), { name: 'RangeError' }],
    ['a port id that is taken', () => listen({ portId: peer.port }), { code: 'ERR_NETLINK_SYSTEM', errno: 98 }],
    ['a group that does not exist', () => withSocket((s) => s.join(5000)), { code: 'ERR_NETLINK_NO_SUCH_GROUP' }],
    ['group 0', () => withSocket((s) => s.join(0)), { name: 'RangeError' }],
    ['a message without a header', () => withSocket((s) => s.send(new Uint8Array(12))), { name: 'RangeError' }],
    [
      'a message too large',
      () => withSocket((s) => s.sendRaw(new Uint8Array(8 << 20))),
      { code: 'ERR_NETLINK_TOO_LARGE' },
    ],
  ])('%s', (_, call, expected) => {
    expect(thrown(call)).toMatchObject(expected);
  });

  it('a closed socket refuses everything, and closing twice is nothing', () => {
    const socket = connect();
    socket.close();
    socket.close();
    expect(socket.closed).toBe(true);
    const calls: (() => unknown)[] = [
      () => socket.send(request(TYPE)),
      () => socket.sendRaw(request(TYPE)),
      () => socket.receive(),
      () => socket.receiveInto(new Uint8Array(64), 0, 64, 1, new Int32Array(8), 0),
      () => socket.wait(0),
      () => socket.drain(),
      () => socket.join(1),
      () => socket.leave(1),
      () => socket.share(),
      () => socket.clone(),
      () => socket.portId,
      () => socket.fd,
      () => socket.transact(request(TYPE)),
      () => socket.dump(request(TYPE)),
    ];
    for (const call of calls) expect(thrown(call), String(call)).toMatchObject({ code: 'ERR_NETLINK_CLOSED' });
    expect(socket.statistics().sent).toBe(0);
  });

  it('no privilege', () => {
    const { status, stdout, stderr } = spawnSync(
      'setpriv',
      ['--bounding-set=-all', '--inh-caps=-all', process.execPath, UNPRIVILEGED],
      { encoding: 'utf8' },
    );
    expect([status, stderr]).toEqual([0, '']);
    expect(JSON.parse(stdout)).toEqual({
      transact: ['ERR_NETLINK_PERMISSION', 1],
      join: ['ERR_NETLINK_PERMISSION', 1],
      listenAllNamespaces: ['ERR_NETLINK_PERMISSION', 1],
      read: 'ok',
    });
  });
});

const UNPRIVILEGED = fileURLToPath(new URL('support/netlink-unprivileged.mjs', import.meta.url));

function withSocket(use: (socket: NetlinkSocket) => void): void {
  using socket = connect();
  use(socket);
}

interface ReaderResult {
  numbers: number[];
  code: string;
}

describe('threads', () => {
  /** A thread that has adopted a socket; `result`: each datagram's number, and what ended it. */
  async function reader(handle: unknown): Promise<{ result: Promise<ReaderResult> }> {
    const worker = new Worker(new URL('support/netlink-reader.mjs', import.meta.url), { workerData: handle as object });
    await once(worker, 'message');
    return { result: once(worker, 'message').then(([message]) => message as ReaderResult) };
  }

  it('share a queue: every datagram goes to one of them, and closing wakes them', async () => {
    const socket = listen();
    socket.join(14);
    const readers = await Promise.all([reader(socket.share()), reader(socket.share())]);
    for (let i = 0; i < 10; i++) {
      await peer.cast(14, { count: 20 });
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    const own = [];
    for (let one = socket.receive(); one !== undefined; one = socket.receive()) own.push(one.bytes[16]);
    await new Promise((resolve) => setTimeout(resolve, 50));
    socket.close();
    const results = await Promise.all(readers.map((one) => one.result));
    const all = [...own, ...results.flatMap((one) => one.numbers)].sort((a, b) => a - b);
    expect(all).toEqual(Array.from({ length: 200 }, (_, i) => Math.floor(i / 10)));
    for (const { code } of results) expect(code).toBe('ERR_NETLINK_CLOSED');
  });
});

describe('the event loop', () => {
  it('idle sockets do not keep the process alive, one that is awaited does', () => {
    const program = fileURLToPath(new URL('support/netlink-idle.mjs', import.meta.url));
    expect(execFileSync(process.execPath, [program], { encoding: 'utf8', timeout: 600_000 })).toBe('awaited, idle\n');
  });
});
