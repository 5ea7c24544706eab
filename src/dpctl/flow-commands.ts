/*
 * dump-flows, add-flow, mod-flow, get-flow, del-flow, and add-flows, mod-flows, del-flows: the flows of a datapath. Before it: commands.ts. After it:
 * flow-batch.ts and flow-files.ts for what changes flows, flow-text.ts and flow-filter.ts for what shows them.
 */
import { constants } from 'node:os';
import type { Dpif } from '../dpif/dpif.ts';
import type { FlowMessages } from '../dpif/flow-messages.ts';
import type { FlowDumpThread } from '../dpif/provider.ts';
import { DPIF_FP_CREATE, DPIF_FP_MODIFY, DPIF_FP_ZERO_STATS, type DpifFlow, type FlowGet } from '../dpif/types.ts';
import { jsonText } from '../odp/json.ts';
import { parseUfid } from '../odp/ufid.ts';
import { monotonicMs } from '../wasm/clock.ts';
import type { DpctlContext } from './context.ts';
import { isDatapath, withOptionalDatapath } from './datapaths.ts';
import { FlowBatch, PortNames } from './flow-batch.ts';
import { type FlowRequest, processFlows } from './flow-files.ts';
import { FilterError, parseFilter, passesFilter } from './flow-filter.ts';
import { FlowLines } from './flow-lines.ts';
import { flowObject } from './flow-text.ts';

const { EINVAL } = constants.errno;

/** Number that poll threads give the flows of the main thread. */
const MAIN_THREAD = -1;
/** Flows of one piece of a dump: enough to make the call cheap, few enough to hold. */
const DUMP_COUNT = 100;

/** What `type=` may list, and which flows each lets pass. */
const FLOW_TYPES: ReadonlyMap<string, (attrs: DpifFlow['attrs']) => boolean> = new Map<
  string,
  (attrs: DpifFlow['attrs']) => boolean
>([
  ['ovs', ({ dpLayer }) => dpLayer === 'ovs'],
  ['tc', ({ dpLayer }) => dpLayer === 'tc'],
  ['dpdk', ({ dpLayer }) => dpLayer === 'dpdk'],
  ['offloaded', ({ offloaded, dpLayer }) => offloaded && dpLayer !== 'ovs'],
  ['partially-offloaded', ({ offloaded, dpLayer }) => offloaded && dpLayer === 'ovs'],
  ['non-offloaded', ({ offloaded }) => !offloaded],
  ['all', () => true],
]);

interface DumpArguments {
  readonly datapath: readonly string[];
  readonly filter: string | undefined;
  readonly types: string | undefined;
  /** A core's number; -1: the main thread. */
  readonly pmd: string | undefined;
}

export async function dumpFlows(context: DpctlContext, args: readonly string[]): Promise<void> {
  const { datapath, filter, types, pmd } = readDumpArguments(args);
  if (pmd !== undefined && !/^-?\d+$/.test(pmd))
    return context.fail(`pmd=${pmd}: a number of a core was expected`, EINVAL);
  if (datapath.length > 1) return context.fail(`${datapath[1]}: filter=, type= or pmd= was expected`, EINVAL);
  await withOptionalDatapath(context, datapath, 1, async (dpif) => {
    const tests: FlowTest[] = [];
    if (filter !== undefined && !addTest(tests, filterTest(context, dpif, filter))) return;
    if (types !== undefined && !addTest(tests, typesTest(context, types))) return;
    try {
      await dump(context, dpif, tests, pmd === undefined ? undefined : Number(pmd));
    } catch (error) {
      context.fail('Failed to dump flows from datapath', error);
    }
  });
}

/** The three options may stand in any order. */
function readDumpArguments(args: readonly string[]): DumpArguments {
  const argument = (name: string): string | undefined => args.find((arg) => arg.startsWith(name))?.slice(name.length);
  return {
    datapath: args.filter((arg) => !/^(filter|type|pmd)=/.test(arg)),
    filter: argument('filter='),
    types: argument('type='),
    pmd: argument('pmd='),
  };
}

type FlowTest = (flow: DpifFlow) => boolean;

function addTest(tests: FlowTest[], test: FlowTest | undefined): boolean {
  if (test !== undefined) tests.push(test);
  return test !== undefined;
}

/** Undefined, and a failure, when the filter cannot be read. */
function filterTest(context: DpctlContext, dpif: Dpif, text: string): FlowTest | undefined {
  try {
    const filter = parseFilter(text, new PortNames(dpif).numbers);
    return (flow) => passesFilter(flow, filter);
  } catch (error) {
    if (!(error instanceof FilterError)) throw error;
    context.fail(`Failed to parse filter (${text}: ${error.message})`);
    return undefined;
  }
}

/** Undefined, and a failure, when there is no such type. */
function typesTest(context: DpctlContext, text: string): FlowTest | undefined {
  const names = text.split(',').filter((name) => name !== '');
  const wrong = names.find((name) => !FLOW_TYPES.has(name));
  if (wrong === undefined) return ({ attrs }) => names.some((name) => FLOW_TYPES.get(name)!(attrs));
  context.fail(`Failed to parse type (${wrong})`, EINVAL, `there are ${[...FLOW_TYPES.keys()].join(', ')}`);
  return undefined;
}

async function dump(
  context: DpctlContext,
  dpif: Dpif,
  tests: readonly FlowTest[],
  pmd: number | undefined,
): Promise<void> {
  const lines = flowPrinter(context, dpif);
  const dumped = dpif.flowDump();
  try {
    const thread = dumped.thread();
    if (thread.nextMessages === undefined) await printFlows(context, lines, thread, tests, pmd);
    else if (pmd === undefined) await printMessages(context, lines, () => thread.nextMessages!(), tests);
  } finally {
    lines.writeTo(context);
    dumped.close();
  }
}

function passes(tests: readonly FlowTest[], flow: DpifFlow | undefined): boolean {
  return flow !== undefined && tests.every((test) => test(flow));
}

async function printMessages(
  context: DpctlContext,
  lines: FlowPrinter,
  next: () => FlowMessages | undefined,
  tests: readonly FlowTest[],
): Promise<void> {
  for (let messages = next(); messages !== undefined; messages = next()) {
    while (messages.next()) if (tests.length === 0 || passes(tests, messages.flow())) lines.addMessage(messages);
    lines.writeTo(context, false);
    await context.turn();
  }
}

/** Flows of several poll threads are told apart by a line before those of each, unless `pmd` says whose are wanted. */
async function printFlows(
  context: DpctlContext,
  lines: FlowPrinter,
  thread: FlowDumpThread,
  tests: readonly FlowTest[],
  pmd: number | undefined,
): Promise<void> {
  let shown: number | undefined;
  for (let flows = thread.next(DUMP_COUNT); flows.length > 0; flows = thread.next(DUMP_COUNT)) {
    for (const flow of flows) {
      if (pmd !== undefined && flow.pmdId !== pmd) continue;
      if (pmd === undefined && flow.pmdId !== shown) {
        shown = flow.pmdId;
        if (!context.options.json) lines.addText(pmdTitle(shown));
      }
      if (passes(tests, flow)) lines.add(flow);
    }
    lines.writeTo(context, false);
    await context.turn();
  }
}

function pmdTitle(pmd: number | undefined): string {
  if (pmd === undefined) return '';
  return pmd === MAIN_THREAD ? 'flow-dump from the main thread:\n' : `flow-dump from pmd on cpu core: ${pmd}\n`;
}

type FlowPrinter = Pick<FlowLines, 'add' | 'addMessage' | 'addText' | 'writeTo'>;

/** Makes lines, or JSON objects, of flows. */
function flowPrinter(context: DpctlContext, dpif: Dpif): FlowPrinter {
  const { json, names, verbosity } = context.options;
  const nowMs = Math.floor(monotonicMs());
  if (json) return new FlowObjects(nowMs);
  return new FlowLines({
    verbose: verbosity > 0,
    names: names ? new Map([...dpif.ports()].map(({ portNo, name }) => [portNo, name])) : undefined,
    nowMs,
  });
}

/** One JSON object a line. */
class FlowObjects implements FlowPrinter {
  readonly #nowMs: number;
  #text = '';

  constructor(nowMs: number) {
    this.#nowMs = nowMs;
  }

  add(flow: DpifFlow): void {
    this.#text += `${jsonText(flowObject(flow, this.#nowMs))}\n`;
  }

  addMessage(messages: FlowMessages): void {
    const flow = messages.flow();
    if (flow !== undefined) this.add(flow);
  }

  addText(text: string): void {
    this.#text += text;
  }

  writeTo(context: DpctlContext): void {
    context.write(this.#text);
    this.#text = '';
  }
}

export async function addFlow(context: DpctlContext, args: readonly string[]): Promise<void> {
  await putFlow(context, args, DPIF_FP_CREATE);
}

export async function modFlow(context: DpctlContext, args: readonly string[]): Promise<void> {
  const { mayCreate, clear } = context.options;
  const flags = DPIF_FP_MODIFY | (mayCreate ? DPIF_FP_CREATE : 0) | (clear ? DPIF_FP_ZERO_STATS : 0);
  await putFlow(context, args, flags);
}

async function putFlow(context: DpctlContext, args: readonly string[], flags: number): Promise<void> {
  await withOptionalDatapath(context, args, 3, (dpif, [flow, actions]) => {
    const batch = new FlowBatch(context, dpif);
    batch.put(flow, actions, flags);
    batch.flush();
  });
}

export async function delFlow(context: DpctlContext, args: readonly string[]): Promise<void> {
  await withOptionalDatapath(context, args, 2, (dpif, [flow]) => {
    const batch = new FlowBatch(context, dpif);
    batch.delete(flow);
    batch.flush();
  });
}

export async function getFlow(context: DpctlContext, args: readonly string[]): Promise<void> {
  await withOptionalDatapath(context, args, 2, (dpif, [text]) => {
    let ufid: Uint8Array;
    try {
      ufid = parseUfid(text);
    } catch (error) {
      return context.fail('parsing flow ufid', error);
    }
    const op: FlowGet = { type: 'flow_get', ufid };
    dpif.operate([op]);
    if (op.flow === undefined) context.fail('getting flow', op.error);
    else {
      const lines = flowPrinter(context, dpif);
      lines.add(op.flow);
      lines.writeTo(context);
    }
  });
}

export async function addFlows(context: DpctlContext, args: readonly string[]): Promise<void> {
  await changeFlows(context, args, 'add');
}

export async function modFlows(context: DpctlContext, args: readonly string[]): Promise<void> {
  await changeFlows(context, args, 'modify');
}

/** Of one argument, or none: the flows of a datapath, all of them; of a file, those that it lists. */
export async function delFlows(context: DpctlContext, args: readonly string[]): Promise<void> {
  if (args.length === 2 || (args.length === 1 && !isDatapath(args[0]))) return changeFlows(context, args, 'delete');
  await withOptionalDatapath(context, args, 1, (dpif) => {
    try {
      dpif.flowFlush();
    } catch (error) {
      context.fail('deleting all flows', error);
    }
  });
}

async function changeFlows(context: DpctlContext, args: readonly string[], usual: FlowRequest): Promise<void> {
  await withOptionalDatapath(context, args, 2, (dpif, [file]) => processFlows(context, dpif, file, usual));
}
