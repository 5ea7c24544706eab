/*
 * The pool: bounded, last in first out, and nothing in it that is not as good as new; and transactions and dumps without a socket, against
 * the kernel.
 */
import { readdirSync } from 'node:fs';
import { expect, it } from 'vitest';
import * as K from '../src/netlink/constants.ts';
import {
  dump,
  type MessageCursor,
  NetlinkPool,
  NetlinkSocket,
  netlinkPool,
  TransactionBatch,
  transact,
  transactMany,
} from '../src/netlink/index.ts';
import { POOL_IDLE_MAX } from '../src/netlink/pool.ts';
import { describeNetlink as describe, request, thrown } from './support/netlink-peer.ts';

const RTM_NEWLINK = 16;
const RTM_GETLINK = 18;
const ENODEV = 19;

function getLink(index: number): Uint8Array {
  const message = request(RTM_GETLINK, new Uint8Array(16));
  new DataView(message.buffer).setInt32(20, index, true);
  return message;
}

const descriptors = (): number => readdirSync('/proc/self/fd').length;

describe('the pool', () => {
  it('gives the last one back first, and keeps so many', () => {
    const before = descriptors();
    const pool = new NetlinkPool(K.NETLINK_ROUTE);
    const sockets = Array.from({ length: POOL_IDLE_MAX + 3 }, () => pool.take());
    for (const socket of sockets) pool.give(socket);
    expect(pool.idleCount).toBe(POOL_IDLE_MAX);
    expect(sockets.filter((socket) => socket.closed).length).toBe(3);
    expect(pool.take()).toBe(sockets[POOL_IDLE_MAX - 1]);
    expect(thrown(() => pool.give(sockets[0]))).toBeInstanceOf(TypeError);
    sockets[POOL_IDLE_MAX - 1].close();
    pool.close();
    expect(descriptors()).toBe(before);
  });

  it.each<[string, (socket: NetlinkSocket) => unknown]>([
    ['has something unread', (socket) => socket.send(request(RTM_GETLINK, new Uint8Array(16), 5))],
    ['joined a group', (socket) => socket.join(1)],
    ['is known by its port id', (socket) => socket.portId],
    ['is known by its descriptor', (socket) => socket.fd],
    ['is closed', (socket) => socket.close()],
    ['is shared', (socket) => NetlinkSocket.adopt(socket.share()).close()],
    ['is awaited', (socket) => void socket.readable().catch(() => {})],
    ['is in the middle of transactions', (socket) => void socket.transactAsync(getLink(1)).catch(() => {})],
    ['was given up on', (socket) => thrown(() => socket.transact(new Uint8Array(1 << 23)))],
  ])('does not keep one that %s', (_, spoil) => {
    const pool = new NetlinkPool(K.NETLINK_ROUTE);
    const socket = pool.take();
    spoil(socket);
    pool.give(socket);
    expect(pool.idleCount).toBe(0);
    expect(socket.closed).toBe(true);
  });

  it('does not keep one of another protocol', () => {
    const pool = new NetlinkPool(K.NETLINK_ROUTE);
    const other = NetlinkSocket.open(K.NETLINK_GENERIC);
    pool.give(other);
    expect([pool.idleCount, other.closed]).toEqual([0, true]);
  });

  it('keeps one after transactions, refused or not, and after a dump', () => {
    const pool = new NetlinkPool(K.NETLINK_ROUTE);
    const socket = pool.take();
    pool.give(socket);
    for (let i = 0; i < 10; i++) {
      expect(pool.transact(getLink(1)).length).toBeGreaterThan(100);
      expect(thrown(() => pool.transact(getLink(0x7fff_ffff)))).toMatchObject({ errno: ENODEV });
      expect([...pool.dump(request(RTM_GETLINK, new Uint8Array(16)))].length).toBeGreaterThan(0);
    }
    expect(pool.idleCount).toBe(1);
    expect(pool.take()).toBe(socket);
    socket.close();
  });

  it('a dump left half-way keeps its kernel socket to itself', () => {
    const before = descriptors();
    const pool = new NetlinkPool(K.NETLINK_ROUTE);
    const running = Array.from({ length: 3 }, () => pool.dump(request(RTM_GETLINK, new Uint8Array(16))));
    const first = running.map((one) => one.next()?.type);
    expect(first).toEqual([RTM_NEWLINK, RTM_NEWLINK, RTM_NEWLINK]);
    expect(pool.transact(getLink(1)).length).toBeGreaterThan(100);
    for (const one of running) one.close();
    expect(pool.transact(getLink(1)).length).toBeGreaterThan(100);
    pool.close();
    expect(descriptors()).toBe(before);
  });
});

describe('without a socket', () => {
  it('transact, transactMany and dump talk to the kernel', () => {
    expect(netlinkPool(K.NETLINK_ROUTE)).toBe(netlinkPool(K.NETLINK_ROUTE));
    expect(transact(K.NETLINK_ROUTE, getLink(1)).length).toBeGreaterThan(100);
    const batch = new TransactionBatch().addMessage(getLink(1)).addMessage(getLink(0x7fff_ffff));
    expect(transactMany(K.NETLINK_ROUTE, batch)).toBe(1);
    expect([batch.errno(0), batch.errno(1)]).toEqual([0, ENODEV]);
    const types = Array.from(
      dump(K.NETLINK_ROUTE, request(RTM_GETLINK, new Uint8Array(16))),
      (one: MessageCursor) => one.type,
    );
    expect(new Set(types)).toEqual(new Set([RTM_NEWLINK]));
  });
});
