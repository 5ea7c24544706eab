/*
 * Upcalls of another datapath as frames of a ring: messages that one datapath made are received into the ring of another, and every word of the frames, the flat
 * key and the offsets must be what the first one wrote itself. Then what is no upcall, what is long, a full ring, and answers as messages.
 */
import { describe, expect, it } from 'vitest';
import * as C from '../assembly/constants.ts';
import { readFlow } from '../src/dpif/messages/flow.ts';
import { type Datapath, formatActions } from '../src/index.ts';
import { MessageCursor } from '../src/netlink/message.ts';
import { decodeKey, decodeKeyAttributes, fieldsMask } from '../src/odp/index.ts';
import { decodeKey as decodeReference } from './reference/flow-attributes.ts';
import { readUpcall } from './reference/upcall-message.ts';
import { BUILDS, openDatapath, SEED, stepsOf } from './support/datapath.ts';
import * as L from './support/frames.ts';
import { give, openForUpcalls, type RingFrame, refuse, take } from './support/upcall-frames.ts';

const FAMILY = 0x21;
const FLOW_FAMILY = 0x20;
const DP_IFINDEX = 7;
const FRAMES = 3000;
const SLOTS = 64;

/** The words of a frame that do not say where something is or when it was. */
const WORDS = [
  C.NL_MMAP_LEN,
  C.NL_MMAP_GROUP,
  C.NL_MMAP_PID,
  C.UPCALL_IN_PORT,
  C.UPCALL_COMMAND,
  C.UPCALL_PACKET_SIZE,
  C.UPCALL_OFFSETS,
  C.UPCALL_OFFSETS + 4,
  C.UPCALL_WIRE_SIZE,
  C.UPCALL_ANSWER_MASK,
  C.UPCALL_ANSWER_ACTIONS,
];

/** The receiving side: a datapath whose ring is filled by the test as the addon fills it. */
class Importer {
  readonly datapath: Datapath;
  readonly #slots: number;
  readonly #rows: number;
  readonly #work: number;

  constructor(datapath: Datapath) {
    this.datapath = datapath;
    this.#slots = datapath.memory.allocate(SLOTS * C.IMPORT_SLOT_SIZEOF, 'slots');
    this.#rows = datapath.memory.allocate(SLOTS * C.IMPORT_ROW_SIZEOF, 'rows');
    this.#work = datapath.memory.allocate(C.KEY_SIZE + C.MATCH_SIZEOF, 'work');
  }

  /** Slots that are free now. */
  free(max = SLOTS): number {
    return this.datapath.memory.wasm.importSlots(0, max, this.#slots);
  }

  /** Receives as many of the messages as there are slots; returns how many were received, and how many of them were published. */
  receive(messages: readonly Uint8Array[]): { received: number; published: number } {
    const { memory } = this.datapath;
    const received = Math.min(this.free(), messages.length);
    for (let i = 0; i < received; i++) {
      const slot = this.#slots + i * C.IMPORT_SLOT_SIZEOF;
      const size = memory.u32(slot + C.IMPORT_SLOT_SIZE);
      memory.bytes.set(messages[i].subarray(0, size), memory.u32(slot + C.IMPORT_SLOT_OFFSET));
      memory.bytes.set(messages[i].subarray(size), memory.u32(slot + C.IMPORT_SLOT_TAIL));
      const row = this.#rows + i * C.IMPORT_ROW_SIZEOF;
      memory.setU32(row + C.IMPORT_ROW_SLOT, i);
      memory.setU32(row + C.IMPORT_ROW_SIZE, messages[i].length);
      memory.setU32(row + C.IMPORT_ROW_TRUNCATED, 0);
    }
    const published = memory.wasm.importUpcalls(0, this.#rows, received, FAMILY, DP_IFINDEX, this.#work);
    return { received, published };
  }
}

async function openImporter(build: 'debug' | 'release'): Promise<Importer> {
  const datapath = await openDatapath({ build, upcallFrames: 64 });
  datapath.memory.setOption(C.OPTION_FOREIGN, true);
  return new Importer(datapath);
}

async function openProducer(build: 'debug' | 'release'): Promise<Datapath> {
  const datapath = await openForUpcalls({ build, dpIfindex: DP_IFINDEX });
  datapath.memory.setU32(C.SUPERBLOCK + C.SB_PACKET_FAMILY, FAMILY);
  return datapath;
}

function expectSame(imported: RingFrame, produced: RingFrame): void {
  for (const word of WORDS) expect([word, imported.word(word)]).toEqual([word, produced.word(word)]);
  expect(Buffer.compare(imported.message, produced.message), 'message').toBe(0);
  expect(Buffer.compare(imported.packet, produced.packet), 'packet').toBe(0);
  // What has no attribute (ND options, the type of IGMP) does not come with a message, unless the key had to be made of the packet.
  const { said } = decodeReference(readUpcall(produced.message).key!);
  const expected = produced.key.map((byte, i) => (said[i] === 0 && imported.key[i] === 0 ? 0 : byte));
  expect(Buffer.compare(imported.key, expected), 'flat key').toBe(0);
}

describe.each(BUILDS)('upcalls of another datapath, %s', (build) => {
  it(`become the frames that this datapath would have made, SEED=${SEED}`, async () => {
    await using producer = await openProducer(build);
    const importer = await openImporter(build);
    await using _importing = importer.datapath;
    const port = producer.ports.add('a', { portNo: 3, slots: 64, frameSize: C.FRAME_SIZE_MAX });
    const source = L.frames(SEED);
    let long = 0;
    for (let i = 0; i < stepsOf(build, FRAMES); i++) {
      const frame = source.next().value;
      const packet = i % 16 === 0 ? Uint8Array.of(...frame, ...L.filler(3000)) : frame;
      port.send(packet);
      producer.memory.wasm.poll(4);
      const [made] = take(producer);
      expect(importer.receive([made.message])).toEqual({ received: 1, published: 1 });
      const [got] = take(importer.datapath);
      expectSame(got, made);
      if (made.word(C.UPCALL_COPY) !== 0) long++;
      refuse(producer, [made]);
      give(importer.datapath, [got]);
    }
    expect(long).toBeGreaterThan(0);
    expect(importer.datapath.check()).toBe(0);
  });

  it('leaves out what is none of them, in any order, and keeps the rest in order', async () => {
    await using producer = await openProducer(build);
    const importer = await openImporter(build);
    await using _importing = importer.datapath;
    const port = producer.ports.add('a', { portNo: 3 });
    const source = L.frames(SEED);
    const good: Uint8Array[] = [];
    while (good.length < 4) {
      const packet = source.next().value;
      if (packet.length > 2048 || !port.send(packet)) continue;
      producer.memory.wasm.poll(4);
      const frames = take(producer);
      good.push(...frames.map(({ message }) => message));
      refuse(producer, frames);
    }
    const changed = (at: number, value: number): Uint8Array => {
      const copy = good[0].slice();
      copy[at] = value;
      return copy;
    };
    const bad = [changed(4, 99), changed(16, 3), changed(20, 8), changed(0, 3), changed(24, 2), new Uint8Array(7)];
    for (let rotation = 0; rotation < 32; rotation++) {
      const mixed = [bad[rotation % 6], good[0], bad[(rotation + 1) % 6], good[1], good[2], bad[(rotation + 2) % 6]];
      const order = rotation % 2 === 0 ? mixed : [...mixed.slice(3), ...mixed.slice(0, 3)];
      expect(importer.receive(order)).toEqual({ received: 6, published: 3 });
      const frames = take(importer.datapath);
      const expected = order.filter((message) => good.includes(message));
      expect(frames.map(({ message }) => Buffer.from(message))).toEqual(
        expected.map((message) => Buffer.from(message)),
      );
      give(importer.datapath, rotation % 3 === 0 ? frames.reverse() : frames);
      expect(importer.datapath.check()).toBe(0);
    }
  });

  it('wait when the ring or the room for long ones is full', async () => {
    await using producer = await openProducer(build);
    const importer = await openImporter(build);
    await using _importing = importer.datapath;
    const port = producer.ports.add('a', { portNo: 3, slots: 64, frameSize: C.FRAME_SIZE_MAX });
    const message = (size: number): Uint8Array => {
      port.send(L.ethernet(0x0800, L.ipv4({ proto: 17 }, L.udp({}, L.filler(size)))));
      producer.memory.wasm.poll(4);
      const frames = take(producer);
      const copy = frames[0].message;
      refuse(producer, frames);
      return copy;
    };
    const short = message(100);
    let received = 0;
    while (importer.free() > 0) received += importer.receive(Array(SLOTS).fill(short)).published;
    expect(received).toBe(64);
    give(importer.datapath, take(importer.datapath));
    const long = message(9000);
    expect(importer.receive(Array(SLOTS).fill(long))).toEqual({ received: 8, published: 8 });
    expect(importer.free()).toBe(0);
    const frames = take(importer.datapath);
    give(importer.datapath, frames.slice(0, 3));
    expect(importer.free()).toBe(3);
    give(importer.datapath, frames.slice(3));
    expect(importer.free()).toBe(C.UPCALL_COPY_CHUNKS);
  });

  it('are answered by messages: the flow under its mask, with the same UFID each time, then the packet', async () => {
    await using producer = await openProducer(build);
    const importer = await openImporter(build);
    await using _importing = importer.datapath;
    const { memory } = importer.datapath;
    const port = producer.ports.add('a', { portNo: 3 });
    const work = memory.allocate(C.KEY_SIZE, 'work');
    const out = memory.allocate(65536, 'messages');
    const actions = importer.datapath.actions('ct(commit),5');
    const mask = importer.datapath.mask(fieldsMask(['inPort', 'recircId', 'ethType', 'ipv4Dst']));
    const ufids: string[] = [];
    for (const source of [1, 2]) {
      port.send(L.ethernet(0x0800, L.ipv4({ proto: 17 }, L.udp({ src: source }, L.filler(64)))));
      producer.memory.wasm.poll(4);
      const [made] = take(producer);
      importer.receive([made.message]);
      const [frame] = take(importer.datapath);
      frame.setWord(C.UPCALL_ANSWER_ACTIONS, actions.address);
      frame.setWord(C.UPCALL_ANSWER_MASK, mask.address);
      const middle = memory.wasm.exportFlow(frame.address, out, out + 65536, FLOW_FAMILY, DP_IFINDEX, work) >>> 0;
      const end = memory.wasm.exportExecute(frame.address, middle, out + 65536, FAMILY, DP_IFINDEX) >>> 0;
      const cursor = new MessageCursor(memory.copy(out, end - out));
      expect([cursor.next(), cursor.type, cursor.command]).toEqual([true, FLOW_FAMILY, 1]);
      const flow = readFlow(cursor);
      ufids.push(Buffer.from(flow.ufid!).toString('hex'));
      expect(formatActions(flow.actions!)).toBe('ct(commit),5');
      expect(decodeKey(decodeKeyAttributes(flow.key!).key).inPort).toBe(3);
      expect([cursor.next(), cursor.type, cursor.command, cursor.next()]).toEqual([true, FAMILY, 3, false]);
      memory.wasm.settleTaken(0, 1);
      refuse(producer, [made]);
    }
    expect(ufids[0]).toBe(ufids[1]);
    expect(importer.datapath.stats().answered).toBe(2);
  });
});
