/*
 * EXECUTE by messages beside the real openvswitch.ko: random packets, lists and metadata go to both as the same attributes. The errno of the
 * acknowledgement, what comes out of the ports and every upcall message must be the same. The kernel runs in a virtual machine (kernel-vm/boot,
 * transact.c). SEED sets the seed, KERNEL_CASES the number of cases.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { KERNEL_FAMILY, type KernelResult, kernelTransact, whyNoKernel } from './kernel-vm/kernel.ts';
import { attribute, concat, le32 } from './support/action-list.ts';
import { tally } from './support/conformance/summary.ts';
import { type ExecuteCase, executeCases } from './support/execute-cases.ts';
import { EXCEPTIONS, hex, outcomeText } from './support/execute-differences.ts';
import { Random } from './support/frame-generator.ts';
import { type Executed, PacketSocket } from './support/packet-socket.ts';

const SEED = Number(process.env.SEED ?? 1);
const CASES = Number(process.env.KERNEL_CASES ?? 6_000);
const DIFFERENCES_SHOWN = 6;
const OVS_PACKET_CMD_EXECUTE = 3;

interface PacketCase extends ExecuteCase {
  /** Of OVS_PACKET_ATTR_KEY. */
  key: Uint8Array;
  /** Attributes behind ACTIONS. */
  more: Uint8Array;
}

const EMPTY = new Uint8Array(0);

/** Metadata as a program might have them from an upcall, or not. */
function randomKey(random: Random): Uint8Array {
  const port = random.pick([0, 1, 2, 3, 4, 7, 200, 65535]);
  const maybe = (type: number, value: ArrayLike<number>) => (random.oneIn(4) ? attribute(type, value) : EMPTY);
  const tuple4 = concat(random.bytes(8), random.bytes(4), Uint8Array.of(random.pick([6, 17])));
  const tuple6 = concat(random.bytes(32), random.bytes(4), Uint8Array.of(random.pick([6, 17])));
  return concat(
    random.oneIn(8) ? EMPTY : attribute(3, le32(port)),
    maybe(2, le32(random.below(8))),
    maybe(15, le32(random.below(8))),
    maybe(19, le32(random.below(3) * 77)),
    maybe(20, le32(random.below(3))),
    maybe(22, le32(random.pick([0, 1, 0x21, 0x25, 0x100]))),
    maybe(23, [random.below(4), 0]),
    maybe(24, le32(random.below(4))),
    maybe(25, random.bytes(16)),
    random.oneIn(12) ? attribute(26, tuple4) : EMPTY,
    random.oneIn(16) ? attribute(27, tuple6) : EMPTY,
    random.oneIn(20) ? attribute(random.pick([6, 7, 31, 50]), random.bytes(random.pick([0, 2, 12]))) : EMPTY,
  );
}

function* packetCases(seed: number): Generator<PacketCase, never> {
  const random = new Random(seed);
  const source = executeCases(seed);
  for (;;) {
    const { frame, list } = source.next().value;
    const hash = concat(random.bytes(4), le32(random.pick([0, 1, 2, 3])));
    const more = concat(
      random.oneIn(8) ? attribute(11, hash) : EMPTY,
      random.oneIn(8) ? attribute(9, [0xff, 0xff]) : EMPTY,
      random.oneIn(8) ? attribute(8, []) : EMPTY,
    );
    yield { frame, list, key: randomKey(random), more };
  }
}

const attributesOf = ({ frame, list, key, more }: PacketCase): Uint8Array =>
  concat(attribute(1, frame), attribute(2, key), attribute(3, list), more);

describe('packets executed by messages', () => {
  let reason: string | undefined;
  let cases: PacketCase[];
  let kernel: KernelResult[];
  let ours: Executed[];
  const account: string[] = [];

  beforeAll(async () => {
    reason = whyNoKernel();
    if (reason !== undefined) return;
    const source = packetCases(SEED);
    cases = Array.from({ length: CASES }, () => source.next().value);
    const common = { family: KERNEL_FAMILY.packet, command: OVS_PACKET_CMD_EXECUTE, flags: 0 };
    kernel = await kernelTransact(cases.map((one) => ({ ...common, attributes: attributesOf(one) })));
    await using socket = await PacketSocket.open();
    ours = cases.map((one) => socket.execute(attributesOf(one)));
    expect(socket.datapath.check()).toBe(0);
  });

  afterAll(() => {
    if (account.length > 0) console.log(account.join('\n'));
  });

  it(`are the kernel's, ${CASES} random cases, SEED=${SEED}`, ({ skip, task }) => {
    skip(reason !== undefined, reason);
    const differences: string[] = [];
    const errnos = new Map<number, number>();
    const excused: string[] = [];
    for (const [index, one] of cases.entries()) {
      const [theirs, mine] = [kernel[index]!, ours[index]!];
      errnos.set(theirs.errno, (errnos.get(theirs.errno) ?? 0) + 1);
      const [a, b] = [theirs, mine].map((result) =>
        [`errno ${result.errno}`, ...outcomeText(result)].join('\n         '),
      );
      if (a === b) continue;
      const exception = EXCEPTIONS.find(([, applies]) => applies(one));
      if (exception !== undefined) {
        excused.push(exception[0]);
        continue;
      }
      differences.push(
        `case ${index}\n  frame  ${hex(one.frame)}\n  key    ${hex(one.key)}\n  list   ${hex(one.list)}\n  more   ${hex(one.more)}\n  kernel ${a}\n  ours   ${b}`,
      );
    }
    account.push(
      `seed ${SEED}: ${CASES} packets, errno ${JSON.stringify([...errnos])}, ${excused.length} excused, ${differences.length} differences`,
    );
    const unexplained = differences.length;
    task.meta.compared = { what: 'packets', count: CASES, explained: tally(excused), unexplained };
    if (differences.length > 0) {
      expect.fail(`${differences.length} differ\n${differences.slice(0, DIFFERENCES_SHOWN).join('\n')}`);
    }
  });
});
