/*
 * Subscriptions and resynchronisation against the kernel, in network namespaces of their own: `ip` makes, changes and removes links, addresses
 * and neighbours (support/netlink-links.mjs), and what `ip -j` says in the end is what must have been told. And subscriptions at a FamilyServer.
 *
 * SEED sets the seed of the changes.
 */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { clearFamilies, lookupFamilyAsync, lookupGroupAsync } from '../src/netlink/generic.ts';
import {
  AttributeCursor,
  type MessageCursor,
  NETLINK_ROUTE,
  NETLINK_USERSOCK,
  NLM_F_DUMP,
} from '../src/netlink/index.ts';
import { type SubscriptionItem, subscribe } from '../src/netlink/multicast.ts';
import { type Resynchronised, resync, type TableChange } from '../src/netlink/resync.ts';
import { FamilyServer } from '../src/netlink/server/server.ts';
import { message, u32 } from './support/netlink-client.ts';
import { GET, NUMBERS, Numbers, SET, VALUE } from './support/netlink-family.ts';

const SEED = process.env.SEED ?? '20261121';
const PROGRAM = path.join(import.meta.dirname, 'support', 'netlink-links.mjs');
const [RTM_NEWLINK, RTM_DELLINK, RTM_NEWADDR, RTM_DELADDR] = [16, 17, 20, 21];
const [RTNLGRP_LINK, RTNLGRP_IPV4_IFADDR] = [1, 5];
const HEADERS_SIZE = 24;

function whyNoNamespace(): string | undefined {
  const { status, stderr, error } = spawnSync('unshare', ['-n', 'ip', 'link', 'add', 'x', 'type', 'bridge']);
  return status === 0 ? undefined : `no network namespace with a bridge: ${error ?? stderr}`;
}

async function inNamespace<T>(...args: string[]): Promise<T> {
  const child = spawn('unshare', ['-n', process.execPath, PROGRAM, ...args], { stdio: ['ignore', 'pipe', 'inherit'] });
  const chunks = await child.stdout.toArray();
  if (child.exitCode === null) await once(child, 'exit');
  return JSON.parse(chunks.join('')) as T;
}

describe('the kernel', () => {
  const reason = whyNoNamespace();

  it('tells of links and addresses, by group', async ({ skip }) => {
    skip(reason !== undefined, reason);
    const { seen, closed } = await inNamespace<{ seen: unknown[][]; closed: boolean }>('notifications');
    const types = seen.map(([type]) => type);
    expect(types[0]).toBe(RTM_NEWLINK);
    expect(types.at(-1)).toBe(RTM_DELLINK);
    expect(types).toContain(RTM_NEWADDR);
    expect(types.indexOf(RTM_DELADDR)).toBeGreaterThan(types.indexOf(RTM_NEWADDR));
    for (const [type, group, portId, nsid, name] of seen) {
      const isLink = type === RTM_NEWLINK || type === RTM_DELLINK;
      expect([group, portId, nsid, name]).toEqual(
        isLink ? [RTNLGRP_LINK, 0, -1, 'first'] : [RTNLGRP_IPV4_IFADDR, 0, -1, null],
      );
    }
    expect(closed).toBe(true);
  });

  it('tells of devices in text', async ({ skip }) => {
    skip(reason !== undefined, reason);
    const { type, group, lines } = await inNamespace<{ type: number; group: number; lines: string[] }>('uevent');
    expect([type, group, lines[0]]).toEqual([0, 1, 'add@/devices/virtual/net/seen']);
    expect(lines).toContain('INTERFACE=seen');
  });

  it('overruns a reader that does not read, once, and goes on', async ({ skip }) => {
    skip(reason !== undefined, reason);
    const { items, count, after } = await inNamespace<{ items: string[]; count: number; after: string }>('overrun');
    expect(items.filter((item) => item === 'overrun')).toHaveLength(1);
    expect(items.length).toBeGreaterThan(1);
    expect(items.length).toBeLessThan(count);
    expect(after).toBe('after');
  });

  it('is left by return while a next waits, by an aborted signal, and answers two nexts in order', async ({ skip }) => {
    skip(reason !== undefined, reason);
    expect(await inNamespace('leaving')).toEqual({
      returned: { done: true },
      after: { done: true },
      rejected: 'AbortError',
      closed: [true, true],
      names: ['one', 'two'],
    });
  });

  interface Followed {
    account: { resynchronised: number; overruns: number; dumps: number; changes: number; wrong: number };
    ours: string[];
    theirs: string[];
  }

  it('is followed by resync through overruns: in the end, what was told is what there is', async ({ skip }) => {
    skip(reason !== undefined, reason);
    const { neighbours, links } = await inNamespace<{ neighbours: Followed; links: Followed }>('resync', SEED);
    console.log(
      `seed ${SEED}, neighbours ${JSON.stringify(neighbours.account)}, links ${JSON.stringify(links.account)}`,
    );
    expect(neighbours.ours).toEqual(neighbours.theirs);
    expect(links.ours).toEqual(links.theirs);
    expect(neighbours.ours.length).toBeGreaterThan(500);
    expect(neighbours.account.overruns).toBeGreaterThan(0);
    expect([neighbours.account.wrong, links.account.wrong]).toEqual([0, 0]);
  });

  it('refuses groups that it does not have', () => {
    expect(() => subscribe(NETLINK_ROUTE, [9_999])).toThrow(
      expect.objectContaining({ code: 'ERR_NETLINK_NO_SUCH_GROUP' }),
    );
    expect(() => subscribe(NETLINK_ROUTE, [0])).toThrow(RangeError);
  });
});

describe('a FamilyServer', () => {
  let numbers: Numbers;
  let server: FamilyServer;

  beforeEach(() => {
    numbers = new Numbers();
    server = FamilyServer.open({ families: [numbers.family] });
  });

  afterEach(() => {
    clearFamilies();
    server.close();
  });

  function numberIn(item: SubscriptionItem | TableChange<unknown> | Resynchronised | undefined): number | undefined {
    if (item === undefined || !('bytes' in item)) return undefined;
    const cursor = new AttributeCursor(item.bytes, HEADERS_SIZE);
    return cursor.next() && cursor.type === VALUE ? cursor.u32() : undefined;
  }

  function tell(value: number): number {
    return server.notify(NUMBERS, 'changes', SET, (writer) => writer.u32(VALUE, value));
  }

  it('is subscribed to by a message, and tells how many it dropped', async () => {
    const group = await lookupGroupAsync(NUMBERS, 'changes', server.portId);
    const options = { peer: server.portId, receiveBufferSize: 4_096 };
    const subscription = subscribe(NETLINK_USERSOCK, [group], options);
    await subscription.ready;
    for (let value = 1; value <= 100; value++) tell(value);
    const values: (number | undefined)[] = [];
    let lost = 0;
    for await (const item of subscription) {
      if (item.overrun) {
        lost = item.count ?? 0;
        break;
      }
      expect(item).toMatchObject({ portId: server.portId, group: 0, type: server.idOf(NUMBERS) });
      values.push(numberIn(item));
    }
    expect(values).toEqual(values.map((_, index) => index + 1));
    expect(values.length + lost).toBe(100);
    expect(subscription.closed).toBe(true);
    expect(tell(101)).toBe(0);
  });

  it('is followed by resync: notifications during the dump are not lost and not told twice', async () => {
    numbers.count = 1_000;
    const group = await lookupGroupAsync(NUMBERS, 'changes', server.portId);
    const { id } = await lookupFamilyAsync(NUMBERS, server.portId);
    // During the dump a number comes that it does not have, and one is told that it has; later one more.
    numbers.onStep = (index) => {
      if (index === 500) for (const value of [5_000, 3]) tell(value);
    };
    const table = resync({
      protocol: NETLINK_USERSOCK,
      peer: server.portId,
      groups: [group],
      dump: message({ type: id, flags: NLM_F_DUMP, seq: 0, command: GET, body: u32(0) }),
      key: numberOf,
      isRemoval: () => false,
      equal: () => true,
    });
    function numberOf(found: MessageCursor): number {
      const cursor = found.attributes(8);
      return cursor.next() ? cursor.u32() : -1;
    }
    const told: (number | undefined)[] = [];
    for await (const item of table) {
      if (item.resynchronised) {
        expect(item).toMatchObject({ cause: 'start', count: 1_001, dumps: 1 });
        tell(6_000);
        tell(7);
        tell(6_001);
        continue;
      }
      expect(item.change).toBe('added');
      told.push(numberIn(item));
      if (told.length === 1_003) break;
    }
    expect(told.slice(0, 1_001).sort((one, other) => Number(one) - Number(other))).toEqual([
      ...Array.from({ length: 1_000 }, (_, index) => index),
      5_000,
    ]);
    expect(told.slice(1_001)).toEqual([6_000, 6_001]);
  });
});
