/*
 * The Netlink shim on sockets of the running kernel: open, options, send, receive, peek, drain, wait, close.
 */
import { readFileSync, readlinkSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import * as N from '../src/native/netlink.ts';
import * as K from '../src/netlink/constants.ts';
import { addon, header, message, openSocket, reason, wasmView } from './support/netlink-shim.ts';

const EPERM = 1;
const EBADF = 9;
const EAGAIN = 11;
const ENOBUFS = 105;
const EADDRINUSE = 98;
const EPROTONOSUPPORT = 93;
const ECONNREFUSED = 111;

const noop = message({ type: K.NLMSG_NOOP, flags: K.NLM_F_REQUEST | K.NLM_F_ACK, seq: 77 });

/** The kernel's own answer about a descriptor. */
function target(fd: number): string {
  return readlinkSync(`/proc/self/fd/${fd}`);
}

describe.skipIf(reason)('the Netlink shim', () => {
  test('a socket knows its port id, its peer and what buffer it was granted; the kernel lists it', () => {
    const socket = openSocket({ protocol: K.NETLINK_ROUTE });
    expect(socket).toMatchObject({ protocol: K.NETLINK_ROUTE, peer: 0, closed: false });
    expect(socket.receiveBufferSize).toBeGreaterThan(0);
    expect(target(socket.fd)).toMatch(/^socket:/);
    const rows = readFileSync('/proc/net/netlink', 'utf8').split('\n');
    expect(rows.some((row) => Number(row.trim().split(/\s+/)[2]) === socket.portId)).toBe(true);
  });

  test('a chosen port id is taken once; a protocol that does not exist is refused', () => {
    const socket = openSocket({ protocol: K.NETLINK_USERSOCK, portId: 0xfffffff1 });
    expect(socket.portId).toBe(0xfffffff1);
    expect(addon().NetlinkSocket.open({ protocol: K.NETLINK_USERSOCK, portId: 0xfffffff1 })).toBe(-EADDRINUSE);
    expect(addon().NetlinkSocket.open({ protocol: 99 })).toBe(-EPROTONOSUPPORT);
  });

  test('an acknowledgement of the kernel arrives in shared WASM memory', () => {
    const socket = openSocket({ protocol: K.NETLINK_ROUTE });
    const view = wasmView();
    view.set(noop, 4096);
    expect(socket.send(view, 4096, noop.length, 0)).toBe(0);
    expect(socket.wait(1000)).toBe(1);
    expect(socket.peekSize()).toBe(36);
    const rows = new Int32Array(N.RECEIVE_ROW_WORDS * 2);
    expect(socket.receive(view, 1024, 512, 2, rows, 0)).toBe(1);
    expect([...rows.subarray(0, 8)]).toEqual([1024, 36, 0, 0, 0, -1, -1, -1]);
    expect(header(view, 1024)).toMatchObject({ size: 36, type: K.NLMSG_ERROR, seq: 77, portId: socket.portId });
    expect(socket.receive(view, 1024, 512, 2, rows, 0)).toBe(0);
    expect(socket.peekSize()).toBe(-EAGAIN);
  });

  test('a datagram longer than its slot is cut and its row says how long it was', () => {
    const receiver = openSocket({ protocol: K.NETLINK_USERSOCK, peer: -1 });
    const sender = openSocket({ protocol: K.NETLINK_USERSOCK, peer: receiver.portId });
    const view = new Uint8Array(4096).fill(0xee);
    const bytes = Uint8Array.from({ length: 1000 }, (_, i) => i);
    expect(sender.send(bytes, 0, 1000, 0)).toBe(0);
    expect(sender.send(bytes, 0, 4, 0)).toBe(0);
    const rows = new Int32Array(N.RECEIVE_ROW_WORDS * 3);
    expect(receiver.receive(view, 100, 600, 3, rows, 0)).toBe(2);
    expect([...rows.subarray(0, 4)]).toEqual([100, 1000, N.RECEIVE_TRUNCATED, sender.portId | 0]);
    expect([...rows.subarray(8, 12)]).toEqual([700, 4, 0, sender.portId | 0]);
    expect(view.subarray(100, 700)).toEqual(bytes.subarray(0, 600));
    expect(view[99]).toBe(0xee);
    expect(view[704]).toBe(0xee);
    expect(receiver.statistics()).toMatchObject({ received: 2, truncated: 1 });
  });

  test('a full receive buffer of the kernel is ENOBUFS once, and what is queued is still there', () => {
    const socket = openSocket({ protocol: K.NETLINK_ROUTE, receiveBufferSize: 1 });
    let sent = 0;
    while (sent < 100) {
      expect(socket.send(noop, 0, noop.length, 0)).toBe(0);
      sent++;
    }
    const rows = new Int32Array(N.RECEIVE_ROW_WORDS * 64);
    const view = new Uint8Array(64 * 64);
    expect(socket.receive(view, 0, 64, 64, rows, 0)).toBe(-ENOBUFS);
    const queued = socket.receive(view, 0, 64, 64, rows, 0);
    expect(queued).toBeGreaterThan(0);
    expect(queued).toBeLessThan(sent);
    expect(socket.statistics()).toMatchObject({ sent, overruns: 1, received: queued });
  });

  test('sending to nobody, and to somebody who does not read', () => {
    const receiver = openSocket({ protocol: K.NETLINK_USERSOCK, peer: -1, receiveBufferSize: 1 });
    const sender = openSocket({ protocol: K.NETLINK_USERSOCK, peer: -1 });
    const bytes = new Uint8Array(1024);
    expect(sender.send(bytes, 0, 16, 0, 0x7fffffff)).toBe(-ECONNREFUSED);
    let error = 0;
    for (let i = 0; i < 100 && error === 0; i++) error = sender.send(bytes, 0, 1024, 0, receiver.portId);
    expect(error).toBe(-EAGAIN);
    expect(sender.send(bytes, 0, 1024, 20, receiver.portId)).toBe(-EAGAIN);
    expect(receiver.drain()).toBeGreaterThan(0);
    expect(sender.send(bytes, 0, 1024, 20, receiver.portId)).toBe(0);
    expect(receiver.drain()).toBe(1);
    expect(receiver.drain()).toBe(0);
  });

  test('a group is heard by its number; groups have no kernel side to refuse them', (context) => {
    const receiver = openSocket({ protocol: K.NETLINK_USERSOCK, peer: -1 });
    const sender = openSocket({ protocol: K.NETLINK_USERSOCK, peer: -1 });
    const joined = receiver.setOption(K.NETLINK_ADD_MEMBERSHIP, 3);
    context.skip(joined === -EPERM, 'needs CAP_NET_ADMIN to join a group');
    expect(joined).toBe(0);
    expect(sender.send(noop, 0, noop.length, 0, 0, 1 << 2)).toBe(0);
    const rows = new Int32Array(N.RECEIVE_ROW_WORDS);
    expect(receiver.receive(new Uint8Array(64), 0, 64, 1, rows, 0)).toBe(1);
    expect(rows[N.RECEIVE_GROUP]).toBe(3);
    expect(receiver.setOption(K.NETLINK_DROP_MEMBERSHIP, 3)).toBe(0);
    expect(sender.send(noop, 0, noop.length, 0, 0, 1 << 2)).toBe(0);
    expect(receiver.peekSize()).toBe(-EAGAIN);
  });

  test('credentials come from the kernel, whatever the sender wrote', () => {
    const receiver = openSocket({ protocol: K.NETLINK_USERSOCK, peer: -1 });
    const sender = openSocket({ protocol: K.NETLINK_USERSOCK, peer: receiver.portId });
    const rows = new Int32Array(N.RECEIVE_ROW_WORDS);
    expect(receiver.passCredentials(true)).toBe(0);
    sender.send(noop, 0, noop.length, 0);
    expect(receiver.receive(new Uint8Array(64), 0, 64, 1, rows, 0)).toBe(1);
    expect(rows[N.RECEIVE_PID]).toBe(process.pid);
    expect(rows[N.RECEIVE_UID]).toBe(process.getuid?.());
  });

  test('sequence numbers run in a row, never 0, and start again before 2^31', () => {
    const socket = openSocket({ protocol: K.NETLINK_ROUTE });
    expect([socket.allocateSequence(1), socket.allocateSequence(5), socket.allocateSequence(1)]).toEqual([1, 2, 7]);
    socket.setSequence(2 ** 31 - 2);
    expect(socket.allocateSequence(2)).toBe(2 ** 31 - 2);
    expect(socket.allocateSequence(1)).toBe(1);
    socket.setSequence(2 ** 31 - 2);
    expect(socket.allocateSequence(3)).toBe(1);
  });

  test('the event loop calls while there is something, also after an overrun, until unwatched', async () => {
    const socket = openSocket({ protocol: K.NETLINK_ROUTE, receiveBufferSize: 1 });
    for (let i = 0; i < 100; i++) socket.send(noop, 0, noop.length, 0);
    const rows = new Int32Array(N.RECEIVE_ROW_WORDS);
    const view = new Uint8Array(64);
    const answers: number[] = [];
    const call = () =>
      new Promise<void>((resolve) => {
        expect(
          socket.watch(() => {
            answers.push(socket.receive(view, 0, 64, 1, rows, 0));
            if (answers.at(-1) === 1 && socket.peekSize() === -EAGAIN) resolve();
          }),
        ).toBe(0);
      });
    await call();
    expect(answers[0]).toBe(-ENOBUFS);
    expect(answers.slice(1).every((answer) => answer === 1)).toBe(true);
    answers.length = 0;
    socket.send(noop, 0, noop.length, 0);
    await call();
    expect(answers).toEqual([1]);
    socket.unwatch();
    socket.send(noop, 0, noop.length, 0);
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(answers).toEqual([1]);
    expect(socket.peekSize()).toBe(36);
  });

  test('a closed socket answers EBADF, and closes again without a word', () => {
    const socket = openSocket({ protocol: K.NETLINK_ROUTE });
    const view = new Uint8Array(64);
    socket.close();
    socket.close();
    expect(socket).toMatchObject({ closed: true, fd: -1 });
    expect(socket.send(view, 0, 16, 0)).toBe(-EBADF);
    expect(socket.receive(view, 0, 64, 1, new Int32Array(8), 0)).toBe(-EBADF);
    expect([socket.peekSize(), socket.drain(), socket.wait(0), socket.share()]).toEqual([
      -EBADF,
      -EBADF,
      -EBADF,
      -EBADF,
    ]);
    expect(socket.watch(() => {})).toBe(-EBADF);
    expect(socket.setOption(K.NETLINK_EXT_ACK, 1)).toBe(-EBADF);
    expect(socket.setReceiveBuffer(4096)).toBe(-EBADF);
    expect(socket.passCredentials(true)).toBe(-EBADF);
    socket.unwatch();
    socket.ref();
    socket.unref();
  });

  test('misuse throws before anything happens', () => {
    const socket = openSocket({ protocol: K.NETLINK_ROUTE });
    const wrong = (call: (s: Record<string, (...args: unknown[]) => unknown>) => unknown) => () =>
      call(socket as unknown as Record<string, (...args: unknown[]) => unknown>);
    const view = new Uint8Array(64);
    const rows = new Int32Array(8);
    for (const call of [
      wrong((s) => s.send?.(new ArrayBuffer(16), 0, 16, 0)),
      wrong((s) => s.send?.(new Int32Array(16), 0, 16, 0)),
      wrong((s) => s.send?.(view, '0', 16, 0)),
      wrong((s) => s.receive?.(view, 0, 64, 1, new Uint32Array(8), 0)),
      wrong((s) => s.receive?.(view, 0, 64, 1, rows)),
      wrong((s) => s.watch?.(1)),
      wrong((s) => s.passCredentials?.(1)),
      () => Reflect.construct(addon().NetlinkSocket as unknown as typeof Object, []),
      () => Reflect.apply(socket.close, {}, []),
    ]) {
      expect(call).toThrow(TypeError);
    }
    for (const call of [
      () => socket.send(view, 0, 65, 0),
      () => socket.send(view, 60, 8, 0),
      () => socket.send(view, -1, 8, 0),
      () => socket.send(view, 0.5, 8, 0),
      () => socket.send(view, 0, 8, Number.NaN),
      () => socket.receive(view, 0, 33, 2, new Int32Array(16), 0),
      () => socket.receive(view, 0, 32, 2, rows, 0),
      () => socket.receive(view, 0, 32, 0, rows, 0),
      () => socket.allocateSequence(0),
      () => socket.setSequence(0),
      () => socket.setSequence(2 ** 31),
      () => socket.setReceiveBuffer(0),
      () => addon().NetlinkSocket.open({ protocol: -1 }),
      () => addon().NetlinkSocket.open({ protocol: 0, peer: -2 }),
    ]) {
      expect(call).toThrow(RangeError);
    }
    const gone = new Uint8Array(64);
    structuredClone(gone.buffer, { transfer: [gone.buffer] });
    expect(() => socket.send(gone, 0, 16, 0)).toThrow(RangeError);
    expect(() =>
      addon().NetlinkSocket.open({
        get protocol(): number {
          throw new Error('from the getter');
        },
      }),
    ).toThrow('from the getter');
    expect(socket.statistics().sent).toBe(0);
  });
});
