/*
 * Scenarios on the real kernel: packs them for replay.c, runs that in the guest of ./boot, and gives back what came of every step.
 *
 * For tests only. Before it: test/support/conformance. After it: the comparison with our own kernel.
 */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import type { Observation, Observed } from '../support/conformance/observation.ts';
import { FAMILIES, type Family } from '../support/conformance/openvswitch.ts';
import {
  type Datagram,
  type Fix,
  familyNumber,
  type Scenario,
  SOCKET_NAMES,
  type SocketName,
  type Step,
} from '../support/conformance/scenario.ts';
import { BOOT, run } from './kernel.ts';

const OPERATIONS = ['end', 'send', 'post', 'frame', 'device', 'remove', 'join', 'leave', 'close'];
const RECORDS = ['step', 'message', 'frame', 'link', 'failure', 'families'] as const;
const FIX_IFINDEX = 255;
const IFNAMSIZ = 16;
const STEP_SIZE = 8;
const RECORD_SIZE = 8;

function nameBytes(name: string): Buffer {
  const bytes = Buffer.alloc(IFNAMSIZ);
  bytes.write(name, 'latin1');
  return bytes;
}

function packFix(fix: Fix): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeUInt32LE(fix.at, 0);
  bytes.writeUInt32LE('family' in fix ? familyNumber(fix.family) : FIX_IFINDEX, 4);
  return Buffer.concat([bytes, nameBytes('family' in fix ? '' : fix.ifindex)]);
}

function packStep(operation: string, socket: SocketName, { bytes, fixes }: Datagram): Buffer {
  const head = Buffer.alloc(STEP_SIZE);
  head.writeUInt32LE(bytes.length, 0);
  head.writeUInt16LE(fixes.length, 4);
  head.writeUInt8(OPERATIONS.indexOf(operation), 6);
  head.writeUInt8(SOCKET_NAMES.indexOf(socket), 7);
  return Buffer.concat([head, ...fixes.map(packFix), bytes]);
}

const plain = (bytes: Uint8Array): Datagram => ({ bytes, fixes: [] });

function pack(step: Step): Buffer {
  switch (step.do) {
    case 'send':
    case 'post':
      return packStep(step.do, step.from, step.datagram);
    case 'frame':
      return packStep(step.do, 'admin', plain(Buffer.concat([nameBytes(step.device), step.data])));
    case 'device':
    case 'remove':
      return packStep(step.do, 'admin', plain(nameBytes(step.name)));
    case 'join':
    case 'leave':
      return packStep(step.do, step.socket, plain(Buffer.of(familyNumber(step.family))));
    case 'close':
      return packStep(step.do, step.socket, plain(Buffer.alloc(0)));
  }
}

export function packScenarios(scenarios: readonly Scenario[]): Buffer {
  const end = packStep('end', 'admin', plain(Buffer.alloc(0)));
  return Buffer.concat(scenarios.flatMap(({ steps }) => [...steps.map(pack), end]));
}

export function emptyObservation(): Observation {
  return { messages: [], frames: [], links: [], failure: 0 };
}

function addRecord(observation: Observation, kind: string, source: number, bytes: Buffer): void {
  const name = (from: number) => bytes.toString('latin1', from, bytes.indexOf(0, from));
  if (kind === 'message') observation.messages.push({ socket: SOCKET_NAMES[source]!, bytes: new Uint8Array(bytes) });
  else if (kind === 'frame')
    observation.frames.push({ device: name(0), data: new Uint8Array(bytes.subarray(IFNAMSIZ)) });
  else if (kind === 'link') observation.links.push({ ifindex: bytes.readUInt32LE(0), name: name(8) });
  else observation.failure = bytes.readUInt32LE(0);
}

export function unpackResults(packed: Buffer, scenarios: readonly Scenario[]): Observed {
  const families = new Map<number, Family>();
  const steps: Observation[] = [];
  let current = emptyObservation();
  for (let at = 0; at < packed.length; ) {
    const size = packed.readUInt32LE(at);
    const kind = RECORDS[packed[at + 4]!];
    const bytes = packed.subarray(at + RECORD_SIZE, at + RECORD_SIZE + size);
    if (kind === 'families') {
      for (const [index, family] of FAMILIES.entries()) families.set(bytes.readUInt16LE(2 * index), family);
    } else if (kind === 'step') {
      steps.push(current);
      current = emptyObservation();
    } else {
      addRecord(current, kind!, packed[at + 5]!, bytes);
    }
    at += RECORD_SIZE + size;
  }
  let next = 0;
  const observations = scenarios.map((scenario) => {
    next += scenario.steps.length;
    return steps.slice(next - scenario.steps.length, next);
  });
  if (next !== steps.length) throw new Error(`${next} steps, but ${steps.length} results`);
  return { families, observations };
}

/** What the kernel did in each step of each scenario. */
export async function replayOnKernel(scenarios: readonly Scenario[]): Promise<Observed & { summary: string }> {
  const folder = await mkdtemp(path.join(os.tmpdir(), 'kernel-replay-'));
  const at = (name: string) => path.join(folder, name);
  try {
    const source = path.join(import.meta.dirname, 'replay.c');
    await run('gcc', ['-std=gnu11', '-O2', '-Wall', '-Wextra', '-Werror', '-static', '-o', at('replay'), source]);
    await writeFile(at('scenarios'), packScenarios(scenarios));
    const copies = ['replay', 'scenarios'].flatMap((name) => ['--copy', at(name)]);
    const args = [...copies, '--out', folder, '--', './replay scenarios out/results'];
    const summary = await run(BOOT, args);
    return { ...unpackResults(await readFile(at('results')), scenarios), summary: summary.trim() };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
