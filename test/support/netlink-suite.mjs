/*
 * Checks of wasm-datapath/netlink against a kernel and the programs that come with it (ip, genl, /proc): the same list on this machine's kernel and in the
 * virtual machine that has openvswitch.ko.
 *
 *   node netlink-suite.mjs PATH-OF-THE-BUILT-MODULE
 *
 * Runs in a network namespace that it may change at will. Prints one JSON line a check: { name, ok, detail } or { name, skipped }. A program of
 * its own because the virtual machine has nothing but Node.js.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import {
  address,
  attributesOf,
  byKey,
  closeSockets,
  connections,
  dumpAll,
  hasProgram,
  hex,
  ifinfomsg,
  ip,
  ipBatch,
  ipJson,
  ipv4,
  message,
  netlink,
  numbers,
  open,
  payload,
  text,
  u32,
} from './netlink-suite-tools.mjs';

const { AttributeBuilder, MessageBuffer, MessageCursor, TransactionBatch } = netlink;
const { beginGenericMessage, endMessage } = netlink;
const { NETLINK_ROUTE, NETLINK_GENERIC, NETLINK_NETFILTER, NETLINK_KOBJECT_UEVENT } = netlink;
const { NLM_F_REQUEST, NLM_F_CREATE, NLM_F_EXCL, NLM_F_DUMP } = netlink;

const AF_INET = 2;
const RTM = {
  NEWLINK: 16,
  GETLINK: 18,
  NEWADDR: 20,
  GETADDR: 22,
  GETROUTE: 26,
  NEWNEIGH: 28,
  DELNEIGH: 29,
  GETNEIGH: 30,
};
const RTNLGRP = { LINK: 1, NEIGH: 3 };
const EEXIST = 17;
const ENOENT = 2;
const NEIGHBOURS = 10_000;

const checks = {
  'links as `ip -j link`': () => {
    ip('link', 'add', 'suite0', 'mtu', '1400', 'type', 'veth', 'peer', 'name', 'suite1');
    ip('link', 'set', 'suite0', 'up');
    ip('link', 'set', 'suite1', 'up');
    ip('link', 'set', 'lo', 'up');
    const ours = dumpAll(NETLINK_ROUTE, message(RTM.GETLINK, NLM_F_DUMP, ifinfomsg()), (cursor) => {
      const found = attributesOf(cursor, 16);
      return {
        ifindex: u32(payload(cursor, 8), 4),
        ifname: text(found.get(3)),
        mtu: u32(found.get(4)),
        address: found.has(1) ? hex(found.get(1)) : '',
        txqlen: found.has(13) ? u32(found.get(13)) : undefined,
      };
    });
    const theirs = ipJson('link').map(({ ifindex, ifname, mtu, address, txqlen }) => ({
      ifindex,
      ifname,
      mtu,
      address,
      txqlen,
    }));
    const plain = (list) => byKey(list, (link) => link.ifindex).map((link) => JSON.parse(JSON.stringify(link)));
    const noLength = ({ txqlen, ...link }) => link; // ip leaves out a queue length of 0
    assert.deepEqual(
      plain(ours).map(noLength),
      plain(theirs.map((link) => ({ ...link, address: link.address ?? '' }))).map(noLength),
    );
    return `${ours.length} links`;
  },

  'addresses as `ip -j addr`': () => {
    ipBatch(numbers(200).map((i) => `addr add 10.9.${i}.1/24 dev suite0`));
    ip('addr', 'add', '2001:db8::1/64', 'dev', 'suite0', 'nodad');
    const ours = dumpAll(NETLINK_ROUTE, message(RTM.GETADDR, NLM_F_DUMP, new Uint8Array(8)), (cursor) => {
      const found = attributesOf(cursor, 8);
      const header = payload(cursor, 8);
      return `${u32(header, 4)} ${address(found.get(2) ?? found.get(1))}/${header[1]}`;
    });
    const theirs = ipJson('addr').flatMap((link) =>
      link.addr_info.map((info) => `${link.ifindex} ${info.local}/${info.prefixlen}`),
    );
    assert.deepEqual(ours.sort(), theirs.sort());
    return `${ours.length} addresses`;
  },

  'routes as `ip -j route`': () => {
    ipBatch(numbers(500).map((i) => `route add 172.${16 + (i >> 8)}.${i & 255}.0/24 via 10.9.0.2 metric ${i}`));
    const rtmsg = Uint8Array.of(AF_INET, ...new Array(11).fill(0));
    const ours = dumpAll(NETLINK_ROUTE, message(RTM.GETROUTE, NLM_F_DUMP, rtmsg), (cursor) => {
      const found = attributesOf(cursor, 12);
      const header = payload(cursor, 12);
      if (u32(found.get(15) ?? Uint8Array.of(header[4], 0, 0, 0)) !== 254) return undefined;
      const gateway = found.has(5) ? ipv4(found.get(5)) : '-';
      return `${ipv4(found.get(1))}/${header[1]} ${gateway} ${found.has(6) ? u32(found.get(6)) : 0}`;
    }).filter((route) => route !== undefined);
    const theirs = ipJson('route').map(
      ({ dst, gateway = '-', metric = 0 }) => `${dst.includes('/') ? dst : `${dst}/32`} ${gateway} ${metric}`,
    );
    assert.deepEqual(ours.sort(), theirs.sort());
    return `${ours.length} routes`;
  },

  '10,000 neighbours added and deleted in batches, as `ip -j neigh`': () => {
    const ifindex = ipJson('link', 'show', 'suite0')[0].ifindex;
    const neighbour = (type, flags, i) => {
      const header = new Uint8Array(12);
      const view = new DataView(header.buffer);
      header[0] = AF_INET;
      view.setInt32(4, ifindex, true);
      view.setUint16(8, 0x80, true);
      return message(type, flags, header, (attributes) => {
        attributes.binary(1, Uint8Array.of(10, 100 + (i >> 16), (i >> 8) & 255, i & 255));
        if (type === RTM.NEWNEIGH) attributes.binary(2, Uint8Array.of(2, 0, 0, i >> 16, (i >> 8) & 255, i & 255));
      });
    };
    const socket = open(NETLINK_ROUTE);
    const run = (type, flags, wanted) => {
      const batch = new TransactionBatch({ countMax: wanted.length, replySize: 4 << 20 });
      for (const i of wanted) batch.addMessage(neighbour(type, flags, i));
      socket.transactMany(batch);
      return batch;
    };
    const all = numbers(NEIGHBOURS);
    assert.equal(run(RTM.NEWNEIGH, NLM_F_CREATE | NLM_F_EXCL, all).failures(), 0);
    const expected = all.map(
      (i) => `10.${100 + (i >> 16)}.${(i >> 8) & 255}.${i & 255} ${hex([2, 0, 0, i >> 16, (i >> 8) & 255, i & 255])}`,
    );
    const theirs = ipJson('neigh', 'show', 'dev', 'suite0').filter((n) => n.state.includes('PERMANENT'));
    assert.deepEqual(theirs.map(({ dst, lladdr }) => `${dst} ${lladdr}`).sort(), expected.sort());
    const again = run(RTM.NEWNEIGH, NLM_F_CREATE | NLM_F_EXCL, [NEIGHBOURS, 5, NEIGHBOURS + 1, 9999]);
    assert.deepEqual(
      [0, 1, 2, 3].map((i) => again.errno(i)),
      [0, EEXIST, 0, EEXIST],
    );
    const dumped = dumpAll(
      NETLINK_ROUTE,
      message(RTM.GETNEIGH, NLM_F_DUMP, Uint8Array.of(AF_INET, ...new Array(11).fill(0))),
      (cursor) => u32(payload(cursor, 8), 4),
    );
    assert.equal(dumped.filter((index) => index === ifindex).length, NEIGHBOURS + 2);
    assert.equal(run(RTM.DELNEIGH, 0, [...all, NEIGHBOURS, NEIGHBOURS + 1]).failures(), 0);
    const left = run(RTM.DELNEIGH, 0, [1]);
    assert.equal(left.errno(0), ENOENT);
    assert.equal(ipJson('neigh', 'show', 'dev', 'suite0').filter((n) => n.state.includes('PERMANENT')).length, 0);
    return `${NEIGHBOURS} neighbours`;
  },

  'a refusal says why and where': () => {
    const socket = open(NETLINK_ROUTE);
    const request = message(RTM.NEWLINK, NLM_F_CREATE, ifinfomsg(), (attributes) =>
      attributes.u32(4, 1500).binary(3, new Uint8Array(60).fill(65)),
    );
    assert.throws(
      () => socket.transact(request),
      (error) => {
        assert.equal(error.code, 'ERR_NETLINK_REFUSED');
        assert.equal(typeof error.kernelMessage, 'string');
        assert.equal(error.attributeOffset, 16 + 16 + 8);
        return true;
      },
    );
  },

  'generic families as `genl ctrl list`': () => {
    if (!hasProgram('genl')) return { skipped: 'genl is not installed' };
    const theirs = new Map();
    for (const part of execFileSync('genl', ['ctrl', 'list'], { encoding: 'utf8' })
      .split(/^Name: /m)
      .slice(1)) {
      const id = Number(/ID: (0x[0-9a-f]+)/.exec(part)[1]);
      const groups = [...part.matchAll(/#\d+:\s+ID-(0x[0-9a-f]+)\s+name: (\S+)/g)].map(
        (match) => `${match[2]} ${Number(match[1])}`,
      );
      theirs.set(part.split('\n', 1)[0].trim(), {
        id,
        version: Number(/Version: (0x[0-9a-f]+)/.exec(part)[1]),
        groups: groups.sort(),
      });
    }
    for (const [name, { id, version, groups }] of theirs) {
      const family = netlink.lookupFamily(name);
      assert.deepEqual({ id: family.id, version: family.version }, { id, version }, name);
      assert.deepEqual([...family.groups].map(([group, number]) => `${group} ${number}`).sort(), groups, name);
    }
    return `${theirs.size} families: ${[...theirs.keys()].join(' ')}`;
  },

  'openvswitch: six families, or which module is missing': () => {
    const names = ['datapath', 'vport', 'flow', 'packet', 'meter', 'ct_limit'].map((part) => `ovs_${part}`);
    if (!existsSync('/sys/module/openvswitch')) {
      for (const name of names) {
        assert.throws(() => netlink.lookupFamily(name), {
          code: 'ERR_NETLINK_NO_SUCH_FAMILY',
          errno: ENOENT,
          message: /openvswitch/,
        });
      }
      return 'not loaded';
    }
    const families = names.map((name) => netlink.lookupFamily(name));
    assert.deepEqual(
      families.map((family) => family.groups.has(family.name)),
      [true, true, true, false, true, true],
    );
    return families.map(({ name, id, version }) => `${name} ${id} v${version}`).join(', ');
  },

  'ethtool: link state of each interface as `ip -j link`': () => {
    const family = netlink.lookupFamily('ethtool');
    const buffer = new MessageBuffer();
    const start = beginGenericMessage(buffer, family.id, 6, 1, NLM_F_REQUEST | NLM_F_DUMP); // ETHTOOL_MSG_LINKSTATE_GET
    new AttributeBuilder(buffer).nest(1, () => {}).finish();
    endMessage(buffer, start);
    const ours = dumpAll(NETLINK_GENERIC, buffer.bytes.slice(), (cursor) => {
      const attributes = cursor.attributes(4);
      let name = '';
      let up;
      while (attributes.next()) {
        if (attributes.type === 2) up = attributes.u8() === 1;
        if (attributes.type !== 1) continue;
        const device = attributes.nested();
        while (device.next()) if (device.type === 2) name = device.string();
      }
      return up === undefined ? undefined : `${name} ${up}`;
    }).filter((line) => line !== undefined);
    const theirs = ipJson('link').filter((link) => /^(suite|lo)/.test(link.ifname));
    for (const link of theirs)
      assert.ok(ours.includes(`${link.ifname} ${link.flags.includes('LOWER_UP')}`), link.ifname);
    return `${ours.length} interfaces`;
  },

  'conntrack: 500 connections added in a batch, as others list them': () => {
    const NEW = 1 << 8;
    const nfgenmsg = Uint8Array.of(AF_INET, 0, 0, 0);
    const tuple = (nest, swap, i) => {
      const ends = [Uint8Array.of(10, 1, i >> 8, i & 255), Uint8Array.of(10, 2, 0, 1)];
      const ports = [1000 + i, 53];
      const [a, b] = swap ? [1, 0] : [0, 1];
      nest.nest(1, (addresses) => addresses.binary(1, ends[a]).binary(2, ends[b]));
      nest.nest(2, (proto) => proto.u8(1, 17).be16(2, ports[a]).be16(3, ports[b]));
    };
    const socket = open(NETLINK_NETFILTER);
    const batch = new TransactionBatch();
    for (let i = 0; i < 500; i++) {
      batch.addMessage(
        message(NEW, NLM_F_CREATE | NLM_F_EXCL, nfgenmsg, (attributes) => {
          attributes
            .nest(1, (nest) => tuple(nest, false, i))
            .nest(2, (nest) => tuple(nest, true, i))
            .be32(7, 600);
        }),
      );
    }
    socket.transactMany(batch);
    assert.equal(batch.error(0), undefined);
    assert.equal(batch.failures(), 0);
    const ours = dumpAll(NETLINK_NETFILTER, message(NEW | 1, NLM_F_DUMP, nfgenmsg), (cursor) => {
      const attributes = cursor.attributes(4);
      let line = '';
      while (attributes.next()) {
        if (attributes.type !== 1) continue;
        const original = attributes.nested();
        while (original.next()) {
          const inner = original.nested();
          const values = [];
          while (inner.next())
            values.push(original.type === 1 ? ipv4(inner.bytes()) : inner.type === 1 ? inner.u8() : inner.be16());
          line += ` ${values.join(' ')}`;
        }
      }
      return line.trim();
    });
    const theirs = connections();
    assert.equal(ours.length, 500);
    assert.deepEqual(ours.sort(), theirs.sort());
    socket.transact(message(NEW | 2, 0, nfgenmsg)); // delete all
    assert.equal(dumpAll(NETLINK_NETFILTER, message(NEW | 1, NLM_F_DUMP, nfgenmsg), () => 1).length, 0);
    return `${ours.length} connections`;
  },

  'uevents of an interface that comes and goes': () => {
    const socket = open(NETLINK_KOBJECT_UEVENT);
    socket.join(1);
    ip('link', 'add', 'suiteu', 'type', 'veth', 'peer', 'name', 'suitev');
    ip('link', 'del', 'suiteu');
    const heard = [];
    for (let datagram = socket.receive({ timeoutMs: 2000 }); datagram; datagram = socket.receive({ timeoutMs: 200 })) {
      assert.equal(datagram.group, 1);
      heard.push(text(datagram.bytes));
    }
    for (const event of ['add@/devices/virtual/net/suiteu', 'remove@/devices/virtual/net/suiteu']) {
      assert.ok(heard.includes(event), `${event} in ${heard.join(' ')}`);
    }
    return `${heard.length} events`;
  },

  'notifications of other namespaces carry their id': () => {
    ip('netns', 'add', 'suite-ns');
    try {
      ip('netns', 'set', 'suite-ns', '77');
      const socket = open(NETLINK_ROUTE, { listenAllNamespaces: true });
      socket.join(RTNLGRP.LINK);
      ip('-n', 'suite-ns', 'link', 'add', 'elsewhere0', 'type', 'veth', 'peer', 'name', 'elsewhere1');
      ip('link', 'add', 'here0', 'type', 'veth', 'peer', 'name', 'here1');
      const heard = new Map();
      for (
        let datagram = socket.receive({ timeoutMs: 2000 });
        datagram;
        datagram = socket.receive({ timeoutMs: 200 })
      ) {
        const cursor = new MessageCursor(datagram.bytes);
        while (cursor.next()) heard.set(text(attributesOf(cursor, 16).get(3)), datagram.nsid);
      }
      assert.equal(heard.get('elsewhere0'), 77);
      assert.equal(heard.get('here0'), -1);
    } finally {
      ip('netns', 'del', 'suite-ns');
    }
  },

  'an overrun is told once, and what follows is whole': () => {
    const socket = open(NETLINK_ROUTE, { receiveBufferSize: 4096 });
    socket.join(RTNLGRP.NEIGH);
    const entry = (i) => `neigh replace 10.200.${i >> 8}.${i & 255} lladdr 02:00:00:00:00:01 dev suite0 nud permanent`;
    ipBatch(numbers(1000).map(entry));
    let overruns = 0;
    let messages = 0;
    const read = () => {
      for (;;) {
        try {
          const datagram = socket.receive();
          if (datagram === undefined) return;
          const cursor = new MessageCursor(datagram.bytes);
          while (cursor.next()) messages++;
          cursor.check();
        } catch (error) {
          assert.equal(error.code, 'ERR_NETLINK_OVERRUN');
          overruns++;
        }
      }
    };
    read();
    assert.equal(overruns, 1);
    assert.ok(messages > 0 && messages < 1000);
    const before = messages;
    execFileSync('ip', ['neigh', 'flush', 'dev', 'suite0', 'to', '10.200.0.1/32', 'nud', 'permanent']);
    read();
    assert.equal(overruns, 1);
    assert.ok(messages > before);
    execFileSync('ip', ['neigh', 'flush', 'dev', 'suite0', 'nud', 'permanent']);
    return `${before} of 1000 heard`;
  },
};

for (const [name, check] of Object.entries(checks)) {
  let result;
  try {
    const detail = await check();
    result = typeof detail === 'object' ? { name, ...detail } : { name, ok: true, detail: detail ?? '' };
  } catch (error) {
    result = { name, ok: false, detail: error.stack ?? String(error) };
  }
  closeSockets();
  process.stdout.write(`${JSON.stringify(result)}\n`);
}
