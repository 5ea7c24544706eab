/*
 * The executor beside the real openvswitch.ko: random packets with random action lists go to both, as OVS_PACKET_CMD_EXECUTE there. What
 * comes out of the ports and every upcall message must be the same bytes. The kernel runs in a virtual machine (kernel-vm/boot,
 * transact.c). Lists that the kernel refuses are passed over: what may be executed is another test's business. SEED sets the seed,
 * KERNEL_CASES the number of cases. The corpus goes to the kernel too, and must be answered as it was; RECORD=1 writes the answers down.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type KernelResult, kernelExecute, kernelTransact, whyNoKernel } from './kernel-vm/kernel.ts';
import { BUILDS } from './support/datapath.ts';
import { type ExecuteCase, executeCases } from './support/execute-cases.ts';
import { readExecuteCorpus, writeExecuteCorpus } from './support/execute-corpus.ts';
import { EXCEPTIONS, hex, outcomeText } from './support/execute-differences.ts';
import { Executor, type Outcome } from './support/executor.ts';
import { Random } from './support/frame-generator.ts';

const SEED = Number(process.env.SEED ?? Math.floor(Math.random() * 4294967296));
const CASES = Number(process.env.KERNEL_CASES ?? 20_000);
/** Cases that only we execute, on packets cut anywhere and with little room. */
const FUZZ = Number(process.env.FUZZ ?? 5_000);
const DIFFERENCES_SHOWN = 5;
const EINVAL = 22;
const ERANGE = 34;

describe('what the kernel and the executor make of a packet', () => {
  const corpus = readExecuteCorpus();
  let reason: string | undefined;
  let cases: ExecuteCase[];
  let kernel: KernelResult[];
  let recorded: KernelResult[];
  let ours: Outcome[];
  const account: string[] = [];

  beforeAll(async () => {
    reason = whyNoKernel();
    if (reason !== undefined) return;
    const source = executeCases(SEED);
    cases = Array.from({ length: CASES }, () => source.next().value);
    kernel = await kernelTransact([...corpus, ...cases].map(({ frame, list }) => kernelExecute(frame, list)));
    recorded = kernel.splice(0, corpus.length);
    await using executor = await Executor.open();
    ours = cases.map(({ frame, list }) => executor.execute(frame, list));
    executor.verify(cases.length);
  });

  afterAll(() => {
    if (account.length > 0) console.log(account.join('\n'));
  });

  it(`is the same for ${CASES} random cases, SEED=${SEED}`, ({ skip, task }) => {
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
      const [a, b] = [outcomeText(theirs), outcomeText(ours[index])];
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
    const explained = Object.fromEntries(excused);
    task.meta.compared = { what: 'packets', count: CASES - refused, explained, unexplained: differences.length };
    expect(frames).toBeGreaterThan(CASES / 10);
    expect(upcalls).toBeGreaterThan(CASES / 20);
    if (differences.length > 0) {
      expect.fail(`${differences.length} differ\n${differences.slice(0, DIFFERENCES_SHOWN).join('\n')}`);
    }
  });

  it('is what the corpus says', ({ skip }) => {
    skip(reason !== undefined, reason);
    const answers = recorded.map(outcomeText);
    if (process.env.RECORD === '1') writeExecuteCorpus(corpus, answers);
    else expect(answers).toEqual(corpus.map((one) => one.kernel));
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
