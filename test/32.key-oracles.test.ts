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
  });
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
  });
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
      // It prints the mask behind the value, or takes it for a mask, as set() has no form for that of a nested attribute. It leaves
      // tun_id out where it finds no mask for it.
      const printed = theirs[index].replace(
        /flags\(\+([a-z+]*)\)/,
        (_, names: string) => `flags(${names.replaceAll('+', '|')})`,
      );
      const shown = text.replace(/^tun_id=[^,]*,/, '');
      const same = [text, shown].some((spelling) => printed.startsWith(`set(encap(tunnel(${spelling})`));
      expect(same, `${text}\n${theirs[index]}`).toBe(true);
      expect(formatTunnel(scanTunnel(new TextScanner(`${text})`)).key)).toBe(text);
      count++;
    }
    console.log(`32.key-oracles: ovs-dpctl: ${count} tunnels compared`);
  });
});

test('dumps of openvswitch.ko (Linux 6.1) come back to the byte', () => {
  const ETH_ANY = 'eth(src=00:00:00:00:00:00/00:00:00:00:00:00,dst=00:00:00:00:00:00/00:00:00:00:00:00)';
  const CT_ANY = 'ct_state(0/0),ct_zone(0/0),ct_mark(0/0),ct_label(0/0)';
  const GENEVE =
    'tunnel(tun_id=0x5,src=1.2.3.4,dst=5.6.7.8,ttl=64,geneve({class=0x102,type=0x80,len=4,0xdeadbeef/0xff00ff00}),flags(-df-csum+key))';
  const VXLAN = 'tunnel(ipv6_src=::1,ipv6_dst=fe80::2,ttl=0,vxlan(gbp(id=5,flags=0x8))';
  for (const text of [
    'recirc_id(0x3),in_port(1),ct_state(-new+trk),ct_zone(0x5/0xff),ct_mark(0x1/0xf),ct_label(0x5/0xff),eth(),eth_type(0x0806),arp(op=1/0xff)',
    `recirc_id(0x2),${VXLAN}),in_port(1),eth(),eth_type(0x86dd),ipv6(proto=17,frag=no),key32(00 00/00 00)`,
    `recirc_id(0x1),${GENEVE},in_port(1),eth(),eth_type(0x0800),ipv4(frag=no)`,
  ]) {
    const { key, mask } = parseKeyAttributes(text);
    expect(formatKeyAttributes(key, mask)).toBe(text);
  }
  for (const text of [
    `recirc_id(0x3),dp_hash(0/0),skb_priority(0/0),in_port(1),skb_mark(0/0),ct_state(0x20/0x21),ct_zone(0x5/0xff),ct_mark(0x1/0xf),ct_label(0x5/0xff),${ETH_ANY},eth_type(0x0806),arp(sip=0.0.0.0/0.0.0.0,tip=0.0.0.0/0.0.0.0,op=1/0xff,sha=00:00:00:00:00:00/00:00:00:00:00:00,tha=00:00:00:00:00:00/00:00:00:00:00:00)`,
    `recirc_id(0x2),dp_hash(0/0),skb_priority(0/0),${VXLAN},flags(0/0)),in_port(1),skb_mark(0/0),${CT_ANY},${ETH_ANY},eth_type(0x86dd),ipv6(src=::/::,dst=::/::,label=0/0,proto=17,tclass=0/0,hlimit=0/0,frag=no),key32(00 00/00 00),udp(src=0/0,dst=0/0)`,
    `recirc_id(0x1),dp_hash(0/0),skb_priority(0/0),${GENEVE},in_port(1),skb_mark(0/0),${CT_ANY},${ETH_ANY},eth_type(0x0800),ipv4(src=0.0.0.0/0.0.0.0,dst=0.0.0.0/0.0.0.0,proto=0/0,tos=0/0,ttl=0/0,frag=no)`,
  ]) {
    const { key, mask } = parseKeyAttributes(text);
    expect(formatKeyAttributes(key, mask, { verbose: true })).toBe(text);
    expect(decodeMatchAttributes(key, mask).fitness).toBe('perfect');
  }
});
