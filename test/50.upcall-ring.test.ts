/*
 * The upcall ring: messages byte by byte against a decoder of their own, frames through all their states, long messages in the copy
 * area, a full ring, frames given back in any order, and answers that install and execute. SEED sets the seed.
 */
import { describe, expect, it } from 'vitest';
import * as C from '../assembly/constants.ts';
import { type Datapath, formatActions, type MemoryPort } from '../src/index.ts';
import { OWN_PORT_ID } from '../src/kernel/client.ts';
import { referenceExtract } from './reference/extract.ts';
import { decodeKey } from './reference/flow-attributes.ts';
import { readUpcall } from './reference/upcall-message.ts';
import { attribute, concat, encodeActions, le32 } from './support/action-list.ts';
import { BUILDS, expectAccounted, openDatapath, SEED, stepsOf } from './support/datapath.ts';
import * as L from './support/frames.ts';
import { give, openForUpcalls, type RingFrame, refuse, statuses, take } from './support/upcall-frames.ts';

const {
  NL_MMAP_STATUS_COPY: COPY,
  NL_MMAP_STATUS_SKIP: SKIP,
  NL_MMAP_STATUS_UNUSED: UNUSED,
  NL_MMAP_STATUS_VALID: VALID,
} = C;
const MISS = 1;
const ACTION = 2;
const FAMILY = 0x21;
const TABLE_FRAMES = 2000;

function udp(size: number, number = 0): Uint8Array {
  return L.ethernet(0x0800, L.ipv4({ proto: 17 }, L.udp({ src: number }, L.filler(size - 42))));
}

/** The number that `udp` was given. */
function numberIn({ packet }: RingFrame): number {
  return packet[34] * 256 + packet[35];
}

/** Every word and attribute of one miss. */
function expectMiss(datapath: Datapath, frame: RingFrame, packet: Uint8Array, inPort: number): void {
  const message = readUpcall(frame.message);
  const { type, flags, seq, pid, command, version, dpIfindex, types } = message;
  expect({ type, flags, seq, pid, command, version, dpIfindex, types }).toEqual({
    ...{ type: FAMILY, flags: 0, seq: 0, pid: 0, command: MISS, version: 1, dpIfindex: datapath.options.dpIfindex },
    types: [2, 11, 1],
  });
  expect(Buffer.compare(message.packet!, packet), 'PACKET').toBe(0);
  const key = referenceExtract(packet, inPort);
  expect(Buffer.compare(frame.key, key), 'flat key').toBe(0);
  const decoded = decodeKey(message.key!);
  const said = key.map((byte, i) => (decoded.said[i] === 0 ? 0 : byte));
  expect(Buffer.compare(decoded.key, said), 'KEY').toBe(0);
  expect(
    frame.word(C.NL_MMAP_GROUP) + frame.word(C.NL_MMAP_PID) + frame.word(C.NL_MMAP_UID) + frame.word(C.NL_MMAP_GID),
  ).toBe(0);
  expect(frame.word(C.UPCALL_IN_PORT)).toBe(inPort);
  expect(frame.word(C.UPCALL_COMMAND)).toBe(MISS);
  expect(frame.word(C.UPCALL_WIRE_SIZE)).toBe(packet.length);
  expect(frame.word(C.UPCALL_WORKER)).toBe(0);
  expect(frame.word(C.UPCALL_USERDATA)).toBe(0);
  expect(Buffer.compare(frame.packet, packet), 'packet in place').toBe(0);
}

describe.each(BUILDS)('upcall messages, %s', (build) => {
  it(`of misses are the kernel's, SEED=${SEED}`, async () => {
    await using datapath = await openForUpcalls({ build, dpIfindex: 7 });
    datapath.memory.setU32(C.SUPERBLOCK + C.SB_PACKET_FAMILY, FAMILY);
    const ports = [datapath.ports.add('a'), datapath.ports.add('b', { portNo: 1023 })];
    const source = L.frames(SEED);
    for (let i = 0; i < stepsOf(build, TABLE_FRAMES); i++) {
      const port = ports[i % 2];
      const packet = source.next().value;
      if (packet.length > 2048) continue;
      port.send(packet);
      datapath.memory.wasm.poll(4);
      const [frame, ...more] = take(datapath);
      expect(more).toEqual([]);
      expectMiss(datapath, frame, packet, port.portNo);
      refuse(datapath, [frame]);
    }
    expectAccounted(datapath.stats());
  });

  it('of userspace actions carry userdata and, when asked for, the actions', async () => {
    await using datapath = await openForUpcalls({ build });
    const port = datapath.ports.add('a');
    const packet = udp(100);
    const plain = attribute(2, attribute(1, le32(OWN_PORT_ID)));
    const cookie = attribute(2, concat(attribute(1, le32(OWN_PORT_ID)), attribute(2, [1, 2, 3, 4, 5])));
    const wanting = attribute(
      2,
      concat(attribute(1, le32(OWN_PORT_ID)), attribute(2, L.filler(200)), attribute(4, [])),
    );
    for (const [list, userdata, actions] of [
      [plain, undefined, undefined],
      [cookie, L.bytes(1, 2, 3, 4, 5), undefined],
      [wanting, L.filler(200), wanting],
      [
        concat(encodeActions([{ kind: 'output', port: 1 }]), wanting),
        L.filler(200),
        concat(encodeActions([{ kind: 'output', port: 1 }]), wanting),
      ],
    ] as const) {
      datapath.flows.put('in_port(1)', list);
      port.send(packet);
      datapath.memory.wasm.poll(4);
      const [frame] = take(datapath);
      const message = readUpcall(frame.message);
      expect([message.command, frame.word(C.UPCALL_COMMAND)]).toEqual([ACTION, ACTION]);
      expect(message.types, formatActions(list)).toEqual([2, ...(userdata ? [4] : []), ...(actions ? [3] : []), 11, 1]);
      expect(message.userdata).toEqual(userdata);
      expect(message.actions).toEqual(actions);
      expect(message.packet).toEqual(packet);
      expect(frame.word(C.UPCALL_USERDATA) !== 0).toBe(userdata !== undefined);
      give(datapath, [frame]);
    }
    const stats = datapath.stats();
    expect(stats.upcalls).toMatchObject({ miss: 0, action: 4 });
    expectAccounted(stats);
  });

  it('of a cut packet carry what is left and its whole size', async () => {
    await using datapath = await openForUpcalls({ build });
    const port = datapath.ports.add('a');
    const packet = udp(500);
    datapath.flows.put('in_port(1)', concat(attribute(13, le32(60)), attribute(2, attribute(1, le32(OWN_PORT_ID)))));
    port.send(packet);
    datapath.memory.wasm.poll(4);
    const [frame] = take(datapath);
    const message = readUpcall(frame.message);
    expect(message.packet).toEqual(packet.subarray(0, 60));
    expect(message.fullSize).toBe(500);
    expect(frame.packet).toEqual(packet.subarray(0, 60));
    give(datapath, [frame]);
  });
});

describe.each(BUILDS)('upcall frames, %s', (build) => {
  it('go from unused to valid to skip to unused', async () => {
    await using datapath = await openForUpcalls({ build, upcallFrames: 64 });
    const port = datapath.ports.add('a');
    const count = (status: number): number => statuses(datapath).filter((other) => other === status).length;
    expect(count(UNUSED)).toBe(64);
    for (let i = 0; i < 5; i++) port.send(udp(60, i));
    datapath.memory.wasm.poll(4);
    expect([count(VALID), count(UNUSED), datapath.memory.wasm.outstanding(0)]).toEqual([5, 59, 5]);
    const frames = take(datapath, 3);
    expect([count(SKIP), count(VALID), datapath.memory.wasm.outstanding(0)]).toEqual([3, 2, 5]);
    give(datapath, frames);
    expect([count(SKIP), count(VALID), count(UNUSED), datapath.memory.wasm.outstanding(0)]).toEqual([0, 2, 62, 2]);
    expect(datapath.memory.wasm.purge(0)).toBe(2);
    expect(count(UNUSED)).toBe(64);
    expect(datapath.stats().drops.upcallStale).toBe(2);
  });

  it('carry long packets in the copy area, as many as it has chunks', async () => {
    await using datapath = await openForUpcalls({ build });
    const port = datapath.ports.add('a', { frameSize: 65535, slots: 16 });
    const sizes = [1600, 1800, 9000, 60_000, 65_531];
    for (const size of sizes) {
      port.send(udp(size));
      datapath.memory.wasm.poll(4);
      const [frame] = take(datapath);
      expect(frame.word(C.UPCALL_COPY) > 0, `${size} bytes`).toBe(size > 1600);
      expect(Buffer.compare(readUpcall(frame.message).packet!, udp(size)), `${size} bytes`).toBe(0);
      refuse(datapath, [frame]);
    }
    for (let round = 0; round < 3; round++) {
      for (let i = 0; i < C.UPCALL_COPY_CHUNKS + 2; i++) port.send(udp(9000, i));
      datapath.memory.wasm.poll(4);
      expect(statuses(datapath).filter((status) => status === COPY).length).toBe(C.UPCALL_COPY_CHUNKS);
      const frames = take(datapath);
      expect(frames.map(({ packet }) => Buffer.compare(packet, udp(9000, packet[34] * 256 + packet[35])))).toEqual(
        frames.map(() => 0),
      );
      refuse(datapath, frames);
      expect(datapath.stats().drops.upcallRingFull).toBe((round + 1) * 2);
    }
    expectAccounted(datapath.stats());
  });

  it('are not made of a packet that no attribute holds', async () => {
    await using datapath = await openForUpcalls({ build });
    const port = datapath.ports.add('a', { frameSize: 65535, slots: 16 });
    for (const size of [65_532, 65_535]) port.send(udp(size));
    datapath.memory.wasm.poll(4);
    expect(datapath.memory.wasm.outstanding(0)).toBe(0);
    expect(datapath.stats().drops.upcallTooLong).toBe(2);
    expect(port.stats().upcallsLost).toBe(2);
    for (let i = 0; i < C.UPCALL_COPY_CHUNKS; i++) port.send(udp(9000, i));
    datapath.memory.wasm.poll(4);
    expect(datapath.memory.wasm.outstanding(0)).toBe(C.UPCALL_COPY_CHUNKS);
    expectAccounted(datapath.stats());
  });

  it.each([64, 256])('that find a ring of %i full are lost by name and port', async (upcallFrames) => {
    await using datapath = await openForUpcalls({ build, upcallFrames });
    const port = datapath.ports.add('a');
    for (let i = 0; i < upcallFrames + 30; i++) port.send(udp(60, i));
    datapath.memory.wasm.poll(64);
    expect(datapath.memory.wasm.outstanding(0)).toBe(upcallFrames);
    expect(datapath.stats().drops.upcallRingFull).toBe(30);
    expect(port.stats()).toMatchObject({ upcalls: upcallFrames, upcallsLost: 30 });
    expectAccounted(datapath.stats());
    // what was queued is served in the order of arrival
    const numbers: number[] = [];
    for (let frames = take(datapath); frames.length > 0; frames = take(datapath)) {
      numbers.push(...frames.map(numberIn));
      refuse(datapath, frames);
    }
    expect(numbers).toEqual(Array.from({ length: upcallFrames }, (_, i) => i));
  });

  it('of userspace actions that are lost are no misses', async () => {
    await using datapath = await openForUpcalls({ build, upcallFrames: 64 });
    const port = datapath.ports.add('a');
    datapath.flows.put('in_port(1)', attribute(2, attribute(1, le32(OWN_PORT_ID))));
    for (let i = 0; i < 100; i++) port.send(udp(60, i));
    datapath.memory.wasm.poll(64);
    expect(datapath.stats().upcalls).toMatchObject({ miss: 0, action: 64, actionLost: 36 });
    expect(port.stats().upcallsLost).toBe(36);
    expectAccounted(datapath.stats());
  });

  it(`may be given back in any order, SEED=${SEED}`, async () => {
    await using datapath = await openForUpcalls({ build, upcallFrames: 64 });
    const port = datapath.ports.add('a');
    const random = new L.Random(SEED);
    let sent = 0;
    let seen = 0;
    let held: { frame: RingFrame; number: number }[] = [];
    for (let round = 0; round < stepsOf(build, 4000); round++) {
      const room = 64 - datapath.memory.wasm.outstanding(0);
      const count = Math.min(room, random.below(20));
      for (let i = 0; i < count; i++) port.send(udp(60, sent++ & 0xffff));
      datapath.memory.wasm.poll(8);
      for (const frame of take(datapath, random.below(16))) {
        expect(numberIn(frame)).toBe(seen & 0xffff);
        held.push({ frame, number: seen++ & 0xffff });
      }
      const going = held.filter(() => random.oneIn(2));
      held = held.filter((one) => !going.includes(one));
      // what is held stays as it is while the ring goes round
      for (const { frame, number } of going) expect(numberIn(frame)).toBe(number);
      refuse(
        datapath,
        going.reverse().map(({ frame }) => frame),
      );
    }
    expect(datapath.stats().drops.upcallRingFull, 'free frames are found wherever they are').toBe(0);
    expectAccounted(datapath.stats());
  });
});

describe.each(BUILDS)('answers, %s', (build) => {
  it('install the key under the mask and execute the packet', async () => {
    await using datapath = await openForUpcalls({ build });
    const ports = ['a', 'b', 'c'].map((name) => datapath.ports.add(name)) as [MemoryPort, MemoryPort, MemoryPort];
    const mask = new Uint8Array(C.KEY_SIZE)
      .fill(255, C.KEY_IN_PORT, C.KEY_IN_PORT + 4)
      .fill(255, C.KEY_TP_SRC, C.KEY_TP_SRC + 2);
    const handle = datapath.mask(mask);
    const actions = datapath.actions('2,push_vlan(vid=5,pcp=0),3');
    for (let i = 0; i < 10; i++) ports[0].send(udp(60, i));
    datapath.memory.wasm.poll(8);
    const frames = take(datapath);
    for (const frame of frames) {
      frame.setWord(C.UPCALL_ANSWER_MASK, handle.address);
      frame.setWord(C.UPCALL_ANSWER_ACTIONS, actions.address);
      expect(datapath.memory.wasm.answer(0, frame.address, 0, 0)).toBe(0);
    }
    expect(ports[1].receive()).toEqual(frames.map((_, i) => udp(60, i)));
    expect(ports[2].receive().map((frame) => frame.length)).toEqual(frames.map(() => 64));
    expect(datapath.flows.count).toBe(10);
    for (let i = 0; i < 10; i++) {
      const flow = datapath.flows.get({ key: referenceExtract(udp(60, i), 1), mask });
      expect(formatActions(flow!.actionBytes)).toBe('2,push_vlan(vid=5,pcp=0),3');
      expect(flow!.stats.packets).toBe(0);
    }
    for (let i = 0; i < 10; i++) ports[0].send(udp(60, i));
    datapath.memory.wasm.poll(8);
    const stats = datapath.stats();
    expect(stats).toMatchObject({ misses: 10, answered: 10, installed: 10, received: 20, transmitted: 40 });
    expectAccounted(stats);
    for (const held of [handle, actions]) held.release();
    expect(datapath.check()).toBe(0);
  });

  it('to long packets execute the whole packet', async () => {
    await using datapath = await openDatapath({ build });
    const [a, b] = ['a', 'b'].map((name) => datapath.ports.add(name, { frameSize: 65535, slots: 4 }));
    await datapath.onUpcall(() => ({ actions: '2', install: false }));
    for (const size of [9000, 60_000, 65_531]) {
      datapath.process(a, [udp(size)]);
      expect(b.receive()).toEqual([udp(size)]);
    }
    expect(datapath.stats()).toMatchObject({ answered: 3, upcallsPending: 0 });
  });
});
