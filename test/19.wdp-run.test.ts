/*
 * `wdp run` on real interfaces: it says how it serves each, forwards, tells the service manager, ends in order; and what it says when it may not, and when
 * there is no such interface.
 */
import { readFileSync } from 'node:fs';
import { beforeAll, describe, expect, it } from 'vitest';
import { accountOf, type CliResult, expectOneLine } from './support/cli.ts';
import { runInLab, whyNoLab } from './support/lab.ts';
import { requireProgram } from './support/require.ts';

interface Outcome {
  pinged: boolean;
  told: string;
  served: CliResult;
  refused: CliResult;
  absent: CliResult;
}

const whyNot = whyNoLab() ?? requireProgram('setpriv') ?? requireProgram('python3');

describe.skipIf(whyNot)(`wdp run on interfaces${whyNot ? `: ${whyNot}` : ''}`, () => {
  let seen: Outcome;
  beforeAll(async () => {
    seen = await runInLab<Outcome>('lab-run');
  });

  it('says which kind of port serves each best, forwards, and accounts for everything', () => {
    expect(seen.served.stderr).toMatch(/^ {2}port 1: h1, afpacket, ring in memory, sends by AF_XDP$/m);
    expect(seen.served.stderr).toMatch(/ends with ctrl-C$/m);
    expect(seen.pinged).toBe(true);
    expect(seen.served.status).toBe(130);
    expect(accountOf(seen.served.stdout).in).toBeGreaterThan(5);
  });

  it('tells the service manager when it is ready, that it is alive, and that it stops', () => {
    const told = seen.told.split('\n');
    expect(told[1]).toBe("'READY=1\\nSTATUS=2 ports, 1 workers'");
    expect(told.filter((text) => text === "'WATCHDOG=1'").length).toBeGreaterThan(0);
    expect(told.at(-2)).toBe("'STOPPING=1'");
  });

  it('without privileges says what it needs and how to get it', () => {
    expect(seen.refused.status).toBe(1);
    const line = expectOneLine(seen.refused);
    expect(line).toContain('port h1: socket needs CAP_NET_RAW: sudo setcap cap_net_admin,cap_net_raw+ep ');
    expect(line).toContain('examples/systemd/wasm-datapath.service');
  });

  it('says when there is no such interface', () => {
    expect(seen.absent.status).toBe(1);
    expect(expectOneLine(seen.absent)).toContain('wdp: port no0: there is no interface no0 ("ip link" lists them');
  });
});

it('the unit file starts what there is, with the capabilities that ports need', () => {
  const unit = readFileSync(new URL('../examples/systemd/wasm-datapath.service', import.meta.url), 'utf8');
  expect(unit).toMatch(/^Type=notify$/m);
  expect(unit).toMatch(/^WatchdogSec=\d+$/m);
  expect(unit).toMatch(/^ExecStart=.* wdp run --port \w+ --port \w+ --workers 1 --json$/m);
  expect(unit).toMatch(/^AmbientCapabilities=CAP_NET_RAW CAP_NET_ADMIN CAP_BPF CAP_IPC_LOCK CAP_SYS_NICE$/m);
});
