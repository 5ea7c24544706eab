/*
 * Overload: what goes through of flows that are known when twice as much is offered as the datapath can carry, and when packets of new flows come on top. Its
 * flow sends each packet COPIES times, so that a datapath on one core can carry less than one core can offer; what is new is decided, given a flow
 * of its own, and dropped, so that only known flows arrive at the sink. Before it: run.mjs. After it: `wdp run` with rules of ours, whose polling thread is
 * put on the core.
 *
 * What it can carry at most is looked for first. Then windows at that load, at twice the load, and at that with new flows follow each other closely, and what is
 * compared is neighbours: a machine may be faster or slower a few seconds later. Medians of all turns.
 */
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { WDP } from './contestants.mjs';
import {
  busiest,
  Child,
  command,
  countWindow,
  FROM,
  makeLinks,
  removeLinks,
  startGenerator,
  TO,
  threadTimes,
} from './lab.mjs';
import { median, spread } from './statistics.mjs';

const COPIES = 6;
const STEP_S = 0.4;
const SETTLE_S = 0.2;
/** Of what arrives when as much is offered as can be: loads among which the one is looked for at which most arrives. */
const LOADS = [0.8, 0.9, 1, 1.1, 1.25, 1.5];
const OVERLOAD = 2;
/** Packets of new flows, a second. */
const FRESH_PPS = 100_000;
const TURNS = 7;
/** Until the ports of `wdp run` are polled, after it said what it runs. */
const START_MS = 500;
/** The first rule decides nothing here, but for its sake every flow matches the ports exactly. */
const RULES = `priority=2 in_port(1),eth_type(0x0800),ipv4(proto=17),udp(src=9,dst=9) actions:drop
priority=1 in_port(1),eth_type(0x0800),ipv4(proto=17),udp(dst=4789) actions:${Array(COPIES).fill('2').join(',')}
idle=1s actions:drop
`;

/** What came, and what arrived of known flows, in whole packets a second. */
async function offer(load, setting) {
  const generator = startGenerator(setting, SETTLE_S + STEP_S + SETTLE_S, load);
  try {
    await sleep(SETTLE_S * 1000);
    const { seconds, offered, forwarded } = await countWindow(STEP_S);
    await generator.done;
    return { offeredPps: offered / seconds, pps: forwarded / COPIES / seconds };
  } finally {
    await generator.end();
  }
}

async function startDatapath(type, { folder, otherCore }) {
  const rules = path.join(folder, 'rules.txt');
  writeFileSync(rules, RULES);
  const ports = [FROM, TO].flatMap((name) => ['--port', `${name},type=${type}`]);
  const args = [WDP, 'run', ...ports, '--handler', `static:${rules}`, '--for', '90'];
  const child = new Child(otherCore, process.execPath, args);
  await child.said('ends after');
  await sleep(START_MS);
  return child;
}

/** The load at which most arrives, twice what arrives then, and that with new flows. */
async function findLoads(setting) {
  const most = await offer({}, setting);
  let best = { pps: 0 };
  for (const factor of LOADS) {
    const rate = Math.round(factor * most.pps);
    const step = { rate, ...(await offer({ rate }, setting)) };
    if (step.pps > best.pps) best = step;
  }
  const twice = { rate: Math.round(OVERLOAD * best.pps) };
  return { peak: { rate: best.rate }, twice, fresh: { ...twice, fresh: FRESH_PPS } };
}

/** { type, copies, peak, twice, fresh }: of each load, whole packets offered and arrived, a second, and `ratio`, of the goodput of the same turn's peak. */
export async function runOverload(setting, type = 'afpacket') {
  makeLinks();
  const child = await startDatapath(type, setting);
  try {
    const before = threadTimes(child.pid);
    await offer({}, setting);
    command('taskset', '-pc', String(setting.core), busiest(before, threadTimes(child.pid)).id);
    const loads = Object.entries(await findLoads(setting));
    const turns = [];
    for (let turn = 0; turn < TURNS; turn++) {
      const measured = {};
      for (const [name, load] of turn % 2 === 0 ? loads : loads.toReversed())
        measured[name] = await offer(load, setting);
      turns.push(measured);
    }
    const summary = ([name]) => {
      const middle = (field) => median(turns.map((turn) => turn[name][field]));
      const ratio = spread(turns.map((turn) => turn[name].pps / turn.peak.pps));
      return [name, { offeredPps: middle('offeredPps'), pps: middle('pps'), ratio }];
    };
    const result = {
      type,
      copies: COPIES,
      freshPps: FRESH_PPS,
      turns: TURNS,
      ...Object.fromEntries(loads.map(summary)),
    };
    const percent = ({ ratio }) => `${Math.round(100 * ratio.median)} %`;
    setting.say(
      `overload: ${percent(result.twice)} of the peak at twice the load, ${percent(result.fresh)} with new flows`,
    );
    return result;
  } finally {
    await child.end();
    removeLinks();
  }
}
