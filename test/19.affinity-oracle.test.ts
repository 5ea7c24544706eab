/*
 * Receive queues pinned to cores, beside an ovs-vswitchd of poll-mode dummy ports that is told the same: what is taken for a list, who is isolated, which
 * queues go where, and how it is shown. SEED sets the seed.
 */
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Dpif } from '../src/dpif/index.ts';
import { SEED } from './support/datapath.ts';
import { DummySwitch, whyNoDummySwitch } from './support/dummy-switch.ts';
import { type PortName, QUEUES, WORKERS, withQueues } from './support/queue-ports.ts';

const EINVAL = 22;

/** Which core polls what, and which cores are isolated; of cores that poll. */
interface Assignment {
  queues: Record<string, number>;
  isolated: number[];
}

function readShown(text: string): Assignment {
  const queues: Record<string, number> = {};
  const isolated: number[] = [];
  let core = 0;
  for (const line of text.split('\n')) {
    core = Number(/^pmd thread .*\b(?:core_id|worker_id) (\d+):$/.exec(line)?.[1] ?? core);
    if (line === '  isolated : true') isolated.push(core);
    const [, port, queue] = /^ {2}port: (\S+) +queue-id: +(\d+) /.exec(line) ?? [];
    if (port !== undefined) queues[`${port} ${queue}`] = core;
  }
  return { queues, isolated };
}

/** Everything but the measurements, and the names of threads. */
const plain = (text: string): string =>
  text
    .replaceAll(/pmd thread .*\b(?:core_id|worker_id) (\d+):/g, 'pmd thread $1:')
    .replaceAll(/(usage|overhead): .*$/gm, '$1');

const whyNoSwitch = whyNoDummySwitch();

describe.skipIf(whyNoSwitch)(`queues pinned as ovs-vswitchd pins them${whyNoSwitch ? `: ${whyNoSwitch}` : ''}`, () => {
  let ovs: DummySwitch;
  let ours: Awaited<ReturnType<typeof withQueues>>;
  let dpif: Dpif;
  beforeAll(async () => {
    const numa = Array(WORKERS + 1)
      .fill(0)
      .join();
    ovs = await DummySwitch.start({ args: [`--dummy-numa=${numa}`], isFree: true });
    const ports = Object.entries(QUEUES).flatMap(([name, count]) => [
      ...['--', 'add-port', 'br0', name, '--', 'set', 'int', name, 'type=dummy-pmd', `options:n_rxq=${count}`],
    ]);
    ovs.vsctl(
      'set',
      'Open_vSwitch',
      '.',
      'other_config:pmd-rxq-assign=group',
      ...cores(WORKERS),
      '--',
      'del-port',
      'p1',
      ...ports,
    );
    ours = await withQueues();
    dpif = Dpif.open('netdev@pins');
  });
  afterAll(async () => {
    dpif?.close();
    await ours?.datapath.close();
    await ovs?.stop();
  });

  /** Cores 1 to so many poll. */
  const cores = (count: number) => [`other_config:pmd-cpu-mask=${((1 << (count + 1)) - 2).toString(16)}`];
  const theirs = () => ovs.call('dpif-netdev/pmd-rxq-show');
  const show = async () => {
    await ours.datapath.queues.uphold();
    return ours.ask('dpif-netdev/pmd-rxq-show');
  };

  /** Sets the whole configuration of a port on both sides. False: ours refused it, as malformed. */
  function setBoth(name: PortName, config: Record<string, string>): boolean {
    const pairs = Object.entries(config).map(([key, value]) => `other_config:${key}=${JSON.stringify(value)}`);
    const set = pairs.length === 0 ? [] : ['--', 'set', 'int', name, ...pairs];
    ovs.vsctl('clear', 'int', name, 'other_config', ...set);
    try {
      dpif.portSetConfig(dpif.portQueryByName(name)!.portNo, config);
      return true;
    } catch (error) {
      expect(error).toMatchObject({ errno: EINVAL, code: 'ERR_PORT_OPTION' });
      return false;
    }
  }

  /** The switch has done what it was told a moment later; what it shows then must be what is expected of ours. */
  async function expectSame(what: string): Promise<void> {
    const mine = readShown(await show());
    let other = readShown(await theirs());
    for (let i = 0; i < 200 && differences(mine, other).length > 0; i++) other = readShown(await theirs());
    expect(differences(mine, other), what).toEqual([]);
  }

  /** Where queues differ that are pinned, and what is isolated; others need only be on workers that are not, and be as evenly spread. */
  function differences(mine: Assignment, other: Assignment): string[] {
    const found: string[] = [];
    if (mine.isolated.join() !== other.isolated.join()) found.push(`isolated ${mine.isolated} and ${other.isolated}`);
    const counts = [mine, other].map(() => new Map<number, number>());
    for (const [name, core] of Object.entries(mine.queues)) {
      const there = other.queues[name];
      // nobody polls it there: the one difference that is meant
      if (there === undefined) continue;
      const isPinned = [core, there].some((each) => mine.isolated.includes(each));
      if (isPinned && core !== there) found.push(`${name} on ${core} and ${there}`);
      if (isPinned) continue;
      for (const [i, each] of [core, there].entries()) counts[i]!.set(each, (counts[i]!.get(each) ?? 0) + 1);
    }
    const [most, mostThere] = counts.map((each) => Math.max(0, ...each.values()));
    if (most !== mostThere) found.push(`${most} and ${mostThere} queues on the busiest`);
    return found;
  }

  it('shows the same text', async () => {
    for (const affinity of ['0:1,1:2,2:3', '0:4,1:4,2:4,3:4', '3:1,2:2,1:3']) {
      setBoth('p0', { 'pmd-rxq-affinity': affinity });
      await expectSame(affinity);
      const lone = affinity === '0:4,1:4,2:4,3:4';
      if (!lone) expect(plain(await show())).toBe(plain(await theirs()));
    }
    setBoth('p0', {});
    await expectSame('nothing is pinned');
    expect(await show()).not.toContain('isolated : true');
  });

  it('takes what it takes, and refuses what it refuses', async () => {
    const good = [
      '0=2',
      '0x1:0x2',
      '0:1 1:2',
      '0(3)',
      '01:01',
      ',',
      '+1:1',
      '0:2,0:3',
      ' 2:2 ,, 3:3 ',
      '9:2',
      '0:1,7:2',
    ];
    const bad = [
      'x',
      '0',
      '0:x',
      '0:-1',
      '0:1,x',
      ':',
      '0:1:2',
      '0: 1',
      '0:08',
      '4294967296:1',
      '2147483648:1',
      '0:(1)',
      '(0:1)',
      '0:1()',
    ];
    for (const text of [...good, ...bad]) {
      setBoth('p0', { 'pmd-rxq-affinity': '1:4' });
      await expectSame('before');
      const took = setBoth('p0', { 'pmd-rxq-affinity': text });
      expect(took, text).toBe(good.includes(text));
      await expectSame(text);
    }
    setBoth('p0', {});
  });

  it(`goes by the same rule whatever is pinned and whoever polls, SEED=${SEED}`, async () => {
    const pins = fc.array(fc.tuple(fc.integer({ min: 0, max: 5 }), fc.integer({ min: 0, max: 6 })), { maxLength: 4 });
    const step = fc.record({
      port: fc.constantFrom<PortName>('p0', 'p1'),
      pins,
      pollers: fc.integer({ min: 1, max: WORKERS }),
      isolates: fc.boolean(),
      what: fc.constantFrom('port', 'port', 'port', 'pollers', 'isolates'),
    });
    let sets = 0;
    for (const { port, pins: list, pollers, isolates, what } of fc.sample(step, { seed: SEED, numRuns: 40 })) {
      if (what === 'port') {
        setBoth(port, { 'pmd-rxq-affinity': list.map((pair) => pair.join(':')).join() });
        sets++;
      } else if (what === 'pollers') {
        ovs.vsctl('set', 'Open_vSwitch', '.', ...cores(pollers));
        await ours.datapath.setPollers(pollers);
      } else {
        ovs.vsctl('set', 'Open_vSwitch', '.', `other_config:pmd-rxq-isolate=${isolates}`);
        dpif.setConfig({ 'pmd-rxq-isolate': String(isolates) });
      }
      await ours.ask('dpif-netdev/pmd-rxq-rebalance');
      await expectSame(`${what} ${port} ${list.join(' ')} ${pollers} ${isolates}`);
    }
    expect(sets).toBeGreaterThan(10);
    ovs.vsctl('set', 'Open_vSwitch', '.', ...cores(WORKERS), 'other_config:pmd-rxq-isolate=true');
  });
});
