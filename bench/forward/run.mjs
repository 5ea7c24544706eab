#!/usr/bin/env node
/*
 * The comparison of forwarding from interface to interface: plain C, wasm-datapath, Open vSwitch and a Linux bridge, in turn, on one core, under the same
 * traffic, in namespaces of their own. README.md says what is measured. The table goes to stdout, progress to stderr.
 *
 *   bench/forward/run.mjs [--only NAME,NAME] [--parts forward,tcp,overload,wake] [--seconds T] [--repeat R] [--generator auto|xdp|sendmmsg] [--limit S] [--json]
 *
 * Needs root, cc, iproute2, ethtool, and what each contestant needs; those that cannot run are named. Exit status: 0 done, 1 a run failed or forwarded
 * nothing (the others are printed), 2 wrong usage, 77 cannot run here. Over after --limit seconds (235) whatever happens.
 */
import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { CONTESTANTS } from './contestants.mjs';
import { command, countWindow, makeLinks, removeLinks, startGenerator } from './lab.mjs';
import { runOverload } from './overload.mjs';
import { HUGEPAGES } from './ovs.mjs';
import { makeReport, markdown } from './report.mjs';
import { runTcp } from './tcp.mjs';
import { runWake } from './wake.mjs';

const EXIT_CANNOT = 77;
const EXIT_LATE = 124;
const PARTS = ['forward', 'tcp', 'overload', 'wake'];
/** Together they are over in time. */
const DEFAULT_PARTS = PARTS.slice(0, 3);
/** Set, to its folder, in the process that has the namespaces. */
const INSIDE = 'BENCH_FORWARD_FOLDER';
const WARMUP_S = 0.5;
/** The generator goes on so much longer than the windows of contestants that measure their own. */
const AFTER_S = 0.5;

const say = (text) => process.stderr.write(`forward: ${text}\n`);

function readOptions() {
  const { values } = parseArgs({
    options: {
      only: { type: 'string', default: Object.keys(CONTESTANTS).join(',') },
      parts: { type: 'string', default: DEFAULT_PARTS.join(',') },
      seconds: { type: 'string', default: '1' },
      repeat: { type: 'string', default: '5' },
      generator: { type: 'string', default: 'auto' },
      limit: { type: 'string', default: '235' },
      json: { type: 'boolean', default: false },
    },
  });
  const list = (name, known) => {
    const names = values[name].split(',');
    const wrong = names.find((each) => !known.includes(each));
    if (wrong !== undefined) throw new Error(`--${name}: no '${wrong}'; there are ${known.join(', ')}`);
    return names;
  };
  const number = (name) => {
    if (!(Number(values[name]) > 0)) throw new Error(`--${name} is a number above 0, not '${values[name]}'`);
    return Number(values[name]);
  };
  if (!['auto', 'xdp', 'sendmmsg'].includes(values.generator)) throw new Error('--generator is auto, xdp or sendmmsg');
  return {
    only: list('only', Object.keys(CONTESTANTS)),
    parts: list('parts', PARTS),
    seconds: number('seconds'),
    repeat: number('repeat'),
    limit: number('limit'),
    generator: values.generator,
    json: values.json,
  };
}

// --------------------------------------------------------------------------------------------------- outside

/** This program again in namespaces of its own, whose end is the end of everything in them. */
async function runInside(limit) {
  if (process.geteuid() !== 0) {
    say('needs root, for namespaces and packet sockets');
    return EXIT_CANNOT;
  }
  const folder = mkdtempSync(path.join(tmpdir(), 'wdp-forward-'));
  const hugepages = readFileSync(HUGEPAGES, 'utf8');
  const namespaces = ['--net', '--mount', '--pid', '--fork', '--kill-child', '--mount-proc'];
  const child = spawn('unshare', [...namespaces, process.execPath, ...process.argv.slice(1)], {
    stdio: 'inherit',
    env: { ...process.env, [INSIDE]: folder },
  });
  let isLate = false;
  const timer = setTimeout(() => {
    isLate = true;
    say(`not done after ${limit} s: ended`);
    child.kill('SIGKILL');
  }, limit * 1000);
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill('SIGKILL'));
  const status = await new Promise((resolve) => {
    child.on('error', () => resolve(EXIT_CANNOT)).on('close', resolve);
  });
  clearTimeout(timer);
  rmSync(folder, { recursive: true, force: true });
  if (readFileSync(HUGEPAGES, 'utf8') !== hugepages) writeFileSync(HUGEPAGES, hugepages);
  return isLate ? EXIT_LATE : (status ?? 1);
}

// ---------------------------------------------------------------------------------------------------- inside

function compile(folder, name) {
  const program = path.join(folder, name);
  const source = path.join(import.meta.dirname, `${name}.c`);
  const { status, stderr, error } = spawnSync('cc', ['-std=gnu11', '-O2', '-o', program, source], { encoding: 'utf8' });
  if (status !== 0) throw new Error(`${name}.c does not compile: ${error?.message ?? stderr}`);
  return program;
}

/** One contestant, one window: counted at the sink's interface. */
async function oneRun(contestant, setting) {
  makeLinks();
  let run;
  let generator;
  try {
    run = await contestant.start(setting);
    const { warmup, seconds } = setting;
    generator = startGenerator(setting, warmup + seconds + AFTER_S);
    await sleep(warmup * 1000);
    const { machineNs, ...counted } = await countWindow(seconds, run);
    if (counted.forwarded === 0) throw new Error('nothing was forwarded');
    const { busyNsPerPacket, userShare } = await run.result(counted.forwarded);
    setting.modes.add(JSON.parse(await generator.done).mode);
    return {
      turn: setting.round,
      ...counted,
      pps: counted.forwarded / counted.seconds,
      offeredPps: counted.offered / counted.seconds,
      loss: Math.max(0, 1 - counted.forwarded / counted.offered),
      machineNsPerPacket: machineNs / counted.forwarded,
      ...(busyNsPerPacket === null ? {} : { busyNsPerPacket }),
      ...(userShare === null ? {} : { userNsPerPacket: busyNsPerPacket * userShare }),
    };
  } finally {
    await generator?.end();
    await run?.close();
    removeLinks();
  }
}

/** Every contestant once a round, every second round backwards; a round is not begun that would not be over in time. */
async function runForwarding(options, setting, results, failures) {
  const names = options.only.filter((name) => {
    const why = CONTESTANTS[name].whyNot();
    if (why !== undefined) say(`${name} is left out: ${why}`);
    return why === undefined;
  });
  let longest = 0;
  for (let turn = 0; turn < options.repeat; turn++) {
    const start = performance.now();
    if (start + longest > setting.deadline) {
      say(`${turn} rounds of ${options.repeat}: no time for another`);
      break;
    }
    for (const name of turn % 2 === 0 ? names : names.toReversed()) {
      try {
        const run = await oneRun(CONTESTANTS[name], { ...setting, round: turn, turn: `${turn}-${name}` });
        results.get(name)?.push(run) ?? results.set(name, [run]);
        say(
          `${turn + 1}: ${name}: ${Math.round(run.pps)} packets/s, ${Math.round(run.machineNsPerPacket)} ns of all cores`,
        );
      } catch (error) {
        failures.push(`${name}: ${error.message}`);
        say(failures.at(-1));
      }
    }
    longest = Math.max(longest, performance.now() - start);
  }
}

/** The other parts: each may fail alone. */
async function attempt(name, failures, part) {
  try {
    return await part();
  } catch (error) {
    failures.push(`${name}: ${error.message}`);
    say(failures.at(-1));
    return null;
  }
}

async function inside(options, folder) {
  // of this network namespace, where receive packet steering is set
  command('mount', '-t', 'sysfs', 'sysfs', '/sys');
  const cores = cpus().length;
  if (cores < 2) {
    say('needs two cores: one generates, one forwards');
    return EXIT_CANNOT;
  }
  const setting = {
    folder,
    core: cores - 1,
    otherCore: 0,
    seconds: options.seconds,
    warmup: WARMUP_S,
    mode: options.generator,
    modes: new Set(),
    generator: compile(folder, 'generator'),
    forwarder: compile(folder, 'forwarder'),
    stopwatch: compile(folder, 'stopwatch'),
    say,
  };
  const others = options.parts.includes('tcp') ? 0.28 : 0.1;
  setting.deadline = performance.now() + options.limit * 1000 * (1 - others);
  const results = new Map();
  const failures = [];
  const parts = {};
  if (options.parts.includes('tcp')) parts.tcp = await attempt('tcp', failures, () => runTcp(setting));
  if (options.parts.includes('overload'))
    parts.overload = await attempt('overload', failures, () => runOverload(setting));
  if (options.parts.includes('wake'))
    parts.wake = await attempt('wake', failures, () => runWake(setting, options.repeat));
  if (options.parts.includes('forward')) await runForwarding(options, setting, results, failures);
  const report = await makeReport({ options, setting, results, parts, failures });
  process.stdout.write(options.json ? `${JSON.stringify(report)}\n` : markdown(report));
  return failures.length === 0 ? 0 : 1;
}

async function main() {
  let options;
  try {
    options = readOptions();
  } catch (error) {
    say(error.message);
    return 2;
  }
  const folder = process.env[INSIDE];
  return folder === undefined ? runInside(options.limit) : inside(options, folder);
}

process.exitCode = await main();
