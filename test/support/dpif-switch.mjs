/*
 * Upcall handlers on the kernel's datapath, end to end: two network namespaces as hosts, the first packets go up, the handler installs flows, and the kernel forwards. And
 * what goes wrong: slow handlers, datapaths that go, other programs, no privilege, no module.
 *
 *   node dpif-switch.mjs FOLDER-OF-THE-BUILT-PACKAGE
 *
 * Prints one JSON line a check: { name, ok, detail }. Runs in the virtual machine, which it may change at will.
 */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import {
  actions,
  closeDatapaths,
  closeServers,
  create,
  dpctl,
  dpifModule,
  FRAME,
  failure,
  flood,
  flowText,
  host,
  inside,
  ip,
  lines,
  match,
  odp,
  ping,
  run,
  runAside,
  runChecks,
  serve,
  serveIperf,
  silentDevices,
  sleep,
  until,
  upcall,
} from './dpif-suite-tools.mjs';

const { Dpif, DPIF_FP_CREATE } = dpifModule;
const NOBODY = 65534;
/** Ports of checks that count upcalls: hosts say something of their own now and then. */
const SILENT = ['qa', 'qb'];
const INTO = 'in_port(1),eth(src=02:00:00:00:00:01,dst=02:00:00:00:00:02),eth_type(0x1234)';

/** A datapath with the two hosts as ports 1 and 2, or other devices, and a handler; `events` are what it tells. */
async function bench(handler, options = {}, ports = ['va', 'vb']) {
  const dpif = create('sw', ...ports);
  const events = [];
  for (const name of ['a', 'b']) ip('-n', name, 'neigh flush all');
  await dpif.onUpcall(handler, { ...options, onEvent: (event) => events.push(event) });
  return { dpif, events };
}

/** ARP, IPv4, IPv6 and TCP between the hosts. */
async function talk() {
  assert.equal(await ping('a', '10.0.0.2'), 3);
  assert.equal(await ping('b', 'fd00::1'), 3);
  await serveIperf('b');
  const report = JSON.parse(await inside('a', 'iperf3 -c 10.0.0.2 -n 8M -J'));
  assert.ok(report.end.sum_received.bytes >= 7_000_000);
}

function expectForwardedByKernel({ dpif, events }) {
  const { hits, missed, lost } = dpif.stats();
  const counted = [...dpif.flowDump()].reduce((sum, { stats }) => sum + Number(stats.packets), 0);
  assert.ok(Number(hits) > 5 * Number(missed), `${hits} hits, ${missed} missed`);
  assert.ok(counted > 30, `${counted} packets in the flows`);
  assert.deepEqual(
    events.filter(({ type }) => type !== 'upcalls-lost'),
    [],
  );
  return `${hits} packets by the kernel, ${missed} went up, ${lost} lost`;
}

const checks = {
  'a learning switch by CPU: ARP, ping, IPv6 and TCP go by flows that the handler installed': async () => {
    host('a', 1);
    host('b', 2);
    const one = await bench(await upcall.makeHandler('learning'));
    assert.equal(one.dpif.features() & 8, 8);
    await talk();
    const shown = lines(dpctl('dump-flows', 'sw')).length;
    assert.equal(shown, [...one.dpif.flowDump()].length);
    return expectForwardedByKernel(one);
  },

  'the examples learning-switch and list': async () => {
    const example = (name) => path.resolve(process.argv[2], 'dist/examples/dpif', `${name}.js`);
    const child = spawn(process.execPath, [example('learning-switch'), 'system@example', 'va', 'vb']);
    let printed = '';
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (text) => (printed += text));
    const ended = new Promise((resolve) => child.once('close', resolve));
    let listed = '';
    try {
      await Promise.race([ended, new Promise((resolve) => child.stdout.once('data', resolve))]);
      assert.equal(printed, 'system@example switches va, vb\n');
      for (const name of ['a', 'b']) ip('-n', name, 'neigh flush all');
      assert.equal(await ping('a', '10.0.0.2'), 3);
      serve('a', 'ping -i 0.2 10.0.0.2'); // so that its flows are not too old for the list
      assert.ok(await until(() => lines(dpctl('dump-flows', 'example')).length >= 2));
      listed = await runAside(process.execPath, example('list'), 'system@example');
    } finally {
      child.kill('SIGINT');
      assert.equal(await ended, 0);
    }
    assert.match(printed, /, actions:2\n[\s\S]*\d+ packets by flows, /);
    assert.match(listed, /^system@example: \d+ flows; .*\n[\s\S]* {2}port 1: va \(system\), [1-9]\d* packets in/);
    assert.ok(lines(listed).filter((line) => line.includes(', actions:')).length >= 2, listed);
    return lines(printed).at(-1);
  },

  'a learning switch by port, with three handlers': async () => {
    const one = await bench(await upcall.makeHandler('learning'), { dispatch: 'per-vport', handlers: 3 });
    assert.equal(one.dpif.features() & 10, 2);
    await talk();
    return expectForwardedByKernel(one);
  },

  'rules of a file, decided in WASM; flows age and come again': async () => {
    writeFileSync('rules', 'priority=10 idle=5s in_port(1) actions:2\nin_port(2) actions:1\n');
    const one = await bench(await upcall.makeHandler('static:rules'));
    await talk();
    const result = expectForwardedByKernel(one);
    const texts = () => sorted([...one.dpif.flowDump()].map(flowText));
    serve('a', 'ping -i 0.2 10.0.0.2'); // so that it does not age before it is seen
    assert.ok(await until(() => texts().includes('in_port(1),eth() actions:2')), texts().join('\n'));
    await closeServers();
    const hasAged = await until(() => !texts().some((text) => text.includes('in_port(1)')));
    assert.ok(hasAged, 'a flow did not age');
    assert.equal(await ping('a', '10.0.0.2'), 3);
    return result;
  },

  'a function decides packet by packet; other programs may delete its flows': async () => {
    const seen = new Set();
    const one = await bench(({ inPort, key }) => {
      seen.add(key.eth.src);
      return { actions: [{ type: 'output', port: inPort === 1 ? 2 : 1 }] };
    });
    await talk();
    assert.deepEqual(sorted(seen), ['02:00:00:00:00:01', '02:00:00:00:00:02']);
    const result = expectForwardedByKernel(one);
    dpctl('del-flows', 'sw');
    assert.equal(await ping('a', '10.0.0.2'), 3);
    return result;
  },

  'a port that goes under a flow, and one that comes': async () => {
    const one = await bench(await upcall.makeHandler('learning'), { dispatch: 'per-vport' });
    assert.equal(await ping('a', '10.0.0.2'), 3);
    dpctl('del-if', 'sw', 'vb');
    assert.equal(await ping('a', '10.0.0.2', 2, 5), 0);
    dpctl('add-if', 'sw', 'vb');
    assert.ok(await until(() => one.dpif.portGetPid(2) !== 0));
    assert.equal(await ping('a', '10.0.0.2'), 3);
    assert.deepEqual(one.events, []);
  },

  'upcalls one by one: what was asked for comes up, with what was sent along': async () => {
    silentDevices(...SILENT);
    for (const dispatch of ['per-vport', 'per-cpu']) {
      const dpif = create('sw', ...SILENT);
      dpif.recvSet(true, { dispatch });
      const pid = dpif.portGetPid(1);
      const list = actions(`push_vlan(vid=5,pcp=1),userspace(pid=${pid},userdata(0a0b0c),actions)`);
      dpif.execute({ packet: FRAME, key: match('in_port(2),skb_mark(7)').key, actions: list });
      const handlers = dpif.numberHandlersRequired() ?? 1;
      await Promise.any(Array.from({ length: handlers }, (_, i) => dpif.recvWait(i, AbortSignal.timeout(5000))));
      const found = Array.from({ length: handlers }, (_, i) => dpif.recv(i)).find((one) => one !== undefined);
      assert.equal(found.type, 'action');
      assert.equal(found.portNo, 2);
      assert.deepEqual([...found.userdata], [10, 11, 12]);
      assert.deepEqual(found.actions, list);
      assert.equal(found.packet.length, FRAME.length + 4);
      assert.match(odp.formatKeyAttributes(found.key), /skb_mark\(0x7\).*vlan\(vid=5,pcp=1\)/);
      assert.deepEqual(found.ufid, odp.flowUfid(found.key));
      assert.equal(dpif.recv(0), undefined);
      dpif.recvSet(false);
      assert.equal(dpif.portGetPid(1), 0);
      assert.equal(failure(() => dpif.recv(0)).errno, 107);
      await closeDatapaths();
    }
  },

  'a handler too slow: overruns are counted, other ports are unharmed, and each has its turn': () => {
    const dpif = create('sw', ...SILENT);
    dpif.recvSet(true, { dispatch: 'per-vport', receiveBufferSize: 65536 });
    const before = dpif.stats().lost;
    flood(dpif, 1, 2000, dpif.portGetPid(1));
    flood(dpif, 2, 5, dpif.portGetPid(2));
    const ports = [];
    for (let upcall = dpif.recv(0); upcall !== undefined; upcall = dpif.recv(0)) ports.push(upcall.portNo);
    assert.equal(ports.filter((portNo) => portNo === 2).length, 5);
    assert.ok(ports.indexOf(2) < 12, `the first of port 2 came as number ${ports.indexOf(2)}`);
    const { overruns, overrunsBy, received } = dpif.upcallStats();
    assert.deepEqual([...overrunsBy.keys()], [1]);
    assert.ok(overruns >= 1n && received < 2005n);
    flood(dpif, 1, 1, dpif.portGetPid(1));
    assert.equal(dpif.recv(0).portNo, 1);
    flood(dpif, 1, 50, dpif.portGetPid(1));
    dpif.recvPurge();
    assert.equal(dpif.recv(0), undefined);
    return `${received} of 2005 received, ${overruns} overruns, ${dpif.stats().lost - before} counted as lost`;
  },

  'a handler that thinks: its ring and its socket fill, the other port is served, then all goes on': async () => {
    let release;
    const held = new Promise((resolve) => {
      release = resolve;
    });
    const counts = { 1: 0, 2: 0 };
    const handler = {
      name: 'thinking',
      handle(batch) {
        for (let i = 0; i < batch.count; i++) counts[batch.inPort(i)]++;
        return held;
      },
    };
    const options = { dispatch: 'per-vport', receiveBufferSize: 65536, timeoutMs: 600_000 };
    const { dpif, events } = await bench(handler, options, SILENT);
    flood(dpif, 1, 3000, dpif.portGetPid(1));
    await sleep(200);
    flood(dpif, 1, 3000, dpif.portGetPid(1));
    flood(dpif, 2, 3, dpif.portGetPid(2));
    await sleep(500);
    assert.ok(counts[1] <= 64);
    release();
    assert.ok(await until(() => counts[2] === 3));
    assert.ok(await until(() => events.some(({ type, portNo }) => type === 'upcalls-lost' && portNo === 1)));
    assert.ok(!events.some(({ portNo }) => portNo === 2));
    return `${counts[1]} of 6000 reached the handler`;
  },

  'the datapath goes while a handler serves it': async () => {
    const { dpif, events } = await bench(await upcall.makeHandler('learning'));
    dpctl('del-dp', 'sw');
    assert.ok(await until(() => events.length > 0));
    assert.deepEqual(events, [{ type: 'datapath-gone' }]);
    for (const step of [
      () => dpif.stats(),
      () => [...dpif.ports()],
      () => [...dpif.flowDump()],
      () => dpif.portAdd({ name: 'va' }),
    ]) {
      assert.equal(failure(step).errno, 19);
    }
    const gone = failure(() => dpif.flowPut({ flags: DPIF_FP_CREATE, ...match(INTO), actions: actions('2') }));
    assert.match(gone.message, /system@sw: flow put: the datapath is gone \(ENODEV\)/);
  },

  'the datapath goes while a handler has upcalls: that is one event, and the program ends': async () => {
    const printed = await runAside(process.execPath, 'dpif-gone.mjs', process.argv[2]);
    assert.deepEqual(JSON.parse(printed), Array(3).fill([{ type: 'datapath-gone' }]));
  },

  'connections of the kernel, as ovs-dpctl lists them, and their end': async () => {
    const settings = '/proc/sys/net/netfilter';
    for (const name of readdirSync(settings).filter((name) => /^nf_conntrack_(tcp|icmp)_timeout/.test(name)))
      writeFileSync(path.join(settings, name), '6000'); // a slow machine takes its time from one dump to the next
    const one = await bench(({ inPort, key }) => {
      const out = inPort === 1 ? '2' : '1';
      return { actions: key.ipv4 === undefined ? out : `ct(commit,zone=5),${out}` };
    });
    assert.equal(await ping('a', '10.0.0.2'), 3);
    await serveIperf('b');
    await inside('a', 'iperf3 -c 10.0.0.2 -n 1M -J');
    const text = ({ src, dst, srcPort, dstPort, icmpId, icmpType, icmpCode }) =>
      `src=${src.join('.')},dst=${dst.join('.')},` +
      (icmpType === undefined ? `sport=${srcPort},dport=${dstPort}` : `id=${icmpId},type=${icmpType},code=${icmpCode}`);
    const ours = [...one.dpif.ctDump(5)].map(({ origin, reply }) => `orig=(${text(origin)}),reply=(${text(reply)})`);
    const theirs = lines(dpctl('dump-conntrack', 'sw', 'zone=5')).map((line) => /orig=.*?\),reply=.*?\)/.exec(line)[0]);
    assert.deepEqual(sorted(ours), sorted(theirs));
    assert.ok(ours.length >= 2);
    assert.equal([...one.dpif.ctDump(6)].length, 0);
    const [first] = one.dpif.ctDump(5);
    one.dpif.ctFlush({ zone: 5, tuple: first.origin });
    assert.equal(failure(() => one.dpif.ctFlush({ zone: 5, tuple: first.origin })).errno, 2);
    assert.equal([...one.dpif.ctDump(5)].length, ours.length - 1);
    one.dpif.ctFlush({ zone: 6 });
    assert.equal([...one.dpif.ctDump(5)].length, ours.length - 1);
    one.dpif.ctFlush({ zone: 5 });
    let left = 0;
    for await (const _ of one.dpif.ctDump(5)) left++;
    assert.equal(left, 0);
    assert.equal(await ping('a', '10.0.0.2'), 3);
    one.dpif.ctFlush();
    assert.equal([...one.dpif.ctDump()].length, 0);
    return `${ours.length} connections`;
  },

  'without privilege a datapath can be looked at, and nothing changed': async () => {
    const dpif = create('sw', 'va', 'vb');
    dpif.flowPut({ flags: DPIF_FP_CREATE, ...match(INTO), actions: actions('2') });
    const script = `
      const { Dpif } = await import('${process.argv[2]}/dist/src/dpif/index.js');
      const said = (step) => { try { return step(); } catch (error) { return error.code + ' ' + error.errno + ' ' + error.message.includes("root"); } };
      const dpif = Dpif.open('sw');
      console.log(JSON.stringify([
        [...dpif.ports()].length, [...dpif.flowDump()].length, Number(dpif.stats().flows),
        said(() => Dpif.open('x', { create: true })), said(() => dpif.portDel(1)), said(() => dpif.flowFlush()),
        said(() => dpif.recvSet(true)), said(() => dpif.destroy()), said(() => dpif.ctFlush()),
      ]));`;
    const file = path.join(os.tmpdir(), 'nobody.mjs');
    writeFileSync(file, script.replaceAll(`'${process.argv[2]}`, `'${process.cwd()}/${process.argv[2]}`));
    const { stdout, stderr } = spawnSync(process.execPath, [file], { uid: NOBODY, gid: NOBODY, encoding: 'utf8' });
    assert.equal(stderr, '');
    const refused = 'ERR_NETLINK_PERMISSION 1 true';
    assert.deepEqual(JSON.parse(stdout), [3, 1, 1, ...Array(6).fill(refused)]);
  },

  'without the module it is named': async () => {
    writeFileSync('/proc/sys/kernel/modprobe', '/bin/false');
    for (const module of ['vport_vxlan', 'vport_geneve', 'vport_gre', 'openvswitch']) {
      if (readFileSync('/proc/modules', 'utf8').includes(`${module} `)) run('rmmod', module);
    }
    for (const step of [
      () => Dpif.open('sw'),
      () => Dpif.enumerate('system'),
      () => Dpif.open('sw', { create: true }),
    ]) {
      const error = failure(step);
      assert.equal(error.code, 'ERR_NETLINK_NO_SUCH_FAMILY');
      assert.match(error.message, /modprobe openvswitch/);
    }
    run('modprobe', 'openvswitch');
    create('sw');
  },
};

function sorted(list) {
  return [...list].sort();
}

await runChecks(checks);
