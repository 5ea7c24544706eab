/*
 * Matrices: every request of requests.ts with each of its parts bent in turn. What is in order and what is not are both asked.
 */
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { type Attr, attr, encode } from '../attribute-tree.ts';
import {
  ACTION,
  FAMILIES,
  FLOW,
  FLOW_ATTR,
  KEY,
  METER,
  METER_ATTR,
  PACKET,
  PACKET_ATTR,
  VERSION,
} from './openvswitch.ts';
import { etherFrame, etherKey, makeWorld, output, showWorld, VALID, type Valid } from './requests.ts';
import { NLM_F, type Scenario, SOCKETS } from './scenario.ts';
import { ACK, DUMP, ECHO, Script, u32 } from './script.ts';

const R = NLM_F.REQUEST;
const FLAGS = [
  0,
  NLM_F.ACK,
  R,
  ACK,
  R | NLM_F.ECHO,
  ECHO,
  R | NLM_F.ROOT,
  R | NLM_F.MATCH,
  ACK | NLM_F.ROOT | NLM_F.ECHO,
  DUMP,
  DUMP | NLM_F.ACK | NLM_F.ECHO,
  ACK | NLM_F.CREATE,
  ECHO | NLM_F.CREATE | NLM_F.EXCL,
  ACK | NLM_F.APPEND,
  ACK | NLM_F.MULTI,
  0xffff,
];
const VERSIONS = [0, 1, 2, 3, 255];
const SIZES = [0, 1, 2, 3, 4, 5, 8, 15, 16, 17, 20];

const titleOf = ({ family, title }: Valid) => `${family} ${title}`;

/** A script in the world of makeWorld, which shows in the end what became of it. */
function inWorld(name: string, write: (script: Script) => void): Scenario {
  const script = new Script(name);
  makeWorld(script);
  write(script);
  showWorld(script);
  return script.scenario;
}

function flagScenarios(): Scenario[] {
  return VALID.flatMap((valid) =>
    (['admin', 'plain'] as const).map((from) =>
      inWorld(`flags of ${titleOf(valid)} by ${from}`, (script) => {
        for (const flags of FLAGS) {
          script.send(valid.family, valid.command, valid.attributes, { flags, from });
          valid.restore?.(script);
        }
      }),
    ),
  );
}

function headerScenarios(): Scenario[] {
  return FAMILIES.map((family) =>
    inWorld(`headers of ${family}`, (script) => {
      const requests = VALID.filter((valid) => valid.family === family);
      for (const { command, attributes, restore } of requests) {
        for (const version of VERSIONS) {
          script.send(family, command, attributes, { version });
          restore?.(script);
        }
        for (const reserved of [1, 0xffff]) script.send(family, command, attributes, { reserved });
        for (const cut of [0, 1, 3, 4, 5, 7, 8, 9, 10, 11]) script.send(family, command, attributes, { cut });
        for (const dp of ['i1', 'none', 1, -1, 0x7fffffff]) script.send(family, command, attributes, { dp });
        restore?.(script);
      }
      for (const command of [0, 5, 6, 127, 255]) {
        for (const flags of [R, ACK, DUMP]) {
          for (const from of ['admin', 'plain'] as const) script.send(family, command, [], { flags, from });
        }
      }
    }),
  );
}

/** An attribute in place of the one of its type, or behind all others. */
function withAttribute(list: readonly Attr[], one: Attr): Attr[] {
  const index = list.findIndex(({ type }) => type === one.type);
  return index < 0 ? [...list, one] : list.with(index, one);
}

/** As a number it is 1, as a text it has no end. */
const payload = (size: number) => Uint8Array.from({ length: size }, (_, index) => (index === 0 ? 1 : 0));

function attributeScenarios(): Scenario[] {
  return VALID.map((valid) =>
    inWorld(`attributes of ${titleOf(valid)}`, (script) => {
      const send = (attributes: Attr[] | Uint8Array) => {
        script.send(valid.family, valid.command, attributes, { flags: ECHO });
        valid.restore?.(script);
      };
      for (const { type } of valid.attributes) send(valid.attributes.filter((a) => a.type !== type));
      for (const one of valid.attributes) {
        send([...valid.attributes, one]);
        send([{ ...one, flags: 0x8000 }, ...valid.attributes.filter((a) => a !== one)]);
        send([{ ...one, flags: 0x4000 }, ...valid.attributes.filter((a) => a !== one)]);
      }
      send([...valid.attributes].reverse());
      for (let type = 0; type <= valid.attributeMax + 2; type++) {
        for (const size of SIZES) send(withAttribute(valid.attributes, attr(type, payload(size))));
      }
      for (const tail of [1, 2, 3, 4, 7]) {
        send(new Uint8Array(Buffer.concat([encode(valid.attributes), new Uint8Array(tail)])));
        send(new Uint8Array(Buffer.concat([encode(valid.attributes), new Uint8Array(tail).fill(0xff)])));
      }
    }),
  );
}

const CORPUS = path.join(import.meta.dirname, '../../corpus/netlink-attributes');

/** What once broke a parser of attributes. */
function malformedLists(): Uint8Array[] {
  return readdirSync(CORPUS).map((file) => {
    const { hex } = JSON.parse(readFileSync(path.join(CORPUS, file), 'utf8')) as { hex: string };
    return new Uint8Array(Buffer.from(hex, 'hex'));
  });
}

function malformedScenarios(): Scenario[] {
  const whole = VALID.map((valid) =>
    inWorld(`malformed lists as ${titleOf(valid)}`, (script) => {
      for (const list of malformedLists()) {
        script.send(valid.family, valid.command, list);
        script.send(valid.family, valid.command, new Uint8Array(Buffer.concat([encode(valid.attributes), list])));
        valid.restore?.(script);
      }
    }),
  );
  return [...whole, inWorld('malformed lists inside of attributes', malformedNests)];
}

function malformedNests(script: Script): void {
  const key = etherKey(1, 0x1003);
  const pid = SOCKETS.upcalls1.portId;
  for (const list of malformedLists()) {
    script.putFlow({ key: list, actions: [output(1)] });
    script.putFlow({ key, mask: list, actions: [output(1)] });
    script.putFlow({ key, actions: list });
    script.flow(FLOW.DEL, { key });
    script.send('packet', PACKET.EXECUTE, [
      attr(PACKET_ATTR.PACKET, etherFrame()),
      attr(PACKET_ATTR.KEY, list),
      attr(PACKET_ATTR.ACTIONS, encode([output(1)])),
    ]);
    script.execute(etherFrame(), [{ type: ACTION.USERSPACE, payload: list }], [attr(KEY.IN_PORT, u32(1))]);
    script.execute(etherFrame(), [
      { type: ACTION.USERSPACE, payload: new Uint8Array(Buffer.concat([encode([attr(1, u32(pid))]), list])) },
    ]);
    script.send('meter', METER.SET, [attr(METER_ATTR.ID, u32(3)), attr(METER_ATTR.BANDS, list)]);
    script.send('flow', FLOW.GET, [attr(FLOW_ATTR.KEY, list)]);
    script.send('flow', FLOW.DEL, [attr(FLOW_ATTR.KEY, list)]);
  }
}

/** What generic Netlink itself refuses or passes over. */
function messageScenarios(): Scenario[] {
  return [
    inWorld('types and sizes of messages', (script) => {
      const get = VALID.find(({ family, title }) => family === 'datapath' && title === 'GET')!;
      const send = (fields: Parameters<Script['message']>[3]) => script.send('datapath', get.command, [], fields);
      for (const type of [0, 1, 2, 3, 4, 15, 17, 1000, 0xffff]) {
        for (const flags of [0, R, ACK, NLM_F.ACK, DUMP]) send({ type, flags, dp: 0 });
      }
      for (const size of [0, 1, 15, 16, 17, 20, 23, 24, 25, 100, 0x7fffffff, 0xffffffff]) send({ size });
      for (const count of [1, 4, 15]) script.raw(new Uint8Array(count));
      for (const seq of [0, 1, 0x7fffffff, 0xffffffff]) send({ seq });
    }),
    inWorld('several messages in one datagram', (script) => {
      for (const first of VALID) {
        const one = () => script.message(first.family, first.command, first.attributes);
        const bad = () => script.message(first.family, first.command, [], { dp: 'none' });
        script.sendTogether([one(), bad(), one()]);
        script.sendTogether([one(), script.message('flow', FLOW.GET, [], { flags: DUMP }), one()]);
        script.sendTogether([one(), script.message('flow', FLOW.GET, [], { size: 15 }), one()]);
        script.sendTogether([one(), script.message('flow', FLOW.GET, [], { size: 400 }), one()]);
        first.restore?.(script);
      }
    }),
    inWorld('dumps on one socket', (script) => {
      const dump = (family: 'datapath' | 'vport' | 'flow') => script.message(family, 3, [], { flags: DUMP });
      script.sendTogether([dump('flow'), dump('vport'), dump('datapath')]);
      script.sendTogether([dump('vport'), dump('datapath')]);
      script.sendTogether([dump('datapath'), dump('flow'), dump('datapath')]);
      for (const family of ['datapath', 'vport', 'flow'] as const) {
        script.send(family, 3, [], { flags: DUMP, version: VERSION[family] + 1 });
        script.send(family, 3, [], { flags: DUMP, dp: 'none' });
        script.send(family, 3, [], { flags: DUMP, dp: 'i1' });
        script.send(family, 3, [], { flags: DUMP, cut: 4 });
      }
    }),
  ];
}

export function matrixScenarios(): Scenario[] {
  return [
    ...flagScenarios(),
    ...headerScenarios(),
    ...attributeScenarios(),
    ...malformedScenarios(),
    ...messageScenarios(),
  ];
}
