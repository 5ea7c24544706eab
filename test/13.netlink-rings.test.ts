/*
 * NetlinkRing: frames of struct nl_mmap_hdr in WASM memory, filled from a socket; read, given back, wrapped around; with datagrams that do
 * not fit.
 */
import { afterAll, beforeAll, expect, it } from 'vitest';
import * as K from '../src/netlink/constants.ts';
import { type NetlinkRing, NetlinkSocket, NL_MMAP_HDRLEN } from '../src/netlink/index.ts';
import { describeNetlink as describe, NetlinkPeer, thrown } from './support/netlink-peer.ts';

const GROUP = 25;
const FRAME = 128;

let peer: NetlinkPeer;
beforeAll(async () => {
  peer = await NetlinkPeer.start();
});
afterAll(() => peer.stop());

function open(
  frameCount: number,
  options: object = {},
): { socket: NetlinkSocket; ring: NetlinkRing; view: Uint8Array } {
  const socket = NetlinkSocket.open(K.NETLINK_USERSOCK, { peer: -1, ...options });
  socket.join(GROUP);
  const view = new Uint8Array(new WebAssembly.Memory({ initial: 2, maximum: 2, shared: true }).buffer).fill(0xee);
  return { socket, view, ring: socket.ring({ view, offset: 65_536, frameSize: FRAME, frameCount }) };
}

/** The numbers of the notifications that are there. */
function read(ring: NetlinkRing): number[] {
  const numbers = [];
  while (ring.next()) {
    const { bytes, size, group } = ring;
    expect([bytes.length, group]).toEqual([size, GROUP]);
    numbers.push(bytes[16] | (bytes[17] << 8));
  }
  return numbers;
}

const range = (first: number, end: number): number[] => Array.from({ length: end - first }, (_, i) => first + i);

describe('a ring', () => {
  it('has the datagrams in order, in the frames, and takes no more than it has room for', async () => {
    const { socket, ring, view } = open(8);
    expect([ring.next(), ring.fill()]).toEqual([false, 0]);
    await peer.cast(GROUP, { count: 20, size: 40 });
    expect(ring.fill()).toBe(8);
    expect(ring.next()).toBe(true);
    expect(ring.offset).toBe(65_536 + NL_MMAP_HDRLEN);
    expect(ring.bytes.buffer).toBe(view.buffer);
    expect(ring.size).toBe(56);
    expect(read(ring)).toEqual(range(1, 8));
    expect([ring.next(), ring.fill()]).toEqual([false, 0]);
    ring.release(3);
    expect(ring.fill()).toBe(3);
    expect(read(ring)).toEqual([8, 9, 10]);
    ring.release();
    expect(ring.fill()).toBe(8);
    expect(read(ring)).toEqual(range(11, 19));
    ring.release();
    expect(ring.fill()).toBe(1);
    expect(read(ring)).toEqual([19]);
    expect(ring.overruns).toBe(0);
    expect(view.subarray(0, 65_536).every((byte) => byte === 0xee)).toBe(true);
    expect(view.subarray(65_536 + 8 * FRAME).every((byte) => byte === 0xee)).toBe(true);
    socket.close();
  });

  it('goes round many times', async () => {
    const { socket, ring } = open(5);
    for (let round = 0; round < 30; round++) {
      await peer.cast(GROUP, { count: 3 });
      expect(ring.fill()).toBe(3);
      expect(read(ring)).toEqual([0, 1, 2]);
      ring.release();
    }
    socket.close();
  });

  it('gives what does not fit a frame as a copy', async () => {
    const { socket, ring } = open(4);
    await peer.cast(GROUP, { count: 1, size: FRAME - NL_MMAP_HDRLEN - 16 });
    await peer.cast(GROUP, { count: 2, size: 5000 });
    await peer.cast(GROUP, { count: 1 });
    expect(ring.fill()).toBe(4);
    expect(ring.next() && ring.offset).toBe(65_536 + NL_MMAP_HDRLEN);
    for (let i = 0; i < 2; i++) {
      expect([ring.next(), ring.offset, ring.size, ring.bytes.length]).toEqual([true, -1, 5016, 5016]);
      expect(ring.bytes[16]).toBe(i);
    }
    expect(ring.next() && ring.bytes[16]).toBe(0);
    expect(ring.size).toBe(20);
    socket.close();
  });

  it('counts overruns, and goes on', async () => {
    const { socket, ring } = open(4, { receiveBufferSize: 8192 });
    await peer.cast(GROUP, { count: 300, size: 1000 });
    const numbers = [];
    while (ring.fill() > 0) {
      numbers.push(...read(ring));
      ring.release();
    }
    expect(ring.overruns).toBe(1);
    expect(numbers).toEqual(range(0, numbers.length));
    expect(numbers.length).toBeLessThan(300);
    await peer.cast(GROUP, { count: 1 });
    expect(ring.fill()).toBe(1);
    socket.close();
    expect(thrown(() => ring.fill())).toMatchObject({ code: 'ERR_NETLINK_CLOSED' });
  });

  it.each([
    ['frames without room', { frameSize: NL_MMAP_HDRLEN }],
    ['odd frames', { frameSize: 130 }],
    ['no frames', { frameCount: 0 }],
    ['more than the memory', { frameCount: 10_000 }],
    ['an odd address', { offset: 2 }],
  ])('refuses %s', (_, wrong) => {
    using socket = NetlinkSocket.open(K.NETLINK_USERSOCK, { peer: -1 });
    const memory = { view: new Uint8Array(65_536), offset: 0, frameSize: FRAME, frameCount: 8, ...wrong };
    expect(thrown(() => socket.ring(memory))).toBeInstanceOf(RangeError);
  });
});
