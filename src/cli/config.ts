/*
 * The settings of `wdp run`, wherever they were written: options of the command line and fields of a JSON file are the same names and are held
 * against the same table. Before it: commander, or the file. After it: run-settings.ts, which fills in the defaults.
 *
 * An error names the place (`--workers`, or `lab.json: ports[1].type`), what is wrong and what is allowed. Pure but for reading the file. Main thread.
 */
import { readFileSync } from 'node:fs';
import * as v from 'valibot';
import * as C from '../../assembly/constants.ts';
import { DatapathError } from '../errors.ts';
import { HANDLER_FORMS } from '../upcall/registry.ts';
import { allowedCpus } from '../worker/affinity.ts';

/** A port in a file: its SPEC as text, or an object with the options of its type beside name and type. */
export type PortField = string | { name: string; type: string; [option: string]: unknown };

export interface Settings {
  name?: string | undefined;
  ports?: PortField[] | undefined;
  handler?: string | undefined;
  workers?: number | undefined;
  /** Of the workers, in turn. */
  cpus?: (number | string)[] | undefined;
  flows?: number | undefined;
  emcEntries?: number | undefined;
  /** Seconds, 0 = never. */
  idleTimeout?: number | undefined;
  hardTimeout?: number | undefined;
  seed?: number | undefined;
  /** Of pcap ports that do not say. */
  speed?: 'recorded' | 'max' | number | undefined;
  /** Path of the control socket. */
  control?: string | undefined;
  /** Seconds. */
  for?: number | undefined;
  json?: boolean | undefined;
}

/** Longest timeout: the datapath keeps them as signed 32-bit milliseconds. */
const SECONDS_MAX = 2147483;

/** A value that passes `test`; otherwise "must be <allowed>, not <value>". */
function field<T>(allowed: string | (() => string), test: (value: unknown) => boolean) {
  const text = (): string => (typeof allowed === 'string' ? allowed : allowed());
  return v.custom<T>(test, (issue) => `must be ${text()}, not ${valueText(issue.input)}`);
}

function valueText(value: unknown): string {
  return typeof value === 'object' && value !== null
    ? Array.isArray(value)
      ? 'a list'
      : 'an object'
    : JSON.stringify(value);
}

function integer(low: number, high: number) {
  const allowed = `an integer from ${low} to ${high}`;
  return field<number>(allowed, (n) => Number.isInteger(n) && (n as number) >= low && (n as number) <= high);
}

function seconds(low: number) {
  const allowed = `a number of seconds from ${low} to ${SECONDS_MAX}`;
  return field<number>(allowed, (n) => typeof n === 'number' && n >= low && n <= SECONDS_MAX);
}

const isText = (value: unknown): value is string => typeof value === 'string' && value !== '';
const isObject = (value: unknown): boolean => typeof value === 'object' && value !== null && !Array.isArray(value);
const isPowerOfTwo = (n: unknown): boolean => Number.isInteger(n) && ((n as number) & ((n as number) - 1)) === 0;

function areCpus(value: unknown): boolean {
  const allowed = allowedCpus();
  const isCpu = (n: unknown): boolean =>
    Number.isInteger(n) && (allowed.length === 0 ? (n as number) >= 0 : allowed.includes(n as number));
  return Array.isArray(value) && value.length > 0 && value.every(isCpu);
}

function isHandler(value: unknown): boolean {
  if (!isText(value)) return false;
  return HANDLER_FORMS.some((form) =>
    form.endsWith(':FILE') ? value.startsWith(form.slice(0, -4)) && value.length > form.length - 4 : value === form,
  );
}

const portObject = v.pipe(
  field<Record<string, unknown>>('a SPEC as text or an object with name, type and options', isObject),
  v.looseObject({
    name: field<string>('the name of the port', isText),
    type: field<string>('the type of the port', isText),
  }),
);

const settingsSchema = v.strictObject({
  name: v.optional(field<string>('a name', isText)),
  ports: v.optional(
    v.pipe(
      field<unknown[]>('a list of ports', Array.isArray),
      v.array(v.lazy((port) => (isText(port) ? v.string() : portObject))),
    ),
  ),
  handler: v.optional(field<string>(`one of ${HANDLER_FORMS.join(', ')}`, isHandler)),
  workers: v.optional(integer(0, C.WORKERS_MAX - 1)),
  cpus: v.optional(field<number[]>(() => `a list of CPUs that there are: ${allowedCpus().join() || 'any'}`, areCpus)),
  flows: v.optional(integer(1, C.FLOWS_MAX)),
  emcEntries: v.optional(
    field<number>(
      `a power of two from ${C.EMC_ENTRIES_MIN} to ${C.EMC_ENTRIES_MAX}`,
      (n) => isPowerOfTwo(n) && (n as number) >= C.EMC_ENTRIES_MIN && (n as number) <= C.EMC_ENTRIES_MAX,
    ),
  ),
  idleTimeout: v.optional(seconds(0)),
  hardTimeout: v.optional(seconds(0)),
  seed: v.optional(integer(0, Number.MAX_SAFE_INTEGER)),
  speed: v.optional(
    field<'recorded' | 'max' | number>(
      'recorded, max, or packets a second',
      (n) => n === 'recorded' || n === 'max' || (typeof n === 'number' && n >= 1),
    ),
  ),
  control: v.optional(field<string>('a path', isText)),
  for: v.optional(seconds(0.001)),
  json: v.optional(field<boolean>('true or false', (value) => typeof value === 'boolean')),
});

/** Checks settings; `placeOf` says where a field (`workers`, `ports[1].type`) was written. Throws what `fail` makes of the first error. */
export function checkSettings(
  value: unknown,
  placeOf: (path: string) => string,
  fail: (message: string) => Error,
): Settings {
  if (!isObject(value)) throw fail(`${placeOf('the settings')} must be an object, not ${valueText(value)}`);
  const parsed = v.safeParse(settingsSchema, value, { abortEarly: true });
  if (parsed.success) return parsed.output as Settings;
  const [issue] = parsed.issues;
  const path = pathText(issue);
  if (issue.type === 'strict_object')
    throw fail(`${placeOf(path)} is not a setting; there are ${Object.keys(settingsSchema.entries).join(', ')}`);
  const missing = issue.input === undefined;
  throw fail(missing ? `${placeOf(path)} is missing` : `${placeOf(path)} ${issue.message}`);
}

/** `ports[1].type` for the path of an issue. */
function pathText(issue: v.BaseIssue<unknown>): string {
  let text = '';
  for (const { key } of issue.path ?? []) {
    if (typeof key === 'number') text += `[${key}]`;
    else text += text === '' ? String(key) : `.${String(key)}`;
  }
  return text;
}

/** Reads a configuration file. Throws DatapathError ERR_CONFIG naming the file and the place in it. */
export function readConfig(file: string): Settings {
  const fail = (message: string, cause?: unknown): DatapathError => new DatapathError('ERR_CONFIG', message, { cause });
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (cause) {
    throw fail(`cannot read the configuration ${file}: ${(cause as Error).message}`, cause);
  }
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw fail(`${file}${placeOfSyntaxError(text, cause)}: this is not JSON: ${(cause as Error).message}`, cause);
  }
  return checkSettings(value, (path) => `${file}: ${path}`, fail);
}

/** `:LINE:COLUMN` when the engine says at which position it stopped. */
function placeOfSyntaxError(text: string, error: unknown): string {
  const found = /at position (\d+)/.exec((error as Error).message);
  const at = found !== null ? Number(found[1]) : /end of JSON input/.test((error as Error).message) ? text.length : -1;
  if (at < 0) return '';
  const lines = text.slice(0, at).split('\n');
  return `:${lines.length}:${lines[lines.length - 1].length + 1}`;
}
