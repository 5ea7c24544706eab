/*
 * OutsideClient: a process with a plain Netlink socket (netlink-client.py), to see a server as programs see it that are not ours; and helpers to
 * write and read messages without our own code, for it and for other tests of src/netlink.
 */
import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import readline from 'node:readline';
import type { Readable, Writable } from 'node:stream';

export interface OutsideOptions {
  protocol: number;
  /** Port id to connect to; 0 the kernel. */
  peer: number;
  /** SO_RCVBUF */
  buffer?: number;
  /** setsockopt(SOL_NETLINK, option, value) */
  options?: [number, number][];
  /** Drops to this user first. */
  uid?: number;
}

interface Answer {
  port?: number;
  hex?: string;
  errno?: number;
}

export class OutsideClient {
  port = 0;
  readonly pid: number;
  readonly #child: ChildProcessByStdio<Writable, Readable, null>;
  readonly #answers: ((answer: Answer) => void)[] = [];

  private constructor() {
    this.#child = spawn('python3', ['-I', '-S', path.join(import.meta.dirname, 'netlink-client.py')], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    this.pid = this.#child.pid ?? 0;
    readline.createInterface(this.#child.stdout).on('line', (line) => this.#answers.shift()?.(JSON.parse(line)));
    this.#child.on('exit', () => {
      for (const answer of this.#answers.splice(0)) answer({ errno: -1 });
    });
  }

  static async open(options: OutsideOptions): Promise<OutsideClient> {
    const client = new OutsideClient();
    const { port, errno } = await client.#ask({ do: 'open', ...options });
    if (port === undefined) throw new Error(`the outside client cannot open its socket: errno ${errno}`);
    client.port = port;
    return client;
  }

  /** Sends one datagram; resolves to the errno. */
  async send(bytes: Uint8Array): Promise<number> {
    const { errno = 0 } = await this.#ask({ do: 'send', hex: Buffer.from(bytes).toString('hex') });
    return errno;
  }

  /** The next datagram, or the errno (EAGAIN after the time, in seconds). */
  async receive(timeout = 5): Promise<Uint8Array | number> {
    const { hex, errno } = await this.#ask({ do: 'receive', timeout });
    return hex === undefined ? (errno ?? 0) : new Uint8Array(Buffer.from(hex, 'hex'));
  }

  /** Messages until one satisfies `last`, which is among them. */
  async receiveUntil(last: (message: Message) => boolean): Promise<Message[]> {
    const messages: Message[] = [];
    for (;;) {
      const datagram = await this.receive();
      if (typeof datagram === 'number') throw new Error(`errno ${datagram} after ${messages.length} messages`);
      const here = readMessages(datagram);
      messages.push(...here);
      if (here.some(last)) return messages;
    }
  }

  /** Closes the socket; the process goes on until `end`. */
  async close(): Promise<void> {
    await this.#ask({ do: 'close' });
  }

  async end(): Promise<void> {
    if (this.#child.exitCode !== null) return;
    const exited = once(this.#child, 'exit');
    this.#child.stdin.end();
    await exited;
  }

  #ask(command: object): Promise<Answer> {
    return new Promise((resolve) => {
      this.#answers.push(resolve);
      this.#child.stdin.write(`${JSON.stringify(command)}\n`);
    });
  }
}

/** A message as it lies in a datagram. */
export interface Message {
  type: number;
  flags: number;
  seq: number;
  portId: number;
  /** Without nlmsghdr. */
  payload: Buffer;
}

export function readMessages(datagram: Uint8Array): Message[] {
  const bytes = Buffer.from(datagram);
  const messages: Message[] = [];
  for (let at = 0; at + 16 <= bytes.length; ) {
    const size = bytes.readUInt32LE(at);
    if (size < 16 || at + size > bytes.length)
      throw new Error(`a message of ${size} bytes at ${at} of ${bytes.length}`);
    messages.push({
      type: bytes.readUInt16LE(at + 4),
      flags: bytes.readUInt16LE(at + 6),
      seq: bytes.readUInt32LE(at + 8),
      portId: bytes.readUInt32LE(at + 12),
      payload: bytes.subarray(at + 16, at + size),
    });
    at += (size + 3) & ~3;
  }
  return messages;
}

/** Attributes as pairs of type and payload. */
export function readAttributes(bytes: Buffer): [number, Buffer][] {
  const attributes: [number, Buffer][] = [];
  for (let at = 0; at + 4 <= bytes.length; ) {
    const size = bytes.readUInt16LE(at);
    if (size < 4) throw new Error('an attribute without end');
    attributes.push([bytes.readUInt16LE(at + 2), bytes.subarray(at + 4, at + size)]);
    at += (size + 3) & ~3;
  }
  return attributes;
}

export interface MessageFields {
  type: number;
  flags: number;
  seq: number;
  command?: number;
  version?: number;
  reserved?: number;
  /** Behind genlmsghdr: header of the family and attributes. */
  body?: Uint8Array;
  /** nlmsg_len, when it is to lie. */
  size?: number;
  /** Bytes behind nlmsghdr, when there is no genlmsghdr. */
  payload?: Uint8Array;
}

export function message(fields: MessageFields): Uint8Array {
  const { command = 0, version = 1, reserved = 0, body = new Uint8Array(0) } = fields;
  const generic = Buffer.from([command, version, reserved & 255, reserved >> 8, ...body]);
  const payload = fields.payload ?? generic;
  const bytes = Buffer.alloc((16 + payload.length + 3) & ~3);
  bytes.writeUInt32LE(fields.size ?? 16 + payload.length, 0);
  bytes.writeUInt16LE(fields.type, 4);
  bytes.writeUInt16LE(fields.flags, 6);
  bytes.writeUInt32LE(fields.seq, 8);
  bytes.set(payload, 16);
  return bytes;
}

export function attribute(type: number, payload: Uint8Array | string, size = 4 + payload.length): Uint8Array {
  const content = Buffer.from(payload as string);
  const bytes = Buffer.alloc((4 + content.length + 3) & ~3);
  bytes.writeUInt16LE(size, 0);
  bytes.writeUInt16LE(type, 2);
  bytes.set(content, 4);
  return bytes;
}

export function u16(value: number): Uint8Array {
  const bytes = Buffer.alloc(2);
  bytes.writeUInt16LE(value);
  return bytes;
}

export function u32(value: number): Uint8Array {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value >>> 0);
  return bytes;
}

export function concat(...parts: readonly Uint8Array[]): Uint8Array {
  return Buffer.concat(parts);
}
