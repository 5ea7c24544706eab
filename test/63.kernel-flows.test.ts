/*
 * Flows as the real openvswitch.ko takes or refuses them: decoder, validator and writers of keys, masks and actions in one. The
 * kernel runs in a virtual machine (kernel-vm/boot); each case is an OVS_FLOW_CMD_NEW there (kernel-vm/flowput.c), and here what
 * handling one does. Compared are the errno and, where both accept, the bytes of key, mask and actions that come back.
 *
 * Nothing is normalised. Where we differ on purpose, KNOWN says how to tell and why; each is counted and the counts are printed.
 * The kernel is a 6.1. It gives no extended ack for what is inside of keys and actions, which is checked too.
 *
 * SEED sets the seed, KERNEL_FLOWS the number of random flows.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import * as K from '../assembly/constants.ts';
import { type FlowAnswer, kernelFlows } from './kernel-vm/flows.ts';
import { whyNoKernel } from './kernel-vm/kernel.ts';
import { ActionsInstance, compileActions } from './support/actions-wasm.ts';
import {
  connectionFlows,
  foreignFlows,
  limitFlows,
  type NamedFlow,
  newerFlows,
  randomFlows,
} from './support/flow-cases.ts';

const SEED = Number(process.env.SEED ?? Math.floor(Math.random() * 4294967296));
const COUNT = Number(process.env.KERNEL_FLOWS ?? 15_000);
const DIFFERENCES_SHOWN = 8;

interface OurAnswer {
  errno: number;
  key?: Uint8Array | undefined;
  mask?: Uint8Array | undefined;
  actions?: Uint8Array | undefined;
}

function ourFlow(instance: ActionsInstance, { key, mask, actions }: NamedFlow): OurAnswer {
  const match = instance.parseMatch(key, mask);
  if (match.status !== 0) return { errno: -match.status };
  const status = instance.validate(actions, match.key, match.mask);
  if (status !== 0) return { errno: -status };
  const masked = match.key.map((byte, at) => byte & match.mask[at]!);
  const room = 2048;
  return {
    errno: 0,
    key: instance.putKey(masked, undefined, room).bytes,
    mask: instance.putKey(masked, match.mask, room).bytes,
    actions: instance.canonical(actions),
  };
}

/** Offsets of what looks like the header of such an attribute. */
function headers(list: Uint8Array, type: number): number[] {
  const found: number[] = [];
  for (let at = 0; at + 4 <= list.length; at += 4) {
    if ((list[at + 2]! | ((list[at + 3]! & 0x3f) << 8)) === type) found.push(at);
  }
  return found;
}

const labelSizes = (list: Uint8Array) => headers(list, 21).map((at) => list[at]);

/** One header too many in the key, of those that lie over each other in the kernel's key. */
function hasForeignHeader({ key }: NamedFlow): boolean {
  const has = (type: number) => headers(key, type).length > 0;
  const networks = [7, 8, 13, 21, 28].filter(has).length;
  return networks > 1 || (networks === 1 && has(14) && (!has(8) || has(27))) || (has(13) && has(26));
}

/** Differences that are meant. docs/compatibility.md has them all with their reasons. */
const KNOWN: [string, (flow: NamedFlow, kernel: FlowAnswer, ours: OurAnswer) => boolean][] = [
  ['ct is checked, then refused', (_flow, kernel, ours) => ours.errno === K.EOPNOTSUPP && kernel.errno === 0],
  [
    'drop, psample and symmetric hash are newer than 6.1, lb_output is for userspace',
    ({ actions }, kernel, ours) =>
      ours.errno === 0 &&
      kernel.errno === K.EINVAL &&
      (headers(actions, 24).length > 0 ||
        headers(actions, 25).length > 0 ||
        headers(actions, 28).length > 0 ||
        headers(actions, 8).some((at) => actions[at] === 12 && actions[at + 4] === 1)),
  ],
  [
    'a mask with another number of labels than the key',
    ({ key, mask }, kernel, ours) =>
      ours.errno === 0 &&
      kernel.errno === 0 &&
      mask !== undefined &&
      labelSizes(mask).length > 0 &&
      labelSizes(key).join() !== labelSizes(mask).join(),
  ],
  [
    'a header that the key does not call for lies over one that it does',
    (flow, kernel, ours) => ours.errno === 0 && kernel.errno === 0 && hasForeignHeader(flow),
  ],
];

const hex = (bytes: Uint8Array | undefined) => (bytes === undefined ? 'none' : Buffer.from(bytes).toString('hex'));

/** What differs, or undefined. */
function difference(kernel: FlowAnswer, ours: OurAnswer): string | undefined {
  if (kernel.errno !== ours.errno) return `errno: kernel ${kernel.errno}, ours ${ours.errno}`;
  if (kernel.errno !== 0) return undefined;
  for (const list of ['key', 'mask', 'actions'] as const) {
    const [theirs, mine] = [hex(kernel[list]), hex(ours[list])];
    if (theirs !== mine) return `${list}:\n    kernel ${theirs}\n    ours   ${mine}`;
  }
  return undefined;
}

const SETS: Record<string, NamedFlow[]> = {
  'random keys and masks, whole and spoilt': randomFlows(SEED, COUNT / 3, 'key'),
  'random actions, whole and spoilt': randomFlows(SEED + 1, COUNT / 3, 'actions'),
  'all of both': randomFlows(SEED + 2, COUNT / 3, 'all'),
  'every limit of nesting and size': limitFlows(),
  'connection tracking': connectionFlows(SEED, COUNT / 20),
  'headers too many': foreignFlows(SEED, COUNT / 20),
  'what newer kernels know': newerFlows(),
};

describe('flows of the kernel and ours', () => {
  let reason: string | undefined;
  let answers: FlowAnswer[];
  let instance: ActionsInstance;
  const account: string[] = [];

  beforeAll(async () => {
    reason = whyNoKernel();
    if (reason !== undefined) return;
    instance = new ActionsInstance(await compileActions('debug'));
    const kernel = await kernelFlows(Object.values(SETS).flat());
    answers = kernel.answers;
    account.push(`seed ${SEED}`, kernel.summary);
  });

  afterAll(() => {
    if (account.length > 0) console.log(account.join('\n'));
  });

  let first = 0;
  for (const [name, set] of Object.entries(SETS)) {
    const start = first;
    first += set.length;
    it(`are the same for ${name}`, ({ skip, task }) => {
      skip(reason !== undefined, reason);
      const differences: string[] = [];
      const known = new Map<string, number>();
      let accepted = 0;
      for (const [index, flow] of set.entries()) {
        const kernel = answers[start + index]!;
        const ours = ourFlow(instance, flow);
        if (kernel.errno === 0) accepted++;
        expect(kernel.offset, 'extended ack').toBeUndefined();
        const what = difference(kernel, ours);
        if (what === undefined) continue;
        const why = KNOWN.find(([, applies]) => applies(flow, kernel, ours));
        if (why !== undefined) known.set(why[0], (known.get(why[0]) ?? 0) + 1);
        else {
          const lists = `key ${hex(flow.key)}\n  mask ${hex(flow.mask)}\n  actions ${hex(flow.actions)}`;
          differences.push(`${flow.name}: ${what}\n  ${lists}`);
        }
      }
      const meant = [...known].map(([why, count]) => `, ${count} ${why}`).join('');
      account.push(`${name}: ${set.length} flows, ${accepted} accepted, ${differences.length} differences${meant}`);
      const explained = Object.fromEntries(known);
      task.meta.compared = { what: 'flows', count: set.length, explained, unexplained: differences.length };
      const shown = differences.slice(0, DIFFERENCES_SHOWN).join('\n');
      if (differences.length > 0) expect.fail(`${differences.length} of ${set.length} flows differ\n${shown}`);
    });
  }
});
