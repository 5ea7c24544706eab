/*
 * The command line's other side: settings from a file, what every kind of mistake gets (its exit status and one line), help, and the status and summary
 * texts.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { stripVTControlCharacters } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { colorsFor, RateMeter, StatusReporter } from '../src/cli/status.ts';
import { account, summaryText } from '../src/cli/status-summary.ts';
import { Datapath } from '../src/datapath/datapath.ts';
import type { DatapathStats } from '../src/datapath/stats.ts';
import { readPcap } from '../src/pcap/index.ts';
import { expectJsonAddsUp, expectOneLine, runCli } from './support/cli.ts';

const examples = new URL('../examples/', import.meta.url).pathname;
const capture = (name: string): string => path.join(examples, 'captures', `${name}.pcap`);

let folder = '';
beforeAll(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'wdp-mistakes-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function file(name: string, text: string): string {
  const place = path.join(folder, name);
  writeFileSync(place, text);
  return place;
}

describe('configuration', () => {
  test('a file says what options say; options win', async () => {
    const config = file(
      'lab.json',
      JSON.stringify({
        name: 'lab',
        ports: [`a,type=pcap,rx=${capture('dns')},speed=max`, { name: 'b', type: 'null' }],
        handler: 'drop',
        workers: 0,
        flows: 1000,
        emcEntries: 8192,
        idleTimeout: 1.5,
        seed: 7,
        json: true,
      }),
    );
    const { status, stdout, stderr } = await runCli(['run', '--config', config, '--handler', 'flood'], folder);
    expect(status, stderr).toBe(0);
    const summary = expectJsonAddsUp(stdout);
    expect(summary).toMatchObject({
      name: 'lab',
      handler: 'flood',
      transmitted: readPcap(readFileSync(capture('dns'))).records.length,
    });
  });

  test.each([
    ['{"prots": []}', 'prots is not a setting; there are name, ports, handler'],
    ['{"ports": []}', 'ports: a datapath needs ports'],
    ['{}', 'ports: a datapath needs ports'],
    ['{"ports": "a"}', 'ports must be a list of ports, not "a"'],
    ['{"ports": [7]}', 'ports[0] must be a SPEC as text or an object with name, type and options, not 7'],
    ['{"ports": [{"type": "null"}]}', 'ports[0].name is missing'],
    ['{"ports": ["a,type=null", {"name": "b", "type": "tape"}]}', 'ports[1]: port b: no port type "tape"; there are'],
    ['{"ports": [{"name": "b", "type": "null", "rx": "x"}]}', 'ports[0]: port b: type null has no option "rx"'],
    ['{"ports": [{"name": "b", "type": "generator", "flows": "x"}]}', 'option flows must be an integer'],
    ['{"ports": ["a,type=null", "a,type=null"]}', 'ports[1]: there is a port a already'],
    ['{"ports": ["a,type=null"], "workers": 99}', 'workers must be an integer from 0 to 15, not 99'],
    ['{"ports": ["a,type=null"], "handler": "smart"}', 'handler must be one of learning, drop, flood, static:FILE'],
    ['{"ports": ["a,type=null"], "for": "long"}', 'for must be a number of seconds'],
    ['[]', 'the settings must be an object, not a list'],
    ['{"ports": [\n  1 2]}', 'wrong.json:2:5: this is not JSON'],
    ['{"ports": [oops]}', 'this is not JSON'],
  ])('%s', async (text, message) => {
    const result = await runCli(['run', '--config', file('wrong.json', text)], folder);
    expect(result.status).toBe(1);
    const line = expectOneLine(result);
    expect(line).toContain('wrong.json');
    expect(line).toContain(message);
  });

  test('a file that is not there', async () => {
    const result = await runCli(['run', '--config', 'none.json'], folder);
    expect(result.status).toBe(1);
    expect(expectOneLine(result)).toContain('cannot read the configuration none.json');
  });
});

describe('mistakes', () => {
  test.each([
    [['run', '--nope'], "unknown option '--nope'"],
    [['run', 'more'], "too many arguments for 'run'"],
    [['run', '--port'], "option '--port <SPEC>' argument missing; see wdp run --help"],
    [['flow'], "unknown command 'flow'"],
    [['run', '--handler', 'smart'], '--handler must be one of learning, drop, flood, static:FILE, module:FILE'],
    [['run', '--handler', 'static:'], '--handler must be one of'],
    [['run', '--workers', '99'], '--workers must be an integer from 0 to 15, not 99'],
    [['run', '--workers', 'two'], '--workers must be an integer from 0 to 15, not "two"'],
    [['run', '--cpus', '0,4095'], 'wdp: --cpus must be a list of CPUs that there are: '],
    [['run', '--cpus', 'all'], ', not a list'],
    [['run', '--emc-entries', '10000'], '--emc-entries must be a power of two from 8192 to 1048576, not 10000'],
    [['run', '--for', '0'], '--for must be a number of seconds'],
    [['run', '--speed', 'fast'], '--speed must be recorded, max, or packets a second, not "fast"'],
    [['run', '--port', 'a,type=tape'], 'port a: no port type "tape"; there are memory, pcap, generator, null'],
    [['run', '--port', 'a,type=afpacket,color=red'], 'type afpacket has no option "color"; it takes interface, queues'],
    [['run', '--port', 'a,type=afpacket,ring=round'], 'option ring must be mapped or copied'],
    [['run', '--port', 'a,type'], '"type" is not key=value'],
    [['run', '--port', ',type=null'], 'a port needs a name'],
    [['run', '--port', 'a,type=pcap,speed=fast'], 'option speed must be recorded, max, or packets a second'],
    [['run', '--port', 'a,type=pcap,color=red'], 'type pcap has no option "color"; it takes rx, tx, speed, loop'],
    [['run', '--port', 'a,type=generator,size=10'], 'port a: size must be 60 to 9000'],
    [['run', '--port', 'a,type=memory,slots=3'], 'port a: slots must be a power of two'],
    [['run', '--port', 'a,slots=3'], 'type interface has no option "slots"'],
    [['run', '--port', 'a,type=null', '--port', 'a,type=null'], 'there is a port a already'],
    [['run', '--port', 'a,type=pcap,tx=x', '--port', 'b,type=pcap,tx=./x'], 'tx=./x is written by port a already'],
    [['run', '--port', 'a,type=pcap,rx=x', '--port', 'b,type=pcap,tx=x'], 'tx=x is the capture that port a replays'],
    [['parse-pcap'], "missing required argument 'FILE'"],
  ])('%j: exit status 2', async (args, message) => {
    const result = await runCli(args, folder);
    expect(result.status).toBe(2);
    expect(expectOneLine(result)).toContain(message);
  });

  test('what could not be done: exit status 1', async () => {
    const cases: [string[], string][] = [
      [['--port', 'a,type=pcap,rx=none.pcap'], 'none.pcap: cannot be opened: ENOENT'],
      [['--port', 'a,type=pcap,rx=none.pcap,speed=max'], 'none.pcap: cannot be opened: ENOENT'],
      [['--port', `a,type=pcap,rx=${file('empty.pcap', '')}`], 'empty.pcap'],
      [['--port', `a,type=pcap,rx=${file('text.pcap', 'hello, this is no capture')}`], 'text.pcap'],
      [['--port', 'a,type=pcap,tx=none/x.pcap'], 'none/x.pcap'],
      [['--handler', 'static:none', '--port', 'a,type=null'], 'cannot read the rules in none'],
      [['--handler', `static:${file('rules', '\nin_port(1) actions:fly')}`, '--port', 'a,type=null'], 'rules:2: '],
      [['--handler', 'module:none.mjs', '--port', 'a,type=null'], 'cannot load the handler none.mjs'],
      [
        ['--handler', `module:${file('empty.mjs', 'export default 7;')}`, '--port', 'a,type=null'],
        'exports no handler',
      ],
      [['--port', 'g,type=generator,flows=16777216,size=9000', '--for', '1'], 'ports and flows need about'],
    ];
    for (const [args, message] of cases) {
      const result = await runCli(['run', '--json', ...args], folder);
      expect(result.status, `${args.join(' ')}: ${result.stderr}`).toBe(1);
      expect(expectOneLine(result)).toContain(message);
    }
  });

  test('a full disk ends the run with one line', async () => {
    const ports = [`a,type=pcap,rx=${capture('http')},speed=max,loop=100`, 'b,type=pcap,tx=/dev/full'];
    const args = ['run', '--json', '--handler', 'flood', ...ports.flatMap((port) => ['--port', port])];
    const result = await runCli(args, folder);
    expect(result.status).toBe(1);
    expect(result.stderr).toMatch(/^wdp: \/dev\/full: .*ENOSPC.*\n$/);
  });
});

describe('help', () => {
  test('wdp --version and --help', async () => {
    const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'));
    expect(await runCli(['--version'], folder)).toEqual({ status: 0, stdout: `${version}\n`, stderr: '' });
    const help = await runCli(['--help'], folder);
    expect(help).toMatchObject({ status: 0, stderr: '' });
    for (const command of ['run', 'bench', 'parse-pcap', 'doctor'])
      expect(help.stdout).toMatch(new RegExp(`^ {2}${command} `, 'm'));
    const nothing = await runCli([], folder);
    expect(nothing).toMatchObject({ status: 2, stdout: '', stderr: help.stdout });
  });

  test('wdp run --help names every option, port type and handler, and is not too wide', async () => {
    const { status, stdout, stderr } = await runCli(['run', '--help'], folder);
    expect([status, stderr]).toEqual([0, '']);
    expect(await runCli(['help', 'run'], folder)).toEqual({ status: 0, stdout, stderr: '' });
    for (const word of ['--config', '--name', '--port', '--handler', '--workers', '--json', '--for', '--control'])
      expect(stdout).toContain(word);
    for (const word of ['memory', 'pcap', 'generator', 'null', 'static:FILE', 'module:FILE', '130'])
      expect(stdout).toContain(word);
    for (const word of ['afpacket', 'afxdp', 'tap', 'veth']) expect(stdout).toContain(word);
    expect(stdout).not.toContain('--metrics');
    expect(Math.max(...stdout.split('\n').map((line) => line.length))).toBeLessThanOrEqual(100);
  });

  test('parse-pcap and doctor are there', async () => {
    const keys = await runCli(['parse-pcap', capture('dhcp')], folder);
    expect(keys.status, keys.stderr).toBe(0);
    expect(keys.stdout.trimEnd().split('\n')).toHaveLength(4);
    const doctor = await runCli(['doctor', '--json'], folder);
    expect(JSON.parse(doctor.stdout).mainJob).toBe(true);
    expect(doctor.status).toBe(0);
  });
});

describe('status and account', () => {
  const counters = async (): Promise<DatapathStats> => {
    await using datapath = await Datapath.open({ flows: 64 });
    return datapath.stats();
  };

  test('rates are over the last second', async () => {
    const stats = await counters();
    const at = (received: number, emc: number): DatapathStats => ({
      ...stats,
      received,
      hits: { emc, megaflow: 0, offload: 0 },
    });
    const meter = new RateMeter(at(0, 0), 0);
    expect(meter.sample(at(100, 50), 500)).toMatchObject({ packetsPerSecond: 200, emcHitRate: 0.5 });
    expect(meter.sample(at(1100, 1050), 1500)).toMatchObject({ packetsPerSecond: 1000, emcHitRate: 1 });
    expect(meter.sample(at(1100, 1050), 2500)).toMatchObject({ packetsPerSecond: 0, emcHitRate: 0 });
  });

  test('on a terminal one line is rewritten, no wider than it, and cleared at the end; NO_COLOR is respected', async () => {
    await using datapath = await Datapath.open({ flows: 64 });
    let text = '';
    const terminal = { write: (chunk: string) => (text += chunk), isTTY: true, columns: 40 };
    const reporter = new StatusReporter({ datapath, json: false, spanMs: 5000, out: terminal, err: terminal });
    reporter.start();
    reporter.say('something happened');
    reporter.stop();
    const plain = stripVTControlCharacters(text);
    expect(plain).toContain('0.0 of 5.0 s  0 packets/s');
    expect(plain).toContain('something happened\n');
    expect(Math.max(...plain.split(/[\r\n]/).map((line) => line.length))).toBeLessThan(40);
    expect(text.endsWith('\r\x1b[K')).toBe(true);
    expect(colorsFor(terminal, {}).bold('x')).not.toBe('x');
    expect(colorsFor(terminal, { NO_COLOR: '1' }).bold('x')).toBe('x');
    expect(colorsFor(terminal, { TERM: 'dumb' }).bold('x')).toBe('x');
    expect(colorsFor({ write: terminal.write }, {}).bold('x')).toBe('x');
  });

  test('the account says what does not add up', async () => {
    const stats = await counters();
    const base = { name: 'dp0', handler: 'drop', seconds: 1, interrupted: false, flowsExpired: 0, ports: [] };
    const wrong = (changes: Partial<DatapathStats>) => account({ ...base, stats: { ...stats, ...changes } }).wrong;
    expect(wrong({})).toBeUndefined();
    expect(wrong({ received: 3, misses: 2 })).toBe('3 packets came in and 2 are accounted for');
    expect(wrong({ received: 3, misses: 3, upcallsPending: 1 })).toContain('1 of 3 misses were neither answered nor');
    expect(wrong({ received: 3, misses: 3 })).toBe('the ports received 0 packets, the datapath 3');
    const text = summaryText({ ...base, stats: { ...stats, received: 3, misses: 2 } }, (line) => line);
    expect(text).toContain('in 3 = hits 0 + misses 2 + drops 0; accounted for 2 (66%)');
  });
});
