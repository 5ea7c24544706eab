/*
 * The status of a running datapath: rates from pairs of snapshots, one line for people (rewritten in place on a terminal, one a second otherwise) or one
 * JSON object a second for programs.
 *
 * Before it: run-session.ts starts and stops it. After it: stderr for people, stdout for JSON. Main thread; reads counters only.
 */
import { createColors } from 'picocolors';
import type { Datapath } from '../datapath/datapath.ts';
import type { DatapathStats, PortStats } from '../datapath/stats.ts';

/** On a terminal the line is rewritten so often; rates are over the last RATE_WINDOW_MS. */
const LIVE_MS = 200;
const PLAIN_MS = 1000;
const RATE_WINDOW_MS = 1000;

/** What stdout and stderr have to have. */
export interface Output {
  write(text: string): unknown;
  readonly isTTY?: boolean;
  readonly columns?: number;
}

export interface Rates {
  packetsPerSecond: number;
  /** Of the packets received in the window, 0 to 1; 0 without packets. */
  emcHitRate: number;
  megaflowHitRate: number;
  offloadHitRate: number;
  setupsPerSecond: number;
}

interface Sample {
  timeMs: number;
  stats: DatapathStats;
}

/** Rates over the last second, or over the time since the beginning while that is shorter. */
export class RateMeter {
  readonly #samples: Sample[];

  constructor(stats: DatapathStats, timeMs: number) {
    this.#samples = [{ timeMs, stats }];
  }

  sample(stats: DatapathStats, timeMs: number): Rates {
    const samples = this.#samples;
    samples.push({ timeMs, stats });
    while (samples.length > 2 && samples[1].timeMs <= timeMs - RATE_WINDOW_MS) samples.shift();
    const before = samples[0];
    const seconds = Math.max(timeMs - before.timeMs, 1) / 1000;
    const received = stats.received - before.stats.received;
    const share = (part: number): number => (received <= 0 ? 0 : part / received);
    return {
      packetsPerSecond: Math.round(received / seconds),
      emcHitRate: share(stats.hits.emc - before.stats.hits.emc),
      megaflowHitRate: share(stats.hits.megaflow - before.stats.hits.megaflow),
      offloadHitRate: share(stats.hits.offload - before.stats.hits.offload),
      setupsPerSecond: Math.round((stats.installed - before.stats.installed) / seconds),
    };
  }
}

/** All drops, whatever their name. */
export function totalDrops(stats: DatapathStats): number {
  return Object.values(stats.drops).reduce((sum, count) => sum + count, 0);
}

/** A number with thousands separated. */
export function grouped(n: number): string {
  return n.toLocaleString('en-US');
}

/** Whether to colour what goes to `output`: a terminal, unless NO_COLOR says otherwise. */
export function colorsFor(output: Output, env: NodeJS.ProcessEnv = process.env): ReturnType<typeof createColors> {
  const wanted = output.isTTY === true && env.TERM !== 'dumb';
  return createColors(!env.NO_COLOR && (wanted || Boolean(env.FORCE_COLOR)));
}

/** The one line. `spanMs`: how long it will take, when that is known. */
export function statusText(stats: DatapathStats, rates: Rates, elapsedMs: number, spanMs: number | undefined): string {
  const seconds = (ms: number): string => (ms / 1000).toFixed(1);
  const percent = (rate: number): string => `${(rate * 100).toFixed(0)}%`;
  const offload = rates.offloadHitRate > 0 ? ` offload ${percent(rates.offloadHitRate)}` : '';
  return [
    spanMs === undefined
      ? `${seconds(elapsedMs)} s`
      : `${seconds(Math.min(elapsedMs, spanMs))} of ${seconds(spanMs)} s`,
    `${grouped(rates.packetsPerSecond)} packets/s`,
    `hits EMC ${percent(rates.emcHitRate)} megaflow ${percent(rates.megaflowHitRate)}${offload}`,
    `flows ${grouped(stats.flows)}`,
    `setups ${grouped(rates.setupsPerSecond)}/s`,
    `drops ${grouped(totalDrops(stats))}`,
    `packets ${grouped(stats.received)}`,
  ].join('  ');
}

export interface PortStatus extends PortStats {
  portNo: number;
  name: string;
  type: string;
  options: string;
  /** Lost by the kernel on the way to the port: its ring was full. */
  kernelDrops: number;
}

/** Statistics of all ports, in the order of their numbers. */
export function portStatus(datapath: Datapath): PortStatus[] {
  return [...datapath.ports]
    .sort((one, other) => one.portNo - other.portNo)
    .map((port) => ({
      portNo: port.portNo,
      name: port.name,
      type: port.type,
      options: port.describe(),
      kernelDrops: port.kernelDrops,
      ...port.stats(),
    }));
}

export interface StatusOptions {
  datapath: Datapath;
  /** NDJSON on `out` instead of lines on `err`. */
  json: boolean;
  spanMs: number | undefined;
  out: Output;
  err: Output;
}

/** Reports regularly from `start` to `stop`. */
export class StatusReporter {
  readonly #options: StatusOptions;
  readonly #meter: RateMeter;
  readonly #startMs = performance.now();
  #timer: NodeJS.Timeout | undefined;
  #lineShown = false;

  constructor(options: StatusOptions) {
    this.#options = options;
    this.#meter = new RateMeter(options.datapath.stats(), this.#startMs);
  }

  start(): void {
    const { json, err } = this.#options;
    const live = !json && err.isTTY === true;
    const report = json ? () => this.#reportJson() : live ? () => this.#reportLive() : () => this.#reportPlain();
    this.#timer = setInterval(report, live ? LIVE_MS : PLAIN_MS);
    if (live) report();
  }

  /** Ends reporting and clears the live line. */
  stop(): void {
    clearInterval(this.#timer);
    if (this.#lineShown) this.#options.err.write('\r\x1b[K');
    this.#lineShown = false;
  }

  /** Prints a line of chatter without disturbing the live line. */
  say(text: string): void {
    this.#options.err.write(`${this.#lineShown ? '\r\x1b[K' : ''}${text}\n`);
  }

  #text(): string {
    const now = performance.now();
    const stats = this.#options.datapath.stats();
    return statusText(stats, this.#meter.sample(stats, now), now - this.#startMs, this.#options.spanMs);
  }

  #reportLive(): void {
    const { err } = this.#options;
    const text = this.#text().slice(0, Math.max(20, (err.columns || 80) - 1));
    err.write(`\r\x1b[K${colorsFor(err).cyan(text)}`);
    this.#lineShown = true;
  }

  #reportPlain(): void {
    this.#options.err.write(`${this.#text()}\n`);
  }

  #reportJson(): void {
    const { datapath, out } = this.#options;
    const now = performance.now();
    const stats = datapath.stats();
    const rates = this.#meter.sample(stats, now);
    const seconds = (now - this.#startMs) / 1000;
    out.write(
      `${JSON.stringify({ type: 'stats', name: datapath.name, seconds, rates, ...stats, ports: portStatus(datapath) })}\n`,
    );
  }
}
