/*
 * Checksums after random set actions, judged by tshark: every checksum it can verify must be good. Two sources: random frames with the lists
 * of the model's test (60), and whole packets with the lists of the userspace comparison (67), which set every field of ARP, ND and ICMP
 * too. The frames go into a capture file written here. SEED sets the seed.
 */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { encodeActions as encodeList, parseActions } from '../src/odp/index.ts';
import { layoutOf } from './reference/actions.ts';
import { cases } from './support/action-cases.ts';
import { encodeActions } from './support/action-list.ts';
import { Executor } from './support/executor.ts';
import { Random } from './support/frame-generator.ts';
import { classicFile } from './support/pcap-bytes.ts';
import { requireProgram } from './support/require.ts';
import { userspaceCase } from './support/userspace-cases.ts';

const SEED = Number(process.env.SEED ?? Math.floor(Math.random() * 2147483647));
const FRAMES = 1500;
const WHOLE_FRAMES = 1500;
const PROTOCOLS = ['ip', 'tcp', 'udp', 'icmp', 'icmpv6', 'sctp'] as const;
const STATUS = { bad: '0', good: '1' };

/** Frames that a list with at least one set has changed, all of it applied. */
async function changedFrames(): Promise<Uint8Array[]> {
  await using executor = await Executor.open();
  const result: Uint8Array[] = [];
  for (let round = 0; result.length < FRAMES; round++) {
    for (const { frame, cut, actions } of fc.sample(cases, { seed: SEED + round, numRuns: 4 * FRAMES })) {
      if (cut || !actions.some(({ kind }) => kind === 'set')) continue;
      const got = executor.execute(frame, encodeActions(actions.filter(({ kind }) => kind !== 'drop')));
      const { type, proto } = layoutOf(got.frame);
      // ICMPv6 over IPv4 has no pseudo header that anybody defined.
      if (type === 0x0800 && proto === 58) continue;
      if (!Buffer.from(got.frame).equals(frame)) result.push(got.frame);
    }
  }
  return result.slice(0, FRAMES);
}

/** Whole packets that lists of the other source have changed and sent. */
async function changedPackets(): Promise<Uint8Array[]> {
  await using executor = await Executor.open();
  const random = new Random(SEED);
  const result: Uint8Array[] = [];
  for (let n = 0; result.length < WHOLE_FRAMES; n++) {
    const { kind, frame, actions } = userspaceCase(random, n);
    if (kind === 'mpls') continue; // no checksum, and a bottom of stack that may be anywhere
    const [sent] = executor.execute(frame, encodeList(parseActions(actions))).frames;
    if (actions.includes('set(') && sent !== undefined) result.push(sent.data);
  }
  return result;
}

/** The checksum states of each frame, a column a protocol; a payload that looks like a tunnel adds states after commas. */
function checksumStates(frames: readonly Uint8Array[]): string[][] {
  const folder = mkdtempSync(join(tmpdir(), 'wdp-tshark-'));
  try {
    const path = join(folder, 'frames.pcap');
    const packets = frames.map((data, n) => ({ timeNs: BigInt(n), wireSize: data.length, data }));
    writeFileSync(path, classicFile(packets, true, 1));
    const checks = ['ip', 'tcp', 'udp'].flatMap((name) => ['-o', `${name}.check_checksum:TRUE`]);
    const fields = PROTOCOLS.flatMap((name) => ['-e', `${name}.checksum.status`]);
    const heuristics = ['-o', 'sctp.checksum:CRC 32c', '-o', 'ip.defragment:FALSE', '-o', 'ipv6.defragment:FALSE'];
    const options = ['-n', '-r', path, ...checks, ...heuristics, '-T', 'fields', ...fields];
    const text = execFileSync('tshark', options, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });
    return text
      .replace(/\n$/, '')
      .split('\n')
      .map((line) => line.split('\t'));
  } finally {
    rmSync(folder, { recursive: true });
  }
}

test(`tshark finds no bad checksum in ${FRAMES + WHOLE_FRAMES} changed frames, SEED=${SEED}`, async (context) => {
  const reason = requireProgram('tshark');
  if (reason !== undefined) context.skip(reason);
  const frames = [...(await changedFrames()), ...(await changedPackets())];
  const states = checksumStates(frames);
  expect(states.length).toBe(FRAMES + WHOLE_FRAMES);
  const good = new Map<string, number>();
  for (const [n, columns] of states.entries()) {
    for (const [column, protocol] of PROTOCOLS.entries()) {
      // ICMP of random frames was never right, and no list of theirs sets it
      if (protocol === 'icmp' && n < FRAMES) continue;
      const state = columns[column]?.split(',')[0];
      if (state === STATUS.good) good.set(protocol, (good.get(protocol) ?? 0) + 1);
      if (state === STATUS.bad) expect.fail(`${protocol} of ${Buffer.from(frames[n]!).toString('hex')}`);
    }
  }
  console.log(`62: ${frames.length} frames, good to tshark: ${JSON.stringify([...good])}`);
  for (const protocol of PROTOCOLS) expect(good.get(protocol), protocol).toBeGreaterThan(20);
});
