/*
 * The front door itself: how much room answers have, and what whatever bytes do. What it answers to well-formed and ill-formed messages is compared with
 * the real kernel in 48.conformance; here every message of its scenarios is bent further, and the door must keep to its room, tell the truth about
 * where it stopped, and leave the datapath whole.
 */
import { describe, expect, it } from 'vitest';
import * as C from '../assembly/constants.ts';
import { FAMILY_DATAPATH, FAMILY_FIRST, FAMILY_FLOW, FAMILY_VPORT, GROUP_FLOW } from '../assembly/kernel/families.ts';
import * as OVS from '../assembly/netlink/openvswitch.ts';
import { encodeMatchAttributes, parseMatch } from '../src/index.ts';
import { FrontDoor } from '../src/kernel/front-door.ts';
import { MessageCursor, NLM_F_ACK, NLM_F_ECHO } from '../src/netlink/index.ts';
import type { DatapathMemory } from '../src/wasm/memory.ts';
import { bendBytes } from './support/attribute-tree.ts';
import { allScenarios } from './support/conformance/corpus.ts';
import type { Family } from './support/conformance/openvswitch.ts';
import { familyNumber, resolve } from './support/conformance/scenario.ts';
import { BUILDS, openDatapath, SEED, stepsOf } from './support/datapath.ts';
import { flowRequest } from './support/flow-requests.ts';
import { Random } from './support/frame-generator.ts';
import { message } from './support/kernel-socket.ts';

const CANARY = 0xa5;
const MARGIN = 4096;
const CANARIES = Buffer.alloc(MARGIN, CANARY);
const MESSAGES = 12_000;

/** A door whose frames are looked at one by one, with any room. */
class Door {
  readonly memory: DatapathMemory;
  readonly socket: number;
  readonly #datagram: number;
  readonly #out: number;

  constructor(memory: DatapathMemory, flags = C.SOCKET_ADMIN) {
    this.memory = memory;
    this.socket = memory.wasm.openSocket(7, flags) >>> 0;
    this.#datagram = memory.superblock(C.SB_DOOR);
    this.#out = this.#datagram + C.DOOR_DATAGRAM_SIZE;
  }

  /** Sends a datagram with `room` bytes for frames a call; how often it was called, and the frames. Fails when a byte behind the room changes. */
  send(datagram: Uint8Array, room: number): { calls: number; frames: { group: number; bytes: Uint8Array }[] } {
    const { memory } = this;
    memory.bytes.set(datagram, this.#datagram);
    const end = this.#datagram + datagram.length;
    const frames: { group: number; bytes: Uint8Array }[] = [];
    let calls = 0;
    for (let at = this.#datagram; at < end; calls++) {
      memory.bytes.fill(CANARY, this.#out + room, this.#out + room + MARGIN);
      const written = memory.wasm.handleMessages(this.socket, at, end - at, this.#out, this.#out + room) >>> 0;
      frames.push(...this.#frames(written));
      const behind = memory.copy(this.#out + room, MARGIN);
      if (Buffer.compare(behind, CANARIES) !== 0) expect.fail('it wrote behind its room');
      const next = memory.u32(this.socket + C.SOCKET_NEXT);
      if (next <= at || next > end) expect.fail(`it goes on at ${next - at} of ${end - at}`);
      at = next;
    }
    return { calls, frames };
  }

  #frames(end: number): { group: number; bytes: Uint8Array }[] {
    const { memory } = this;
    const frames: { group: number; bytes: Uint8Array }[] = [];
    let at = this.#out;
    while (at < end) {
      if (memory.u32(at + C.NL_MMAP_STATUS) !== C.NL_MMAP_STATUS_VALID) expect.fail('a frame that is not valid');
      const size = memory.u32(at + C.NL_MMAP_LEN);
      frames.push({
        group: memory.u32(at + C.NL_MMAP_GROUP),
        bytes: memory.copy(at + C.NL_MMAP_HDRLEN, size),
      });
      at += C.NL_MMAP_HDRLEN + ((size + 3) & ~3);
    }
    if (end > this.#out && at !== end) expect.fail(`frames end at ${at - this.#out}, not ${end - this.#out}`);
    return frames;
  }
}

/** Every message of the scenarios, for this kernel's families and the datapath `ifindex`. */
function corpus(ifindex: number): Uint8Array[] {
  const scenarios = Object.values(allScenarios({ seed: SEED, count: 4, length: 20 })).flat();
  const idOf = (family: Family): number => FAMILY_FIRST + familyNumber(family);
  return scenarios.flatMap(({ steps }) =>
    steps.flatMap((step) =>
      step.do === 'send' || step.do === 'post' ? [resolve(step.datagram, idOf, () => ifindex)] : [],
    ),
  );
}

function flowKey(index: number): Uint8Array {
  return encodeMatchAttributes(parseMatch(`in_port(${index + 1}),eth(),eth_type(0x0800)`)).key;
}

describe.each(BUILDS)('the front door, %s', (build) => {
  it('stops before a request whose answer may not fit, and does each request once', async () => {
    await using datapath = await openDatapath({ build });
    const door = new Door(datapath.memory);
    const ifindex = datapath.memory.superblock(C.SB_DP_IFINDEX);
    datapath.memory.setU32(C.SUPERBLOCK + C.SB_DP_LISTENERS, 1 << (GROUP_FLOW - FAMILY_FIRST));
    const actions = new Uint8Array(20_000);
    const words = new Uint32Array(actions.buffer);
    for (let i = 0; i < words.length; i++) words[i] = i % 2 === 0 ? 8 | (OVS.OVS_ACTION_ATTR_OUTPUT << 16) : 1;
    const count = 30;
    const puts = Array.from({ length: count }, (_, i) =>
      message({ ...flowRequest(OVS.OVS_FLOW_CMD_NEW, { key: flowKey(i), actions }, ifindex, NLM_F_ECHO), seq: i + 1 }),
    );
    const few = puts.slice(0, 12);
    const { calls, frames } = door.send(Buffer.concat(few), C.ANSWER_ROOM + 100_000);
    expect(calls).toBeGreaterThan(2);
    expect(frames.map(({ group }) => group)).toEqual(few.flatMap(() => [GROUP_FLOW, 0]));
    expect(frames.every(({ bytes }) => bytes.length > actions.length)).toBe(true);
    expect(datapath.flows.count).toBe(few.length);
    // twice as much as there is: the requests are done, of the answers those that fit are there
    const small = door.send(Buffer.concat(puts.slice(12, 14)), 30_000);
    expect(small.calls).toBe(2);
    expect(datapath.flows.count).toBe(14);
    expect(datapath.check()).toBe(0);
  });

  it('handles messages for nobody, for others and in any place, without an answer that nobody asked for', async () => {
    await using datapath = await openDatapath({ build });
    const door = new Door(datapath.memory);
    const get = message({ family: FAMILY_DATAPATH, command: OVS.OVS_DP_CMD_GET, flags: NLM_F_ACK, ifindex: 99 });
    const vport = message({ family: FAMILY_VPORT, command: OVS.OVS_VPORT_CMD_GET, ifindex: 99 });
    const noRequest = get.slice();
    noRequest[6] = 0;
    const { frames } = door.send(Buffer.concat([noRequest, get, vport, get.subarray(0, 15)]), 1 << 20);
    const errnos = frames.map(({ bytes }) => {
      const cursor = new MessageCursor(bytes);
      return cursor.next() && cursor.errno();
    });
    expect(errnos).toEqual([19, 22]);
    expect(door.send(new Uint8Array(3), 1 << 20).frames).toEqual([]);
  });

  it(`keeps the datapath whole whatever is sent, SEED=${SEED}`, async () => {
    await using datapath = await openDatapath({ build, flows: 1024 });
    const { memory } = datapath;
    const ifindex = memory.superblock(C.SB_DP_IFINDEX);
    const doors = [new Door(memory), new Door(memory, C.SOCKET_ADMIN | C.SOCKET_PLAIN_ACK), new Door(memory, 0)];
    const messages = corpus(ifindex);
    const random = new Random(SEED);
    for (let i = 0; i < stepsOf(build, MESSAGES); i++) {
      const bent = bendBytes(random, random.pick(messages));
      const datagram = random.oneIn(4) ? Buffer.concat([bent, random.pick(messages)]) : bent;
      const { frames } = random.pick(doors).send(datagram, random.pick([64, 1000, 100_000, 700_000]));
      for (const { bytes } of frames) {
        const cursor = new MessageCursor(bytes);
        while (cursor.next());
        cursor.check();
      }
      if (memory.superblock(C.SB_WRITER) !== 0) expect.fail('the writer lock was left behind');
      if (i % 1000 === 0) expect(datapath.check()).toBe(0);
    }
    expect(datapath.check()).toBe(0);
  });
});

describe('the host behind the door', () => {
  it('refuses a datagram that is longer than its place', async () => {
    await using datapath = await openDatapath();
    const door = new FrontDoor(datapath.memory, () => {});
    const socket = door.open(9, C.SOCKET_ADMIN);
    const long = new Uint8Array(C.DOOR_DATAGRAM_SIZE + 1);
    expect(() => door.send(socket, long, () => {})).toThrow(expect.objectContaining({ code: 'ERR_NETLINK_TOO_LARGE' }));
    expect(FAMILY_FLOW).toBe(datapath.memory.superblock(C.SB_PACKET_FAMILY) - 1);
  });
});
