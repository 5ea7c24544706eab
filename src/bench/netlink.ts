/*
 * `wdp bench netlink`: transactions with the kernel, one by one and batched, beside the same program written in C.
 *
 * How it is measured. Requests of one batch stand ready in memory; a round changes the word that makes each another one and transacts them
 * all in one call. One by one is the same with a batch of one: sent, waited for, next. Each of the four (ours and C, batched and one by one) runs
 * `repeat` times in turn with the others; medians are reported, and ratios of medians. An error makes the benchmark fail. The check-sum is made of
 * the answers that were received and, where there is a table, of the entries that the kernel has afterwards. Main thread.
 */
import { readdirSync } from 'node:fs';
import { DatapathError } from '../errors.ts';
import { NetlinkSocket } from '../netlink/socket.ts';
import { TransactionBatch } from '../netlink/transaction.ts';
import { Reference } from './netlink-reference.ts';
import { type NetlinkOp, type RequestTemplate, requestTemplate } from './netlink-requests.ts';
import { type BenchReport, grouped, medianBy, provenance, round, table } from './report.ts';

export interface NetlinkBenchOptions {
  op: NetlinkOp;
  /** Batched transactions of one measurement; rounded up to whole batches. */
  count: number;
  /** Requests of one call. */
  batch: number;
  /** Which requests ask for an acknowledgement: see TransactionBatch. */
  confirm: 'each' | 'last';
  repeat: number;
  /** Beside the C program. */
  reference: boolean;
}

interface Rates {
  perSecond: number;
  /** One by one. */
  onePerSecond: number;
}

export interface NetlinkReport extends BenchReport, Rates {
  bench: 'netlink';
  op: NetlinkOp;
  count: number;
  batch: number;
  confirm: 'each' | 'last';
  repeat: number;
  perSecondMin: number;
  perSecondMax: number;
  /** Batched to one by one. */
  speedup: number;
  errors: number;
  /** Entries that the kernel has afterwards; null when there is no table. */
  entries: number | null;
  /** The C program, and ours to it; null without it. */
  reference: (Rates & { ratio: number; oneRatio: number }) | null;
  referenceReason: string | null;
  /** What this process had more at the end than after its first measurement. */
  growth: { residentBytes: number; descriptors: number };
}

interface Measured extends Rates {
  seconds: number;
  /** Datagrams that the kernel answered with. */
  answers: number;
}

/** One by one is slower: so much fewer transactions are measured that it does not take longer. */
const ONE_SHARE = 4;
const NANOSECONDS = 1e9;

/** Runs the benchmark. Throws DatapathError when the kernel refused a request or does not give what it needs. */
export function runNetlink(options: NetlinkBenchOptions): NetlinkReport {
  const { op, batch, confirm, repeat } = options;
  const count = Math.ceil(options.count / batch) * batch;
  const reference = options.reference ? Reference.compile() : 'not asked for';
  const template = requestTemplate(op);
  try {
    const ours: Measured[] = [];
    const theirs: Rates[] = [];
    let start = usage();
    for (let i = 0; i < repeat; i++) {
      ours.push(measure(template, count, batch, confirm));
      if (i === 0) start = usage();
      if (typeof reference !== 'string') theirs.push(measureReference(reference, template, count, batch, confirm));
    }
    const end = usage();
    const entries = template.entries() ?? null;
    return report({ ...options, count }, ours, theirs, entries, typeof reference === 'string' ? reference : null, {
      residentBytes: end.residentBytes - start.residentBytes,
      descriptors: end.descriptors - start.descriptors,
    });
  } finally {
    template.close();
    if (typeof reference !== 'string') reference.close();
  }
}

function measure(template: RequestTemplate, count: number, batch: number, confirm: 'each' | 'last'): Measured {
  const batched = transactAll(template, count, batch, confirm);
  const one = transactAll(template, Math.ceil(count / ONE_SHARE), 1, confirm);
  return {
    seconds: batched.seconds,
    perSecond: count / batched.seconds,
    onePerSecond: Math.ceil(count / ONE_SHARE) / one.seconds,
    answers: batched.answers + one.answers,
  };
}

function measureReference(
  reference: Reference,
  template: RequestTemplate,
  count: number,
  batch: number,
  confirm: 'each' | 'last',
): Rates {
  const batched = reference.run(template, count, batch, confirm);
  const one = reference.run(template, Math.ceil(count / ONE_SHARE), 1, confirm);
  if (batched.errors + one.errors > 0) throw refused(batched.errors + one.errors, 'to the C program');
  return { perSecond: batched.perSecond, onePerSecond: one.perSecond };
}

/** `count` transactions in calls of `batch`. The clock runs while requests are changed, sent and answered. */
function transactAll(
  template: RequestTemplate,
  count: number,
  batchCount: number,
  confirm: 'each' | 'last',
): { seconds: number; answers: number } {
  using socket = NetlinkSocket.open(template.protocol);
  const { message, offset, modulo } = template;
  const stride = (message.length + 3) & ~3;
  const requests = new Uint8Array(stride * batchCount);
  const batch = new TransactionBatch({
    countMax: batchCount,
    requests,
    confirm,
    operation: template.operation,
  });
  for (let i = 0; i < batchCount; i++) batch.addMessage(message);
  const view = new DataView(requests.buffer);
  const first = offset < 0 ? 0 : view.getUint32(offset);
  let counter = 0;
  let errors = 0;
  const start = process.hrtime.bigint();
  for (let done = 0; done < count; done += batchCount) {
    if (offset >= 0) {
      for (let at = offset; at < requests.length; at += stride) {
        view.setUint32(at, first + counter);
        counter = counter + 1 === modulo ? 0 : counter + 1;
      }
    }
    errors += socket.transactMany(batch);
  }
  const seconds = Number(process.hrtime.bigint() - start) / NANOSECONDS;
  if (errors > 0) throw batch.error(batchCount - 1) ?? refused(errors, '');
  return { seconds, answers: socket.statistics().received };
}

function refused(errors: number, whom: string): DatapathError {
  return new DatapathError('ERR_NETLINK_REFUSED', `bench: the kernel refused ${errors} requests ${whom}`.trimEnd());
}

function usage(): { residentBytes: number; descriptors: number } {
  return { residentBytes: process.memoryUsage.rss(), descriptors: readdirSync('/proc/self/fd').length };
}

function report(
  options: NetlinkBenchOptions,
  ours: readonly Measured[],
  theirs: readonly Rates[],
  entries: number | null,
  referenceReason: string | null,
  growth: NetlinkReport['growth'],
): NetlinkReport {
  const median = medianBy(ours, (run) => run.perSecond);
  const perSecond = Math.round(median.perSecond);
  const onePerSecond = Math.round(medianBy(ours, (run) => run.onePerSecond).onePerSecond);
  const rates = ours.map((run) => Math.round(run.perSecond));
  const answers = ours.reduce((sum, run) => sum + run.answers, 0);
  const { op, count, batch, confirm, repeat } = options;
  return {
    bench: 'netlink',
    op,
    count,
    batch,
    confirm,
    repeat,
    seconds: round(median.seconds, 3),
    perSecond,
    perSecondMin: Math.min(...rates),
    perSecondMax: Math.max(...rates),
    onePerSecond,
    speedup: round(perSecond / onePerSecond, 2),
    errors: 0, // one would have ended it
    entries,
    reference: theirs.length === 0 ? null : compared(perSecond, onePerSecond, theirs),
    referenceReason,
    growth,
    checksum: (BigInt(answers) * 0x9e3779b9n + BigInt(entries ?? 0) * 0x85ebca6bn).toString(16),
    ...provenance(),
  };
}

function compared(perSecond: number, onePerSecond: number, theirs: readonly Rates[]): NetlinkReport['reference'] {
  const batched = medianBy(theirs, (run) => run.perSecond).perSecond;
  const one = medianBy(theirs, (run) => run.onePerSecond).onePerSecond;
  return {
    perSecond: batched,
    onePerSecond: one,
    ratio: round(perSecond / batched, 2),
    oneRatio: round(onePerSecond / one, 2),
  };
}

/** The report as a table for people. */
export function netlinkTable(report: NetlinkReport): string {
  const { reference: c } = report;
  const against = (ratio: number | undefined): string => (ratio === undefined ? '' : `, ${ratio} of the C program`);
  const rows: [string, string][] = [
    [
      'batched',
      `${grouped(report.perSecond)} a second (${grouped(report.perSecondMin)} to ${grouped(report.perSecondMax)})${against(c?.ratio)}`,
    ],
    ['one by one', `${grouped(report.onePerSecond)} a second${against(c?.oneRatio)}`],
    ['speed-up', `${report.speedup}`],
    [
      'C program',
      c === null
        ? `no: ${report.referenceReason}`
        : `${grouped(c.perSecond)} batched, ${grouped(c.onePerSecond)} one by one`,
    ],
    ['errors', grouped(report.errors)],
    ['growth', `${grouped(report.growth.residentBytes / 1024)} KiB resident, ${report.growth.descriptors} descriptors`],
  ];
  if (report.entries !== null) rows.push(['entries', grouped(report.entries)]);
  const title = `netlink ${report.op}: ${grouped(report.count)} transactions, ${report.batch} a batch, confirm ${report.confirm}, ${report.repeat} times`;
  return table(title, rows, report);
}
