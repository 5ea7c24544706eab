/*
 * Options of the control commands, and how they are told from the other words: those of ovs-dpctl, anywhere among the words, and `--json`.
 *
 * Before it: the words of a command line or of a request. After it: context.ts. Pure.
 */
import type { DpctlOptions } from './context.ts';

export interface DpctlOptionRow {
  readonly short?: string;
  readonly long: string;
  /** Name of its value in the help; undefined: it has none. */
  readonly value?: string;
  readonly summary: string;
}

export const DPCTL_OPTIONS: readonly DpctlOptionRow[] = [
  { short: 's', long: 'statistics', summary: 'statistics of ports, or of the flows that are changed' },
  { short: 'm', long: 'more', summary: 'say more; names instead of numbers' },
  { long: 'names', summary: 'names of ports instead of their numbers' },
  { long: 'no-names', summary: 'numbers of ports, even with --more' },
  { long: 'may-create', summary: 'mod-flow: create the flow if there is none' },
  { long: 'clear', summary: 'mod-flow: statistics begin again at zero' },
  { long: 'read-only', summary: 'refuse commands that change something' },
  { long: 'json', summary: 'one JSON object a line' },
];

export interface DpctlWords {
  readonly options: DpctlOptions;
  /** Long names of the options that were given. */
  readonly seen: ReadonlySet<string>;
  /** Values of the options that the caller added. */
  readonly values: ReadonlyMap<string, string>;
  /** The words that are no options. */
  readonly args: readonly string[];
}

/** A word that begins with a dash and is no option, or an option that lacks its value. */
export class DpctlOptionError extends Error {
  override readonly name = 'DpctlOptionError';
}

/** Tells options from arguments; `more` are options that only the caller knows. Throws DpctlOptionError. */
export function readWords(words: readonly string[], more: readonly DpctlOptionRow[] = []): DpctlWords {
  const rows = [...DPCTL_OPTIONS, ...more];
  const seen: string[] = [];
  const values = new Map<string, string>();
  const args: string[] = [];
  const queue = [...words];
  while (queue.length > 0) {
    const word = queue.shift()!;
    if (word === '--') args.push(...queue.splice(0));
    else if (word.startsWith('--')) readLong(word, rows, queue, seen, values);
    else if (word.startsWith('-') && word !== '-') readShort(word, rows, queue, seen, values);
    else args.push(word);
  }
  return { options: optionsOf(seen), seen: new Set(seen), values, args };
}

function readLong(
  word: string,
  rows: readonly DpctlOptionRow[],
  queue: string[],
  seen: string[],
  values: Map<string, string>,
): void {
  const [, name, assigned] = /^--([^=]*)(?:=(.*))?$/s.exec(word)!;
  const row = rows.find(({ long }) => long === name);
  if (row === undefined || (row.value === undefined && assigned !== undefined)) throw unrecognized(word);
  seen.push(name);
  if (row.value !== undefined) values.set(name, assigned ?? queue.shift() ?? missing(word));
}

/** `-ms` is `-m -s`; a value may stand in the same word. */
function readShort(
  word: string,
  rows: readonly DpctlOptionRow[],
  queue: string[],
  seen: string[],
  values: Map<string, string>,
): void {
  for (let at = 1; at < word.length; at++) {
    const row = rows.find(({ short }) => short === word[at]);
    if (row === undefined) throw unrecognized(`-${word[at]}`);
    seen.push(row.long);
    if (row.value === undefined) continue;
    values.set(row.long, word.slice(at + 1) || (queue.shift() ?? missing(word)));
    return;
  }
}

function unrecognized(word: string): DpctlOptionError {
  return new DpctlOptionError(`Unrecognized option ${word}`);
}

function missing(word: string): never {
  throw new DpctlOptionError(`option ${word} requires an argument`);
}

/** Names are shown with --more unless the last of --names and --no-names says otherwise. */
function optionsOf(seen: readonly string[]): DpctlOptions {
  const verbosity = seen.filter((name) => name === 'more').length;
  const last = seen.findLast((name) => name === 'names' || name === 'no-names');
  return {
    statistics: seen.includes('statistics'),
    verbosity,
    names: last === undefined ? verbosity > 0 : last === 'names',
    mayCreate: seen.includes('may-create'),
    clear: seen.includes('clear'),
    readOnly: seen.includes('read-only'),
    json: seen.includes('json'),
  };
}
