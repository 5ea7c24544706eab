/*
 * The control socket of a running worker, asked by stock ovs-appctl and by `wdp appctl`: what it says is in the form of Open vSwitch and agrees with the
 * worker's own summary.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { nativeUnavailableReason } from '../src/native/load.ts';
import { allowedCpus } from '../src/worker/affinity.ts';
import { type CliRun, expectJsonAddsUp, expectOneLine, runCli, startCli } from './support/cli.ts';
import { DUMMY_DATAPATH, DummySwitch, whyNoDummySwitch } from './support/dummy-switch.ts';
import { requireProgram } from './support/require.ts';

const folder = mkdtempSync(path.join(os.tmpdir(), 'control-'));
writeFileSync(path.join(folder, 'rules'), 'priority=1 actions:3\n');
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const PACKETS = 5000;
const whyNoAddon = nativeUnavailableReason();

interface Worker {
  run: CliRun;
  socketPath: string;
  /** The answer of a command. */
  ask: (...args: string[]) => Promise<string>;
  /** The line that a command is refused with. */
  refused: (...args: string[]) => Promise<string>;
}

let workers = 0;

/** A worker that has forwarded PACKETS packets of 100 flows between its two ports, and waits. */
async function startWorker(...args: string[]): Promise<Worker> {
  const socketPath = path.join(folder, `${++workers}.ctl`);
  const ports = [`gen,type=generator,flows=100,loop=${PACKETS / 100}`, 'idle,type=generator,rate=1', 'sink,type=null'];
  const run = startCli(
    [
      'run',
      '--json',
      '--control',
      socketPath,
      '--handler',
      'static:rules',
      ...ports.flatMap((port) => ['--port', port]),
      ...args,
    ],
    folder,
  );
  const ask = async (...words: string[]): Promise<string> => {
    const { status, stdout, stderr } = await runCli(['appctl', '--target', socketPath, ...words], folder);
    expect(stderr).toBe('');
    expect(status).toBe(0);
    return stdout;
  };
  const refused = async (...words: string[]): Promise<string> => {
    const result = await runCli(['appctl', '-t', socketPath, ...words], folder);
    expect(result.status).toBe(1);
    return expectOneLine(result);
  };
  await run.printed('"received"');
  return { run, socketPath, ask, refused };
}

/** `name: 12` of a block of lines. */
function valuesOf(text: string): Record<string, number> {
  return Object.fromEntries(
    [...text.matchAll(/^ +([^:]+): ([\d.]+)$/gm)].map(([, name, value]) => [name, Number(value)]),
  );
}

describe('a running worker', () => {
  it('counts for each thread what its summary says in the end', async () => {
    const { run, ask, refused, socketPath } = await startWorker();
    const text = await ask('dpif-netdev/pmd-stats-show');
    expect(text).toMatch(/^main thread:\n {2}packets received: 0\n[\s\S]*pmd thread worker_id 1:\n/);
    const poller = valuesOf(text.slice(text.indexOf('pmd thread')));
    expect(poller['packets received']).toBeGreaterThanOrEqual(PACKETS);
    expect(poller['emc hits'] + poller['megaflow hits'] + poller['miss with success upcall']).toBe(
      poller['packets received'],
    );
    expect(await ask('dpif-netdev/pmd-stats-show', '-pmd', '1')).toMatch(/^pmd thread/);
    expect((await ask('dpif-netdev/pmd-rxq-show')).replaceAll(/usage: [ \d]\d %/g, 'usage: N %')).toBe(
      'Displaying last 60 seconds pmd usage %\npmd thread worker_id 1:\n  isolated : false\n' +
        ['gen', 'idle']
          .map((name) => `  port: ${name.padEnd(16)}  queue-id:  0 (enabled)   pmd usage: N %\n`)
          .join('') +
        '  overhead: NOT AVAIL\n',
    );
    expect(await ask('dpif-netdev/pmd-rxq-rebalance')).toBe('pmd rxq rebalance requested.\n');
    expect(await refused('wdp/rxq-move', 'gen', '0', '1')).toContain('port gen has no queues: it stays with worker 1');
    expect(await refused('wdp/pollers', '2')).toContain('pollers must be an integer from 1 to 1, not 2');
    expect(await ask('wdp/pollers')).toBe('1 of 1 workers poll\n');
    await ask('dpif-netdev/pmd-stats-clear');
    expect(valuesOf(await ask('dpif-netdev/pmd-stats-show', '-pmd', '1'))['packets received']).toBeLessThan(PACKETS);
    expect(await ask('dpif-netdev/pmd-perf-show')).toMatch(
      /Measurement duration: [\d.]+ s\n\npmd thread worker_id 1:\n\n {2}Rx packets:/,
    );

    expect(await ask('exit')).toBe('');
    const { status, stdout, stderr } = await run.ended;
    expect(stderr).toBe('');
    expect(status).toBe(0);
    expect(expectJsonAddsUp(stdout).received).toBeGreaterThanOrEqual(PACKETS);
    expect(existsSync(socketPath)).toBe(false);
  });

  it('has its datapath changed and shown by the commands of ovs-dpctl', async () => {
    const { run, ask } = await startWorker('--handler', 'flood', '--workers', '0');
    expect(await ask('dpctl/dump-dps')).toBe('netdev@dp0\n');
    expect(await ask('dpctl/show')).toMatch(
      /^netdev@dp0:\n {2}lookups: hit:\d+ missed:\d+ lost:0\n {2}flows: \d+\n[\s\S]* {2}port 0: dp0 \(internal\)\n {2}port 1: gen \(generator\)\n {2}port 2: idle \(generator\)\n {2}port 3: sink \(null\)\n$/,
    );
    await ask('dpctl/add-if', 'netdev@dp0', 'more,type=null,port_no=9');
    expect(await ask('dpctl/show', 'netdev@dp0')).toContain('\n  port 9: more (null)\n');
    await ask(
      'dpctl/add-flow',
      'netdev@dp0',
      'recirc_id(5),in_port(9),eth(),eth_type(0x1234)',
      '1,push_vlan(vid=7,pcp=0),3',
    );
    expect(await ask('dpctl/dump-flows', 'netdev@dp0')).toContain(
      'recirc_id(0x5),in_port(9),eth(),eth_type(0x1234), packets:0, bytes:0, used:never, actions:1,push_vlan(vid=7,pcp=0),3\n',
    );
    await ask('dpctl/del-flow', 'netdev@dp0', 'recirc_id(5),in_port(9),eth(),eth_type(0x1234)');
    expect(await ask('dpctl/dump-flows', 'netdev@dp0')).not.toContain('in_port(9)');
    await ask('dpctl/del-if', 'netdev@dp0', 'more');
    expect(await ask('dpctl/show', 'netdev@dp0')).not.toContain('more');
    await ask('exit');
    expect((await run.ended).status).toBe(0);
  });

  it.skipIf(whyNoAddon)(
    `has its workers on the CPUs that were named${whyNoAddon ? `: ${whyNoAddon}` : ''}`,
    async () => {
      const [cpu] = allowedCpus().slice(-1);
      const { run, ask } = await startWorker('--cpus', String(cpu), '--workers', '2');
      expect(await ask('dpif-netdev/pmd-rxq-show')).toContain(`pmd thread worker_id 2 core_id ${cpu}:`);
      const threads = readdirSync(`/proc/${run.child.pid}/task`).map((thread) =>
        readFileSync(`/proc/${run.child.pid}/task/${thread}/status`, 'latin1'),
      );
      const bound = threads.filter((status) => new RegExp(`^Cpus_allowed_list:\\s*${cpu}$`, 'm').test(status));
      expect(bound).toHaveLength(allowedCpus().length > 1 ? 2 : threads.length);
      await ask('exit');
      expect((await run.ended).status).toBe(0);
    },
  );

  it('shows itself, its memory and its events', async () => {
    const { run, ask } = await startWorker('--name', 'lan', '--workers', '0');
    expect(await ask('version')).toMatch(/^wdp \(wasm-datapath\) \d+\.\d+\.\d+\n$/);
    expect(await ask('dpif/dump-dps')).toBe('netdev@lan\n');
    expect(await ask('dpif/show')).toMatch(
      /^netdev@lan: hit:\d+ missed:\d+\n {2}lan:\n {4}gen 1\/1: \(generator: .*\)\n {4}idle 2\/2: \(generator: .*\)\n {4}sink 3\/3: \(null\)\n$/,
    );
    expect(await ask('memory/show')).toMatch(
      /^action-lists:\d+ arena-kB:\d+ .*flows:1 .*masks:1 ports:3 .*workers:0\n$/,
    );
    const events = await ask('coverage/show');
    expect(events).toMatch(
      /^Event coverage, avg rate over last: 5 seconds, last minute, last hour, {2}hash=[0-9a-f]{8}:\n/,
    );
    expect(events).toMatch(/^datapath_received +\d+\.\d\/sec +\d+\.\d{3}\/sec +\d+\.\d{4}\/sec {3}total: \d+$/m);
    expect(events).toMatch(/\d+ events never hit\n$/);
    expect(Number(await ask('coverage/read-counter', 'datapath_received'))).toBeGreaterThanOrEqual(PACKETS);
    expect(await ask('dpif-netdev/pmd-rxq-show')).toContain('main thread:\n  isolated : false\n  port: gen ');
    await ask('exit');
    expect((await run.ended).status).toBe(0);
  });

  it('shows a port whose driver could not be opened, and says why', async () => {
    const { run, ask } = await startWorker('--name', 'failing');
    await ask('dpctl/add-if', 'netdev@failing', 'nofile,type=pcap,rx=/nonexistent.pcap');
    await run.printed('port nofile was added and could not be opened: ');
    const why = '/nonexistent.pcap: cannot be opened: ENOENT';
    expect(await ask('dpif/show')).toMatch(new RegExp(`^ {4}nofile (\\d+)/\\1: \\(pcap: open failed \\(.*${why}`, 'm'));
    expect(await ask('dpctl/show')).toMatch(
      /^ {2}port \d+: nofile \(pcap, could not retrieve configuration \(.*\)\)$/m,
    );
    const shown = JSON.parse(await ask('dpctl/show', '--json')) as { ports: { name: string; error?: string }[] };
    expect(shown.ports.filter(({ error }) => error !== undefined)).toMatchObject([{ name: 'nofile', type: 'pcap' }]);
    run.child.kill('SIGTERM');
    await run.ended;
  });

  it('says on its console what vlog/set asks for', async () => {
    const { run, ask } = await startWorker();
    await ask('vlog/set', 'unixctl:console:dbg');
    expect(await ask('vlog/list')).toContain('\nunixctl            DBG        OFF        OFF\n');
    await ask('version');
    await ask('vlog/set', 'off');
    await ask('version');
    expect(await ask('dpctl/parse-actions', 'set(ipv4(ttl=0x3f)),2', 'drop')).toBe('set(ipv4(ttl=63)),2\ndrop\n');
    // what the command line prints is held against ovs-dpctl (82.cli-odp)
    const flow = 'in_port(1),eth(src=02:00:00:00:00:01,dst=02:00:00:00:00:02),eth_type(0x0806),arp()';
    for (const words of [
      [flow, '3,push_vlan(vid=5,pcp=0),2,1'],
      ['-m', flow, 'v,drop', 'v=4'],
    ]) {
      const { stdout } = await runCli(['normalize-actions', ...words], folder);
      expect(stdout).toContain('no vlan: no mpls: ');
      expect(await ask('dpctl/normalize-actions', ...words)).toBe(`${stdout}\n`);
    }
    await ask('vlog/set', 'dpif:dbg');
    await ask('dpctl/dump-dps');
    run.child.kill('SIGTERM');
    const { status, stderr } = await run.ended;
    expect(status).toBe(130);
    expect(stderr.match(/received request version/g)).toHaveLength(1);
    expect(stderr).toMatch(/open netdev@\S+: done/);
  });

  it('refuses in one line', async () => {
    const { run, socketPath, refused } = await startWorker();
    expect(await refused('nosuch')).toContain('"nosuch" is not a valid command');
    expect(await refused('vlog/set', 'file:dbg')).toContain('file is no destination here');
    expect(await refused('dpif-netdev/pmd-stats-show', 'other')).toContain('please specify an existing datapath');
    expect(await refused('dpctl/parse-actions', 'nosuch')).toContain('parsing actions (');
    expect(await refused('dpctl/normalize-actions', 'in_port(1)', '1', 'one')).toContain('NAME=NUMBER was expected');
    expect(await refused('dpctl/normalize-actions', 'in_port(1)', 'nosuch')).toContain('position');
    expect(await refused('dpctl/normalize-actions', 'in_port(1)')).toContain('requires at least 2 arguments');
    expect(await refused('coverage/read-counter', 'nosuch')).toContain('No such counter');
    const second = await runCli(['run', '--control', socketPath, '--port', 'a,type=null'], folder);
    expect(second.status).toBe(1);
    expect(expectOneLine(second)).toContain('another program serves it');
    run.child.kill('SIGTERM');
    await run.ended;
    expect(expectOneLine(await runCli(['appctl', '-t', socketPath, 'version'], folder))).toContain(
      'there is no such socket',
    );
    expect((await runCli(['appctl', 'version'], folder)).status).toBe(2);
  });

  const whyNot = requireProgram('ovs-appctl');
  it.skipIf(whyNot)(`obeys stock ovs-appctl (${whyNot ?? 'runs'})`, async () => {
    const { run, socketPath } = await startWorker();
    const appctl = (...args: string[]) => spawnSync('ovs-appctl', ['-t', socketPath, ...args], { encoding: 'utf8' });
    for (const command of ['list-commands', 'vlog/list', 'memory/show', 'coverage/show', 'dpif-netdev/pmd-stats-show'])
      expect(appctl(command)).toMatchObject({ status: 0, stderr: '' });
    expect(appctl('exit', '--cleanup')).toMatchObject({ status: 0, stdout: '' });
    expect((await run.ended).status).toBe(0);
  });
});

const whyNoSwitch = whyNoDummySwitch();

describe.skipIf(whyNoSwitch)(`beside ovs-vswitchd (${whyNoSwitch ?? 'runs'})`, () => {
  it('the lines of pmd-stats-show and dpif/show are the same, but for one', async () => {
    const theirs = await DummySwitch.start();
    const { run, ask } = await startWorker('--workers', '0');
    try {
      const names = (text: string): string[] => text.split('\n').map((line) => line.replace(/: .*$/, ''));
      const stats = names(await theirs.call('dpif-netdev/pmd-stats-show', DUMMY_DATAPATH.slice('dummy@'.length)));
      const missing = stats.filter((name) => /output batch|cycles/.test(name));
      expect(names(await ask('dpif-netdev/pmd-stats-show'))).toEqual(stats.filter((name) => !missing.includes(name)));
      const form = (text: string): string => text.replaceAll(/[\w-]+(?= \d+\/)|\d+|\(.*\)/g, '_');
      const [head, bridge, port] = form(await theirs.call('dpif/show')).split('\n');
      const ours = form(await ask('dpif/show')).split('\n');
      expect(ours[0].replace('netdev@dp_', '')).toBe(head.replace('dummy@ovs-dummy', ''));
      expect(ours[1].replace('dp_', '')).toBe(bridge.replace('br_', ''));
      expect(ours[2]).toBe(port);
    } finally {
      await ask('exit');
      await run.ended;
      await theirs.stop();
    }
  });
});
