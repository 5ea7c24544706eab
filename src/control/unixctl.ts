/*
 * unixctl: the commands of a control socket, by name, as Open vSwitch's daemons have them. A command takes words and gives a text.
 *
 * Before it: unixctl-server.ts, which has a request of a client. After it: the modules that register commands (control/*-commands.ts, and
 * dpctl/unixctl.ts). A command may take its time; commands of other connections go on meanwhile. Owner thread.
 */

/** A command says that it cannot: the text is the reply, and the client ends with an error. */
export class UnixctlError extends Error {
  override readonly name = 'UnixctlError';
}

export interface UnixctlCommand {
  /** Arguments as the list of commands shows them; undefined: not in the list. */
  readonly usage: string | undefined;
  readonly minArgs: number;
  readonly maxArgs: number;
  /** The text of the reply. Throws UnixctlError. */
  readonly run: (args: readonly string[]) => string | Promise<string>;
}

export class UnixctlCommands {
  readonly #commands = new Map<string, UnixctlCommand>();

  /** Begins with `list-commands`, `help`, which is the same and is not listed, and `version`. */
  constructor(version: string) {
    const list = (usage: string | undefined): UnixctlCommand => ({
      usage,
      minArgs: 0,
      maxArgs: 0,
      run: () => this.#list(),
    });
    this.register('list-commands', list(''));
    this.register('help', list(undefined));
    this.register('version', { usage: '', minArgs: 0, maxArgs: 0, run: () => version });
  }

  /** Throws TypeError when there is a command of that name. */
  register(name: string, command: UnixctlCommand): void {
    if (this.#commands.has(name)) throw new TypeError(`there is a command ${name} already`);
    this.#commands.set(name, command);
  }

  /** Runs a command and ends what it says with a new line. Throws UnixctlError, also for a name or arguments that are wrong. */
  async run(method: string, params: readonly unknown[]): Promise<string> {
    const command = this.#commands.get(method);
    if (command === undefined)
      throw new UnixctlError(
        `"${method}" is not a valid command (use "list-commands" to see a list of valid commands)`,
      );
    const { minArgs, maxArgs } = command;
    if (params.length < minArgs) throw new UnixctlError(`"${method}" command requires at least ${minArgs} arguments`);
    if (params.length > maxArgs) throw new UnixctlError(`"${method}" command takes at most ${maxArgs} arguments`);
    if (!params.every((param) => typeof param === 'string'))
      throw new UnixctlError(`"${method}" command has non-string argument`);
    return endLine(await command.run(params as readonly string[]));
  }

  #list(): string {
    const lines = [...this.#commands]
      .filter(([, { usage }]) => usage !== undefined)
      .sort(([one], [other]) => (one < other ? -1 : 1))
      .map(([name, { usage }]) => `  ${name.padEnd(23)} ${usage}\n`);
    return `The available commands are:\n${lines.join('')}`;
  }
}

/** A reply that says something ends with a new line. */
export function endLine(text: string): string {
  return text === '' || text.endsWith('\n') ? text : `${text}\n`;
}
