/*
 * Service: what `wdp run` tells the service manager that started it (systemd, sd_notify(3)): that it is ready, that it stops, and while its workers go
 * round, that it is alive. Before it: run-session.ts. After it: a datagram to NOTIFY_SOCKET. Without a service manager it does nothing.
 * Main thread.
 */
import * as C from '../../assembly/constants.ts';
import type { Datapath } from '../datapath/datapath.ts';
import { nativeAddon } from '../native/load.ts';

const US_PER_MS = 1000;

export class Service {
  readonly #socket = process.env.NOTIFY_SOCKET;
  /** How often the service manager wants to hear, 0 never. */
  readonly #watchdogMs =
    process.env.WATCHDOG_PID === undefined || Number(process.env.WATCHDOG_PID) === process.pid
      ? Number(process.env.WATCHDOG_USEC ?? 0) / US_PER_MS
      : 0;
  #timer: NodeJS.Timeout | undefined;

  #tell(...lines: string[]): void {
    if (this.#socket) nativeAddon()?.notify(this.#socket, lines.join('\n'));
  }

  /** Everything runs. From now on it is told so twice in the time that the service manager allows, as long as every worker goes round. */
  ready(datapath: Datapath): void {
    this.#tell('READY=1', `STATUS=${datapath.ports.count} ports, ${datapath.options.workers} workers`);
    if (this.#watchdogMs <= 0) return;
    const pulse = new Pulse(datapath);
    this.#timer = setInterval(() => {
      if (pulse.isAlive()) this.#tell('WATCHDOG=1');
    }, this.#watchdogMs / 2);
    this.#timer.unref();
  }

  stopping(): void {
    this.#tell('STOPPING=1');
  }

  close(): void {
    clearInterval(this.#timer);
  }
}

/** Whether the workers of a datapath go round: each sleeps, or has begun another round since it was looked at last. */
class Pulse {
  readonly #datapath: Datapath;
  readonly #turns = new Map<number, number>();

  constructor(datapath: Datapath) {
    this.#datapath = datapath;
  }

  isAlive(): boolean {
    const { memory, pollers } = this.#datapath;
    let alive = true;
    for (let slot = 1; slot <= pollers; slot++) {
      const word = (offset: number): number => Atomics.load(memory.int32, (memory.workerArea(slot) + offset) >>> 2);
      const turns = word(C.WORKER_TURNS);
      const moves = turns !== this.#turns.get(slot) || word(C.WORKER_SLEEPING) !== 0;
      this.#turns.set(slot, turns);
      alive &&= moves && word(C.WORKER_STATE) === C.WORKER_POLLING;
    }
    return alive;
  }
}
