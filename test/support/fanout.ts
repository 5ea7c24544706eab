/*
 * The kernel's symmetric hash as an oracle: which frames it cannot tell apart. See fanout.py.
 */
import { spawn } from 'node:child_process';
import { whyNoLab } from './lab.ts';
import { requireProgram } from './require.ts';

/** Sockets that the frames are spread over; two numbers of different packets fall on one of them once in so many times. */
export const FANOUT_MEMBERS = 256;

/** Why this machine cannot tell; undefined when it can. */
export function whyNoFanout(): string | undefined {
  return requireProgram('python3') ?? whyNoLab();
}

/** The socket that each frame came to. */
export async function fanout(frames: readonly Uint8Array[]): Promise<number[]> {
  const script = new URL('./fanout.py', import.meta.url).pathname;
  const child = spawn('unshare', ['-n', 'python3', script], { stdio: ['pipe', 'pipe', 'pipe'] });
  let [stdout, stderr] = ['', ''];
  child.stdout.on('data', (chunk) => {
    stdout += chunk;
  });
  child.stderr.on('data', (chunk) => {
    stderr += chunk;
  });
  const texts = frames.map((frame) => Buffer.from(frame).toString('hex'));
  child.stdin.end(JSON.stringify({ frames: texts, members: FANOUT_MEMBERS }));
  const status = await new Promise((resolve) => child.on('close', resolve));
  if (status !== 0) throw new Error(`fanout.py failed (${status}): ${stderr}`);
  return JSON.parse(stdout) as number[];
}
