/*
 * Two kernels side by side: what each did in every step of every scenario, and where they differ.
 *
 * Before it: the observations of both. After it: the test, which knows the differences that are meant.
 */
import { type Canonical, Canonicalizer, type Line } from './canonical.ts';
import { describeLine, describeStep, differingParts, outlineOf, outlineOfLine } from './describe.ts';
import type { Observed } from './observation.ts';
import type { Scenario, SocketName, Step } from './scenario.ts';

export interface Difference {
  scenario: Scenario;
  index: number;
  step: Step;
  kernel: Canonical;
  ours: Canonical;
}

export interface Account {
  scenarios: number;
  /** Messages sent and frames injected whose outcome was compared. */
  compared: number;
  /** Those behind a difference in a scenario where one thing follows from the other. */
  passedOver: number;
  /** Messages received and frames sent in the steps that were the same. */
  received: number;
  differences: Difference[];
}

function sameLines(a: readonly Line[], b: readonly Line[]): boolean {
  return a.length === b.length && a.every((line, index) => Buffer.compare(line.bytes, b[index]!.bytes) === 0);
}

function sockets(kernel: Canonical, ours: Canonical): SocketName[] {
  return [...new Set([...kernel.messages, ...ours.messages].map(({ socket }) => socket))];
}

/** Everything, in order for each socket and each device. */
export function isSame(kernel: Canonical, ours: Canonical): boolean {
  if (kernel.failure !== ours.failure) return false;
  for (const name of sockets(kernel, ours)) {
    const of = ({ messages }: Canonical) => messages.filter(({ socket }) => socket === name);
    if (!sameLines(of(kernel), of(ours))) return false;
  }
  const devices = new Set([...kernel.frames, ...ours.frames].map(({ device }) => device));
  for (const name of devices) {
    const of = ({ frames }: Canonical) => frames.filter(({ device }) => device === name).map(({ data }) => data);
    if (Buffer.compare(Buffer.concat(of(kernel)), Buffer.concat(of(ours))) !== 0) return false;
    if (of(kernel).length !== of(ours).length) return false;
  }
  return true;
}

const isAsked = (step: Step) => step.do === 'send' || step.do === 'post' || step.do === 'frame';

/** Compares scenario by scenario. `goesOn` says whether what follows a difference can be compared where one thing follows from the other. */
export function compare(
  scenarios: readonly Scenario[],
  kernel: Observed,
  ours: Observed,
  goesOn: (difference: Difference) => boolean,
): Account {
  const account: Account = { scenarios: scenarios.length, compared: 0, passedOver: 0, received: 0, differences: [] };
  for (const [index, scenario] of scenarios.entries()) {
    const [theirs, mine] = [new Canonicalizer(kernel.families), new Canonicalizer(ours.families)];
    let isOver = false;
    for (const [at, step] of scenario.steps.entries()) {
      const one = theirs.step(kernel.observations[index]![at]!);
      const two = mine.step(ours.observations[index]![at]!);
      if (isOver) {
        if (isAsked(step)) account.passedOver++;
        continue;
      }
      if (isAsked(step)) account.compared++;
      if (isSame(one, two)) {
        account.received += one.messages.length + one.frames.length;
        continue;
      }
      const difference = { scenario, index: at, step, kernel: one, ours: two };
      account.differences.push(difference);
      isOver = scenario.isStateful === true && !goesOn(difference);
    }
  }
  return account;
}

function linesOf({ messages, frames, failure }: Canonical): string[] {
  return [
    ...messages.map(describeLine),
    ...frames.map(({ device, data }) => `${device} sends ${Buffer.from(data).toString('hex')}`),
    ...(failure === 0 ? [] : [`fails with errno ${failure}`]),
  ];
}

/** The lines that there are more of than in the others. */
function surplus(some: string[], others: string[]): string[] {
  const rest = [...others];
  return some.filter((line) => {
    const index = rest.indexOf(line);
    if (index >= 0) rest.splice(index, 1);
    return index < 0;
  });
}

/** A difference as a person reads it: what was asked, and what only one of the two said; all that both said if it is in another order. */
export function describeDifference({ scenario, index, step, kernel, ours }: Difference): string {
  const [theirs, mine] = [linesOf(kernel), linesOf(ours)];
  const isOrder = [...theirs].sort().join('\n') === [...mine].sort().join('\n');
  const only = (some: string[], others: string[]) => (isOrder ? some : surplus(some, others));
  return [
    `${scenario.name}, step ${index}: ${describeStep(step)}`,
    ...only(theirs, mine).map((line) => `    kernel: ${line}`),
    ...only(mine, theirs).map((line) => `    ours:   ${line}`),
  ].join('\n');
}

/** Names of the parts in which messages differ, when both sent messages of the same kinds to the same sockets; else undefined. */
export function differingIn({ kernel, ours }: Difference): string[] | undefined {
  const [theirs, mine] = [kernel, ours].map(({ messages }) => messages.map(outlineOfLine).sort().join());
  if (theirs !== mine) return undefined;
  const parts = sockets(kernel, ours).flatMap((name) => {
    const [a, b] = [kernel, ours].map(({ messages }) => messages.filter(({ socket }) => socket === name));
    return a!.flatMap((line, index) => differingParts(line.bytes, b![index]!.bytes));
  });
  return [...new Set(parts)];
}

/** What kind of difference it is: those of one kind have one cause, more often than not. */
export function kindOf(difference: Difference): string {
  const { step, kernel, ours } = difference;
  const what = step.do === 'send' ? outlineOf(step.datagram) : step.do;
  const parts = differingIn(difference);
  if (parts !== undefined) return `${what}: ${parts.join(', ') || 'frames, or the order of messages'}`;
  const [theirs, mine] = [kernel, ours].map(({ messages }) => messages.map(outlineOfLine).sort().join(', '));
  return `${what}: kernel ${theirs || 'nothing'}; ours ${mine || 'nothing'}`;
}
