/*
 * What `wdp run` runs: the options of the command line over those of the configuration file over the defaults, with every port's SPEC taken apart
 * and checked. Before it: run.ts (commander) and config.ts. After it: run-session.ts.
 *
 * Nothing is opened here and no file is written; captures are read where they give ports their common clock. Main thread.
 */
import { statSync } from 'node:fs';
import path from 'node:path';
import type { DatapathOptions } from '../datapath/options.ts';
import { DatapathError } from '../errors.ts';
import { nativeUnavailableReason } from '../native/load.ts';
import { commonTimeline } from '../ports/pcap.ts';
import { checkPort, parsePortSpec } from '../ports/registry.ts';
import { checkSettings, type PortField, readConfig, type Settings } from './config.ts';
import { UsageError } from './failure.ts';
import { demoPorts } from './run-demo.ts';

export interface PortSetting {
  readonly name: string;
  readonly type: string;
  readonly options: Record<string, unknown>;
  /** The error for something wrong with this port, which knows where the port was written. */
  readonly fail: (message: string) => Error;
}

export interface RunSettings {
  readonly datapath: DatapathOptions & { name: string; workers: number };
  readonly ports: readonly PortSetting[];
  readonly handler: string;
  readonly json: boolean;
  /** Path of the control socket; undefined: none. */
  readonly control: string | undefined;
  /** Stop after so long; undefined: when all is replayed, or never. */
  readonly forMs: number | undefined;
  /** How long the captures last on their common clock; undefined without captures at recorded speed. */
  readonly spanMs: number | undefined;
  /** No port was named: the shipped captures are replayed. */
  readonly isDemo: boolean;
}

const MIB = 1048576;
const FLOWS_DEFAULT = 262144;
/** What a pcap port takes in the arena for each thread: its transmit ring. */
const PCAP_RING_SIZE = 10 * MIB;
/** What a queue of an interface takes (ring, long frames, UMEM), and what each thread's way out of one takes. */
const INTERFACE_TYPES: ReadonlySet<string> = new Set(['interface', 'afpacket', 'afxdp', 'tap', 'internal', 'veth']);
const QUEUE_SIZE = 16 * MIB;
const TRANSMIT_SIZE = 4 * MIB;
/** What a replayed frame takes beside its bytes. */
const REPLAY_OVERHEAD = 128;
const FRAME_SIZE_MAX = 9216;
const ARENA_SIZE_MAX = 3584 * MIB;

/** Puts the settings together. Throws UsageError for a wrong command line, DatapathError for a wrong file. */
export async function runSettings(options: Settings, configFile: string | undefined): Promise<RunSettings> {
  const given = checkSettings(options, optionName, (message) => new UsageError(message));
  const config = configFile === undefined ? {} : readConfig(configFile);
  const settings: Settings = { ...config, ...given };
  const isDemo = given.ports === undefined && configFile === undefined;
  const ports = (isDemo ? demoPorts() : portFields(given, config, configFile)).map((port) =>
    withSpeed(port, settings.speed),
  );
  checkFiles(ports);
  checkCpus(settings.cpus);
  const spanMs = await shareClock(ports);
  const flows = settings.flows ?? FLOWS_DEFAULT;
  const workers = settings.workers ?? 1;
  return {
    datapath: {
      name: settings.name ?? 'dp0',
      workers,
      flows,
      internalPorts: true,
      arenaSize: arenaSize(ports, flows, workers + 1),
      ...(settings.cpus !== undefined && { affinity: settings.cpus.map(Number) }),
      ...(settings.emcEntries !== undefined && { emcEntries: settings.emcEntries }),
      ...(settings.idleTimeout !== undefined && { idleTimeoutMs: Math.round(settings.idleTimeout * 1000) }),
      ...(settings.hardTimeout !== undefined && { hardTimeoutMs: Math.round(settings.hardTimeout * 1000) }),
      ...(settings.seed !== undefined && { seed: BigInt(settings.seed) }),
    },
    ports,
    handler: settings.handler ?? 'learning',
    json: settings.json ?? false,
    control: settings.control,
    forMs: settings.for === undefined ? undefined : settings.for * 1000,
    spanMs,
    isDemo,
  };
}

function checkCpus(cpus: Settings['cpus']): void {
  if (cpus === undefined) return;
  const reason = nativeUnavailableReason();
  if (reason === undefined) return;
  throw new DatapathError('ERR_NATIVE_UNAVAILABLE', `cpus needs the native addon: ${reason} (npm run doctor)`);
}

/** `--emc-entries` for emcEntries. */
function optionName(field: string): string {
  return `--${field.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
}

function portFields(given: Settings, config: Settings, configFile: string | undefined): PortSetting[] {
  if (given.ports !== undefined)
    return given.ports.map((port) => portSetting(port, (message) => new UsageError(message)));
  const fail = (place: string, message: string): Error =>
    new DatapathError('ERR_CONFIG', `${configFile}: ${place}: ${message}`);
  if (config.ports === undefined || config.ports.length === 0)
    throw fail('ports', 'a datapath needs ports: list some, or give --port');
  return config.ports.map((port, i) => portSetting(port, (message) => fail(`ports[${i}]`, message)));
}

/** Takes a port apart and checks type and options; errors of the registry are told by `fail`. */
function portSetting(field: PortField, fail: (message: string) => Error): PortSetting {
  try {
    const { name, type, options } = typeof field === 'string' ? parsePortSpec(field) : objectSpec(field);
    const checked = checkPort(name, type, options) as Record<string, unknown>;
    return { name, type, options: checked, fail };
  } catch (error) {
    throw error instanceof DatapathError ? fail(error.message) : error;
  }
}

function objectSpec({ name, type, ...options }: Exclude<PortField, string>): {
  name: string;
  type: string;
  options: object;
} {
  return { name, type, options };
}

function withSpeed(port: PortSetting, speed: Settings['speed']): PortSetting {
  if (port.type !== 'pcap' || speed === undefined || port.options.speed !== undefined) return port;
  return { ...port, options: { ...port.options, speed } };
}

/** No file is written that is also read or written by another port: it would be lost. */
function checkFiles(ports: readonly PortSetting[]): void {
  const files = (key: 'rx' | 'tx') =>
    ports.map((port) => port.options[key]).map((file) => (file === undefined ? '' : path.resolve(String(file))));
  const read = files('rx');
  const written = files('tx');
  ports.forEach((port, i) => {
    if (written[i] === '') return;
    const reader = read.indexOf(written[i]);
    if (reader >= 0)
      throw port.fail(
        `port ${port.name}: tx=${port.options.tx} is the capture that port ${ports[reader].name} replays`,
      );
    const other = written.indexOf(written[i]);
    if (other !== i)
      throw port.fail(`port ${port.name}: tx=${port.options.tx} is written by port ${ports[other].name} already`);
  });
}

/** Captures replayed at recorded speed get one clock, that of the earliest packet. Returns how long they last, ms. */
async function shareClock(ports: readonly PortSetting[]): Promise<number | undefined> {
  const recorded = ports.filter(
    ({ type, options }) => type === 'pcap' && options.rx !== undefined && (options.speed ?? 'recorded') === 'recorded',
  );
  if (recorded.length === 0) return undefined;
  const timeline = await commonTimeline(recorded.map(({ options }) => options.rx as string));
  for (const { options } of recorded) options.timeline = timeline;
  return Number(timeline.spanNs) / 1e6;
}

/** Room for the flows, the frames to replay and the rings of the ports; pages not touched cost nothing. Throws ERR_OUT_OF_MEMORY. */
function arenaSize(ports: readonly PortSetting[], flows: number, threads: number): number {
  let size = 256 * MIB + flows * 128;
  for (const { type, options } of ports) {
    if (type === 'pcap') size += captureSize(options.rx) + threads * PCAP_RING_SIZE;
    if (INTERFACE_TYPES.has(type)) size += Number(options.queues ?? 1) * QUEUE_SIZE + threads * TRANSMIT_SIZE;
    if (type === 'generator') size += Number(options.flows ?? 1000) * (generatedSize(options.size) + REPLAY_OVERHEAD);
  }
  if (size > ARENA_SIZE_MAX) {
    const [wanted, most] = [size, ARENA_SIZE_MAX].map((bytes) => `${Math.ceil(bytes / MIB)} MiB`);
    throw new DatapathError(
      'ERR_OUT_OF_MEMORY',
      `ports and flows need about ${wanted}, a datapath has ${most} at most: take fewer or smaller flows, ports or workers`,
    );
  }
  return size;
}

/** Small frames grow most: to a cache line and a descriptor. */
function captureSize(file: unknown): number {
  const size = file === undefined ? 0 : (statSync(String(file), { throwIfNoEntry: false })?.size ?? 0);
  return 3 * size;
}

function generatedSize(sizes: unknown): number {
  const largest = Number(
    String(sizes ?? 60)
      .split('-')
      .at(-1),
  );
  return Number.isNaN(largest) ? 1536 : Math.min(largest, FRAME_SIZE_MAX);
}
