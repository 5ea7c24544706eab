/*
 * Where AF_XDP cannot be had, on a kernel without it or with little memory that may be locked: ports do without, those that cannot say why and what mends
 * it, and so does the doctor (test/support/lab-limits.mjs).
 */
import { beforeAll, describe, expect, it } from 'vitest';
import type { Check } from '../src/cli/doctor-host.ts';
import { type CliResult, expectOneLine } from './support/cli.ts';
import { runInLab, whyNoLab } from './support/lab.ts';
import { requireProgram } from './support/require.ts';

interface Outcome {
  served: { pinged: boolean; stderr: string };
  afxdp: CliResult;
  tx: CliResult;
  doctor: CliResult;
}

const whyNot = whyNoLab() ?? requireProgram('setpriv') ?? requireProgram('prlimit') ?? requireProgram('python3');

const PLACES = {
  'no AF_XDP': {
    refusal: 'socket(AF_XDP)',
    reason: 'EAFNOSUPPORT: this kernel has no AF_XDP: use type=afpacket',
    check: {
      name: 'AF_XDP',
      mend: 'use type=afpacket, or a kernel with CONFIG_XDP_SOCKETS (most distributions have it)',
    },
  },
  'little locked memory': {
    refusal: 'XDP_UMEM_REG',
    reason:
      'ENOBUFS: its frames are more memory than may be locked: ulimit -l unlimited, CAP_IPC_LOCK, or type=afpacket',
    check: { name: 'Locked memory limit', mend: 'ulimit -l unlimited, CAP_IPC_LOCK, or run as root' },
  },
};

describe.skipIf(whyNot)(`ports without AF_XDP${whyNot ? `: ${whyNot}` : ''}`, () => {
  let seen: Record<keyof typeof PLACES, Outcome>;
  beforeAll(async () => {
    seen = await runInLab('lab-limits');
  });

  describe.each(Object.entries(PLACES))('%s', (name, { refusal, reason, check }) => {
    const outcome = (): Outcome => seen[name as keyof typeof PLACES];

    it('serves interfaces without it', () => {
      const { pinged, stderr } = outcome().served;
      expect(stderr).toMatch(/^ {2}port 1: h1, afpacket, ring in memory$/m);
      expect(pinged).toBe(true);
    });

    it('says why what needs it cannot be had, and what mends it', () => {
      expect(outcome().afxdp.status).toBe(1);
      expect(expectOneLine(outcome().afxdp)).toBe(
        `wdp: port h1: ${refusal} (XDP mode generic) was refused: ${reason}\n`,
      );
      expect(outcome().tx.status).toBe(1);
      expect(expectOneLine(outcome().tx)).toBe(`wdp: port h1: ${refusal} was refused: ${reason}\n`);
    });

    it('is what the doctor finds', () => {
      const { checks, mainJob } = JSON.parse(outcome().doctor.stdout) as { checks: Check[]; mainJob: boolean };
      expect(mainJob).toBe(true);
      expect(checks.find((each) => each.name === check.name)).toMatchObject({ works: false, ...check });
    });
  });
});
