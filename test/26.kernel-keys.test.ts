/*
 * Our flow keys against those of the real openvswitch.ko, byte for byte as Netlink attributes: extraction and the writer of
 * key attributes in one. The kernel runs in a virtual machine (kernel-vm/boot) and answers two ways, over a tap device and
 * over OVS_PACKET_CMD_EXECUTE (kernel-vm/keydump.c); both must agree with us on every frame.
 *
 * Nothing is normalised: ours is given the tap's port number, and priority, mark, hash and conntrack state of a fresh frame
 * are zero on both sides. The only exceptions are frames for which the kernel gives no key; whyNoKey() lists all reasons,
 * and a frame that has one must indeed have got none.
 *
 * SEED sets the seed, KERNEL_FRAMES the number of random frames.
 */
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readPcap } from '../src/pcap/index.ts';
import { KERNEL_IN_PORT, type KernelKeys, kernelKeys, whyNoKernel } from './kernel-vm/kernel.ts';
import { hasRefusedNsh, hex, keyText } from './kernel-vm/key-text.ts';
import { ourKeys } from './kernel-vm/our-datapath.ts';
import { frames, malformedCorpus, type NamedFrame, samples } from './support/frames.ts';

const SEED = Number(process.env.SEED ?? Math.floor(Math.random() * 4294967296));
const RANDOM_FRAMES = Number(process.env.KERNEL_FRAMES ?? 60_000);
const CAPTURES = path.resolve(import.meta.dirname, '../examples/captures');
const DIFFERENCES_SHOWN = 10;
/** An upcall carries a frame as an attribute, whose payload has a limit. */
const UPCALL_FRAME_SIZE_MAX = 65531;
const FRAME_SIZE_SHOWN = 1024;

type Way = 'tap' | 'execute';

function captures(): NamedFrame[] {
  const names = readdirSync(CAPTURES).filter((name) => /\.pcap(ng)?$/.test(name));
  return names.flatMap((name) =>
    readPcap(readFileSync(path.join(CAPTURES, name))).records.map(({ data }, index) => ({
      name: `${name} packet ${index + 1}`,
      frame: data,
    })),
  );
}

/** Each valid frame at every size from nothing to 128, cut or padded, and whole. */
function sizes(): NamedFrame[] {
  return samples().flatMap(({ name, frame }) => {
    const padded = new Uint8Array(Math.max(128, frame.length));
    padded.set(frame);
    const cut = Array.from({ length: 129 }, (_, size) => ({
      name: `${name} ${size}`,
      frame: padded.subarray(0, size),
    }));
    return [...cut, { name, frame }];
  });
}

function jumbo(): NamedFrame[] {
  return samples().flatMap(({ name, frame }) =>
    [1514, 9018, UPCALL_FRAME_SIZE_MAX, UPCALL_FRAME_SIZE_MAX + 1, 65535].map((size) => {
      const padded = new Uint8Array(size);
      padded.set(frame.subarray(0, size));
      return { name: `${name} ${size}`, frame: padded };
    }),
  );
}

function random(): NamedFrame[] {
  const source = frames(SEED);
  return Array.from({ length: RANDOM_FRAMES }, (_, index) => {
    return { name: `seed ${SEED} frame ${index}`, frame: source.next().value };
  });
}

/** Why the kernel has no key for a frame; undefined when it must have one. */
function whyNoKey(way: Way, frame: Uint8Array, ours: Uint8Array): string | undefined {
  if (frame.length < 14) return 'shorter than an Ethernet header';
  if (frame.length > UPCALL_FRAME_SIZE_MAX) return 'too long for an upcall';
  // On its way in from a device a first tag is taken out of the frame; without a type behind the tag the frame is dropped.
  const type = (frame[12] << 8) | frame[13];
  if (way === 'tap' && (type === 0x8100 || type === 0x88a8) && frame.length < 20)
    return 'VLAN tag without a type behind';
  // The kernel drops a frame whose NSH header it cannot read; ours keeps a key in which all fields of the header are zero.
  if (hasRefusedNsh(ours)) return 'NSH header refused';
  return undefined;
}

function describeDifference(way: Way, { name, frame }: NamedFrame, kernel: Uint8Array, ours: Uint8Array): string {
  const bytes = frame.length > FRAME_SIZE_SHOWN ? `${hex(frame.subarray(0, FRAME_SIZE_SHOWN))}...` : hex(frame);
  return `${name}, ${frame.length} bytes, ${way}\n  frame  ${bytes}\n  kernel ${keyText(kernel)}\n  ours   ${keyText(ours)}`;
}

const SETS: Record<string, NamedFrame[]> = {
  'the shipped captures': captures(),
  'every size of every protocol': sizes(),
  'malformed frames': malformedCorpus(),
  'long frames': jumbo(),
  'random and mutated frames': random(),
};

describe('flow keys of the kernel and ours', () => {
  let reason: string | undefined;
  let kernel: KernelKeys;
  let ours: Uint8Array[];
  const account: string[] = [];

  beforeAll(async () => {
    reason = whyNoKernel();
    if (reason !== undefined) return;
    const all = Object.values(SETS).flatMap((set) => set.map(({ frame }) => frame));
    ours = ourKeys(all, KERNEL_IN_PORT);
    kernel = await kernelKeys(all);
    account.push(`seed ${SEED}`, kernel.summary);
  });

  afterAll(() => {
    if (account.length > 0) console.log(account.join('\n'));
  });

  let first = 0;
  for (const [name, set] of Object.entries(SETS)) {
    const start = first;
    first += set.length;
    it.for<Way>(['tap', 'execute'])(`are the same for ${name}, by %s`, (way, { skip, task }) => {
      skip(reason !== undefined, reason);
      expect(set.length).toBeGreaterThan(0);
      const differences: string[] = [];
      const without = new Map<string, number>();
      for (const [index, named] of set.entries()) {
        const theirs = kernel[way][start + index];
        const mine = ours[start + index];
        const why = whyNoKey(way, named.frame, mine);
        if (why !== undefined) without.set(why, (without.get(why) ?? 0) + 1);
        const same = why === undefined ? Buffer.compare(theirs, mine) === 0 : theirs.length === 0;
        if (!same) differences.push(describeDifference(way, named, theirs, mine));
      }
      const exceptions = [...without].map(([why, count]) => `, ${count} ${why}`).join('');
      account.push(`${name}, ${way}: ${set.length} frames, ${differences.length} differences${exceptions}`);
      task.meta.compared = { what: 'keys', count: set.length, explained: {}, unexplained: differences.length };
      const shown = differences.slice(0, DIFFERENCES_SHOWN).join('\n');
      if (differences.length > 0) expect.fail(`${differences.length} of ${set.length} keys differ\n${shown}`);
    });
  }
});
