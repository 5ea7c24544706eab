/*
 * Runs in a network namespace of its own (`unshare -n node netlink-links.mjs TASK`) and prints what it saw as JSON. Tasks:
 *
 *   notifications   what a subscription hears while `ip` makes, changes and removes things
 *   overrun         how a slow reader with a small buffer hears of its loss
 *   leaving         how a loop is left: break, return while a next waits, an aborted signal
 *   uevent          what NETLINK_KOBJECT_UEVENT says of a new link
 *   resync          neighbours and links are churned by `ip -batch` while a Resync follows them with a small buffer; in the end its table and
 *                   what `ip -j` says
 */
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { AttributeCursor, resync, subscribe } from '../../dist/src/netlink/index.js';

const NETLINK_ROUTE = 0;
const NETLINK_KOBJECT_UEVENT = 15;
const [RTNLGRP_LINK, RTNLGRP_NEIGH, RTNLGRP_IPV4_IFADDR] = [1, 3, 5];
const [RTM_NEWLINK, RTM_DELLINK, RTM_GETLINK] = [16, 17, 18];
const [RTM_DELNEIGH, RTM_GETNEIGH] = [29, 30];
const [IFLA_IFNAME, NDA_DST] = [3, 1];
const [IFINFO_SIZE, NDMSG_SIZE] = [16, 12];

function ip(...args) {
  return execFileSync('ip', args, { encoding: 'utf8' });
}

function attributeOf(bytes, offset, type) {
  const cursor = new AttributeCursor(bytes, offset);
  while (cursor.next()) if (cursor.type === type) return cursor;
  return undefined;
}

const linkName = (bytes) => attributeOf(bytes, 16 + IFINFO_SIZE, IFLA_IFNAME)?.string();

async function notifications() {
  const seen = [];
  const subscription = subscribe(NETLINK_ROUTE, [RTNLGRP_LINK, RTNLGRP_IPV4_IFADDR]);
  ip('link', 'add', 'first', 'type', 'bridge');
  ip('addr', 'add', '10.0.0.1/24', 'dev', 'first');
  ip('link', 'set', 'first', 'up');
  ip('link', 'del', 'first');
  for await (const item of subscription) {
    const name = item.type === RTM_NEWLINK || item.type === RTM_DELLINK ? linkName(item.bytes) : undefined;
    seen.push([item.type, item.group, item.portId, item.nsid, name]);
    if (item.type === RTM_DELLINK) break;
  }
  return { seen, closed: subscription.closed };
}

async function overrun() {
  const subscription = subscribe(NETLINK_ROUTE, [RTNLGRP_LINK], { receiveBufferSize: 4_096 });
  const count = 60;
  for (let index = 0; index < count; index++) ip('link', 'add', `link${index}`, 'type', 'bridge');
  const items = [];
  for (let item = subscription.take(); item !== undefined; item = subscription.take()) {
    items.push(item.overrun ? 'overrun' : linkName(item.bytes));
  }
  ip('link', 'add', 'after', 'type', 'bridge');
  const { value } = await subscription.next();
  subscription.close();
  return { items, count, after: linkName(value.bytes) };
}

async function leaving() {
  const left = subscribe(NETLINK_ROUTE, [RTNLGRP_LINK]);
  const waiting = left.next();
  await left.return();
  const aborting = new AbortController();
  const aborted = subscribe(NETLINK_ROUTE, [RTNLGRP_LINK], { signal: aborting.signal });
  const rejected = aborted.next().catch((error) => error.name);
  aborting.abort();
  const both = subscribe(NETLINK_ROUTE, [RTNLGRP_LINK]);
  const order = [both.next(), both.next()];
  ip('link', 'add', 'one', 'type', 'bridge');
  ip('link', 'add', 'two', 'type', 'bridge');
  const names = (await Promise.all(order)).map(({ value }) => linkName(value.bytes));
  return {
    returned: await waiting,
    after: await left.next(),
    rejected: await rejected,
    closed: [left.closed, aborted.closed],
    names: [...new Set(names)],
  };
}

async function uevent() {
  const subscription = subscribe(NETLINK_KOBJECT_UEVENT, [1]);
  ip('link', 'add', 'seen', 'type', 'bridge');
  for await (const item of subscription) {
    const lines = Buffer.from(item.bytes).toString().split('\0');
    if (lines[0].endsWith('/net/seen')) return { type: item.type, group: item.group, lines };
  }
}

function request(type, family, size) {
  const bytes = new Uint8Array(16 + size);
  new DataView(bytes.buffer).setUint16(4, type, true);
  bytes[16] = family;
  return bytes;
}

/** ifindex and address of a neighbour. */
function neighbourKey(message) {
  if (message.type !== 28 && message.type !== RTM_DELNEIGH) return undefined;
  const bytes = message.message();
  const address = attributeOf(bytes, 16 + NDMSG_SIZE, NDA_DST);
  return address && `${new DataView(bytes.buffer).getInt32(16 + 4, true)} ${address.bytes().join('.')}`;
}

function linkKey(message) {
  if (message.type !== RTM_NEWLINK && message.type !== RTM_DELLINK) return undefined;
  return new DataView(message.bytes.buffer, message.bytes.byteOffset + message.payloadOffset).getInt32(4, true);
}

/** Runs lines through `ip -batch -`. */
async function batch(lines) {
  const child = spawn('ip', ['-batch', '-'], { stdio: ['pipe', 'ignore', 'inherit'] });
  child.stdin.end(`${lines.join('\n')}\n`);
  const [status] = await once(child, 'exit');
  if (status !== 0) throw new Error('ip -batch failed');
}

/** Lines for `ip -batch`, which stops at a command that fails: so only what is there is removed. */
class Churn {
  neighbours = new Set();
  links = new Set();
  constructor(seed) {
    this.state = seed;
  }

  random(limit) {
    this.state = (Math.imul(this.state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((this.state / 4_294_967_296) * limit);
  }

  toggle(set, item) {
    if (set.delete(item)) return false;
    set.add(item);
    return true;
  }

  *lines(count) {
    for (let line = 0; line < count; line++) {
      const address = `10.1.${this.random(8)}.${this.random(254) + 1}`;
      const mac = `02:00:00:00:${this.random(80) + 10}:${this.random(80) + 10}`;
      if (this.neighbours.has(address) && this.random(2) === 0) {
        this.neighbours.delete(address);
        yield `neigh del ${address} dev base`;
      } else {
        this.neighbours.add(address);
        yield `neigh replace ${address} lladdr ${mac} dev base nud permanent`;
      }
      if (this.random(40) !== 0) continue;
      const link = `d${this.random(20)}`;
      yield this.toggle(this.links, link) ? `link add ${link} type bridge` : `link del ${link}`;
    }
  }
}

/** Follows a table until `stop` resolves and nothing more comes; checks that each change fits what was told before. */
async function follow(options, busy) {
  const table = resync({ protocol: NETLINK_ROUTE, receiveBufferSize: 8_192, ...options });
  const told = new Map();
  const account = { resynchronised: 0, overruns: 0, dumps: 0, changes: 0, wrong: 0 };
  let ended = false;
  const stop = busy.then(async () => {
    ended = true;
    for (let before = -1; before !== account.changes; ) {
      before = account.changes;
      await sleep(400);
    }
    table.close();
  });
  for await (const item of table) {
    if (item.resynchronised) {
      account.resynchronised++;
      account.dumps += item.dumps;
      if (item.cause === 'overrun') account.overruns++;
      if (item.count !== told.size) account.wrong++;
      continue;
    }
    account.changes++;
    const known = told.get(item.key);
    if ((item.change === 'added') === (known !== undefined)) account.wrong++;
    if (item.change === 'changed' && Buffer.compare(known.subarray(16), item.bytes.subarray(16)) === 0) account.wrong++;
    if (item.change === 'removed') told.delete(item.key);
    else told.set(item.key, item.bytes);
    // A slow consumer, so that the buffer overruns.
    if (account.changes % 50 === 0 && !ended) await sleep(5);
  }
  await stop;
  return { account, told };
}

async function resyncTask() {
  const seed = Number(process.argv[3]);
  ip('link', 'add', 'base', 'type', 'bridge');
  ip('link', 'set', 'base', 'up');
  ip('addr', 'add', '10.1.0.1/16', 'dev', 'base');
  const churn = new Churn(seed);
  await batch([...churn.lines(2_000)]);
  const busy = (async () => {
    for (let part = 0; part < 3; part++) await batch([...churn.lines(2_000)]);
  })();
  const [neighbours, links] = await Promise.all([
    follow(
      {
        groups: [RTNLGRP_NEIGH],
        dump: request(RTM_GETNEIGH, 2, NDMSG_SIZE),
        key: neighbourKey,
        isRemoval: (message) => message.type === RTM_DELNEIGH,
      },
      busy,
    ),
    follow(
      {
        groups: [RTNLGRP_LINK],
        dump: request(RTM_GETLINK, 0, IFINFO_SIZE),
        key: linkKey,
        isRemoval: (message) => message.type === RTM_DELLINK,
      },
      busy,
    ),
  ]);
  const macOf = (bytes) => Buffer.from(attributeOf(bytes, 16 + NDMSG_SIZE, 2)?.bytes() ?? []).toString('hex');
  return {
    neighbours: {
      account: neighbours.account,
      ours: [...neighbours.told].map(([key, bytes]) => `${key.split(' ')[1]} ${macOf(bytes)}`).sort(),
      theirs: JSON.parse(ip('-j', 'neigh', 'show', 'nud', 'all'))
        .filter(({ dst }) => !dst.includes(':'))
        .map(({ dst, lladdr = '' }) => `${dst} ${lladdr.replaceAll(':', '')}`)
        .sort(),
    },
    links: {
      account: links.account,
      ours: [...links.told].map(([key, bytes]) => `${key} ${linkName(bytes)}`).sort(),
      theirs: JSON.parse(ip('-j', 'link', 'show'))
        .map(({ ifindex, ifname }) => `${ifindex} ${ifname}`)
        .sort(),
    },
  };
}

const tasks = { notifications, overrun, leaving, uevent, resync: resyncTask };
console.log(JSON.stringify(await tasks[process.argv[2]]()));
