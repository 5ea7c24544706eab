/*
 * What `wdp monitor` shows: rates from two looks at a datapath, as lines for people or as an object. Before it: monitor.ts, which looks. Pure.
 */
import { type Column, tableLines } from './columns.ts';
import { grouped } from './status.ts';

/** Flows of a report, the busiest ones. */
const FLOWS_SHOWN = 10;

/** One look: what `show --statistics --json` says, and the lines of `dump-flows`. */
export interface Look {
  readonly timeMs: number;
  readonly datapath: DatapathLook;
  /** By their text. */
  readonly flows: ReadonlyMap<string, FlowLook>;
}

export interface DatapathLook {
  readonly name: string;
  readonly hits: number;
  readonly missed: number;
  readonly lost: number;
  readonly flows: number;
  readonly masks?: number;
  readonly ports: readonly PortLook[];
}

interface PortLook {
  readonly portNo: number;
  readonly name: string;
  readonly type: string;
  readonly stats: Readonly<Record<string, number | undefined>>;
}

export interface FlowLook {
  readonly packets: number;
  readonly bytes: number;
  readonly actions: string;
}

/** Reads the lines of dump-flows; those that are no flows say whose come next. */
export function readFlows(text: string): Map<string, FlowLook> {
  const flows = new Map<string, FlowLook>();
  for (const line of text.split('\n')) {
    const [, flow, packets, bytes, actions] = FLOW.exec(line) ?? [];
    if (flow !== undefined) flows.set(flow, { packets: Number(packets), bytes: Number(bytes), actions });
  }
  return flows;
}

const FLOW = /^(.*), packets:(\d+), bytes:(\d+), .*actions:(.*)$/;

export interface MonitorReport {
  readonly name: string;
  /** Between the two looks. */
  readonly seconds: number;
  readonly hits: number;
  readonly missed: number;
  readonly lost: number;
  readonly flows: number;
  readonly masks: number | null;
  readonly hitsPerSecond: number;
  readonly missedPerSecond: number;
  readonly lostPerSecond: number;
  readonly ports: readonly PortRates[];
  /** The busiest flows, the busiest first. */
  readonly busiest: readonly FlowRates[];
}

interface PortRates {
  readonly portNo: number;
  readonly name: string;
  readonly type: string;
  readonly rxPacketsPerSecond: number;
  readonly rxBitsPerSecond: number;
  readonly txPacketsPerSecond: number;
  readonly txBitsPerSecond: number;
  readonly dropsPerSecond: number;
}

interface FlowRates extends FlowLook {
  readonly flow: string;
  readonly packetsPerSecond: number;
  readonly bitsPerSecond: number;
}

/** What happened between two looks. What was not there at the first one began at zero; a counter that went back began anew. */
export function reportOf(before: Look, now: Look): MonitorReport {
  const seconds = Math.max(now.timeMs - before.timeMs, 1) / 1000;
  const rate = (count = 0, earlier = 0): number => Math.round((count >= earlier ? count - earlier : count) / seconds);
  const { name, hits, missed, lost, flows, masks = null } = now.datapath;
  const busiest = [...now.flows].map(([flow, look]): FlowRates => {
    const earlier = before.flows.get(flow);
    const packetsPerSecond = rate(look.packets, earlier?.packets);
    return { flow, ...look, packetsPerSecond, bitsPerSecond: 8 * rate(look.bytes, earlier?.bytes) };
  });
  busiest.sort((one, other) => other.packetsPerSecond - one.packetsPerSecond || other.packets - one.packets);
  return {
    ...{ name, seconds: Number(seconds.toFixed(3)), hits, missed, lost, flows, masks },
    hitsPerSecond: rate(hits, before.datapath.hits),
    missedPerSecond: rate(missed, before.datapath.missed),
    lostPerSecond: rate(lost, before.datapath.lost),
    ports: now.datapath.ports.map((port) => portRates(port, before.datapath.ports, rate)),
    busiest: busiest.slice(0, FLOWS_SHOWN),
  };
}

function portRates(
  { portNo, name, type, stats }: PortLook,
  earlier: readonly PortLook[],
  rate: (count?: number, earlier?: number) => number,
): PortRates {
  const last = earlier.find((port) => port.portNo === portNo && port.name === name)?.stats ?? {};
  const of = (counter: string): number => rate(stats[counter], last[counter]);
  return {
    ...{ portNo, name, type },
    rxPacketsPerSecond: of('rxPackets'),
    rxBitsPerSecond: 8 * of('rxBytes'),
    txPacketsPerSecond: of('txPackets'),
    txBitsPerSecond: 8 * of('txBytes'),
    dropsPerSecond: of('rxDropped') + of('txDropped'),
  };
}

const PORT_COLUMNS: readonly Column<PortRates>[] = [
  { head: 'port', cell: ({ portNo }) => String(portNo) },
  { head: 'name', cell: ({ name }) => name, isText: true },
  { head: 'type', cell: ({ type }) => type, isText: true },
  { head: 'rx packets/s', cell: (port) => grouped(port.rxPacketsPerSecond) },
  { head: 'rx bits/s', cell: (port) => grouped(port.rxBitsPerSecond) },
  { head: 'tx packets/s', cell: (port) => grouped(port.txPacketsPerSecond) },
  { head: 'tx bits/s', cell: (port) => grouped(port.txBitsPerSecond) },
  { head: 'drops/s', cell: (port) => grouped(port.dropsPerSecond) },
];

const FLOW_COLUMNS: readonly Column<FlowRates>[] = [
  { head: 'packets/s', cell: (flow) => grouped(flow.packetsPerSecond) },
  { head: 'bits/s', cell: (flow) => grouped(flow.bitsPerSecond) },
  { head: 'packets', cell: ({ packets }) => grouped(packets) },
  { head: 'flow, actions', cell: ({ flow, actions }) => `${flow} ${actions}`, isText: true },
];

/** The report for people. */
export function reportLines(report: MonitorReport): string[] {
  const { name, seconds, flows, masks, busiest } = report;
  const rest = flows - busiest.length;
  return [
    `${name}  flows ${grouped(flows)}${masks === null ? '' : `  masks ${grouped(masks)}`}  ` +
      `hit ${grouped(report.hitsPerSecond)}/s  missed ${grouped(report.missedPerSecond)}/s  ` +
      `lost ${grouped(report.lostPerSecond)}/s  over ${seconds.toFixed(1)} s`,
    '',
    ...tableLines(PORT_COLUMNS, report.ports),
    '',
    ...tableLines(FLOW_COLUMNS, busiest),
    ...(rest > 0 ? [`and ${grouped(rest)} more`] : []),
  ];
}
