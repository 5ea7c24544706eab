/*
 * What Dpif says about its work, by the rules of lib/dpif.c: what succeeded is for debugging; what was refused is a warning, unless it is a part of
 * normal life (a port that is not there, a flow that overlaps another one, a probe). Both are kept to a rate. Before it: Dpif. After it: `setDpifLog`; nobody is told
 * until that is called. Threads: each has its own.
 */
export type DpifLogLevel = 'warn' | 'dbg';

export interface DpifLog {
  /** Whether a line of this level would be heard. */
  isOn(level: DpifLogLevel): boolean;
  log(level: DpifLogLevel, text: string): void;
}

/** Sets who is told; undefined: nobody. */
export function setDpifLog(log: DpifLog | undefined): void {
  sink = log;
}

let sink: DpifLog | undefined;

/** So many lines a minute, and so many at once. */
class Rate {
  readonly #perMinute: number;
  readonly #burst: number;
  #tokens: number;
  #filledMs = performance.now();
  #dropped = 0;

  constructor(perMinute: number, burst: number) {
    this.#perMinute = perMinute;
    this.#burst = burst;
    this.#tokens = burst;
  }

  /** How many lines were left out before this one; undefined: this one is left out too. */
  take(): number | undefined {
    const nowMs = performance.now();
    this.#tokens = Math.min(this.#burst, this.#tokens + ((nowMs - this.#filledMs) * this.#perMinute) / 60_000);
    this.#filledMs = nowMs;
    if (this.#tokens < 1) {
      this.#dropped++;
      return undefined;
    }
    this.#tokens--;
    const dropped = this.#dropped;
    this.#dropped = 0;
    return dropped;
  }
}

// the rates of lib/dpif.c: errors, and messages for debugging
const RATES: Readonly<Record<DpifLogLevel, Rate>> = { warn: new Rate(60, 5), dbg: new Rate(600, 600) };

/** Says a line; `text` is made only when somebody hears it. */
export function say(level: DpifLogLevel, text: () => string): void {
  if (sink === undefined || !sink.isOn(level)) return;
  const dropped = RATES[level].take();
  if (dropped === undefined) return;
  if (dropped > 0) sink.log(level, `dropped ${dropped} lines like the next one`);
  sink.log(level, text());
}
