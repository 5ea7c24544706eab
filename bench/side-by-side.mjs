#!/usr/bin/env node
/*
 * side-by-side: our benchmarks and Open vSwitch's, alternately on the same core (peer, ours, ours, peer), as a table in Markdown for
 * docs/performance.md. What the machine does meanwhile meets both alike, so the ratios hold where the figures do not.
 *
 *   bench/side-by-side.mjs [--only PATTERN] [--seconds T] [--repeat R] [--core N] [--on-cpu] [--json]
 *
 * --on-cpu: lookup by the processor time that each side really had, where neighbours cannot be kept away; flow setup stays by the clock.
 *
 * Needs root and the packages that bench/ovs/README.md names. The table goes to stdout, progress to stderr. Exit status: 0 done, 1 a measurement
 * failed (the others are printed), 2 wrong usage, 77 cannot run here.
 */
import { spawn } from 'node:child_process';
import { cpus } from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';

const EXIT_CANNOT = 77;
const root = path.join(import.meta.dirname, '..');

/**
 * A row: the peer's group (topic, scenario and its settings; flow setup has none) and our command. Frames come in the peer's order, which is that of the
 * flows; rows without a peer show the same in random order.
 */
const ROWS = [
  lookup('1,000 flows', 'lookup', 'lookup-1000', ['default', 'emc-always', 'smc'], '--flows 1000 --order sequential'),
  lookup(
    '100,000 flows',
    'lookup',
    'lookup-100000',
    ['default', 'emc-always', 'smc'],
    '--flows 100000 --order sequential',
  ),
  lookup('100,000 flows, random order', undefined, 'lookup-100000', [], '--flows 100000'),
  lookup(
    '1,000,000 flows',
    'lookup',
    'lookup-1000000',
    ['default', 'emc-always', 'smc'],
    '--flows 1000000 --order sequential',
  ),
  lookup('1,000,000 flows, random order', undefined, 'lookup-1000000', [], '--flows 1000000'),
  lookup(
    '20,000 flows in 20 subtables, no cache',
    'subtables',
    'subtables-20',
    ['dpcls'],
    '--flows 20000 --subtables 20 --emc off --order sequential',
  ),
  lookup(
    '20,000 flows in 20 subtables, cache',
    'subtables',
    'subtables-20',
    ['default', 'emc-always', 'smc'],
    '--flows 20000 --subtables 20 --order sequential',
  ),
  lookup('8,192 subtables, no cache', 'tse', 'tse-8192', ['dpcls'], '--flows 8192 --subtables 8192 --emc off'),
  setup('flow setup, decided in WASM', '--handler wasm'),
  setup('flow setup, decided in JavaScript', '--handler js'),
];

function lookup(title, topic, scenario, settings, args) {
  const names = settings.map((setting) => `${scenario}-${setting}`);
  return { title, topic, names, ours: `lookup ${args}`, unit: 'Mpps', value: mpps };
}

function setup(title, args) {
  const names = ['flow-setup-100000'];
  const value = (figures) => figures.setupsPerSecond / 1e6;
  return { title, topic: 'flow-setup', names, ours: `flow-setup --flows 100000 ${args}`, unit: 'M setups/s', value };
}

let onCpu = false;

function mpps(figures) {
  return onCpu ? figures.mppsOnCpu : figures.mpps;
}

class CannotRun extends Error {}

/** Runs a program whose stdout is one JSON object; its stderr is ours. */
async function json(program, args) {
  const child = spawn(program, args, { cwd: root, stdio: ['ignore', 'pipe', 'inherit'] });
  let text = '';
  child.stdout.setEncoding('utf8').on('data', (piece) => {
    text += piece;
  });
  const status = await new Promise((resolve, reject) => {
    child.on('error', reject).on('close', resolve);
  });
  if (status === EXIT_CANNOT) throw new CannotRun();
  if (status !== 0 && text === '') throw new Error(`${program} ${args.join(' ')}: exit status ${status}`);
  return JSON.parse(text);
}

function say(text) {
  process.stderr.write(`side-by-side: ${text}\n`);
}

/** The peer's scenarios of a row by name. */
async function runPeer(row, { seconds, repeat, core }) {
  const only = `^(${row.names.join('|')})$`;
  const args = [row.topic, '--only', only, '--seconds', seconds, '--repeat', repeat, '--core', core, '--json'];
  const { scenarios, ...place } = await json('bench/ovs/run', args);
  for (const { name, error } of scenarios) if (error) throw new Error(`${name}: ${error}`);
  return { place, figures: new Map(scenarios.map((scenario) => [scenario.name, scenario])) };
}

function runOurs(row, { seconds, repeat, core }) {
  const timing = row.ours.startsWith('lookup') ? ['--seconds', seconds] : [];
  const args = ['-c', core, process.execPath, 'scripts/wdp.mjs', 'bench', ...row.ours.split(' '), ...timing];
  return json('taskset', [...args, '--repeat', repeat, '--json']);
}

async function measure(row, options) {
  const ours = [];
  const peers = [];
  const turns = row.topic === undefined ? ['ours', 'ours'] : ['peer', 'ours', 'ours', 'peer'];
  for (const turn of turns) {
    say(`${row.title}: ${turn}`);
    if (turn === 'ours') ours.push(await runOurs(row, options));
    else peers.push(await runPeer(row, options));
  }
  const settings = row.names.map((name) => ({ name, figures: peers.map(({ figures }) => figures.get(name)) }));
  return { row, place: peers.at(0)?.place, settings, ours };
}

const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;

/** The two runs of one side: their mean, and both when they differ visibly. */
function cell(values) {
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const digits = high < 0.1 ? 4 : 2;
  const middle = mean(values).toFixed(digits);
  return low.toFixed(digits) === high.toFixed(digits)
    ? middle
    : `${middle} (${low.toFixed(digits)}-${high.toFixed(digits)})`;
}

function line({ row, settings, ours }) {
  const our = ours.map(row.value);
  const peer = settings.map(({ name, figures }) => ({ name, values: figures.map(row.value) }));
  const best = peer.toSorted((a, b) => mean(b.values) - mean(a.values)).at(0);
  const ratio = (values) => `${(mean(our) / mean(values)).toFixed(2)}x`;
  const label = (name) =>
    peer.length === 1 && !name.endsWith('-dpcls') ? '' : ` ${name.split('-').slice(2).join('-')}`;
  const noisy = settings.flatMap(({ figures }) => figures).filter((figures) => figures.noisy).length;
  const first = peer.at(0);
  return [
    row.title,
    row.unit,
    cell(our),
    first ? `${cell(first.values)}${label(first.name)}` : '-',
    first ? ratio(first.values) : '-',
    best && best !== first ? `${cell(best.values)}${label(best.name)}` : '-',
    best && best !== first ? ratio(best.values) : '-',
    noisy === 0 ? '' : `${noisy}`,
  ];
}

function markdown(results, command) {
  const { machine, node, commit, date } = results[0].ours[0];
  const place = results.find((result) => result.place)?.place;
  const head = [
    'what',
    'unit',
    'wasm-datapath',
    'Open vSwitch',
    'ratio',
    'its best setting',
    'ratio',
    'noisy peer runs',
  ];
  const rows = [head, head.map(() => '---'), ...results.map(line)];
  const peer = place ? `Open vSwitch ${place.ovs} with DPDK ${place.dpdk}` : 'no peer';
  const where = `${machine.cpu}, ${machine.cores} cores, ${machine.mhz} MHz, Linux ${machine.kernel}, Node.js ${node}`;
  const intro = `${date.slice(0, 10)}, commit ${commit ?? '-'}; ${where}; ${peer}. Command: \`${command}\`${onCpu ? '; by processor time' : ''}`;
  const commands = results.map(({ row }) => `- ${row.title}: \`wdp bench ${row.ours}\``).join('\n');
  return `${intro}\n\n${rows.map((cells) => `| ${cells.join(' | ')} |`).join('\n')}\n\n${commands}\n`;
}

function readOptions() {
  const { values } = parseArgs({
    options: {
      only: { type: 'string', default: '' },
      seconds: { type: 'string', default: '2' },
      repeat: { type: 'string', default: '3' },
      core: { type: 'string', default: String(cpus().length - 1) },
      'on-cpu': { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
    },
  });
  const rows = ROWS.filter(({ title }) => new RegExp(values.only).test(title));
  if (rows.length === 0)
    throw new Error(`no row matches '${values.only}': ${ROWS.map(({ title }) => title).join('; ')}`);
  for (const name of ['seconds', 'repeat']) {
    if (!/^[1-9]\d*$/.test(values[name])) throw new Error(`--${name} is a whole number from 1, not '${values[name]}'`);
  }
  return { ...values, rows };
}

async function main() {
  let options;
  try {
    options = readOptions();
  } catch (error) {
    say(error.message);
    return 2;
  }
  onCpu = options['on-cpu'];
  const results = [];
  let failures = 0;
  for (const row of options.rows) {
    try {
      results.push(await measure(row, options));
    } catch (error) {
      if (error instanceof CannotRun) return EXIT_CANNOT;
      say(`${row.title}: ${error.message}`);
      failures++;
    }
  }
  const command = ['bench/side-by-side.mjs', ...process.argv.slice(2)].join(' ');
  if (results.length > 0) console.log(options.json ? JSON.stringify(results) : markdown(results, command));
  return failures === 0 ? 0 : 1;
}

process.exitCode = await main();
