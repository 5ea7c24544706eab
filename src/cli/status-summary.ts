/*
 * The summary at the end of a run: a table of the ports, totals, hits by layer, drops by name, and the account: every packet that came in was a hit, a
 * miss or a named drop, and every miss was answered or dropped by name. It is computed from counters that different stages keep, so it can fail.
 *
 * Before it: run-session.ts, once nothing moves any more. After it: stdout, for people or as one JSON object. Pure.
 */
import { allHits, type DatapathStats, receiveDrops } from '../datapath/stats.ts';
import { type Column, tableLines } from './columns.ts';
import { grouped, type PortStatus } from './status.ts';

export interface RunResult {
  name: string;
  handler: string;
  seconds: number;
  interrupted: boolean;
  /** Read when the datapath was closed, so nothing waits any more. */
  stats: DatapathStats;
  flowsExpired: number;
  ports: PortStatus[];
}

export interface Account {
  /** Packets received. */
  in: number;
  hits: number;
  misses: number;
  /** Packets that got no key and no verdict: too short, or lost with a worker. */
  drops: number;
  /** Of the hits and misses, those of packets that were counted before: recirculated, or segments of one packet. */
  again: number;
  accountedFor: number;
  /** What does not add up; undefined when everything does. */
  wrong: string | undefined;
}

export function account({ stats, ports }: RunResult): Account {
  const hits = allHits(stats.hits);
  const drops = receiveDrops(stats.drops);
  const again = stats.recirculated + stats.segmented;
  const accountedFor = hits + stats.misses + drops - again;
  const byPort = ports.reduce((sum, port) => sum + port.rxPackets, 0);
  let wrong: string | undefined;
  if (accountedFor !== stats.received)
    wrong = `${stats.received} packets came in and ${accountedFor} are accounted for`;
  else if (stats.upcallsPending !== 0)
    wrong = `${stats.upcallsPending} of ${stats.misses} misses were neither answered nor dropped by name`;
  else if (stats.workersLost === 0 && byPort !== stats.received)
    wrong = `the ports received ${byPort} packets, the datapath ${stats.received}`;
  return { in: stats.received, hits, misses: stats.misses, drops, again, accountedFor, wrong };
}

/** The last object of `--json`. */
export function summaryJson(result: RunResult): string {
  const { stats, ...rest } = result;
  const { wrong, ...sums } = account(result);
  return JSON.stringify({ type: 'summary', ...rest, ...stats, accounting: { ...sums, ok: wrong === undefined } });
}

const PORT_COLUMNS: readonly Column<PortStatus>[] = [
  { head: 'port', cell: ({ portNo }) => String(portNo) },
  { head: 'name', cell: ({ name }) => name, isText: true },
  { head: 'type', cell: ({ type }) => type, isText: true },
  { head: 'rx packets', cell: ({ rxPackets }) => grouped(rxPackets) },
  { head: 'rx bytes', cell: ({ rxBytes }) => grouped(rxBytes) },
  { head: 'rx drops', cell: ({ rxDropped }) => grouped(rxDropped) },
  { head: 'tx packets', cell: ({ txPackets }) => grouped(txPackets) },
  { head: 'tx bytes', cell: ({ txBytes }) => grouped(txBytes) },
  { head: 'tx drops', cell: ({ txDropped }) => grouped(txDropped) },
  { head: 'upcalls', cell: ({ upcalls }) => grouped(upcalls) },
  { head: 'lost', cell: ({ upcallsLost }) => grouped(upcallsLost) },
];
/** Shown when there are any. */
const KERNEL_COLUMN: Column<PortStatus> = { head: 'kernel drops', cell: ({ kernelDrops }) => grouped(kernelDrops) };

function portTable(ports: readonly PortStatus[]): string[] {
  const hasDrops = ports.some(({ kernelDrops }) => kernelDrops > 0);
  return tableLines(hasDrops ? [...PORT_COLUMNS, KERNEL_COLUMN] : PORT_COLUMNS, ports);
}

/** The summary for people. */
export function summaryText(result: RunResult, bold: (text: string) => string): string {
  const { stats, seconds, flowsExpired } = result;
  const sums = account(result);
  const share = (n: number): string => (stats.received === 0 ? '' : ` (${((100 * n) / stats.received).toFixed(1)}%)`);
  const rows: [string, string][] = [
    [
      'received',
      `${grouped(stats.received)} packets in ${seconds.toFixed(1)} s, ${grouped(Math.round(stats.received / seconds))} a second`,
    ],
    ['transmitted', `${grouped(stats.transmitted)} packets`],
    [
      'hits',
      [
        `EMC ${grouped(stats.hits.emc)}${share(stats.hits.emc)}`,
        `megaflow ${grouped(stats.hits.megaflow)}${share(stats.hits.megaflow)}`,
        ...(stats.hits.offload > 0 ? [`offload ${grouped(stats.hits.offload)}${share(stats.hits.offload)}`] : []),
      ].join(', '),
    ],
    ['misses', `${grouped(stats.misses)}${share(stats.misses)}, answered ${grouped(stats.answered)}`],
    ['upcalls', `miss ${grouped(stats.upcalls.miss)}, action ${grouped(stats.upcalls.action)}`],
    [
      'flows',
      `installed ${grouped(stats.installed)}, expired ${grouped(flowsExpired)}, now ${grouped(stats.flows)} under ${grouped(stats.masks)} ${stats.masks === 1 ? 'mask' : 'masks'}`,
    ],
    ['drops', dropText(stats)],
  ];
  if (stats.workersLost > 0) rows.push(['workers', `${stats.workersLost} lost and replaced`]);
  const again = sums.again === 0 ? '' : ` - again ${sums.again}`;
  const percent = sums.in === 0 ? 100 : Math.floor((100 * sums.accountedFor) / sums.in);
  return [
    bold(`Summary of ${result.name}, handler ${result.handler}${result.interrupted ? ', interrupted' : ''}`),
    '',
    ...portTable(result.ports).map((line, i) => (i === 0 ? bold(line) : line)),
    '',
    ...rows.map(([head, text]) => `${head.padEnd(12)} ${text}`),
    '',
    `in ${sums.in} = hits ${sums.hits} + misses ${sums.misses} + drops ${sums.drops}${again}; accounted for ${sums.accountedFor} (${percent}%)`,
  ].join('\n');
}

/** Every drop that happened, by name. */
function dropText({ drops }: DatapathStats): string {
  const happened = Object.entries(drops).filter(([, count]) => count > 0);
  return happened.length === 0 ? 'none' : happened.map(([name, count]) => `${name} ${grouped(count)}`).join(', ');
}
