/*
 * The real kernel as a function: flows in, what its Open vSwitch datapath says to them out.
 *
 * For tests only. Before it: whoever has keys, masks and actions as attribute lists. After it: the comparison with our own
 * answers. Runs ./boot (a virtual machine, some five seconds) and in it flowput.c; both say more.
 */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { BOOT, run } from './kernel.ts';

export interface Flow {
  key: Uint8Array;
  /** undefined: the flow has no mask, and matches all that its key says. */
  mask: Uint8Array | undefined;
  actions: Uint8Array;
}

/** What became of a flow; the lists are empty when it was refused. */
export interface FlowAnswer extends Flow {
  errno: number;
  /** Where the extended ack sees the fault, in the list at fault. */
  offset: number | undefined;
  mask: Uint8Array;
}

const ABSENT = 0xffffffff;

export function packFlows(flows: readonly Flow[]): Uint8Array {
  return Buffer.concat(
    flows.flatMap(({ key, mask, actions }) => [
      new Uint8Array(Uint32Array.of(key.length, mask?.length ?? ABSENT, actions.length).buffer),
      ...[key, mask ?? new Uint8Array(0), actions],
    ]),
  );
}

export function unpackAnswers(packed: Uint8Array): FlowAnswer[] {
  const view = new DataView(packed.buffer, packed.byteOffset, packed.byteLength);
  const answers: FlowAnswer[] = [];
  for (let at = 0; at < packed.length; ) {
    const [errno, offset, ...sizes] = [0, 4, 8, 12, 16].map((field) => view.getUint32(at + field, true));
    at += 20;
    const [key, mask, actions] = sizes.map((size) => {
      at += size;
      return packed.subarray(at - size, at);
    });
    answers.push({
      errno: errno!,
      offset: offset === ABSENT ? undefined : offset,
      key: key!,
      mask: mask!,
      actions: actions!,
    });
  }
  return answers;
}

/** What the kernel says to each flow, put by itself into an empty table. */
export async function kernelFlows(flows: readonly Flow[]): Promise<{ answers: FlowAnswer[]; summary: string }> {
  return putFlows(flows, false);
}

/** As kernelFlows, all of them put into one table, and what `ovs-dpctl dump-flows -m` prints of it, by the number of the flow. */
export async function dumpedFlows(
  flows: readonly Flow[],
): Promise<{ answers: FlowAnswer[]; lines: Map<number, string> }> {
  const { answers, dump } = await putFlows(flows, true);
  const lines = dump.split('\n').map((line): [number, string] => {
    const [, number = '', text = ''] = /^ufid:([0-9a-f]{8})-[0-9a-f-]*, (.*)$/.exec(line) ?? [];
    return [Number.parseInt(number, 16) - 1, text];
  });
  return { answers, lines: new Map(lines.filter(([number]) => number >= 0)) };
}

async function putFlows(
  flows: readonly Flow[],
  isDumped: boolean,
): Promise<{ answers: FlowAnswer[]; summary: string; dump: string }> {
  const folder = await mkdtemp(path.join(os.tmpdir(), 'kernel-flows-'));
  try {
    const program = path.join(folder, 'flowput');
    const source = path.join(import.meta.dirname, 'flowput.c');
    await run('gcc', ['-std=gnu11', '-O2', '-Wall', '-Wextra', '-Werror', '-static', '-o', program, source]);
    const input = path.join(folder, 'cases');
    await writeFile(input, packFlows(flows));
    const command = isDumped
      ? './flowput --keep cases out/answers && ovs-dpctl dump-flows -m oracle > out/dump'
      : './flowput cases out/answers';
    const programs = isDumped ? ['--program', 'ovs-dpctl'] : [];
    const args = ['--copy', program, '--copy', input, ...programs, '--out', folder, '--', command];
    const summary = await run(BOOT, args);
    const answers = unpackAnswers(await readFile(path.join(folder, 'answers')));
    if (answers.length !== flows.length) throw new Error(`${flows.length} flows gave ${answers.length} answers`);
    const dump = isDumped ? await readFile(path.join(folder, 'dump'), 'latin1') : '';
    return { answers, summary: summary.trim(), dump };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
