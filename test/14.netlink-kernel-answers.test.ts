/*
 * A FamilyServer beside the kernel's own generic Netlink: the same bytes are sent to both by a plain client (support/netlink-client.py), and both
 * must answer alike: which messages, in which order, with which flags, sequence numbers, errno, echoed request and extended acknowledgement.
 *
 * Two families: nlctrl, which both have, and `netdev` of the kernel, whose table is defined here again as the kernel's source has it
 * (Documentation/netlink/specs/netdev.yaml), with a handler that only accepts.
 */
import { constants } from 'node:os';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import * as K from '../src/netlink/constants.ts';
import { definePolicy } from '../src/netlink/policy.ts';
import { defineFamily, refuse } from '../src/netlink/server/family.ts';
import { FamilyServer } from '../src/netlink/server/server.ts';
import {
  attribute,
  concat,
  type Message,
  message,
  OutsideClient,
  readAttributes,
  u16,
  u32,
} from './support/netlink-client.ts';

const LAST = 0x7fffffff;
const REQUEST = K.NLM_F_REQUEST;
const ACK = K.NLM_F_REQUEST | K.NLM_F_ACK;
const DUMP = K.NLM_F_REQUEST | K.NLM_F_DUMP;
const GETFAMILY = K.CTRL_CMD_GETFAMILY;
const { ENODEV } = constants.errno;

const NETDEV_CMD_DEV_GET = 1;
const NETDEV_A_DEV_IFINDEX = 1;
const LOOPBACK_IFINDEX = 1;

const netdev = defineFamily({
  name: 'netdev',
  maxAttribute: 0,
  ops: {
    [NETDEV_CMD_DEV_GET]: {
      policy: definePolicy({ ifindex: { type: NETDEV_A_DEV_IFINDEX, kind: 'u32', min: 1, required: true } }),
      validateDump: 'none',
      do({ attributes }) {
        if (attributes.ifindex !== LOOPBACK_IFINDEX) throw refuse(ENODEV);
      },
      *dump() {},
    },
  },
});

let server: FamilyServer;
/** Id of netdev at the kernel. */
let netdevId = 0;

beforeAll(async () => {
  server = FamilyServer.open({ families: [netdev] });
  const kernel = await OutsideClient.open({ protocol: K.NETLINK_GENERIC, peer: 0 });
  const name = attribute(K.CTRL_ATTR_FAMILY_NAME, 'netdev\0');
  await kernel.send(message({ type: K.GENL_ID_CTRL, flags: REQUEST, seq: 1, command: GETFAMILY, body: name }));
  const [reply] = await kernel.receiveUntil(() => true);
  if (reply.type === K.GENL_ID_CTRL) netdevId = attributesOf(reply).get(K.CTRL_ATTR_FAMILY_ID)?.readUInt16LE() ?? 0;
  await kernel.end();
});

afterAll(async () => {
  for (const pair of opened.values()) for (const client of await pair) await client.end();
  server.close();
});

function attributesOf(found: Message): Map<number, Buffer> {
  return new Map(readAttributes(found.payload.subarray(4)));
}

/** One message in a line. What a family tells of itself is compared elsewhere. */
function describeMessage({ type, flags, seq, payload }: Message): string {
  const head = `type ${type} flags 0x${flags.toString(16)} seq ${seq}`;
  if (type === K.NLMSG_DONE) return `${head} done ${payload.readInt32LE()} ${describeAck(payload.subarray(4), flags)}`;
  if (type !== K.NLMSG_ERROR) return `${head} command ${payload[0]} version ${payload[1]}`;
  const requestSize = flags & K.NLM_F_CAPPED ? 16 : payload.readUInt32LE(4);
  const request = payload.subarray(4, 4 + ((requestSize + 3) & ~3));
  const rest = payload.subarray(4 + request.length);
  // The port id and, for netdev, the family id in the request differ by nature.
  const echoed = Buffer.from(request);
  echoed.fill(0, 12, 16);
  if (echoed.readUInt16LE(4) > K.GENL_ID_CTRL) echoed.fill(0, 4, 6);
  return `${head} errno ${payload.readInt32LE()} request ${echoed.toString('hex')} ${describeAck(rest, flags)}`;
}

const ACK_NAMES = ['', 'message', 'offset', 'cookie', 'policy', 'missingType', 'missingNest'];

function describeAck(bytes: Buffer, flags: number): string {
  if ((flags & K.NLM_F_ACK_TLVS) === 0) return `without (${bytes.length})`;
  return readAttributes(bytes)
    .map(([type, value]): [number, Buffer] => [type & K.NLA_TYPE_MASK, value])
    .map(([type, value]) => `${ACK_NAMES[type]}=${describeValue(type, value)}`)
    .join(' ');
}

function describeValue(type: number, value: Buffer): string | number {
  if (type === K.NLMSGERR_ATTR_MSG) return value.toString();
  return type === K.NLMSGERR_ATTR_POLICY ? value.toString('hex') : value.readUInt32LE();
}

/** All that comes back for one datagram. A request behind it shows when it is over. */
async function answers(client: OutsideClient, datagram: Uint8Array, dumps: number): Promise<string[]> {
  const self = attribute(K.CTRL_ATTR_FAMILY_ID, u16(K.GENL_ID_CTRL));
  expect(await client.send(datagram)).toBe(0);
  await client.send(message({ type: K.GENL_ID_CTRL, flags: ACK, seq: LAST, command: GETFAMILY, body: self }));
  let done = 0;
  let concluded = false;
  const messages = await client.receiveUntil((one) => {
    if (one.type === K.NLMSG_DONE) done++;
    if (one.type === K.NLMSG_ERROR && one.seq === LAST) concluded = true;
    return concluded && done >= dumps;
  });
  for (const { portId } of messages) expect(portId).toBe(client.port);
  // What a dump holds is the family's; that there is an end to it, and how, is not.
  const told = messages.filter(({ seq, type }) => seq !== LAST && (dumps === 0 || type < K.NLMSG_MIN_TYPE));
  return told.map(describeMessage);
}

interface Case {
  name: string;
  /** Type of netdev's messages, which is not the same on both sides. */
  bytes: (netdevType: number) => Uint8Array;
  dumps?: number;
  /** setsockopt(SOL_NETLINK, ...) of the client, and the same to our server as a message. */
  options?: [number, number][];
}

const control = (fields: Partial<Parameters<typeof message>[0]>) =>
  message({ type: K.GENL_ID_CTRL, flags: ACK, seq: 7, command: GETFAMILY, ...fields });
const named = (name: string) => attribute(K.CTRL_ATTR_FAMILY_NAME, `${name}\0`);
const index = (ifindex: number) => attribute(NETDEV_A_DEV_IFINDEX, u32(ifindex));
const device =
  (fields: Partial<Parameters<typeof message>[0]>): Case['bytes'] =>
  (type) =>
    message({ type, flags: ACK, seq: 9, command: NETDEV_CMD_DEV_GET, body: index(1), ...fields });

const controlCases: Case[] = [
  { name: 'a family by id', bytes: () => control({ body: attribute(K.CTRL_ATTR_FAMILY_ID, u16(16)) }) },
  { name: 'a family by name', bytes: () => control({ body: named('nlctrl') }) },
  { name: 'without NLM_F_ACK', bytes: () => control({ flags: REQUEST, body: named('nlctrl') }) },
  { name: 'an unknown name', bytes: () => control({ body: named('no_such_family') }) },
  { name: 'an unknown name without NLM_F_ACK', bytes: () => control({ flags: REQUEST, body: named('no_such') }) },
  { name: 'an unknown id', bytes: () => control({ body: attribute(K.CTRL_ATTR_FAMILY_ID, u16(999)) }) },
  { name: 'no attributes', bytes: () => control({}) },
  { name: 'a name without NUL', bytes: () => control({ body: attribute(K.CTRL_ATTR_FAMILY_NAME, 'nlctrl') }) },
  { name: 'a name that is too long', bytes: () => control({ body: named('x'.repeat(16)) }) },
  { name: 'a name of the longest size', bytes: () => control({ body: named('x'.repeat(15)) }) },
  { name: 'an id of one byte', bytes: () => control({ body: attribute(K.CTRL_ATTR_FAMILY_ID, Buffer.of(16)) }) },
  { name: 'an id of four bytes', bytes: () => control({ body: attribute(K.CTRL_ATTR_FAMILY_ID, u32(16)) }) },
  {
    name: 'an unknown attribute first',
    bytes: () => control({ body: concat(attribute(99, u32(1)), named('nlctrl')) }),
  },
  {
    name: 'a nested flag on a name',
    bytes: () => control({ body: attribute(K.CTRL_ATTR_FAMILY_NAME | K.NLA_F_NESTED, 'nlctrl\0') }),
  },
  { name: 'bytes behind the attributes', bytes: () => control({ body: concat(named('nlctrl'), Buffer.of(1, 2)) }) },
  {
    name: 'an attribute of length 3',
    bytes: () => control({ body: attribute(K.CTRL_ATTR_FAMILY_NAME, 'nlctrl\0', 3) }),
  },
  {
    name: 'an attribute beyond the end',
    bytes: () => control({ body: attribute(K.CTRL_ATTR_FAMILY_NAME, 'nlctrl\0', 99) }),
  },
  {
    name: 'both id and name, of different families',
    bytes: () => control({ body: concat(attribute(K.CTRL_ATTR_FAMILY_ID, u16(999)), named('nlctrl')) }),
  },
  { name: 'another version', bytes: () => control({ version: 77, body: named('nlctrl') }) },
  { name: 'a reserved field', bytes: () => control({ reserved: 0x101, body: named('nlctrl') }) },
  { name: 'strange flags', bytes: () => control({ flags: ACK | K.NLM_F_CREATE | 0x4000, body: named('nlctrl') }) },
  { name: 'NLM_F_ECHO', bytes: () => control({ flags: ACK | K.NLM_F_ECHO, body: named('nlctrl') }) },
  { name: 'half of the dump flags (ROOT)', bytes: () => control({ flags: ACK | K.NLM_F_ROOT, body: named('nlctrl') }) },
  { name: 'an unknown command', bytes: () => control({ command: 77 }) },
  { name: 'an unknown command as a dump', bytes: () => control({ command: 77, flags: DUMP }) },
  { name: 'an unknown family', bytes: () => control({ type: 1023 }) },
  { name: 'no genlmsghdr', bytes: () => control({ payload: new Uint8Array(0) }) },
  { name: 'half a genlmsghdr', bytes: () => control({ payload: Buffer.of(3, 1) }) },
  { name: 'no NLM_F_REQUEST, with ACK', bytes: () => control({ flags: K.NLM_F_ACK, body: named('no_such') }) },
  { name: 'no NLM_F_REQUEST, no ACK', bytes: () => control({ flags: 0, body: named('no_such') }) },
  { name: 'NLMSG_NOOP with ACK', bytes: () => control({ type: K.NLMSG_NOOP }) },
  { name: 'NLMSG_NOOP without ACK', bytes: () => control({ type: K.NLMSG_NOOP, flags: REQUEST }) },
  { name: 'NLMSG_ERROR with ACK', bytes: () => control({ type: K.NLMSG_ERROR }) },
  { name: 'the last reserved type with ACK', bytes: () => control({ type: K.NLMSG_MIN_TYPE - 1 }) },
  { name: 'a length that lies: too long', bytes: () => control({ body: named('nlctrl'), size: 500 }) },
  { name: 'a length that lies: too short for a header', bytes: () => control({ body: named('nlctrl'), size: 15 }) },
  { name: 'a length of zero', bytes: () => control({ body: named('nlctrl'), size: 0 }) },
  { name: 'a length that cuts the attributes', bytes: () => control({ body: named('nlctrl'), size: 26 }) },
  { name: 'fewer bytes than a header', bytes: () => Buffer.alloc(15) },
  {
    name: 'several, one refused, in their order',
    bytes: () =>
      concat(
        control({ seq: 1, body: named('nlctrl') }),
        control({ seq: 2, body: named('nix') }),
        control({ seq: 3, command: 99 }),
        control({ seq: 4, flags: REQUEST, body: named('nlctrl') }),
        control({ seq: 5, type: K.NLMSG_NOOP }),
      ),
  },
  {
    name: 'a lie behind a good one',
    bytes: () =>
      concat(control({ seq: 1, body: named('nlctrl') }), control({ seq: 2, body: named('nlctrl'), size: 400 })),
  },
  {
    name: 'a good one behind a lie',
    bytes: () =>
      concat(control({ seq: 1, body: named('nlctrl'), size: 8 }), control({ seq: 2, body: named('nlctrl') })),
  },
  {
    name: 'capped acknowledgements',
    options: [[K.NETLINK_CAP_ACK, 1]],
    bytes: () => control({ body: named('no_such_family') }),
  },
  {
    name: 'no extended acknowledgements',
    options: [[K.NETLINK_EXT_ACK, 0]],
    bytes: () => control({ body: attribute(K.CTRL_ATTR_FAMILY_NAME, 'nlctrl') }),
  },
  {
    name: 'capped and not extended',
    options: [
      [K.NETLINK_CAP_ACK, 1],
      [K.NETLINK_EXT_ACK, 0],
    ],
    bytes: () => control({ body: attribute(K.CTRL_ATTR_FAMILY_NAME, 'nlctrl') }),
  },
];

const deviceCases: Case[] = [
  { name: 'a dump', dumps: 1, bytes: device({ flags: DUMP }) },
  { name: 'a dump with ACK', dumps: 1, bytes: device({ flags: DUMP | ACK }) },
  { name: 'a dump whose attributes are wrong', dumps: 1, bytes: device({ flags: DUMP, body: index(0) }) },
  { name: 'a dump with a reserved field', bytes: device({ flags: DUMP, reserved: 1 }) },
  {
    name: 'two dumps in a datagram',
    dumps: 2,
    bytes: (type) => concat(device({ flags: DUMP, seq: 1 })(type), device({ flags: DUMP, seq: 2 })(type)),
  },
  {
    name: 'a request between two dumps',
    dumps: 2,
    bytes: (type) =>
      concat(
        device({ flags: DUMP, seq: 1 })(type),
        device({ seq: 2, body: index(0) })(type),
        device({ flags: DUMP, seq: 3 })(type),
      ),
  },
  { name: 'a device that is not there', bytes: device({ body: index(987654) }) },
  { name: 'an index under the range', bytes: device({ body: index(0) }) },
  { name: 'a missing attribute', bytes: device({ body: new Uint8Array(0) }) },
  { name: 'an unknown attribute', bytes: device({ body: concat(index(1), attribute(77, u32(1))) }) },
  { name: 'an index of two bytes', bytes: device({ body: attribute(NETDEV_A_DEV_IFINDEX, u16(1)) }) },
  { name: 'an index of eight bytes', bytes: device({ body: attribute(NETDEV_A_DEV_IFINDEX, Buffer.alloc(8, 1)) }) },
  { name: 'a nested flag', bytes: device({ body: attribute(NETDEV_A_DEV_IFINDEX | K.NLA_F_NESTED, u32(1)) }) },
  { name: 'bytes behind the attributes', bytes: device({ body: concat(index(1), Buffer.of(1, 2)) }) },
  { name: 'a reserved field', bytes: device({ reserved: 1 }) },
  { name: 'a flag that has no meaning', bytes: device({ flags: ACK | K.NLM_F_CREATE }) },
  { name: 'a flag of no name', bytes: device({ flags: ACK | 0x8000 }) },
  { name: 'an unknown command', bytes: device({ command: 200 }) },
];

describe.each([
  ['nlctrl', controlCases],
  ['netdev', deviceCases],
])('the answers of the kernel and of a FamilyServer to the same bytes, %s', (family, cases) => {
  it.for(cases)('$name', async ({ bytes, dumps = 0, options = [] }, { skip }) => {
    skip(family === 'netdev' && netdevId === 0, 'the kernel has no family netdev');
    const [kernel, ours] = await clients(options);
    const theirs = await answers(kernel, bytes(netdevId), dumps);
    expect(await answers(ours, bytes(server.idOf('netdev')), dumps)).toEqual(theirs);
  });
});

/** A client at the kernel and one at our server, by what they set with setsockopt. */
const opened = new Map<string, Promise<[OutsideClient, OutsideClient]>>();

function clients(options: [number, number][]): Promise<[OutsideClient, OutsideClient]> {
  const key = JSON.stringify(options);
  const pair = opened.get(key) ?? openPair(options);
  opened.set(key, pair);
  return pair;
}

async function openPair(options: [number, number][]): Promise<[OutsideClient, OutsideClient]> {
  const kernel = OutsideClient.open({
    protocol: K.NETLINK_GENERIC,
    peer: 0,
    options: [[K.NETLINK_EXT_ACK, 1], ...options],
  });
  const ours = await OutsideClient.open({ protocol: K.NETLINK_USERSOCK, peer: server.portId });
  for (const [option, value] of options) await setOption(ours, option, value);
  return [await kernel, ours];
}

async function setOption(client: OutsideClient, option: number, value: number): Promise<void> {
  const body = concat(attribute(1, u32(option)), attribute(2, u32(value)));
  await client.send(message({ type: server.idOf('netlink_sockopt'), flags: ACK, seq: 1, command: 1, body }));
  const [answer] = await client.receiveUntil((one) => one.type === K.NLMSG_ERROR);
  expect(answer.payload.readInt32LE()).toBe(0);
}
