#!/usr/bin/env node
/*
 * measure: reads the counters of a running Open vSwitch poll thread over a window and prints what happened in it.
 *
 * Called by `run` once the switch carries the traffic; writes one JSON object to stdout. It only reads: pmd-stats-show
 * through ovs-appctl, /proc/stat, and the scheduler's account of the poll thread. Rates come from differences between
 * two snapshots; counters are cleared only before the first, because the average of lookups is kept to two digits.
 *
 *   measure.mjs prime                       waits until no packet misses any more
 *   measure.mjs window                      settles, then takes --repeat windows of --seconds
 *   measure.mjs setup -- COMMAND...         runs COMMAND (it lets the traffic in) and follows --frames frames through
 *   all: --ctl SOCKET --pid SWITCH --server PID --core POLL_CORE --frames N --seconds T --repeat R
 */
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';

const SETTLE_MIN_MS = 1000;
const SETTLE_MAX_MS = 30000;
const PRIME_MAX_MS = 180000;
const SETUP_MAX_MS = 120000;
const POLL_MS = 50;
/** The poll thread idles this long after the last setup, so that its clock is known to better than one percent. */
const CLOCK_MS = 1000;
/** A window in which strangers had more of the processor than this is noisy. */
const FOREIGN_MAX_PCT = 3;
const FLOW_COUNT_MS = 200;
const TICK_MS = 10;

/** Labels of pmd-stats-show and the names they get here. */
const COUNTERS = {
  'packets received': 'packets',
  'simple match hits': 'simpleMatch',
  'emc hits': 'emc',
  'smc hits': 'smc',
  'megaflow hits': 'megaflow',
  'miss with success upcall': 'setups',
  'miss with failed upcall': 'failed',
  'idle cycles': 'idleCycles',
  'processing cycles': 'busyCycles',
};

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    ctl: { type: 'string' },
    pid: { type: 'string' },
    server: { type: 'string' },
    core: { type: 'string' },
    frames: { type: 'string', default: '1' },
    seconds: { type: 'string', default: '2' },
    repeat: { type: 'string', default: '3' },
  },
});
const frames = Number(options.frames);

function appctl(...command) {
  return execFileSync('ovs-appctl', ['--timeout=60', '-t', options.ctl, ...command], { encoding: 'utf8' });
}

/** Counters of the one poll thread, as integers below 2^53. */
function pollStats() {
  const text = appctl('dpif-netdev/pmd-stats-show');
  const section = text.split(/^(?=\S)/m).find((part) => part.startsWith('pmd thread'));
  if (!section) throw new Error('no poll thread in pmd-stats-show');
  const stats = Object.fromEntries(Object.values(COUNTERS).map((name) => [name, 0]));
  let average = 0;
  for (const line of section.split('\n')) {
    const [, label, value] = /^\s+([^:]+): (\d+)/.exec(line) ?? [];
    if (label && Object.hasOwn(COUNTERS, label)) stats[COUNTERS[label]] = Number(value);
    if (label === 'avg. subtable lookups per megaflow hit') average = Number(line.split(': ')[1]);
  }
  return { ...stats, subtableLookups: average * stats.megaflow };
}

/** Ticks of every CPU from /proc/stat: [busy, steal, total] by CPU number. */
function cpuTicks() {
  const rows = new Map();
  for (const line of readFileSync('/proc/stat', 'utf8').split('\n')) {
    const [, cpu, rest] = /^cpu(\d+) (.*)/.exec(line) ?? [];
    if (!cpu) continue;
    const [user, nice, system, idle, iowait, irq, softirq, steal] = rest.trim().split(/\s+/).map(Number);
    const busy = user + nice + system + irq + softirq + steal;
    rows.set(Number(cpu), { busy, steal, total: busy + idle + iowait });
  }
  return rows;
}

/** User and system ticks of one process, all its threads, and of the children it has waited for. */
function processTicks(pid) {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1].split(' ');
  return fields.slice(11, 15).reduce((sum, ticks) => sum + Number(ticks), 0);
}

function findPollThread(pid) {
  const isPoll = (id) => readFileSync(`/proc/${pid}/task/${id}/comm`, 'utf8').startsWith('pmd-c');
  const id = readdirSync(`/proc/${pid}/task`).find(isPoll);
  if (!id) throw new Error(`process ${pid} has no poll thread`);
  return id;
}

/** Nanoseconds that the poll thread has run. */
function pollRunNs(thread) {
  return Number(readFileSync(`/proc/${options.pid}/task/${thread}/schedstat`, 'utf8').split(' ')[0]);
}

function snapshot() {
  const thread = findPollThread(options.pid);
  const before = process.hrtime.bigint();
  const stats = pollStats();
  const after = process.hrtime.bigint();
  const own = [options.pid, options.server, process.pid].map(processTicks).reduce((sum, ticks) => sum + ticks, 0);
  return {
    atNs: Number((before + after) / 2n),
    stats,
    runNs: pollRunNs(thread),
    runAtNs: Number(after),
    own,
    cpus: cpuTicks(),
  };
}

const pct = (part, whole) => (whole > 0 ? Math.max(0, Math.min(100, (100 * part) / whole)) : 0);
const round = (value, digits) => Number(value.toFixed(digits));

/**
 * What strangers had: on the poll core, the time in which the poll thread did not run plus what the hypervisor took; on
 * the other cores, all busy time but that of our own processes.
 */
function foreignShare(a, b) {
  const core = Number(options.core);
  const wallNs = b.runAtNs - a.runAtNs;
  const runNs = b.runNs - a.runNs;
  let othersBusy = 0;
  let othersTotal = 0;
  for (const [cpu, row] of b.cpus) {
    const from = a.cpus.get(cpu);
    if (cpu === core || !from) continue;
    othersBusy += row.busy - from.busy;
    othersTotal += row.total - from.total;
  }
  const ownElsewhere = b.own - a.own - runNs / 1e6 / TICK_MS;
  const rowA = a.cpus.get(core);
  const rowB = b.cpus.get(core);
  const stealPct = pct(rowB.steal - rowA.steal, rowB.total - rowA.total);
  return {
    pollCorePct: round(Math.min(100, pct(wallNs - runNs, wallNs) + stealPct), 1),
    otherCoresPct: round(pct(othersBusy - Math.max(0, ownElsewhere), othersTotal), 1),
    stealPct: round(stealPct, 1),
  };
}

function delta(a, b) {
  const names = [...Object.values(COUNTERS), 'subtableLookups'];
  return Object.fromEntries(names.map((name) => [name, b.stats[name] - a.stats[name]]));
}

/** One lookup window as figures. `mpps` is by the clock, `mppsOnCpu` by the time the poll thread really ran. */
function describe(a, b) {
  const d = delta(a, b);
  const seconds = (b.atNs - a.atNs) / 1e9;
  const onCpuSeconds = ((b.runNs - a.runNs) * seconds * 1e9) / (b.runAtNs - a.runAtNs) / 1e9;
  const foreign = foreignShare(a, b);
  return {
    seconds: round(seconds, 3),
    packets: d.packets,
    mpps: round(d.packets / seconds / 1e6, 4),
    mppsOnCpu: round(d.packets / onCpuSeconds / 1e6, 4),
    nsPerPacket: round((seconds * 1e9) / d.packets, 1),
    cyclesPerPacket: round(d.busyCycles / d.packets, 1),
    tscMhz: round((d.idleCycles + d.busyCycles) / seconds / 1e6, 0),
    hits: { simpleMatch: d.simpleMatch, emc: d.emc, smc: d.smc, megaflow: d.megaflow },
    misses: d.setups + d.failed,
    lost: d.failed,
    subtablesPerHit: d.megaflow > 0 ? round(d.subtableLookups / d.megaflow, 2) : 0,
    foreign,
    noisy: foreign.pollCorePct > FOREIGN_MAX_PCT || foreign.otherCoresPct > FOREIGN_MAX_PCT,
  };
}

/** Flows and masks of the datapath; the switch renews its own count of flows ten times a second at most. */
async function tableSize() {
  appctl('upcall/show');
  await sleep(FLOW_COUNT_MS);
  const [, flows = '0'] = /current (\d+)/.exec(appctl('upcall/show')) ?? [];
  const uses = appctl('dpif-netdev/subtable-lookup-prio-get').matchAll(/Use count: (\d+)/g);
  const masks = [...uses].reduce((sum, [, count]) => sum + Number(count), 0);
  return { flows: Number(flows), masks };
}

/** Waits until `done(stats)` or the limit; answers whether it came. */
async function until(limitMs, done) {
  for (const end = Date.now() + limitMs; ; ) {
    if (done(pollStats())) return true;
    if (Date.now() >= end) return false;
    await sleep(POLL_MS);
  }
}

/** Every frame has its flow once a whole round of the frames brought no miss. */
async function prime() {
  let mark = pollStats();
  const missesOf = (stats) => stats.setups + stats.failed;
  const done = (stats) => {
    if (missesOf(stats) !== missesOf(mark)) mark = stats;
    return stats.packets - mark.packets > frames;
  };
  if (!(await until(PRIME_MAX_MS, done))) throw new Error(`still misses after ${PRIME_MAX_MS / 1000} s`);
  return tableSize();
}

async function settle() {
  const from = pollStats().packets;
  await sleep(SETTLE_MIN_MS);
  return until(SETTLE_MAX_MS, (stats) => stats.packets - from >= 2 * frames);
}

/** The poll thread clears its counters when it next comes round, which may be after the command has answered. */
async function clear() {
  const { packets } = pollStats();
  appctl('dpif-netdev/pmd-stats-clear');
  if (!(await until(SETTLE_MAX_MS, (stats) => stats.packets < packets))) throw new Error('counters were not cleared');
}

function medianBy(items, key) {
  const sorted = [...items].sort((x, y) => x[key] - y[key]);
  return sorted[(sorted.length - 1) >> 1];
}

/** A window lasts the time asked for, and longer where that is less than one round of the frames (at most five times). */
async function oneWindow() {
  const lengthMs = Number(options.seconds) * 1000;
  const a = snapshot();
  await sleep(lengthMs);
  await until(4 * lengthMs, (stats) => stats.packets - a.stats.packets >= frames);
  return describe(a, snapshot());
}

/** The median of the quiet windows, or of all when none was quiet. */
async function windows() {
  const settled = await settle();
  await clear();
  const all = [];
  for (let i = 0; i < Number(options.repeat); i++) all.push(await oneWindow());
  const quiet = all.filter((one) => !one.noisy);
  const used = quiet.length > 0 ? quiet : all;
  const rates = used.map((one) => one.mpps);
  return {
    ...medianBy(used, 'mpps'),
    mppsMin: Math.min(...rates),
    mppsMax: Math.max(...rates),
    windows: all.length,
    windowsQuiet: quiet.length,
    settled,
    ...(await tableSize()),
  };
}

/** Microseconds spent in one upcall, from pmd-perf-show (needs pmd-perf-metrics). */
function upcallUs() {
  const [, us] = /Upcalls:.*?([\d.]+) us\/upcall/.exec(appctl('dpif-netdev/pmd-perf-show', '-nh')) ?? [];
  return us === undefined ? undefined : Number(us);
}

/** Lets `frames` new flows in and follows them: the rate is that of a poll thread which does nothing else. */
async function setup(command) {
  const a = snapshot();
  execFileSync(command[0], command.slice(1), { stdio: ['ignore', 2, 2] });
  const arrived = await until(SETUP_MAX_MS, (stats) => stats.packets - a.stats.packets >= frames);
  if (!arrived) throw new Error(`not all ${frames} frames arrived within ${SETUP_MAX_MS / 1000} s`);
  await sleep(CLOCK_MS);
  const b = snapshot();
  const d = delta(a, b);
  const tscHz = (d.idleCycles + d.busyCycles) / ((b.atNs - a.atNs) / 1e9);
  const busySeconds = d.busyCycles / tscHz;
  const foreign = foreignShare(a, b);
  return {
    seconds: round(busySeconds, 3),
    packets: d.packets,
    setups: d.setups,
    lost: d.failed,
    hits: { simpleMatch: d.simpleMatch, emc: d.emc, smc: d.smc, megaflow: d.megaflow },
    setupsPerSecond: Math.round(d.setups / busySeconds),
    cyclesPerSetup: Math.round(d.busyCycles / d.setups),
    usPerUpcall: upcallUs(),
    tscMhz: round(tscHz / 1e6, 0),
    foreign,
    noisy: foreign.pollCorePct > FOREIGN_MAX_PCT || foreign.otherCoresPct > FOREIGN_MAX_PCT,
    ...(await tableSize()),
  };
}

const [verb, ...rest] = positionals;
try {
  const verbs = { prime, window: windows, setup: () => setup(rest) };
  if (!Object.hasOwn(verbs, verb ?? '')) throw new Error('usage: measure.mjs (prime | window | setup -- COMMAND...)');
  console.log(JSON.stringify(await verbs[verb]()));
} catch (error) {
  console.error(`measure: ${error.message}`);
  process.exit(1);
}
