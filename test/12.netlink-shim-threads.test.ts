/*
 * The Netlink shim in several threads: a socket shared, closed under those who wait, and threads that are terminated in the middle of it.
 */
import { once } from 'node:events';
import { existsSync, readdirSync } from 'node:fs';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { Worker } from 'node:worker_threads';
import { describe, expect, onTestFinished, test } from 'vitest';
import { addonFiles } from '../src/native/load.ts';
import type { NativeNetlinkSocket } from '../src/native/netlink.ts';
import { packageRoot } from '../src/native/package-root.ts';
import * as K from '../src/netlink/constants.ts';
import { addon, openSocket, reason, shared } from './support/netlink-shim.ts';

const EBADF = 9;
const EINVAL = 22;
const ENOTSOCK = 88;
const ECANCELED = 125;

const addonFile = addonFiles(packageRoot())[0];
const descriptors = () => readdirSync('/proc/self/fd').length;

/** A worker that has adopted the socket and is about to do `what`. */
async function worker(socket: NativeNetlinkSocket, what: string): Promise<Worker> {
  const file = new URL('./support/netlink-shim-worker.mjs', import.meta.url);
  const made = new Worker(file, { workerData: { addonFile, handle: shared(socket), what } });
  onTestFinished(async () => void (await made.terminate()));
  expect(await once(made, 'message')).toEqual(['ready']);
  return made;
}

function pair() {
  const receiver = openSocket({ protocol: K.NETLINK_USERSOCK, peer: -1, receiveBufferSize: 1 << 20 });
  const sender = openSocket({ protocol: K.NETLINK_USERSOCK, peer: receiver.portId });
  return { receiver, sender };
}

/** Long enough for the other thread to be inside of its call; what is tested holds just as well when it is not yet. */
const settle = () => new Promise((resolve) => setTimeout(resolve, 30));

describe.skipIf(reason)('threads on one socket', () => {
  test.each(['receive', 'wait', 'watchClosed'])('closing ends a %s in another thread with ECANCELED', async (what) => {
    const { receiver } = pair();
    const other = await worker(receiver, what);
    await settle();
    receiver.close();
    expect(await once(other, 'message')).toEqual([-ECANCELED]);
  });

  test('an adopter that closes ends the wait of the owner, also on its event loop', async () => {
    const { receiver, sender } = pair();
    const rows = new Int32Array(8);
    const view = new Uint8Array(64);
    const told = new Promise<number>((resolve) => {
      receiver.watch(() => resolve(receiver.receive(view, 0, 64, 1, rows, 0)));
    });
    await worker(receiver, 'close');
    expect(await told).toBe(-ECANCELED);
    expect(receiver.wait(-1)).toBe(-ECANCELED);
    expect(receiver.receive(view, 0, 64, 1, rows, -1)).toBe(-ECANCELED);
    expect(receiver.fillRing(new Uint8Array(256), 0, 256, 1, 0, 1)).toBe(-ECANCELED);
    expect(sender.send(view, 0, 64, 0)).toBe(0);
    expect(receiver.receive(view, 0, 64, 1, rows, 0)).toBe(-ECANCELED);
  });

  test('what three threads receive is what was sent, each datagram once', async () => {
    const { receiver, sender } = pair();
    const others = await Promise.all([1, 2, 3].map(() => worker(receiver, 'collect')));
    const count = 2000;
    const bytes = new Uint8Array(4);
    for (let i = 0; i < count; i++) {
      new DataView(bytes.buffer).setUint32(0, i, true);
      expect(sender.send(bytes, 0, 4, 10_000)).toBe(0);
    }
    while (receiver.peekSize() > 0) await settle();
    await settle();
    receiver.close();
    const results = await Promise.all(others.map(async (other) => (await once(other, 'message'))[0]));
    expect(results.map((result) => result.count)).toEqual([-ECANCELED, -ECANCELED, -ECANCELED]);
    const numbers = results.flatMap((result) => result.numbers as number[]).sort((a, b) => a - b);
    expect(numbers).toEqual(Array.from({ length: count }, (_, i) => i));
  });

  test.each(['receive', 'watch', 'wait'])(
    '20 threads terminated in the middle of a %s: no crash, no descriptor left',
    async (what) => {
      const { receiver, sender } = pair();
      const first = await worker(receiver, what);
      await first.terminate();
      const before = descriptors();
      for (let round = 0; round < 4; round++) {
        const others = await Promise.all([1, 2, 3, 4, 5].map(() => worker(receiver, what)));
        await settle();
        await Promise.all(others.map((other) => other.terminate()));
      }
      expect(descriptors()).toBe(before);
      expect(sender.send(new Uint8Array(8), 0, 8, 0)).toBe(0);
      expect(receiver.peekSize()).toBe(8);
    },
  );

  test('what a callback of the event loop throws is uncaught in its thread', async () => {
    const { receiver, sender } = pair();
    const other = await worker(receiver, 'throw');
    const failed = once(other, 'error');
    expect(sender.send(new Uint8Array(4), 0, 4, 0)).toBe(0);
    expect((await failed)[0]).toMatchObject({ message: 'from the callback' });
  });

  test('only a shared Netlink socket can be adopted, and what is refused stays the caller’s', () => {
    const { receiver } = pair();
    const { NetlinkSocket } = addon();
    const handle = shared(receiver);
    expect(NetlinkSocket.adopt({ ...handle, fd: 1 << 20 })).toBe(-EBADF);
    expect(NetlinkSocket.adopt({ ...handle, fd: handle.wakeFd })).toBe(-ENOTSOCK);
    expect(NetlinkSocket.adopt({ ...handle, wakeFd: handle.fd })).toBe(-EINVAL);
    expect(NetlinkSocket.adopt({ ...handle, protocol: K.NETLINK_ROUTE })).toBe(-EINVAL);
    expect(() => NetlinkSocket.adopt({ ...handle, fd: -1 })).toThrow(RangeError);
    expect(existsSync(`/proc/self/fd/${handle.fd}`)).toBe(true);
    const adopted = NetlinkSocket.adopt(handle);
    if (typeof adopted === 'number') throw new Error(`adopt: errno ${-adopted}`);
    expect(adopted).toMatchObject({ protocol: K.NETLINK_USERSOCK, peer: -1, portId: receiver.portId });
    adopted.close();
    expect(existsSync(`/proc/self/fd/${handle.fd}`)).toBe(false);
    expect(existsSync(`/proc/self/fd/${handle.wakeFd}`)).toBe(false);
  });

  test('a socket that nobody holds is closed by the garbage collector, unless it is watched', async () => {
    setFlagsFromString('--expose-gc');
    const collect = runInNewContext('gc') as () => void;
    const before = descriptors();
    const { sender, portId, calls } = forgotten();
    for (let i = 0; i < 20 && descriptors() > before + 2; i++) {
      collect();
      await settle();
    }
    expect(descriptors()).toBe(before + 2);
    expect(sender.send(new Uint8Array(8), 0, 8, 0, portId)).toBe(0);
    while (calls.length === 0) await settle();
    expect(calls).toEqual([1]);
    sender.close();
    while (descriptors() > before) {
      collect();
      await settle();
    }
  });
});

/** Ten sockets without a holder, and one that only its watch holds. */
function forgotten() {
  for (let i = 0; i < 10; i++) addon().NetlinkSocket.open({ protocol: K.NETLINK_USERSOCK });
  const sender = addon().NetlinkSocket.open({ protocol: K.NETLINK_USERSOCK, peer: -1 }) as NativeNetlinkSocket;
  const watched = addon().NetlinkSocket.open({ protocol: K.NETLINK_USERSOCK, peer: -1 }) as NativeNetlinkSocket;
  const calls: number[] = [];
  watched.watch(() => {
    calls.push(watched.receive(new Uint8Array(8), 0, 8, 1, new Int32Array(8), 0));
    watched.close();
  });
  return { sender, portId: watched.portId, calls };
}
