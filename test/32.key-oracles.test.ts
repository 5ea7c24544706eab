/*
 * Keys and masks as Open vSwitch prints and reads them: our text goes into a dummy ovs-vswitchd and into ovs-dpctl; what they print
 * comes back through our parser and printer to the byte, and means what ours meant. SEED sets the seed, CASES the number of matches.
 */
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  decodeMatch,
  decodeMatchAttributes,
  encodeMatch,
  encodeMatchAttributes,
  type FlatMatch,
  type FlowMatch,
  formatKeyAttributes,
  formatMatch,
  parseKeyAttributes,
} from '../src/odp/index.ts';
import { TextScanner } from '../src/odp/scanner.ts';
import { encodeTunnel } from '../src/odp/tunnel.ts';
import { scanTunnel } from '../src/odp/tunnel-scan.ts';
import { formatTunnel } from '../src/odp/tunnel-text.ts';
import { DUMMY_DATAPATH, DummySwitch, whyNoDummySwitch } from './support/dummy-switch.ts';
import { ovsParseActions, seed } from './support/odp.ts';
import { comparable, tunnelKey, tunnelledMatch } from './support/odp-tunnel.ts';
import { requireProgram } from './support/require.ts';

console.log(`32.key-oracles: SEED=${seed}`);
const CASES = Number(process.env.CASES ?? 3000);
const BATCH = 250;
const DIFFERENCES_SHOWN = 5;

/** The key of a line of dump-flows. */
function keyOf(line: string): string {
  return line.slice(0, line.indexOf(', packets:'));
}

/** Bits of the labels' bottom flag as a whole stack has them. */
function wholeStack(labels: FlowMatch['mpls']): FlowMatch['mpls'] {
  return labels?.map((entry, index) => ({ ...entry, bos: index + 1 === labels.length ? 1 : 0 }));
}

/** Open vSwitch has eight bits of conntrack state, so that its whole mask is 0xff. */
function eightBits(state: NonNullable<FlowMatch['ctState']>): FlowMatch['ctState'] {
  return typeof state === 'number'
    ? { value: state, mask: 0xff }
    : { value: state.value & 0xff, mask: state.mask & 0xff };
}

/** A tunnel field that is zero in the key has no attribute there, so that no dump shows its mask. */
function withoutZeros(tunnel: NonNullable<FlowMatch['tunnel']>): FlowMatch['tunnel'] {
  const { vxlanGbp, gtpu, ...fields } = tunnel;
  const isZero = (value: unknown): boolean => {
    if (typeof value === 'object' && value !== null) return isZero((value as { value: unknown }).value);
    return value === 0 || (typeof value === 'string' && /^[0.:]+(\/|$)/.test(value));
  };
  const kept = Object.entries(fields).filter(([name, value]) => name === 'ttl' || name === 'id' || !isZero(value));
  return {
    ...Object.fromEntries(kept),
    ...(vxlanGbp === undefined || vxlanGbp.id === 0 ? {} : { vxlanGbp }),
    ...(gtpu === undefined || gtpu.flags === 0 || gtpu.msgtype === 0 ? {} : { gtpu }),
  };
}

/** A tunnel whose values have only the bits that are matched. */
function masked(tunnel: NonNullable<FlowMatch['tunnel']>): NonNullable<FlowMatch['tunnel']> {
  const { key, mask } = encodeMatch({ tunnel });
  return decodeMatch(key, mask).tunnel!;
}

/** A match that the datapath takes: one port, each flow in a recirculation of its own, so that no two overlap. */
function installable(typed: FlowMatch, recircId: number): FlowMatch {
  const { packetType, dpHash, igmp, mpls, ...rest } = comparable(typed);
  return {
    ...rest,
    ...(mpls === undefined ? {} : { mpls: wholeStack(mpls) }),
    ...(rest.ctState === undefined ? {} : { ctState: eightBits(rest.ctState) }),
    ...(rest.tunnel === undefined ? {} : { tunnel: withoutZeros(masked(rest.tunnel)) }),
    inPort: 1,
    recircId,
  };
}

/** Fields whose values Open vSwitch 3.1 does not take as text, or prints otherwise: NSH, frames without a type, ERSPAN masks, ARP operation 255. */
function isTaken(typed: FlowMatch): boolean {
  const operation = typeof typed.arp?.op === 'object' ? typed.arp.op.value : typed.arp?.op;
  const { nsh, ethType, tunnel } = typed;
  return nsh === undefined && ethType !== 0x0004 && tunnel?.erspan === undefined && operation !== 255;
}

/** Text with every attribute of the key, matched or not: ovs-dpctl wants them all. It has no name for extension headers. */
function wholeText(flat: FlatMatch): string {
  const { key, mask } = encodeMatchAttributes(flat);
  return formatKeyAttributes(key, mask, { verbose: true }).replace(/,key32\([^)]*\)/, '');
}

interface Compared {
  lines: number;
  differences: string[];
}

function compare(line: string, ours: FlatMatch, verbose: boolean, compared: Compared): void {
  const text = keyOf(line);
  const lists = parseKeyAttributes(text, { portNumber: (name) => (name === 'p1' ? 1 : undefined) });
  const portName = (port: number) => (port === 1 ? 'p1' : undefined);
  const printed = formatKeyAttributes(lists.key, lists.mask, { verbose, ...(verbose ? { portName } : {}) });
  const key = text.replace(/^ufid:[^,]*, /, '');
  compared.lines++;
  if (printed !== key) compared.differences.push(`printed ${printed}\n   dump ${key}`);
  const theirs = decodeMatchAttributes(lists.key, lists.mask);
  const meaning = formatMatch(theirs.key, theirs.mask).replace(/packet_type\(ns=0,id=0\),/, '');
  if (meaning !== formatMatch(ours.key, ours.mask)) {
    compared.differences.push(`theirs means ${meaning}\n   ours means ${formatMatch(ours.key, ours.mask)}`);
  }
}

function report(name: string, compared: Compared): void {
  console.log(`32.key-oracles: ${name}: ${compared.lines} lines compared`);
  expect(compared.differences.slice(0, DIFFERENCES_SHOWN)).toEqual([]);
}

const noSwitch = whyNoDummySwitch();

describe.skipIf(noSwitch)('a dummy ovs-vswitchd', () => {
  let dummy: DummySwitch;
  beforeAll(async () => {
    dummy = await DummySwitch.start();
  }, 60_000);
  afterAll(() => dummy.stop());

  test('prints what we print, and means what we mean', async () => {
    const typed = fc.sample(tunnelledMatch.filter(isTaken), { seed, numRuns: CASES });
    const compared: Compared = { lines: 0, differences: [] };
    const refused: string[] = [];
    for (let start = 0; start < typed.length; start += BATCH) {
      const matches = typed
        .slice(start, start + BATCH)
        .map((entry, index) => encodeMatch(installable(entry, index + 1)));
      for (const flat of matches) {
        const text = wholeText(flat);
        await dummy
          .call('dpctl/add-flow', DUMMY_DATAPATH, text, '2')
          .catch((error) => refused.push(`${error} ${text}`));
      }
      for (const options of [[], ['-m']]) {
        const dump = await dummy.call('dpctl/dump-flows', ...options, DUMMY_DATAPATH);
        for (const line of dump.split('\n').filter((entry) => entry.includes(', packets:'))) {
          const recirc = Number(/recirc_id\((0x[0-9a-f]+)\)/.exec(line)![1]);
          compare(line, matches[recirc - 1], options.length > 0, compared);
        }
      }
      await dummy.call('dpctl/del-flows', DUMMY_DATAPATH);
    }
    expect(refused.slice(0, DIFFERENCES_SHOWN)).toEqual([]);
    report('dummy ovs-vswitchd', compared);
  }, 120_000);
});

describe.skipIf(requireProgram('ovs-dpctl'))('ovs-dpctl', () => {
  test('prints tunnels as we do', () => {
    // It takes no group policy of zero.
    const taken = tunnelKey.filter(({ vxlanGbp }) => vxlanGbp === undefined || vxlanGbp.id + vxlanGbp.flags > 0);
    const texts = fc.sample(taken, { seed, numRuns: CASES }).map((tunnel) => {
      const { key } = encodeMatch({ tunnel });
      return formatTunnel(encodeTunnel(key, key));
    });
    const theirs = ovsParseActions(texts.map((text) => `set(encap(tunnel(${text})))`));
    expect(theirs.length).toBe(texts.length);
    let count = 0;
    for (const [index, text] of texts.entries()) {
      // What it prints behind the value is its mask, which a set() of a nested attribute cannot have.
      // It leaves tun_id out where it finds no mask for it.
      const shown = text.replace(/^tun_id=[^,]*,/, '');
      const same = [text, shown].some((spelling) => theirs[index].startsWith(`set(encap(tunnel(${spelling})`));
      expect(same, `${text}\n${theirs[index]}`).toBe(true);
      expect(formatTunnel(scanTunnel(new TextScanner(`${text})`)).key)).toBe(text);
      count++;
    }
    console.log(`32.key-oracles: ovs-dpctl: ${count} tunnels compared`);
  });
});
