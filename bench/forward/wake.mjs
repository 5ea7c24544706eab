/*
 * Waking up: how long a frame takes from wire to wire when the forwarder slept before it, what the forwarder costs while nothing comes, and what a frame costs that
 * comes alone. Before it: run.mjs. After it: stopwatch.c; `wdp run` with a static rule, and the C forwarder that sleeps in epoll_wait(2), which is the limit:
 * what is in its time is the kernel's, and that of a processor which has to be woken.
 *
 * Each forwarder is on one core with all its threads, the stopwatch on another. In turn, every second round backwards; of all frames of all rounds the
 * middle one, and that which a tenth takes longer than.
 */
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { WDP } from './contestants.mjs';
import { Child, FROM, makeLinks, removeLinks, SENDER, SINK, TO, threadTimes } from './lab.mjs';
import { quantile } from './statistics.mjs';

const PAUSE_US = 15_000;
/** A second. */
const FRAMES = 100;
/** So many times as long a forwarder that has begun is left alone before it is measured: what its start had to do is done then. */
const SETTLE = 2;
/** Each of two frames, which are given up after a tenth of a second. */
const ATTEMPTS = 100;

const plainC = (type) => ({
  start: ({ forwarder, core }) => new Child(core, forwarder, [FROM, TO, type, 'asleep']),
  ready: 'ready',
});

/** `workers` 0: the main thread forwards, from its event loop. */
const ours = (type, workers) => ({
  start({ folder, core }) {
    const rules = path.join(folder, 'wake.txt');
    writeFileSync(rules, 'in_port(1) actions:2\n');
    const ports = [FROM, TO].flatMap((name) => ['--port', `${name},type=${type}`]);
    const options = [
      '--handler',
      `static:${rules}`,
      '--idle-timeout',
      '0',
      '--workers',
      String(workers),
      '--for',
      '90',
    ];
    return new Child(core, process.execPath, [WDP, 'run', ...ports, ...options]);
  },
  ready: 'ends after',
});

const FORWARDERS = Object.fromEntries(
  ['afpacket', 'afxdp'].flatMap((type) => [
    [`plain C, ${type}`, plainC(type)],
    [`${type}, a worker`, ours(type, 1)],
    [`${type}, no worker`, ours(type, 0)],
  ]),
);

const spentNs = (child) => [...threadTimes(child.pid).values()].reduce((sum, { ns }) => sum + ns, 0);

/** Processor time of all its threads while something is done: ns, and the share of one core that they had. */
async function spentWhile(child, action) {
  const before = { ns: spentNs(child), ms: performance.now() };
  const result = await action();
  const ns = spentNs(child) - before.ns;
  return { result, ns, load: ns / ((performance.now() - before.ms) * 1e6) };
}

async function timeFrames({ otherCore, stopwatch }, frames, pauseUs) {
  return JSON.parse(await new Child(otherCore, stopwatch, [SENDER, SINK, frames, pauseUs].map(String)).done);
}

/** It is there, and knows the flow. */
async function untilForwards(setting) {
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    const { lost } = await timeFrames(setting, 2, 1000);
    if (lost === 0) return;
  }
  throw new Error('nothing is forwarded');
}

async function once({ start, ready }, setting) {
  makeLinks();
  const child = start(setting);
  const frames = Math.ceil(FRAMES * setting.seconds);
  try {
    await child.said(ready);
    await untilForwards(setting);
    await sleep(SETTLE * setting.seconds * 1000);
    const idle = await spentWhile(child, () => sleep(setting.seconds * 1000));
    const busy = await spentWhile(child, () => timeFrames(setting, frames, PAUSE_US));
    const ownShare = Math.max(0, 1 - idle.load / busy.load);
    return { ...busy.result, idleLoad: idle.load, usOfFrame: (ownShare * busy.ns) / frames / 1000 };
  } finally {
    await child.end();
    removeLinks();
  }
}

function summary(runs) {
  const us = runs.flatMap((run) => run.us);
  const total = (field) => runs.reduce((sum, run) => sum + run[field], 0);
  const middle = (field) =>
    quantile(
      runs.map((run) => run[field]),
      0.5,
    );
  return {
    rounds: runs.length,
    sent: total('sent'),
    lost: total('lost'),
    us: { median: quantile(us, 0.5), lowest: quantile(us, 0.1), highest: quantile(us, 0.9) },
    idleLoad: middle('idleLoad'),
    usOfFrame: middle('usOfFrame'),
  };
}

/** By forwarder: { rounds, sent, lost, us: { median, lowest and highest tenth }, idleLoad (share of a core), usOfFrame (processor time over that of idling) }. */
export async function runWake(setting, rounds) {
  const names = Object.keys(FORWARDERS);
  const runs = new Map(names.map((name) => [name, []]));
  for (let round = 0; round < rounds; round++) {
    for (const name of round % 2 === 0 ? names : names.toReversed()) {
      const run = await once(FORWARDERS[name], setting);
      runs.get(name).push(run);
      setting.say(`${round + 1}: waking up, ${name}: ${quantile(run.us, 0.5)} us`);
    }
  }
  return Object.fromEntries([...runs].map(([name, each]) => [name, summary(each)]));
}
