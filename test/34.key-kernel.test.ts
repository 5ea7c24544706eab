/*
 * Typed matches in the real openvswitch.ko: random FlowMatch values become attributes (encodeMatchAttributes) and flows of a kernel in a
 * virtual machine (kernel-vm/boot). It has to accept every one, and what it gives back has to mean the same typed match; and what
 * `ovs-dpctl dump-flows -m` prints of the flows in that kernel has to be what we print. The kernel is a 6.1.
 *
 * SEED sets the seed, KERNEL_FLOWS the number of flows.
 */
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  decodeMatch,
  decodeMatchAttributes,
  encodeMatch,
  encodeMatchAttributes,
  type FlowMatch,
  formatKeyAttributes,
} from '../src/odp/index.ts';
import { dumpedFlows, type FlowAnswer, kernelFlows } from './kernel-vm/flows.ts';
import { whyNoKernel } from './kernel-vm/kernel.ts';
import { seed } from './support/odp.ts';
import { kernelMatch } from './support/odp-kernel.ts';
import { requireProgram } from './support/require.ts';

const COUNT = Number(process.env.KERNEL_FLOWS ?? 4000);
const DUMPED = Math.min(COUNT, 1000);
const DIFFERENCES_SHOWN = 5;

const isPartlyFragment = ({ ipv4, ipv6 }: FlowMatch) => ipv4?.frag?.includes('/') || ipv6?.frag?.includes('/');

/** What must be among the flows, and how often it is. */
const KINDS: Record<string, (typed: FlowMatch) => unknown> = {
  'without a type': ({ ethType }) => ethType === undefined || ethType === 4,
  'one tag': ({ vlan, cvlan }) => typeof vlan === 'object' && typeof cvlan !== 'object',
  'two tags': ({ cvlan }) => typeof cvlan === 'object',
  'IPv6 in two tags': ({ cvlan, ipv6 }) => typeof cvlan === 'object' && ipv6,
  IPv4: ({ ipv4 }) => ipv4,
  IPv6: ({ ipv6 }) => ipv6,
  'IPv6 extension headers': ({ ipv6Exthdrs }) => ipv6Exthdrs,
  'neighbour discovery': ({ nd }) => nd,
  ARP: ({ arp }) => arp,
  'a part of the fragment type': isPartlyFragment,
  'one label': ({ mpls }) => mpls?.length === 1,
  'three labels': ({ mpls }) => mpls?.length === 3,
  'NSH with context': ({ nsh }) => nsh?.mdtype === 1,
  'NSH of type 2': ({ nsh }) => nsh?.mdtype === 2,
  'all of conntrack, IPv4': ({ ctState, ctZone, ctMark, ctLabel, ctTuple4 }) =>
    ctState && ctZone && ctMark && ctLabel && ctTuple4,
  'all of conntrack, IPv6': ({ ctState, ctZone, ctMark, ctLabel, ctTuple6 }) =>
    ctState && ctZone && ctMark && ctLabel && ctTuple6,
  'IPv4 tunnels': ({ tunnel }) => tunnel?.dst?.includes('.'),
  'IPv6 tunnels': ({ tunnel }) => tunnel?.dst?.includes(':'),
  'VXLAN group policy': ({ tunnel }) => tunnel?.vxlanGbp,
  'Geneve options': ({ tunnel }) => tunnel?.geneve,
  'ERSPAN 1': ({ tunnel }) => tunnel?.erspan?.version === 1,
  'ERSPAN 2': ({ tunnel }) => tunnel?.erspan?.version === 2,
};

/** The only port of that datapath. */
const portName = (port: number) => (port === 0 ? 'oracle' : undefined);

const typed = fc.sample(kernelMatch, { seed, numRuns: COUNT });
const flows = typed.map((match) => ({ ...encodeMatchAttributes(encodeMatch(match)), actions: new Uint8Array(0) }));
/** Each in a recirculation of its own, so that no two overlap. Of a part of a fragment type ovs-dpctl has an error to say. */
const dumped = typed
  .filter((match) => !isPartlyFragment(match))
  .slice(0, DUMPED)
  .map((match, index) => {
    const lists = encodeMatchAttributes(encodeMatch({ ...match, recircId: index + 1 }));
    return { ...lists, actions: new Uint8Array(0) };
  });

/** Typed, as it comes back: without what is matched nowhere. */
function canonical(match: FlowMatch): FlowMatch {
  const { key, mask } = encodeMatch(match);
  return decodeMatch(key, mask);
}

const noKernel = whyNoKernel();

describe.skipIf(noKernel)(`typed matches in the kernel (${noKernel ?? `SEED=${seed}`})`, () => {
  let answers: FlowAnswer[];
  const account: string[] = [];
  beforeAll(async () => {
    const kernel = await kernelFlows(flows);
    answers = kernel.answers;
    account.push(`34.key-kernel: SEED=${seed}, ${kernel.summary}`);
  });
  afterAll(() => console.log(account.join('\n')));

  it('are accepted, every one', () => {
    const refused = answers.flatMap(({ errno }, index) =>
      errno === 0 ? [] : [`${errno}: ${formatKeyAttributes(flows[index].key, flows[index].mask)}`],
    );
    account.push(`${answers.length - refused.length} of ${answers.length} accepted`);
    expect(refused.slice(0, DIFFERENCES_SHOWN)).toEqual([]);
    for (const [name, is] of Object.entries(KINDS)) {
      const count = typed.filter(is).length;
      account.push(`  ${String(count).padStart(5)} ${name}`);
      expect(count, name).toBeGreaterThan(0);
    }
  });

  it('come back as the same typed matches', () => {
    let sameBytes = 0;
    for (const [index, { key, mask }] of answers.entries()) {
      const { extra, unknown, missing, ...match } = decodeMatchAttributes(key, mask);
      expect({ extra, unknown, missing }, formatKeyAttributes(key, mask)).toEqual({
        extra: [],
        unknown: [],
        missing: [],
      });
      expect(decodeMatch(match.key, match.mask)).toEqual(canonical(typed[index]));
      const ours = flows[index];
      if (Buffer.compare(key, ours.key) === 0 && Buffer.compare(mask, ours.mask) === 0) sameBytes++;
    }
    account.push(`${answers.length} came back with the same meaning, ${sameBytes} of them to the byte`);
  });

  const noProgram = requireProgram('ovs-dpctl');
  it.skipIf(noProgram)('are printed as ovs-dpctl prints them', async () => {
    const { answers: kept, lines } = await dumpedFlows(dumped);
    expect(kept.every(({ errno }) => errno === 0)).toBe(true);
    expect(lines.size).toBe(dumped.length);
    const differences: string[] = [];
    for (const [index, line] of lines) {
      const { key, mask } = kept[index];
      const ours = formatKeyAttributes(key, mask, { verbose: true, portName });
      const theirs = line.slice(0, line.indexOf(', packets:'));
      if (ours !== theirs) differences.push(`theirs ${theirs}\n   ours ${ours}`);
    }
    account.push(`${lines.size} lines of ovs-dpctl compared, ${differences.length} differ`);
    expect(differences.slice(0, DIFFERENCES_SHOWN)).toEqual([]);
  });
});
