/*
 * wdp parse-actions, parse-key and normalize-actions: lines beside those of ovs-dpctl, every form in and out, exit status and what a mistake gets.
 * SEED sets the seed.
 */
import { spawnSync } from 'node:child_process';
import { Writable } from 'node:stream';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { printNormalized } from '../src/cli/odp.ts';
import { hexBytes } from '../src/odp/hex.ts';
import {
  type Action,
  encodeActions,
  encodeKey,
  formatActions,
  formatKey,
  parseActions,
  parseKeyAttributes,
} from '../src/odp/index.ts';
import { VECTORS } from './support/action-vectors.ts';
import { expectOneLine, runCli } from './support/cli.ts';
import { asRead, dpctlParseActions } from './support/dpctl.ts';
import { plainKey, seed } from './support/odp.ts';
import { dpctlAction } from './support/odp-actions.ts';
import { requireProgram } from './support/require.ts';

const wdp = (...args: string[]) => runCli(args, process.cwd());
const noDpctl = requireProgram('ovs-dpctl');

describe('parse-actions', () => {
  test('text, JSON and attributes of every action', async () => {
    const texts = VECTORS.map(([text]) => text);
    const attributes = VECTORS.map(([, hex]) => hex.replaceAll(' ', ''));
    const [same, hex, back, json] = await Promise.all([
      wdp('parse-actions', ...texts),
      wdp('parse-actions', '--hex', ...texts),
      wdp('parse-actions', '--attributes', ...attributes),
      wdp('parse-actions', '--json', ...texts),
    ]);
    for (const { status, stderr } of [same, hex, back, json]) expect([status, stderr]).toEqual([0, '']);
    expect(same.stdout.trimEnd().split('\n')).toEqual(texts);
    expect(hex.stdout.trimEnd().split('\n')).toEqual(attributes);
    expect(back.stdout).toBe(same.stdout);
    expect(JSON.parse(json.stdout.split('\n')[0])).toEqual([{ type: 'recirc', id: 16 }]);
  });

  test.skipIf(noDpctl)('other spellings as ovs-dpctl', async () => {
    const texts = [
      'drop',
      '1 2,0x10',
      'userspace(pid=5)',
      'ct(zone=0,mark=1/0)',
      'set(ipv4(ttl=010))',
      'push_nsh()',
      'clone(1)',
    ];
    const { stdout, status } = await wdp('parse-actions', ...texts);
    expect(status).toBe(0);
    expect(stdout.trimEnd().split('\n')).toEqual(dpctlParseActions(texts));
  });

  test('mistakes', async () => {
    const [syntax, attribute, digits, both] = await Promise.all([
      wdp('parse-actions', 'clone(1,nosuch)'),
      wdp('parse-actions', '--attributes', '0800010001'),
      wdp('parse-actions', '--attributes', '08x0'),
      wdp('parse-actions', '--json', '--hex', '1'),
    ]);
    expect(syntax.status).toBe(1);
    expect(expectOneLine(syntax)).toMatch(/position 8/);
    expect(attribute.status).toBe(1);
    expect(expectOneLine(attribute)).toMatch(/at byte 0: length 8 of 5/);
    expect(digits.status).toBe(1);
    expect(expectOneLine(digits)).toMatch(/position 2/);
    expect(both.status).toBe(2);
    expectOneLine(both);
  });
});

describe('parse-key', () => {
  const KEY = 'in_port(1),eth(src=00:00:00:00:00:01),eth_type(0x0800),ipv4(dst=10.0.0.0/255.0.0.0,frag=no)';

  test('text, JSON and attributes', async () => {
    const [text, hex, json] = await Promise.all([
      wdp('parse-key', KEY),
      wdp('parse-key', '--hex', KEY),
      wdp('parse-key', '--json', KEY),
    ]);
    expect(text).toMatchObject({ status: 0, stdout: `${KEY}\n` });
    const back = await wdp('parse-key', '--attributes', hex.stdout.trim());
    expect(back).toMatchObject({ status: 0, stdout: `${KEY}\n` });
    expect(JSON.parse(json.stdout)).toMatchObject({
      fitness: 'perfect',
      match: { inPort: 1, ethType: 0x800, ipv4: { dst: '10.0.0.0/255.0.0.0', frag: 'no' } },
    });
  });

  test('mistakes', async () => {
    const result = await wdp('parse-key', 'in_port(1),nosuch(2)');
    expect(result.status).toBe(1);
    expect(expectOneLine(result)).toMatch(/position 11/);
  });
});

describe('normalize-actions', () => {
  const FLOW = 'in_port(1),eth(src=00:00:00:00:00:01,dst=00:00:00:00:00:02),eth_type(0x0800)';
  const WHOLE = `${FLOW},ipv4(src=1.2.3.4,dst=1.2.3.5,proto=0,tos=0,ttl=64,frag=no)`;
  const ACTIONS = 'p3,2,push_vlan(vid=1,pcp=0),5,4,pop_vlan,1';

  test('as ovs-dpctl, with names of ports', async () => {
    const group = 'no vlan: no mpls: 1,2,3vlan(vid=1,pcp=0): no mpls: 4,5';
    const { stdout, status } = await wdp('normalize-actions', WHOLE, ACTIONS, 'p3=3');
    expect(status).toBe(0);
    expect(stdout).toBe(`input flow: ${WHOLE}\n${group}`);
    const more = await wdp('normalize-actions', '-m', WHOLE, ACTIONS, 'p3=3');
    expect(more.stdout).toBe(`input flow: ${WHOLE}\ninput actions: ${ACTIONS.replace('p3', '3')}\n${group}`);
  });

  test('attributes in, and as attributes or JSON out', async () => {
    const [flow, list] = [
      hexBytes(parseKeyAttributes(WHOLE).key),
      hexBytes(encodeActions(parseActions('2,push_vlan(vid=1,pcp=0),4,pop_vlan,1'))),
    ];
    const [text, hex, json] = await Promise.all(
      [[], ['--hex'], ['--json', '-m']].map((form) => wdp('normalize-actions', '--attributes', ...form, flow, list)),
    );
    expect(text.stdout).toBe(`input flow: ${WHOLE}\nno vlan: no mpls: 1,2vlan(vid=1,pcp=0): no mpls: 4`);
    const group = (...ports: number[]) => hexBytes(encodeActions(ports.map((port) => ({ type: 'output', port }))));
    expect(hex.stdout).toBe(
      `input flow: ${flow}\nno vlan: no mpls: ${group(1, 2)}\nvlan(vid=1,pcp=0): no mpls: ${group(4)}\n`,
    );
    expect(JSON.parse(json.stdout)).toMatchObject({
      flow: { inPort: 1 },
      actions: [{ type: 'output', port: 2 }, { type: 'pushVlan' }, { type: 'output', port: 4 }, {}, { port: 1 }],
      groups: [
        { tags: [], actions: [{ port: 1 }, { port: 2 }] },
        { tags: [{ tpid: 0x8100, vid: 1, pcp: 0 }], actions: [{ type: 'output', port: 4 }] },
      ],
    });
  });

  test('mistakes', async () => {
    const [flow, actions, name] = await Promise.all([
      wdp('normalize-actions', FLOW, '1'),
      wdp('normalize-actions', WHOLE, 'nosuch'),
      wdp('normalize-actions', WHOLE, '1', 'p1'),
    ]);
    expect(flow).toMatchObject({ status: 1, stdout: `input flow: ${FLOW}\n` });
    expect(flow.stderr).toMatch(/^wdp: .* without ipv4\n$/);
    expect(actions).toMatchObject({ status: 1, stdout: `input flow: ${WHOLE}\n` });
    expect(actions.stderr).toMatch(/^wdp: .*position 0,.*\n$/);
    expect(name.status).toBe(2);
    expect(expectOneLine(name)).toMatch(/NAME=NUMBER/);
  });

  test.skipIf(noDpctl)('prints what ovs-dpctl prints for random flows and actions', () => {
    const vlan = fc.record({
      type: fc.constant('pushVlan' as const),
      tpid: fc.constantFrom(0x8100, 0x88a8, 0x9100),
      vid: fc.nat(3),
      pcp: fc.nat(1),
      cfi: fc.boolean(),
    });
    const output = fc.record({ type: fc.constant('output' as const), port: fc.nat(20) });
    const action: fc.Arbitrary<Action> = fc.oneof(
      { weight: 6, arbitrary: output },
      { weight: 3, arbitrary: vlan },
      { weight: 3, arbitrary: fc.constant<Action>({ type: 'popVlan' }) },
      { weight: 1, arbitrary: dpctlAction },
    );
    const cases = fc.sample(fc.tuple(plainKey, fc.array(action, { maxLength: 20 }), fc.boolean()), {
      seed,
      numRuns: 1500,
    });
    for (const [key, list, more] of cases) {
      const mpls = key.mpls?.map((entry, index, labels) => ({ ...entry, bos: index + 1 === labels.length ? 1 : 0 }));
      const flow = formatKey(encodeKey(mpls === undefined ? key : { ...key, mpls }));
      const actions = list.length === 0 ? '' : asRead(formatActions(list));
      const args = [...(more ? ['-m'] : []), 'normalize-actions', flow, actions];
      const theirs = spawnSync('ovs-dpctl', args, { encoding: 'utf8' });
      expect(theirs.status, `SEED=${seed} ${args.join(' ')}: ${theirs.stderr}`).toBe(0);
      expect(normalized(flow, actions, more), `SEED=${seed} ${args.join(' ')}`).toBe(theirs.stdout);
    }
    console.log(
      `82.cli-odp: SEED=${seed}, ${cases.length} flows with actions are printed as ovs-dpctl normalize-actions does`,
    );
  });
});

/** What printNormalized prints. */
function normalized(flow: string, actions: string, more: boolean): string {
  let printed = '';
  const out = new Writable({
    write: (chunk: Buffer, _encoding, done) => {
      printed += chunk.toString();
      done();
    },
  });
  printNormalized(flow, actions, [], { more }, out);
  return printed;
}
