/*
 * Overload: what goes through when twice as much is offered as the datapath can carry. Its flow sends each packet COPIES times, so that a datapath on one core
 * can carry less than one core can offer. Before it: run.mjs. After it: `wdp run` with a rule of ours, whose polling thread is put on the core.
 *
 * The peak is looked for among shares of the generator's rate (which share gives which rate is not known before: frames that are not sent cost little).
 * Then the share of the peak and the one whose offer comes nearest to twice the peak are measured in turn, and their medians compared. Goodput is what
 * arrived at the sink, divided by the copies.
 */
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { WDP } from './contestants.mjs';
import {
  busiest,
  Child,
  command,
  FROM,
  makeLinks,
  receivedBy,
  removeLinks,
  SINK,
  startGenerator,
  TO,
  threadTimes,
} from './lab.mjs';

const COPIES = 6;
const STEP_S = 0.5;
const SETTLE_S = 0.2;
/** Percent of the generator's rate. */
const SHARES = [1, 2, 3, 4, 5, 6, 8, 10, 14, 20, 30, 50];
const OVERLOAD = 2;
const TURNS = 5;
/** Until the ports of `wdp run` are polled, after it said what it runs. */
const START_MS = 500;

async function offer(percent, setting) {
  const generator = startGenerator(setting, SETTLE_S + STEP_S + SETTLE_S, percent);
  try {
    await sleep(SETTLE_S * 1000);
    const count = () => ({ time: performance.now(), offered: receivedBy(FROM), forwarded: receivedBy(SINK) });
    const before = count();
    await sleep(STEP_S * 1000);
    const after = count();
    await generator.done;
    const seconds = (after.time - before.time) / 1000;
    const pps = (after.forwarded - before.forwarded) / COPIES / seconds;
    return { percent, offeredPps: (after.offered - before.offered) / seconds, pps };
  } finally {
    await generator.end();
  }
}

async function startDatapath(type, { folder, otherCore }) {
  const rules = path.join(folder, 'rules.txt');
  writeFileSync(rules, `in_port(1) actions:${Array(COPIES).fill('2').join(',')}\nactions:drop\n`);
  const ports = [FROM, TO].flatMap((name) => ['--port', `${name},type=${type}`]);
  const child = new Child(otherCore, process.execPath, [
    WDP,
    'run',
    ...ports,
    '--handler',
    `static:${rules}`,
    '--for',
    '60',
  ]);
  await child.said('ends after');
  await sleep(START_MS);
  return child;
}

const middle = (steps, field) => steps.map((step) => step[field]).toSorted((a, b) => a - b)[(steps.length - 1) >> 1];
const median = (steps) => ({ offeredPps: middle(steps, 'offeredPps'), pps: middle(steps, 'pps') });

/** { type, copies, peak, overloaded, ratio }: rates of whole packets. */
export async function runOverload(setting, type = 'afpacket') {
  makeLinks();
  const child = await startDatapath(type, setting);
  try {
    const before = threadTimes(child.pid);
    await offer(100, setting);
    command('taskset', '-pc', String(setting.core), busiest(before, threadTimes(child.pid)).id);
    const tried = [];
    for (const percent of SHARES) tried.push(await offer(percent, setting));
    const best = tried.reduce((most, step) => (step.pps > most.pps ? step : most));
    const farFrom = ({ offeredPps }) => Math.abs(offeredPps - OVERLOAD * best.pps);
    const twice = tried.reduce((nearest, step) => (farFrom(step) < farFrom(nearest) ? step : nearest));
    const peaks = [];
    const overloads = [];
    for (let turn = 0; turn < TURNS; turn++) {
      peaks.push(await offer(best.percent, setting));
      overloads.push(await offer(twice.percent, setting));
    }
    const peak = median(peaks);
    const overloaded = median(overloads);
    const text = `${Math.round(peak.pps)} at its peak, ${Math.round(overloaded.pps)} at ${Math.round(overloaded.offeredPps)} offered`;
    setting.say(`overload: ${text}`);
    return { type, copies: COPIES, peak, overloaded, ratio: overloaded.pps / peak.pps, tried };
  } finally {
    await child.end();
    removeLinks();
  }
}
