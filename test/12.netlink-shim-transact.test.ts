/*
 * Transactions of the Netlink shim towards the running kernel: decided by what the kernel answers, split, resent after an overrun.
 */
import { describe, expect, test } from 'vitest';
import * as N from '../src/native/netlink.ts';
import * as K from '../src/netlink/constants.ts';
import { Batch } from './support/netlink-batch.ts';
import { header, message, openSocket, reason } from './support/netlink-shim.ts';

const EBADF = 9;
const EINVAL = 22;
const EBUSY = 16;
const ENODEV = 19;
const ENOSPC = 28;
const EMSGSIZE = 90;
const EOPNOTSUPP = 95;
const ENOBUFS = 105;
const ENOTCONN = 107;
const ECANCELED = 125;

const RTM_NEWLINK = 16;
const RTM_GETLINK = 18;
const RTM_GETADDR = 22;

const noop = (payloadSize = 0) => message({ type: K.NLMSG_NOOP, payload: new Uint8Array(payloadSize) });
const unknown = () => message({ type: 0x7f0 });
/** RTM_GETLINK of one interface. */
function getLink(index: number, flags = 0): Uint8Array {
  const payload = new Uint8Array(16);
  new DataView(payload.buffer).setInt32(4, index, true);
  return message({ type: RTM_GETLINK, flags, payload });
}
const many = (count: number, make: (i: number) => Uint8Array) => Array.from({ length: count }, (_, i) => make(i));

describe.skipIf(reason)('transactions of the Netlink shim', () => {
  test('each is decided by its own answer, and one refused does not fail the others', () => {
    const socket = openSocket({ protocol: K.NETLINK_ROUTE });
    const batch = new Batch(socket, [noop(), unknown(), getLink(1), getLink(0x7ffffff), noop()]);
    expect(batch.begun).toBe(5);
    expect(batch.go(0)).toBe(0);
    expect(batch.errnos()).toEqual([0, EOPNOTSUPP, 0, ENODEV, 0]);
    expect(batch.outcome(0).reply).toEqual([]);
    expect(batch.outcome(2).reply).toMatchObject([{ type: RTM_NEWLINK, seq: 3, portId: socket.portId }]);
    expect(batch.outcome(3).reply).toMatchObject([{ type: K.NLMSG_ERROR, seq: 4 }]);
    expect(batch.rows.subarray(20)).toEqual(new Int32Array(4).fill(-7));
    expect(socket.statistics()).toMatchObject({ sent: 1, stale: 0, foreign: 0, resent: 0 });
  });

  test('requests are stamped: sequence numbers in a row, own port id, REQUEST and ACK', () => {
    const socket = openSocket({ protocol: K.NETLINK_ROUTE });
    socket.setSequence(100);
    const batch = new Batch(socket, [noop(1), noop(2), noop(7), noop(0)]);
    expect(batch.go(0)).toBe(0);
    const flags = K.NLM_F_REQUEST | K.NLM_F_ACK;
    for (const [i, at] of [0, 20, 40, 64].entries()) {
      expect(header(batch.requests, at)).toMatchObject({ seq: 100 + i, portId: socket.portId, flags });
    }
    expect(socket.allocateSequence(1)).toBe(104);
  });

  test('sequence numbers of a datagram do not run over their end', () => {
    const socket = openSocket({ protocol: K.NETLINK_ROUTE });
    socket.setSequence(2 ** 31 - 3);
    const batch = new Batch(
      socket,
      many(6, () => noop()),
      { batchCount: 2 },
    );
    expect(batch.go(0)).toBe(0);
    expect(many(6, (i) => batch.requests.slice(i * 16)).map((bytes) => header(bytes).seq)).toEqual([
      2 ** 31 - 3,
      2 ** 31 - 2,
      1,
      2,
      3,
      4,
    ]);
  });

  test.each([
    ['by count', { batchCount: 10 }, 1000, 0, 100],
    ['by bytes', { batchSize: 1024 }, 1000, 4, 20],
    ['where one alone is longer than that', { batchSize: 8 }, 50, 100, 50],
    ['by the receive buffer', {}, 1000, 0, 8],
  ] as const)('a batch is split %s', (_name, limits, count, payload, sent) => {
    const socket = openSocket({ protocol: K.NETLINK_ROUTE });
    const batch = new Batch(
      socket,
      many(count, () => noop(payload)),
      limits,
    );
    expect(batch.go(0)).toBe(0);
    expect(batch.errnos()).toEqual(new Array(count).fill(0));
    const expected = batch.requests.length / count === 20 ? Math.ceil(1000 / Math.floor(1024 / 20)) : sent;
    expect(socket.statistics().sent).toBe(expected);
  });

  test.each([N.CONFIRM_EACH, N.CONFIRM_LAST])(
    'replies lost in an overrun are asked for again (confirm %i)',
    (confirm) => {
      const socket = openSocket({ protocol: K.NETLINK_ROUTE, receiveBufferSize: 1 });
      const count = 500;
      const refused = (i: number) => i % 7 === 3;
      const batch = new Batch(
        socket,
        many(count, (i) => (refused(i) ? unknown() : noop())),
        { confirm, batchCount: 100 },
      );
      expect(batch.go(0)).toBe(0);
      expect(batch.errnos()).toEqual(many(count, () => noop()).map((_, i) => (refused(i) ? EOPNOTSUPP : 0)));
      const statistics = socket.statistics();
      expect(statistics.overruns).toBeGreaterThan(0);
      expect(statistics.resent).toBeGreaterThan(0);
      const resent = many(count, () => noop()).filter((_, i) => (batch.outcome(i).flags & N.TRANSACTION_RESENT) !== 0);
      expect(resent.length).toBeGreaterThan(0);
      expect(resent.length).toBeLessThan(count);
    },
  );

  test('what can never be received is given up with ENOBUFS, and the rest goes on', () => {
    const socket = openSocket({ protocol: K.NETLINK_ROUTE, receiveBufferSize: 1 });
    const filler = message({ type: K.NLMSG_NOOP, flags: K.NLM_F_REQUEST | K.NLM_F_ACK });
    for (let i = 0; i < 50; i++) socket.send(filler, 0, filler.length, 0);
    const batch = new Batch(
      socket,
      many(20, () => getLink(1)),
    );
    expect(batch.go(0)).toBe(0);
    for (const errno of batch.errnos()) expect([0, ENOBUFS]).toContain(errno);
  });

  test('with CONFIRM_LAST only the last of a datagram asks, and the errors of the others still come', () => {
    const socket = openSocket({ protocol: K.NETLINK_ROUTE });
    const batch = new Batch(
      socket,
      many(300, (i) => (i % 50 === 7 ? unknown() : getLink(1))),
      {
        confirm: N.CONFIRM_LAST,
        batchCount: 100,
      },
    );
    expect(batch.go(0)).toBe(0);
    expect(batch.errnos()).toEqual(many(300, () => noop()).map((_, i) => (i % 50 === 7 ? EOPNOTSUPP : 0)));
    const asked: number[] = [];
    for (let i = 0, at = 0; i < 300; at += header(batch.requests, at).size, i++) {
      if ((header(batch.requests, at).flags & K.NLM_F_ACK) !== 0) asked.push(i);
      expect(batch.outcome(i).reply).toMatchObject([{ type: i % 50 === 7 ? K.NLMSG_ERROR : RTM_NEWLINK }]);
    }
    expect(asked).toEqual([99, 199, 299]);
  });

  test('a dump is a transaction that NLMSG_DONE ends', () => {
    const socket = openSocket({ protocol: K.NETLINK_ROUTE });
    const dump = message({ type: RTM_GETADDR, flags: K.NLM_F_DUMP, payload: new Uint8Array(8) });
    const batch = new Batch(socket, [dump, noop()]);
    expect(batch.go(1000)).toBe(0);
    expect(batch.errnos()).toEqual([0, 0]);
    expect(batch.outcome(0).reply.every(({ type, seq }) => type === 20 && seq === 1)).toBe(true);
  });

  test('a reply view that is too small: each that fits is there, the others say what they need', () => {
    const socket = openSocket({ protocol: K.NETLINK_ROUTE });
    const whole = new Batch(socket, [getLink(1)]);
    expect(whole.go(0)).toBe(0);
    const { size } = whole.outcome(0);
    expect(size).toBeGreaterThan(100);
    const batch = new Batch(socket, [getLink(1), getLink(1), getLink(0x7ffffff)], { repliesSize: size + 60 });
    expect(batch.go(0)).toBe(0);
    expect(batch.errnos()).toEqual([0, 0, ENODEV]);
    expect(batch.outcome(0)).toMatchObject({ flags: 0, size });
    expect(batch.outcome(1)).toMatchObject({ flags: N.TRANSACTION_OVERFLOW, size, reply: [] });
    expect(batch.outcome(2).reply).toMatchObject([{ type: K.NLMSG_ERROR }]);
  });

  test('what is wrong with a batch is said before anything is sent', () => {
    const socket = openSocket({ protocol: K.NETLINK_ROUTE });
    const lie = (length: number) => {
      const bytes = noop(4);
      new DataView(bytes.buffer).setUint32(0, length, true);
      return bytes;
    };
    for (const length of [0, 15, 21, 0xffffffff]) expect(new Batch(socket, [noop(), lie(length)]).begun).toBe(-EINVAL);
    expect(new Batch(socket, [noop(), new Uint8Array(15)]).begun).toBe(-EINVAL);
    expect(new Batch(socket, [noop(212_944)]).begun).toBe(1);
    socket.cancelTransactions(new Int32Array(8));
    expect(new Batch(socket, [noop(), noop(212_948)]).begun).toBe(-EMSGSIZE);
    expect(new Batch(socket, []).begun).toBe(0);
    expect(new Batch(socket, []).go(0)).toBe(0);
    const rows = new Int32Array(7);
    expect(socket.beginTransactions(noop(), 16, rows, 0, 0, 0)).toBe(1);
    expect(socket.beginTransactions(noop(), 16, rows, 0, 0, 0)).toBe(-EBUSY);
    socket.cancelTransactions(rows);
    expect([...rows]).toEqual([ECANCELED, 0, 0, 0, 0, 0, 0]);
    expect(socket.beginTransactions(new Uint8Array([...noop(), ...noop()]), 32, rows, 0, 0, 0)).toBe(-ENOSPC);
    expect(new Batch(openSocket({ protocol: K.NETLINK_ROUTE, peer: -1 }), [noop()]).begun).toBe(-ENOTCONN);
    expect(socket.statistics()).toMatchObject({ sent: 0 });
  });

  test('a request of the largest size is carried out, one byte more is not sent', () => {
    const socket = openSocket({ protocol: K.NETLINK_ROUTE });
    const batch = new Batch(socket, [noop(212_944), noop()]);
    expect(batch.go(0)).toBe(0);
    expect(batch.errnos()).toEqual([0, 0]);
  });

  test('a socket that is closed under a batch: the rest gets EBADF', () => {
    const socket = openSocket({ protocol: K.NETLINK_ROUTE });
    const batch = new Batch(socket, [noop(), noop()]);
    socket.close();
    expect(batch.go(0)).toBe(-EBADF);
    expect(batch.errnos()).toEqual([EBADF, EBADF]);
    expect(batch.go(0)).toBe(-EBADF);
    expect(new Batch(socket, [noop()]).begun).toBe(-EBADF);
  });

  test('views that became smaller are refused and change nothing', () => {
    const socket = openSocket({ protocol: K.NETLINK_ROUTE });
    const batch = new Batch(socket, [noop(), noop()]);
    expect(socket.continueTransactions(batch.requests.subarray(4), batch.replies, batch.rows, 0)).toBe(-EINVAL);
    expect(socket.continueTransactions(batch.requests, batch.replies, batch.rows.subarray(0, 7), 0)).toBe(-EINVAL);
    expect(batch.go(0)).toBe(0);
  });
});
