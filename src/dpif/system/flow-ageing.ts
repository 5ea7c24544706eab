/*
 * Ageing of flows in the kernel's table, which never removes any by itself: those that answers installed are noted with their timeouts, and from time to time the table's
 * statistics are read and what is past its time is deleted. Flows that others put are left alone. Before it: answers.ts. After it: dumps and deletions of
 * the datapath, on the event loop. Threads: one.
 */
import { monotonicMs } from '../../wasm/clock.ts';
import { ENOENT } from '../errors.ts';
import type { ProviderDatapath } from '../provider.ts';
import type { FlowDel } from '../types.ts';
import type { InstalledFlow } from './answers.ts';

interface Noted {
  createdMs: number;
  idleMs: number;
  hardMs: number;
}

/** Flows read between two looks at the event loop. */
const BATCH = 256;

export class FlowAgeing {
  /** Flows deleted so far. */
  expired = 0;
  readonly #datapath: Pick<ProviderDatapath, 'flowDump' | 'operateAsync'>;
  readonly #flows = new Map<string, Noted>();
  #running = false;

  constructor(datapath: Pick<ProviderDatapath, 'flowDump' | 'operateAsync'>) {
    this.#datapath = datapath;
  }

  /** Flows that are watched. */
  get count(): number {
    return this.#flows.size;
  }

  note({ ufid, idleMs, hardMs }: InstalledFlow): void {
    if (idleMs === 0 && hardMs === 0) this.#flows.delete(nameOf(ufid));
    else this.#flows.set(nameOf(ufid), { createdMs: monotonicMs(), idleMs, hardMs });
  }

  forget(): void {
    this.#flows.clear();
  }

  /** Looks at all flows once; a call while another is under way does nothing. */
  async round(): Promise<void> {
    if (this.#running || this.#flows.size === 0) return;
    this.#running = true;
    try {
      await this.#sweep();
    } finally {
      this.#running = false;
    }
  }

  async #sweep(): Promise<void> {
    const startMs = monotonicMs();
    const seen = new Set<string>();
    const expired: FlowDel[] = [];
    const dump = this.#datapath.flowDump({ terse: true });
    const thread = dump.thread();
    for (let flows = await thread.nextAsync(BATCH); flows.length > 0; flows = await thread.nextAsync(BATCH)) {
      for (const { ufid, stats } of flows) {
        const noted = ufid && this.#flows.get(nameOf(ufid));
        if (noted === undefined) continue;
        seen.add(nameOf(ufid!));
        if (isExpired(noted, Number(stats.usedMs), startMs))
          expired.push({ type: 'flow_del', ufid: ufid!, terse: true });
      }
      await new Promise(setImmediate);
    }
    dump.close();
    for (const [name, { createdMs }] of this.#flows)
      if (!seen.has(name) && createdMs < startMs) this.#flows.delete(name);
    await this.#delete(expired);
  }

  async #delete(expired: readonly FlowDel[]): Promise<void> {
    await this.#datapath.operateAsync(expired);
    for (const { ufid, error } of expired) {
      if (error !== undefined && error.errno !== ENOENT) throw error;
      this.#flows.delete(nameOf(ufid!));
      this.expired++;
    }
  }
}

function isExpired({ createdMs, idleMs, hardMs }: Noted, usedMs: number, nowMs: number): boolean {
  if (hardMs !== 0 && nowMs - createdMs > hardMs) return true;
  return idleMs !== 0 && nowMs - Math.max(usedMs, createdMs) > idleMs;
}

function nameOf(ufid: Uint8Array): string {
  return Buffer.from(ufid.buffer, ufid.byteOffset, ufid.length).toString('latin1');
}
