/*
 * The control socket: a Unix stream socket that answers requests of JSON-RPC 1.0 with what the commands of unixctl.ts say, for stock ovs-appctl and for
 * `wdp --target`.
 *
 * Concepts. A connection has one request at work; what it sends meanwhile waits, and is not read further. A client that does not speak the protocol
 * is disconnected, which harms nobody else. The socket file belongs to its owner alone: whoever can write to it can stop the worker.
 * Ownership. `listen` makes the file, `close` removes it. Before it: `wdp run --control`. Owner thread.
 */
import { statSync, unlinkSync } from 'node:fs';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { DatapathError } from '../errors.ts';
import { JsonStreamError, JsonValues } from './json-values.ts';
import { type RequestId, readMessage, replyText } from './jsonrpc.ts';
import { endLine, type UnixctlCommands, UnixctlError } from './unixctl.ts';

/** A request is a command line; the longest word is a file name or a flow. */
const REQUEST_SIZE_MAX = 4 * 1024 * 1024;
/** A reply is one string, and the engine's strings end at 512 Mi units. */
const REPLY_SIZE_MAX = 256 * 1024 * 1024;
/** People and scripts that look at one worker at a time; each takes a descriptor. */
const CONNECTIONS_MAX = 64;
/** What sun_path holds. */
const PATH_SIZE_MAX = 107;
const OWNER_ONLY = 0o177;

export interface UnixctlServerOptions {
  readonly path: string;
  readonly commands: UnixctlCommands;
  readonly onRequest?: (method: string, params: readonly unknown[]) => void;
  readonly onReply?: (failed: boolean, text: string) => void;
  /** Of a client that did not speak the protocol, and of commands that failed as they should not. */
  readonly onTrouble?: (text: string) => void;
}

export class UnixctlServer implements AsyncDisposable {
  readonly path: string;
  readonly #server: Server;
  readonly #connections = new Set<Connection>();
  #closed: Promise<void> | undefined;

  /** Opens the socket. Throws DatapathError ERR_CONTROL when the path cannot be had. */
  static async listen(options: UnixctlServerOptions): Promise<UnixctlServer> {
    const { path } = options;
    if (Buffer.byteLength(path) > PATH_SIZE_MAX)
      throw controlError(path, `the path of a Unix socket has at most ${PATH_SIZE_MAX} bytes`);
    await removeStale(path);
    const server = new UnixctlServer(options);
    await server.#open();
    return server;
  }

  private constructor(options: UnixctlServerOptions) {
    this.path = options.path;
    this.#server = createServer({ allowHalfOpen: true }, (socket) => {
      if (this.#connections.size >= CONNECTIONS_MAX) {
        options.onTrouble?.(`${CONNECTIONS_MAX} connections to the control socket are open, another one is refused`);
        socket.destroy();
        return;
      }
      const connection = new Connection(socket, options);
      this.#connections.add(connection);
      socket.once('close', () => this.#connections.delete(connection));
    });
  }

  #open(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#server.once('error', (cause) => reject(controlError(this.path, cause.message, cause)));
      const before = process.umask(OWNER_ONLY);
      try {
        this.#server.listen(this.path, resolve);
      } finally {
        process.umask(before);
      }
    });
  }

  /** Takes no more connections, answers what is at work, disconnects everybody and removes the file. */
  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    await Promise.all([...this.#connections].map((connection) => connection.finish()));
    await closed;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

/** One client, its requests in order. */
class Connection {
  readonly #socket: Socket;
  readonly #options: UnixctlServerOptions;
  readonly #values = new JsonValues(REQUEST_SIZE_MAX);
  #work: Promise<void> = Promise.resolve();
  #finishing = false;

  constructor(socket: Socket, options: UnixctlServerOptions) {
    this.#socket = socket;
    this.#options = options;
    socket.on('data', (bytes) => this.#receive(bytes));
    socket.on('end', () => void this.#work.then(() => socket.end()));
    socket.on('error', () => socket.destroy()); // the client went away: nobody is left to be told
  }

  /** Resolves when the request at work is answered and the client is gone. */
  async finish(): Promise<void> {
    this.#finishing = true;
    await this.#work;
    this.#socket.destroySoon();
  }

  #receive(bytes: Buffer): void {
    if (this.#finishing) return;
    let values: unknown[];
    try {
      values = this.#values.push(bytes);
    } catch (error) {
      if (!(error instanceof JsonStreamError)) throw error;
      this.#giveUp(error.message);
      return;
    }
    if (values.length === 0) return;
    this.#socket.pause();
    this.#work = this.#work.then(() => this.#answerAll(values)).then(() => void this.#socket.resume());
  }

  async #answerAll(values: readonly unknown[]): Promise<void> {
    for (const value of values) {
      if (this.#finishing || this.#socket.destroyed) return;
      const message = readMessage(value);
      if (typeof message === 'string') return this.#giveUp(message);
      if (message.kind !== 'request') return this.#giveUp(`a client sends requests, no ${message.kind}`);
      await this.#answer(message.method, message.params, message.id);
    }
  }

  async #answer(method: string, params: readonly unknown[], id: RequestId): Promise<void> {
    let reply: string;
    let failed = false;
    this.#options.onRequest?.(method, params);
    try {
      reply = await this.#options.commands.run(method, params);
    } catch (error) {
      failed = true;
      reply = endLine(this.#textOf(method, error));
    }
    if (reply.length > REPLY_SIZE_MAX) {
      failed = true;
      reply = `"${method}": a reply of more than ${REPLY_SIZE_MAX} characters: ask for a part of it\n`;
    }
    this.#options.onReply?.(failed, reply);
    const text = replyText(id, reply, failed);
    if (this.#socket.writable) await new Promise<void>((resolve) => this.#socket.write(text, () => resolve()));
  }

  #textOf(method: string, error: unknown): string {
    if (error instanceof UnixctlError) return error.message;
    if (error instanceof DatapathError) return error.message;
    this.#options.onTrouble?.(`${method}: ${error instanceof Error ? error.stack : String(error)}`);
    return `"${method}": internal error: ${error instanceof Error ? error.message : String(error)}`;
  }

  #giveUp(reason: string): void {
    this.#options.onTrouble?.(`a client of the control socket is disconnected: ${reason}`);
    this.#socket.destroy();
  }
}

/** Removes a socket that nobody serves any more. Throws when somebody does, or when it is not a socket. */
async function removeStale(path: string): Promise<void> {
  const found = statSync(path, { throwIfNoEntry: false });
  if (found === undefined) return;
  if (!found.isSocket()) throw controlError(path, 'there is a file of that name, and it is not a socket');
  if (await isServed(path)) throw controlError(path, 'another program serves it');
  unlinkSync(path);
}

function isServed(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    const answer = (served: boolean): void => {
      socket.destroy();
      resolve(served);
    };
    socket.once('connect', () => answer(true));
    socket.once('error', () => answer(false));
  });
}

function controlError(path: string, text: string, cause?: unknown): DatapathError {
  return new DatapathError('ERR_CONTROL', `control socket ${path}: ${text}`, { operation: 'control listen', cause });
}
