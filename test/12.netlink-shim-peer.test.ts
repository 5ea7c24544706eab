/*
 * Transactions of the Netlink shim towards a peer in user space that answers late, out of order, wrongly or not at all.
 */
import { describe, expect, test } from 'vitest';
import * as N from '../src/native/netlink.ts';
import * as K from '../src/netlink/constants.ts';
import { Batch, type BatchOptions, EINPROGRESS } from './support/netlink-batch.ts';
import { message, openSocket, reason } from './support/netlink-shim.ts';
import { acknowledgement, done, Peer, reply } from './support/netlink-shim-peer.ts';

const ENOENT = 2;
const EAGAIN = 11;
const EALREADY = 114;
const EPROTO = 71;
const ECONNREFUSED = 111;
const ECANCELED = 125;

const request = (payloadSize = 0) => message({ type: 100, payload: new Uint8Array(payloadSize) });
const requests = (count: number) => Array.from({ length: count }, () => request());

/** A batch that has been sent. */
function sent(peer: Peer, count: number, options: BatchOptions = {}): Batch {
  const batch = new Batch(peer.client, requests(count), options);
  expect(batch.go(0)).toBe(-EAGAIN);
  return batch;
}
const texts = (batch: Batch, index: number) =>
  batch.outcome(index).reply.map(({ size }, i, all) => {
    const at = all.slice(0, i).reduce((sum, before) => sum + ((before.size + 3) & ~3), 0);
    return new TextDecoder().decode(batch.outcome(index).bytes.subarray(at + 16, at + size));
  });

describe.skipIf(reason)('a peer in user space', () => {
  test('silence decides nothing; answers may come in any order', () => {
    const peer = new Peer();
    const batch = sent(peer, 3);
    expect(peer.take().map((datagram) => datagram.map(({ seq }) => seq))).toEqual([[1, 2, 3]]);
    expect(batch.go(5)).toBe(-EAGAIN);
    peer.acknowledge(2, ENOENT);
    expect(batch.go(0)).toBe(-EAGAIN);
    expect(batch.errnos()).toEqual([EINPROGRESS, ENOENT, EINPROGRESS]);
    peer.acknowledge(3);
    peer.acknowledge(1);
    expect(batch.go(0)).toBe(0);
    expect(batch.errnos()).toEqual([0, ENOENT, 0]);
    expect(peer.take()).toEqual([]);
  });

  test('replies of one transaction stay together, however they arrive', () => {
    const peer = new Peer();
    const batch = sent(peer, 3);
    peer.answer(reply(1, 'a'), reply(2, 'bb'), reply(1, 'ccc'));
    peer.answer(reply(3, 'dddd'));
    expect(batch.go(0)).toBe(-EAGAIN);
    peer.answer(reply(2, 'eeeee'), reply(1, 'f'), done(1), acknowledgement(3));
    peer.answer(reply(2, 'g'), done(2, ENOENT));
    expect(batch.go(0)).toBe(0);
    expect(batch.errnos()).toEqual([0, ENOENT, 0]);
    expect([texts(batch, 0), texts(batch, 1), texts(batch, 2)]).toEqual([
      ['a', 'ccc', 'f'],
      ['bb', 'eeeee', 'g'],
      ['dddd'],
    ]);
  });

  test('an error takes back what had come of the reply', () => {
    const peer = new Peer();
    const batch = sent(peer, 1, { repliesSize: 60 });
    peer.answer(reply(1, 'x'.repeat(40)), acknowledgement(1, ENOENT));
    expect(batch.go(0)).toBe(0);
    expect(batch.outcome(0)).toMatchObject({ errno: ENOENT, flags: 0, reply: [{ type: K.NLMSG_ERROR }] });
  });

  test('a reply that outgrows the view counts what it needs, and leaves its room to others', () => {
    const peer = new Peer();
    const batch = sent(peer, 2, { repliesSize: 64 });
    peer.answer(reply(1, 'x'.repeat(20)), reply(1, 'y'.repeat(20)), reply(1, 'z'));
    peer.answer(reply(2, 'w'.repeat(48)), acknowledgement(1), acknowledgement(2));
    expect(batch.go(0)).toBe(0);
    expect(batch.outcome(0)).toMatchObject({ errno: 0, flags: N.TRANSACTION_OVERFLOW, size: 36 + 36 + 20 });
    expect(texts(batch, 1)).toEqual(['w'.repeat(48)]);
  });

  test('several datagrams are on their way at a time, and no more than four', () => {
    const peer = new Peer();
    const batch = sent(peer, 20, { batchCount: 2 });
    const first = peer.take();
    expect(first.map((datagram) => datagram.map(({ seq }) => seq))).toEqual([
      [1, 2],
      [3, 4],
      [5, 6],
      [7, 8],
    ]);
    peer.answer(acknowledgement(3), acknowledgement(4));
    expect(batch.go(0)).toBe(-EAGAIN);
    expect(peer.take().map((datagram) => datagram.map(({ seq }) => seq))).toEqual([[9, 10]]);
    for (let seq = 1; seq <= 20; seq++) {
      peer.acknowledge(seq);
      batch.go(0);
    }
    expect(batch.go(0)).toBe(0);
    expect(batch.errnos()).toEqual(new Array(20).fill(0));
    expect(peer.client.statistics()).toMatchObject({ sent: 10, stale: 2, resent: 0 });
  });

  test('numbers that nobody waits for are ignored and counted, also late ones of a batch that was given up', () => {
    const peer = new Peer();
    const given = sent(peer, 2);
    given.cancel();
    expect(given.errnos()).toEqual([ECANCELED, ECANCELED]);
    const batch = sent(peer, 2);
    peer.answer(
      acknowledgement(1),
      acknowledgement(2, ENOENT),
      acknowledgement(0),
      acknowledgement(5),
      acknowledgement(2 ** 32 - 1),
    );
    expect(batch.go(0)).toBe(-EAGAIN);
    expect(batch.errnos()).toEqual([EINPROGRESS, EINPROGRESS]);
    peer.answer(acknowledgement(3), acknowledgement(4), acknowledgement(4, ENOENT), reply(3, 'late'));
    expect(batch.go(0)).toBe(0);
    expect(batch.errnos()).toEqual([0, 0]);
    expect(texts(batch, 0)).toEqual([]);
    expect(peer.client.statistics().stale).toBe(7);
  });

  test('a stranger is refused by the kernel, and one who is heard by way of a group is ignored', (context) => {
    const peer = new Peer();
    const stranger = openSocket({ protocol: K.NETLINK_USERSOCK, peer: -1 });
    const answer = acknowledgement(1, ENOENT);
    const batch = sent(peer, 1);
    expect(stranger.send(answer, 0, answer.length, 0, peer.client.portId)).toBe(-ECONNREFUSED);
    context.skip(peer.client.setOption(K.NETLINK_ADD_MEMBERSHIP, 5) < 0, 'needs CAP_NET_ADMIN to join a group');
    expect(stranger.send(answer, 0, answer.length, 0, 0, 1 << 4)).toBe(0);
    expect(peer.socket.send(answer, 0, answer.length, 0, 0, 1 << 4)).toBe(0);
    expect(batch.go(0)).toBe(-EAGAIN);
    expect(peer.client.statistics()).toMatchObject({ foreign: 2, received: 2 });
    peer.acknowledge(1);
    expect(batch.go(0)).toBe(0);
    expect(batch.errnos()).toEqual([0]);
  });

  test('an overrun discards what is queued and asks again with new numbers; the answers to the old ones are stale', (context) => {
    const peer = new Peer();
    peer.client.setReceiveBuffer(8192);
    context.skip(peer.client.setOption(K.NETLINK_ADD_MEMBERSHIP, 5) < 0, 'needs CAP_NET_ADMIN to join a group');
    const batch = sent(peer, 4, { batchCount: 4 });
    peer.answer(reply(1, 'lost'), acknowledgement(1));
    const noise = new Uint8Array(1024);
    for (let i = 0; i < 40; i++) peer.socket.send(noise, 0, noise.length, 0, 0, 1 << 4);
    expect(batch.go(0)).toBe(-EAGAIN);
    expect(peer.take().map((datagram) => datagram.map(({ seq }) => seq))).toEqual([
      [1, 2, 3, 4],
      [5, 6],
      [7, 8],
    ]);
    for (const seq of [1, 2, 3, 4]) peer.acknowledge(seq, ENOENT);
    for (const seq of [5, 6, 7, 8]) {
      expect(batch.go(0)).toBe(-EAGAIN);
      peer.acknowledge(seq);
    }
    expect(batch.go(0)).toBe(0);
    expect(batch.errnos()).toEqual([0, 0, 0, 0]);
    for (let i = 0; i < 4; i++) expect(batch.outcome(i)).toMatchObject({ flags: N.TRANSACTION_RESENT, size: 0 });
    expect(peer.client.statistics()).toMatchObject({ overruns: 1, resent: 4, stale: 4 });
  });

  test('lies: impossible lengths end a datagram, impossible errors are EPROTO', () => {
    const peer = new Peer();
    const batch = sent(peer, 4);
    const lying = (length: number) => {
      const bytes = acknowledgement(1, ENOENT);
      new DataView(bytes.buffer).setUint32(0, length, true);
      return bytes;
    };
    for (const length of [0, 4, 15, 37, 65_536, 0xffffffff]) peer.answer(lying(length), acknowledgement(1, ENOENT));
    peer.answer(new Uint8Array(8));
    expect(batch.go(0)).toBe(-EAGAIN);
    // 37 fits into the datagram, so the walk goes on four bytes too late and meets nonsense there.
    expect(batch.errnos().slice(1)).toEqual([EINPROGRESS, EINPROGRESS, EINPROGRESS]);
    expect(peer.client.statistics().malformed).toBe(7);
    const short = message({ type: K.NLMSG_ERROR, seq: 3 });
    peer.answer(acknowledgement(2, -5), short, acknowledgement(4, EINPROGRESS), acknowledgement(1));
    expect(batch.go(0)).toBe(0);
    expect(batch.errnos().slice(1)).toEqual([EPROTO, EPROTO, EALREADY]);
  });

  test('replies of 64 KiB are whole; one longer than any buffer is an overflow that does not hurt the next', () => {
    const peer = new Peer();
    const batch = sent(peer, 3);
    const long = 'l'.repeat(65_500);
    peer.answer(reply(1, long));
    peer.answer(reply(1, long), acknowledgement(1));
    peer.answer(reply(2, 'h'.repeat(150_000)));
    peer.answer(acknowledgement(2), reply(3, 'end'), acknowledgement(3));
    expect(batch.go(0)).toBe(0);
    expect(texts(batch, 0)).toEqual([long, long]);
    expect(batch.outcome(1)).toMatchObject({ errno: 0, flags: N.TRANSACTION_OVERFLOW, size: 150_016 });
    expect(texts(batch, 2)).toEqual(['end']);
    expect(peer.client.statistics().truncated).toBe(1);
  });

  test('a peer that does not read holds the batch up without an error; when it reads, it goes on', () => {
    const peer = new Peer({ receiveBufferSize: 1 });
    const filler = new Uint8Array(1024);
    while (peer.client.send(filler, 0, filler.length, 0) === 0);
    const batch = new Batch(peer.client, requests(2));
    expect(batch.go(0)).toBe(-EAGAIN);
    expect(batch.go(10)).toBe(-EAGAIN);
    expect(batch.errnos()).toEqual([EINPROGRESS, EINPROGRESS]);
    peer.socket.drain();
    expect(batch.go(10)).toBe(-EAGAIN);
    expect(peer.take().flat()).toHaveLength(2);
    peer.answer(acknowledgement(1), acknowledgement(2));
    expect(batch.go(0)).toBe(0);
  });

  test('a peer that is gone is fatal to all that are left, and to no other', () => {
    const peer = new Peer();
    const batch = sent(peer, 12, { batchCount: 2 });
    peer.acknowledge(1, ENOENT);
    peer.acknowledge(2);
    peer.socket.close();
    expect(batch.go(0)).toBe(-ECONNREFUSED);
    expect(batch.errnos()).toEqual([ENOENT, 0, ...new Array(10).fill(ECONNREFUSED)]);
    expect(batch.go(0)).toBe(0);
  });

  test('what a peer answered before it went away counts, also where it is found out by sending', () => {
    const peer = new Peer();
    const batch = sent(peer, 12, { batchCount: 2 });
    peer.answer(acknowledgement(1), acknowledgement(2, ENOENT));
    for (let i = 0; i < 7; i++) peer.acknowledge(1000);
    peer.answer(acknowledgement(3, ENOENT), acknowledgement(4));
    peer.socket.close();
    expect(batch.go(0)).toBe(-ECONNREFUSED);
    expect(batch.errnos()).toEqual([0, ENOENT, ENOENT, 0, ...new Array(8).fill(ECONNREFUSED)]);
  });
});
