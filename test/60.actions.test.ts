/*
 * The action interpreter against the slow model: random packets and lists, in both builds. Frames that go out, upcalls, the frame left at
 * the end, the drops, the descriptor and the key (against the extraction model on the final frame) must be the model's. SEED sets the seed,
 * CASES the number of random cases. What the model does not know is compared with the kernel (64).
 */
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import * as K from '../assembly/constants.ts';
import { OWN_PORT_ID } from '../src/kernel/client.ts';
import type { WasmBuild } from '../src/wasm/load.ts';
import { type Action, applyActions, layoutOf, type ModelEvent, type ModelResult } from './reference/actions.ts';
import { referenceExtractAll } from './reference/extract.ts';
import { readUpcall } from './reference/upcall-message.ts';
import { cases, HELD_PIDS } from './support/action-cases.ts';
import { encodeActions } from './support/action-list.ts';
import { BUILDS } from './support/datapath.ts';
import { Executor, type Outcome, PORTS } from './support/executor.ts';

const SEED = Number(process.env.SEED ?? Math.floor(Math.random() * 2147483647));
const CASES = Number(process.env.CASES ?? 20_000);

/** The debug build is slower, and checks more; a quarter of the cases are enough for it. */
function caseCount(build: WasmBuild): number {
  return build === 'debug' ? Math.ceil(CASES / 4) : CASES;
}

function hex(data: Uint8Array): string {
  return Buffer.from(data).toString('hex');
}

/** What left, by place and in order there; then the drops. */
function eventText(events: readonly ModelEvent[]): string {
  const sent = PORTS.flatMap((port) => events.filter((event) => event.kind === 'output' && event.port === port));
  const upcalls = events.filter(({ kind }) => kind === 'userspace');
  const lines = [...sent, ...upcalls].map((event) => `${event.kind} ${'frame' in event ? hex(event.frame) : ''}`);
  const drops = events.flatMap((event) => (event.kind === 'drop' ? [event.reason] : []));
  return [...lines, ...drops].join('\n');
}

function eventsOf({ frames, upcalls, drops }: Outcome): ModelEvent[] {
  return [
    ...frames.map(({ port, data }) => ({ kind: 'output', port, frame: data }) as const),
    ...upcalls.map((message) => ({ kind: 'userspace', frame: readUpcall(message).packet! }) as const),
    ...Object.keys(drops).map((reason) => ({ kind: 'drop', reason: reason as 'flow' }) as const),
  ];
}

/** The key that extraction gives for the frame as it is now, with the marks that only actions set. */
function expectedKey(model: ModelResult): Uint8Array {
  const key = referenceExtractAll(model.frame, 7).key.slice();
  const view = new DataView(key.buffer);
  view.setUint32(K.KEY_SKB_PRIORITY, model.priority, true);
  view.setUint32(K.KEY_SKB_MARK, model.mark, true);
  return key;
}

function compare(got: Outcome, model: ModelResult, cut: boolean): void {
  const events = eventsOf(got);
  if (eventText(events) !== eventText(model.events)) expect(eventText(events)).toBe(eventText(model.events));
  if (hex(got.frame) !== hex(model.frame)) expect(hex(got.frame)).toBe(hex(model.frame));
  if (got.strayed) throw new Error('bytes outside of the buffer were written');
  if (cut || got.flags & K.PACKET_FLAG_KEY_STALE) return;
  const wanted = expectedKey(model);
  if (hex(got.key) !== hex(wanted)) expect(hex(got.key)).toBe(hex(wanted));
  const { offsets } = referenceExtractAll(model.frame, 7);
  expect(got.offsets).toEqual([offsets.l3, offsets.l4 ?? K.OFFSET_NONE, offsets.mpls ?? K.OFFSET_NONE]);
}

describe.each(BUILDS)('action interpreter, %s build', (build) => {
  let executor: Executor;
  let executed = 0;
  beforeAll(async () => {
    executor = await Executor.open({ build });
  });
  afterAll(() => executor.datapath.close());

  function execute(frame: Uint8Array, actions: readonly Action[], headroom = 0): Outcome {
    executed++;
    return executor.execute(frame, encodeActions(actions), { headroom, inPort: 7 });
  }

  it(`does what the model does, ${caseCount(build)} random packets and lists, SEED=${SEED}`, () => {
    const seen = new Map<string, number>();
    const property = fc.property(cases, ({ frame, cut, headroom, actions }) => {
      compare(execute(frame, actions, headroom), applyActions(frame, actions, headroom, HELD_PIDS), cut);
      for (const action of actions) {
        const name = action.kind === 'set' ? `set ${action.field}` : action.kind;
        seen.set(name, (seen.get(name) ?? 0) + 1);
      }
    });
    fc.assert(property, { seed: SEED, numRuns: caseCount(build) });
    for (const name of ['set ipv4', 'set ipv6', 'set sctp', 'set mpls', 'pushVlan', 'popVlan', 'trunc', 'userspace']) {
      expect(seen.get(name), name).toBeGreaterThan(caseCount(build) / 100);
    }
  });

  it('counts a list that sends the packet nowhere', () => {
    const frame = new Uint8Array(60);
    for (const actions of [[], [{ kind: 'popVlan' }], [{ kind: 'trunc', size: 20 }]] as Action[][]) {
      expect(execute(frame, actions).drops).toEqual({ flow: 1 });
    }
    expect(execute(frame, [{ kind: 'drop' }]).drops).toEqual({ explicit: 1 });
  });

  it('stops at an action that cannot be applied', () => {
    const frame = new Uint8Array(60);
    const push: Action = { kind: 'pushVlan', tpid: 0x8100, tci: 0x1005 };
    const output: Action = { kind: 'output', port: 3 };
    const set: Action = { kind: 'set', field: 'ipv4', value: new Uint8Array(12), mask: new Uint8Array(12) };
    expect(execute(frame, [push, output], 3)).toMatchObject({ frames: [], drops: { action: 1 } });
    const { frames, drops } = execute(frame, [output, set, output]);
    expect({ frames, drops }).toEqual({ frames: [{ port: 3, data: frame }], drops: { action: 1 } });
  });

  it('moves a packet without headroom when there is tailroom', () => {
    const frame = Uint8Array.from({ length: 60 }, (_, i) => i);
    const push: Action = { kind: 'pushVlan', tpid: 0x8100, tci: 0x1005 };
    executed++;
    const list = encodeActions([push, push, { kind: 'output', port: 1 }]);
    const { frames, strayed } = executor.execute(frame, list, { headroom: 1, tailroom: 7 });
    const tag = [0x81, 0x00, 0x00, 0x05];
    expect([...frames[0].data]).toEqual([...frame.subarray(0, 12), ...tag, ...tag, ...frame.subarray(12)]);
    expect(strayed).toBe(false);
    executed++;
    expect(executor.execute(frame, list, { headroom: 1, tailroom: 6 }).drops).toEqual({ action: 1 });
  });

  it('flags what it changed', () => {
    const frame = new Uint8Array(60);
    const mark: Action = { kind: 'set', field: 'mark', value: Uint8Array.of(1, 2, 3, 4) };
    const eth: Action = { kind: 'set', field: 'ethernet', value: new Uint8Array(12).fill(9) };
    const push: Action = { kind: 'pushVlan', tpid: 0x8100, tci: 0x1005 };
    expect(execute(frame, [eth]).flags).toBe(0);
    expect(execute(frame, [mark]).flags).toBe(K.PACKET_FLAG_KEY_COLD);
    expect(execute(frame, [push], 8).flags).toBe(0);
    expect(execute(frame, [push, push], 8).flags).toBe(K.PACKET_FLAG_KEY_STALE);
  });

  it('gives USERSPACE its own attributes, and keeps the wire size in step with tags', () => {
    const frame = new Uint8Array(60);
    const userdata = Uint8Array.of(1, 2, 3);
    const push: Action = { kind: 'pushVlan', tpid: 0x88a8, tci: 0x1005 };
    const got = execute(frame, [push, { kind: 'userspace', pid: OWN_PORT_ID, userdata }], 4);
    expect(got.upcalls.map((message) => [...readUpcall(message).userdata!])).toEqual([[1, 2, 3]]);
    expect(got.wireSize).toBe(64);
    expect(layoutOf(got.frame).l3).toBe(18);
  });

  it('accounts for every packet of this file', () => {
    executor.verify(executed);
  });
});
