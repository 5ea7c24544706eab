/*
 * Ring frames: struct nl_mmap_hdr frames in shared WASM memory, filled by the shim as the kernel filled mapped rings.
 */
import { describe, expect, test } from 'vitest';
import * as N from '../src/native/netlink.ts';
import * as K from '../src/netlink/constants.ts';
import { openSocket, reason, wasmView } from './support/netlink-shim.ts';

const EBADF = 9;
const EAGAIN = 11;
const ENOPROTOOPT = 92;

// struct nl_mmap_hdr and its states
const NM_LEN = 1;
const NM_GROUP = 2;
const NM_PID = 3;
const NM_UID = 4;
const NM_GID = 5;
const HDRLEN = 24;
const UNUSED = 0;
const VALID = 2;
const COPY = 3;

const frameSize = 128;
const frameCount = 4;
const base = 256;

function ring() {
  const receiver = openSocket({ protocol: K.NETLINK_USERSOCK, peer: -1 });
  const sender = openSocket({ protocol: K.NETLINK_USERSOCK, peer: receiver.portId });
  const view = wasmView();
  view.fill(0xee);
  for (let i = 0; i < frameCount; i++) view.fill(0, base + i * frameSize, base + i * frameSize + HDRLEN);
  const words = (i: number) => new Int32Array(view.buffer, base + i * frameSize, HDRLEN / 4);
  return {
    receiver,
    view,
    words,
    status: () => Array.from({ length: frameCount }, (_, i) => Atomics.load(words(i), 0)),
    payload: (i: number, size: number) =>
      view.slice(base + i * frameSize + HDRLEN, base + i * frameSize + HDRLEN + size),
    send: (size: number, value: number) => expect(sender.send(new Uint8Array(size).fill(value), 0, size, 0)).toBe(0),
    fill: (start: number, count: number) => receiver.fillRing(view, base, frameSize, frameCount, start, count),
  };
}

describe.skipIf(reason)('ring frames', () => {
  test('frames are filled in order, around the end, and only where they are unused', () => {
    const { fill, send, status, words, payload, view } = ring();
    expect(fill(0, 4)).toBe(0);
    for (let i = 0; i < 6; i++) send(20 + i, i);
    expect(fill(2, 3)).toBe(3);
    expect(status()).toEqual([VALID, UNUSED, VALID, VALID]);
    expect([...words(2)]).toEqual([VALID, 20, 0, -1, -1, -1]);
    expect(payload(2, 20)).toEqual(new Uint8Array(20).fill(0));
    expect(payload(0, 22)).toEqual(new Uint8Array(22).fill(2));
    expect(fill(1, 4)).toBe(1);
    expect(fill(2, 4)).toBe(0);
    Atomics.store(words(2), 0, UNUSED);
    expect(fill(2, 4)).toBe(1);
    expect(payload(2, 24)).toEqual(new Uint8Array(24).fill(4));
    expect(status()).toEqual([VALID, VALID, VALID, VALID]);
    expect(view[base - 1]).toBe(0xee);
    expect(view[base + frameSize * frameCount]).toBe(0xee);
  });

  test('what does not fit is COPY with its whole length, and comes first with the next receive', () => {
    const { fill, send, status, words, payload, receiver } = ring();
    const room = frameSize - HDRLEN;
    send(room, 1);
    send(room + 1, 2);
    send(70_000, 3);
    send(10, 4);
    expect(fill(0, 4)).toBe(4);
    expect(status()).toEqual([VALID, COPY, COPY, VALID]);
    expect([words(0)[NM_LEN], words(1)[NM_LEN], words(2)[NM_LEN]]).toEqual([room, room + 1, 70_000]);
    expect(payload(0, room)).toEqual(new Uint8Array(room).fill(1));
    send(5, 5);
    const bytes = new Uint8Array(80_000);
    const rows = new Int32Array(N.RECEIVE_ROW_WORDS * 2);
    expect(receiver.peekSize()).toBe(room + 1);
    expect(receiver.wait(-1)).toBe(1);
    expect(receiver.receive(bytes, 0, 40_000, 2, rows, 0)).toBe(2);
    expect([...rows.subarray(0, 3)]).toEqual([0, room + 1, 0]);
    expect([...rows.subarray(8, 11)]).toEqual([40_000, 70_000, N.RECEIVE_TRUNCATED]);
    expect(bytes.subarray(0, room + 1)).toEqual(new Uint8Array(room + 1).fill(2));
    expect(bytes.subarray(40_000)).toEqual(new Uint8Array(40_000).fill(3));
    expect(receiver.receive(bytes, 0, 100, 1, rows, 0)).toBe(1);
    expect(rows[N.RECEIVE_SIZE]).toBe(5);
  });

  test('a COPY that is never fetched is drained and goes with the socket', () => {
    const { fill, send, receiver } = ring();
    send(1000, 1);
    expect(fill(0, 1)).toBe(1);
    expect(receiver.drain()).toBe(1);
    expect(receiver.peekSize()).toBe(-EAGAIN);
    send(1000, 1);
    expect(fill(1, 1)).toBe(1);
    receiver.close();
    expect(fill(2, 1)).toBe(-EBADF);
  });

  test('the frame says the group and who sent it', (context) => {
    const { fill, receiver, words } = ring();
    receiver.passCredentials(true);
    context.skip(receiver.setOption(K.NETLINK_ADD_MEMBERSHIP, 9) < 0, 'needs CAP_NET_ADMIN to join a group');
    const sender = openSocket({ protocol: K.NETLINK_USERSOCK, peer: -1 });
    expect(sender.send(new Uint8Array(16), 0, 16, 0, 0, 1 << 8)).toBe(0);
    expect(fill(0, 1)).toBe(1);
    const [pid, uid, gid] = [process.pid, process.getuid?.(), process.getgid?.()];
    expect([words(0)[NM_GROUP], words(0)[NM_PID], words(0)[NM_UID], words(0)[NM_GID]]).toEqual([9, pid, uid, gid]);
  });

  test('this kernel maps no rings: ENOPROTOOPT, and the memory is as it was', () => {
    const { receiver } = ring();
    const memory = wasmView(4).fill(7);
    expect(receiver.mapRing(K.NETLINK_RX_RING, memory, 0, 65_536, 2, 4096)).toBe(-ENOPROTOOPT);
    expect(receiver.mapRing(K.NETLINK_TX_RING, memory, 65_536, 65_536, 2, 4096)).toBe(-ENOPROTOOPT);
    receiver.unmapRings();
    expect(memory.every((byte) => byte === 7)).toBe(true);
  });

  test('frames outside of the view, or not aligned, are misuse', () => {
    const { receiver, view } = ring();
    for (const call of [
      () => receiver.fillRing(view, view.length - 500, frameSize, frameCount, 0, 1),
      () => receiver.fillRing(view, 2, frameSize, frameCount, 0, 1),
      () => receiver.fillRing(view, 0, 130, frameCount, 0, 1),
      () => receiver.fillRing(view, 0, 36, frameCount, 0, 1),
      () => receiver.fillRing(view, 0, frameSize, frameCount, 4, 1),
      () => receiver.fillRing(view, 0, 2 ** 31 - 4, 2 ** 31 - 1, 0, 1),
      () => receiver.mapRing(K.NETLINK_RX_RING, view, 4, 65_536, 1, 4096),
      () => receiver.mapRing(K.NETLINK_RX_RING, view, 0, 65_536, 5, 4096),
      () => receiver.mapRing(K.NETLINK_CAP_ACK, view, 0, 65_536, 1, 4096),
    ]) {
      expect(call).toThrow(RangeError);
    }
  });
});
