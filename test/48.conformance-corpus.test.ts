/*
 * The corpus of requests that the kernel and ours are compared with: the recorded sessions in test/corpus/messages can be read and hold what they
 * should. RECORD_SESSIONS=1 records them anew in the virtual machine, which takes two minutes.
 */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { whyNoKernel } from './kernel-vm/kernel.ts';
import { record, stepsOf } from './kernel-vm/sessions.ts';
import { attr, encode } from './support/attribute-tree.ts';
import { MASKED } from './support/conformance/canonical.ts';
import { compare, kindOf } from './support/conformance/compare.ts';
import { reasonFor } from './support/conformance/known.ts';
import type { Observed } from './support/conformance/observation.ts';
import { DP, DP_ATTR, FAMILIES } from './support/conformance/openvswitch.ts';
import { formatSteps, parseSteps, recordedScenarios } from './support/conformance/recorded.ts';
import { HEADERS_SIZE, request } from './support/conformance/scenario.ts';
import { Script } from './support/conformance/script.ts';
import { sessions } from './support/conformance/session-inputs.ts';

const FOLDER = path.join(import.meta.dirname, 'corpus/messages');

if (process.env.RECORD_SESSIONS) {
  describe('recording', () => {
    it.each(Object.entries(sessions()))('%s', async (name, session) => {
      expect(whyNoKernel()).toBeUndefined();
      const steps = stepsOf(await record(session));
      const head = `# ${name} 3.1 on Linux 6.1: kernel-vm/sessions/${session.script}, recorded by test/48.conformance-corpus\n`;
      writeFileSync(path.join(FOLDER, `${name}.txt`), head + formatSteps(steps));
    });
  });
}

/** A message that came to somebody, as one kernel told it. */
function told(bytes: Uint8Array): Observed {
  const messages = [{ socket: 'admin' as const, bytes }];
  return { families: new Map([[40, 'datapath']]), observations: [[{ messages, frames: [], links: [], failure: 0 }]] };
}

describe('comparing', () => {
  const script = new Script('one request');
  script.send('datapath', DP.GET);
  const attributes = encode([
    attr(DP_ATTR.STATS, new Uint8Array(32)),
    attr(DP_ATTR.MEGAFLOW_STATS, new Uint8Array(32)),
  ]);
  const { bytes } = request({ family: 'datapath', command: DP.GET, type: 40, attributes });
  const STATS = HEADERS_SIZE + 4;
  const MEGAFLOW_STATS = STATS + 32 + 4;
  const isMasked = (at: number) =>
    MASKED.datapath![DP_ATTR.MEGAFLOW_STATS]!.some(
      ([from, to]) => at >= MEGAFLOW_STATS + from && at < MEGAFLOW_STATS + to,
    );

  it('sees every byte that changes, but those that are masked', () => {
    for (let at = 4; at < bytes.length; at++) {
      if (at >= MEGAFLOW_STATS - 4 && at < MEGAFLOW_STATS - 2) continue; // sizes: another list of attributes
      if (at >= STATS - 4 && at < STATS - 2) continue;
      const changed = bytes.slice();
      changed[at] ^= 1;
      const { differences } = compare([script.scenario], told(bytes.slice()), told(changed), () => false);
      expect(differences.length, `byte ${at}`).toBe(isMasked(at) ? 0 : 1);
    }
  });

  it('names what differs', () => {
    const changed = bytes.slice();
    changed[STATS + 16] = 7;
    const { differences } = compare([script.scenario], told(bytes.slice()), told(changed), () => false);
    expect(differences.map(kindOf)).toEqual(['datapath GET: datapath STATS']);
    expect(differences.map(reasonFor)).toEqual([undefined]);
  });
});

describe('recorded sessions', () => {
  it.each(readdirSync(FOLDER))('%s is what it is written as', (file) => {
    const lines = readFileSync(path.join(FOLDER, file), 'utf8').split('\n');
    const text = lines.filter((line) => !line.startsWith('#')).join('\n');
    expect(formatSteps(parseSteps(text))).toBe(text);
  });

  it('have requests of every family but ct_limit, frames and devices', () => {
    const found = new Set<string>();
    for (const { steps } of recordedScenarios()) {
      for (const step of steps) {
        found.add(step.do);
        if (step.do !== 'send') continue;
        for (const fix of step.datagram.fixes) if ('family' in fix) found.add(fix.family);
      }
    }
    const families = FAMILIES.filter((family) => family !== 'ctLimit');
    expect([...found].sort()).toEqual([...families, 'device', 'frame', 'send'].sort());
  });
});
