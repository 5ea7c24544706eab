/*
 * Action attributes beside those of ovs-dpctl and of the real kernel, in a virtual machine.
 *
 * Random action lists go as our text into ovs-dpctl, and the bytes that it sends to the kernel for them are those that we encode. Then
 * random lists that the kernel takes, whatever ovs-dpctl can read, come back in a dump: what ovs-dpctl prints for them is what we
 * print. SEED sets the seed, ACTION_FLOWS the number of lists of each kind.
 */
import fc from 'fast-check';
import { beforeAll, describe, expect, test } from 'vitest';
import { type Action, decodeActions, encodeActions, formatActions, parseActions } from '../src/odp/index.ts';
import { type DpctlTalk, kernelDpctl } from './kernel-vm/dpctl.ts';
import { KERNEL_FAMILY, type KernelRequest, whyNoKernel } from './kernel-vm/kernel.ts';
import { hex } from './support/action-vectors.ts';
import { type Attr, attr, encode, nest } from './support/attribute-tree.ts';
import { asRead } from './support/dpctl.ts';
import { randomActions } from './support/flow-actions.ts';
import { randomKey } from './support/flow-generator.ts';
import { Random } from './support/frame-generator.ts';
import { seed } from './support/odp.ts';
import { dpctlAction } from './support/odp-actions.ts';
import { requireProgram } from './support/require.ts';

console.log(`33.action-oracles: SEED=${seed}`);
const COUNT = Number(process.env.ACTION_FLOWS ?? 4000);
const FLOW_ATTR_KEY = 1;
const FLOW_ATTR_ACTIONS = 2;
const NLM_F_CREATE = 0x400;
const KEY = { tunnel: 16, recirc_id: 20, nsh: 28 };
const ACTION = { set: 3, sample: 6, set_masked: 11, push_nsh: 17, clone: 20, check_pkt_len: 21, tunnel_push: 23 };
const LISTS: ReadonlySet<number> = new Set([ACTION.sample, ACTION.clone, ACTION.check_pkt_len]);

function attributes(list: Uint8Array): Attr[] {
  const view = new DataView(list.buffer, list.byteOffset, list.length);
  const found: Attr[] = [];
  for (let at = 0; at < list.length; at += (view.getUint16(at, true) + 3) & ~3) {
    const payload = list.subarray(at + 4, at + view.getUint16(at, true));
    found.push({ type: view.getUint16(at + 2, true) & 0x3fff, payload });
  }
  return found;
}

const actionsOf = (flow: Uint8Array) => leaf(attributes(flow).find(({ type }) => type === FLOW_ATTR_ACTIONS));

/** Without the payload size in the IPv6 header of a tunnel_push: text has none, and ovs-dpctl sends what its memory held. */
function withoutSize(action: Attr): Attr {
  const payload = leaf(action).slice();
  const ethernet = 16;
  const isIpv6 = payload[ethernet + 12] === 0x86;
  if (isIpv6) payload.fill(0, ethernet + 18, ethernet + 20);
  return attr(action.type, payload);
}

/**
 * An action with what has no meaning made alike: the attributes of a tunnel that is set are in the order of their numbers, as ovs-dpctl has them
 * in the order of its text.
 */
function normal(action: Attr): Attr {
  const { type } = action;
  if (type === ACTION.tunnel_push) return withoutSize(action);
  const inner = type === ACTION.set || LISTS.has(type) ? attributes(leaf(action)) : [];
  if (type === ACTION.clone) return nest(type, inner.map(normal));
  if (LISTS.has(type)) {
    return nest(
      type,
      inner.map((a) => (a.type === 1 ? a : nest(a.type, attributes(leaf(a)).map(normal)))),
    );
  }
  if (inner[0]?.type !== KEY.tunnel) return action;
  const tunnel = attributes(leaf(inner[0])).sort((left, right) => left.type - right.type);
  return nest(type, [nest(KEY.tunnel, tunnel)]);
}

const comparable = (actions: Uint8Array) => hex(encode(attributes(actions).map(normal)));

/** Text of a key that no other has. */
const keyText = (index: number) => `recirc_id(${index}),in_port(1),eth(),eth_type(0x0800),ipv4(frag=no)`;

const tree = (a: Attr | undefined): Attr[] => (a === undefined || a.payload instanceof Uint8Array ? [] : a.payload);
const leaf = (a: Attr | undefined): Uint8Array => (a?.payload instanceof Uint8Array ? a.payload : new Uint8Array(0));
const member = (a: Attr, type: number) => tree(a).find((inner) => inner.type === type);

/** A tunnel with what ovs-dpctl 3.1 has another attribute for (16), does not know (any ERSPAN), or prints a part of (GBP flags of 16 bits). */
const isForeignTunnel = (a: Attr) =>
  tree(a).some(({ type }) => type === 15 || type === 16) || (leaf(tree(member(a, 11))[0])[3] ?? 0) !== 0;

/** NSH metadata that is no whole number of words, or so long that ovs-dpctl 3.1 writes past its buffer. */
const isForeignNsh = (a: Attr) => leaf(member(a, 3)).length % 4 !== 0 || leaf(member(a, 3)).length > 240;

/** An action that ovs-dpctl 3.1 reads otherwise than the kernel or prints in part. */
function isForeign(action: Attr): boolean {
  const inner = tree(action)[0];
  switch (action.type) {
    case ACTION.tunnel_push: // to the kernel it is dec_ttl
      return true;
    case ACTION.set:
      return (inner.type === KEY.tunnel && isForeignTunnel(inner)) || (inner.type === KEY.nsh && isForeignNsh(inner));
    case ACTION.set_masked: // the kernel takes a byte too many
      return leaf(inner).length % 2 !== 0;
    case ACTION.push_nsh:
      return isForeignNsh(inner);
    case ACTION.clone:
      return tree(action).some(isForeign);
    default: // lists are in attributes of their own
      return tree(action).some((list) => tree(list).some(isForeign));
  }
}

/** A flow with actions that mostly suit its key, of which no two are alike. */
function randomFlow(random: Random, index: number): KernelRequest {
  const { attrs, kind } = randomKey(random);
  const id = attr(KEY.recirc_id, new Uint8Array(Uint32Array.of(index).buffer));
  const key = [...attrs.filter(({ type }) => type !== KEY.recirc_id), id];
  let actions = randomActions(random, kind);
  while (actions.some(isForeign)) actions = randomActions(random, kind);
  const attributes = encode([nest(FLOW_ATTR_KEY, key), nest(FLOW_ATTR_ACTIONS, actions)]);
  return { family: KERNEL_FAMILY.flow, command: 1, flags: NLM_F_CREATE | 4, attributes };
}

describe('ovs-dpctl and the kernel', () => {
  let reason: string | undefined;
  const lists: Action[][] = fc.sample(fc.array(dpctlAction, { minLength: 1, maxLength: 5 }), { seed, numRuns: COUNT });
  let talk: DpctlTalk;

  beforeAll(async () => {
    reason = requireProgram('ovs-dpctl') ?? whyNoKernel();
    if (reason !== undefined) return;
    const lines = lists.map((list, index) => `${keyText(index)} ${asRead(formatActions(list))}`);
    const random = new Random(seed);
    const requests = Array.from({ length: COUNT }, (_, index) => randomFlow(random, COUNT + index));
    talk = await kernelDpctl(lines, requests);
  });

  test('the bytes that ovs-dpctl sends', ({ skip }) => {
    skip(reason !== undefined, reason);
    expect(talk.sent.length).toBe(lists.length);
    for (const [index, flow] of talk.sent.entries()) {
      const text = formatActions(lists[index]);
      const parsed = parseActions(text, { likeDpctl: true });
      const theirs = actionsOf(flow);
      const ours = encodeActions(parsed, { numbering: 'ovs-3.1' });
      expect(comparable(ours), text).toBe(comparable(theirs));
      expect(formatActions(decodeActions(theirs, { numbering: 'ovs-3.1' }))).toBe(text);
    }
    console.log(`33.action-oracles: ${lists.length} lists as ovs-dpctl sends them`);
  });

  test('the text that ovs-dpctl prints for what the kernel has', ({ skip }) => {
    skip(reason !== undefined, reason);
    for (const { flow, line } of talk.dumped) {
      const actions = actionsOf(flow);
      const theirs = line.slice(line.indexOf('actions:') + 8);
      expect(formatActions(actions), hex(actions)).toBe(theirs);
    }
    console.log(`33.action-oracles: ${talk.dumped.length} flows of the kernel as ovs-dpctl prints them`);
    expect(talk.dumped.length).toBeGreaterThan(COUNT / 4);
  });
});
