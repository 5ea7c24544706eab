/*
 * Dumps, against a scripted peer in python that ends them in every way a dump can end, and against the kernel, whose links and addresses
 * `ip -j` lists too.
 */
import { execFileSync } from 'node:child_process';
import { Worker } from 'node:worker_threads';
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import * as K from '../src/netlink/constants.ts';
import { Dump, type MessageCursor, NetlinkSocket } from '../src/netlink/index.ts';
import { describeNetlink as describe, NetlinkPeer, type PeerAction, request, thrown } from './support/netlink-peer.ts';

const TYPE = 0x20;
const ENTRY = 0x21;
const INTR = K.NLM_F_MULTI | K.NLM_F_DUMP_INTR;
const EPERM = 1;

let peer: NetlinkPeer;
beforeAll(async () => {
  peer = await NetlinkPeer.start();
});
afterAll(() => peer.stop());
beforeEach(() => peer.rules([]));

const connect = (): NetlinkSocket => NetlinkSocket.open(K.NETLINK_USERSOCK, { peer: peer.port });
const entry = (mark: number, more: object = {}): PeerAction => ({
  msg: ENTRY,
  flags: K.NLM_F_MULTI,
  payload: mark.toString(16).padStart(2, '0'),
  ...more,
});
const done: PeerAction = { done: 0 };
const mark = (message: MessageCursor): number => message.bytes[message.payloadOffset];

const WAYS = [
  [
    'blocking',
    async (dump: Dump): Promise<number[]> => {
      const marks = [];
      for (let one = dump.next(); one !== undefined; one = dump.next()) marks.push(mark(one));
      return marks;
    },
  ],
  [
    'asynchronous',
    async (dump: Dump): Promise<number[]> => {
      const marks = [];
      for (let one = await dump.nextAsync(); one !== undefined; one = await dump.nextAsync()) marks.push(mark(one));
      return marks;
    },
  ],
] as const;

describe.each(WAYS)('a dump, %s', (_, read) => {
  it('comes in many datagrams, each with many messages, late or soon', async () => {
    await peer.always({ pack: [entry(1), entry(2)] }, { sleep: 30 }, entry(3), { pack: [entry(4), done] });
    using socket = connect();
    const dump = socket.dump(request(TYPE));
    expect(await read(dump)).toEqual([1, 2, 3, 4]);
    expect([dump.ended, dump.interrupted]).toEqual([true, false]);
    expect(await read(dump)).toEqual([]);
    expect((await peer.log())[0].flags).toBe(K.NLM_F_REQUEST | K.NLM_F_ACK | K.NLM_F_DUMP);
  });

  it('may be empty', async () => {
    await peer.always(done);
    using socket = connect();
    expect(await read(socket.dump(request(TYPE)))).toEqual([]);
  });

  it('ignores what is not its own', async () => {
    await peer.always(
      { pack: [entry(1), entry(9, { seq: 5 }), { msg: K.NLMSG_NOOP, payload: '09' }, entry(2)] },
      { done: EPERM, seq: -1 },
      entry(9, { seq: -1 }),
      { pack: [entry(3), done, entry(9)] },
    );
    using socket = connect();
    expect(await read(socket.dump(request(TYPE)))).toEqual([1, 2, 3]);
  });

  it('may have messages of 64 KiB and more', async () => {
    await peer.always(entry(1, { fill: 65_536 }), entry(2), entry(3, { fill: 200_000 }), done);
    using socket = connect();
    expect(await read(socket.dump(request(TYPE)))).toEqual([1, 2, 3]);
  });

  it.each([
    ['NLMSG_ERROR', { ack: EPERM, text: 'no more' }],
    ['an errno in NLMSG_DONE', { done: EPERM, text: 'no more' }],
  ])('that ends with %s gives what came before', async (__, last) => {
    await peer.always({ pack: [entry(1), entry(2)] }, { pack: [entry(3), last] });
    using socket = connect();
    const dump = socket.dump(request(TYPE), { operation: 'things' });
    for (let i = 1; i <= 3; i++) expect(mark(dump.next()!)).toBe(i);
    const expected = { code: 'ERR_NETLINK_PERMISSION', errno: EPERM, operation: 'things', kernelMessage: 'no more' };
    await expect(read(dump)).rejects.toMatchObject(expected);
    await expect(read(dump)).rejects.toMatchObject(expected);
  });

  it.each([
    ['longer than its datagram', entry(2, { length: 400 }), /offset 20: a message of 400 bytes, 20 are there/],
    ['shorter than a header', entry(2, { length: 15 }), /offset 20: a message of 15 bytes/],
    ['of no length', entry(2, { length: 0 }), /offset 20: a message of 0 bytes/],
    ['cut within its header', { cut: 9, of: entry(2) }, /offset 20: 9 bytes left over/],
  ])('with a message %s is malformed', async (__, bad, text) => {
    await peer.always({ pack: [entry(1), bad] }, done);
    using socket = connect();
    const dump = socket.dump(request(TYPE));
    expect(mark(dump.next()!)).toBe(1);
    await expect(read(dump)).rejects.toMatchObject({
      code: 'ERR_NETLINK_MALFORMED',
      message: expect.stringMatching(text),
    });
  });

  it('that was interrupted says so', async () => {
    await peer.always(entry(1), entry(2, { flags: INTR }), done);
    using socket = connect();
    const dump = socket.dump(request(TYPE));
    expect(await read(dump)).toEqual([1, 2]);
    expect(dump.interrupted).toBe(true);
  });

  it('with `retry` begins again, and hands out one whole table', async () => {
    await peer.rules([
      { times: 1, do: [entry(1), entry(2, { flags: INTR }), done] },
      { times: 1, do: [entry(3), { done: 0, flags: INTR }] },
      { do: [entry(4), entry(5), done] },
    ]);
    using socket = connect();
    const dump = socket.dump(request(TYPE), { retry: 2 });
    expect(await read(dump)).toEqual([4, 5]);
    expect(dump.interrupted).toBe(false);
    expect(new Set((await peer.log()).map((one) => one.seq)).size).toBe(3);
  });

  it('with `retry` gives up after so many', async () => {
    await peer.always(entry(1, { flags: INTR }), done);
    using socket = connect();
    const dump = socket.dump(request(TYPE), { retry: 3 });
    await expect(read(dump)).rejects.toMatchObject({ code: 'ERR_NETLINK_INTERRUPTED' });
    expect((await peer.log()).length).toBe(4);
  });

  it('without an end is given up in time', async () => {
    await peer.always(entry(1), entry(2));
    using socket = connect();
    const dump = socket.dump(request(TYPE), { timeoutMs: 1500 });
    expect(mark(dump.next()!) + mark(dump.next()!)).toBe(3);
    await expect(read(dump)).rejects.toMatchObject({ code: 'ERR_NETLINK_TIMEOUT' });
  });

  it('without an end because the peer is gone says that', async () => {
    const mortal = await NetlinkPeer.start();
    await mortal.always(entry(1), { exit: 1 });
    using socket = NetlinkSocket.open(K.NETLINK_USERSOCK, { peer: mortal.port });
    const dump = socket.dump(request(TYPE));
    expect(mark(dump.next()!)).toBe(1);
    await expect(read(dump)).rejects.toMatchObject({ code: 'ERR_NETLINK_SYSTEM', errno: 111 });
    await mortal.exited();
  });

  it('of no peer fails at once', () => {
    using socket = NetlinkSocket.open(K.NETLINK_USERSOCK, { peer: 0x7fff_fff0 });
    expect(thrown(() => socket.dump(request(TYPE)))).toMatchObject({ errno: 111 });
  });
});

describe('waiting for a dump', () => {
  it('ends by a signal', async () => {
    await peer.always(entry(1));
    using socket = connect();
    const controller = new AbortController();
    const dump = socket.dump(request(TYPE), { signal: controller.signal });
    expect(mark((await dump.nextAsync())!)).toBe(1);
    setTimeout(() => controller.abort(), 40);
    await expect(dump.nextAsync()).rejects.toMatchObject({ code: 'ERR_NETLINK_TIMEOUT' });
  });

  it('ends when the dump is closed', async () => {
    await peer.always(entry(1));
    using socket = connect();
    const dump = socket.dump(request(TYPE));
    dump.next();
    const waiting = dump.nextAsync();
    dump.close();
    await expect(waiting).resolves.toBeUndefined();
  });
});

describe('after a dump', () => {
  it('its socket is not used again when something more came', async () => {
    await peer.rules([{ times: 1, do: [done, entry(9)] }]);
    using socket = connect();
    const dump = socket.dump(request(TYPE));
    await peer.log(); // all of it is there
    expect(dump.next()).toBeUndefined();
    expect(socket.receive()).toBeUndefined();
    expect(socket.transact(request(TYPE)).length).toBe(0);
    expect(socket.statistics().stale).toBe(0);
  });

  it('the counters of what was set aside are in the sum', async () => {
    await peer.rules([{ times: 1, do: [entry(1), done] }]);
    using socket = connect();
    const dump = socket.dump(request(TYPE));
    socket.transact(request(TYPE));
    expect([...dump].length).toBe(1);
    expect(socket.statistics()).toMatchObject({ sent: 2, received: 3, stale: 0, overruns: 0 });
    socket.close();
    expect(socket.statistics()).toMatchObject({ sent: 2, received: 3 });
  });

  it('its socket is not used again when it was shared', async () => {
    await peer.rules([{ times: 1, do: [entry(1), done] }]);
    using socket = connect();
    const dump = socket.dump(request(TYPE));
    const other = Dump.adopt(dump.share());
    expect(mark(dump.next()!)).toBe(1);
    expect(dump.next()).toBeUndefined();
    expect(other.next()).toBeUndefined(); // and closes its end, which ends all waiting on that socket
    expect(socket.transact(request(TYPE)).length).toBe(0);
  });
});

describe('a consumer with a buffer of its own', () => {
  it('gets a datagram at a time, and one too large is not lost', async () => {
    await peer.always({ pack: [entry(1), entry(2)] }, entry(3, { fill: 500 }), { pack: [done, entry(9)] });
    using socket = connect();
    const dump = socket.dump(request(TYPE));
    const small = new Uint8Array(64);
    const cursor = dump.receiveNext(small)!;
    expect([cursor.next() && mark(cursor), cursor.next() && mark(cursor), cursor.next()]).toEqual([1, 2, false]);
    expect(cursor.bytes).toBe(small);
    expect(thrown(() => dump.receiveNext(small))).toMatchObject({ code: 'ERR_NETLINK_TOO_LARGE' });
    const large = dump.receiveNext(new Uint8Array(1024))!;
    expect([large.next() && mark(large), large.size]).toEqual([3, 516]);
    expect(dump.receiveNext(small)).toBeUndefined();
  });

  it('in other threads: each entry goes to one of them, and all learn of the end', async () => {
    const COUNT = 120;
    const entries = Array.from({ length: COUNT }, (_, i) => [entry(i), { sleep: i % 10 === 0 ? 3 : 0 }]).flat();
    await peer.always(...entries, { pack: [entry(COUNT), { done: EPERM }] });
    using socket = connect();
    const dump = socket.dump(request(TYPE));
    const program = new URL('support/netlink-dump-reader.mjs', import.meta.url);
    const workers = [0, 1, 2].map(() => new Worker(program, { workerData: dump.share() }));
    type Result = { marks: number[]; code: string };
    const results = await Promise.all(
      workers.map(
        (worker) => new Promise<Result>((resolve, reject) => worker.once('message', resolve).once('error', reject)),
      ),
    );
    const all = results.flatMap((one) => one.marks).sort((a, b) => a - b);
    expect(all).toEqual(Array.from({ length: COUNT + 1 }, (_, i) => i));
    for (const { code } of results) expect(code).toBe('ERR_NETLINK_PERMISSION');
    expect(dump.ended).toBe(true);
    expect(thrown(() => dump.next())).toMatchObject({ code: 'ERR_NETLINK_PERMISSION' });
    expect(socket.dump(request(TYPE)).next()).toBeDefined();
  });

  it('may leave half-way by abandoning the dump for all', async () => {
    await peer.always(entry(1), entry(2));
    using socket = connect();
    const dump = socket.dump(request(TYPE));
    const worker = new Worker(new URL('support/netlink-dump-reader.mjs', import.meta.url), {
      workerData: dump.share(),
    });
    const result = new Promise((resolve, reject) => worker.once('message', resolve).once('error', reject));
    await new Promise((resolve) => setTimeout(resolve, 100));
    dump.close();
    expect(await result).toMatchObject({ code: 'end' });
  });
});

describe('the kernel', () => {
  const RTM_GETLINK = 18;
  const RTM_GETADDR = 22;
  const indices = (messages: Iterable<MessageCursor>): number[] =>
    Array.from(messages, ({ bytes, payloadOffset }) =>
      new DataView(bytes.buffer, bytes.byteOffset).getInt32(payloadOffset + 4, true),
    ).sort((a, b) => a - b);
  const ip = (...args: string[]): { ifindex: number; addr_info: unknown[] }[] =>
    JSON.parse(execFileSync('ip', ['-j', ...args], { encoding: 'utf8' }));

  it('lists the links and addresses that ip lists', async () => {
    using socket = NetlinkSocket.open(K.NETLINK_ROUTE);
    const links = ip('link').map((one) => one.ifindex);
    expect(indices(socket.dump(request(RTM_GETLINK, new Uint8Array(16))))).toEqual(links.sort((a, b) => a - b));
    const addresses = ip('addr').flatMap((one) => one.addr_info.map(() => one.ifindex));
    expect(indices(socket.dump(request(RTM_GETADDR, new Uint8Array(8))))).toEqual(addresses.sort((a, b) => a - b));
  });

  it('refuses a dump of what it does not have, and the socket goes on', () => {
    using socket = NetlinkSocket.open(K.NETLINK_ROUTE);
    const { fd } = (socket as unknown as { channel: { native: { fd: number } } }).channel.native;
    expect(thrown(() => socket.dump(request(RTM_GETLINK, [77])).next())).toMatchObject({ code: 'ERR_NETLINK_REFUSED' });
    expect(indices(socket.dump(request(RTM_GETLINK, new Uint8Array(16)))).length).toBeGreaterThan(0);
    expect(socket.fd).toBe(fd);
  });
});
