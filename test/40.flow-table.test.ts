/*
 * The flow table against a Map: random puts, replacements, removals and reads over small key spaces, also of words that only a list holds
 * (IPv6, ARP, neighbour discovery, tunnel and conntrack metadata). After every step all invariants are checked; at the end nothing
 * may be left over. SEED sets the seed, RUNS the number of runs.
 */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import * as C from '../assembly/constants.ts';
import type { Datapath } from '../src/index.ts';
import { ModelTable } from './reference/flow-table.ts';
import { encodeActions } from './support/action-list.ts';
import { BUILDS, openDatapath, SEED, stepsOf } from './support/datapath.ts';
import { flowCommands, type Real } from './support/flow-commands.ts';
import { Random } from './support/frames.ts';

const RUNS = Number(process.env.RUNS ?? 240);
const COMMANDS = 200;
const CAPACITY = 40;

/** Flows and holds are gone: no mask, list, slot or byte may be left over. */
function expectEmpty(datapath: Datapath, usedBefore: number): void {
  const { memory } = datapath;
  for (let i = 0; i < 64; i++) {
    memory.wasm.sweepFlows(0, 0, 0n, 0, 0, 0);
    memory.wasm.sortSubtables();
  }
  const stats = datapath.stats();
  expect([stats.flows, stats.masks, stats.actionLists]).toEqual([0, 0, 0]);
  expect(memory.superblock(C.SB_FLOW_RETIRED_COUNT)).toBe(0);
  expect(memory.superblock(C.SB_RETIRED_COUNT)).toBeLessThanOrEqual(1);
  expect(memory.superblock(C.SB_ARENA_USED)).toBe(usedBefore);
}

describe.each(BUILDS)('flow table, %s', (build) => {
  it(`does what a Map does, SEED=${SEED}`, async () => {
    const property = fc.asyncProperty(
      fc.commands(flowCommands, { maxCommands: COMMANDS, size: 'max' }),
      async (commands) => {
        await using datapath = await openDatapath({ build, flows: CAPACITY, arenaSize: 4 * 1048576 });
        datapath.memory.wasm.sortSubtables();
        const usedBefore = datapath.memory.superblock(C.SB_ARENA_USED);
        const real: Real = { datapath, masks: [], actions: [] };
        await fc.asyncModelRun(() => ({ model: new ModelTable(CAPACITY), real }), commands);
        for (const handle of [...real.masks, ...real.actions]) handle.release();
        datapath.flows.flush();
        expectEmpty(datapath, usedBefore);
      },
    );
    await fc.assert(property, { seed: SEED, numRuns: stepsOf(build, RUNS), endOnFailure: process.env.SHRINK !== '1' });
  });

  it(`holds thousands of flows of several masks, SEED=${SEED}`, async () => {
    await using datapath = await openDatapath({ build, flows: 20_000 });
    const random = new Random(SEED);
    const model = new ModelTable();
    const actions = Array.from({ length: 16 }, (_, port) => encodeActions([{ kind: 'output', port }]));
    const masks = [0, 1, 2, 3].map((i) =>
      new Uint8Array(C.KEY_SIZE).fill(255, C.KEY_IPV4_SRC, C.KEY_IPV4_DST + i).fill(1 << i, 575),
    );
    const used: { key: Uint8Array; mask: Uint8Array }[] = [];
    for (let step = 0; step < stepsOf(build, 40_000); step++) {
      if (used.length > 0 && random.oneIn(3)) {
        const { key, mask } = used.splice(random.below(used.length), 1)[0];
        expect(datapath.flows.delete({ key, mask })).toBe(true);
        model.delete(key, mask);
      } else {
        const key = new Uint8Array(C.KEY_SIZE);
        key.set(random.bytes(2), C.KEY_IPV4_SRC + 2);
        key[575] = random.below(256);
        const mask = random.pick(masks);
        const list = random.pick(actions);
        datapath.flows.put({ key, mask }, list);
        if (model.put(key, mask, list, 'either') === 'created') used.push({ key, mask });
      }
      if (step % 2000 === 0) expect(datapath.check()).toBe(0);
    }
    expect(datapath.flows.count).toBe(model.flows.size);
    expect(datapath.flows.masks).toBe(model.masks);
    for await (const flow of datapath.flows) {
      expect(Buffer.compare(flow.actionBytes, model.get(flow.key, flow.mask)!.actions)).toBe(0);
    }
    expect(datapath.check()).toBe(0);
    expect(datapath.flows.flush()).toBe(model.flows.size);
    expect(datapath.check()).toBe(0);
  });
});
