/*
 * Transactions, against a scripted peer in python (test/support/netlink-peer.py) that does what a kernel rarely does, and against the
 * kernel.
 */
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import * as K from '../src/netlink/constants.ts';
import { MessageCursor, NetlinkSocket, type NetlinkSocketOptions, TransactionBatch } from '../src/netlink/index.ts';
import { describeNetlink as describe, hex, NetlinkPeer, request, thrown } from './support/netlink-peer.ts';

const TYPE = 0x20;
const REPLY = 0x21;
const ENOENT = 2;
const EINVAL = 22;
const ECONNREFUSED = 111;
const ETIMEDOUT = 110;

let peer: NetlinkPeer;
beforeAll(async () => {
  peer = await NetlinkPeer.start();
});
afterAll(() => peer.stop());
beforeEach(() => peer.rules([]));

function connect(options: NetlinkSocketOptions = {}): NetlinkSocket {
  return NetlinkSocket.open(K.NETLINK_USERSOCK, { peer: peer.port, ...options });
}

function batchOf(count: number, options: ConstructorParameters<typeof TransactionBatch>[0] = {}): TransactionBatch {
  const batch = new TransactionBatch(options);
  for (let i = 0; i < count; i++) batch.addMessage(request(TYPE, [i & 255, i >> 8, 0, 0]));
  return batch;
}

const errnos = (batch: TransactionBatch): number[] => Array.from({ length: batch.count }, (_, i) => batch.errno(i));
const marks = (batch: TransactionBatch): number[] =>
  Array.from({ length: batch.count }, (_, i) => {
    const cursor = new MessageCursor(batch.reply(i));
    return cursor.next() ? cursor.bytes[cursor.payloadOffset] : -1;
  });

/** Both ways to run a batch: blocking the thread, and on the event loop. */
const WAYS = [
  ['blocking', async (s: NetlinkSocket, b: TransactionBatch, o: object = {}) => s.transactMany(b, o)],
  ['asynchronous', (s: NetlinkSocket, b: TransactionBatch, o: object = {}) => s.transactManyAsync(b, o)],
] as const;

describe.each(WAYS)('transactions, %s', (_, run) => {
  it('are complete when they are answered, not when the socket is empty', async () => {
    await peer.always({ sleep: 50 }, { msg: REPLY, payload: 'echo' }, { sleep: 50 }, { ack: 0 });
    using socket = connect();
    const batch = batchOf(3);
    expect(await run(socket, batch)).toBe(0);
    expect(marks(batch)).toEqual([0, 1, 2]);
  });

  it('keep a reply in pieces together, in one datagram or several', async () => {
    await peer.always({ msg: REPLY, payload: '61' }, { pack: [{ msg: REPLY, payload: '62' }, { ack: 0 }] });
    using socket = connect();
    const batch = batchOf(2);
    expect(await run(socket, batch)).toBe(0);
    for (let i = 0; i < 2; i++) {
      const cursor = new MessageCursor(batch.reply(i));
      const letters = [];
      while (cursor.next()) letters.push(cursor.bytes[cursor.payloadOffset]);
      expect(letters).toEqual([0x61, 0x62]);
    }
  });

  it('take answers in any order', async () => {
    await peer.rules([{ do: [{ msg: REPLY, payload: 'echo' }, { ack: 0 }] }], [3, 0, 2, 1]);
    using socket = connect();
    const batch = batchOf(4);
    expect(await run(socket, batch)).toBe(0);
    expect(marks(batch)).toEqual([0, 1, 2, 3]);
    const log = await peer.log();
    expect(new Set(log.map((one) => one.datagram)).size).toBe(1);
  });

  it('go on when one is refused, and say why', async () => {
    await peer.rules([
      { times: 1, do: [{ ack: 0 }] },
      { times: 1, do: [{ ack: EINVAL, text: 'not this one', offs: 16 }] },
      { times: 1, do: [{ ack: ENOENT, text: 'nor this', offs: 16, capped: true }] },
    ]);
    using socket = connect();
    const batch = new TransactionBatch({ operation: 'thing put' });
    for (let i = 0; i < 4; i++) batch.addMessage(request(TYPE, [8, 0, 40 + i, 0x80, 1, 0, 0, 0]));
    expect(await run(socket, batch)).toBe(2);
    expect(errnos(batch)).toEqual([0, EINVAL, ENOENT, 0]);
    expect(batch.error(0)).toBeUndefined();
    expect(batch.error(1)).toMatchObject({
      code: 'ERR_NETLINK_REFUSED',
      errno: EINVAL,
      operation: 'thing put',
      kernelMessage: 'not this one',
      attributeOffset: 16,
      attributeType: 41,
      message: 'thing put: EINVAL: not this one',
    });
    expect(batch.error(2)).toMatchObject({ kernelMessage: 'nor this', attributeType: 42 });
  });

  it('ignore answers with numbers that nobody waits for', async () => {
    await peer.always({ ack: EINVAL, seq: -1 }, { msg: REPLY, seq: 70000, payload: '00' }, { ack: 0 });
    using socket = connect();
    const batch = batchOf(1);
    expect(await run(socket, batch)).toBe(0);
    expect(batch.replySize(0)).toBe(0);
    expect(socket.statistics().stale).toBe(2);
  });

  it('never use number 0, and begin again at 1', async () => {
    using socket = connect();
    const batch = batchOf(8);
    const { native } = (socket as unknown as { channel: { native: { setSequence(next: number): void } } }).channel;
    native.setSequence(2 ** 31 - 3);
    expect(await run(socket, batch)).toBe(0);
    expect(await run(socket, batch)).toBe(0);
    const numbers = (await peer.log()).map((one) => one.seq);
    expect(numbers.length).toBe(16);
    expect(new Set(numbers).size).toBe(16);
    expect(Math.min(...numbers)).toBeGreaterThan(0);
    expect(Math.max(...numbers)).toBeLessThan(2 ** 31);
    expect(Math.min(...numbers)).toBeLessThan(100);
  });

  it('are split into datagrams, and keep their order', async () => {
    using socket = connect();
    const batch = batchOf(500);
    expect(await run(socket, batch)).toBe(0);
    const log = await peer.log();
    expect(
      log.map(
        (one) => Number.parseInt(one.payload.slice(0, 2), 16) + 256 * Number.parseInt(one.payload.slice(2, 4), 16),
      ),
    ).toEqual(Array.from({ length: 500 }, (__, i) => i));
    expect(new Set(log.map((one) => one.datagram)).size).toBeGreaterThan(1);
    expect(log.every((one, i) => i === 0 || one.seq === log[i - 1].seq + 1)).toBe(true);
    expect(log.every((one) => (one.flags & 5) === 5)).toBe(true);
  });

  it('obey the limits of a datagram that were asked for', async () => {
    using socket = connect();
    await run(socket, batchOf(10, { batchCount: 3 }));
    const counts = new Map<number, number>();
    for (const one of await peer.log()) counts.set(one.datagram, (counts.get(one.datagram) ?? 0) + 1);
    expect([...counts.values()]).toEqual([3, 3, 3, 1]);
  });

  it('are given up in time, and late answers harm nobody', async () => {
    await peer.rules([
      { times: 1, do: [{ ack: 0 }] },
      { times: 1, do: [{ sleep: 3000 }, { ack: EINVAL }] },
    ]);
    using socket = connect();
    const batch = batchOf(2);
    await expect(run(socket, batch, { timeoutMs: 1000 })).rejects.toMatchObject({ code: 'ERR_NETLINK_TIMEOUT' });
    expect(errnos(batch)).toEqual([0, ETIMEDOUT]);
    expect(batch.error(1)).toMatchObject({ code: 'ERR_NETLINK_TIMEOUT' });
    expect(await run(socket, batchOf(1))).toBe(0);
    expect(socket.statistics().stale).toBe(1);
  });

  it('are told when the peer exits in the middle', async () => {
    const mortal = await NetlinkPeer.start();
    await mortal.rules([{ times: 2, do: [{ ack: 0 }] }, { do: [{ exit: 1 }] }]);
    using socket = NetlinkSocket.open(K.NETLINK_USERSOCK, { peer: mortal.port });
    const batch = batchOf(6, { batchCount: 2 });
    await expect(run(socket, batch)).rejects.toMatchObject({ errno: ECONNREFUSED, code: 'ERR_NETLINK_SYSTEM' });
    expect(errnos(batch)).toEqual([0, 0, ECONNREFUSED, ECONNREFUSED, ECONNREFUSED, ECONNREFUSED]);
    await mortal.exited();
  });

  it('mark all when there is no peer', async () => {
    using socket = NetlinkSocket.open(K.NETLINK_USERSOCK, { peer: 0x7fff_fff0 });
    const batch = batchOf(3);
    await expect(run(socket, batch)).rejects.toMatchObject({ errno: ECONNREFUSED });
    expect(errnos(batch)).toEqual([ECONNREFUSED, ECONNREFUSED, ECONNREFUSED]);
  });

  it('refuse what is too large before anything is sent', async () => {
    using socket = connect();
    const batch = batchOf(1).addMessage(request(TYPE, new Uint8Array(8 * 1024 * 1024)));
    await expect(run(socket, batch)).rejects.toMatchObject({ code: 'ERR_NETLINK_TOO_LARGE' });
    expect(await peer.log()).toEqual([]);
  });

  it('say when a reply did not fit', async () => {
    await peer.always({ msg: REPLY, fill: 1000 }, { ack: 0 });
    using socket = connect();
    const batch = batchOf(2, { replySize: 1500 });
    expect(await run(socket, batch)).toBe(0);
    expect(batch.overflowed(0)).toBe(false);
    expect(batch.overflowed(1)).toBe(true);
    expect(batch.error(1)).toMatchObject({ code: 'ERR_NETLINK_TOO_LARGE' });
    expect(batch.reply(1).length).toBe(0);
  });
});

describe('forged answers', () => {
  it('do not reach a connected socket', async () => {
    using socket = connect();
    expect(await peer.forge(socket.portId, 1, { ack: EINVAL })).toBe(ECONNREFUSED);
  });

  it('do not decide the transactions of one that hears everybody', async () => {
    using socket = NetlinkSocket.open(K.NETLINK_ROUTE, { peer: -1 });
    using target = NetlinkSocket.open(K.NETLINK_USERSOCK, { peer: -1 });
    for (let seq = 1; seq < 5; seq++) expect(await peer.forge(target.portId, seq, { ack: EINVAL })).toBe(0);
    const batch = new TransactionBatch().addMessage(request(18, getLink(1)));
    expect(socket.transactMany(batch)).toBe(0);
    for (let seq = 1; seq < 5; seq++) {
      const cursor = new MessageCursor(target.receive()!.bytes);
      expect(cursor.next() && cursor.seq).toBe(seq);
    }
  });
});

/** struct ifinfomsg of a request for one link. */
function getLink(index: number): Uint8Array {
  const bytes = new Uint8Array(16);
  new DataView(bytes.buffer).setInt32(4, index, true);
  return bytes;
}

describe('asynchronous transactions', () => {
  it('wait their turn, and keep what is done by hand away', async () => {
    await peer.always({ sleep: 20 }, { msg: REPLY, payload: 'echo' }, { ack: 0 });
    using socket = connect();
    const replies = Promise.all([1, 2, 3].map((i) => socket.transactAsync(request(TYPE, [i, 0, 0, 0]))));
    for (const call of [
      () => socket.receive(),
      () => socket.drain(),
      () => socket.send(request(TYPE)),
      () => socket.transact(request(TYPE)),
    ]) {
      expect(thrown(call)).toMatchObject({ code: 'ERR_NETLINK_BUSY' });
    }
    expect((await replies).map((reply) => reply[16])).toEqual([1, 2, 3]);
    expect(socket.transact(request(TYPE, [4, 0, 0, 0]))[16]).toBe(4);
  });

  it('can be aborted, before and while they run', async () => {
    await peer.rules([{ times: 1, do: [{ drop: 1 }] }]);
    using socket = connect();
    const controller = new AbortController();
    const reply = socket.transactAsync(request(TYPE), { signal: controller.signal });
    setTimeout(() => controller.abort(new Error('enough')), 20);
    await expect(reply).rejects.toMatchObject({ code: 'ERR_NETLINK_TIMEOUT', cause: { message: 'enough' } });
    const again = socket.transactAsync(request(TYPE), { signal: controller.signal });
    await expect(again).rejects.toMatchObject({ code: 'ERR_NETLINK_TIMEOUT' });
    await expect(socket.transactAsync(request(TYPE))).resolves.toEqual(new Uint8Array(0));
    expect((await peer.log()).length).toBe(2);
  });

  it('end when the socket is closed', async () => {
    await peer.rules([{ times: 2, do: [{ drop: 1 }] }]);
    const socket = connect();
    const batch = batchOf(2);
    const result = socket.transactManyAsync(batch);
    const queued = socket.transactAsync(request(TYPE));
    setTimeout(() => socket.close(), 20);
    await expect(result).rejects.toMatchObject({ code: 'ERR_NETLINK_CLOSED' });
    await expect(queued).rejects.toMatchObject({ code: 'ERR_NETLINK_CLOSED' });
    expect(batch.error(1)).toMatchObject({ code: 'ERR_NETLINK_CLOSED' });
  });

  it('go on when a group is joined meanwhile, and the notification is not taken for an answer', async () => {
    await peer.rules([{ times: 1, do: [{ sleep: 100 }, { msg: REPLY, payload: 'echo' }, { ack: 0 }] }]);
    using socket = connect({});
    const reply = socket.transactAsync(request(TYPE, [7, 0, 0, 0]));
    await new Promise((resolve) => setTimeout(resolve, 20));
    socket.join(10);
    await peer.cast(10, { count: 2 });
    expect((await reply)[16]).toBe(7);
    expect(hex(socket.receive()!.bytes.subarray(16, 20))).toBe('00000000');
    expect(hex(socket.receive()!.bytes.subarray(16, 20))).toBe('01000000');
    expect(socket.receive()).toBeUndefined();
  });
});

describe('towards the kernel', () => {
  it('lost answers are asked for again', () => {
    // A queue for a few answers, and datagrams of a hundred requests: most answers are dropped the first time.
    using socket = NetlinkSocket.open(K.NETLINK_ROUTE, { receiveBufferSize: 4096 });
    const batch = new TransactionBatch({ countMax: 400, batchCount: 100, batchSize: 65536, replySize: 4 << 20 });
    for (let i = 0; i < 400; i++) batch.addMessage(request(18, getLink(i % 3 === 0 ? 1 : 0x7fff_f000 + i)));
    socket.transactMany(batch);
    const { overruns, resent } = socket.statistics();
    expect(overruns).toBeGreaterThan(0);
    expect(resent).toBeGreaterThan(0);
    expect(batch.resent(99)).toBe(true);
    for (let i = 0; i < 400; i++) {
      expect(batch.errno(i)).toBe(i % 3 === 0 ? 0 : 19);
      if (i % 3 !== 0) continue;
      const cursor = new MessageCursor(batch.reply(i));
      expect(cursor.next() && cursor.type).toBe(16); // RTM_NEWLINK
      expect(new DataView(cursor.bytes.buffer, cursor.bytes.byteOffset).getInt32(cursor.payloadOffset + 4, true)).toBe(
        1,
      );
    }
  });

  it('an error says what the kernel has against the request', () => {
    using socket = NetlinkSocket.open(K.NETLINK_ROUTE);
    const attribute = [8, 0, 0x3d, 0, 1, 0, 0, 0]; // type 61: too large for what the kernel wants there
    const error = thrown(() => socket.transact(request(18, [...getLink(1), ...attribute]), { operation: 'link get' }));
    expect(error).toMatchObject({ code: 'ERR_NETLINK_REFUSED', errno: EINVAL, operation: 'link get' });
    expect((error as { kernelMessage?: string }).kernelMessage).toMatch(/attribute/i);
  });

  it('confirming only the last of each datagram gives the same results', () => {
    using socket = NetlinkSocket.open(K.NETLINK_ROUTE);
    const build = (confirm: 'each' | 'last'): TransactionBatch => {
      const batch = new TransactionBatch({ confirm, replySize: 1 << 21 });
      for (let i = 0; i < 300; i++) batch.addMessage(request(18, getLink(i % 5 === 0 ? 0x7fff_ff00 : 1)));
      socket.transactMany(batch);
      return batch;
    };
    const last = build('last');
    expect(errnos(last)).toEqual(errnos(build('each')));
    for (let i = 0; i < 300; i++) if (i % 5 !== 0) expect(last.replySize(i)).toBeGreaterThan(100);
  });
});
