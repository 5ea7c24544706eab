/*
 * coverage/show: every counter of the datapath and of its control socket as an event, with its rate over the last five seconds, minute and hour, in the
 * lines of Open vSwitch. Before it: unixctl.ts. After it: `read`, which gives the totals.
 *
 * Concepts. Totals are noted every INTERVAL_MS, an hour back; rates are differences between notes, so they change every five seconds and begin at zero.
 * Ownership. `close` ends the timer. Owner thread.
 */
import type { Datapath } from '../datapath/datapath.ts';
import { type UnixctlCommands, UnixctlError } from './unixctl.ts';

const INTERVAL_MS = 5000;
const MINUTE = 60_000 / INTERVAL_MS;
const HOUR = 60 * MINUTE;

export type Totals = Readonly<Record<string, number>>;

export class Coverage {
  readonly #read: () => Totals;
  /** The newest last. */
  readonly #notes: Totals[] = [];
  readonly #timer: NodeJS.Timeout;

  constructor(read: () => Totals) {
    this.#read = read;
    this.#timer = setInterval(() => this.note(), INTERVAL_MS);
    this.#timer.unref();
  }

  /** Notes the totals of now; the timer does it. */
  note(): void {
    this.#notes.push(this.#read());
    if (this.#notes.length > HOUR + 1) this.#notes.shift();
  }

  close(): void {
    clearInterval(this.#timer);
  }

  total(name: string): number | undefined {
    return this.#read()[name];
  }

  /** One line for each event that happened, and how many never did. */
  text(): string {
    const totals = Object.entries(this.#read());
    const seen = totals.filter(([, total]) => total !== 0);
    const lines = seen.map(([name, total]) => {
      const [last, minute, hour] = [1, MINUTE, HOUR].map((span) => this.#perSecond(name, span));
      return `${name.padEnd(24)} ${last.toFixed(1).padStart(5)}/sec ${minute.toFixed(3).padStart(9)}/sec ${hour.toFixed(4).padStart(13)}/sec   total: ${total}\n`;
    });
    const hash = ranksHash(totals).toString(16).padStart(8, '0');
    const head = `Event coverage, avg rate over last: ${INTERVAL_MS / 1000} seconds, last minute, last hour,  hash=${hash}:\n`;
    return `${head}${lines.join('')}${totals.length - seen.length} events never hit\n`;
  }

  /** Over `span` intervals up to the last note. What is older than the oldest note counts as never. */
  #perSecond(name: string, span: number): number {
    const last = this.#notes.length - 1;
    const count = (this.#notes[last]?.[name] ?? 0) - (this.#notes[last - span]?.[name] ?? 0);
    return (count * 1000) / (span * INTERVAL_MS);
  }
}

/** Equal for two readings in which the same events happened, in the same order of frequency. */
function ranksHash(totals: readonly (readonly [string, number])[]): number {
  const ranked = totals
    .filter(([, total]) => total !== 0)
    .sort((one, other) => other[1] - one[1] || (one[0] < other[0] ? -1 : 1));
  let hash = 0x811c9dc5;
  for (const [name] of ranked) for (const char of `${name} `) hash = Math.imul(hash ^ char.charCodeAt(0), 0x01000193);
  return hash >>> 0;
}

/** The counters of a datapath by the names of their events. */
export function datapathTotals(datapath: Datapath): Record<string, number> {
  const { hits, drops, upcalls, ...stats } = datapath.stats();
  const totals: Record<string, number> = {
    datapath_received: stats.received,
    datapath_recirculated: stats.recirculated,
    datapath_emc_hit: hits.emc,
    datapath_megaflow_hit: hits.megaflow,
    datapath_offload_hit: hits.offload,
    datapath_miss: stats.misses,
    datapath_subtable_lookup: stats.subtableLookups,
    datapath_emc_insert: stats.emcInserts,
    datapath_upcall_miss: upcalls.miss,
    datapath_upcall_action: upcalls.action,
    datapath_upcall_action_lost: upcalls.actionLost,
    datapath_answered: stats.answered,
    datapath_flow_installed: stats.installed,
    datapath_executed: stats.executed,
    datapath_transmitted: stats.transmitted,
    datapath_copy: stats.copies,
    datapath_psample: stats.psampled,
    datapath_worker_lost: stats.workersLost,
  };
  for (const [name, count] of Object.entries(drops))
    totals[`datapath_drop_${name.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)}`] = count;
  return totals;
}

/** Registers coverage/show and coverage/read-counter. */
export function registerCoverage(commands: UnixctlCommands, coverage: Coverage): void {
  commands.register('coverage/show', { usage: '', minArgs: 0, maxArgs: 0, run: () => coverage.text() });
  commands.register('coverage/read-counter', {
    usage: 'COUNTER',
    minArgs: 1,
    maxArgs: 1,
    run: ([name]) => {
      const total = coverage.total(name);
      if (total === undefined) throw new UnixctlError('No such counter');
      return String(total);
    },
  });
}
