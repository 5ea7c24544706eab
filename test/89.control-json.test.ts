/*
 * Control commands with --json on the control socket of a worker, each beside its text there: every number and every name of the text follows from the objects.
 * What the texts themselves are is held against ovs-dpctl in 84.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { unixctlTransact } from '../src/control/unixctl-client.ts';
import { DPCTL_COMMANDS } from '../src/dpctl/command-table.ts';
import { type CliRun, startCli } from './support/cli.ts';
import { expectSameInJson } from './support/dpctl-json.ts';

const folder = mkdtempSync(path.join(os.tmpdir(), 'control-json-'));
const socketPath = path.join(folder, 'ctl');
const FLOWS = [
  'recirc_id(0),in_port(4),eth(src=02:00:00:00:00:01),eth_type(0x0800),ipv4(dst=10.1.0.0/255.255.0.0,proto=6,tos=0/0x3,frag=no),tcp(dst=80),tcp_flags(0x2/0x2) push_vlan(vid=7,pcp=3),2,3',
  'ufid:12345678-9abc-def0-1234-56789abcdef0,recirc_id(0x5),in_port(4),eth(),eth_type(0x86dd),ipv6(src=fe80::1,dst=fe80::/ffff::,proto=58,frag=no),icmpv6(type=135,code=0),nd(target=fe80::2) set(eth(src=02:00:00:00:00:09)),1',
  'recirc_id(0),tunnel(tun_id=0x5,src=1.2.3.4,dst=1.2.3.5,ttl=0/0,flags(-df-csum+key)),in_port(4),eth(),eth_type(0x0800),ipv4(frag=first) sample(sample=50.0%,actions(2)),trunc(100),2',
  'recirc_id(0),in_port(4),eth(),eth_type(0x8847),mpls(label=7,tc=0/0x0,ttl=0/0x0,bos=1) hash(l4(0)),recirc(0x9)',
];
const [KEY] = FLOWS[0]!.split(' ');
const UFID = 'ufid:12345678-9abc-def0-1234-56789abcdef0';

/** What has another form with --json: as text, and again with --json. */
const SHOWN: readonly (readonly string[])[] = [
  ['dump-dps'],
  ['show'],
  ['-s', 'show'],
  ['-s', 'show', 'netdev@dp0'],
  ['-m', '--no-names', 'dump-flows', 'netdev@dp0'],
  ['-m', '--no-names', 'dump-flows', 'netdev@dp0', 'filter=tcp'],
  ['-m', '--no-names', 'dump-flows', 'netdev@dp0', 'filter=in_port=9'],
  ['-m', '--no-names', 'dump-flows', 'netdev@dp0', 'type=ovs'],
  ['-m', '--no-names', 'get-flow', 'netdev@dp0', UFID],
  ['-s', 'mod-flow', 'netdev@dp0', KEY!, '2'],
  ['cache-get-size'],
  ['cache-get-size', 'netdev@dp0'],
];

/** What says the same with --json: nothing, one line about what was done, or why it cannot be. */
const ALIKE: readonly (readonly string[])[] = [
  ['dump-conntrack'],
  ['flush-conntrack'],
  ['ct-bkts'],
  ['ct-get-limits'],
  ['ct-set-limits', 'zone=1,limit=2'],
  ['ct-del-limits', 'zone=1'],
  ['ct-set-maxconns', '5'],
  ['ct-get-maxconns'],
  ['ct-get-nconns'],
  ['ct-enable-tcp-seq-chk'],
  ['ct-disable-tcp-seq-chk'],
  ['ct-get-tcp-seq-chk'],
  ['ipf-set-enabled', 'v4'],
  ['ipf-set-disabled', 'v6'],
  ['ipf-set-min-frag', 'v4', '500'],
  ['ipf-set-max-nfrags', '5'],
  ['ipf-get-status'],
  ['offload-stats-show'],
  ['cache-set-size', 'netdev@dp0', 'masks-cache', '512'],
  ['get-flow', 'netdev@dp0', 'ufid:00000000-0000-0000-0000-000000000001'],
  ['del-flow', 'netdev@dp0', 'in_port(9),eth(),eth_type(0x0800),ipv4()'],
  ['add-flow', 'netdev@dp0', KEY!, '2'],
  ['add-flows', 'netdev@dp0', '/nonexistent'],
  ['mod-flows', 'netdev@dp0', '/nonexistent'],
  ['add-dp', 'netdev@dp0'],
  ['del-dp', 'netdev@nosuch'],
  ['add-if', 'netdev@dp0', 'left'],
  ['set-if', 'netdev@dp0', 'nosuch'],
  ['del-if', 'netdev@dp0', 'nosuch'],
  ['show', 'netdev@nosuch'],
  ['dump-flows', 'netdev@nosuch'],
  ['dump-flows', 'filter=nosuch=1'],
];
/** Tested below, or of no output at all. */
const ELSEWHERE = ['ct-stats-show', 'del-flows'];

describe('control commands on a worker', () => {
  let run: CliRun;

  const ask = async (words: readonly string[], json = false) => {
    const at = words.findIndex((word) => !word.startsWith('-'));
    const options = [...(json ? ['--json'] : []), ...words.slice(0, at)];
    return unixctlTransact(socketPath, `dpctl/${words[at]}`, [...options, ...words.slice(at + 1)]);
  };
  const done = async (...words: string[]): Promise<string> => {
    const { text, failed } = await ask(words);
    expect(failed, text).toBe(false);
    return text;
  };

  beforeAll(async () => {
    writeFileSync(
      path.join(folder, 'rules'),
      'in_port(1),eth_type(0x0800),ipv4(proto=17),udp(dst=53) actions:2\nactions:3\n',
    );
    const ports = [
      'gen,type=generator,flows=100,loop=10',
      'slow,type=generator,rate=1',
      'left,type=null',
      'right,type=memory',
    ];
    const args = ports.flatMap((port) => ['--port', port]);
    run = startCli(['run', '--json', '--control', socketPath, '--handler', 'static:rules', ...args], folder);
    await run.printed('"received"');
    for (const flow of FLOWS) await done('add-flow', 'netdev@dp0', ...flow.split(' '));
  });
  afterAll(async () => {
    await unixctlTransact(socketPath, 'exit', []);
    await run.ended;
    rmSync(folder, { recursive: true, force: true });
  });

  /** Text, objects, and the text again until the two texts are the same: meanwhile a packet may have come. */
  async function sameTime(words: readonly string[]): Promise<{ text: string; json: string }> {
    const timeless = (text: string): string => text.replaceAll(/used:\d+\.\d{3}s/g, 'used:N');
    for (;;) {
      const [before, { text: json, failed }, after] = [await ask(words), await ask(words, true), await ask(words)];
      expect([failed, before.failed], json).toEqual([false, false]);
      if (timeless(before.text) === timeless(after.text)) return { text: before.text, json };
    }
  }

  it.each(SHOWN)('say the same as objects: %s %s %s', async (...words) => {
    const { text, json } = await sameTime(words);
    if (!words.includes('filter=in_port=9'))
      expect([json, text]).toEqual([expect.stringMatching(/^{"/), expect.stringMatching(/^[^{]/)]);
    expectSameInJson(words, json, text);
  });

  it.each(ALIKE)('say the same without objects: %s %s', async (...words) => {
    const text = await ask(words);
    expect(await ask(words, true)).toEqual(text);
  });

  it('tell statistics of a flow that is deleted, and flows of a file', async () => {
    const flow = 'recirc_id(0x77),in_port(4),eth(),eth_type(0x0801)';
    await done('add-flow', 'netdev@dp0', flow, '2');
    const { text } = await ask(['-s', 'del-flow', 'netdev@dp0', flow], true);
    expect(JSON.parse(text)).toEqual({ packets: 0, bytes: 0, used: null, tcpFlags: 0 });
    await done('add-flow', 'netdev@dp0', flow, '2');
    expect(await done('-s', 'del-flow', 'netdev@dp0', flow)).toBe('packets:0, bytes:0, used:never\n');
    writeFileSync(path.join(folder, 'flows'), `add ${flow} 2\n`);
    expect(await ask(['del-flows', 'netdev@dp0'], true)).toEqual({ text: '', failed: false });
    expect(await ask(['add-flows', 'netdev@dp0', path.join(folder, 'flows')], true)).toEqual({
      text: '',
      failed: false,
    });
    expect(JSON.parse((await ask(['dump-flows', 'netdev@dp0', 'filter=recirc_id=0x77'], true)).text)).toMatchObject({
      match: { recircId: 0x77 },
    });
  });

  it('count connections, where there are none', async () => {
    const [text, json] = [await ask(['ct-stats-show']), await ask(['ct-stats-show'], true)];
    expect(json.failed).toBe(text.failed);
    const [error, object] = json.text.split(/(?<=\n)/);
    expect(text.text.startsWith(error!)).toBe(true);
    expectSameInJson(['ct-stats-show'], object!, text.text.slice(error!.length));
  });

  it('are all of them', () => {
    const told = [...SHOWN, ...ALIKE].map((words) => words.find((word) => !word.startsWith('-')));
    const missing = DPCTL_COMMANDS.map(({ name }) => name).filter((name) => !told.includes(name));
    expect(missing.sort()).toEqual(ELSEWHERE);
  });
});
