/*
 * What may be done to a flow table, as fast-check commands on a datapath and its model. After each step the datapath verifies all of its
 * own invariants.
 */
import fc from 'fast-check';
import { expect } from 'vitest';
import * as C from '../../assembly/constants.ts';
import { type ActionsHandle, type Datapath, DatapathError, type Flow, type MaskHandle } from '../../src/index.ts';
import { type ModelFlow, type ModelTable, masked, type PutMode } from '../reference/flow-table.ts';
import { encodeActions } from './action-list.ts';

export interface Real {
  datapath: Datapath;
  masks: MaskHandle[];
  actions: ActionsHandle[];
}

type Command = fc.AsyncCommand<ModelTable, Real>;

/** A few bytes all over the key, each with few values, so that flows meet, overlap and share masks. */
const PLACES = [
  ...[C.KEY_IN_PORT, C.KEY_ETH_DST, C.KEY_ETH_TYPE, C.KEY_IPV4_SRC + 3, C.KEY_TCP_FLAGS + 1, C.KEY_CVLAN_TPID + 1],
  ...[
    C.KEY_IPV6_SRC + 15,
    C.KEY_IPV6_DST,
    C.KEY_IPV6_LABEL + 3,
    C.KEY_ARP_SHA + 5,
    C.KEY_ARP_THA,
    C.KEY_ND_TARGET + 15,
  ],
  ...[C.KEY_SKB_MARK, C.KEY_CT_LABELS + 8, C.KEY_NSH_CONTEXT, C.KEY_TUN_ID + 7, C.KEY_TUN_DST + 3, C.KEY_TUN_OPTS],
  ...[C.KEY_TUN_OPTS + 255],
];

function bytesAt(list: readonly (readonly [number, number])[]): Uint8Array {
  const flat = new Uint8Array(C.KEY_SIZE);
  for (const [place, value] of list) flat[PLACES[place]] |= value;
  return flat;
}

const place = fc.nat(PLACES.length - 1);
const keyBytes = fc.array(fc.tuple(place, fc.constantFrom(1, 2, 3, 128)), { maxLength: 5 }).map(bytesAt);
const maskBytes = fc.array(fc.tuple(place, fc.constantFrom(1, 3, 128, 255)), { maxLength: 3 }).map(bytesAt);
/** Masks of one shape, so that some subtables have many flows. */
const fewMasks = fc
  .constantFrom<[number, number][]>(
    [[0, 255]],
    [[6, 255]],
    [
      [0, 255],
      [17, 255],
    ],
    [],
  )
  .map(bytesAt);
const match = fc.record({ key: keyBytes, mask: fc.oneof(fewMasks, maskBytes) });
const output = fc.nat(7).map((port) => ({ kind: 'output', port }) as const);
const actionBytes = fc.array(output, { maxLength: 3 }).map(encodeActions);

function expectFlow(flow: Flow | undefined, model: ModelFlow | undefined): void {
  expect(flow === undefined).toBe(model === undefined);
  if (flow === undefined || model === undefined) return;
  expect(Buffer.compare(flow.key, model.key), 'key').toBe(0);
  expect(Buffer.compare(flow.mask, model.mask), 'mask').toBe(0);
  expect(Buffer.compare(flow.actionBytes, model.actions), 'actions').toBe(0);
}

/** A command from what it does; the invariants are checked behind it. */
function command(name: string, run: (model: ModelTable, real: Real) => void | Promise<void>): Command {
  return {
    check: () => true,
    toString: () => name,
    async run(model, real) {
      await run(model, real);
      expect(real.datapath.check(), 'invariants').toBe(0);
      expect(real.datapath.flows.count).toBe(model.flows.size);
    },
  };
}

const short = (bytes: Uint8Array): string => {
  const set = [...bytes.entries()].filter(([, byte]) => byte !== 0);
  return `{${set.map(([at, byte]) => `${at}:${byte}`).join(' ')}}`;
};

const put = fc
  .record({ match, actions: actionBytes, mode: fc.constantFrom<PutMode>('create', 'modify', 'either', 'either') })
  .map(({ match: { key, mask }, actions, mode }) =>
    command(`put(${short(key)}/${short(mask)}, ${actions.length}, ${mode})`, (model, { datapath }) => {
      const wanted = model.put(key, mask, actions, mode);
      let code: string | undefined;
      try {
        datapath.flows.put({ key, mask }, actions, { create: mode === 'create', modify: mode === 'modify' });
      } catch (error) {
        if (!(error instanceof DatapathError)) throw error;
        code = error.code;
      }
      expect(code).toBe(wanted.startsWith('ERR_') ? wanted : undefined);
    }),
  );

const remove = match.map(({ key, mask }) =>
  command(`delete(${short(key)}/${short(mask)})`, (model, { datapath }) => {
    expect(datapath.flows.delete({ key, mask })).toBe(model.delete(key, mask));
  }),
);

/** Of those there are: by its position, so that deleting and replacing meet something. */
const touchExisting = fc
  .record({ position: fc.nat(63), actions: actionBytes, what: fc.constantFrom('delete', 'replace', 'get') })
  .map(({ position, actions, what }) =>
    command(`${what} the ${position}th`, (model, { datapath }) => {
      const flow = [...model.flows.values()][position % Math.max(1, model.flows.size)];
      if (flow === undefined) return;
      const { key, mask } = flow;
      if (what === 'delete') {
        model.delete(key, mask);
        expect(datapath.flows.delete({ key, mask })).toBe(true);
      } else if (what === 'replace') {
        model.put(key, mask, actions, 'modify');
        datapath.flows.put({ key, mask }, actions, { modify: true });
      }
      expectFlow(datapath.flows.get({ key, mask }), model.get(key, mask));
    }),
  );

const deleteWhere = match.map(({ key, mask }) =>
  command(`deleteWhere(${short(key)}/${short(mask)})`, (model, { datapath }) => {
    if (mask.every((byte) => byte === 0)) return;
    expect(datapath.flows.deleteWhere({ key, mask })).toBe(model.deleteWhere(key, mask));
  }),
);

const flush = fc.constant(
  command('flush', (model, { datapath }) => expect(datapath.flows.flush()).toBe(model.flush())),
);

const get = match.map(({ key, mask }) =>
  command(`get(${short(key)}/${short(mask)})`, (model, { datapath }) => {
    expectFlow(datapath.flows.get({ key, mask }), model.get(key, mask));
  }),
);

const lookup = keyBytes.map((key) =>
  command(`lookup(${short(key)})`, (model, { datapath }) => {
    const covering = model.covering(key);
    const flow = datapath.flows.lookup(key);
    expect(flow === undefined).toBe(covering.length === 0);
    if (flow === undefined) return;
    expect(Buffer.compare(masked(key, flow.mask), flow.key), 'covers the key').toBe(0);
    expectFlow(flow, model.get(flow.key, flow.mask));
  }),
);

const dump = fc.constant(
  command('dump', async (model, { datapath }) => {
    const seen = new Set<ModelFlow>();
    for await (const flow of datapath.flows) {
      const known = model.get(flow.key, flow.mask);
      expectFlow(flow, known);
      seen.add(known!);
    }
    expect(seen.size).toBe(model.flows.size);
  }),
);

const sort = fc.constant(
  command('sort', (model, { datapath }) => {
    datapath.memory.wasm.sortSubtables();
    expect(datapath.flows.masks).toBe(model.masks);
  }),
);

/** References of the host's own keep masks and lists alive behind the flows that use them. */
const hold = fc.record({ mask: fewMasks, actions: actionBytes }).map(({ mask, actions }) =>
  command('hold', (_, { datapath, masks, actions: lists }) => {
    masks.push(datapath.mask(mask));
    lists.push(datapath.actions(actions));
  }),
);

const letGo = fc.constant(
  command('let go', (_, { masks, actions }) => {
    masks.shift()?.release();
    actions.shift()?.release();
  }),
);

export const flowCommands: fc.Arbitrary<Command>[] = [
  ...[put, put, put, put, touchExisting, touchExisting, remove, get, lookup, lookup, deleteWhere],
  ...[dump, sort, hold, letGo, flush],
];
