/*
 * Messages to the real openvswitch.ko and to the WASM kernel: requests of every family, in order and bent in every part, recorded sessions of ovs-dpctl and
 * ovs-vswitchd, random sequences with packets between. What comes back to every socket (replies, errnos, extended acknowledgements, notifications,
 * upcalls, dumps) and what leaves through every device must be the same bytes, but for the fields of canonical.ts. The kernel is in a
 * virtual machine (kernel-vm/replay.c).
 *
 * Where we differ on purpose, known.ts says how to tell and why; each is counted and the counts are printed.
 *
 * SEED sets the seed of the random sequences, SEQUENCES their number.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { whyNoKernel } from './kernel-vm/kernel.ts';
import { replayOnKernel } from './kernel-vm/replay.ts';
import { type Account, compare, type Difference, describeDifference, kindOf } from './support/conformance/compare.ts';
import { allScenarios } from './support/conformance/corpus.ts';
import { KNOWN, reasonFor } from './support/conformance/known.ts';
import type { Observed } from './support/conformance/observation.ts';
import { replayOnOurs } from './support/conformance/ours.ts';
import { type Compared, counted, tally } from './support/conformance/summary.ts';
import { BUILDS } from './support/datapath.ts';

const SEED = Number(process.env.SEED ?? Math.floor(Math.random() * 4294967296));
const SEQUENCES = Number(process.env.SEQUENCES ?? 60);
const LENGTH = 60;
const MESSAGES_MIN = 5_000;
const DIFFERENCES_SHOWN = 8;

const SETS = allScenarios({ seed: SEED, count: SEQUENCES, length: LENGTH });

function countBy(values: string[]): string[] {
  const counts = new Map<string, number>();
  for (const value of values) counts.set(value, (counts.get(value) ?? 0) + 1);
  return [...counts].sort(([, a], [, b]) => b - a).map(([value, count]) => `${count} ${value}`);
}

function failOn(differences: Difference[]): void {
  if (differences.length === 0) return;
  const kinds = countBy(differences.map(kindOf)).slice(0, DIFFERENCES_SHOWN).join('\n');
  const shown = differences.slice(0, DIFFERENCES_SHOWN).map(describeDifference).join('\n');
  expect.fail(`${differences.length} differences\n${kinds}\n${shown}`);
}

/** What follows a difference that is known can be compared, unless it follows from it. */
function goesOn(difference: Difference): boolean {
  const known = reasonFor(difference);
  return known !== undefined && !known.isLasting;
}

describe('the kernel and ours, message by message', () => {
  let reason: string | undefined;
  let kernel: Observed;
  let compared = 0;
  const lines: string[] = [];
  const reasons = new Set<string>();

  beforeAll(async () => {
    reason = whyNoKernel();
    if (reason !== undefined) return;
    const { summary, ...observed } = await replayOnKernel(Object.values(SETS).flat());
    kernel = observed;
    lines.push(`seed ${SEED}, ${summary}`);
  });

  afterAll(() => {
    if (lines.length > 0) console.log(lines.join('\n'));
  });

  function tell(name: string, account: Account): Compared {
    const known = account.differences.map((one) => reasonFor(one)?.why).filter((why) => why !== undefined);
    for (const why of known) reasons.add(why);
    const { scenarios, received, passedOver } = account;
    const behind = passedOver === 0 ? '' : `, ${passedOver} behind a lasting difference`;
    const unexplained = account.differences.length - known.length;
    const what = 'messages and frames';
    const compared = { what, count: account.compared, back: received, explained: tally(known), unexplained };
    lines.push(`${name}: ${scenarios} scenarios${behind}, ${counted(compared)}`);
    return compared;
  }

  for (const build of BUILDS) {
    let first = 0;
    for (const [name, scenarios] of Object.entries(SETS)) {
      const start = first;
      first += scenarios.length;
      it(`say the same: ${name}, ${build}`, ({ skip, task }) => {
        skip(reason !== undefined, reason);
        const observations = kernel.observations.slice(start, start + scenarios.length);
        const ours = replayOnOurs(build, scenarios);
        const account = compare(scenarios, { ...kernel, observations }, ours, goesOn);
        if (build === BUILDS[0]) {
          compared += account.compared;
          task.meta.compared = tell(name, account);
        }
        failOn(account.differences.filter((one) => reasonFor(one) === undefined));
      });
    }
  }

  it('are enough messages, and every difference that is meant occurs', ({ skip }) => {
    skip(reason !== undefined, reason);
    expect(compared).toBeGreaterThan(MESSAGES_MIN);
    const never = KNOWN.map(({ why }) => why).filter((why) => !reasons.has(why));
    // whether the random flows have such a tuple is a matter of the seed
    expect(never.filter((why) => !why.includes('connection tuple'))).toEqual([]);
  });
});
