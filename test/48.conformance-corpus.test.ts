/*
 * The corpus of requests that the kernel and ours are compared with: the recorded sessions in test/corpus/messages can be read and hold what they
 * should. RECORD_SESSIONS=1 records them anew in the virtual machine, which takes two minutes.
 */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { whyNoKernel } from './kernel-vm/kernel.ts';
import { record, stepsOf } from './kernel-vm/sessions.ts';
import { FAMILIES } from './support/conformance/openvswitch.ts';
import { formatSteps, parseSteps, recordedScenarios } from './support/conformance/recorded.ts';
import { sessions } from './support/conformance/session-inputs.ts';

const FOLDER = path.join(import.meta.dirname, 'corpus/messages');

if (process.env.RECORD_SESSIONS) {
  describe('recording', () => {
    it.each(Object.entries(sessions()))('%s', { timeout: 600_000 }, async (name, session) => {
      expect(whyNoKernel()).toBeUndefined();
      const steps = stepsOf(await record(session));
      const head = `# ${name} 3.1 on Linux 6.1: kernel-vm/sessions/${session.script}, recorded by test/48.conformance-corpus\n`;
      writeFileSync(path.join(FOLDER, `${name}.txt`), head + formatSteps(steps));
    });
  });
}

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
