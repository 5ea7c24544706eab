/*
 * The executor beside Open vSwitch's userspace datapath, a dummy-mode ovs-vswitchd: random packets with random lists go to both, and what comes
 * out of the port must be the same bytes, for what the kernel cannot do (set of ARP, ND and ICMP) and what both can. SEED sets the seed,
 * USERSPACE_CASES the number of cases.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { encodeActions, parseActions } from '../src/odp/index.ts';
import { DummySwitch, whyNoDummySwitch } from './support/dummy-switch.ts';
import { Executor } from './support/executor.ts';
import { Random } from './support/frame-generator.ts';
import { caseOf, type UserspaceCase, userspaceCase } from './support/userspace-cases.ts';

const SEED = Number(process.env.SEED ?? Math.floor(Math.random() * 4294967296));
const CASES = Number(process.env.USERSPACE_CASES ?? 3_000);
const DROPPED = 20;
const DIFFERENCES_SHOWN = 5;

const hex = (data: Uint8Array | undefined): string =>
  data === undefined ? 'nothing' : Buffer.from(data).toString('hex');

describe.skipIf(whyNoDummySwitch())('a dummy ovs-vswitchd', () => {
  let dummy: DummySwitch;
  beforeAll(async () => {
    dummy = await DummySwitch.start();
  });
  afterAll(() => dummy.stop());

  /** By number of the case. */
  async function theirs(cases: readonly UserspaceCase[]): Promise<Map<number, Uint8Array>> {
    await dummy.addFlows(cases.map(({ key, actions }) => `in_port(1),packet_type(ns=0,id=0),${key} ${actions}`));
    await dummy.receive(
      'p1',
      cases.map(({ frame }) => frame),
    );
    return new Map((await dummy.sent('p2')).map((frame) => [caseOf(frame), frame]));
  }

  it(`sends what we send, ${CASES} cases, SEED=${SEED}`, async () => {
    const random = new Random(SEED);
    const cases = Array.from({ length: CASES }, (_, n) => userspaceCase(random, n));
    const sent = await theirs(cases);
    await using executor = await Executor.open();
    const differences: string[] = [];
    const compared = new Map<string, number>();
    for (const [n, { kind, frame, actions }] of cases.entries()) {
      const list = encodeActions(parseActions(actions));
      const ours = executor.execute(frame, list).frames[0]?.data;
      compared.set(kind, (compared.get(kind) ?? 0) + 1);
      if (hex(ours) !== hex(sent.get(n))) {
        differences.push(`${kind} ${actions}\n  of ${hex(frame)}\n  we ${hex(ours)}\n they ${hex(sent.get(n))}`);
      }
    }
    console.log(`67: ${CASES} cases, ${sent.size} frames from the switch, ${differences.length} differences`);
    expect(differences.slice(0, DIFFERENCES_SHOWN)).toEqual([]);
    expect(sent.size).toBeGreaterThan(CASES / 2);
    for (const [kind, count] of compared) expect(count, kind).toBeGreaterThan(CASES / 50);
    executor.verify(CASES);
  });

  it('counts outputs to a port that does not exist as often as we do', async () => {
    const random = new Random(SEED);
    await using executor = await Executor.open();
    const lists = [
      '9',
      '2,9',
      '9,9',
      'clone(9),2',
      'trunc(20),9,2',
      'check_pkt_len(size=20,gt(9),le(2))',
      'sample(sample=100%,actions(9))',
    ];
    const counter = async (): Promise<number> =>
      Number(await dummy.call('coverage/read-counter', 'datapath_drop_invalid_port'));
    for (const [n, actions] of lists.entries()) {
      const { frame, key } = userspaceCase(random, CASES + n);
      const before = await counter();
      await theirs([{ kind: '', frame, key, actions }]);
      const { drops } = executor.execute(frame, encodeActions(parseActions(actions)));
      expect(drops.noPort, actions).toBe((await counter()) - before);
    }
  });

  it('counts a drop that a flow asks for as often as we do, and sends nothing', async () => {
    const random = new Random(SEED);
    await using executor = await Executor.open();
    const list = encodeActions([{ type: 'drop', reason: 0 }]);
    const counter = async (): Promise<number> =>
      Number(await dummy.call('coverage/read-counter', 'drop_action_of_pipeline'));
    const [dropped, sent] = [await counter(), (await dummy.sent('p2')).length];
    const before = executor.datapath.stats().explicitDrops[0]!;
    for (let n = 0; n < DROPPED; n++) {
      const { frame, key } = userspaceCase(random, 2 * CASES + n);
      await theirs([{ kind: '', frame, key, actions: 'drop' }]);
      expect(executor.execute(frame, list)).toMatchObject({ frames: [], upcalls: [], drops: { explicit: 1 } });
    }
    const ours = executor.datapath.stats().explicitDrops[0]! - before;
    expect(ours).toBe((await counter()) - dropped);
    expect(ours).toBe(DROPPED);
    expect((await dummy.sent('p2')).length).toBe(sent);
    executor.verify(DROPPED);
  });
});
