/*
 * The executor beside the real openvswitch.ko: random packets with random action lists go to both, as OVS_PACKET_CMD_EXECUTE there. What
 * comes out of the ports and every upcall message must be the same bytes. The kernel runs in a virtual machine (kernel-vm/boot,
 * transact.c). Lists that the kernel refuses are passed over: what may be executed is another test's business. SEED sets the seed,
 * KERNEL_CASES the number of cases.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { KERNEL_FAMILY, type KernelResult, kernelTransact, whyNoKernel } from './kernel-vm/kernel.ts';
import { layoutOf } from './reference/actions.ts';
import { parseAttributes } from './reference/flow-attributes.ts';
import { attribute, concat, le32 } from './support/action-list.ts';
import { BUILDS } from './support/datapath.ts';
import { type ExecuteCase, executeCases } from './support/execute-cases.ts';
import { Executor, type Outcome } from './support/executor.ts';
import { Random } from './support/frame-generator.ts';

const SEED = Number(process.env.SEED ?? Math.floor(Math.random() * 4294967296));
const CASES = Number(process.env.KERNEL_CASES ?? 20_000);
/** Cases that only we execute, on packets cut anywhere and with little room. */
const FUZZ = Number(process.env.FUZZ ?? 5_000);
const DIFFERENCES_SHOWN = 5;
const OVS_PACKET_CMD_EXECUTE = 3;
const EINVAL = 22;
const ERANGE = 34;

const hex = (data: Uint8Array): string => Buffer.from(data).toString('hex');

function request({ frame, list }: ExecuteCase) {
  const key = attribute(2, attribute(3, le32(1)));
  const attributes = concat(attribute(1, frame), key, attribute(3, list));
  return { family: KERNEL_FAMILY.packet, command: OVS_PACKET_CMD_EXECUTE, flags: 0, attributes };
}

/** A message without what is the host's own: family, port id, the datapath's number, and the hash of a packet that was looked up. */
function messageText(message: Uint8Array): string {
  const text = hex(concat(message.subarray(0, 4), message.subarray(16, 20), message.subarray(24)));
  return text.replace(/0c000b00.{8}0[13]000000/, '0c000b00 looked up ');
}

function textOf({ frames, upcalls }: Pick<Outcome, 'frames' | 'upcalls'>): string[] {
  const ports = [1, 2, 3, 4].flatMap((port) =>
    frames.filter((frame) => frame.port === port).map(({ data }) => `port ${port} ${hex(data)}`),
  );
  return [...ports, ...upcalls.map((message) => `upcall ${messageText(message)}`)];
}

/** Where the kernel does what nobody should: why, and whether it applies. Each is counted; nothing else may differ. */
const EXCEPTIONS: [string, (one: ExecuteCase) => boolean][] = [
  [
    'ports set in a later fragment, whose payload the kernel takes for a header',
    ({ frame, list }) => isLater(frame) && sets(list, 9, 10, 17),
  ],
  [
    'SCTP with padding behind it, which the kernel counts in',
    ({ frame, list }) => sets(list, 17) && layoutOf(frame).end !== frame.length,
  ],
  [
    'a header before Ethernet while there is a tag, which the kernel puts into that header',
    ({ frame, list }) => (isTagged(frame) || hasAction(list, 4)) && hasAction(list, 17, 22),
  ],
  [
    'set(eth) after pop_eth, add_mpls or push_nsh, which the kernel writes over what the packet begins with',
    ({ list }) => sets(list, 4) && hasAction(list, 15, 17, 22),
  ],
  [
    'set(mpls) after push_mpls, which in the kernel overwrites the addresses of a key in an upcall',
    ({ list }) => sets(list, 21) && hasAction(list, 9, 22),
  ],
  [
    'set(ipv4) on a header that the frame cuts off, where the kernel mends a checksum at an offset that it never found',
    ({ frame, list }) => sets(list, 7) && isCut(frame),
  ],
];

/** All actions of a list and of the lists nested in it: type and payload. */
function* actionsIn(list: Uint8Array): Generator<[number, Uint8Array]> {
  for (const { type, payload } of parseAttributes(list)) {
    yield [type, payload];
    if (type === CLONE) yield* actionsIn(payload);
    if (type === SAMPLE || type === DEC_TTL || type === CHECK_PKT_LEN) {
      for (const inner of parseAttributes(payload)) if (isNested(type, inner.type)) yield* actionsIn(inner.payload);
    }
  }
}

const [SAMPLE, CLONE, CHECK_PKT_LEN, DEC_TTL] = [6, 20, 21, 23];

function isNested(type: number, inner: number): boolean {
  return type === DEC_TTL ? inner === 1 : inner >= 2;
}

function hasAction(list: Uint8Array, ...types: number[]): boolean {
  return [...actionsIn(list)].some(([type]) => types.includes(type));
}

function sets(list: Uint8Array, ...fields: number[]): boolean {
  return [...actionsIn(list)].some(([type, payload]) => (type === 3 || type === 11) && fields.includes(payload[2]));
}

function isTagged(frame: Uint8Array): boolean {
  return [0x8100, 0x88a8].includes((frame[12] << 8) | frame[13]);
}

function isCut(frame: Uint8Array): boolean {
  const { type, l3 } = layoutOf(frame);
  return type === 0x0800 && l3 + (frame[l3] & 15) * 4 > frame.length;
}

function isLater(frame: Uint8Array): boolean {
  const { type, l3 } = layoutOf(frame);
  return type === 0x0800 && (((frame[l3 + 6] << 8) | frame[l3 + 7]) & 0x1fff) !== 0;
}

describe('what the kernel and the executor make of a packet', () => {
  let reason: string | undefined;
  let cases: ExecuteCase[];
  let kernel: KernelResult[];
  let ours: Outcome[];
  const account: string[] = [];

  beforeAll(async () => {
    reason = whyNoKernel();
    if (reason !== undefined) return;
    const source = executeCases(SEED);
    cases = Array.from({ length: CASES }, () => source.next().value);
    kernel = await kernelTransact(cases.map(request));
    await using executor = await Executor.open();
    ours = cases.map(({ frame, list }) => executor.execute(frame, list));
    executor.verify(cases.length);
  });

  afterAll(() => {
    if (account.length > 0) console.log(account.join('\n'));
  });

  it(`is the same for ${CASES} random cases, SEED=${SEED}`, ({ skip }) => {
    skip(reason !== undefined, reason);
    const differences: string[] = [];
    const excused = new Map<string, number>();
    let refused = 0;
    let frames = 0;
    let upcalls = 0;
    for (const [index, { frame, list }] of cases.entries()) {
      const theirs = kernel[index];
      if (theirs.errno === EINVAL || theirs.errno === ERANGE) {
        refused++;
        continue;
      }
      frames += theirs.frames.length;
      upcalls += theirs.upcalls.length;
      const [a, b] = [textOf(theirs), textOf(ours[index])];
      if (a.join('\n') === b.join('\n')) continue;
      const exception = EXCEPTIONS.find(([, applies]) => applies(cases[index]));
      if (exception !== undefined) {
        excused.set(exception[0], (excused.get(exception[0]) ?? 0) + 1);
        continue;
      }
      differences.push(
        `case ${index}, errno ${theirs.errno}, drops ${JSON.stringify(ours[index].drops)}\n  frame  ${hex(frame)}\n  list   ${hex(list)}\n  kernel ${a.join('\n         ')}\n  ours   ${b.join('\n         ')}`,
      );
    }
    account.push(
      `seed ${SEED}: ${CASES} cases, ${refused} refused by the kernel, ${frames} frames, ${upcalls} upcalls, ${differences.length} differences`,
    );
    for (const [why, count] of excused) account.push(`  ${count} excused: ${why}`);
    expect(frames).toBeGreaterThan(CASES / 10);
    expect(upcalls).toBeGreaterThan(CASES / 20);
    if (differences.length > 0) {
      expect.fail(`${differences.length} differ\n${differences.slice(0, DIFFERENCES_SHOWN).join('\n')}`);
    }
  });
});

describe.each(BUILDS)('the executor by itself, %s', (build) => {
  it(`keeps to the packet's buffer and accounts for all, ${FUZZ} cases, SEED=${SEED}`, async () => {
    await using executor = await Executor.open({ build });
    const source = executeCases(SEED + 1);
    const random = new Random(SEED);
    for (let i = 0; i < FUZZ; i++) {
      const { frame, list } = source.next().value;
      const cut = random.oneIn(4) ? frame.slice(0, Math.max(14, random.below(frame.length))) : frame;
      const [headroom, tailroom] = [random.below(24), random.below(24)];
      const { frame: left, strayed } = executor.execute(cut, list, { headroom, tailroom });
      if (strayed || left.length > cut.length + headroom + tailroom) throw new Error(`case ${i} left its buffer`);
    }
    executor.verify(FUZZ);
  });
});
