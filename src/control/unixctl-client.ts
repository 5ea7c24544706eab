/*
 * The client's side of a control socket: one command, one answer. It works on our workers and on Open vSwitch's daemons.
 *
 * Before it: `wdp --target` and `wdp appctl`. Any thread.
 */
import { connect } from 'node:net';
import { DatapathError } from '../errors.ts';
import { JsonStreamError, JsonValues } from './json-values.ts';
import { readMessage, requestText } from './jsonrpc.ts';

/** As in unixctl-server.ts, with what escaping may add. */
const REPLY_SIZE_MAX = 500 * 1024 * 1024;

export interface UnixctlReply {
  readonly text: string;
  /** The command was refused, and the text says why. */
  readonly failed: boolean;
}

export interface UnixctlTransactOptions {
  /** Milliseconds until it is given up; default: never. */
  readonly timeoutMs?: number;
}

/** Sends a command and waits for its answer. Throws DatapathError ERR_CONTROL when there is nobody, or nobody who speaks the protocol. */
export function unixctlTransact(
  path: string,
  method: string,
  params: readonly string[],
  options: UnixctlTransactOptions = {},
): Promise<UnixctlReply> {
  return new Promise((resolve, reject) => {
    const fail = (text: string, cause?: unknown): void => {
      clearTimeout(timer);
      socket.destroy();
      reject(new DatapathError('ERR_CONTROL', `${path}: ${text}`, { operation: method, cause }));
    };
    const values = new JsonValues(REPLY_SIZE_MAX);
    const socket = connect(path, () => socket.write(requestText(method, params, 0)));
    const { timeoutMs } = options;
    const timer = timeoutMs === undefined ? undefined : setTimeout(() => fail('no answer in time'), timeoutMs);
    socket.on('error', (cause) => fail(connectText(cause), cause));
    socket.on('close', () => fail('the connection was closed without an answer'));
    socket.on('data', (bytes) => {
      try {
        const [value] = values.push(bytes);
        if (value === undefined) return;
        resolve(readReply(value));
        clearTimeout(timer);
        socket.destroy();
      } catch (cause) {
        if (!(cause instanceof JsonStreamError)) throw cause;
        fail(`not an answer of a control socket: ${cause.message}`, cause);
      }
    });
  });
}

function readReply(value: unknown): UnixctlReply {
  const message = readMessage(value);
  if (typeof message === 'string') throw new JsonStreamError(message);
  const text = message.kind === 'reply' ? message.result : message.kind === 'error' ? message.error : undefined;
  if (typeof text !== 'string') throw new JsonStreamError('a reply is a string');
  return { text, failed: message.kind === 'error' };
}

function connectText(cause: Error): string {
  switch ((cause as NodeJS.ErrnoException).code) {
    case 'ENOENT':
      return 'there is no such socket: give the path that `wdp run --control` was given';
    case 'ECONNREFUSED':
      return 'nobody serves this socket: the worker has ended';
    case 'EACCES':
      return 'this socket belongs to another user';
    default:
      return cause.message;
  }
}
