/*
 * HASH and set(dp_hash) beside others. Which packets get the same number: symmetric, as by the hash of this machine's kernel that the action
 * of newer kernels takes (seen by the fanout of packet sockets); L4, as in openvswitch.ko in the virtual machine. The numbers
 * themselves are everybody's own. What set(dp_hash) makes of a number: as in Open vSwitch's userspace datapath, where each bit of it is seen by
 * a flow that matches this bit alone. SEED sets the seed.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import * as C from '../assembly/constants.ts';
import { encodeActions, parseActions } from '../src/odp/index.ts';
import { KERNEL_UPCALL_PID, kernelExecute, kernelTransact, whyNoKernel } from './kernel-vm/kernel.ts';
import { parseAttributes } from './reference/flow-attributes.ts';
import { readUpcall } from './reference/upcall-message.ts';
import { attribute, concat, le32 } from './support/action-list.ts';
import { chanceOf } from './support/binomial.ts';
import { SEED } from './support/datapath.ts';
import { DummySwitch, whyNoDummySwitch } from './support/dummy-switch.ts';
import { Executor } from './support/executor.ts';
import { FANOUT_MEMBERS, fanout, whyNoFanout } from './support/fanout.ts';
import { Random } from './support/frame-generator.ts';
import { hashPairs } from './support/hash-cases.ts';
import { be32 } from './support/layers.ts';

const PACKETS = 5;
const SETS = 300;
const DP_HASH = 19;
/** Of a count that is chance, how improbable it may be. */
const IMPROBABLE = 1e-9;

const PAIRS = hashPairs(SEED, PACKETS);
const FRAMES = PAIRS.flatMap(({ frames }) => frames);

/** The dp_hash that a list leaves, of each case. */
async function ours(cases: readonly { frame: Uint8Array; actions: string }[]): Promise<number[]> {
  await using executor = await Executor.open();
  const found = cases.map(({ frame, actions }) => {
    const { key } = executor.execute(frame, encodeActions(parseActions(actions)));
    return Buffer.from(key).readUInt32LE(C.KEY_DP_HASH);
  });
  executor.verify(cases.length);
  return found;
}

const hashes = (actions: string): Promise<number[]> => ours(FRAMES.map((frame) => ({ frame, actions })));

/** Names of the pairs that only one of the two tells apart, `extra` ours and `missing` theirs, with how many agree. */
function compare(mine: readonly number[], theirs: readonly number[]) {
  const result = { same: 0, different: 0, extra: [] as string[], missing: [] as string[] };
  for (const [index, { name }] of PAIRS.entries()) {
    const [weSame, theySame] = [mine, theirs].map((numbers) => numbers[2 * index] === numbers[2 * index + 1]);
    if (weSame !== theySame) (theySame ? result.extra : result.missing).push(name);
    else if (weSame) result.same++;
    else result.different++;
  }
  return result;
}

it(`is as symmetric as the kernel's hash, ${PAIRS.length} pairs, SEED=${SEED}`, async ({ skip }) => {
  const reason = whyNoFanout();
  skip(reason !== undefined, reason);
  const { same, different, extra, missing } = compare(await hashes('hash(sym_l4(7))'), await fanout(FRAMES));
  console.log(`65: symmetric hash, ${same} pairs the same to both, ${different} different, ${extra.length} by chance`);
  expect(missing).toEqual([]);
  expect(chanceOf(extra.length, extra.length + different, 1 / FANOUT_MEMBERS), extra.join()).toBeGreaterThan(
    IMPROBABLE,
  );
  expect(Math.min(same, different)).toBeGreaterThan(PAIRS.length / 4);
});

it(`tells apart what the kernel's datapath does, ${PAIRS.length} pairs, SEED=${SEED}`, async ({ skip }) => {
  const reason = whyNoKernel();
  skip(reason !== undefined, reason);
  const upcall = attribute(2, attribute(1, le32(KERNEL_UPCALL_PID)));
  const list = concat(encodeActions(parseActions('hash(l4(7))')), upcall);
  const results = await kernelTransact(FRAMES.map((frame) => kernelExecute(frame, list)));
  const theirs = results.map(({ upcalls }) => {
    const hash = parseAttributes(readUpcall(upcalls[0]).key!).find(({ type }) => type === DP_HASH)!;
    return Buffer.from(hash.payload).readUInt32LE(0);
  });
  const { same, different, extra, missing } = compare(await hashes('hash(l4(7))'), theirs);
  const [directions, tagged] = [extra.length, missing.length];
  console.log(
    `65: L4 hash, ${same} pairs the same to both, ${different} different, ${directions + tagged} as documented`,
  );
  expect(
    extra.filter((name) => !/ (reverse|addresses crossed)$/.test(name)),
    'extra',
  ).toEqual([]);
  expect(
    missing.filter((name) => !/ tag$/.test(name)),
    'missing',
  ).toEqual([]);
  expect(Math.min(same, different)).toBeGreaterThan(PAIRS.length / 4);
});

describe.skipIf(whyNoDummySwitch())('beside a dummy ovs-vswitchd', () => {
  const PLANES = 32;
  const FIRST_RECIRC_ID = 1000;
  const ETHERNET = 'in_port(1),packet_type(ns=0,id=0)';
  const NETWORKS: Record<number, string> = {
    2048: 'eth_type(0x0800),ipv4()',
    34525: 'eth_type(0x86dd),ipv6()',
  };
  let dummy: DummySwitch;
  beforeAll(async () => {
    dummy = await DummySwitch.start();
  });
  afterAll(() => dummy.stop());

  /** A packet of each case goes round once for each bit, and leaves with the bit's number as its tag where the bit is set. */
  async function theirs(cases: readonly { frame: Uint8Array; actions: string }[]): Promise<number[]> {
    const planes = Array.from({ length: PLANES }, (_, bit) => bit);
    const rounds = planes.map((bit) => `recirc(${FIRST_RECIRC_ID + bit})`).join(',');
    const flows = planes.flatMap((bit) =>
      Object.values(NETWORKS).flatMap((network) => {
        const recirc = `recirc_id(${FIRST_RECIRC_ID + bit})`;
        const mask = `0x${(2 ** bit).toString(16)}`;
        return [
          `${recirc},dp_hash(${mask}/${mask}),${ETHERNET},eth(),${network} push_vlan(vid=${bit},pcp=0),2`,
          `${recirc},dp_hash(0/${mask}),${ETHERNET},eth(),${network} drop`,
        ];
      }),
    );
    const frames = cases.map(({ frame, actions }, number) => {
      const numbered = Buffer.from(frame);
      numbered.set([2, 0, ...be32(number)], 6);
      const source = numbered.subarray(6, 12).toString('hex').replace(/..\B/g, '$&:');
      const network = NETWORKS[numbered.readUInt16BE(12)]!;
      flows.push(`recirc_id(0),${ETHERNET},eth(src=${source}),${network} ${actions},${rounds}`);
      return numbered;
    });
    await dummy.addFlows(flows);
    await dummy.receive('p1', frames, 1 + PLANES);
    const found = new Array<number>(cases.length).fill(0);
    for (const frame of await dummy.sent('p2')) {
      const at = Buffer.from(frame);
      found[at.readUInt32BE(8)]! += 2 ** (at.readUInt16BE(14) & 0xfff);
    }
    return found;
  }

  const number = (random: Random): number => Buffer.from(random.bytes(4)).readUInt32LE(0);

  function setDpHash(random: Random): string {
    const mask = random.oneIn(3) ? 0xffffffff : (number(random) | 1) >>> 0;
    const value = (number(random) & mask) >>> 0;
    return `set(dp_hash(0x${value.toString(16)}/0x${mask.toString(16)}))`;
  }

  it(`sets dp_hash to the same, ${SETS} lists, SEED=${SEED}`, async () => {
    const random = new Random(SEED);
    const untagged = FRAMES.filter((frame) => NETWORKS[Buffer.from(frame).readUInt16BE(12)] !== undefined);
    const cases = Array.from({ length: SETS }, () => {
      const actions = Array.from({ length: 1 + random.below(3) }, () => setDpHash(random)).join(',');
      return { frame: random.pick(untagged), actions };
    });
    const text = (found: readonly number[]) => found.map((hash, n) => `${cases[n]!.actions}: ${hash.toString(16)}`);
    expect(text(await ours(cases))).toEqual(text(await theirs(cases)));
    console.log(`65: ${SETS} lists of set(dp_hash), the same as the switch's`);
  });
});
