/*
 * Packets, case by case: what EXECUTE takes, what goes up and to whom, what is lost.
 */
import { type Attr, attr, nest } from '../attribute-tree.ts';
import { ethernet, ipv4, udp } from '../layers.ts';
import {
  ACTION,
  DP,
  DP_ATTR,
  DP_F,
  FLOW,
  KEY,
  PACKET,
  PACKET_ATTR,
  USERSPACE_ATTR,
  VPORT,
  VPORT_ATTR,
  VPORT_TYPE,
} from './openvswitch.ts';
import { etherFrame, etherKey, output } from './requests.ts';
import type { Scenario } from './scenario.ts';
import { ACK, be16, DUMP, ECHO, PIDS, Script, u16, u32 } from './script.ts';

function userspace(pid: number, more: Attr[] = []): Attr {
  return nest(ACTION.USERSPACE, [attr(USERSPACE_ATTR.PID, u32(pid)), ...more]);
}

const udpFrame = (size: number) => ethernet(0x0800, ipv4({ proto: 17 }, udp({ src: 5, dst: 6 }, new Uint8Array(size))));

/** dp0 with two devices, their upcalls to `second`. */
function withDevices(name: string, features: number = DP_F.UNALIGNED): Script {
  const script = new Script(name);
  script.newDatapath('dp0', [attr(DP_ATTR.USER_FEATURES, u32(features))]);
  for (const device of ['tap0', 'tap1']) {
    script.device(device);
    script.newPort(device, VPORT_TYPE.NETDEV, [], { flags: ACK });
  }
  return script;
}

function showCounters(script: Script): void {
  script.send('datapath', DP.GET, []);
  script.send('vport', VPORT.GET, [], { flags: DUMP });
}

/** The key of an EXECUTE: metadata, and what is no metadata. */
function executeKeys(): Scenario {
  const script = withDevices('keys of EXECUTE');
  const metadata: Attr[][] = [
    [],
    [attr(KEY.IN_PORT, u32(1))],
    [attr(KEY.IN_PORT, u32(2)), attr(KEY.SKB_MARK, u32(7)), attr(KEY.PRIORITY, u32(9))],
    [attr(KEY.IN_PORT, u32(77))],
    [attr(KEY.IN_PORT, u32(65535))],
    [attr(KEY.IN_PORT, u32(65536))],
    [attr(KEY.RECIRC_ID, u32(5)), attr(KEY.DP_HASH, u32(6)), attr(KEY.IN_PORT, u32(1))],
    [attr(16, [attr(0, new Uint8Array(8).fill(3)), attr(1, u32(1)), attr(2, u32(2)), attr(4, [64])])],
    [attr(16, [attr(2, u32(2))])],
    [attr(22, u32(1)), attr(23, u16(5)), attr(24, u32(6)), attr(25, new Uint8Array(16).fill(1))],
    [attr(22, u32(0x100))],
    etherKey(1),
    [...etherKey(1), attr(KEY.IPV4, new Uint8Array(12))],
    [attr(KEY.ETHERTYPE, be16(0x0800)), attr(KEY.IN_PORT, u32(1))],
    [attr(KEY.IN_PORT, u32(1)), attr(KEY.IN_PORT, u32(2))],
    [attr(KEY.IN_PORT, Uint8Array.of(1, 2))],
    [attr(77, u32(1))],
    [attr(0, u32(1))],
  ];
  for (const key of metadata) {
    for (const frame of [etherFrame(), udpFrame(30)]) {
      script.execute(frame, [userspace(PIDS.first), output(2)], key, [], { flags: ECHO });
      script.execute(frame, [attr(ACTION.RECIRC, u32(1))], key);
    }
  }
  showCounters(script);
  return script.scenario;
}

function executeSizes(): Scenario {
  const script = withDevices('packets of EXECUTE');
  for (const size of [0, 1, 12, 13, 14, 15, 17, 18, 33, 59, 60, 61, 1514, 1515, 9000, 32000, 65000]) {
    const frame = new Uint8Array(size).fill(0x08);
    script.execute(frame, [output(1)]);
    script.execute(frame, [userspace(PIDS.first)], [attr(KEY.IN_PORT, u32(1))]);
    script.execute(frame, [attr(ACTION.TRUNC, u32(20)), userspace(PIDS.second), output(2)]);
  }
  const more: Attr[][] = [
    [attr(PACKET_ATTR.PROBE, [])],
    [attr(PACKET_ATTR.MRU, u16(1200))],
    [attr(PACKET_ATTR.MRU, u16(0))],
    [attr(PACKET_ATTR.MRU, u32(1))],
    [attr(PACKET_ATTR.HASH, new Uint8Array(8).fill(5))],
    [attr(PACKET_ATTR.HASH, new Uint8Array(4))],
    [attr(PACKET_ATTR.UPCALL_PID, u32(PIDS.third))],
    [attr(PACKET_ATTR.LEN, u32(5))],
    [attr(PACKET_ATTR.USERDATA, u32(5))],
  ];
  for (const attributes of more) script.execute(udpFrame(10), [userspace(PIDS.first)], [], attributes);
  showCounters(script);
  return script.scenario;
}

/** What an action can ask for, in an upcall with and without the padding. */
function actionUpcalls(): Scenario[] {
  return [0, DP_F.UNALIGNED].map((features) => {
    const script = withDevices(`upcalls of actions, features ${features}`, features);
    const options: Attr[][] = [
      [],
      [attr(USERSPACE_ATTR.USERDATA, [])],
      [attr(USERSPACE_ATTR.USERDATA, [1])],
      [attr(USERSPACE_ATTR.USERDATA, new Uint8Array(48).fill(9))],
      [attr(USERSPACE_ATTR.USERDATA, new Uint8Array(4000).fill(9))],
      [attr(USERSPACE_ATTR.ACTIONS, [])],
      [attr(USERSPACE_ATTR.ACTIONS, []), attr(USERSPACE_ATTR.USERDATA, [1, 2, 3, 4, 5, 6, 7, 8])],
      [attr(USERSPACE_ATTR.EGRESS_TUN_PORT, u32(2))],
      [attr(USERSPACE_ATTR.EGRESS_TUN_PORT, u32(99))],
    ];
    for (const size of [1, 2, 3, 4, 1400]) {
      for (const more of options) {
        script.execute(udpFrame(size), [userspace(PIDS.first, more), output(2)], [attr(KEY.IN_PORT, u32(1))]);
      }
      script.frame('tap0', udpFrame(size));
    }
    const chain = [attr(ACTION.TRUNC, u32(30)), userspace(PIDS.first), userspace(PIDS.second), output(2)];
    script.execute(udpFrame(100), chain);
    script.execute(udpFrame(100), [nest(ACTION.CLONE, chain), userspace(PIDS.third)]);
    script.putFlow({
      key: etherKey(1),
      actions: [...chain, userspace(PIDS.third, [attr(USERSPACE_ATTR.ACTIONS, [])])],
    });
    script.frame('tap0', etherFrame(0x1234, 100));
    showCounters(script);
    return script.scenario;
  });
}

/** To nobody, to who is not there, to who has gone. */
function lostUpcalls(): Scenario {
  const script = withDevices('upcalls that are lost');
  for (const pid of [0, 1, 4711, 0xffffffff, PIDS.first]) {
    const pids = attr(VPORT_ATTR.UPCALL_PID, u32(pid));
    script.send('vport', VPORT.SET, [attr(VPORT_ATTR.PORT_NO, u32(1)), pids], { flags: ECHO });
    script.frame('tap0', etherFrame());
    script.execute(etherFrame(), [userspace(pid)]);
    script.execute(etherFrame(), [attr(ACTION.RECIRC, u32(3))], [attr(KEY.IN_PORT, u32(1))]);
    showCounters(script);
  }
  script.steps.push({ do: 'close', socket: 'upcalls1' });
  script.frame('tap0', etherFrame());
  script.execute(etherFrame(), [userspace(PIDS.first)]);
  showCounters(script);
  return script.scenario;
}

/** Flows that name port ids that nobody has, before and after one that somebody has; ids of CPUs that nobody has; the socket of a vport closes. */
function lostByFlows(): Scenario {
  const script = withDevices('upcalls of flows that are lost', DP_F.UNALIGNED | DP_F.VPORT_PIDS);
  const nobody = userspace(4242, [attr(USERSPACE_ATTR.USERDATA, [1, 2, 3, 4])]);
  const lists = [
    [nobody],
    [nobody, output(2)],
    [userspace(PIDS.first), nobody, userspace(PIDS.third), nobody],
    [nest(ACTION.CLONE, [nobody, output(2)]), userspace(PIDS.first)],
    [attr(ACTION.TRUNC, u32(20)), nobody, output(2)],
    [attr(ACTION.RECIRC, u32(7)), nobody],
  ];
  for (const actions of lists) {
    script.putFlow({ key: etherKey(1), actions });
    script.frame('tap0', etherFrame());
    script.execute(etherFrame(), actions, [attr(KEY.IN_PORT, u32(1))]);
    script.flow(FLOW.DEL, { key: etherKey(1) });
    showCounters(script);
  }
  const pids = attr(VPORT_ATTR.UPCALL_PID, u32(4242, PIDS.third, 4243));
  script.send('vport', VPORT.SET, [attr(VPORT_ATTR.PORT_NO, u32(1)), pids], { flags: ECHO });
  for (let size = 0; size < 8; size++) script.frame('tap0', etherFrame());
  showCounters(script);
  const perCpu = attr(DP_ATTR.USER_FEATURES, u32(DP_F.DISPATCH_UPCALL_PER_CPU));
  for (const id of [4242, PIDS.third]) {
    script.send('datapath', DP.SET, [perCpu, attr(DP_ATTR.PER_CPU_PIDS, u32(id))], { flags: ECHO });
    script.frame('tap0', etherFrame());
    script.execute(etherFrame(), [userspace(PIDS.first)]);
    showCounters(script);
  }
  script.steps.push({ do: 'close', socket: 'upcalls3' });
  script.frame('tap0', etherFrame());
  script.execute(etherFrame(), [userspace(PIDS.first)]);
  showCounters(script);
  return script.scenario;
}

/** Whom a packet goes to that no flow is there for. */
function dispatch(): Scenario {
  const script = withDevices('whom upcalls go to');
  const set = (attributes: Attr[]) => script.send('datapath', DP.SET, attributes, { flags: ECHO });
  const misses = () => {
    for (const device of ['tap0', 'tap1']) script.frame(device, udpFrame(20));
    script.execute(etherFrame(), [attr(ACTION.RECIRC, u32(1))], [attr(KEY.IN_PORT, u32(1))]);
    script.execute(etherFrame(), [userspace(PIDS.third), userspace(0), userspace(0xffffffff)]);
    script.execute(etherFrame(), [attr(ACTION.RECIRC, u32(1))]);
  };
  misses();
  set([attr(DP_ATTR.USER_FEATURES, u32(DP_F.DISPATCH_UPCALL_PER_CPU))]);
  misses();
  for (const pids of [u32(PIDS.first), u32(PIDS.third, PIDS.third), u32(0), new Uint8Array(0)]) {
    set([attr(DP_ATTR.USER_FEATURES, u32(DP_F.DISPATCH_UPCALL_PER_CPU)), attr(DP_ATTR.PER_CPU_PIDS, pids)]);
    misses();
  }
  set([attr(DP_ATTR.USER_FEATURES, u32(0))]);
  misses();
  set([attr(DP_ATTR.USER_FEATURES, u32(DP_F.DISPATCH_UPCALL_PER_CPU))]);
  misses();
  set([attr(DP_ATTR.USER_FEATURES, u32(DP_F.VPORT_PIDS))]);
  const pids = attr(VPORT_ATTR.UPCALL_PID, u32(PIDS.third, PIDS.third, PIDS.third));
  script.send('vport', VPORT.SET, [attr(VPORT_ATTR.PORT_NO, u32(1)), pids], { flags: ECHO });
  misses();
  showCounters(script);
  return script.scenario;
}

/** Frames as they come, and the flows that are made of their upcalls. */
function traffic(): Scenario {
  const script = withDevices('traffic');
  const sizes = [14, 15, 17, 18, 34, 42, 60, 1514, 9014, 65000, 65535];
  for (const size of sizes) script.frame('tap0', etherFrame(0x1234, size));
  for (const size of [0, 1, 100, 1472]) script.frame('tap0', udpFrame(size));
  script.putFlow({ key: etherKey(1), actions: [output(2)] });
  for (const size of sizes) script.frame('tap0', etherFrame(0x1234, size));
  script.putFlow({ key: etherKey(2), actions: [output(2), output(1), output(0), output(77)] });
  for (const size of sizes) script.frame('tap1', etherFrame(0x1234, size));
  script.dumpAll();
  return script.scenario;
}

/** Recirculation, hash, meters and samples through the tables. */
function recirculation(): Scenario {
  const script = withDevices('recirculation');
  const again = (id: number): Attr => attr(ACTION.RECIRC, u32(id));
  const keyOf = (id: number) => [attr(KEY.RECIRC_ID, u32(id)), ...etherKey(1)];
  script.putFlow({ key: etherKey(1), actions: [again(1)] });
  script.frame('tap0', etherFrame());
  script.putFlow({ key: keyOf(1), actions: [output(2), again(2)] });
  script.frame('tap0', etherFrame());
  script.putFlow({ key: keyOf(2), actions: [attr(ACTION.HASH, u32(0, 5)), again(3)] });
  script.frame('tap0', etherFrame());
  script.putFlow({ key: keyOf(3), actions: [nest(ACTION.CLONE, [again(4)]), output(2)] });
  script.frame('tap0', etherFrame());
  script.send('packet', PACKET.EXECUTE, [
    attr(PACKET_ATTR.PACKET, etherFrame()),
    nest(PACKET_ATTR.KEY, [attr(KEY.IN_PORT, u32(1))]),
    nest(PACKET_ATTR.ACTIONS, [again(1), again(9)]),
  ]);
  script.dumpAll();
  return script.scenario;
}

export function packetScenarios(): Scenario[] {
  return [
    executeKeys(),
    executeSizes(),
    ...actionUpcalls(),
    lostUpcalls(),
    lostByFlows(),
    dispatch(),
    traffic(),
    recirculation(),
  ];
}
