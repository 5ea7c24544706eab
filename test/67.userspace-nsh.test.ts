/*
 * set_masked(nsh) beside Open vSwitch's userspace datapath, a dummy-mode ovs-vswitchd. Its text of the action cannot be read back by itself, so
 * flows of OpenFlow have it made: random set_field actions on NSH fields, whose packets the switch sends by the action that it composed. That
 * text, from its dump, is what our executor is given, on the same packets. SEED sets the seed.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { encodeActions, parseActions } from '../src/odp/index.ts';
import { SEED } from './support/datapath.ts';
import { DUMMY_DATAPATH, DummySwitch, whyNoDummySwitch } from './support/dummy-switch.ts';
import { Executor } from './support/executor.ts';
import { Random } from './support/frame-generator.ts';
import { be32, bytes, ethernet, nsh } from './support/layers.ts';

const CASES = 600;
const ETH_P_NSH = 0x894f;

const number = (random: Random): number => Buffer.from(random.bytes(4)).readUInt32LE(0);
const hexadecimal = (value: number): string => `0x${(value >>> 0).toString(16)}`;

/** A context word, half the time under a mask. */
function context(random: Random): string {
  const mask = random.oneIn(2) ? 0xffffffff : number(random) | 1;
  return `${hexadecimal(number(random) & mask)}/${hexadecimal(mask)}`;
}

const FIELDS: Record<string, (random: Random) => string> = {
  nsh_flags: (random) => String(random.below(4)),
  nsh_ttl: (random) => String(random.below(64)),
  nsh_spi: (random) => hexadecimal(random.below(2 ** 24)),
  nsh_si: (random) => String(random.below(256)),
  nsh_c1: context,
  nsh_c2: context,
  nsh_c3: context,
  nsh_c4: context,
};

interface NshCase {
  frame: Uint8Array;
  flow: string;
}

/** Case `n`, which its source address tells. Metadata of type 2 has no context words to set. */
function nshCase(random: Random, n: number): NshCase {
  const src = bytes(2, 0, be32(n));
  const type = random.oneIn(4) ? 2 : 1;
  const metadata = random.bytes(type === 1 ? 16 : 4 * (1 + random.below(4)));
  const head = { flags: random.below(4), ttl: random.below(64), type, next: 1 + random.below(5) };
  const frame = ethernet(ETH_P_NSH, nsh(head, metadata, random.bytes(random.below(40))), { src });
  const names = Object.keys(FIELDS).slice(0, type === 1 ? undefined : 4);
  const must = random.pick(names);
  const sets = names
    .filter((name) => name === must || random.oneIn(3))
    .map((name) => `set_field:${FIELDS[name]!(random)}->${name}`);
  return { frame, flow: `in_port=p1,dl_src=${macText(src)},dl_type=${ETH_P_NSH},actions=${sets.join(',')},output:p2` };
}

const macText = (address: Uint8Array): string => Buffer.from(address).toString('hex').replace(/..\B/g, '$&:');
const hex = (frame: Uint8Array): string => Buffer.from(frame).toString('hex');

describe.skipIf(whyNoDummySwitch())('set_masked(nsh) of a dummy ovs-vswitchd', () => {
  let dummy: DummySwitch;
  beforeAll(async () => {
    dummy = await DummySwitch.start();
  });
  afterAll(() => dummy.stop());

  /** Actions of the datapath's flows, by source address. */
  async function composed(): Promise<Map<string, string>> {
    const lines = (await dummy.call('dpctl/dump-flows', DUMMY_DATAPATH)).split('\n');
    const flows = lines
      .map((line) => /eth\(src=([0-9a-f:]+).* actions:(.*)$/.exec(line))
      .filter((found) => found !== null);
    return new Map(flows.map(([, source, actions]) => [source!, actions!]));
  }

  it(`is what our executor makes of the same text, ${CASES} packets, SEED=${SEED}`, async () => {
    const random = new Random(SEED);
    const cases = Array.from({ length: CASES }, (_, n) => nshCase(random, n));
    await dummy.openFlow(cases.map(({ flow }) => flow));
    const frames = cases.map(({ frame }) => frame);
    await dummy.receive('p1', frames);
    const missed = (await dummy.sent('p2')).map(hex);
    await dummy.receive('p1', frames);
    const hit = (await dummy.sent('p2')).slice(missed.length).map(hex);
    expect(hit).toEqual(missed);
    const actions = await composed();
    await using executor = await Executor.open();
    let sets = 0;
    const ours = frames.map((frame) => {
      const text = actions.get(macText(frame.subarray(6, 12)))!;
      if (text.includes('set(nsh(')) sets++;
      return hex(executor.execute(frame, encodeActions(parseActions(text))).frames[0]!.data);
    });
    executor.verify(CASES);
    expect(ours).toEqual(hit);
    expect(sets).toBeGreaterThan(CASES * 0.9);
    console.log(`67: ${CASES} packets with NSH, ${sets} with set(nsh), the same as the switch's`);
  });
});
