/*
 * corpus/execute/: frames with action lists that once came out differently, and what openvswitch.ko of Linux 6.1 made of them.
 */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type { ExecuteCase } from './execute-cases.ts';
import { hex } from './execute-differences.ts';

const CORPUS = path.join(import.meta.dirname, '../corpus/execute');

export interface RecordedCase extends ExecuteCase {
  name: string;
  /** What was wrong. */
  why: string;
  /** As outcomeText says it. */
  kernel: string[];
}

export function readExecuteCorpus(): RecordedCase[] {
  return readdirSync(CORPUS).map((name) => {
    const { why, frame, list, kernel } = JSON.parse(readFileSync(path.join(CORPUS, name), 'utf8'));
    return {
      name,
      why,
      frame: new Uint8Array(Buffer.from(frame, 'hex')),
      list: new Uint8Array(Buffer.from(list, 'hex')),
      kernel,
    };
  });
}

export function writeExecuteCorpus(cases: readonly RecordedCase[], answers: readonly string[][]): void {
  for (const [index, { name, why, frame, list }] of cases.entries()) {
    const text = JSON.stringify({ why, frame: hex(frame), list: hex(list), kernel: answers[index] }, null, 2);
    writeFileSync(path.join(CORPUS, name), `${text}\n`);
  }
}
