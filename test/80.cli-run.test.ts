/*
 * wdp run as a child process: the demo and what its files hold, the three ways to the end, JSON, ports and handlers.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { encodePcap, readPcap } from '../src/pcap/index.ts';
import { flowTuple, udpFrame } from '../src/ports/frames.ts';
import {
  accountOf,
  type CliResult,
  expectJsonAddsUp,
  expectOneLine,
  objects,
  runCli,
  startCli,
} from './support/cli.ts';

const examples = new URL('../examples/', import.meta.url).pathname;
const capture = (name: string): string => path.join(examples, 'captures', `${name}.pcap`);
const HOSTS = ['host-a', 'host-b', 'host-c'];

let folder = '';
beforeAll(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'wdp-run-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function file(name: string, text: string): string {
  const place = path.join(folder, name);
  writeFileSync(place, text);
  return place;
}

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
const frames = (name: string): string[] => readPcap(readFileSync(name)).records.map(({ data }) => hex(data));
const destinationOf = (frame: string): string => frame.slice(0, 12);
const sourceOf = (frame: string): string => frame.slice(12, 24);
const isGroup = (mac: string): boolean => (Number.parseInt(mac.slice(0, 2), 16) & 1) === 1;
const isReserved = (mac: string): boolean => mac.startsWith('0180c200000');

describe('the demo', () => {
  const sent = new Map(HOSTS.map((host) => [host, frames(capture(host))]));
  const addressesOf = (host: string): Set<string> => new Set(sent.get(host)!.map(sourceOf));
  const received = (host: string): string[] => frames(path.join(folder, 'out', `${host}.pcap`));
  let result: CliResult;
  beforeAll(async () => {
    result = await runCli(['run'], folder);
  });

  test('ends by itself with the picture, status lines, the summary and what to look at', () => {
    expect(result.status, result.stderr).toBe(0);
    expect(accountOf(result.stdout).in).toBe([...sent.values()].flat().length);
    for (const host of HOSTS) {
      expect(result.stdout).toMatch(new RegExp(`^ +\\d  ${host}  pcap +${sent.get(host)!.length} `, 'm'));
      expect(result.stderr).toContain(`${host}.pcap`);
    }
    expect(result.stderr).toContain('handler learning');
    expect(result.stderr).toMatch(/^\d+\.\d of 8\.\d s {2}\d+ packets\/s {2}hits EMC \d+% megaflow \d+%/m);
    expect(result.stderr).toContain('tcpdump -n -e -r out/host-b.pcap');
    expect(result.stderr).toContain('npx wdp parse-pcap out/host-b.pcap');
    expect(result.stdout).not.toContain('\x1b');
    expect(result.stderr).not.toContain('\x1b');
  });

  test('what one host says to another arrives whole, in order, and never comes back', () => {
    for (const from of HOSTS) {
      for (const to of HOSTS.filter((host) => host !== from)) {
        for (const source of addressesOf(from)) {
          for (const destination of addressesOf(to)) {
            const isTheirs = (frame: string): boolean =>
              sourceOf(frame) === source && destinationOf(frame) === destination;
            expect(received(to).filter(isTheirs), `${source} to ${destination}`).toEqual(
              sent.get(from)!.filter(isTheirs),
            );
          }
        }
      }
      const own = addressesOf(from);
      expect(received(from).filter((frame) => own.has(sourceOf(frame)))).toEqual([]);
    }
  });

  test('broadcast and multicast reach all others, reserved addresses nobody', () => {
    for (const from of HOSTS) {
      const groups = sent.get(from)!.filter((frame) => isGroup(destinationOf(frame)));
      const own = addressesOf(from);
      for (const to of HOSTS.filter((host) => host !== from)) {
        const arrived = received(to).filter((frame) => own.has(sourceOf(frame)) && isGroup(destinationOf(frame)));
        expect(arrived.sort()).toEqual(groups.filter((frame) => !isReserved(destinationOf(frame))).sort());
      }
    }
  });

  test('unicast to somebody else is flooded until that host is learnt, and not any more', () => {
    let flooded = 0;
    for (const from of HOSTS) {
      const own = addressesOf(from);
      for (const third of HOSTS.filter((host) => host !== from)) {
        const theirs = addressesOf(third);
        const strayed = received(third).filter(
          (frame) => own.has(sourceOf(frame)) && !isGroup(destinationOf(frame)) && !theirs.has(destinationOf(frame)),
        );
        flooded += strayed.length;
        for (const pair of new Set(strayed.map((frame) => frame.slice(0, 24)))) {
          const conversation = sent.get(from)!.filter((frame) => frame.startsWith(pair));
          const first = strayed.filter((frame) => frame.startsWith(pair));
          expect(first, `a beginning of ${pair}`).toEqual(conversation.slice(0, first.length));
        }
      }
    }
    const unicast = [...sent.values()].flat().filter((frame) => !isGroup(destinationOf(frame)));
    expect(flooded).toBeLessThan(unicast.length / 2);
  });

  test.each(['0', '1', '2'])('with %s workers and as fast as it goes, nothing is lost', async (workers) => {
    const fast = await runCli(['run', '--speed', 'max', '--workers', workers, '--json'], folder);
    expect(fast.status, fast.stderr).toBe(0);
    const summary = expectJsonAddsUp(fast.stdout);
    expect(summary.received).toBe([...sent.values()].flat().length);
    for (const [i, to] of HOSTS.entries()) {
      const own = addressesOf(to);
      const others = HOSTS.filter((host) => host !== to).flatMap((host) => sent.get(host)!);
      const wanted = others.filter((frame) => own.has(destinationOf(frame))).sort();
      expect(
        received(to)
          .filter((frame) => own.has(destinationOf(frame)))
          .sort(),
      ).toEqual(wanted);
      expect(received(to)).toHaveLength(summary.ports[i].txPackets);
    }
  });

  test('a folder that cannot be written to is told in one line', async () => {
    const place = mkdtempSync(path.join(folder, 'occupied-'));
    writeFileSync(path.join(place, 'out'), 'a file');
    const occupied = await runCli(['run'], place);
    expect(occupied.status).toBe(1);
    expect(expectOneLine(occupied)).toMatch(/cannot make the folder .*\/out: .*--port/);
  });
});

describe('the end', () => {
  const endless = ['run', '--port', 'gen,type=generator,flows=100,rate=20000', '--port', 'sink,type=null'];

  test.each(['SIGINT', 'SIGTERM'] as const)('%s: the summary, and exit status 130', async (signal) => {
    const run = startCli([...endless, '--handler', 'flood'], folder);
    await run.printed('packets/s');
    run.child.kill(signal);
    const { status, stdout, stderr } = await run.ended;
    expect(status, stderr).toBe(130);
    expect(stdout).toContain('Summary of dp0, handler flood, interrupted');
    expect(accountOf(stdout).in).toBeGreaterThan(0);
  });

  test('a second SIGINT ends it at once', async () => {
    const never = file('never.mjs', 'export default { handle() { return new Promise(() => {}); } };');
    const run = startCli([...endless, '--handler', `module:${never}`, '--json'], folder);
    await run.printed('"type":"stats"');
    run.child.kill('SIGINT');
    const again = setInterval(() => run.child.kill('SIGINT'), 50);
    const { status, stdout } = await run.ended;
    clearInterval(again);
    expect(status).toBe(130);
    expect(stdout).not.toContain('"summary"');
  });

  test('--for: a generator into a null port for two seconds, one object a second', async () => {
    const fast = ['run', '--port', 'gen,type=generator,flows=1000', '--port', 'sink,type=null', '--for', '2'];
    const { status, stdout, stderr } = await runCli([...fast, '--handler', 'flood', '--json'], folder);
    expect(status, stderr).toBe(0);
    expect(stderr).toBe('');
    const summary = expectJsonAddsUp(stdout);
    expect(summary.seconds).toBeGreaterThanOrEqual(2);
    expect(summary.ports[1].txPackets).toBe(summary.received);
    expect(summary.interrupted).toBe(false);
    const regular = objects(stdout).filter(({ type }) => type === 'stats');
    expect(regular.length).toBeGreaterThan(0);
    expect(regular[0].rates.packetsPerSecond).toBeGreaterThan(0);
    expect(regular[0].rates.emcHitRate).toBeGreaterThan(0);
  });

  test('more misses than the handler can answer: lost by name, and it adds up', async () => {
    const fast = [
      'run',
      '--port',
      'gen,type=generator,flows=1000',
      '--port',
      'sink,type=null',
      '--for',
      '0.3',
      '--json',
    ];
    const { status, stdout, stderr } = await runCli(fast, folder);
    expect(status, stderr).toBe(0);
    expect(expectJsonAddsUp(stdout).misses).toBeGreaterThan(0);
  });

  test('a reader that goes away ends the run', async () => {
    const run = startCli([...endless, '--handler', 'flood', '--json'], folder);
    await run.printed('"type":"stats"');
    run.child.stdout!.destroy();
    expect((await run.ended).status).toBe(0);
  });

  test('a port that nothing comes from is told', async () => {
    const { status, stderr, stdout } = await runCli(['run', '--port', 'a,type=memory', '--for', '0.1'], folder);
    expect(status).toBe(0);
    expect(stderr).toContain('no port receives anything');
    expect(accountOf(stdout).in).toBe(0);
  });
});

describe('ports and handlers', () => {
  const wire = (out: string, handler: string): string[] => [
    ...['run', '--handler', handler, '--speed', 'max', '--json'],
    ...['--port', `a,type=pcap,rx=${capture('http')}`, '--port', `b,type=pcap,tx=${path.join(folder, out)}`],
  ];

  test.each([
    ['static', `static:${examples}rules/wire.txt`],
    ['module', `module:${examples}handlers/hub.mjs`],
    ['flood', 'flood'],
  ])('%s: what comes in goes out byte by byte', async (name, handler) => {
    const { status, stdout, stderr } = await runCli(wire(`${name}.pcap`, handler), folder);
    expect(status, stderr).toBe(0);
    expectJsonAddsUp(stdout);
    expect(frames(path.join(folder, `${name}.pcap`))).toEqual(frames(capture('http')));
  });

  test('drop: everything arrives, nothing leaves', async () => {
    const { status, stdout } = await runCli(wire('drop.pcap', 'drop'), folder);
    expect(status).toBe(0);
    const summary = expectJsonAddsUp(stdout);
    expect(summary.transmitted).toBe(0);
    expect(summary.drops.flow).toBe(summary.received);
  });

  test('the VLAN rules: the trunk gets the tag and the host gets its frames back without it', async () => {
    const rules = ['run', '--speed', 'max', '--json', '--handler', `static:${examples}rules/vlan.txt`];
    const tagged = path.join(folder, 'tagged.pcap');
    const plain = path.join(folder, 'plain.pcap');
    const there = [`access,type=pcap,rx=${capture('http')}`, `trunk,type=pcap,tx=${tagged}`];
    const back = [`access,type=pcap,tx=${plain}`, `trunk,type=pcap,rx=${tagged}`];
    for (const ports of [there, back]) {
      const { status, stderr } = await runCli([...rules, ...ports.flatMap((port) => ['--port', port])], folder);
      expect(status, stderr).toBe(0);
    }
    expect(frames(tagged).every((frame) => frame.slice(24, 32) === '8100000a')).toBe(true);
    expect(frames(plain)).toEqual(frames(capture('http')));
  });

  test('the firewall rules: everything but pings reaches the host it is for', async () => {
    const args = ['run', '--speed', 'max', '--json', '--handler', `static:${examples}rules/firewall.txt`];
    const { status, stdout, stderr } = await runCli(args, folder);
    expect(status, stderr).toBe(0);
    expectJsonAddsUp(stdout);
    const pings = ['080045', '86dd6'];
    const isPing = (frame: string): boolean =>
      (frame.startsWith(pings[0], 24) && frame.slice(46, 48) === '01' && frame.slice(68, 70) === '08') ||
      (frame.startsWith(pings[1], 24) && frame.slice(40, 42) === '3a' && frame.slice(108, 110) === '80');
    const out = HOSTS.map((host) => frames(path.join(folder, 'out', `${host}.pcap`)));
    const sent = HOSTS.flatMap((host) => frames(capture(host)));
    // a later fragment may look like an echo request, so only unfragmented packets are looked at
    const whole = (frame: string): boolean => frame.startsWith('86dd', 24) || frame.slice(40, 44) === '4000';
    expect(sent.filter((frame) => isPing(frame) && whole(frame)).length).toBeGreaterThan(0);
    expect(out.flat().filter((frame) => isPing(frame) && whole(frame))).toEqual([]);
    const toPeer = sent.filter((frame) => destinationOf(frame) === '020000000b0a');
    expect(out[1].filter((frame) => destinationOf(frame) === '020000000b0a').sort()).toEqual(toPeer.sort());
  });

  test('a function of one packet, and one that throws', async () => {
    const pings = await runCli(
      [
        ...['run', '--speed', 'max', '--json', '--handler', `module:${examples}handlers/no-ping.mjs`],
        ...['--port', `a,type=pcap,rx=${capture('arp-icmp')}`, '--port', 'b,type=null'],
      ],
      folder,
    );
    expect(pings.status, pings.stderr).toBe(0);
    const summary = expectJsonAddsUp(pings.stdout);
    expect(summary.drops.flow).toBeGreaterThan(0);
    expect(summary.transmitted + summary.drops.flow).toBe(summary.received);

    const thrower = file('throws.mjs', 'export default { handle() { throw new Error("no idea"); } };');
    const thrown = await runCli(wire('thrown.pcap', `module:${thrower}`), folder);
    expect(thrown.status).toBe(0);
    const lost = expectJsonAddsUp(thrown.stdout);
    expect(lost.drops.upcallError).toBe(lost.received);
    expect(thrown.stderr).toContain('the handler failed, its packets are dropped (upcallError): no idea');
  });

  test('a handler that leaves a timer behind does not keep the program', async () => {
    const timer = file('timer.mjs', 'setInterval(() => {}, 1000); export default { handle() {} };');
    const { status, stdout } = await runCli(wire('timer.pcap', `module:${timer}`), folder);
    expect(status).toBe(0);
    expect(expectJsonAddsUp(stdout).drops.upcallHandler).toBe(frames(capture('http')).length);
  });

  test('captures at recorded speed share one clock', async () => {
    // one packet every half second, in turn; by its own clock each capture would begin at once
    const turns = Array.from({ length: 6 }, (_, i) => {
      const data = udpFrame(flowTuple(i));
      return { timeNs: 1_700_000_000_000_000_000n + BigInt(i) * 500_000_000n, data, wireSize: data.length };
    });
    const [even, odd] = [0, 1].map((rest) => encodePcap(turns.filter((_, i) => i % 2 === rest)));
    writeFileSync(path.join(folder, 'even.pcap'), even);
    writeFileSync(path.join(folder, 'odd.pcap'), odd);
    const ports = ['odd,type=pcap,rx=odd.pcap', 'even,type=pcap,rx=even.pcap', 'sink,type=pcap,tx=clock.pcap'];
    const args = ['run', '--handler', 'flood', '--json', ...ports.flatMap((port) => ['--port', port])];
    const { status, stdout, stderr } = await runCli(args, folder);
    expect(status, stderr).toBe(0);
    expect(frames(path.join(folder, 'clock.pcap'))).toEqual(turns.map(({ data }) => hex(data)));
    expect(expectJsonAddsUp(stdout).seconds).toBeGreaterThanOrEqual(2.5);
  });
});
