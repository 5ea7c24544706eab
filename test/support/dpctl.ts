/*
 * `ovs-dpctl parse-actions` as a judge of many texts at once, because each process costs milliseconds.
 */
import { spawnSync } from 'node:child_process';

/** Bytes of arguments handed to one process. */
const ARGUMENTS_SIZE_MAX = 500_000;

/** Reasons of a slow path stand between commas in what ovs-dpctl prints, and between bars in what it reads. */
export function asRead(text: string): string {
  return text.replace(/slow_path\([^)]*\)/g, (reasons) => reasons.replaceAll(',', '|'));
}

/** What `ovs-dpctl parse-actions` prints for each text, in order; undefined where it refuses. It stops at the first that it refuses. */
export function dpctlParseActions(texts: readonly string[]): (string | undefined)[] {
  const lines: (string | undefined)[] = [];
  while (lines.length < texts.length) {
    let end = lines.length;
    for (let size = 0; end < texts.length && size < ARGUMENTS_SIZE_MAX; end++) size += texts[end].length + 16;
    const batch = texts.slice(lines.length, end).map(asRead);
    const { stdout, error } = spawnSync('ovs-dpctl', ['parse-actions', ...batch], {
      encoding: 'utf8',
      maxBuffer: 1 << 28,
    });
    if (error !== undefined) throw error;
    const printed = stdout.split('\n').slice(0, -1);
    lines.push(...printed);
    if (printed.length < batch.length) lines.push(undefined);
  }
  return lines;
}
