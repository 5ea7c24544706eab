/*
 * Policies against the kernel that runs here. Its own policies are read with CTRL_CMD_GETPOLICY; then it gets thousands of requests made by them,
 * half of them spoiled, and must refuse those that we refuse, with the same errno, words and offset, and must not refuse by policy what we let
 * pass. The same for rtnetlink, whose policies are not told: two are written down here. All in a network namespace of its own.
 */
import { beforeAll, describe, expect, it } from 'vitest';
import { NL_VALIDATE_LIBERAL, NL_VALIDATE_STRICT } from '../assembly/constants.ts';
import { AttributeBuilder } from '../src/netlink/attributes.ts';
import { MessageBuffer } from '../src/netlink/buffer.ts';
import * as K from '../src/netlink/constants.ts';
import {
  beginGenericMessage,
  beginMessage,
  type ExtendedAck,
  endMessage,
  MessageCursor,
} from '../src/netlink/message.ts';
import { definePolicy, nestedPolicy, type Policy, type PolicyRow } from '../src/netlink/policy.ts';
import { type KernelPolicies, kernelRule, PolicyDump } from '../src/netlink/policy-dump.ts';
import { type Refusal, validateAttributes } from '../src/netlink/policy-validate.ts';
import { parseAttributes } from '../src/netlink/policy-values.ts';
import { NetlinkWasm } from './fuzz/netlink-wasm.ts';
import { SEED } from './support/datapath.ts';
import { askKernel, requireNamespace } from './support/netlink-ask.ts';

const { POLICIES, SCRATCH, LIMIT } = NetlinkWasm;
const missing = requireNamespace();
/** Families whose state belongs to a network namespace, so that nothing outside is changed by a request that happens to be right. */
const FAMILIES = ['nlctrl', 'ethtool', 'netdev', 'mptcp_pm', 'tcp_metrics'];
/** Requests a command; POLICY_REQUESTS sets another number. */
const REQUESTS = Number(process.env.POLICY_REQUESTS ?? 60);
const GENERIC_HEADERS = K.NLMSG_HDRLEN + K.GENL_HDRLEN;
const [EPERM, EOPNOTSUPP, AF_INET] = [1, 95, 2];
const WORDS = new Set([
  ...[
    'Attribute failed policy validation',
    'invalid attribute length',
    'NLA_F_NESTED is missing',
    'NLA_F_NESTED not expected',
  ],
  ...['Unsupported attribute', 'Unknown attribute type', 'integer out of range', 'binary attribute size out of range'],
  ...['reserved bit set', 'Array element too short', 'allowed policy recursion depth exceeded'],
]);

let wasm: NetlinkWasm;
beforeAll(async () => {
  wasm = await NetlinkWasm.open('release');
});

/** What the kernel said to a request, read from the message that ends the answer. */
interface Verdict extends ExtendedAck {
  errno: number;
}

function verdictOf(answer: Uint8Array): Verdict {
  const cursor = new MessageCursor(answer);
  let verdict: Verdict = { errno: -1 };
  while (cursor.next())
    if (cursor.isError || cursor.isDone) verdict = { errno: cursor.errno(), ...cursor.extendedAck() };
  cursor.check();
  return verdict;
}

function genericRequest(
  family: number,
  command: number,
  version: number,
  attributes: Uint8Array,
  flags = 0,
): Uint8Array {
  const buffer = new MessageBuffer();
  const start = beginGenericMessage(buffer, family, command, version, K.NLM_F_REQUEST | K.NLM_F_ACK | flags);
  buffer.append(attributes);
  endMessage(buffer, start);
  return buffer.bytes.slice();
}

function attributesOf(write: (builder: AttributeBuilder) => void): Uint8Array {
  const buffer = new MessageBuffer();
  const builder = new AttributeBuilder(buffer);
  write(builder);
  builder.finish();
  return buffer.bytes.slice();
}

const familyPolicy = definePolicy({
  id: { type: K.CTRL_ATTR_FAMILY_ID, kind: 'u16', required: true },
  name: { type: K.CTRL_ATTR_FAMILY_NAME, kind: 'nulString', sizeMax: 15, required: true },
  version: { type: K.CTRL_ATTR_VERSION, kind: 'u32', required: true },
  maxType: { type: K.CTRL_ATTR_MAXATTR, kind: 'u32', required: true },
});

interface Family extends KernelPolicies {
  id: number;
  version: number;
}

/** The family with its policies; undefined when the kernel has no such family. */
function askFamily(name: string): Family | undefined {
  const attributes = attributesOf((builder) => builder.string(K.CTRL_ATTR_FAMILY_NAME, name));
  const [found] = askKernel(K.NETLINK_GENERIC, [genericRequest(K.GENL_ID_CTRL, K.CTRL_CMD_GETFAMILY, 1, attributes)]);
  const cursor = new MessageCursor(found);
  cursor.next();
  if (cursor.isError) return undefined;
  const { id, version, maxType } = parseAttributes(familyPolicy, found, GENERIC_HEADERS, cursor.size - GENERIC_HEADERS);
  const request = genericRequest(K.GENL_ID_CTRL, K.CTRL_CMD_GETPOLICY, 1, attributes, K.NLM_F_DUMP);
  const [dumped] = askKernel(K.NETLINK_GENERIC, [request]);
  const dump = new PolicyDump();
  const messages = new MessageCursor(dumped);
  while (messages.next()) if (messages.type === K.GENL_ID_CTRL) dump.add(messages);
  messages.check();
  return { id, version, ...dump.finish(maxType) };
}

/** The attribute at this offset of the message, with the rule that we have for it. */
function ruleAt(
  policy: Policy,
  bytes: Uint8Array,
  start: number,
  offset: number,
): { row: PolicyRow | undefined; type: number } {
  return find(policy, start) ?? { row: undefined, type: 0 };

  function find(inside: Policy | undefined, from: number, end = bytes.length): ReturnType<typeof ruleAt> | undefined {
    for (let at = from; at + 4 <= end; ) {
      const size = bytes[at] | (bytes[at + 1] << 8);
      const type = (bytes[at + 2] | (bytes[at + 3] << 8)) & K.NLA_TYPE_MASK;
      const row = inside?.rows[type];
      if (at === offset) return { row, type };
      if (offset < at + size) {
        const inner = row === undefined ? undefined : nestedPolicy(row);
        if (row?.rule.kind !== 'nestedArray') return find(inner, at + 4, at + size);
        return findInArray(inner, at + 4, at + size);
      }
      if (size < 4) return undefined;
      at += (size + 3) & ~3;
    }
    return undefined;
  }

  function findInArray(inner: Policy | undefined, start: number, end: number): ReturnType<typeof ruleAt> | undefined {
    for (let at = start; at + 4 <= end; ) {
      const size = bytes[at] | (bytes[at + 1] << 8);
      if (at < offset && offset < at + size) return find(inner, at + 4, at + size);
      at += (Math.max(size, 4) + 3) & ~3;
    }
    return undefined;
  }
}

interface Tally {
  refused: number;
  passed: number;
  untold: number;
}

function describeVerdict({ errno, message, offset }: Verdict | Refusal): string {
  return `errno ${errno} '${message}' at ${offset}`;
}

/** Counts, or says how the kernel and we differ. */
function compare(
  policy: Policy,
  headerSize: number,
  request: Uint8Array,
  refusal: Refusal | undefined,
  verdict: Verdict,
  tally: Tally,
): string | undefined {
  const byPolicy = verdict.errno !== 0 && WORDS.has(verdict.message ?? '');
  const differ = () =>
    `we: ${refusal === undefined ? 'let it pass' : describeVerdict(refusal)}; kernel: ${describeVerdict(verdict)}; ${Buffer.from(request).toString('hex')}`;
  const places = [refusal?.offset, byPolicy ? verdict.offset : undefined].filter((offset) => offset !== undefined);
  const earliest = places.length === 0 ? undefined : ruleAt(policy, request, headerSize, Math.min(...places));
  // What GETPOLICY does not tell: rejected and unknown attributes, and binary ones with one limit only.
  const { rule } = earliest?.row ?? {};
  const untold =
    earliest !== undefined &&
    (rule === undefined || (rule.kind === 'binary' && (rule.sizeMin ?? rule.sizeMax) === undefined));
  if (
    refusal !== undefined &&
    verdict.errno === refusal.errno &&
    verdict.message === refusal.message &&
    verdict.offset === refusal.offset
  ) {
    tally.refused++;
    return undefined;
  }
  if (untold && verdict.errno !== 0) {
    tally.untold++;
    return undefined;
  }
  if (refusal !== undefined || byPolicy) return differ();
  tally.passed++;
  return undefined;
}

/** Requests made for a policy, to be sent with others in one go. */
interface Series {
  policy: Policy;
  headerSize: number;
  mode: number;
  requests: Uint8Array[];
}

function series(
  policy: Policy,
  make: (attributes: Uint8Array) => Uint8Array,
  headerSize: number,
  mode: number,
  count = REQUESTS,
): Series {
  wasm.clearPolicies();
  wasm.addPolicy(policy);
  const requests = Array.from({ length: count }, (_, index) => {
    const size = wasm.exports.generateAttrs(POLICIES, SEED, index, SCRATCH, LIMIT);
    return make(wasm.bytes.slice(LIMIT - size, LIMIT));
  });
  return { policy, headerSize, mode, requests };
}

/** Sends them all and compares every answer with ours. */
function exchange(protocol: number, all: readonly Series[]): Tally {
  const tally = { refused: 0, passed: 0, untold: 0 };
  const differences: string[] = [];
  const answers = askKernel(
    protocol,
    all.flatMap(({ requests }) => requests),
  );
  let next = 0;
  for (const { policy, headerSize, mode, requests } of all) {
    for (const request of requests) {
      const refusal = validateAttributes(policy, request, headerSize, request.length - headerSize, 0, mode);
      const difference = compare(policy, headerSize, request, refusal, verdictOf(answers[next++]), tally);
      if (difference !== undefined) differences.push(difference);
    }
  }
  expect(differences, `SEED=${SEED}`).toEqual([]);
  return tally;
}

/** Whether each command is validated strictly; undefined where the kernel does not get so far. */
function strictness(family: Family, commands: readonly number[]): (boolean | undefined)[] {
  const unknown = attributesOf((builder) => builder.flag(K.NLA_TYPE_MASK));
  const probes = commands.map((command) => genericRequest(family.id, command, family.version, unknown));
  return askKernel(K.NETLINK_GENERIC, probes)
    .map(verdictOf)
    .map(({ errno, message }) =>
      errno === EOPNOTSUPP || errno === EPERM ? undefined : message === 'Unknown attribute type',
    );
}

describe.skipIf(missing !== undefined)(`generic Netlink, SEED=${SEED} ${missing ?? ''}`, () => {
  it.for(FAMILIES)('%s', (name, context) => {
    const family = askFamily(name);
    if (family === undefined) return context.skip(`the kernel has no family ${name}`);
    const told = [...family.commands].flatMap(([command, { request }]) =>
      request === undefined ? [] : [{ command, request }],
    );
    const strict = strictness(
      family,
      told.map(({ command }) => command),
    );
    const all = told.flatMap(({ command, request }, i) => {
      if (strict[i] === undefined) return [];
      const make = (attributes: Uint8Array) => genericRequest(family.id, command, family.version, attributes);
      return [series(request, make, GENERIC_HEADERS, strict[i] ? NL_VALIDATE_STRICT : NL_VALIDATE_LIBERAL)];
    });
    const tally = exchange(K.NETLINK_GENERIC, all);
    expect(tally.refused).toBeGreaterThan(0);
    expect(tally.passed).toBeGreaterThan(0);
  });

  it('what is missing is told as we tell it, and the rule at fault as GETPOLICY does', (context) => {
    const family = askFamily('netdev');
    if (family === undefined) return context.skip('the kernel has no family netdev');
    const DEV_GET = 1;
    const [IFINDEX, empty] = [1, new Uint8Array(0)];
    const zero = attributesOf((builder) => builder.u32(IFINDEX, 0));
    const requests = [empty, zero].map((attributes) => genericRequest(family.id, DEV_GET, family.version, attributes));
    const [without, wrong] = askKernel(K.NETLINK_GENERIC, requests).map(verdictOf);

    const policy = definePolicy({ ifindex: { type: IFINDEX, kind: 'u32', min: 1, required: true } });
    const ours = validateAttributes(policy, requests[0], GENERIC_HEADERS);
    expect([without.errno, without.missingType, without.missingNest]).toEqual([
      ours?.errno,
      ours?.missingType,
      undefined,
    ]);
    expect(wrong.message).toBe('integer out of range');
    expect(kernelRule(IFINDEX, wrong.policy ?? empty)).toEqual(
      family.commands.get(DEV_GET)?.request?.rows[IFINDEX]?.rule,
    );
  });
});

/** A request of rtnetlink for IPv4, all else of its header zero. */
function routeRequest(type: number, headerSize: number, attributes: Uint8Array): Uint8Array {
  const buffer = new MessageBuffer();
  const start = beginMessage(buffer, type, K.NLM_F_REQUEST | K.NLM_F_ACK);
  buffer.setU8(buffer.put(headerSize), AF_INET);
  buffer.append(attributes);
  endMessage(buffer, start);
  return buffer.bytes.slice();
}

const [RTM_NEWADDR, RTM_NEWNEIGH, NDA_FLAGS_EXT] = [20, 28, 15];

/** The bits of NDA_FLAGS_EXT that this kernel knows: they become more from release to release. */
function neighbourFlags(): number {
  const bits = Array.from({ length: 32 }, (_, bit) => 2 ** bit);
  const probes = bits.map((bit) =>
    routeRequest(
      RTM_NEWNEIGH,
      12,
      attributesOf((b) => b.u32(NDA_FLAGS_EXT, bit)),
    ),
  );
  const answers = askKernel(K.NETLINK_ROUTE, probes).map(verdictOf);
  return bits.reduce((mask, bit, i) => mask + (answers[i].message === 'reserved bit set' ? 0 : bit), 0);
}

/** Policy of RTM_NEWNEIGH (enum in linux/neighbour.h): liberal, but strict from NDA_NH_ID on. */
const neighbour = () =>
  definePolicy(
    {
      dst: { type: 1, kind: 'binary', sizeMax: 32 },
      lladdr: { type: 2, kind: 'binary', sizeMax: 32 },
      cacheinfo: { type: 3, kind: 'unspec', sizeMin: 16 },
      probes: { type: 4, kind: 'u32' },
      vlan: { type: 5, kind: 'u16' },
      port: { type: 6, kind: 'u16' },
      vni: { type: 7, kind: 'u32' },
      ifindex: { type: 8, kind: 'u32' },
      master: { type: 9, kind: 'u32' },
      protocol: { type: 12, kind: 'u8' },
      nhId: { type: 13, kind: 'u32' },
      fdbExtended: { type: 14, kind: 'nested' },
      flagsExtended: { type: NDA_FLAGS_EXT, kind: 'u32', mask: neighbourFlags() },
      stateMask: { type: 16, kind: 'unspec' },
    },
    { strictStart: 13 },
  );

/** Policy of RTM_NEWADDR for IPv4 (linux/if_addr.h): liberal. */
const address = () =>
  definePolicy(
    {
      local: { type: 2, kind: 'u32' },
      label: { type: 3, kind: 'string', sizeMax: 15 },
      broadcast: { type: 4, kind: 'u32' },
      cacheinfo: { type: 6, kind: 'unspec', sizeMin: 16 },
      address: { type: 1, kind: 'u32' },
      flags: { type: 8, kind: 'u32' },
      priority: { type: 9, kind: 'u32' },
      namespace: { type: 10, kind: 's32' },
      protocol: { type: 11, kind: 'u8' },
    },
    { maxType: 11 },
  );

describe.skipIf(missing !== undefined)(`rtnetlink, SEED=${SEED} ${missing ?? ''}`, () => {
  it.each([
    ['RTM_NEWNEIGH', RTM_NEWNEIGH, 12, neighbour],
    ['RTM_NEWADDR', RTM_NEWADDR, 8, address],
  ] as const)('%s', (_name, type, headerSize, policyOf) => {
    const make = (attributes: Uint8Array) => routeRequest(type, headerSize, attributes);
    const headers = K.NLMSG_HDRLEN + headerSize;
    const tally = exchange(K.NETLINK_ROUTE, [series(policyOf(), make, headers, NL_VALIDATE_LIBERAL, 20 * REQUESTS)]);
    expect(tally.refused).toBeGreaterThan(0);
    expect(tally.passed).toBeGreaterThan(0);
  });
});
