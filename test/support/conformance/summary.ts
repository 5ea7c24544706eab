/*
 * What a test compared with its judge from outside, for the end of the output of `npm test`: counts, and every kind of difference that is meant with how often it
 * occurred. Before it: a test, in its own process, which leaves the counts with its task. After it: test/support/reporter.ts, which adds them up by file and
 * prints them.
 */
export interface Compared {
  /** What was counted: `messages and frames`. */
  readonly what: string;
  readonly count: number;
  /** Messages and frames that came back, and were the same. */
  readonly back?: number;
  /** Differences that are meant, by their reason (docs/compatibility.md). */
  readonly explained: Readonly<Record<string, number>>;
  readonly unexplained: number;
}

declare module 'vitest' {
  interface TaskMeta {
    compared?: Compared;
  }
}

/** How often each of them occurs. */
export function tally(values: Iterable<string>): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const value of values) counts[value] = (counts[value] ?? 0) + 1;
  return counts;
}

export const sum = (counts: Readonly<Record<string, number>>): number =>
  Object.values(counts).reduce((a, b) => a + b, 0);

export function add(a: Compared, b: Compared): Compared {
  const explained = { ...a.explained };
  for (const [why, count] of Object.entries(b.explained)) explained[why] = (explained[why] ?? 0) + count;
  const back = a.back === undefined && b.back === undefined ? {} : { back: (a.back ?? 0) + (b.back ?? 0) };
  const what = a.what === b.what ? a.what : 'cases';
  return { what, count: a.count + b.count, ...back, explained, unexplained: a.unexplained + b.unexplained };
}

/** `N messages, N replies equal, N differences explained, N not explained`. */
export function counted({ what, count, back, explained, unexplained }: Compared): string {
  const differences = sum(explained);
  const replies = back === undefined ? '' : ` with ${back} replies`;
  const equal = `${count - differences - unexplained} equal${replies}`;
  return `${count} ${what}, ${equal}, ${differences} differences explained, ${unexplained} not explained`;
}

/** For people: a line a file, the reasons of its differences below, and the sum. */
export function summaryLines(files: ReadonlyMap<string, Compared>): string[] {
  const lines: string[] = [];
  for (const [file, compared] of [...files].sort(([a], [b]) => (a < b ? -1 : 1))) {
    lines.push(`conformance, ${file}: ${counted(compared)}`);
    const reasons = Object.entries(compared.explained).sort(([, a], [, b]) => b - a);
    lines.push(...reasons.map(([why, count]) => `    ${count} ${why}`));
  }
  if (files.size > 1) lines.push(`conformance: ${counted([...files.values()].reduce(add))}`);
  return lines;
}
