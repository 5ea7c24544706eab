/*
 * PSAMPLE beside the kernel's psample family, in the virtual machine. Linux 6.1 has no such action: there the packet goes out of a port on which
 * tc samples (act_sample). The message must be the same bytes but for what act_sample says otherwise, `asPsample` below. tshark reads our
 * messages too. SEED sets the seed, KERNEL_CASES the number of cases.
 */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { FAMILY_PSAMPLE } from '../assembly/kernel/families.ts';
import { type DatapathEvent, decodeSample, encodeActions, type Sample } from '../src/index.ts';
import { type KernelResult, kernelExecute, kernelTransact, whyNoKernel } from './kernel-vm/kernel.ts';
import { parseAttributes } from './reference/flow-attributes.ts';
import { attribute, concat, le32 } from './support/action-list.ts';
import { type ExecuteCase, executeCases } from './support/execute-cases.ts';
import { EXCEPTIONS, hasAction, hex, isSnap } from './support/execute-differences.ts';
import { Executor } from './support/executor.ts';
import * as L from './support/frames.ts';
import { classicHeader, classicRecord } from './support/pcap-bytes.ts';
import { requireProgram } from './support/require.ts';

const SEED = Number(process.env.SEED ?? 1);
const CASES = Number(process.env.KERNEL_CASES ?? 6000);
/** Port of the virtual machine, group, and bytes that are kept. */
const WAYS = [
  { port: 2, group: 5, size: 0 },
  { port: 3, group: 70_000, size: 61 },
] as const;
const COOKIE = Uint8Array.of(1, 2, 3, 4, 5);
const GENL_HEADERS = 20;
const ALWAYS = 0xffffffff;
const POP_VLAN = 5;
const POP_MPLS = 10;
/** Actions that send the packet somewhere, or end or branch the list. */
const NOT_WANTED = [1, 2, 6, 7, 13, 19, 20, 21, 23];

/** The shell there prefers a tc of its own, which knows nothing of this. */
const setup = [
  'for tc in /usr/sbin/tc /sbin/tc; do [ -x $tc ] && break; done; modprobe sch_ingress && modprobe cls_matchall && modprobe act_sample',
  ...WAYS.flatMap(({ port, group, size }) => [
    `$tc qdisc add dev port${port} clsact`,
    `$tc filter add dev port${port} egress matchall action sample rate 1 group ${group}${size ? ` trunc ${size}` : ''}`,
  ]),
].join(' && ');

function output(port: number): Uint8Array {
  return attribute(1, le32(port));
}

function psample(group: number, cookie?: Uint8Array): Uint8Array {
  const inner = [attribute(1, le32(group)), ...(cookie === undefined ? [] : [attribute(2, cookie)])];
  return attribute(25 | 0x8000, concat(...inner));
}

function sampled(probability: number, list: Uint8Array): Uint8Array {
  return attribute(6, concat(attribute(1, le32(probability)), attribute(2, list)));
}

function clone(list: Uint8Array): Uint8Array {
  return attribute(20, list);
}

/** The attributes of a message, types with their payloads. */
function attributesOf(message: Uint8Array): Map<number, Uint8Array> {
  return new Map(parseAttributes(message.subarray(GENL_HEADERS)).map(({ type, payload }) => [type, payload]));
}

/**
 * act_sample's message as the kernel's PSAMPLE would send it: with the IIFINDEX of the port that the packet came in by, which is the device here; no
 * OIFINDEX, no count of the group's messages, a rate that is a probability; with the time and the family of the other message.
 */
function asPsample(message: Uint8Array, other: Uint8Array): Uint8Array {
  const [theirs, ours] = [attributesOf(message), attributesOf(other)];
  theirs.delete(1);
  theirs.set(4, le32(0));
  theirs.set(5, le32(ALWAYS));
  theirs.set(13, ours.get(13)!);
  theirs.set(16, new Uint8Array(0));
  const all: [number, Uint8Array][] = [[0, ours.get(0)!], ...theirs];
  const attributes = concat(...all.map(([type, payload]) => attribute(type, payload)));
  const head = new Uint8Array(message.subarray(0, GENL_HEADERS));
  const view = new DataView(head.buffer);
  view.setUint32(0, GENL_HEADERS + attributes.length, true);
  view.setUint16(4, FAMILY_PSAMPLE, true);
  return concat(head, attributes);
}

function* sampleCases(): Generator<ExecuteCase, never> {
  for (const { frame, list } of executeCases(SEED)) {
    const wanted = parseAttributes(list).filter(({ type }) => !NOT_WANTED.includes(type));
    yield { frame, list: concat(...wanted.map(({ type, payload }) => attribute(type, payload))) };
  }
  throw new Error('there are always more');
}

async function openSampler(): Promise<{ executor: Executor; samples: Sample[] }> {
  const executor = await Executor.open();
  const samples: Sample[] = [];
  const keep = (sample: Sample): void => void samples.push(decodeSample(new Uint8Array(sample.message)));
  executor.datapath.onSample(keep, { messageSize: 65_555, slots: 8 });
  return { executor, samples };
}

describe('what PSAMPLE sends', () => {
  let reason: string | undefined;
  let cases: ExecuteCase[];
  let kernel: KernelResult[];

  beforeAll(async () => {
    reason = requireProgram('tc') ?? whyNoKernel();
    if (reason !== undefined) return;
    const source = sampleCases();
    cases = Array.from({ length: CASES }, () => source.next().value);
    const lists = cases.map(({ list }, i) => concat(list, output(WAYS[i % 2]!.port)));
    kernel = await kernelTransact(
      cases.map(({ frame }, i) => kernelExecute(frame, lists[i]!)),
      setup,
    );
  });

  it(`is what the kernel's family sends, ${CASES} random packets, SEED=${SEED}`, async ({ skip }) => {
    skip(reason !== undefined, reason);
    const { executor, samples } = await openSampler();
    await using _ = executor;
    const sequences = new Map<number, number>();
    let compared = 0;
    for (const [i, { frame, list }] of cases.entries()) {
      const [theirs] = kernel[i]!.upcalls;
      const { group, size } = WAYS[i % 2]!;
      if (theirs === undefined) continue; // refused, or nothing that has an Ethernet header
      const trunc = size === 0 ? [] : [attribute(13, le32(size))];
      executor.execute(frame, concat(list, ...trunc, psample(group)));
      executor.datapath.poll();
      const ours = samples.pop();
      expect(decodeSample(theirs).sequence).toBe(sequences.get(group) ?? 0);
      sequences.set(group, decodeSample(theirs).sequence + 1);
      if (EXCEPTIONS.some(([, applies]) => applies({ frame, list }))) continue;
      // a tag that comes to the outside takes the type along, in the kernel; the type behind the last label is written into the SNAP header
      if (isSnap(frame) && (hasAction(list, POP_VLAN) || hasAction(list, POP_MPLS))) continue;
      if (ours === undefined) throw new Error(`case ${i} has no sample: ${hex(frame)} ${hex(list)}`);
      compared++;
      if (hex(ours.message) === hex(asPsample(theirs, ours.message))) continue;
      expect(hex(ours.message), `case ${i}: ${hex(frame)} ${hex(list)}`).toBe(hex(asPsample(theirs, ours.message)));
    }
    expect(compared).toBeGreaterThan(CASES / 4);
    console.log(`64: ${CASES} cases, ${compared} samples compared with the kernel's, 0 differences`);
  });

  it('without a listener, and without room, is counted', async () => {
    const { executor, samples } = await openSampler();
    await using _ = executor;
    const { datapath } = executor;
    const frame = L.ethernet(0x0800, L.ipv4({ proto: 17 }, L.udp({}, L.filler(20))));
    for (let i = 0; i < 11; i++) executor.execute(frame, psample(i));
    datapath.poll();
    expect(samples.map(({ group }) => group)).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
    datapath.onSample(undefined);
    executor.execute(frame, psample(1));
    datapath.poll();
    expect(datapath.stats()).toMatchObject({ psampled: 12, samples: { queued: 8, lost: 3 } });
    executor.verify(12);
  });

  it('tells the probability of the SAMPLE around it, the innermost', async () => {
    const { executor, samples } = await openSampler();
    await using _ = executor;
    const frame = new Uint8Array(60);
    const half = 0x80000000;
    // each of these is taken by chance: try until it was
    const list = concat(
      sampled(half, concat(psample(1), sampled(ALWAYS, psample(2)), psample(3), clone(psample(4)))),
      psample(5),
    );
    let tries = 0;
    for (; samples.length < 5; tries++) {
      samples.length = 0;
      executor.execute(frame, list);
      executor.datapath.poll();
    }
    expect(samples.map(({ group, rate }) => [group, Math.round(rate)])).toEqual([
      ...([
        [1, 2],
        [2, 1],
        [3, 2],
        [4, 2],
      ] as const), // prettier-ignore
      [5, 1],
    ]);
    executor.verify(tries);
  });

  it('keeps that probability in lists that are put off', async () => {
    const { executor, samples } = await openSampler();
    await using _ = executor;
    const mark = attribute(3, attribute(15, le32(7)));
    const deep = [1, 2, 3, 4, 5].reduce((inner, group) => clone(concat(mark, inner, psample(group))), psample(9));
    executor.execute(new Uint8Array(60), concat(sampled(ALWAYS - 1, deep), psample(6)));
    executor.datapath.poll();
    const rates = new Map(samples.map(({ group, message }) => [group, attributesOf(message).get(5)]));
    expect([...rates.keys()].sort()).toEqual([1, 2, 3, 4, 5, 6, 9]);
    for (const [group, rate] of rates) expect([group, rate]).toEqual([group, le32(group === 6 ? ALWAYS : ALWAYS - 1)]);
    executor.verify(1);
  });

  it('has a cookie and the tunnel, and the port that the packet came in by', async () => {
    const { executor } = await openSampler();
    await using _ = executor;
    const heard: [Sample, number][] = [];
    executor.datapath.onSample((sample, inPort) => void heard.push([structuredClone(sample), inPort]));
    const tunnel = {
      id: 0x123456789abcdef0n,
      src: '10.0.0.1',
      dst: '10.0.0.2',
      tos: 4,
      ttl: 64,
      df: true,
      tpSrc: 0,
      tpDst: 4789,
    };
    const set = encodeActions([{ type: 'set', field: { tunnel } }]);
    executor.execute(new Uint8Array(60), concat(set, psample(8, COOKIE)), { inPort: 4 });
    executor.datapath.poll();
    const [[sample, inPort]] = heard;
    expect({ ...sample, tunnel: sample!.tunnel }).toMatchObject({ group: 8, packetSize: 60, cookie: COOKIE, tunnel });
    expect(inPort).toBe(4);
    expect(decodeSample(sample!.message)).toEqual(sample);
    executor.verify(1);
  });

  it('is cut when the slot is smaller than the packet', async () => {
    const { executor } = await openSampler();
    await using _ = executor;
    const sizes: number[] = [];
    executor.datapath.onSample(({ data, packetSize }) => void sizes.push(data.length, packetSize), {
      messageSize: 1024,
    });
    executor.execute(new Uint8Array(1500), psample(1, COOKIE));
    executor.datapath.poll();
    expect(sizes[1]).toBe(1500);
    expect(sizes[0]).toBeGreaterThan(800);
    expect(sizes[0]).toBeLessThan(1024 + 64);
  });

  it('is an event when the listener throws', async () => {
    const events: DatapathEvent[] = [];
    await using executor = await Executor.open({ onEvent: (event) => void events.push(event) });
    const reason = new Error('a listener of this test');
    executor.datapath.onSample(() => {
      throw reason;
    });
    executor.execute(new Uint8Array(60), psample(1));
    executor.datapath.poll();
    expect(events).toEqual([{ type: 'sample-error', reason }]);
    const { datapath } = executor;
    expect(() => datapath.onSample(() => {}, { slots: 3 })).toThrow(RangeError);
    expect(() => datapath.onSample(() => {}, { messageSize: 100 })).toThrow(RangeError);
  });

  it('is read by tshark', async ({ skip }) => {
    const missing = requireProgram('tshark');
    skip(missing !== undefined, missing);
    const { executor, samples } = await openSampler();
    await using _ = executor;
    const frame = L.ethernet(0x0800, L.ipv4({ proto: 17 }, L.udp({ dst: 9999 }, L.filler(20))));
    executor.execute(frame, concat(sampled(ALWAYS - 1, psample(77)), psample(78)));
    executor.datapath.poll();
    const fields = ['sample_group', 'sample_rate', 'origsize', 'group_seq_num', 'proto'].map(
      (name) => `psample.${name}`,
    );
    const read = tsharkFields(
      [newFamily('psample', FAMILY_PSAMPLE), ...samples.map(({ message }) => message)],
      [...fields, 'udp.dstport', '_ws.malformed'],
    );
    const size = `0x${frame.length.toString(16).padStart(8, '0')}`;
    expect(read.slice(1)).toEqual([
      ['77', '4294967294', size, '0', '0x0800', '9999', ''],
      ['78', '4294967295', size, '0', '0x0800', '9999', ''],
    ]);
  });
});

/** CTRL_CMD_NEWFAMILY, from which tshark learns what a family's id means. */
function newFamily(name: string, id: number): Uint8Array {
  const attributes = concat(attribute(1, [id, 0]), attribute(2, new TextEncoder().encode(`${name}\0`)));
  return concat(
    le32(GENL_HEADERS + attributes.length),
    Uint8Array.of(16, 0, 0, 0),
    new Uint8Array(8),
    Uint8Array.of(1, 2, 0, 0),
    attributes,
  );
}

/** The fields that tshark finds in generic Netlink messages, a row a message. */
function tsharkFields(messages: readonly Uint8Array[], fields: readonly string[]): string[][] {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'wdp-psample-'));
  try {
    const file = path.join(folder, 'messages.pcap');
    // LINKTYPE_NETLINK: a header with the type of device (824) and the protocol (NETLINK_GENERIC, 16)
    const cooked = Uint8Array.of(0, 4, 3, 56, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 16);
    const packets = messages.map((message, n) => {
      const data = concat(cooked, message);
      return { timeNs: BigInt(n), wireSize: data.length, data };
    });
    writeFileSync(file, concat(classicHeader({ network: 253 }), ...packets.map((packet) => classicRecord(packet))));
    const options = ['-n', '-r', file, '-T', 'fields', ...fields.flatMap((field) => ['-e', field])];
    const text = execFileSync('tshark', options, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });
    return text
      .replace(/\n$/, '')
      .split('\n')
      .map((line) => line.split('\t'));
  } finally {
    rmSync(folder, { recursive: true });
  }
}
