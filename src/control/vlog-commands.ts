/*
 * vlog/*: the levels of the log, seen and set over the control socket. Before it: unixctl.ts. After it: log.ts.
 *
 * Open vSwitch has three destinations and so has the list; only the console is one here, and setting another is an error rather than a setting
 * that does nothing. Owner thread.
 */
import { LOG_LEVELS, LOG_MODULES, type Log, type LogLevel, type LogModule } from '../log.ts';
import { type UnixctlCommands, UnixctlError } from './unixctl.ts';

const ELSEWHERE: ReadonlySet<string> = new Set(['syslog', 'file']);
const WORDS_MAX = 64;

/** Registers vlog/list, vlog/set and vlog/reopen. */
export function registerVlog(commands: UnixctlCommands, log: Log): void {
  commands.register('vlog/list', { usage: '', minArgs: 0, maxArgs: 0, run: () => listLevels(log) });
  commands.register('vlog/set', {
    usage: '{spec | PATTERN:destination:pattern}',
    minArgs: 0,
    maxArgs: WORDS_MAX,
    run: (specs) => {
      for (const spec of specs.length === 0 ? [''] : specs) setLevels(log, spec);
      return '';
    },
  });
  commands.register('vlog/reopen', {
    usage: '',
    minArgs: 0,
    maxArgs: 0,
    run: () => {
      throw new UnixctlError('Logging to file not configured');
    },
  });
}

function listLevels(log: Log): string {
  const rows = [...LOG_MODULES].sort().map((module) => [module, log.level(module).toUpperCase(), 'OFF', 'OFF']);
  const lines = rows.map(
    ([name, ...levels]) => `${name.padEnd(16)}  ${levels.map((level) => level.padStart(4)).join(' '.repeat(7))}`,
  );
  return [
    '                 console    syslog    file',
    '                 -------    ------    ------',
    ...lines,
    '',
  ].join('\n');
}

/** `[MODULE][:DESTINATION][:LEVEL]` in any order, as Open vSwitch reads it; what is not said is everything, the level is dbg. */
function setLevels(log: Log, spec: string): void {
  let module: LogModule | undefined;
  let level: LogLevel | undefined;
  let destination: string | undefined;
  for (const word of spec.split(/[ ,:\t]+/).filter((part) => part !== '')) {
    const lower = word.toLowerCase();
    if (lower === 'any') continue;
    if (lower === 'pattern' || lower === 'facility')
      throw new UnixctlError(`${word}: lines of the console have one form here`);
    if (lower === 'console' || ELSEWHERE.has(lower)) destination = once(destination, lower, 'destinations');
    else if (isLevel(lower)) level = once(level, lower, 'levels');
    else if (isModule(word)) module = once(module, word, 'modules');
    else throw new UnixctlError(`no destination, level, or module "${word}"`);
  }
  if (destination !== undefined && destination !== 'console')
    throw new UnixctlError(`${destination} is no destination here: the log goes to the console`);
  for (const name of module === undefined ? LOG_MODULES : [module]) log.setLevel(name, level ?? 'dbg');
}

function once<T>(before: T | undefined, value: T, what: string): T {
  if (before !== undefined) throw new UnixctlError(`cannot specify multiple ${what}`);
  return value;
}

function isLevel(word: string): word is LogLevel {
  return (LOG_LEVELS as readonly string[]).includes(word);
}

function isModule(word: string): word is LogModule {
  return (LOG_MODULES as readonly string[]).includes(word);
}
