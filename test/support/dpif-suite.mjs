/*
 * Checks of wasm-datapath/dpif on the kernel with openvswitch.ko, with the programs of Open vSwitch beside it: what one of them makes the other one sees.
 *
 *   node dpif-suite.mjs FOLDER-OF-THE-BUILT-PACKAGE
 *
 * Prints one JSON line a check: { name, ok, detail }. Runs in the virtual machine, which it may change at will.
 */
import assert from 'node:assert/strict';
import {
  actions,
  create,
  dpctl,
  dpifModule,
  dumpedText,
  failure,
  featuresOfVswitchd,
  flowText,
  ip,
  lines,
  match,
  numbers,
  odp,
  probeCapabilities,
  run,
  runChecks,
} from './dpif-suite-tools.mjs';

const { Dpif, DPIF_FP_CREATE, DPIF_FP_MODIFY, DPIF_FP_ZERO_STATS } = dpifModule;
const ETHERNET = 'eth(src=02:00:00:00:00:01,dst=02:00:00:00:00:02)';
const UDP = (i) =>
  `in_port(1),${ETHERNET},eth_type(0x0800),ipv4(src=10.${i >> 16}.${(i >> 8) & 255}.${i & 255},dst=10.0.0.2,proto=17,tos=0,ttl=64,frag=no),udp(src=1,dst=2)`;
const FLOWS = 6000;
const sorted = (list) => [...list].sort();
const flowsOf = (name) => sorted(lines(dpctl('dump-flows', name)).map(dumpedText));
const frame = (type, size = 60) =>
  Uint8Array.of(2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, type >> 8, type & 255, ...Array(size - 14).fill(7));

const checks = {
  'what is made here is there for ovs-dpctl, and the other way round': () => {
    ip('link add p1 type veth peer name p2');
    const dpif = create('dp1');
    assert.equal(dpif.portAdd({ name: 'p1' }), 1);
    assert.equal(dpif.portAdd({ name: 'i7', type: 'internal' }, 7), 7);
    dpctl('add-if', 'dp1', 'p2,port_no=9');
    const shown = lines(dpctl('show', 'dp1')).flatMap((line) => /port (\d+): (\S+)(?: \((\w+))?/.exec(line) ?? []);
    const ours = [...dpif.ports()].flatMap(({ portNo, name, type }) => [
      `port ${portNo}: ${name}${type === 'system' ? '' : ` (${type}`}`,
      String(portNo),
      name,
      type === 'system' ? undefined : type,
    ]);
    assert.deepEqual(shown, ours);
    dpctl('add-dp', 'dp2');
    assert.deepEqual(sorted(Dpif.enumerate('system')), ['dp1', 'dp2']);
    assert.deepEqual(lines(dpctl('dump-dps')).sort(), ['system@dp1', 'system@dp2']);
    Dpif.open('dp2').destroy();
    assert.deepEqual(lines(dpctl('dump-dps')), ['system@dp1']);
  },

  'ports are found, missed and removed': () => {
    const dpif = create('dp1', 'p1');
    assert.deepEqual(dpif.portQueryByName('p1'), { portNo: 1, name: 'p1', type: 'system' });
    assert.deepEqual(dpif.portQueryByNumber(0), { portNo: 0, name: 'dp1', type: 'internal' });
    assert.equal(dpif.portQueryByNumber(5), undefined);
    assert.equal(dpif.portExists('p9'), false);
    assert.equal(failure(() => dpif.portAdd({ name: 'p9' })).errno, 19);
    assert.equal(failure(() => dpif.portAdd({ name: 'p1' })).code, 'ERR_PORT_EXISTS');
    assert.equal(failure(() => dpif.portAdd({ name: 'p2' }, 1)).errno, 16);
    assert.equal(failure(() => dpif.portAdd({ name: 'x', type: 'lisp' })).code, 'ERR_PORT_TYPE');
    assert.equal(failure(() => dpif.portDel(0)).errno, 22);
    dpif.portDel(1);
    assert.equal(failure(() => dpif.portDel(1)).code, 'ERR_NO_SUCH_PORT');
  },

  'changes of ports are told, first and after a loss as one': async () => {
    const dpif = create('dp1');
    assert.equal(dpif.portPoll(), 'changed');
    assert.equal(dpif.portPoll(), undefined);
    const waiting = dpif.portPollWait();
    dpctl('add-if', 'dp1', 'p1');
    await waiting;
    assert.deepEqual(dpif.portPoll(), { name: 'p1' });
    dpif.portDel(1);
    create('dp2', 'p1');
    assert.deepEqual(dpif.portPoll(), { name: 'p1' });
    assert.equal(dpif.portPoll(), undefined);
    const gone = dpif.portPollWait();
    dpctl('del-dp', 'dp1');
    await gone;
    assert.equal(dpif.portPoll(), 'changed');
    assert.equal(failure(() => [...dpif.ports()]).errno, 19);
    await assert.rejects(dpif.portPollWait(AbortSignal.timeout(50)));
  },

  'flows as ovs-dpctl dumps them, put from both sides': () => {
    const dpif = create('dp1', 'p1', 'p2');
    const texts = [
      `in_port(1),${ETHERNET},eth_type(0x0800),ipv4(src=10.0.0.0/255.255.255.0,frag=no)`,
      `in_port(2),eth(src=02:00:00:00:00:09/ff:ff:ff:ff:ff:fe),eth_type(0x86dd),ipv6(frag=no)`,
      `recirc_id(0x5),in_port(1),${ETHERNET},eth_type(0x8100),vlan(vid=7,pcp=1),encap(eth_type(0x1234))`,
    ];
    for (const text of texts)
      dpif.flowPut({ flags: DPIF_FP_CREATE, ...match(text), actions: actions('push_vlan(vid=5,pcp=0),2') });
    dpctl('add-flow', 'dp1', `in_port(2),${ETHERNET},eth_type(0x1234)`, '1');
    const ours = [...dpif.flowDump()].map(flowText);
    assert.deepEqual(sorted(ours), flowsOf('dp1'));
    assert.equal(ours.length, 4);
    assert.equal(Number(dpif.stats().flows), 4);
  },

  'flows of packets without an Ethernet header, put from both sides': () => {
    const dpif = create('dp1', 'p1', 'p2');
    const types = ['0x0800),ipv4(frag=no)', '0x86dd),ipv6(proto=17,frag=no),udp(src=5)', '0x1234)'];
    types.forEach((type, i) => {
      const text = `in_port(1),packet_type(ns=1,id=${type.slice(0, 6)}),eth_type(${type}`;
      const { key, mask } = odp.encodeMatchAttributes(odp.parseMatch(`recirc_id(${i + 1}),${text}`));
      dpif.flowPut({ flags: DPIF_FP_CREATE, key, mask, actions: actions('2') });
      assert.equal(odp.formatActions(dpif.flowGet({ key }).flow.actions), '2');
      dpctl('add-flow', 'dp1', `recirc_id(${i + 11}),${text}`, '2');
    });
    const shown = [...dpif.flowDump()].map(flowText);
    assert.deepEqual(sorted(shown), flowsOf('dp1'));
    assert.equal(new Set(shown.map((text) => text.replace(/recirc_id\(\w+\)/, ''))).size, 3);
  },

  'put, get, modify and delete, by key and by UFID, with the errno of each mistake': () => {
    const dpif = create('dp1', 'p1', 'p2');
    const key = match(UDP(1)).key;
    const ufid = odp.flowUfid(key);
    const name = { key, ufid };
    assert.equal(
      failure(() => dpif.flowPut({ flags: DPIF_FP_MODIFY, ...name, actions: actions('2') })).code,
      'ERR_NO_SUCH_FLOW',
    );
    const made = dpif.flowPut({ flags: DPIF_FP_CREATE, ...name, actions: actions('2'), wantStats: true });
    assert.deepEqual(made.stats, { packets: 0n, bytes: 0n, usedMs: 0n, tcpFlags: 0 });
    assert.equal(
      failure(() => dpif.flowPut({ flags: DPIF_FP_CREATE, ...name, actions: actions('2') })).code,
      'ERR_FLOW_EXISTS',
    );
    dpif.flowPut({ flags: DPIF_FP_CREATE | DPIF_FP_MODIFY, ...name, actions: actions('1') });
    dpif.flowPut({ flags: DPIF_FP_MODIFY | DPIF_FP_ZERO_STATS, ...name, actions: actions('1,2') });
    const { flow } = dpif.flowGet({ ufid });
    assert.equal(odp.formatActions(flow.actions), '1,2');
    assert.deepEqual(flow.ufid, ufid);
    assert.equal(
      failure(() => dpif.flowPut({ flags: DPIF_FP_CREATE, key: key.subarray(0, 8), actions: actions('1') })).errno,
      22,
    );
    assert.equal(
      failure(() =>
        dpif.flowPut({ flags: DPIF_FP_CREATE, ...match(UDP(2)), actions: actions('push_vlan(vid=1,pcp=0,cfi=0)') }),
      ).errno,
      22,
    );
    assert.equal(failure(() => dpif.flowGet({ key: match(UDP(3)).key })).errno, 2);
    const [terse] = [...dpif.flowDump({ terse: true })];
    assert.deepEqual(Object.keys(terse).sort(), ['attrs', 'stats', 'ufid']);
    dpif.flowDel({ ufid, terse: true, wantStats: true });
    assert.equal(failure(() => dpif.flowDel({ ufid })).code, 'ERR_NO_SUCH_FLOW');
  },

  'thousands of operations: each has its own error, in order, and the table has what it should': async () => {
    const dpif = create('dp1', 'p1', 'p2');
    const puts = numbers(FLOWS).map((i) => ({
      type: 'flow_put',
      flags: DPIF_FP_CREATE,
      key: match(UDP(i % 1000 === 999 ? i - 1 : i)).key,
      actions: actions('2'),
    }));
    dpif.operate(puts.slice(0, FLOWS / 2));
    await dpif.operateAsync(puts.slice(FLOWS / 2));
    for (const [i, { error }] of puts.entries()) assert.equal(error?.errno, i % 1000 === 999 ? 17 : undefined);
    const expected = FLOWS - FLOWS / 1000;
    assert.equal(Number(dpif.stats().flows), expected);
    assert.equal([...dpif.flowDump()].length, expected);
    const dump = dpif.flowDump();
    const readers = numbers(3).map(() => dump.thread());
    const seen = new Set();
    const counts = [0, 0, 0];
    for (let more = true; more; ) {
      more = false;
      readers.forEach((reader, i) => {
        for (const { key } of reader.next(50)) {
          seen.add(Buffer.from(key).toString('latin1'));
          counts[i]++;
          more = true;
        }
      });
    }
    dump.close();
    assert.equal(seen.size, expected);
    assert.ok(counts.every((count) => count > 0));
    let turns = 0;
    const timer = setInterval(() => turns++, 1);
    let count = 0;
    for await (const _ of dpif.flowDump()) count++;
    clearInterval(timer);
    assert.equal(count, expected);
    assert.ok(turns > 10, `${turns} turns of the event loop`);
    const gets = puts.slice(0, 3000).map(({ key }) => ({ type: 'flow_get', key }));
    dpif.operate(gets);
    assert.ok(gets.every(({ flow, error }) => error === undefined && odp.formatActions(flow.actions) === '2'));
    const mixed = gets.flatMap(({ key }) => [
      { type: 'flow_del', key, wantStats: true },
      { type: 'flow_get', key },
    ]);
    dpif.operate(mixed);
    assert.equal(mixed.filter(({ error }) => error?.errno === 2).length, mixed.length / 2 + 3);
    dpif.flowFlush();
    assert.equal([...dpif.flowDump()].length, 0);
    return `${expected} flows, ${turns} turns during the dump`;
  },

  'an operation too large for any message fails alone': () => {
    const dpif = create('dp1', 'p1', 'p2');
    const ops = [
      { type: 'flow_put', flags: DPIF_FP_CREATE, key: match(UDP(1)).key, actions: actions('2') },
      { type: 'flow_put', flags: DPIF_FP_CREATE, key: new Uint8Array(70_000), actions: actions('2') },
      { type: 'flow_put', flags: DPIF_FP_CREATE, key: match(UDP(2)).key, actions: actions('2') },
    ];
    dpif.operate(ops);
    assert.deepEqual(
      ops.map(({ error }) => error?.errno),
      [undefined, 105, undefined],
    );
  },

  'the cache of masks, queues, the version': () => {
    const dpif = create('dp1');
    assert.equal(dpif.cacheLevels(), 1);
    assert.equal(dpif.cacheName(0), 'masks-cache');
    assert.equal(dpif.cacheSize(0), 256);
    const features = dpif.features();
    dpif.setCacheSize(0, 1024);
    assert.match(dpctl('cache-get-size', 'dp1'), /masks-cache: size:1024/);
    assert.equal(Dpif.open('dp1').features(), features);
    assert.equal(failure(() => dpif.setCacheSize(0, 100_000)).errno, 34);
    assert.equal(failure(() => dpif.cacheSize(1)).errno, 22);
    assert.equal(dpif.queueToPriority(4), 0x10005);
    assert.equal(failure(() => dpif.queueToPriority(0xf000)).errno, 22);
    assert.equal(dpif.datapathVersion(), undefined); // the module of the kernel's own tree has none
  },

  'meters, which the probe found to work': () => {
    const dpif = create('dp1');
    assert.deepEqual(dpif.meterFeatures().bandTypes, [1]);
    assert.equal(failure(() => dpif.meterGet(5)).errno, 2);
    dpif.meterSet(5, { unit: 'kbps', bands: [{ rate: 1000, burst: 100 }] });
    assert.equal(dpif.meterGet(5).bands.length, 1);
    assert.equal(failure(() => dpif.meterSet(6, { unit: 'pktps', bands: [{ rate: 0 }] })).errno, 22);
    assert.equal(dpif.meterDel(5).packets, 0n);
    assert.equal(dpif.meterDel(5), undefined);
    assert.equal(failure(() => dpif.meterGet(54545401)).errno, 2); // what the probe made is gone
  },

  'limits of connections, as ovs-dpctl gets them': () => {
    const dpif = create('dp1');
    dpif.ctSetLimits([{ limit: 90 }, { zone: 5, limit: 7 }]);
    dpctl('ct-set-limits', 'dp1', 'zone=6,limit=8');
    assert.deepEqual(dpif.ctGetLimits(), [
      { limit: 90 },
      { zone: 5, limit: 7, count: 0 },
      { zone: 6, limit: 8, count: 0 },
    ]);
    const printed = dpif
      .ctGetLimits()
      .map(({ zone, limit, count }) =>
        zone === undefined ? `default limit=${limit}` : `zone=${zone},limit=${limit},count=${count}`,
      );
    assert.deepEqual(lines(dpctl('ct-get-limits', 'dp1')), printed);
    assert.deepEqual(dpif.ctGetLimits([6]), [{ limit: 90 }, { zone: 6, limit: 8, count: 0 }]);
    dpif.ctDelLimits([5, 6]);
    dpif.ctSetLimits([{ limit: 0 }]);
    assert.deepEqual(dpif.ctGetLimits(), [{ limit: 0 }]);
  },

  'tunnels are devices that come and go with their ports': () => {
    const dpif = create('dp1');
    const vxlan = dpif.portAdd({ name: 'a', type: 'vxlan' });
    dpif.portAdd({ name: 'b', type: 'vxlan', options: { dst_port: '4790', key: 'flow' } });
    dpif.portAdd({ name: 'c', type: 'geneve' });
    dpif.portAdd({ name: 'd', type: 'gre' });
    const ours = [...dpif.ports()].slice(1).map(({ portNo, name, type }) => {
      const options = Object.entries(dpif.portOptions(portNo)).sort();
      return `  port ${portNo}: ${name} (${type}: ${options.map(([option, value]) => `${option}=${value}`).join(', ')})`;
    });
    assert.deepEqual(lines(dpctl('show', 'dp1')).slice(-4), ours);
    assert.equal(failure(() => dpif.portAdd({ name: 'a', type: 'vxlan' })).code, 'ERR_PORT_EXISTS');
    assert.match(
      failure(() => dpif.portAdd({ name: 'e', type: 'vxlan', options: { remote_ip: '1.2.3.4' } })).message,
      /remote_ip=flow/,
    );
    assert.match(
      failure(() => dpif.portAdd({ name: 'e', type: 'geneve', options: { exts: 'gbp' } })).message,
      /no option exts/,
    );
    assert.match(failure(() => dpif.portAdd({ name: 'e', type: 'ip6gre' })).message, /modprobe ip6_gre/);
    dpif.portDel(vxlan);
    assert.equal(run('ip', '-o', 'link').includes('vxlan_sys_4789'), false);
    dpif.destroy();
    assert.equal(/_sys/.test(run('ip', '-o', 'link')), false);
  },

  'what this datapath can do, as ovs-vswitchd finds it out': async () => {
    const dpif = create('dp1');
    const ours = probeCapabilities(dpif);
    assert.equal([...dpif.flowDump()].length, 0);
    const shown = await featuresOfVswitchd();
    const said = (name) => {
      const value = new RegExp(`^${name}: (.*)$`, 'm').exec(shown)[1];
      return value === 'Yes' ? true : value === 'No' ? false : Number(value);
    };
    const names = {
      maskedSet: 'Masked set action',
      tnlPushPop: 'Tunnel push pop',
      ufid: 'Ufid',
      trunc: 'Truncate action',
      clone: 'Clone action',
      sampleNesting: 'Sample nesting',
      ctEventmask: 'Conntrack eventmask',
      ctClear: 'Conntrack clear',
      maxHashAlg: 'Max dp_hash algorithm',
      checkPktLen: 'Check pkt length action',
      ctTimeout: 'Conntrack timeout policy',
      explicitDrop: 'Explicit Drop action',
      lbOutput: 'Optimized Balance TCP mode',
      addMpls: 'MPLS Label add',
      maxVlanHeaders: 'Max VLAN headers',
      maxMplsDepth: 'Max MPLS depth',
      recirc: 'Recirc',
      ctState: 'CT state',
      ctZone: 'CT zone',
      ctMark: 'CT mark',
      ctLabel: 'CT label',
      ctStateNat: 'CT state NAT',
      ctOrigTuple: 'CT orig tuple',
      ctOrigTuple6: 'CT orig tuple for IPv6',
      ndExtensions: 'IPv6 ND Extension',
    };
    const theirs = Object.fromEntries(Object.entries(names).map(([name, text]) => [name, said(text)]));
    assert.deepEqual({ ...ours, psample: undefined }, { ...theirs, psample: undefined });
  },

  'a list that needs help gives the packets that the kernel makes itself': async () => {
    const dpif = create('dp1', 'p1', 'p2');
    dpif.recvSet(true, { dispatch: 'per-vport' });
    const pid = dpif.portGetPid(1);
    const up = `userspace(pid=${pid},userdata(0102))`;
    const ct = 'set(ipv4(ttl=9)),set(udp(dst=77))';
    const list = [
      `${up},push_vlan(vid=7,pcp=3),${up},pop_vlan,set(eth(dst=02:00:00:00:00:99)),${up}`,
      `clone(set(eth(src=02:00:00:00:00:55)),${up}),${up},${ct},${up},trunc(30),${up},${up}`,
      `set(tunnel(tun_id=0x7,src=1.1.1.1,dst=2.2.2.2,ttl=64,flags(df|key))),${up}`,
      `hash(l4(0)),${up},check_pkt_len(size=50,gt(push_vlan(vid=2,pcp=0),${up}),le(${up}))`,
      `push_mpls(label=5,tc=0,ttl=3,bos=1,eth_type=0x8847),${up}`,
      Array(20).fill(`push_vlan(vid=2,pcp=0),${up},pop_vlan`).join(','),
    ];
    const ipv4 = [0x45, 0, 0, 46, 0, 0, 0, 0, 64, 17, 0x66, 0xbd, 10, 0, 0, 1, 10, 0, 0, 2, 0, 1, 0, 2, 0, 26, 0, 0];
    const packet = Uint8Array.of(...frame(0x0800, 14), ...ipv4, ...Array(18).fill(5));
    const key = odp.parseKeyAttributes('skb_priority(3),in_port(1),skb_mark(9)').key;
    for (const text of list) {
      const seen = [false, true].map((needsHelp) => {
        dpif.execute({ packet, key, actions: actions(text), needsHelp });
        const upcalls = [];
        for (let upcall = dpif.recv(0); upcall !== undefined; upcall = dpif.recv(0)) upcalls.push(upcall);
        return upcalls.filter(({ type }) => type === 'action'); // misses are what the host's interfaces say meanwhile
      });
      assert.ok(seen[0].length > 0);
      assert.equal(seen[0].length, seen[1].length, text);
      seen[0].forEach((upcall, i) => {
        assert.equal(Buffer.compare(upcall.packet, seen[1][i].packet), 0, text);
        if (!/tunnel|hash|mpls/.test(text)) assert.equal(Buffer.compare(upcall.key, seen[1][i].key), 0, text);
      });
    }
    ip('link set p1 up');
    ip('link set p2 up');
    const huge = new Uint8Array(9000 * 8);
    for (let i = 0; i < huge.length; i += 8) huge.set(actions('2'), i);
    const before = dpif.portStats(2).rxPackets;
    dpif.execute({ packet, key, actions: huge });
    const sent = dpif.portStats(2).rxPackets - before + dpif.portStats(1).rxPackets;
    return `${sent} packets from a list of ${huge.length} bytes`;
  },
};

await runChecks(checks);
