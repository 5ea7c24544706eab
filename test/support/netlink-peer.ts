/*
 * NetlinkPeer: the python program netlink-peer.py as a child process, and small requests to send to it.
 */
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface, type Interface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { describe } from 'vitest';
import { nativeUnavailableReason } from '../../src/native/load.ts';
import { requireProgram } from './require.ts';

/** Why there can be no peer here; undefined when there can. */
export const reason =
  nativeUnavailableReason() ??
  requireProgram('python3') ??
  (process.getuid?.() === 0 ? undefined : 'needs root: talking to processes and joining groups over Netlink');

/** The tests in it need a peer. */
export const describeNetlink = describe.skipIf(reason);

/** See netlink-peer.py for what an action does. */
export type PeerAction = Record<string, unknown>;
export interface PeerRule {
  times?: number;
  type?: number;
  do: PeerAction[];
}
export interface PeerRequest {
  seq: number;
  pid: number;
  type: number;
  flags: number;
  size: number;
  datagram: number;
  payload: string;
}

const PROGRAM = fileURLToPath(new URL('netlink-peer.py', import.meta.url));

export class NetlinkPeer {
  port = 0;
  private readonly child: ChildProcessWithoutNullStreams;
  private readonly lines: AsyncIterator<string>;
  private readonly reader: Interface;

  private constructor() {
    this.child = spawn('python3', [PROGRAM], { stdio: ['pipe', 'pipe', 'pipe'] });
    this.child.stderr.on('data', (text: Buffer) => process.stderr.write(text));
    this.reader = createInterface({ input: this.child.stdout });
    this.lines = this.reader[Symbol.asyncIterator]();
  }

  static async start(): Promise<NetlinkPeer> {
    const peer = new NetlinkPeer();
    peer.port = ((await peer.line()) as { port: number }).port;
    return peer;
  }

  /** How the next requests are answered; without rules they are acknowledged. */
  async rules(rules: PeerRule[], order?: number[]): Promise<void> {
    await this.command({ cmd: 'rules', rules, order });
  }

  /** Every request gets the same. */
  async always(...actions: PeerAction[]): Promise<void> {
    await this.rules([{ do: actions }]);
  }

  async log(): Promise<PeerRequest[]> {
    return (await this.command({ cmd: 'log' })) as PeerRequest[];
  }

  /** Returns the errno that the forger got, 0 when it was sent. */
  async forge(to: number, seq: number, ...actions: PeerAction[]): Promise<number> {
    return (await this.command({ cmd: 'forge', to, seq, do: actions })) as number;
  }

  async cast(group: number, options: { count?: number; size?: number; type?: number } = {}): Promise<void> {
    await this.command({ cmd: 'cast', group, ...options });
  }

  async stop(): Promise<void> {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return;
    const exit = once(this.child, 'exit');
    this.child.stdin.end();
    await exit;
  }

  async exited(): Promise<void> {
    if (this.child.exitCode === null && this.child.signalCode === null) await once(this.child, 'exit');
  }

  private async command(command: object): Promise<unknown> {
    this.child.stdin.write(`${JSON.stringify(command)}\n`);
    return ((await this.line()) as { answer: unknown }).answer;
  }

  private async line(): Promise<unknown> {
    const { value, done } = await this.lines.next();
    if (done) throw new Error('the peer is gone');
    return JSON.parse(value as string);
  }
}

/** A request of `type` with a payload. */
export function request(type: number, payload: Uint8Array | number[] = [], flags = 0): Uint8Array {
  const bytes = new Uint8Array((16 + payload.length + 3) & ~3);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, 16 + payload.length, true);
  view.setUint16(4, type, true);
  view.setUint16(6, flags, true);
  bytes.set(payload, 16);
  return bytes;
}

export const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

/** What `call` throws. */
export function thrown(call: () => unknown): Error & { code?: string; errno?: number } {
  try {
    call();
  } catch (error) {
    return error as Error;
  }
  throw new Error('nothing was thrown');
}
