/*
 * A process that is killed with traffic running leaves nothing behind: no XDP program, no interface, nobody who listens promiscuously.
 */
import { describe, expect, it } from 'vitest';
import { runInLab, whyNoLab } from './support/lab.ts';

interface Seen {
  names: string[];
  xdp: string[];
  promiscuous: string[];
}

const whyNot = whyNoLab();

describe.skipIf(whyNot)(`a process that is killed${whyNot ? `: ${whyNot}` : ''}`, () => {
  it('leaves the interfaces as they were', async () => {
    const { before, during, after, pinged } = await runInLab<
      Record<'before' | 'during' | 'after', Seen> & { pinged: boolean }
    >('lab-killed');
    expect(pinged).toBe(true);
    expect(during).toEqual({
      names: [...before.names, 't1'].sort(),
      xdp: ['h1', 'h2'],
      promiscuous: ['h1', 'h2', 'h3'],
    });
    expect(after).toEqual(before);
    expect(after).toMatchObject({ xdp: [], promiscuous: [] });
  });
});
