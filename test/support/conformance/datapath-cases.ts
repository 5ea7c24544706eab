/*
 * Datapaths and ports, case by case: names, features, port ids, sizes of the mask cache, how an object is found, what goes when it goes.
 */
import { attr, nest } from '../attribute-tree.ts';
import { DP, DP_ATTR, DP_F, FLOW, METER, METER_ATTR, VPORT, VPORT_ATTR, VPORT_TYPE } from './openvswitch.ts';
import { etherFrame, etherKey, makeWorld, output, showWorld } from './requests.ts';
import { NLM_F, type Scenario } from './scenario.ts';
import { ACK, DUMP, ECHO, PIDS, Script, text, u16, u32 } from './script.ts';

const bytesOf = (value: string) => new Uint8Array(Buffer.from(value, 'latin1'));
const NAME15 = 'fifteen-letters';

/** Payloads of a NAME: with and without an end, too long, and what no device may be called. */
export const NAMES: Uint8Array[] = [
  ...['', 'a', NAME15, `${NAME15}x`, `${NAME15}xyz`, '.', '..', 'a/b', 'a b', 'a:b', 'a\tb', '\x7f', '\xff\xfe'].map(
    text,
  ),
  ...['', 'dp0', NAME15, `${NAME15}x`].map(bytesOf),
  bytesOf('dp9\0rest'),
  bytesOf('\0rest\0'),
  bytesOf('dp8\0\0\0\0\0\0\0\0\0\0\0\0'),
  bytesOf('dp8\0\0\0\0\0\0\0\0\0\0\0\0\0'),
  bytesOf('dp8\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0'),
  ...['lo', 'dp0', 'i1', 'tap0'].map(text),
];

function datapathNames(): Scenario {
  const script = new Script('names of datapaths');
  script.device('tap0');
  makeWorld(script);
  for (const name of NAMES) {
    const named = attr(DP_ATTR.NAME, name);
    script.send('datapath', DP.NEW, [named, attr(DP_ATTR.UPCALL_PID, u32(PIDS.first))], { flags: ECHO, dp: 0 });
    script.send('datapath', DP.GET, [named], { dp: 0, from: 'plain' });
    script.send('datapath', DP.SET, [named, attr(DP_ATTR.USER_FEATURES, u32(1))], { flags: ECHO, dp: 0 });
    const isWorld = Buffer.from(name).toString('latin1').startsWith('dp0');
    if (!isWorld) script.send('datapath', DP.DEL, [named], { flags: ECHO, dp: 0 });
  }
  showWorld(script);
  return script.scenario;
}

const FEATURES = [0, 1, 2, 3, 4, 8, 9, 0xf, 0x10, 0x11, 0x80000003, 0xffffffff, 0x0b, 0x13];
const CACHE_SIZES = [
  0, 1, 2, 3, 4, 255, 256, 257, 1024, 2048, 4096, 4097, 8192, 65536, 0x7fffffff, 0x80000000, 0xffffffff,
];

function datapathSettings(): Scenario {
  const script = new Script('features, port ids and cache sizes of datapaths');
  script.newDatapath('dp0');
  const settings = [
    ...FEATURES.map((bits) => [attr(DP_ATTR.USER_FEATURES, u32(bits))]),
    ...CACHE_SIZES.map((size) => [attr(DP_ATTR.MASKS_CACHE_SIZE, u32(size))]),
    ...[0, 1, 2, 4, 5, 6, 8, 40, 400, 1200].map((size) => [attr(DP_ATTR.PER_CPU_PIDS, new Uint8Array(size).fill(7))]),
    ...[0, 4, 8].map((size) => [
      attr(DP_ATTR.USER_FEATURES, u32(DP_F.DISPATCH_UPCALL_PER_CPU)),
      attr(DP_ATTR.PER_CPU_PIDS, new Uint8Array(size).fill(9)),
    ]),
    [attr(DP_ATTR.USER_FEATURES, u32(0)), attr(DP_ATTR.PER_CPU_PIDS, u32(1, 2, 3))],
    [attr(DP_ATTR.USER_FEATURES, u32(DP_F.VPORT_PIDS)), attr(DP_ATTR.MASKS_CACHE_SIZE, u32(64))],
    [attr(DP_ATTR.USER_FEATURES, u32(0x10)), attr(DP_ATTR.MASKS_CACHE_SIZE, u32(32))],
    [attr(DP_ATTR.USER_FEATURES, u32(1)), attr(DP_ATTR.MASKS_CACHE_SIZE, u32(3))],
    [attr(DP_ATTR.STATS, new Uint8Array(32).fill(1)), attr(DP_ATTR.MEGAFLOW_STATS, new Uint8Array(32).fill(1))],
    [attr(DP_ATTR.UPCALL_PID, u32(77))],
    [],
  ];
  for (const setting of settings) {
    script.send('datapath', DP.SET, setting, { flags: ECHO });
    script.send('datapath', DP.GET, [], { from: 'plain' });
    script.newDatapath('dp1', setting);
    script.send('datapath', DP.DEL, [attr(DP_ATTR.NAME, text('dp1'))], { dp: 0 });
  }
  script.dumpAll();
  return script.scenario;
}

/** By name, by number, by both, by the number of something else. */
function findingDatapaths(): Scenario {
  const script = new Script('how datapaths are found');
  script.device('tap0');
  makeWorld(script);
  script.newDatapath('dp1');
  script.newPort('tap0', VPORT_TYPE.NETDEV, [], { dp: 'dp1' });
  for (const command of [DP.GET, DP.SET, DP.DEL]) {
    for (const dp of [0, 1, 'tap0', 'none', 'i1', 'dp0', 'dp1'] as const) {
      if (command !== DP.DEL || (dp !== 'dp0' && dp !== 'i1'))
        script.send('datapath', command, [], { dp, flags: ECHO });
      for (const name of ['i1', 'tap0', 'none', 'lo']) {
        script.send('datapath', command, [attr(DP_ATTR.NAME, text(name))], { dp, flags: ECHO });
      }
    }
    script.send('datapath', command, [attr(DP_ATTR.NAME, text('dp1'))], { dp: 'dp0', flags: ECHO });
    script.newDatapath('dp1');
  }
  script.send('datapath', DP.GET, [], { flags: DUMP, dp: 0 });
  showWorld(script);
  return script.scenario;
}

/** Everything goes with the datapath, and comes empty when it comes again. */
function datapathsComeAndGo(): Scenario {
  const script = new Script('datapaths come and go');
  script.device('tap0');
  for (let round = 0; round < 3; round++) {
    makeWorld(script);
    script.newPort('tap0', VPORT_TYPE.NETDEV);
    script.frame('tap0', etherFrame());
    script.send('datapath', DP.NEW, [attr(DP_ATTR.NAME, text('dp0')), attr(DP_ATTR.UPCALL_PID, u32(1))], { dp: 0 });
    script.send('datapath', DP.DEL, [], { flags: round === 0 ? ACK : ECHO });
    showWorld(script);
    script.send('datapath', DP.DEL, [], { flags: ECHO });
    script.send('datapath', DP.DEL, [attr(DP_ATTR.NAME, text('dp0'))], { flags: ECHO });
    script.send('vport', VPORT.GET, [attr(VPORT_ATTR.NAME, text('tap0'))], { dp: 0 });
    script.send('flow', FLOW.GET, [], { flags: DUMP });
    script.send('meter', METER.GET, [attr(METER_ATTR.ID, u32(1))]);
    script.frame('tap0', etherFrame());
  }
  return script.scenario;
}

function portNames(): Scenario {
  const script = new Script('names of ports');
  script.device('tap0');
  script.device('tap1');
  makeWorld(script);
  script.newDatapath('dp1');
  script.newPort('tap1', VPORT_TYPE.NETDEV, [], { dp: 'dp1' });
  const names = [...NAMES, text('tap1'), text('dp1'), text('none')];
  for (const type of [VPORT_TYPE.INTERNAL, VPORT_TYPE.NETDEV]) {
    for (const name of names) {
      const named = attr(VPORT_ATTR.NAME, name);
      const attributes = [named, attr(VPORT_ATTR.TYPE, u32(type)), attr(VPORT_ATTR.UPCALL_PID, u32(PIDS.third))];
      script.send('vport', VPORT.NEW, attributes, { flags: ECHO });
      script.send('vport', VPORT.NEW, attributes, { flags: ECHO, dp: 'dp1' });
      for (const dp of [0, 'dp0', 'dp1']) script.send('vport', VPORT.GET, [named], { dp, from: 'plain' });
      script.send('vport', VPORT.SET, [named, attr(VPORT_ATTR.UPCALL_PID, u32(5))], { flags: ECHO });
      const isWorld = /^(dp|i1|tap1)/.test(Buffer.from(name).toString('latin1'));
      if (!isWorld) script.send('vport', VPORT.DEL, [named], { flags: ECHO });
    }
  }
  showWorld(script);
  return script.scenario;
}

const PORT_NUMBERS = [
  0, 1, 2, 3, 5, 1023, 1024, 1025, 32767, 65533, 65534, 65535, 65536, 0x7fffffff, 0x80000000, 0xffffffff,
];

function portNumbers(): Scenario {
  const script = new Script('numbers of ports');
  makeWorld(script);
  for (const number of PORT_NUMBERS) {
    const numbered = attr(VPORT_ATTR.PORT_NO, u32(number));
    script.newPort(`n${number & 0xffff}`, VPORT_TYPE.INTERNAL, [numbered]);
    script.newPort('twice', VPORT_TYPE.INTERNAL, [numbered]);
    script.send('vport', VPORT.GET, [numbered], { from: 'plain' });
    script.send('vport', VPORT.SET, [numbered, attr(VPORT_ATTR.UPCALL_PID, u32(number))], { flags: ECHO });
    script.putFlow({ key: etherKey(number, 0x2000 + (number & 0xff)), actions: [output(number)] });
  }
  script.send('vport', VPORT.GET, [], { flags: DUMP });
  for (const number of PORT_NUMBERS) {
    script.send('vport', VPORT.DEL, [attr(VPORT_ATTR.PORT_NO, u32(number))], { flags: ECHO });
    script.newPort('next', VPORT_TYPE.INTERNAL);
    script.send('vport', VPORT.DEL, [attr(VPORT_ATTR.NAME, text('next'))]);
  }
  showWorld(script);
  return script.scenario;
}

function portTypes(): Scenario {
  const script = new Script('types and options of ports');
  script.device('tap0');
  makeWorld(script);
  const options = [
    undefined,
    [],
    [attr(1, u16(4789))],
    [attr(1, u16(0))],
    [attr(1, u32(4789))],
    [attr(2, [attr(1, [])])],
    [attr(9, u32(1))],
  ];
  for (const type of [0, 1, 2, 3, 4, 5, 6, 7, 100, 104, 105, 106, 107, 0x7fffffff, 0xffffffff]) {
    for (const option of options) {
      const more = option === undefined ? [] : [nest(VPORT_ATTR.OPTIONS, option)];
      script.newPort('tap0', type, more);
      script.send('vport', VPORT.DEL, [attr(VPORT_ATTR.NAME, text('tap0'))]);
    }
    script.send('vport', VPORT.SET, [attr(VPORT_ATTR.PORT_NO, u32(1)), attr(VPORT_ATTR.TYPE, u32(type))], {
      flags: ECHO,
    });
  }
  for (const option of options.filter((one) => one !== undefined)) {
    const set = [attr(VPORT_ATTR.PORT_NO, u32(1)), nest(VPORT_ATTR.OPTIONS, option)];
    script.send('vport', VPORT.SET, set, { flags: ECHO });
    script.send('vport', VPORT.SET, [...set, attr(VPORT_ATTR.UPCALL_PID, u32(9))], { flags: ECHO });
  }
  showWorld(script);
  return script.scenario;
}

function portIds(): Scenario {
  const script = new Script('port ids of ports');
  for (const features of [0, DP_F.VPORT_PIDS, DP_F.DISPATCH_UPCALL_PER_CPU]) {
    makeWorld(script);
    script.send('datapath', DP.SET, [attr(DP_ATTR.USER_FEATURES, u32(features))], { flags: ECHO });
    for (const size of [0, 1, 3, 4, 5, 7, 8, 12, 16, 400, 4000]) {
      const pids = attr(
        VPORT_ATTR.UPCALL_PID,
        Uint8Array.from({ length: size }, (_, index) => 1 + (index >> 2)),
      );
      script.newPort('i3', VPORT_TYPE.INTERNAL, [pids]);
      script.send('vport', VPORT.SET, [attr(VPORT_ATTR.PORT_NO, u32(3)), pids], { flags: ECHO });
      script.send('vport', VPORT.SET, [attr(VPORT_ATTR.PORT_NO, u32(0)), pids], { flags: ECHO });
      script.send('vport', VPORT.GET, [attr(VPORT_ATTR.PORT_NO, u32(3))]);
      script.send('vport', VPORT.DEL, [attr(VPORT_ATTR.PORT_NO, u32(3))], { flags: ECHO });
    }
    script.send('datapath', DP.SET, [attr(DP_ATTR.USER_FEATURES, u32(DP_F.VPORT_PIDS))], { flags: ECHO });
    script.send('vport', VPORT.GET, [], { flags: DUMP });
    script.send('datapath', DP.DEL, []);
  }
  return script.scenario;
}

/** The device under a port goes; another of the same name comes. */
function devicesComeAndGo(): Scenario {
  const script = new Script('devices come and go');
  makeWorld(script);
  for (let round = 0; round < 2; round++) {
    script.newPort('tap0', VPORT_TYPE.NETDEV);
    script.device('tap0');
    script.newPort('tap0', VPORT_TYPE.NETDEV, [attr(VPORT_ATTR.PORT_NO, u32(7))]);
    script.putFlow({ key: etherKey(7, 0x3000), actions: [output(1)] }, { flags: ACK | NLM_F.CREATE });
    script.frame('tap0', etherFrame(0x3000));
    script.frame('tap0', etherFrame(0x3001));
    script.send('vport', VPORT.GET, [attr(VPORT_ATTR.PORT_NO, u32(7))]);
    script.remove('tap0');
    script.send('vport', VPORT.GET, [attr(VPORT_ATTR.PORT_NO, u32(7))]);
    script.send('vport', VPORT.GET, [attr(VPORT_ATTR.NAME, text('tap0'))]);
    showWorld(script);
  }
  return script.scenario;
}

/** More than one part of a dump. */
function manyPorts(): Scenario {
  const script = new Script('many ports');
  script.newDatapath('dp0');
  for (let index = 0; index < 40; index++) script.newPort(`i${index}`, VPORT_TYPE.INTERNAL, [], { flags: ACK });
  script.send('vport', VPORT.GET, [], { flags: DUMP });
  script.send('vport', VPORT.GET, [], { flags: DUMP | NLM_F.ACK | NLM_F.ECHO });
  for (let index = 0; index < 40; index += 3) {
    script.send('vport', VPORT.DEL, [attr(VPORT_ATTR.NAME, text(`i${index}`))]);
  }
  script.send('vport', VPORT.GET, [], { flags: DUMP });
  for (const name of ['x', 'y', 'z']) script.newPort(name, VPORT_TYPE.INTERNAL);
  script.send('vport', VPORT.GET, [], { flags: DUMP });
  return script.scenario;
}

/** Ports, or the datapath itself, come and go between two parts of a dump. Many port ids make a part full with eight ports. */
function dumpsInParts(): Scenario[] {
  const pids = attr(VPORT_ATTR.UPCALL_PID, u32(...Array.from({ length: 900 }, (_, index) => 10_000 + index)));
  const remove = (script: Script, numbers: number[]) => {
    for (const number of numbers) script.send('vport', VPORT.DEL, [attr(VPORT_ATTR.PORT_NO, u32(number))]);
  };
  const changes: Record<string, (script: Script) => void> = {
    'ports go': (script) => remove(script, [1, 5, 8, 9, 12, 20]),
    'the next port goes': (script) => remove(script, [8]),
    'ports come': (script) => {
      for (const number of [3, 15, 40]) {
        script.newPort(`late${number}`, VPORT_TYPE.INTERNAL, [attr(VPORT_ATTR.PORT_NO, u32(number))]);
      }
    },
    'the datapath goes': (script) => script.send('datapath', DP.DEL, []),
  };
  return Object.entries(changes).map(([name, change]) => {
    const script = new Script(`a dump in parts, ${name}`);
    script.newDatapath('dp0', [attr(DP_ATTR.USER_FEATURES, u32(DP_F.VPORT_PIDS))]);
    for (let index = 1; index <= 20; index++) {
      const number = attr(VPORT_ATTR.PORT_NO, u32(index));
      if (![3, 15].includes(index)) script.newPort(`i${index}`, VPORT_TYPE.INTERNAL, [pids, number], { flags: ACK });
    }
    script.send('datapath', DP.GET, [], { from: 'plain' });
    script.post('plain', script.message('vport', VPORT.GET, [], { flags: DUMP }));
    change(script);
    script.send('datapath', DP.GET, [], { from: 'plain' });
    return script.scenario;
  });
}

/** The requester is a member of the group that its request is told to. */
function membersOfGroups(): Scenario {
  const script = new Script('requesters in groups');
  for (const family of ['datapath', 'vport', 'flow', 'meter'] as const) {
    script.steps.push({ do: 'join', socket: 'admin', family }, { do: 'join', socket: 'plain', family });
  }
  for (const flags of [NLM_F.REQUEST, ACK, NLM_F.REQUEST | NLM_F.ECHO, ECHO]) {
    script.newDatapath('dp0', [], { flags });
    script.newPort('i1', VPORT_TYPE.INTERNAL, [], { flags, from: 'other' });
    script.putFlow({ key: etherKey(1), actions: [] }, { flags });
    script.putFlow({ key: etherKey(1), actions: [output(1)] }, { flags, from: 'other' });
    script.flow(FLOW.DEL, { key: etherKey(1) }, { flags });
    script.send('vport', VPORT.DEL, [attr(VPORT_ATTR.NAME, text('i1'))], { flags });
    script.send('datapath', DP.DEL, [], { flags });
  }
  script.steps.push({ do: 'leave', socket: 'admin', family: 'datapath' });
  script.newDatapath('dp0');
  return script.scenario;
}

export function datapathScenarios(): Scenario[] {
  return [
    datapathNames(),
    datapathSettings(),
    findingDatapaths(),
    datapathsComeAndGo(),
    portNames(),
    portNumbers(),
    portTypes(),
    portIds(),
    devicesComeAndGo(),
    manyPorts(),
    ...dumpsInParts(),
    membersOfGroups(),
  ];
}
