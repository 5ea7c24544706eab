/*
 * wdp trace: what it prints, for whole scenarios as a user sees them; that its steps and its result are what a running datapath with the same rules does;
 * and one line for each mistake. SEED sets the seed.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  composePacket,
  Datapath,
  encodeKeyAttributes,
  formatTrace,
  type Pass,
  parseKey,
  parseRules,
  type Step,
  staticRules,
  type Trace,
  type TraceResult,
  traceKey,
  tracePacket,
} from '../src/index.ts';
import { expectOneLine, runCli } from './support/cli.ts';
import { Random, samples } from './support/frames.ts';

const SEED = Number(process.env.SEED ?? Math.floor(Math.random() * 2147483647));
const LISTS = 150;
const root = new URL('..', import.meta.url).pathname;
const PORTS = [1, 2, 3, 4];
const UDP_KEY =
  'in_port(1),eth(src=02:00:00:00:00:0a,dst=02:00:00:00:00:0b),eth_type(0x0800),ipv4(src=10.0.0.1,dst=10.0.0.2,proto=17,ttl=64),udp(src=1024,dst=53)';
const UDP = Buffer.from(composePacket(parseKey(UDP_KEY))).toString('hex');

let folder = '';
beforeAll(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'wdp-trace-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const bytesOf = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text, 'hex'));

/** The text of a trace, without its hexadecimal, which is compared elsewhere. */
async function textOf(rules: string, packet: string): Promise<string> {
  const trace = await tracePacket(parseRules(rules, 'r'), bytesOf(packet));
  return formatTrace(trace, 'r')
    .replaceAll(/^ *[0-9a-f]{8,}\n/gm, '')
    .replaceAll(/ [0-9a-f]{28,}$/gm, '');
}

describe('text', () => {
  test('a tag, a hop less and an output', async () => {
    const rules =
      'priority=2 in_port(2) actions:1\nin_port(1),eth_type(0x0800),ipv4() actions:push_vlan(vid=10,pcp=3),set(ipv4(ttl=63)),2';
    expect(await textOf(rules, UDP)).toBe(`\
packet: 42 bytes
  Ethernet  02:00:00:00:00:0a > 02:00:00:00:00:0b, type 0x0800
  IPv4      10.0.0.1 > 10.0.0.2, UDP, ttl 64, tos 0x00, id 0, 28 bytes, checksum ok
  UDP       1024 > 53, 8 bytes, checksum ok
lookup 1:
  key:    recirc_id(0),in_port(1),eth(src=02:00:00:00:00:0a,dst=02:00:00:00:00:0b),eth_type(0x0800),ipv4(src=10.0.0.1,dst=10.0.0.2,proto=17,tos=0,ttl=64,frag=no),udp(src=1024,dst=53)
  rule:   r:2: in_port(1),eth_type(0x0800),ipv4() actions:push_vlan(vid=10,pcp=3),set(ipv4(ttl=63)),2
  not:    r:1: in_port 1, not 2
  looks:  in_port, vlan, inner vlan, eth_type
  flow:   in_port(1),eth(),eth_type(0x0800), actions:push_vlan(vid=10,pcp=3),set(ipv4(ttl=63)),2
  1. push_vlan(vid=10,pcp=3)
    Ethernet  02:00:00:00:00:0a > 02:00:00:00:00:0b, type 0x8100
    802.1Q    vid 10, pcp 3, type 0x0800
    IPv4      10.0.0.1 > 10.0.0.2, UDP, ttl 64, tos 0x00, id 0, 28 bytes, checksum ok
    UDP       1024 > 53, 8 bytes, checksum ok
  2. set(ipv4(ttl=63))
    Ethernet  02:00:00:00:00:0a > 02:00:00:00:00:0b, type 0x8100
    802.1Q    vid 10, pcp 3, type 0x0800
    IPv4      10.0.0.1 > 10.0.0.2, UDP, ttl 63, tos 0x00, id 0, 28 bytes, checksum ok
    UDP       1024 > 53, 8 bytes, checksum ok
  3. 2
    port 2: 46 bytes
result:
  port 2: 46 bytes
`);
  });

  test('the example: two lookups, from a key', async () => {
    const file = 'examples/rules/recirculate.txt';
    const command = /wdp trace --rules (\S+) \\\n#\s+'([^']+)'/.exec(readFileSync(path.join(root, file), 'utf8'));
    const { status, stdout, stderr } = await runCli(['trace', '--rules', command![1], command![2]], root);
    expect(status, stderr).toBe(0);
    const wanted = [
      'packet: 42 bytes, composed for the key',
      'lookup 1:',
      'not:    examples/rules/recirculate.txt:6: recirc_id 0, not 0x1',
      '1. dec_ttl(le_1(drop))',
      'IPv4      10.0.0.1 > 10.0.0.2, UDP, ttl 63, tos 0x00, id 0, 28 bytes, checksum ok',
      '2. push_vlan(vid=10,pcp=0)',
      '3. recirc(0x1)',
      'goes on with lookup 2',
      'lookup 2:',
      'key:    recirc_id(0x1),in_port(1),eth(src=00:00:00:00:00:00,dst=00:00:00:00:00:00),eth_type(0x8100),vlan(vid=10,pcp=0),encap(eth_type(0x0800),ipv4(src=10.0.0.1,dst=10.0.0.2,proto=17,tos=0,ttl=63,frag=no),udp(src=1024,dst=53))',
      'flow:   recirc_id(0x1),eth(),eth_type(0x8100),vlan(vid=10),encap(eth_type(0x0800)), actions:2',
      'port 2: 46 bytes',
      'result:',
    ];
    const lines = stdout.split('\n').map((line) => line.trim());
    expect(lines.filter((line) => wanted.includes(line)).filter((line, i, all) => all.indexOf(line) === i)).toEqual(
      wanted,
    );
  });

  test('what no rule decides is dropped', async () => {
    expect(await textOf('in_port(2) actions:1', UDP)).toContain(`\
  rule:   none, so it is dropped
  not:    r:1: in_port 1, not 2
  looks:  in_port
  flow:   in_port(1),eth(),vlan(cfi=0/0), actions:drop
  drop:   flow
result:
  drop: flow
`);
  });

  test('a packet that is cut, and one that no datapath takes', async () => {
    const cut = await textOf('actions:2', UDP.slice(0, 2 * 30));
    expect(cut).toContain('  IPv4      cut off after 16 bytes\n');
    expect(cut).toContain('ipv4(src=0.0.0.0,dst=0.0.0.0,proto=0,tos=0,ttl=0,frag=no)');
    expect(await textOf('actions:2', '0102030405')).toBe(
      'packet: 5 bytes\n  Ethernet  cut off after 5 bytes\nresult:\n  drop: rxShort\n',
    );
  });

  test('lists inside of actions, and what each came to', async () => {
    const list =
      'clone(push_vlan(vid=10,pcp=0),3),set(skb_mark(0x7)),check_pkt_len(size=100,gt(4),le(trunc(20),2)),sample(sample=0.0%,actions(4)),clone(set(skb_mark(0x1))),dec_ttl(le_1(4)),1';
    const text = await textOf(`in_port(1) actions:${list}`, UDP);
    const steps = text.split('\n').map((line) => line.trim());
    expect(steps.filter((line) => /^(\d[\d.]*\. |port|now|at most|not sampled|drop)/.test(line))).toEqual([
      '1. clone(push_vlan(vid=10,pcp=0),3)',
      '1.1. push_vlan(vid=10,pcp=0)',
      '1.2. 3',
      'port 3: 46 bytes',
      '2. set(skb_mark(0x7))',
      'now skb_mark(0x7)',
      '3. check_pkt_len(size=100,gt(4),le(trunc(20),2))',
      'at most 100 bytes',
      '3.1. trunc(20)',
      '3.2. 2',
      'port 2: 20 bytes',
      '4. sample(sample=0.0%,actions(4))',
      'not sampled',
      '5. clone(set(skb_mark(0x1)))',
      '5.1. set(skb_mark(0x1))',
      'now skb_mark(0x1)',
      'drop:   flow',
      '6. dec_ttl(le_1(4))',
      '7. 1',
      'port 1: 42 bytes',
      'port 3: 46 bytes',
      'port 2: 20 bytes',
      'port 1: 42 bytes',
      'drop: flow',
    ]);
  });
});

test('upcalls go to port ids that somebody has', async () => {
  const text = await textOf('in_port(1) actions:userspace(pid=1),userspace(pid=4242),2', UDP);
  const steps = text.split('\n').map((line) => line.trim());
  expect(steps.slice(steps.indexOf('1. userspace(pid=1)'), -1)).toEqual([
    '1. userspace(pid=1)',
    'to the handler: 42 bytes',
    '2. userspace(pid=4242)',
    "lost: nobody has that port id (the datapath's own handler has 1)",
    '3. 2',
    'port 2: 42 bytes',
    'result:',
    'port 2: 42 bytes',
    'to the handler: 42 bytes',
    'lost: 1 upcall for port ids that nobody has',
  ]);
});

describe('what the steps come to', () => {
  /** What a running datapath with these rules sends out of each port for the packet, when the first of its kind has installed the flows. */
  async function forwarded(rules: string, packet: Uint8Array): Promise<string[]> {
    await using datapath = await Datapath.open({
      flows: 256,
      emcEntries: 8192,
      upcallFrames: 256,
      arenaSize: 67108864,
    });
    const ports = PORTS.map((portNo) => datapath.ports.add(`p${portNo}`, { portNo, slots: 64 }));
    await datapath.onUpcall(staticRules(parseRules(rules, 'r')));
    datapath.process(ports[0], [packet]);
    for (const port of ports) port.receive();
    datapath.process(ports[0], [packet]);
    return ports
      .flatMap((port) => port.receive().map((data) => `${port.portNo} ${Buffer.from(data).toString('hex')}`))
      .sort();
  }

  const sentBy = ({ outputs }: Pick<TraceResult, 'outputs'>): string[] =>
    outputs.map(({ port, packet }) => `${port} ${Buffer.from(packet).toString('hex')}`).sort();

  /** What the steps say was sent, wherever they stand. */
  const stepsSent = (pass: Pass | undefined): string[] => (pass?.steps ?? []).flatMap(stepSent);
  const stepSent = (step: Step): string[] => [
    ...sentBy({ outputs: step.outputs ?? [] }),
    ...(step.steps ?? []).flatMap(stepSent),
    ...stepsSent(step.pass),
  ];

  const ATOMS = [
    '2',
    '3',
    '4',
    'push_vlan(vid=5,pcp=1)',
    'pop_vlan',
    'set(skb_mark(0x5))',
    'trunc(30)',
    'recirc(0x1)',
    'recirc(0x2)',
  ];

  /** A list with lists inside of it. */
  function randomList(random: Random, depth: number): string {
    const length = 1 + random.below(4);
    const parts = Array.from({ length }, () => {
      if (depth === 0 || random.below(3) > 0) return ATOMS[random.below(ATOMS.length)];
      const inner = (): string => randomList(random, depth - 1);
      const kinds = [
        () => `clone(${inner()})`,
        () => `sample(sample=100.0%,actions(${inner()}))`,
        () => `check_pkt_len(size=60,gt(${inner()}),le(${inner()}))`,
        () => `dec_ttl(le_1(${inner()}))`,
      ];
      return kinds[random.below(kinds.length)]();
    });
    return parts.join(',');
  }

  test(`is what a running datapath sends, for random lists, SEED=${SEED}`, async () => {
    const random = new Random(SEED);
    const frames = samples().map(({ frame }) => frame);
    let compared = 0;
    for (let i = 0; compared < LISTS; i++) {
      const rules = `priority=3 recirc_id(0x1) actions:${randomList(random, 0).replaceAll('recirc(0x1)', '2')}
priority=2 recirc_id(0x2) actions:set(skb_mark(0x9)),3
priority=1 in_port(1) actions:${randomList(random, 2)}`;
      const frame = frames[random.below(frames.length)];
      let trace: Trace;
      try {
        trace = await tracePacket(parseRules(rules, 'r'), frame);
      } catch (error) {
        // a list that no flow can have: a tag popped that is not there
        expect((error as { code?: string }).code, rules).toBe('ERR_INVALID_ACTIONS');
        if (i > 20 * LISTS) throw error;
        continue;
      }
      compared += 1;
      const place = `${rules}\n${Buffer.from(frame).toString('hex')}`;
      expect(sentBy(trace.result), place).toEqual(await forwarded(rules, frame));
      // steps go deeper than a datapath does
      if ((trace.result.drops.recursion ?? 0) > 0) continue;
      expect(trace.differs, place).toBeUndefined();
      expect(sentBy(trace.result), place).toEqual(stepsSent(trace.pass).sort());
    }
  });

  test('a packet that goes round for ever ends where the datapath ends it', async () => {
    const trace = await tracePacket(parseRules('actions:recirc(0x1)', 'r'), bytesOf(UDP));
    expect(trace.result.drops).toEqual({ recursion: 1 });
    expect(trace.differs?.drops).toEqual({});
    const text = formatTrace(trace, 'r');
    expect(text).toContain('lookup 32:');
    expect(text).toContain('not followed: more than 32 lookups');
    expect(text).toContain('the steps above do not end where the datapath does');
  });

  test('an action that cannot be applied ends its list and those around it', async () => {
    const rules = parseRules('in_port(1),eth_type(0x0800),ipv4() actions:3,clone(dec_ttl(le_1()),2),4', 'r');
    const trace = await tracePacket(rules, bytesOf(UDP.slice(0, 2 * 30)));
    expect(trace.differs).toBeUndefined();
    expect(sentBy(trace.result).map((text) => text[0])).toEqual(['3']);
    expect(trace.result.drops).toEqual({ action: 2 });
    expect(trace.pass?.steps.map(({ action }) => action)).toEqual(['3', 'clone(dec_ttl(le_1(drop)),2)']);
  });

  test('the end of its life', async () => {
    const packet = composePacket(parseKey(UDP_KEY.replace('ttl=64', 'ttl=1')));
    const dropped = await tracePacket(parseRules('actions:dec_ttl(le_1()),2', 'r'), packet);
    expect([dropped.result.drops, dropped.differs]).toEqual([{ ttl: 1 }, undefined]);
    const told = await tracePacket(parseRules('actions:dec_ttl(le_1(4)),2', 'r'), packet);
    expect([sentBy(told.result)[0][0], told.differs]).toEqual(['4', undefined]);
    expect(told.pass?.steps[0].branch).toBe('at the end of its life');
  });

  test('a key keeps its marks, its recirc_id and its tunnel; what no packet has is named', async () => {
    const key = `recirc_id(0x4),skb_mark(0x5),tunnel(tun_id=0x7,src=1.1.1.1,dst=2.2.2.2,ttl=64,flags(key)),${UDP_KEY}`;
    const rules = parseRules('recirc_id(0x4),skb_mark(0x5),tunnel(tun_id=0x7) actions:2', 'r');
    const trace = await traceKey(rules, parseKey(key));
    expect([trace.notComposed, trace.differs]).toEqual([[], undefined]);
    expect(sentBy(trace.result)).toEqual([`2 ${UDP}`]);
    const odd = await traceKey(rules, parseKey('in_port(1),eth_type(0x8847),mpls(label=5,tc=0,ttl=3,bos=0)'));
    expect(odd.notComposed).not.toEqual([]);
  });

  test('a packet without an Ethernet header', async () => {
    const key = parseKey(
      'in_port(3),packet_type(ns=1,id=0x800),eth_type(0x0800),ipv4(src=1.2.3.4,proto=6,ttl=3),tcp(src=1,dst=2)',
    );
    const rules =
      'packet_type(ns=1,id=0x800),eth_type(0x0800),ipv4() actions:push_eth(src=02:00:00:00:00:01,dst=02:00:00:00:00:02),2';
    const trace = await traceKey(parseRules(rules, 'r'), key);
    expect(trace.notComposed).toEqual([]);
    expect(trace.packet.layers.map(({ name }) => name)).toEqual(['ipv4', 'tcp']);
    expect(trace.pass?.steps[0].packet?.layers.map(({ name }) => name)).toEqual(['ethernet', 'ipv4', 'tcp']);
    expect(trace.result.outputs.length).toBe(1);
  });
});

describe('the command', () => {
  const rules = (): string => {
    const file = path.join(folder, 'rules.txt');
    writeFileSync(file, 'in_port(1) actions:2\nin_port(7) actions:3\n');
    return file;
  };
  const trace = (...args: string[]) => runCli(['trace', '--rules', rules(), ...args], folder);

  test('--json, --in-port and --attributes', async () => {
    const [plain, port, key] = await Promise.all([
      trace('--json', UDP),
      trace('--json', '--in-port', '7', UDP.replaceAll(/../g, '$& ')),
      trace(
        '--json',
        '--attributes',
        `${Buffer.from(encodeKeyAttributes(parseKey(UDP_KEY))).toString('hex')}/08000300ffffffff`,
      ),
    ]);
    const [one, two, three] = [plain, port, key].map(({ stdout, stderr }) => JSON.parse(stdout || stderr));
    expect(one).toMatchObject({ from: 'packet', result: { outputs: [{ port: 2, packet: UDP }] }, remarks: [] });
    expect(two).toMatchObject({ pass: { rule: { line: 2 } }, result: { outputs: [{ port: 3, packet: UDP }] } });
    expect(three).toMatchObject({
      from: 'key',
      packet: { bytes: UDP },
      result: { outputs: [{ port: 2, packet: UDP }] },
    });
  });

  test.each([
    [['0102zz'], 1, 'expected a hexadecimal digit at position 4, found "zz"'],
    [['010'], 1, 'expected a hexadecimal digit at position 3, found end of text'],
    [[''], 1, 'expected a packet in hexadecimal or a key at position 0'],
    [['in_port(1),eth_typo(1)'], 1, 'expected a known attribute at position 11'],
    [['--attributes', '080003000100'], 1, 'attribute OVS_KEY_ATTR 3 at byte 0: length 8 of 6 bytes left'],
    [['--in-port', '1024', UDP], 2, '--in-port 1024: a port is 0 to 1023'],
    [['--in-port', '1', UDP_KEY], 2, '--in-port is for packets'],
    [[], 2, 'missing required argument'],
  ])('%j is one line', async (args, status, message) => {
    const result = await trace(...args);
    expect(result.status).toBe(status);
    expect(expectOneLine(result)).toContain(message);
  });

  test('rules that are not there, no rules, or no rule for a datapath', async () => {
    const bad = path.join(folder, 'bad.txt');
    writeFileSync(bad, 'actions:1\nin_port(1) actions:set(ipv4(ttl=3)),2\n');
    const results = await Promise.all([
      runCli(['trace', '--rules', path.join(folder, 'none.txt'), UDP], folder),
      runCli(['trace', '--rules', bad, UDP], folder),
      runCli(['trace', UDP], folder),
    ]);
    expect(results.map(({ status }) => status)).toEqual([1, 1, 2]);
    const lines = results.map(expectOneLine);
    expect(lines[0]).toContain('cannot read the rules in');
    expect(lines[1]).toContain('line 2 (in_port(1) actions:set(ipv4(ttl=3)),2): actions: invalid argument');
    expect(lines[2]).toContain("required option '--rules <FILE>' not specified");
  });
});
