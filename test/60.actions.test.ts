/*
 * The action interpreter against the slow model: random packets and lists, in both builds. Frames that go out, the frame
 * left at the end, the drops counted, the descriptor and the key (against the extraction model on the final frame) must be
 * the model's. SEED sets the seed, CASES the number of random cases.
 */
import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import * as K from '../assembly/constants.ts';
import { type Action, applyActions, layoutOf, type ModelResult } from './reference/actions.ts';
import { referenceExtractAll } from './reference/extract.ts';
import { cases } from './support/action-cases.ts';
import { encodeActions } from './support/action-list.ts';
import { ActionsInstance, type Build, compileActions, type Executed } from './support/actions-wasm.ts';

const SEED = Number(process.env.SEED ?? Math.floor(Math.random() * 2147483647));
const CASES = Number(process.env.CASES ?? 20_000);

/** The debug build is slower, and checks more; a quarter of the cases are enough for it. */
function caseCount(build: Build): number {
  return build === 'debug' ? Math.ceil(CASES / 4) : CASES;
}

function hex(data: Uint8Array): string {
  return Buffer.from(data).toString('hex');
}

function eventText(events: readonly { kind: string; port?: number; reason?: number; frame?: Uint8Array }[]): string {
  return events
    .map(({ kind, port, reason, frame }) => `${kind} ${port ?? reason ?? ''} ${frame ? hex(frame) : ''}`)
    .join('\n');
}

function tagCount(frame: Uint8Array): number {
  let at = 12;
  while (frame.length >= at + 2 && [0x8100, 0x88a8].includes((frame[at]! << 8) | frame[at + 1]!)) at += 4;
  return (at - 12) / 4;
}

/** The key that extraction gives for the frame as it is now, with the marks that only actions set. */
function expectedKey(model: ModelResult): Uint8Array {
  const key = referenceExtractAll(model.frame, 7).key.slice();
  const view = new DataView(key.buffer);
  view.setUint32(K.KEY_SKB_PRIORITY, model.priority, true);
  view.setUint32(K.KEY_SKB_MARK, model.mark, true);
  return key;
}

function compare(got: Executed, model: ModelResult, cut: boolean): void {
  if (eventText(got.events) !== eventText(model.events)) expect(eventText(got.events)).toBe(eventText(model.events));
  if (hex(got.frame) !== hex(model.frame)) expect(hex(got.frame)).toBe(hex(model.frame));
  if (got.strayed) throw new Error('bytes outside of the buffer were written');
  if (cut || tagCount(model.frame) > 2) return;
  const wanted = expectedKey(model);
  if (hex(got.key) !== hex(wanted)) expect(hex(got.key)).toBe(hex(wanted));
  const { offsets } = referenceExtractAll(model.frame, 7);
  const offsetsGot = [got.l3, got.l4, got.mpls].join();
  const offsetsWanted = [offsets.l3, offsets.l4 ?? K.OFFSET_NONE, offsets.mpls ?? K.OFFSET_NONE].join();
  if (offsetsGot !== offsetsWanted) expect(offsetsGot).toBe(offsetsWanted);
}

describe.each<Build>(['debug', 'release'])('action interpreter, %s build', (build) => {
  let instance: ActionsInstance;
  beforeAll(async () => {
    instance = new ActionsInstance(await compileActions(build));
  });

  it(`does what the model does, ${caseCount(build)} random packets and lists, SEED=${SEED}`, () => {
    const seen = new Map<string, number>();
    const property = fc.property(cases, ({ frame, cut, headroom, actions }) => {
      const list = encodeActions(actions);
      expect(instance.validate(list)).toBe(0);
      const got = instance.execute(frame, list, headroom);
      const model = applyActions(frame, actions, headroom);
      compare(got, model, cut);
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

  it('counts a list that sends the packet nowhere as DROP_FLOW', () => {
    const frame = new Uint8Array(60);
    const lists: Action[][] = [[], [{ kind: 'popVlan' }], [{ kind: 'trunc', size: 20 }], [{ kind: 'drop' }]];
    for (const actions of lists) {
      const { events } = instance.execute(frame, encodeActions(actions), 0);
      expect(events).toEqual([{ kind: 'drop', reason: K.DROP_FLOW }]);
    }
  });

  it('stops at an action that cannot be applied, and counts DROP_ACTION', () => {
    const frame = new Uint8Array(60);
    const push: Action = { kind: 'pushVlan', tpid: 0x8100, tci: 0x1005 };
    const output: Action = { kind: 'output', port: 3 };
    const set: Action = { kind: 'set', field: 'ipv4', value: new Uint8Array(12), mask: new Uint8Array(12) };
    const drop = { kind: 'drop', reason: K.DROP_ACTION };
    expect(instance.execute(frame, encodeActions([push, output]), 3).events).toEqual([drop]);
    const { events } = instance.execute(frame, encodeActions([output, set, output]), 0);
    expect(events).toEqual([{ kind: 'output', port: 3, frame }, drop]);
  });

  it('flags what it changed', () => {
    const frame = new Uint8Array(60);
    const mark: Action = { kind: 'set', field: 'mark', value: Uint8Array.of(1, 2, 3, 4) };
    const eth: Action = { kind: 'set', field: 'ethernet', value: new Uint8Array(12).fill(9) };
    expect(instance.execute(frame, encodeActions([]), 0).flags).toBe(0);
    expect(instance.execute(frame, encodeActions([mark]), 0).flags).toBe(K.PACKET_FLAG_KEY_COLD);
    expect(instance.execute(frame, encodeActions([eth]), 0).flags).toBe(K.PACKET_FLAG_MODIFIED);
  });

  it('hands USERSPACE its own attributes, and keeps the wire size in step with tags', () => {
    const frame = new Uint8Array(60);
    const userdata = Uint8Array.of(1, 2, 3);
    const push: Action = { kind: 'pushVlan', tpid: 0x88a8, tci: 0x1005 };
    const got = instance.execute(frame, encodeActions([push, { kind: 'userspace', pid: 77, userdata }]), 4);
    const attributes = got.events.map((event) => (event.kind === 'userspace' ? hex(event.attributes) : ''));
    expect(attributes).toEqual(['080001004d0000000700020001020300']);
    expect(got.wireSize).toBe(64);
    expect(layoutOf(got.frame).l3).toBe(18);
  });
});
