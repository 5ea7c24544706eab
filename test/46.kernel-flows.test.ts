/*
 * The family ovs_flow of the WASM kernel against a slow model: random NEW, SET, GET, DEL, dumps and packets over few keys, masks and UFIDs, so
 * that flows meet, overlap and are called by the names of others. After every step all invariants are checked; at the end nothing may be left
 * over. SEED sets the seed, RUNS the number of runs.
 */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import * as C from '../assembly/constants.ts';
import type { Datapath, MemoryPort } from '../src/index.ts';
import { NLM_F_CREATE, NLM_F_ECHO } from '../src/netlink/index.ts';
import { type Answer, type Fields, type FlowRequest, type NamedFlow, NamedFlows } from './reference/named-flows.ts';
import { attribute, concat, le32 } from './support/action-list.ts';
import { BUILDS, openDatapath, SEED, stepsOf } from './support/datapath.ts';
import { FLOW, type FlowParts, FlowSocket, type ShownFlow } from './support/flow-requests.ts';

const RUNS = Number(process.env.RUNS ?? 200);
const STEPS = 120;
const CAPACITY = 12;
const [ENOENT, EEXIST, EINVAL, ENOSPC] = [2, 17, 22, 28];
const ERRNO = { ENOENT, EEXIST, EINVAL, ENOSPC } as const;
const ETHER_TYPE = [0x12, 0x34];

// Fields: last bytes of the addresses, mark, conntrack mark, first byte of the conntrack labels.
const FIELDS = 5;
const SOURCE = 0;
const TARGET = 1;

/** The attributes of a key, or of its mask; a mask of 0xff is one of the whole field. */
function list(fields: Fields, isMask: boolean): Uint8Array {
  const wide = (value: number, size: number, at: number): Uint8Array => {
    const bytes = new Uint8Array(size).fill(isMask && value === 0xff ? 0xff : 0);
    bytes[at] = value;
    return bytes;
  };
  const [source, target, mark, ctMark, label] = fields as [number, number, number, number, number];
  return concat(
    attribute(3, isMask ? le32(0xffffffff) : le32(1)),
    attribute(15, wide(mark, 4, 0)),
    attribute(24, wide(ctMark, 4, 0)),
    attribute(25, wide(label, 16, 0)),
    attribute(4, concat(wide(source, 6, 5), wide(target, 6, 5))),
    attribute(6, isMask ? [0xff, 0xff] : ETHER_TYPE),
  );
}

/** The fields in such a list, whatever else the kernel shows beside them. */
function fieldsOf(bytes: Uint8Array | undefined): number[] | undefined {
  if (bytes === undefined) return undefined;
  const fields = new Array<number>(FIELDS).fill(0);
  for (let at = 0; at < bytes.length; ) {
    const size = bytes[at]! | (bytes[at + 1]! << 8);
    const type = bytes[at + 2]!;
    const payload = bytes.subarray(at + 4, at + size);
    if (type === 4) [fields[SOURCE], fields[TARGET]] = [payload[5]!, payload[11]!];
    if (type === 15) fields[2] = payload[0]!;
    if (type === 24) fields[3] = payload[0]!;
    if (type === 25) fields[4] = payload[0]!;
    at += (size + 3) & ~3;
  }
  return fields;
}

const under = (key: Fields, mask: Fields) => key.map((value, i) => value & mask[i]!);
const ufidBytes = (ufid: string | undefined) => (ufid === undefined ? undefined : new Uint8Array(Buffer.from(ufid)));
const actionList = (text: string) => concat(...[...text].map((port) => attribute(1, le32(Number(port)))));

function frame(source: number, target: number): Uint8Array {
  const bytes = new Uint8Array(60);
  bytes.set([0, 0, 0, 0, 0, target, 0, 0, 0, 0, 0, source, ...ETHER_TYPE]);
  return bytes;
}

interface Real {
  datapath: Datapath;
  client: FlowSocket;
  port: MemoryPort;
}

type Command = fc.Command<NamedFlows, Real>;

const few = (...values: number[]) => fc.constantFrom(...values);
const key = fc.tuple(few(1, 2, 3), few(1, 2, 3), few(0, 1), few(0, 1), few(0, 1)) as fc.Arbitrary<Fields>;
const mask = fc.option(
  fc.tuple(few(0, 1, 2, 0xff), few(0, 1, 2, 0xff), few(0, 0, 0xff), few(0, 0, 0xff), few(0, 0, 0xff)),
  { nil: undefined },
) as fc.Arbitrary<Fields | undefined>;
const ufid = fc.option(fc.constantFrom('a', 'bb', 'a\0', '0123456789abcdef', '0123456789abcdeg'), { nil: undefined });
const actions = fc.constantFrom('', '1', '2', '12', '21');

/** A message that shows `flow` shows all of it. */
function expectShown(shown: ShownFlow, flow: NamedFlow): void {
  const masked = under(flow.key, flow.mask);
  expect(shown.ufid).toEqual(ufidBytes(flow.ufid));
  expect(fieldsOf(shown.key)).toEqual(flow.ufid === undefined ? flow.key : masked);
  expect(fieldsOf(shown.mask)).toEqual(flow.mask);
  expect(shown.packets).toBe(flow.packets);
  expect(shown.actions).toEqual(actionList(flow.actions));
}

function expectAnswer(answer: Answer, { errno, flows }: { errno: number; flows: ShownFlow[] }): void {
  if (typeof answer === 'string') {
    expect([errno, flows.length]).toEqual([ERRNO[answer], 0]);
    return;
  }
  expect([errno, flows.length]).toEqual([0, 1]);
  expectShown(flows[0]!, answer);
}

function command(name: string, run: (model: NamedFlows, real: Real) => void): Command {
  return {
    check: () => true,
    toString: () => name,
    run(model, real) {
      run(model, real);
      expect(real.datapath.check(), 'invariants').toBe(0);
      expect(real.datapath.flows.count).toBe(model.flows.length);
      expect(real.datapath.flows.masks).toBe(model.maskCount);
    },
  };
}

const put = fc.record({ ufid, key, mask, actions, create: fc.boolean() }).map((request) =>
  command(`put ${JSON.stringify(request)}`, (model, { client }) => {
    const parts: FlowParts = {
      ...{ ufid: ufidBytes(request.ufid), key: list(request.key, false), actions: actionList(request.actions) },
      mask: request.mask && list(request.mask, true),
    };
    const flags = NLM_F_ECHO | (request.create ? NLM_F_CREATE : 0);
    expectAnswer(model.put(request), client.ask(FLOW.NEW, parts, flags));
  }),
);

/** Names that are sometimes those of a flow there is. */
const name = fc.record({ ufid, key: fc.option(key, { nil: undefined }), pick: fc.option(fc.nat(CAPACITY - 1)) });

interface Name {
  ufid: string | undefined;
  key: Fields | undefined;
  pick: number | null;
}

function nameOf(model: NamedFlows, wanted: Name): FlowRequest {
  const flow = wanted.pick === null ? undefined : model.flows[wanted.pick];
  return flow === undefined ? wanted : { ufid: flow.ufid, key: flow.ufid === undefined ? flow.key : undefined };
}

const partsOf = (request: FlowRequest): FlowParts => ({
  ufid: ufidBytes(request.ufid),
  key: request.key && list(request.key, false),
});

const set = fc.record({ name, actions: fc.option(actions, { nil: undefined }), clear: fc.boolean() }).map((request) =>
  command(`set ${JSON.stringify(request)}`, (model, { client }) => {
    const called = nameOf(model, request.name);
    const list = request.actions === undefined ? undefined : actionList(request.actions);
    const answer = client.ask(FLOW.SET, { ...partsOf(called), clear: request.clear, actions: list }, NLM_F_ECHO);
    expectAnswer(model.set(called, request.actions, request.clear), answer);
  }),
);

const get = name.map((request) =>
  command(`get ${JSON.stringify(request)}`, (model, { client }) => {
    const called = nameOf(model, request);
    expectAnswer(model.get(called), client.ask(FLOW.GET, partsOf(called)));
  }),
);

const del = fc.record({ name, flush: fc.nat(15) }).map((request) =>
  command(`del ${JSON.stringify(request)}`, (model, { client }) => {
    const called = request.flush === 0 ? {} : nameOf(model, request.name);
    const answer = model.del(called);
    const got = client.ask(FLOW.DEL, partsOf(called), NLM_F_ECHO);
    if (answer === 'flushed') expect([got.errno, got.flows.length]).toEqual([0, 0]);
    else expectAnswer(answer, got);
  }),
);

const dump = fc.constantFrom(600, 1000, 4000).map((size) =>
  command(`dump in parts of ${size}`, (model, { client }) => {
    const shown = client.dump(size);
    expect(shown.length).toBe(model.flows.length);
    for (const flow of model.flows) {
      const same = (one: ShownFlow) =>
        flow.ufid === undefined
          ? one.ufid === undefined &&
            String(fieldsOf(one.key)) === String(flow.key) &&
            String(fieldsOf(one.mask)) === String(flow.mask)
          : Buffer.from(one.ufid ?? []).toString() === flow.ufid;
      expectShown(shown.find(same)!, flow);
    }
  }),
);

const packet = fc.record({ source: few(1, 2, 3), target: few(1, 2, 3) }).map(({ source, target }) =>
  command(`packet ${source} ${target}`, (model, { datapath, port }) => {
    const before = datapath.stats().misses;
    const hit = model.packet([source, target, 0, 0, 0]) !== undefined;
    expect(port.send(frame(source, target))).toBe(true);
    expect(datapath.memory.wasm.poll(1)).toBe(1);
    expect(datapath.stats().misses - before).toBe(hit ? 0 : 1);
  }),
);

const commands = [put, put, put, set, get, del, dump, packet, packet];

async function openReal(build: 'release' | 'debug'): Promise<Real> {
  const datapath = await openDatapath({ build, flows: CAPACITY, arenaSize: 8 * 1048576, emc: false });
  const port = datapath.ports.add('in', { portNo: 1 });
  return { datapath, client: new FlowSocket(datapath), port };
}

/** No mask, list, slot or byte of the flows may be left over. */
function expectEmpty({ datapath, client }: Real, usedBefore: number): void {
  expect(client.ask(FLOW.DEL, {}).errno).toBe(0);
  const { memory } = datapath;
  for (let i = 0; i < 64; i++) {
    memory.wasm.sweepFlows(0, 0, 0n, 0, 0, 0);
    memory.wasm.sortSubtables();
  }
  expect(memory.superblock(C.SB_ACTION_COUNT)).toBe(0);
  expect(memory.superblock(C.SB_ARENA_USED)).toBe(usedBefore);
}

describe.each(BUILDS)('flows by messages, %s', (build) => {
  it(`do what the model does, SEED=${SEED}`, async () => {
    const property = fc.asyncProperty(fc.commands(commands, { maxCommands: STEPS, size: 'max' }), async (steps) => {
      const real = await openReal(build);
      await using _ = real.datapath;
      real.datapath.memory.wasm.sortSubtables();
      const usedBefore = real.datapath.memory.superblock(C.SB_ARENA_USED);
      fc.modelRun(() => ({ model: new NamedFlows(CAPACITY), real }), steps);
      expectEmpty(real, usedBefore);
    });
    await fc.assert(property, { seed: SEED, numRuns: stepsOf(build, RUNS), endOnFailure: process.env.SHRINK !== '1' });
  });
});
