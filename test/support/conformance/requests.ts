/*
 * A world with something of everything in it, and one request of every command that is in order there: what the matrices of
 * matrices.ts bend.
 */
import { type Attr, attr, encode, nest } from '../attribute-tree.ts';
import {
  ACTION,
  BAND_ATTR,
  BAND_TYPE_DROP,
  CT_LIMIT,
  CT_LIMIT_ATTR_ZONE_LIMIT,
  DP,
  DP_ATTR,
  type Family,
  FLOW,
  FLOW_ATTR,
  KEY,
  METER,
  METER_ATTR,
  PACKET,
  PACKET_ATTR,
  VPORT,
  VPORT_ATTR,
  VPORT_TYPE,
} from './openvswitch.ts';
import { be16, ECHO, PIDS, type Script, text, u32 } from './script.ts';

export interface Valid {
  family: Family;
  command: number;
  /** As in `NEW`, for the names of scenarios. */
  title: string;
  attributes: Attr[];
  /** Number of the largest attribute that kernel 6.1 knows. */
  attributeMax: number;
  /** Undoes it, and makes again what it removed. */
  restore?(script: Script): void;
}

export const MAC_PAIR = Uint8Array.of(2, 0, 0, 0, 0, 0x0a, 2, 0, 0, 0, 0, 0x0b);

/** A key of nothing but Ethernet, of a type that no header follows. */
export function etherKey(port: number, type = 0x1234): Attr[] {
  return [attr(KEY.IN_PORT, u32(port)), attr(KEY.ETHERNET, MAC_PAIR), attr(KEY.ETHERTYPE, be16(type))];
}

/** The frame that has such a key. */
export function etherFrame(type = 0x1234, size = 60): Uint8Array {
  const frame = new Uint8Array(size);
  frame.set(MAC_PAIR.subarray(6), 0);
  frame.set(MAC_PAIR.subarray(0, 6), 6);
  frame.set(be16(type), 12);
  return frame;
}

export const output = (port: number): Attr => attr(ACTION.OUTPUT, u32(port));
export const UFID = Uint8Array.from({ length: 16 }, (_, index) => 0xa0 + index);

const FLOW_PLAIN = { key: etherKey(1, 0x1001), actions: [output(2)] };
const FLOW_UFID = { ufid: UFID, key: etherKey(1, 0x1002), actions: [output(2)] };

export function dropBand(rate: number, burst: number): Attr {
  return nest(1, [
    attr(BAND_ATTR.TYPE, u32(BAND_TYPE_DROP)),
    attr(BAND_ATTR.RATE, u32(rate)),
    attr(BAND_ATTR.BURST, u32(burst)),
  ]);
}

export function meterAttributes(id: number, bands: Attr[] = [dropBand(1000, 100)]): Attr[] {
  return [attr(METER_ATTR.ID, u32(id)), nest(METER_ATTR.BANDS, bands)];
}

/** dp0 with ports 1 and 2, two flows and a meter. */
export function makeWorld(script: Script): void {
  script.newDatapath('dp0');
  for (const name of ['i1', 'i2']) script.newPort(name, VPORT_TYPE.INTERNAL);
  script.putFlow(FLOW_PLAIN);
  script.putFlow(FLOW_UFID);
  script.send('meter', METER.SET, meterAttributes(1), { flags: ECHO });
}

export function showWorld(script: Script): void {
  script.dumpAll();
  script.send('meter', METER.GET, [attr(METER_ATTR.ID, u32(1))], { from: 'plain' });
}

const datapath = (title: keyof typeof DP, attributes: Attr[], restore?: Valid['restore']): Valid => ({
  ...{ family: 'datapath', command: DP[title], title, attributes, attributeMax: 8 },
  ...(restore && { restore }),
});
const vport = (title: keyof typeof VPORT, attributes: Attr[], restore?: Valid['restore']): Valid => ({
  ...{ family: 'vport', command: VPORT[title], title, attributes, attributeMax: 9 },
  ...(restore && { restore }),
});
const flow = (title: keyof typeof FLOW, attributes: Attr[], restore?: Valid['restore']): Valid => ({
  ...{ family: 'flow', command: FLOW[title], title, attributes, attributeMax: 11 },
  ...(restore && { restore }),
});
const meter = (title: keyof typeof METER, attributes: Attr[], restore?: Valid['restore']): Valid => ({
  ...{ family: 'meter', command: METER[title], title, attributes, attributeMax: 9 },
  ...(restore && { restore }),
});

const NEW_FLOW_KEY = nest(FLOW_ATTR.KEY, etherKey(1, 0x1003));
const FLOW_KEY = nest(FLOW_ATTR.KEY, FLOW_PLAIN.key);
const ACTIONS = nest(FLOW_ATTR.ACTIONS, [output(1)]);

const deleteDatapath = (script: Script) =>
  script.send('datapath', DP.DEL, [attr(DP_ATTR.NAME, text('dp1'))], { dp: 0 });
const deletePort = (script: Script) => script.send('vport', VPORT.DEL, [attr(VPORT_ATTR.NAME, text('i3'))]);

export const VALID: readonly Valid[] = [
  datapath('NEW', [attr(DP_ATTR.NAME, text('dp1')), attr(DP_ATTR.UPCALL_PID, u32(PIDS.first))], deleteDatapath),
  datapath('DEL', [attr(DP_ATTR.NAME, text('dp1'))]),
  datapath('GET', []),
  datapath('SET', [attr(DP_ATTR.USER_FEATURES, u32(1))]),
  vport(
    'NEW',
    [
      attr(VPORT_ATTR.NAME, text('i3')),
      attr(VPORT_ATTR.TYPE, u32(VPORT_TYPE.INTERNAL)),
      attr(VPORT_ATTR.UPCALL_PID, u32(PIDS.second)),
    ],
    deletePort,
  ),
  vport('DEL', [attr(VPORT_ATTR.PORT_NO, u32(3))]),
  vport('GET', [attr(VPORT_ATTR.PORT_NO, u32(1))]),
  vport('SET', [attr(VPORT_ATTR.PORT_NO, u32(1)), attr(VPORT_ATTR.UPCALL_PID, u32(PIDS.third))]),
  flow('NEW', [NEW_FLOW_KEY, ACTIONS], (script) => script.flow(FLOW.DEL, { key: etherKey(1, 0x1003) })),
  flow('DEL', [FLOW_KEY], (script) => script.putFlow(FLOW_PLAIN)),
  flow('GET', [FLOW_KEY]),
  flow('SET', [FLOW_KEY, ACTIONS]),
  {
    family: 'packet',
    command: PACKET.EXECUTE,
    title: 'EXECUTE',
    attributes: [
      attr(PACKET_ATTR.PACKET, etherFrame()),
      nest(PACKET_ATTR.KEY, [attr(KEY.IN_PORT, u32(1))]),
      nest(PACKET_ATTR.ACTIONS, [nest(ACTION.USERSPACE, [attr(1, u32(PIDS.first))])]),
    ],
    attributeMax: 11,
  },
  meter('FEATURES', []),
  meter('SET', meterAttributes(2)),
  meter('DEL', [attr(METER_ATTR.ID, u32(2))]),
  meter('GET', [attr(METER_ATTR.ID, u32(1))]),
  ...(['SET', 'DEL', 'GET'] as const).map(
    (title): Valid => ({
      family: 'ctLimit',
      command: CT_LIMIT[title],
      title,
      attributes: [nest(CT_LIMIT_ATTR_ZONE_LIMIT, [])].filter(() => title === 'SET'),
      attributeMax: 1,
    }),
  ),
];

export const sizeOf = (list: Attr[]) => encode(list).length;
