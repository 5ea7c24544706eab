/*
 * The log of a running worker: modules that have something to say, a level for each, and one destination, the console. The names and levels are those
 * of Open vSwitch, so that `vlog/list` and `vlog/set` of the control socket work on it (control/vlog-commands.ts).
 *
 * Before it: whoever notices something. After it: `write`, which gets finished lines. One object a process, owner thread.
 */

/** From the gravest on; `off` only sets a threshold. */
export const LOG_LEVELS = ['off', 'emer', 'err', 'warn', 'info', 'dbg'] as const;

export type LogLevel = (typeof LOG_LEVELS)[number];

/** Who speaks: the datapath's events, the commands that the control socket was given, what they asked of the datapath, the socket itself. */
export const LOG_MODULES = ['datapath', 'dpctl', 'dpif', 'unixctl'] as const;

export type LogModule = (typeof LOG_MODULES)[number];

export class Log {
  readonly #write: (line: string) => void;
  readonly #levels = new Map<LogModule, LogLevel>(LOG_MODULES.map((name) => [name, 'info']));

  constructor(write: (line: string) => void) {
    this.#write = write;
  }

  /** The threshold of a module: what is graver or as grave is written. */
  level(module: LogModule): LogLevel {
    return this.#levels.get(module)!;
  }

  setLevel(module: LogModule, level: LogLevel): void {
    this.#levels.set(module, level);
  }

  /** Whether a line of this level would be written: for lines that cost something to make. */
  isOn(module: LogModule, level: Exclude<LogLevel, 'off'>): boolean {
    return LOG_LEVELS.indexOf(level) <= LOG_LEVELS.indexOf(this.level(module));
  }

  /** Writes one line, whatever the text had in it. */
  log(module: LogModule, level: Exclude<LogLevel, 'off'>, text: string): void {
    if (this.isOn(module, level)) this.#write(text.replaceAll('\n', ' '));
  }
}
