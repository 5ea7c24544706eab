/*
 * FamilyServer: subscriptions, notifications, overruns of one subscriber, sockets that disappear, packet queues, families that come and go. The
 * clients are plain sockets of another process (support/netlink-client.py).
 */
import { constants } from 'node:os';
import { afterEach, beforeEach, expect, it } from 'vitest';
import * as K from '../src/netlink/constants.ts';
import { defineFamily } from '../src/netlink/server/family.ts';
import { FamilyServer } from '../src/netlink/server/server.ts';
import {
  attribute,
  concat,
  type Message,
  message,
  OutsideClient,
  type OutsideOptions,
  readAttributes,
  readMessages,
  u32,
} from './support/netlink-client.ts';
import { NUMBERS, Numbers, SET, VALUE } from './support/netlink-family.ts';

const ACK = K.NLM_F_REQUEST | K.NLM_F_ACK;
const { EAGAIN, ENOENT, ENOPROTOOPT, EPERM } = constants.errno;

let numbers: Numbers;
let server: FamilyServer;
const open: OutsideClient[] = [];

beforeEach(() => {
  numbers = new Numbers();
  server = FamilyServer.open({ families: [numbers.family] });
});

afterEach(async () => {
  for (const one of open.splice(0)) await one.end();
  server.close();
});

async function client(options: Partial<OutsideOptions> = {}): Promise<OutsideClient> {
  const one = await OutsideClient.open({ protocol: K.NETLINK_USERSOCK, peer: server.portId, ...options });
  open.push(one);
  return one;
}

/** Looked up as a client would: group ids by name, from nlctrl. */
async function groupsOf(one: OutsideClient, family: string): Promise<Map<string, number>> {
  const body = attribute(K.CTRL_ATTR_FAMILY_NAME, `${family}\0`);
  await one.send(message({ type: K.GENL_ID_CTRL, flags: ACK, seq: 1, command: K.CTRL_CMD_GETFAMILY, body }));
  const [reply] = await one.receiveUntil(isAck);
  const groups = new Map<string, number>();
  const list = readAttributes(reply.payload.subarray(4)).find(([type]) => type === K.CTRL_ATTR_MCAST_GROUPS);
  for (const [, group] of readAttributes(list?.[1] ?? Buffer.alloc(0))) {
    const fields = new Map(readAttributes(group));
    const name = fields.get(K.CTRL_ATTR_MCAST_GRP_NAME)?.toString().replace('\0', '') ?? '';
    groups.set(name, fields.get(K.CTRL_ATTR_MCAST_GRP_ID)?.readUInt32LE() ?? 0);
  }
  return groups;
}

/** Sends a socket option as a message; resolves to the errno. */
async function setOption(one: OutsideClient, option: number, value: number): Promise<number> {
  const body = concat(attribute(1, u32(option)), attribute(2, u32(value)));
  await one.send(message({ type: server.idOf('netlink_sockopt'), flags: ACK, seq: 1, command: 1, body }));
  return errnoOf((await one.receiveUntil(isAck)).at(-1) as Message);
}

async function subscriber(options: Partial<OutsideOptions> = {}): Promise<OutsideClient> {
  const one = await client(options);
  const group = (await groupsOf(one, NUMBERS)).get('changes') ?? 0;
  expect(await setOption(one, K.NETLINK_ADD_MEMBERSHIP, group)).toBe(0);
  return one;
}

function set(value: number, flags: number): Uint8Array {
  const body = concat(u32(0), attribute(VALUE, u32(value)));
  return message({ type: server.idOf(NUMBERS), flags, seq: value, command: SET, body });
}

const isAck = (one: Message): boolean => one.type === K.NLMSG_ERROR;
const errnoOf = (one: Message): number => 0 - one.payload.readInt32LE();
const numberIn = (found: Message): number => readAttributes(found.payload.subarray(8))[0][1].readUInt32LE();

function tell(value: number): number {
  return server.notify(NUMBERS, 'changes', SET, (writer) => writer.u32(VALUE, value));
}

it('tells subscribers, and the requester as the kernel would: as a subscriber, or by NLM_F_ECHO once', async () => {
  const listener = await subscriber();
  const both = await subscriber();
  await both.send(concat(set(1, ACK), set(2, ACK | K.NLM_F_ECHO)));
  const own = await both.receiveUntil((one) => isAck(one) && one.seq === 2);
  expect(own.map((one) => [one.seq, isAck(one) ? 'ack' : numberIn(one)])).toEqual([
    [1, 1],
    [1, 'ack'],
    [2, 2],
    [2, 'ack'],
  ]);
  const heard = await listener.receiveUntil((one) => one.seq === 2);
  expect(heard.map((one) => [numberIn(one), one.portId])).toEqual([
    [1, both.port],
    [2, both.port],
  ]);
  const stranger = await client();
  await stranger.send(concat(set(3, ACK), set(4, ACK | K.NLM_F_ECHO)));
  const answers = await stranger.receiveUntil((one) => isAck(one) && one.seq === 4);
  expect(answers.map((one) => [one.seq, isAck(one)])).toEqual([
    [3, true],
    [4, false],
    [4, true],
  ]);
});

it('refuses options as setsockopt does', async () => {
  const one = await client();
  expect(await setOption(one, K.NETLINK_ADD_MEMBERSHIP, 999)).toBe(ENOENT);
  expect(await setOption(one, K.NETLINK_RX_RING, 1)).toBe(ENOPROTOOPT);
  const group = (await groupsOf(one, NUMBERS)).get('changes') ?? 0;
  await setOption(one, K.NETLINK_ADD_MEMBERSHIP, group);
  expect(tell(1)).toBe(1);
  await one.receiveUntil((part) => numberIn(part) === 1);
  await setOption(one, K.NETLINK_DROP_MEMBERSHIP, group);
  expect(tell(2)).toBe(0);
});

it('keeps groups for administrators to them', async ({ skip }) => {
  skip(process.getuid?.() !== 0, 'only root can become another user');
  const [root, user] = [await client(), await client({ uid: 12_345 })];
  const group = (await groupsOf(root, NUMBERS)).get('secrets') ?? 0;
  expect(await setOption(root, K.NETLINK_ADD_MEMBERSHIP, group)).toBe(0);
  expect(await setOption(user, K.NETLINK_ADD_MEMBERSHIP, group)).toBe(EPERM);
});

it('drops what a full subscriber cannot take, tells it how many, and does not disturb others', async () => {
  const slow = await subscriber({ buffer: 4_096 });
  const quick = await subscriber();
  const count = 150;
  for (let value = 1; value <= count; value++) tell(value);
  const heard = await quick.receiveUntil((one) => numberIn(one) === count);
  expect(heard.map(numberIn)).toEqual(Array.from({ length: count }, (_, index) => index + 1));
  const before: number[] = [];
  let lost = 0;
  while (lost === 0) {
    const datagram = await slow.receive();
    if (typeof datagram === 'number') throw new Error(`errno ${datagram} after ${before.length}`);
    for (const one of readMessages(datagram)) {
      if (one.type === K.NLMSG_OVERRUN) lost = one.payload.readUInt32LE();
      else before.push(numberIn(one));
    }
  }
  // What came is the beginning, without a gap; what did not come is what was told.
  expect(before).toEqual(before.map((_, index) => index + 1));
  expect(before.length + lost).toBe(count);
  expect(server.statistics().lost).toBe(lost);
  expect(tell(count + 1)).toBe(2);
  expect((await slow.receiveUntil(() => true)).map(numberIn)).toEqual([count + 1]);
});

it('forgets a subscriber whose socket is gone, also when another socket has its port id', async () => {
  const one = await subscriber();
  const two = await subscriber();
  await one.close();
  expect(tell(1)).toBe(1);
  expect(server.statistics().clients).toBe(1);
  server.sweep();
  expect(server.statistics().clients).toBe(1);
  await two.close();
  server.sweep();
  expect(server.statistics().clients).toBe(0);
});

it('does not tell a socket what one before it on the same port id subscribed to', async () => {
  const first = await subscriber();
  server.sweep();
  await first.close();
  const second = FamilyServer.open({ portId: first.port });
  server.sweep();
  expect(tell(1)).toBe(0);
  second.close();
});

it('has packet queues that overrun alone and are released with their sockets', async () => {
  const full = await client({ buffer: 4_096 });
  const fine = await client();
  const packet = message({ type: 99, flags: 0, seq: 0, payload: new Uint8Array(1_000) });
  const [one, two] = [server.subscribePackets(full.port), server.subscribePackets(fine.port)];
  expect(server.subscribePackets(full.port)).toBe(one);
  for (let count = 0; count < 50; count++) {
    one.send(packet);
    expect(two.send(packet)).toBe(true);
  }
  expect(one.overruns).toBeGreaterThan(0);
  expect([one.sent + one.overruns, one.failed]).toEqual([50, 0]);
  expect([two.sent, two.overruns]).toEqual([50, 0]);
  let got = 0;
  while (typeof (await full.receive(0.05)) !== 'number') got++;
  expect(got).toBe(one.sent);
  expect(one.send(packet)).toBe(true);

  let gone = 0;
  one.onGone = () => gone++;
  two.onGone = () => gone++;
  await full.close();
  expect(one.send(packet)).toBe(false);
  expect([one.closed, gone]).toEqual([true, 1]);
  await fine.close();
  server.sweep();
  expect([two.closed, gone]).toEqual([true, 2]);
  const third = server.subscribePackets(fine.port);
  expect(third).not.toBe(two);
  server.unsubscribePackets(fine.port);
  expect([third.closed, third.send(packet), third.failed]).toEqual([true, false, 1]);
});

it('tells subscribers of nlctrl which families come and go, and lets the subscriptions of a family go with it', async () => {
  const one = await subscriber();
  expect(await setOption(one, K.NETLINK_ADD_MEMBERSHIP, K.GENL_ID_CTRL)).toBe(0);
  const late = defineFamily({ name: 'late', ops: { 1: { do() {} } }, groups: { first: {}, second: {} } });
  const id = server.register(late);
  server.unregister('late');
  const commands = (await one.receiveUntil((part) => part.payload[0] === K.CTRL_CMD_DELFAMILY)).map((part) => {
    const fields = new Map(readAttributes(part.payload.subarray(4)));
    expect(fields.get(K.CTRL_ATTR_FAMILY_NAME)?.toString()).toBe('late\0');
    expect(fields.get(K.CTRL_ATTR_FAMILY_ID)?.readUInt16LE()).toBe(id);
    return part.payload[0];
  });
  const [add, remove] = [K.CTRL_CMD_NEWMCAST_GRP, K.CTRL_CMD_DELMCAST_GRP];
  expect(commands).toEqual([K.CTRL_CMD_NEWFAMILY, add, add, remove, remove, K.CTRL_CMD_DELFAMILY]);
  expect(() => server.register(numbers.family)).toThrow(TypeError);
  server.unregister(NUMBERS);
  expect(() => tell(1)).toThrow('no family');
  server.register(numbers.family);
  expect(tell(1)).toBe(0);
  expect(await one.receive(0.05)).not.toBe(EAGAIN);
});
