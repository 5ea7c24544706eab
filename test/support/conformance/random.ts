/*
 * Random scenarios from a seed: long sequences of requests and events over a small world, where chance makes them meet.
 *
 * Two kinds. With traffic: frames pass between the requests, so all flows have the same mask, since of several flows that match a packet a
 * kernel takes whichever it finds first. Without: any masks, over each other, and requests that are bent.
 */
import { type Attr, attr, bend, bendBytes, copyTree, encode, nest } from '../attribute-tree.ts';
import { randomActions } from '../flow-actions.ts';
import { randomKey, randomMask } from '../flow-generator.ts';
import { Random } from '../frame-generator.ts';
import { MASKS } from './flow-cases.ts';
import {
  ACTION,
  DP,
  DP_ATTR,
  type Family,
  FLOW,
  KEY,
  METER,
  METER_ATTR,
  PACKET,
  PACKET_ATTR,
  VPORT,
  VPORT_ATTR,
  VPORT_TYPE,
} from './openvswitch.ts';
import { dropBand, etherFrame, meterAttributes, output } from './requests.ts';
import { type Datagram, NLM_F, type Scenario, type SocketName } from './scenario.ts';
import { be16, type FlowFields, flowAttributes, PIDS, Script, text, u32 } from './script.ts';

const FLAGS = [0, NLM_F.ACK, NLM_F.ACK, NLM_F.ACK | NLM_F.ECHO, NLM_F.ACK | NLM_F.ECHO, NLM_F.ECHO];
const FLOW_FLAGS = [0, 0, 0, NLM_F.CREATE, NLM_F.EXCL, NLM_F.CREATE | NLM_F.EXCL, NLM_F.REPLACE];
const TYPES = [0x1234, 0x1235, 0x88b5];
const ATTRIBUTE_TYPES = 13;
const DEVICES = ['tap0', 'tap1'];
const INTERNALS = ['i1', 'i2', 'i3'];

interface Request {
  family: Family;
  command: number;
  attributes: Attr[];
  flags?: number;
}

/** What a world's requests are made of. */
class Chance {
  readonly random: Random;
  /** undefined: any. */
  private readonly mask: Attr[] | undefined | 'any';

  constructor(random: Random, mask: Attr[] | undefined | 'any') {
    this.random = random;
    this.mask = mask;
  }

  private key(): Attr[] {
    const { random } = this;
    const macs = Uint8Array.of(2, 0, 0, 0, 0, 10 + random.below(2), 2, 0, 0, 0, 0, 0x0b);
    const recirc = random.oneIn(8) ? [attr(KEY.RECIRC_ID, u32(1))] : [];
    const port = attr(KEY.IN_PORT, u32(1 + random.below(3)));
    return [...recirc, port, attr(KEY.ETHERNET, macs), attr(KEY.ETHERTYPE, be16(random.pick(TYPES)))];
  }

  private ufid(): Uint8Array {
    return new Uint8Array(this.random.pick([1, 4, 16, 16])).fill(this.random.below(4));
  }

  /** RECIRC may lead back to the same flow: where that ends is told by the frames that come out. */
  actions(): Attr[] {
    const { random } = this;
    const all: (() => Attr)[] = [
      () => output(random.below(4)),
      () => output(random.pick([1, 2])),
      () => nest(ACTION.USERSPACE, [attr(1, u32(random.pick([PIDS.first, PIDS.third, 0])))]),
      () => nest(ACTION.CLONE, [output(random.below(3))]),
      () => attr(ACTION.METER, u32(1 + random.below(2))),
      () => attr(ACTION.PUSH_VLAN, [0x81, 0, 0x10, random.below(8)]),
      () => attr(ACTION.RECIRC, u32(1 + random.below(2))),
    ];
    return Array.from({ length: random.below(3) }, () => random.pick(all)());
  }

  private fields(): FlowFields {
    const { random } = this;
    const mask = this.mask === 'any' ? random.pick(Object.values(MASKS)) : this.mask;
    return {
      ...(random.oneIn(8) ? {} : { key: this.key() }),
      ...(mask !== undefined && { mask }),
      ...(random.oneIn(3) && { ufid: this.ufid() }),
      ...(random.oneIn(6) && { ufidFlags: random.below(8) }),
      ...(random.oneIn(8) && { clear: true }),
      ...(random.oneIn(8) && { probe: true }),
    };
  }

  flow(): Request {
    const { random } = this;
    const command = random.pick([FLOW.NEW, FLOW.NEW, FLOW.NEW, FLOW.SET, FLOW.DEL, FLOW.GET, FLOW.GET]);
    const puts = command === FLOW.NEW || (command === FLOW.SET && !random.oneIn(3));
    const attributes = flowAttributes({ ...this.fields(), ...(puts && { actions: this.actions() }) });
    const flags = command === FLOW.NEW ? random.pick(FLOW_FLAGS) : random.oneIn(6) ? NLM_F.DUMP : 0;
    return { family: 'flow', command, attributes, flags };
  }

  datapath(): Request {
    const { random } = this;
    const name = random.oneIn(3) ? [attr(DP_ATTR.NAME, text(random.pick(['dp0', 'dp1', 'dp1', 'none'])))] : [];
    const settings = [
      attr(DP_ATTR.USER_FEATURES, u32(random.pick([0, 1, 2, 3, 8, 9, 16]))),
      attr(DP_ATTR.MASKS_CACHE_SIZE, u32(random.pick([0, 2, 256, 300]))),
      attr(DP_ATTR.PER_CPU_PIDS, u32(random.pick([PIDS.first, PIDS.third, 0]))),
    ].filter(() => random.oneIn(2));
    const command = random.pick([DP.SET, DP.SET, DP.GET, DP.GET, DP.NEW, DP.DEL]);
    const dp1 = [attr(DP_ATTR.NAME, text('dp1')), attr(DP_ATTR.UPCALL_PID, u32(PIDS.first))];
    if (command === DP.NEW) return { family: 'datapath', command, attributes: [...dp1, ...settings] };
    if (command === DP.DEL) return { family: 'datapath', command, attributes: [dp1[0]!] };
    const flags = command === DP.GET && random.oneIn(3) ? NLM_F.DUMP : 0;
    return { family: 'datapath', command, attributes: [...name, ...settings], flags };
  }

  vport(): Request {
    const { random } = this;
    const isDevice = random.oneIn(3);
    const name = random.pick(isDevice ? DEVICES : INTERNALS);
    const type = isDevice ? VPORT_TYPE.NETDEV : VPORT_TYPE.INTERNAL;
    const named = attr(VPORT_ATTR.NAME, text(name));
    const numbered = attr(VPORT_ATTR.PORT_NO, u32(random.pick([0, 1, 2, 3, 4, 9])));
    const pids = attr(VPORT_ATTR.UPCALL_PID, u32(random.pick([0, PIDS.first, PIDS.second])));
    const command = random.pick([VPORT.NEW, VPORT.NEW, VPORT.DEL, VPORT.GET, VPORT.SET]);
    if (command === VPORT.NEW) {
      const number = random.oneIn(2) ? [numbered] : [];
      return { family: 'vport', command, attributes: [named, attr(VPORT_ATTR.TYPE, u32(type)), pids, ...number] };
    }
    const which = random.pick([[named], [numbered], [named, numbered]]);
    const flags = command === VPORT.GET && random.oneIn(3) ? NLM_F.DUMP : 0;
    return { family: 'vport', command, attributes: command === VPORT.SET ? [...which, pids] : which, flags };
  }

  meter(): Request {
    const { random } = this;
    const command = random.pick([METER.SET, METER.SET, METER.DEL, METER.GET, METER.GET]);
    const id = 1 + random.below(3);
    if (command !== METER.SET) return { family: 'meter', command, attributes: [attr(METER_ATTR.ID, u32(id))] };
    const bands = random.oneIn(4) ? [] : [dropBand(1_000_000, 1_000_000)];
    const clear = random.oneIn(3) ? [attr(METER_ATTR.CLEAR, [])] : [];
    return { family: 'meter', command, attributes: [...meterAttributes(id, bands), ...clear] };
  }

  execute(): Request {
    const { random } = this;
    const attributes = [
      attr(PACKET_ATTR.PACKET, etherFrame(random.pick(TYPES), 60 + random.below(40))),
      nest(PACKET_ATTR.KEY, random.oneIn(4) ? [] : [attr(KEY.IN_PORT, u32(1 + random.below(3)))]),
      nest(PACKET_ATTR.ACTIONS, this.actions()),
    ];
    return { family: 'packet', command: PACKET.EXECUTE, attributes };
  }

  request(): Request {
    const roll = this.random.below(20);
    if (roll < 10) return this.flow();
    if (roll < 13) return this.vport();
    if (roll < 15) return this.datapath();
    return roll < 17 ? this.meter() : this.execute();
  }
}

/** Of the attributes, or of the bytes that they are. */
function bent(random: Random, attributes: Attr[]): Attr[] | Uint8Array {
  if (random.oneIn(3)) return bendBytes(random, encode(attributes));
  const tree = copyTree(attributes);
  bend(random, tree, ATTRIBUTE_TYPES);
  return tree;
}

function datagram(script: Script, chance: Chance, isBent: boolean, from: SocketName): Datagram {
  const { random } = chance;
  const { family, command, attributes, flags = 0 } = chance.request();
  const dp = random.pick(['dp0', 'dp0', 'dp0', 'dp0', 'dp0', 'dp0', 'dp1', 'i1', 0]);
  const list = isBent && random.oneIn(5) ? bent(random, attributes) : attributes;
  return script.message(family, command, list, { dp, flags: NLM_F.REQUEST | random.pick(FLAGS) | flags, from });
}

/** A tap device counts a packet when somebody reads it; and what comes while flows are dumped is seen or not, as the hash has it. */
function mustBeAlone({ bytes, fixes }: Datagram): boolean {
  const isDump = (new DataView(bytes.buffer).getUint16(6, true) & NLM_F.DUMP) === NLM_F.DUMP;
  const isOf = (family: Family) => fixes.some((fix) => 'family' in fix && fix.family === family);
  return isOf('packet') || (isOf('flow') && isDump);
}

function sequence(seed: number, length: number, withTraffic: boolean): Scenario {
  const random = new Random(seed);
  const script = new Script(`seed ${seed} ${withTraffic ? 'with' : 'without'} traffic`);
  const masks = [undefined, MASKS.exact, MASKS.type, MASKS.source, MASKS.port];
  const chance = new Chance(random, withTraffic ? random.pick(masks) : 'any');
  for (const device of DEVICES) script.device(device);
  script.newDatapath('dp0');
  for (const device of DEVICES) script.newPort(device, VPORT_TYPE.NETDEV);
  for (let step = 0; step < length; step++) {
    const from = random.pick(['admin', 'admin', 'admin', 'admin', 'admin', 'admin', 'other', 'plain'] as const);
    if (withTraffic && random.oneIn(3)) {
      const frame = etherFrame(random.pick(TYPES), 60 + random.below(4));
      frame[11] = 10 + random.below(2);
      script.frame(random.pick(DEVICES), frame);
    } else {
      const count = random.oneIn(8) ? 2 + random.below(3) : 1;
      const made = Array.from({ length: count }, () => datagram(script, chance, !withTraffic, from));
      const datagrams = count === 1 ? made : made.filter((one) => !mustBeAlone(one));
      if (datagrams.length > 0) script.sendTogether(datagrams, from);
    }
  }
  script.dumpAll();
  return { ...script.scenario, isStateful: true };
}

/** Flows of all that keys, masks and actions may hold: put, found again, changed, removed. */
function anyFlows(seed: number, count: number): Scenario {
  const random = new Random(seed);
  const script = new Script(`seed ${seed} flows of everything`);
  script.newDatapath('dp0');
  for (let index = 0; index < count; index++) {
    const { attrs, kind } = randomKey(random);
    const mask = random.oneIn(3) ? undefined : randomMask(random, attrs);
    const fields: FlowFields = {
      key: attrs,
      ...(mask !== undefined && { mask }),
      ...(random.oneIn(2) && { ufid: random.bytes(random.pick([1, 8, 16])) }),
    };
    script.putFlow({ ...fields, actions: randomActions(random, kind) });
    script.flow(FLOW.GET, fields);
    script.flow(FLOW.SET, { ...fields, actions: randomActions(random, kind) });
    script.send('flow', FLOW.GET, [], { flags: NLM_F.REQUEST | NLM_F.DUMP });
    script.flow(FLOW.DEL, fields);
    script.send('flow', FLOW.DEL, []);
  }
  return script.scenario;
}

/** `count` sequences of both kinds, `length` steps each. */
export function randomScenarios(seed: number, count: number, length: number): Scenario[] {
  const scenarios = Array.from({ length: count }, (_, index) => sequence(seed + index, length, index % 2 === 0));
  return [...scenarios, anyFlows(seed, count * 5)];
}
