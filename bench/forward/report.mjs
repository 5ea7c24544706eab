/*
 * The report of bench/forward: medians and ranges by contestant, ratios to the peers, where and how it was measured. Before it: run.mjs. After it: stdout.
 */
import { createHash } from 'node:crypto';
import { loadavg } from 'node:os';
import path from 'node:path';
import { CONTESTANTS } from './contestants.mjs';
import { spread } from './statistics.mjs';

const root = path.join(import.meta.dirname, '..', '..');
const OURS = ['afpacket', 'afxdp', 'afxdp-offload'];

/** Of a field of the runs; null when they do not have it. */
function spreadOf(runs, field) {
  const values = runs.map((run) => run[field]);
  return values.includes(undefined) ? null : spread(values);
}

function row(name, runs) {
  const total = (field) => runs.reduce((sum, run) => sum + run[field], 0);
  return {
    name,
    label: CONTESTANTS[name].label,
    runs: runs.length,
    seconds: total('seconds'),
    forwarded: total('forwarded'),
    pps: spreadOf(runs, 'pps'),
    offeredPps: spreadOf(runs, 'offeredPps'),
    loss: spreadOf(runs, 'loss'),
    busyNsPerPacket: spreadOf(runs, 'busyNsPerPacket'),
    userNsPerPacket: spreadOf(runs, 'userNsPerPacket'),
    machineNsPerPacket: spreadOf(runs, 'machineNsPerPacket'),
  };
}

/**
 * What the goals are about: the better of ours beside the better of some peers, by packets a second, by the forwarding core's time a packet (of those that
 * forward on one), and by the time of all cores. Compared within a round, because
 * a machine may be faster or slower a minute later; the median of the rounds.
 */
function ratios(results) {
  const turns = [...new Set([...results.values()].flat().map(({ turn }) => turn))];
  const of = (names, turn) => names.flatMap((name) => results.get(name) ?? []).filter((run) => run.turn === turn);
  const most = (runs) => Math.max(...runs.map(({ pps }) => pps));
  const least = (runs, field) => Math.min(...runs.map((run) => run[field] ?? Number.POSITIVE_INFINITY));
  const against = (names) => {
    const rounds = turns
      .map((turn) => ({ our: of(OURS, turn), peers: of(names, turn) }))
      .filter(({ our, peers }) => our.length > 0 && peers.length > 0)
      .map(({ our, peers }) => ({
        pps: most(our) / most(peers),
        busyNs: least(peers, 'busyNsPerPacket') / least(our, 'busyNsPerPacket'),
        machineNs: least(peers, 'machineNsPerPacket') / least(our, 'machineNsPerPacket'),
      }));
    const fields = ['pps', 'busyNs', 'machineNs'];
    return rounds.length === 0 ? null : Object.fromEntries(fields.map((field) => [field, spreadOf(rounds, field)]));
  };
  return {
    ovsSystem: against(['ovs-system']),
    ovsBestPollMode: against(['ovs-dpdk-afpacket', 'ovs-dpdk-afxdp']),
    plainC: against(['c-afpacket', 'c-afxdp']),
    linuxBridge: against(['bridge']),
  };
}

export async function makeReport({ options, setting, results, parts, failures }) {
  const { provenance } = await import(path.join(root, 'dist/src/bench/report.js'));
  const rows = options.only.flatMap((name) => (results.has(name) ? [row(name, results.get(name))] : []));
  const counted = JSON.stringify(rows.map(({ name, forwarded }) => [name, forwarded]));
  return {
    bench: 'forward-comparison',
    seconds: rows.reduce((sum, { seconds }) => sum + seconds, 0),
    checksum: createHash('sha256').update(counted).digest('hex').slice(0, 16),
    command: ['bench/forward/run.mjs', ...process.argv.slice(2)].join(' '),
    generator: [...setting.modes].join(', '),
    core: setting.core,
    loadAverage: loadavg().map((load) => Number(load.toFixed(1))),
    rows,
    ratios: ratios(results),
    tcp: parts.tcp ?? null,
    overload: parts.overload ?? null,
    wake: parts.wake ?? null,
    failures,
    ...provenance(),
  };
}

const thousands = (value) => Math.round(value).toLocaleString('en-US');
const range = ({ median, min, max }, text) => `${text(median)} (${text(min)}-${text(max)})`;
const times = (value) => `${value.toFixed(2)}x`;

function forwardTable({ rows }) {
  if (rows.length === 0) return '';
  const lines = rows.map(
    ({ label, pps, busyNsPerPacket, userNsPerPacket, machineNsPerPacket, offeredPps, loss, runs }) => {
      const kpps = (value) => thousands(value / 1000);
      const [busy, own] = [busyNsPerPacket, userNsPerPacket].map((ns) => (ns === null ? '-' : range(ns, thousands)));
      const percent = (100 * loss.median).toFixed(1);
      return `| ${label} | ${range(pps, kpps)} | ${busy} | ${own} | ${range(machineNsPerPacket, thousands)} | ${kpps(offeredPps.median)} | ${percent} % | ${runs} |`;
    },
  );
  return `\n| forwarder | kpps | busy ns a packet | its own code, ns | all cores, ns | offered, kpps | loss | runs |\n|---|---|---|---|---|---|---|---|\n${lines.join('\n')}\n`;
}

function ratioTable({ ratios: all }) {
  const names = {
    ovsSystem: 'Open vSwitch, system ports',
    ovsBestPollMode: 'Open vSwitch, its best poll-mode driver',
    plainC: 'plain C',
    linuxBridge: 'Linux bridge',
  };
  const lines = Object.entries(all)
    .filter(([, ratio]) => ratio !== null)
    .map(([name, ratio]) => [names[name], ...Object.values(ratio).map((each) => range(each, times))])
    .map((cells) => `| ${cells.join(' | ')} |`);
  if (lines.length === 0) return '';
  return `\n| wasm-datapath, the better of its ports, to | packets/s | busy ns | all cores |\n|---|---|---|---|\n${lines.join('\n')}\n`;
}

function tcpTable({ tcp }) {
  if (tcp === null) return '';
  const gigabits = (value) => (value / 1e9).toFixed(2);
  const lines = Object.entries(tcp).map(([name, rates]) => {
    if (typeof rates === 'string') return `| ${name} | not measured: ${rates} |`;
    return `| ${name} | ${rates.map(gigabits).join(', ')} |`;
  });
  return `\n| TCP, one stream | Gbit/s, each run |\n|---|---|\n${lines.join('\n')}\n`;
}

function overloadTable({ overload }) {
  if (overload === null) return '';
  const { type, copies, freshPps, turns, peak, twice, fresh } = overload;
  const rows = {
    'at the peak': peak,
    'twice the load': twice,
    [`and ${thousands(freshPps)} new flows a second`]: fresh,
  };
  const lines = Object.entries(rows).map(([name, { offeredPps, pps, ratio }]) => {
    const percent = (value) => (100 * value).toFixed(0);
    return `| ${name} | ${thousands(offeredPps)} | ${thousands(pps)} | ${range(ratio, percent)} |`;
  });
  const head = `overload, ${type}, each packet sent ${copies} times, ${turns} turns`;
  return `\n| ${head} | offered a second | known flows that arrived | % of the peak |\n|---|---|---|---|\n${lines.join('\n')}\n`;
}

function wakeTable({ wake }) {
  if (wake === null) return '';
  const lines = Object.entries(wake).map(([name, { us, idleLoad, usOfFrame, lost, sent, rounds }]) => {
    const cells = [us.median, us.lowest, us.highest, usOfFrame].map((value) => value?.toFixed(0) ?? '-');
    return `| ${name} | ${cells.join(' | ')} | ${(100 * idleLoad).toFixed(1)} % | ${lost} of ${sent} | ${rounds} |`;
  });
  const head =
    '| waking up | wire to wire, us | lowest tenth | highest tenth | processor time a frame, us | idle | lost | rounds |';
  return `\n${head}\n|---|---|---|---|---|---|---|---|\n${lines.join('\n')}\n`;
}

/** The report for people, and for docs/performance.md. */
export function markdown(report) {
  const { machine, node, commit, date, command, generator, loadAverage, checksum, failures } = report;
  const where = `${machine.cpu}, ${machine.cores} cores, ${machine.mhz} MHz, Linux ${machine.kernel}, Node.js ${node}`;
  const intro = `${date.slice(0, 10)}, commit ${commit ?? '-'}; ${where}; load average at the end ${loadAverage.join(', ')}. Command: \`${command}\`; generator ${generator}; check-sum ${checksum}.\n`;
  const failed = failures.map((text) => `failed: ${text}\n`).join('');
  return `${intro}${forwardTable(report)}${ratioTable(report)}${tcpTable(report)}${overloadTable(report)}${wakeTable(report)}${failed}`;
}
