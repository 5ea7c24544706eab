/*
 * FamilyServer towards its clients, which are plain sockets of another process (support/netlink-client.py): dumps by demand, failures of
 * handlers, permission, order, sizes, and what hostile bytes do. Notifications and packets are in 14.netlink-server-groups.test.ts; what the kernel
 * itself would answer in 14.netlink-kernel-answers.test.ts.
 */
import { constants } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, expect, it } from 'vitest';
import * as K from '../src/netlink/constants.ts';
import { refuse } from '../src/netlink/server/family.ts';
import { FamilyServer } from '../src/netlink/server/server.ts';
import {
  attribute,
  concat,
  type Message,
  type MessageFields,
  message,
  OutsideClient,
  type OutsideOptions,
  readAttributes,
  readMessages,
  u32,
} from './support/netlink-client.ts';
import { FAIL, GET, LARGE, Numbers, SET, SLOW, TEXT, VALUE } from './support/netlink-family.ts';

const ACK = K.NLM_F_REQUEST | K.NLM_F_ACK;
const DUMP = K.NLM_F_REQUEST | K.NLM_F_DUMP;
const { EIO, ENODEV, EPERM, EBUSY, EMSGSIZE, EAGAIN, EINVAL } = constants.errno;
const DATAGRAM_SIZE_MAX = 32_768;

let numbers: Numbers;
let server: FamilyServer;
let failures: unknown[];
const open: OutsideClient[] = [];

beforeEach(() => {
  numbers = new Numbers();
  failures = [];
  server = FamilyServer.open({ families: [numbers.family], onFailure: (error) => failures.push(error) });
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

function request(command: number, fields: Partial<MessageFields> = {}, value?: number): Uint8Array {
  const body = concat(u32(0), value === undefined ? new Uint8Array(0) : attribute(VALUE, u32(value)));
  return message({ type: server.idOf('numbers'), flags: ACK, seq: 1, command, body, ...fields });
}

function numberIn(found: Message): number {
  return readAttributes(found.payload.subarray(8))[0][1].readUInt32LE();
}

const isAck = (one: Message): boolean => one.type === K.NLMSG_ERROR;
const isDone = (one: Message): boolean => one.type === K.NLMSG_DONE;
const errnoOf = (one: Message): number => 0 - one.payload.readInt32LE();

/** Waits, event by event, until the condition holds. */
async function until(condition: () => boolean): Promise<void> {
  for (let turn = 0; !condition(); turn++) {
    if (turn > 100_000) throw new Error('it did not come to that');
    await sleep(2);
  }
}

it('carries the header of the family and the version, and answers with what the handler wrote', async () => {
  const one = await client();
  await one.send(request(GET, { seq: 41, body: concat(u32(0xabcdef), attribute(VALUE, u32(21))) }));
  const [reply, ack] = await one.receiveUntil(isAck);
  expect(reply).toMatchObject({ type: server.idOf('numbers'), flags: 0, seq: 41, portId: one.port });
  expect([...reply.payload.subarray(0, 4)]).toEqual([GET, 3, 0, 0]);
  expect(reply.payload.readUInt32LE(4)).toBe(0xabcdef);
  expect(numberIn(reply)).toBe(42);
  expect(errnoOf(ack)).toBe(0);
});

it('dumps as fast as the reader reads, in datagrams of at most 32 KiB, and answers others meanwhile', async () => {
  numbers.count = 20_000;
  const reader = await client({ buffer: 16_384 });
  const other = await client();
  await reader.send(request(GET, { flags: DUMP, seq: 5 }));
  await other.send(request(GET, { seq: 6 }, 4));
  expect(numberIn((await other.receiveUntil(isAck))[0])).toBe(8);
  // The reader has not read: its buffer holds one or two datagrams, and one more waits here.
  await sleep(100);
  const stepsUnread = numbers.steps;
  expect(stepsUnread).toBeLessThan(3_000);
  const values: number[] = [];
  for (let done = false; !done; ) {
    const datagram = await reader.receive();
    if (typeof datagram === 'number') throw new Error(`errno ${datagram} after ${values.length}`);
    expect(datagram.length).toBeLessThanOrEqual(DATAGRAM_SIZE_MAX);
    for (const part of readMessages(datagram)) {
      expect(part).toMatchObject({ seq: 5, portId: reader.port, flags: K.NLM_F_MULTI });
      if (isDone(part)) {
        expect(errnoOf(part)).toBe(0);
        done = true;
      } else values.push(numberIn(part));
    }
  }
  expect(values).toEqual(Array.from({ length: 20_000 }, (_, index) => index));
  expect(numbers.dumpsEnded).toBe(1);
});

it('refuses a second dump of a socket while one runs, and answers its other requests', async () => {
  numbers.count = 20_000;
  const reader = await client({ buffer: 65_536 });
  await reader.send(request(GET, { flags: DUMP, seq: 1 }));
  await reader.send(concat(request(GET, { flags: DUMP, seq: 2 }), request(GET, { seq: 3 }, 7)));
  const messages = await reader.receiveUntil(isDone);
  expect(messages.filter(isAck).map((one) => [one.seq, errnoOf(one)])).toEqual([
    [2, EBUSY],
    [3, 0],
  ]);
  expect(messages.filter((one) => one.seq === 1)).toHaveLength(20_001);
});

it('marks a dump during which the generation changed, once', async () => {
  numbers.count = 10;
  numbers.onStep = (index) => {
    if (index === 4) numbers.generation++;
  };
  const one = await client();
  await one.send(request(GET, { flags: DUMP }));
  const flags = (await one.receiveUntil(isDone)).map((part) => part.flags);
  const expected = Array.from({ length: 11 }, (_, index) => K.NLM_F_MULTI | (index === 4 ? K.NLM_F_DUMP_INTR : 0));
  expect(flags).toEqual(expected);
});

it('ends a dump whose iterator throws with the errno in NLMSG_DONE, behind what it had', async () => {
  numbers.count = 10;
  numbers.onStep = (index) => {
    if (index === 3) throw refuse(ENODEV, 'went away');
    if (index === 8) throw new Error('not reached');
  };
  const one = await client();
  await one.send(request(GET, { flags: DUMP }));
  const messages = await one.receiveUntil(isDone);
  expect(messages.slice(0, -1).map(numberIn)).toEqual([0, 1, 2]);
  const [done] = messages.slice(-1);
  expect(errnoOf(done)).toBe(ENODEV);
  expect(done.flags).toBe(K.NLM_F_MULTI | K.NLM_F_ACK_TLVS);
  expect(readAttributes(done.payload.subarray(4)).map(([, text]) => text.toString())).toEqual(['went away\0']);
  await one.send(request(FAIL, { flags: DUMP }));
  const [refused] = await one.receiveUntil(isAck);
  expect(errnoOf(refused)).toBe(ENODEV);
  expect(failures).toEqual([]);
});

it('lets a dump go when its reader is gone', async () => {
  numbers.count = 100_000;
  const one = await client({ buffer: 16_384 });
  await one.send(request(GET, { flags: DUMP }));
  await until(() => numbers.dumpsOpen === 1);
  await one.close();
  await until(() => numbers.dumpsEnded === 1);
  expect(numbers.steps).toBeLessThan(3_000);
  expect(server.statistics().clients).toBe(0);
});

it('dumps from an asynchronous iterator', async () => {
  numbers.count = 5_000;
  const one = await client();
  await one.send(request(SLOW, { flags: DUMP }));
  const messages = await one.receiveUntil(isDone);
  expect(messages.slice(0, -1).map(numberIn)).toEqual(Array.from({ length: 5_000 }, (_, index) => index));
});

it('handles the requests of a socket in order, also when a handler waits, and those of others meanwhile', async () => {
  let release = (): void => {};
  numbers.gate = new Promise((resolve) => {
    release = resolve;
  });
  const one = await client();
  const other = await client();
  await one.send(concat(request(SLOW, { seq: 1 }, 10), request(GET, { seq: 2 }, 20)));
  await one.send(request(GET, { seq: 3 }, 30));
  await other.send(request(GET, { seq: 4 }, 40));
  expect(numberIn((await other.receiveUntil(isAck))[0])).toBe(80);
  expect(await one.receive(0.05)).toBe(EAGAIN);
  release();
  const messages = await one.receiveUntil((part) => isAck(part) && part.seq === 3);
  expect(messages.map((part) => part.seq)).toEqual([1, 1, 2, 2, 3, 3]);
});

it('tells what a handler refuses with, and answers EIO for what is no refusal', async () => {
  const one = await client();
  await one.send(request(FAIL, { flags: K.NLM_F_REQUEST }));
  const [refused] = await one.receiveUntil(isAck);
  expect(errnoOf(refused)).toBe(ENODEV);
  const tlvs = readAttributes(refused.payload.subarray(4 + 24));
  expect(tlvs.map(([type]) => type)).toEqual([K.NLMSGERR_ATTR_MSG, K.NLMSGERR_ATTR_OFFS]);
  expect(tlvs[1][1].readUInt32LE()).toBe(20);
  for (const thrown of [new TypeError('a bug'), 'a string', undefined]) {
    numbers.failure = () => thrown;
    await one.send(request(FAIL));
    const [answer] = await one.receiveUntil(isAck);
    expect([errnoOf(answer), answer.flags & K.NLM_F_ACK_TLVS]).toEqual([EIO, 0]);
    expect(failures.at(-1)).toBe(thrown);
  }
  expect(server.statistics()).toMatchObject({ failures: 3, refused: 4, requests: 4 });
});

it('survives callbacks of its own that throw', async () => {
  server.close();
  const fail = (): never => {
    throw new Error('not today');
  };
  server = FamilyServer.open({ families: [numbers.family], onFailure: fail, isAdministrator: fail });
  numbers.count = 3;
  numbers.onStep = (index) => {
    if (index === 1) numbers.isGenerationBroken = true;
  };
  numbers.failure = () => new Error('a bug');
  const one = await client();
  await one.send(concat(request(SET, { seq: 1 }, 1), request(FAIL, { seq: 2 }), request(GET, { flags: DUMP, seq: 3 })));
  const messages = await one.receiveUntil(isDone);
  expect(messages.filter(isAck).map((part) => [part.seq, errnoOf(part)])).toEqual([
    [1, EIO],
    [2, EIO],
  ]);
  expect(messages.filter((part) => part.seq === 3)).toHaveLength(4);
  expect(numbers.seen).toEqual([]);
});

it('sends answers of up to 64 KiB and refuses to send larger ones', async () => {
  const one = await client();
  numbers.largeSize = 65_536;
  await one.send(request(LARGE));
  expect((await one.receiveUntil(isAck))[0].payload.length).toBe(65_536 - 16);
  numbers.largeSize = 65_540;
  await one.send(request(LARGE));
  expect(errnoOf((await one.receiveUntil(isAck))[0])).toBe(EMSGSIZE);
});

it('lets only administrators use operations for them, by what the kernel says of the sender', async ({ skip }) => {
  skip(process.getuid?.() !== 0, 'only root can become another user');
  const root = await client();
  await root.send(request(SET, {}, 1));
  expect(errnoOf((await root.receiveUntil(isAck))[0])).toBe(0);
  const user = await client({ uid: 12_345 });
  await user.send(concat(request(SET, { seq: 1 }, 2), request(GET, { seq: 2 }, 3)));
  const answers = await user.receiveUntil((part) => isAck(part) && part.seq === 2);
  expect(answers.filter(isAck).map(errnoOf)).toEqual([EPERM, 0]);
  expect(numbers.seen).toEqual([1]);
});

it('drops requests of a client that never reads, keeps its memory, and tells it how many', async () => {
  const rude = await client({ buffer: 4_096 });
  numbers.largeSize = 1_000;
  const [sent, each] = [60, 10];
  const ballast = Buffer.alloc(3_000);
  const many = concat(...Array.from({ length: each }, (_, seq) => request(LARGE, { seq, body: ballast })));
  const results = Array.from({ length: sent }, () => rude.send(many));
  expect(new Set(await Promise.all(results))).toEqual(new Set([0]));
  await until(() => server.statistics().datagrams === sent);
  const { lost } = server.statistics();
  expect(lost).toBeGreaterThan(0);
  let acks = 0;
  let told = 0;
  while (acks < (sent - lost) * each || told < lost) {
    const datagram = await rude.receive();
    if (typeof datagram === 'number') throw new Error(`errno ${datagram} after ${acks} acks, ${told} told of ${lost}`);
    for (const part of readMessages(datagram)) {
      if (part.type === K.NLMSG_OVERRUN) told += part.payload.readUInt32LE();
      else if (isAck(part)) acks++;
    }
  }
  expect([acks, told]).toEqual([(sent - lost) * each, lost]);
  await until(() => server.statistics().clients === 0);
});

it('survives whatever bytes come', async () => {
  const seed = Number(process.env.SEED ?? 20_261_121);
  let state = seed;
  const random = (limit: number): number => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 4_294_967_296) * limit);
  };
  numbers.largeSize = 1_000;
  const one = await client();
  const types = [K.GENL_ID_CTRL, server.idOf('numbers'), server.idOf('netlink_sockopt'), 0, 3, 999];
  for (let round = 0; round < 2_000; round++) {
    const body = concat(attribute(random(4), Buffer.from(Array.from({ length: random(40) }, () => random(256)))));
    const bytes = Buffer.from(
      message({ type: types[random(types.length)], flags: random(65_536), seq: round, command: random(12), body }),
    );
    for (let flip = random(4); flip > 0; flip--) bytes[random(bytes.length)] = random(256);
    await one.send(bytes.subarray(0, random(8) === 0 ? random(bytes.length) : bytes.length));
    if (round % 50 === 0) while (typeof (await one.receive(0)) !== 'number');
  }
  const other = await client();
  await other.send(request(GET, {}, 5));
  expect(numberIn((await other.receiveUntil(isAck))[0]), `seed ${seed}`).toBe(10);
  expect(failures.filter((error) => error !== undefined)).toEqual([]);
});

it('checks attributes before the handler sees them', async () => {
  const one = await client();
  const text = attribute(TEXT, 'y'.repeat(101));
  await one.send(request(GET, { body: concat(u32(0), attribute(VALUE, u32(1)), text) }));
  const [refused] = await one.receiveUntil(isAck);
  expect(errnoOf(refused)).not.toBe(0);
  await one.send(request(GET, { body: concat(u32(0), attribute(99, u32(1))) }));
  expect(errnoOf((await one.receiveUntil(isAck))[0])).toBe(EINVAL);
});
