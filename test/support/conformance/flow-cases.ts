/*
 * Flows, case by case: what makes two flows the same, which flags allow what, how a flow is found, what comes back of it.
 */
import { type Attr, attr, nest } from '../attribute-tree.ts';
import { ethernet, ipv4, tcp } from '../layers.ts';
import { ACTION, DP, FLOW, KEY, VPORT, VPORT_ATTR, VPORT_TYPE } from './openvswitch.ts';
import { etherFrame, etherKey, MAC_PAIR, output, UFID } from './requests.ts';
import { NLM_F, type Scenario } from './scenario.ts';
import { ACK, be16, DUMP, ECHO, type FlowFields, Script, text, u32 } from './script.ts';

const OMIT_ALL = 7;
const ONES4 = u32(0xffffffff);
const ZEROS4 = u32(0);

const ufid = (number: number, size = 16) => Uint8Array.from({ length: size }, (_, at) => (at === 0 ? number : at));

/** Masks of etherKey(): what of it a flow looks at. */
export const MASKS: Record<string, Attr[] | undefined> = {
  absent: undefined,
  empty: [],
  port: [attr(KEY.IN_PORT, ONES4)],
  nothing: [attr(KEY.IN_PORT, ZEROS4)],
  type: [attr(KEY.IN_PORT, ONES4), attr(KEY.ETHERTYPE, be16(0xffff))],
  source: [
    attr(KEY.IN_PORT, ONES4),
    attr(
      KEY.ETHERNET,
      Uint8Array.from(MAC_PAIR, (_, at) => (at < 6 ? 255 : 0)),
    ),
  ],
  exact: [
    attr(KEY.IN_PORT, ONES4),
    attr(
      KEY.ETHERNET,
      MAC_PAIR.map(() => 255),
    ),
    attr(KEY.ETHERTYPE, be16(0xffff)),
  ],
};

function withPorts(name: string): Script {
  const script = new Script(name);
  script.newDatapath('dp0');
  for (const port of ['i1', 'i2']) script.newPort(port, VPORT_TYPE.INTERNAL, [], { flags: ACK });
  return script;
}

const PUT_FLAGS = [0, NLM_F.CREATE, NLM_F.EXCL];

/** Every flow of a pair put on top of every other, with all flags. */
function putOverPut(): Scenario[] {
  const flows: Record<string, FlowFields> = {};
  for (const [name, mask] of Object.entries(MASKS)) {
    const fields = { key: etherKey(1), ...(mask !== undefined && { mask }) };
    flows[`${name} by key`] = fields;
    flows[`${name} by ufid 1`] = { ...fields, ufid: ufid(1) };
  }
  flows['another key by ufid 1'] = { key: etherKey(1, 0x4000), ufid: ufid(1) };
  flows['the same key by ufid 2'] = { key: etherKey(1), ufid: ufid(2) };
  return Object.entries(flows).map(([first, before]) => {
    const script = withPorts(`put over ${first}`);
    for (const [, after] of Object.entries(flows)) {
      for (const flags of PUT_FLAGS) {
        script.putFlow({ ...before, actions: [output(1)] }, { flags: ACK });
        script.putFlow({ ...after, actions: [output(2)] }, { flags: ECHO | flags });
        script.send('flow', FLOW.GET, [], { flags: DUMP });
        script.send('flow', FLOW.DEL, [], { flags: ACK });
      }
    }
    return script.scenario;
  });
}

/** GET, SET and DEL of each flow of a table by what may or may not name it. */
function lookups(): Scenario[] {
  const table: FlowFields[] = [
    { key: etherKey(1, 0x5001) },
    { key: etherKey(1, 0x5002), ufid: ufid(2) },
    { key: etherKey(2, 0x5003), mask: MASKS.source! },
    { key: etherKey(1, 0x5004), mask: MASKS.type!, ufid: ufid(4, 4) },
  ];
  const queries: FlowFields[] = [
    ...table,
    { ufid: ufid(2) },
    { ufid: ufid(4, 4) },
    { ufid: ufid(4, 8) },
    { ufid: ufid(9) },
    { key: etherKey(1, 0x5001), ufid: ufid(2) },
    { key: etherKey(1, 0x5002), ufid: ufid(9) },
    { key: etherKey(1, 0x5002) },
    { key: etherKey(1, 0x5004) },
    { key: etherKey(2, 0x5003) },
    { key: etherKey(2, 0x5013) },
    { key: etherKey(1, 0x5011), mask: MASKS.port! },
    { key: etherKey(1, 0x5001), mask: MASKS.exact! },
    { mask: MASKS.exact! },
    { key: [] },
    {},
  ];
  const put = (script: Script) => {
    for (const flow of table) script.putFlow({ ...flow, actions: [output(2)] }, { flags: ACK });
  };
  return (['GET', 'SET', 'DEL'] as const).map((command) => {
    const script = withPorts(`${command} by key and by ufid`);
    put(script);
    for (const query of queries) {
      const variants = command === 'SET' ? [{}, { actions: [output(1)] }, { actions: [] }, { clear: true }] : [{}];
      for (const more of variants) {
        for (const flags of [ACK, ECHO, NLM_F.REQUEST, ECHO | NLM_F.CREATE | NLM_F.EXCL]) {
          script.flow(FLOW[command], { ...query, ...more }, { flags });
          if (command === 'DEL') put(script);
        }
      }
    }
    script.dumpAll();
    return script.scenario;
  });
}

/** What of a flow comes back, for every set of flags, in every kind of answer. */
function ufidFlags(): Scenario {
  const script = withPorts('flags of ufids');
  const flows: FlowFields[] = [
    { key: etherKey(1, 0x6001) },
    { key: etherKey(1, 0x6002), ufid: ufid(2), mask: MASKS.type! },
    { key: etherKey(1, 0x6003), ufid: new Uint8Array(16) },
  ];
  for (const flags of [undefined, 0, 1, 2, 3, 4, 5, 6, OMIT_ALL, 8, 15, 0xffffffff]) {
    const asked = flags === undefined ? {} : { ufidFlags: flags };
    for (const flow of flows) {
      script.putFlow({ ...flow, ...asked, actions: [output(2)] });
      script.flow(FLOW.SET, { ...flow, ...asked, actions: [output(1)] });
      script.flow(FLOW.GET, { ...flow, ...asked }, { flags: ACK });
      if (flow.ufid) script.flow(FLOW.GET, { ufid: flow.ufid, ...asked }, { flags: ACK });
    }
    script.flow(FLOW.GET, asked, { flags: DUMP, from: 'plain' });
    for (const flow of flows) script.flow(FLOW.DEL, { ...flow, ...asked });
  }
  return script.scenario;
}

function ufidSizes(): Scenario {
  const script = withPorts('sizes of ufids');
  for (let size = 0; size <= 20; size++) {
    const id = ufid(1, size);
    for (const fields of [{ key: etherKey(1, 0x6100 + size) }, {}]) {
      script.putFlow({ ...fields, ufid: id, actions: [] });
      script.flow(FLOW.GET, { ...fields, ufid: id });
      script.flow(FLOW.GET, fields);
      script.flow(FLOW.SET, { ...fields, ufid: id, actions: [output(1)] });
      script.flow(FLOW.DEL, { ...fields, ufid: id });
    }
    script.putFlow({ key: etherKey(1, 0x6200 + size), ufid: id, actions: [] });
  }
  script.dumpAll();
  script.send('flow', FLOW.DEL, [], { flags: ECHO });
  script.dumpAll();
  return script.scenario;
}

const tcpFrame = (flags: number, size: number) =>
  ethernet(0x0800, ipv4({ proto: 6 }, tcp({ flags }, new Uint8Array(size))));

export const ipKey = (port: number): Attr[] => [
  attr(KEY.IN_PORT, u32(port)),
  attr(KEY.ETHERNET, Uint8Array.of(2, 0, 0, 0, 0, 0x0a, 2, 0, 0, 0, 0, 0x0b)),
  attr(KEY.ETHERTYPE, be16(0x0800)),
  attr(KEY.IPV4, Uint8Array.of(10, 0, 0, 1, 10, 0, 0, 2, 6, 0, 64, 0)),
];
const ipMask: Attr[] = [attr(KEY.IN_PORT, ONES4), attr(KEY.ETHERTYPE, be16(0xffff))];

/** Counters, the time of use and the flags of TCP, and what sets them back. */
function statistics(): Scenario {
  const script = new Script('statistics of flows');
  script.newDatapath('dp0');
  for (const device of ['tap0', 'tap1']) {
    script.device(device);
    script.newPort(device, VPORT_TYPE.NETDEV, [], { flags: ACK });
  }
  const flow: FlowFields = { ufid: UFID, key: ipKey(1), mask: ipMask };
  const traffic = () => {
    for (const flags of [2, 0x10, 0x18, 0x1ff]) script.frame('tap0', tcpFrame(flags, 20));
    script.frame('tap1', tcpFrame(2, 0));
    script.flow(FLOW.GET, { ufid: UFID }, { flags: ACK });
  };
  script.putFlow({ ...flow, actions: [output(2)] });
  traffic();
  script.flow(FLOW.SET, { ...flow, actions: [output(2), output(1)] });
  traffic();
  script.flow(FLOW.SET, { ...flow, clear: true });
  traffic();
  script.flow(FLOW.SET, { ...flow, actions: [], clear: true });
  traffic();
  script.putFlow({ ...flow, actions: [output(2)] });
  script.putFlow({ ...flow, actions: [output(2)], clear: true });
  traffic();
  script.flow(FLOW.DEL, { ...flow, clear: true });
  traffic();
  script.dumpAll();
  script.send('flow', FLOW.DEL, []);
  script.dumpAll();
  return script.scenario;
}

/** Several masks, each a subtable; counters of the datapath. */
function masks(): Scenario {
  const script = withPorts('masks and their number');
  const some = Object.entries(MASKS).filter(([name]) => name !== 'nothing' && name !== 'empty');
  for (const [index, [, mask]] of some.entries()) {
    const key = etherKey(10 + index, 0x7000 + index);
    script.putFlow({ key, ...(mask !== undefined && { mask }), actions: [] });
    script.send('datapath', DP.GET, []);
  }
  for (const [index, [, mask]] of some.entries()) {
    const key = etherKey(20 + index, 0x7000 + index);
    script.putFlow({ key, ...(mask !== undefined && { mask }), actions: [], ufid: ufid(index) });
  }
  script.dumpAll();
  for (let index = 0; index < some.length; index++) {
    script.flow(FLOW.DEL, { key: etherKey(10 + index, 0x7000 + index) });
    script.send('datapath', DP.GET, []);
  }
  script.dumpAll();
  for (const size of [0, 2, 256]) {
    script.send('datapath', DP.SET, [attr(7, u32(size))], { flags: ECHO });
    script.send('flow', FLOW.GET, [], { flags: DUMP });
  }
  script.send('flow', FLOW.DEL, []);
  script.send('datapath', DP.GET, []);
  return script.scenario;
}

/** Masks that look at the same bits, of which one also names a header to look at nothing of it. */
function sameMasks(): Scenario {
  const script = withPorts('masks of the same bits');
  const nothing = attr(KEY.IPV4, new Uint8Array(12));
  script.putFlow({ key: ipKey(1), mask: ipMask, actions: [] });
  script.putFlow({ key: ipKey(2), mask: [...ipMask, nothing], actions: [] });
  script.dumpAll();
  script.flow(FLOW.DEL, { key: ipKey(1) });
  script.dumpAll();
  return script.scenario;
}

/** Answers that are larger than a page, or than what a dump has room for. */
function largeFlows(): Scenario {
  const script = withPorts('large lists of actions');
  for (const count of [1, 400, 470, 1000, 4000, 4090, 8100]) {
    const key = etherKey(1, 0x7100 + (count & 0xff));
    const actions = Array.from({ length: count }, () => output(2));
    script.putFlow({ key, actions });
    script.flow(FLOW.GET, { key }, { flags: ACK });
    script.send('flow', FLOW.GET, [], { flags: DUMP, from: 'plain' });
    script.flow(FLOW.SET, { key, actions: [output(1), ...actions] });
    script.flow(FLOW.DEL, { key });
  }
  return script.scenario;
}

/** More flows than one part of a dump holds. */
function manyFlows(): Scenario {
  const script = withPorts('many flows');
  const count = 300;
  const fields = (index: number): FlowFields => ({
    key: etherKey(1, 0x4000 + index),
    ...(index % 3 === 0 && { ufid: ufid(index & 0xff, 4 + (index % 12)) }),
    ...(index % 5 === 0 && { mask: MASKS.type! }),
  });
  for (let index = 0; index < count; index += 10) {
    const put = Array.from({ length: 10 }, (_, at) =>
      script.message('flow', FLOW.NEW, [
        ...(fields(index + at).ufid ? [attr(9, fields(index + at).ufid!)] : []),
        nest(1, fields(index + at).key as Attr[]),
        ...(fields(index + at).mask ? [nest(7, fields(index + at).mask as Attr[])] : []),
        nest(2, [output(2)]),
      ]),
    );
    script.sendTogether(put);
  }
  for (const more of [{}, { ufidFlags: OMIT_ALL }]) {
    script.flow(FLOW.GET, more, { flags: DUMP });
    script.flow(FLOW.GET, more, { flags: DUMP, from: 'plain' });
  }
  for (let index = 0; index < count; index += 7) script.flow(FLOW.DEL, fields(index), { flags: ACK });
  script.dumpAll();
  script.send('flow', FLOW.DEL, []);
  script.dumpAll();
  return script.scenario;
}

/** The ports of a flow go, and come again. */
function portsUnderFlows(): Scenario {
  const script = new Script('ports go under flows');
  script.newDatapath('dp0');
  for (const device of ['tap0', 'tap1']) {
    script.device(device);
    script.newPort(device, VPORT_TYPE.NETDEV, [], { flags: ACK });
  }
  script.putFlow({ key: etherKey(1), actions: [output(2), output(9), output(65535 - 1)] });
  const traffic = () => {
    script.frame('tap0', etherFrame());
    script.frame('tap1', etherFrame());
    script.dumpAll();
  };
  traffic();
  script.send('vport', VPORT.DEL, [attr(VPORT_ATTR.NAME, text('tap1'))], { flags: ECHO });
  traffic();
  script.newPort('tap1', VPORT_TYPE.NETDEV, [attr(VPORT_ATTR.PORT_NO, u32(9))]);
  traffic();
  script.send('vport', VPORT.DEL, [attr(VPORT_ATTR.NAME, text('tap0'))], { flags: ECHO });
  script.newPort('tap0', VPORT_TYPE.NETDEV, [attr(VPORT_ATTR.PORT_NO, u32(2))]);
  traffic();
  return script.scenario;
}

/** The flags of PROBE, and flows that are none. */
function refusedFlows(): Scenario {
  const script = withPorts('flows that are refused');
  const keys: (Attr[] | Uint8Array)[] = [
    [],
    [attr(KEY.IN_PORT, u32(1))],
    [attr(KEY.ETHERNET, MAC_PAIR)],
    [attr(KEY.ETHERTYPE, be16(0x1234))],
    [...etherKey(1), attr(KEY.IPV4, new Uint8Array(12))],
    [...etherKey(1, 0x0800)],
    ipKey(1),
    [...etherKey(65535)],
    [...etherKey(65536)],
    new Uint8Array(3),
    new Uint8Array(5),
  ];
  const actionLists: (Attr[] | Uint8Array | undefined)[] = [
    undefined,
    [],
    [output(65535)],
    [output(65536)],
    [attr(ACTION.OUTPUT, Uint8Array.of(1, 0))],
    [attr(99, u32(1))],
    [attr(ACTION.POP_VLAN, [])],
    [attr(ACTION.METER, u32(5))],
    [nest(ACTION.CLONE, [output(1)])],
    new Uint8Array(3),
    new Uint8Array(6),
  ];
  const masksToTry = [undefined, [], MASKS.port, [attr(KEY.IN_PORT, u32(1))], new Uint8Array(3), [attr(40, ONES4)]];
  for (const key of keys) {
    for (const probe of [false, true]) {
      script.putFlow({ key, actions: [], probe });
      script.flow(FLOW.GET, { key, probe });
      script.flow(FLOW.SET, { key, actions: [output(1)], probe });
      script.flow(FLOW.DEL, { key, probe });
    }
  }
  for (const actions of actionLists) {
    const list = actions === undefined ? {} : { actions };
    script.putFlow({ key: etherKey(1), ...list });
    script.putFlow({ key: etherKey(1), ...list, probe: true, clear: true });
    script.flow(FLOW.SET, { key: etherKey(1), ...list });
  }
  for (const mask of masksToTry) {
    const fields = { key: etherKey(1), ...(mask !== undefined && { mask }) };
    for (const command of [FLOW.NEW, FLOW.SET, FLOW.GET, FLOW.DEL]) script.flow(command, { ...fields, actions: [] });
  }
  script.dumpAll();
  return script.scenario;
}

export function flowScenarios(): Scenario[] {
  return [
    ...putOverPut(),
    ...lookups(),
    ufidFlags(),
    ufidSizes(),
    statistics(),
    masks(),
    sameMasks(),
    largeFlows(),
    manyFlows(),
    portsUnderFlows(),
    refusedFlows(),
  ];
}
