/*
 * wdp parse-actions and wdp parse-key: lines beside those of ovs-dpctl, every form in and out, exit status and what a mistake gets.
 */
import { describe, expect, test } from 'vitest';
import { VECTORS } from './support/action-vectors.ts';
import { expectOneLine, runCli } from './support/cli.ts';
import { dpctlParseActions } from './support/dpctl.ts';
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
    expect(digits.status).toBe(2);
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
