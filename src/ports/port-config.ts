/*
 * What is set for a port while it is there, in the words that Open vSwitch has for it in `other_config` of an interface. Before it: Dpif.portSetConfig. After it:
 * distribution.ts, which puts queues where they are pinned, and the descriptor of the port, which says whether the exact-match cache is used. Pure.
 */
export interface PortConfig {
  /** `pmd-rxq-affinity`: the core that each queue is pinned to, by the number of the queue. */
  readonly cores: ReadonlyMap<number, number>;
  /** `emc-enable`: packets that come by the port are looked up in the exact-match cache. */
  readonly emc: boolean;
}

export const DEFAULT_CONFIG: PortConfig = { cores: new Map(), emc: true };
const NUMBER_MAX = 0x7fffffff;

/** Reads the whole configuration: a key that is missing has its default, one that is not known is passed over. Throws RangeError. */
export function readPortConfig(config: Readonly<Record<string, string>>): PortConfig {
  return { cores: readAffinity(config['pmd-rxq-affinity'] ?? ''), emc: readSwitch(config['emc-enable'], true) };
}

/** A switch of Open vSwitch's database: what is neither true nor false is the default. */
export function readSwitch(value: string | undefined, byDefault: boolean): boolean {
  const text = value?.toLowerCase();
  return byDefault ? text !== 'false' : text === 'true';
}

/** `QUEUE:CORE,...`; of two for one queue the last counts. Open vSwitch takes `QUEUE=CORE` and `QUEUE(CORE)`, blanks between them, and C's numbers too. */
function readAffinity(text: string): Map<number, number> {
  const cores = new Map<number, number>();
  for (const item of text.split(/[\s,]+/)) {
    if (item === '') continue;
    const [, queue, afterMark, inBrackets] = /^([^:=(]+)(?:[:=](.+)|\((.+)\))$/.exec(item) ?? [];
    const core = afterMark ?? inBrackets;
    const pair = [queue, core].map(readNumber);
    if (pair.includes(Number.NaN)) throw malformed(item);
    cores.set(pair[0], pair[1]);
  }
  return cores;
}

/** 12, 0xc or 014; NaN for anything else. */
function readNumber(text: string | undefined): number {
  const digits = /^\+?(?:0x([0-9a-f]+)|(0[0-7]*)|([1-9]\d*))$/i.exec(text ?? '');
  if (digits === null) return Number.NaN;
  const [, hex, octal, decimal] = digits;
  const value = hex !== undefined ? parseInt(hex, 16) : octal !== undefined ? parseInt(octal, 8) : Number(decimal);
  return value <= NUMBER_MAX ? value : Number.NaN;
}

function malformed(item: string): RangeError {
  return new RangeError(`pmd-rxq-affinity is a list of QUEUE:CORE, such as 0:2,1:3; "${item}" is none`);
}

/** The configuration in the words that it is set by. */
export function formatPortConfig({ cores, emc }: PortConfig): [string, string][] {
  const affinity = [...cores].map(([queue, core]) => `${queue}:${core}`).join();
  return [
    ['pmd-rxq-affinity', affinity],
    ['emc-enable', String(emc)],
  ];
}
