/*
 * Keys and masks from their attributes: back from what the writer made of the keys of random frames, the rules with the
 * attribute that each refusal names, metadata alone, and lists that are no lists. The kernel's own word on all of it is in
 * 63.kernel-flows.test.ts. In both builds. SEED sets the seed, CASES the number of random keys.
 *
 * Law: whatever the bytes are, nothing is read outside of them (the answer does not depend on what lies around them, and one of
 * the lists ends where the memory ends) and nothing traps.
 */
import { beforeAll, describe, expect, it } from 'vitest';
import * as K from '../assembly/constants.ts';
import { referenceExtractAll } from './reference/extract.ts';
import { ActionsInstance, type Build, compileActions, type Match } from './support/actions-wasm.ts';
import { type Attr, attr, bendBytes, encode, nest } from './support/attribute-tree.ts';
import { randomFlows } from './support/flow-cases.ts';
import { frames, Random } from './support/frame-generator.ts';

const SEED = Number(process.env.SEED ?? Math.floor(Math.random() * 4294967296));
const CASES = Number(process.env.CASES ?? 4000);

const caseCount = (build: Build) => (build === 'debug' ? Math.ceil(CASES / 4) : CASES);
const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');
const zeros = (size: number) => new Uint8Array(size);

const ETHERNET = attr(4, [2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2]);
const type = (value: number) => attr(6, [value >>> 8, value & 255]);
const tci = (value: number) => attr(5, [value >>> 8, value & 255]);
const ipv4 = (proto: number, frag = 0) => attr(7, [10, 0, 0, 1, 10, 0, 0, 2, proto, 0, 64, frag]);
const ipv6 = (proto: number, label = 0) => attr(8, [...zeros(33), label, 0, 0, proto, 0, 64, 0]);
const UDP = attr(10, [0, 1, 0, 2]);
const udp4 = [ETHERNET, type(0x0800), ipv4(17), UDP];
const nd = [ETHERNET, type(0x86dd), ipv6(58), attr(12, [135, 0]), attr(14, zeros(28))];
const tunnel = (...inner: Attr[]) => [nest(16, inner), ETHERNET];
const DST = attr(2, [1, 2, 3, 4]);
const TTL = attr(4, [64]);

/** Keys without a mask: 'ok', the type of the attribute at fault, or '-' and the type of the one that is missing. */
const KEYS: [string, Attr[], string][] = [
  ['UDP', udp4, 'ok'],
  ['UDP without ports', udp4.slice(0, 3), '-10'],
  ['UDP without ports of a later fragment', [ETHERNET, type(0x0800), ipv4(17, 2)], 'ok'],
  ['fragment type 3', [ETHERNET, type(0x0800), ipv4(17, 3), UDP], '7'],
  ['IPv4 without its header', [ETHERNET, type(0x0800)], '-7'],
  ['TCP without flags', [ETHERNET, type(0x0800), ipv4(6), attr(9, zeros(4))], '-18'],
  ['nothing', [], '-4'],
  ['no Ethernet header', udp4.slice(1), 'ok'],
  ['802.2', [ETHERNET], 'ok'],
  ['a length for a type', [ETHERNET, type(0x05ff)], '6'],
  ['the smallest type', [ETHERNET, type(0x0600)], 'ok'],
  ['twice', [...udp4, UDP], '10'],
  ['type 33', [...udp4, attr(33, zeros(4))], '33'],
  ['packet_type', [...udp4, attr(29, zeros(4))], '29'],
  ['a short port', [attr(3, zeros(3)), ...udp4], '3'],
  ['port 65534', [attr(3, [254, 255, 0, 0]), ...udp4], 'ok'],
  ['port 65535', [attr(3, [255, 255, 0, 0]), ...udp4], '3'],
  ['ct_state bit 8', [attr(22, [0, 1, 0, 0]), ...udp4], '22'],
  ['a tag', [ETHERNET, type(0x8100), tci(0x1005), nest(1, udp4.slice(1))], 'ok'],
  ['a tag without CFI', [ETHERNET, type(0x8100), tci(5), nest(1, udp4.slice(1))], '5'],
  ['a tag without ENCAP', [ETHERNET, type(0x8100), tci(0x1005)], '-1'],
  ['a tag without TCI', [ETHERNET, type(0x8100), nest(1, [])], '-5'],
  ['a cut tag with something behind', [ETHERNET, type(0x8100), tci(0), nest(1, udp4.slice(1))], '1'],
  ['a cut tag, and no mask', [ETHERNET, type(0x8100), tci(0), nest(1, [])], '5'],
  [
    'two tags',
    [ETHERNET, type(0x88a8), tci(0x1005), nest(1, [type(0x8100), tci(0x1006), nest(1, [type(0x0600)])])],
    'ok',
  ],
  ['VLAN without a tag', [ETHERNET, type(0x0800), tci(0x1005), ipv4(17), UDP], '5'],
  ['ENCAP without a tag', [ETHERNET, nest(1, udp4.slice(1))], '1'],
  ['outside and inside of ENCAP', [ETHERNET, type(0x8100), tci(0x1005), UDP, nest(1, udp4.slice(1))], '10'],
  ['a label of 20 bits', [ETHERNET, type(0x86dd), ipv6(59, 0x0f)], 'ok'],
  ['a label of 21 bits', [ETHERNET, type(0x86dd), ipv6(59, 0x10)], '8'],
  ['neighbour discovery', nd, 'ok'],
  ['neighbour discovery without ND', nd.slice(0, 4), '-14'],
  ['three labels', [ETHERNET, type(0x8847), attr(21, zeros(12))], 'ok'],
  ['four labels', [ETHERNET, type(0x8847), attr(21, zeros(16))], '21'],
  ['no label', [ETHERNET, type(0x8847), attr(21, [])], '21'],
  ['half a label', [ETHERNET, type(0x8847), attr(21, zeros(6))], '21'],
  ['ARP', [ETHERNET, type(0x0806), attr(13, zeros(24))], 'ok'],
  ['an opcode of 16 bits', [ETHERNET, type(0x0806), attr(13, zeros(24).fill(1, 8, 9))], '13'],
  [
    'NSH of type 2 with metadata of type 1',
    [ETHERNET, type(0x894f), nest(28, [attr(1, [0, 0, 2, 0, 0, 0, 0, 0]), attr(2, zeros(16))])],
    '28',
  ],
  ['NSH with metadata of type 2', [ETHERNET, type(0x894f), nest(28, [attr(3, zeros(4))])], '3'],
  ['a tunnel', tunnel(DST, TTL), 'ok'],
  ['a tunnel to nowhere', tunnel(attr(2, zeros(4)), TTL), '16'],
  ['a tunnel without a TTL', tunnel(DST), '16'],
  ['a tunnel of both families', tunnel(DST, TTL, attr(13, zeros(16))), '16'],
  ['a tunnel with two kinds of options', tunnel(DST, TTL, attr(8, zeros(4)), nest(11, [])), '11'],
  ['Geneve options of 252 bytes', tunnel(DST, TTL, attr(8, zeros(252))), 'ok'],
  ['Geneve options of 256 bytes', tunnel(DST, TTL, attr(8, zeros(256))), '8'],
  ['Geneve options of 6 bytes', tunnel(DST, TTL, attr(8, zeros(6))), '8'],
  ['an information bridge', tunnel(attr(0, zeros(8)), attr(16, [])), 'ok'],
  ['an information bridge with a flag', tunnel(attr(6, []), attr(16, [])), '16'],
];

const ALL = (...list: Attr[]) =>
  list.map((a) => attr(a.type, new Uint8Array((a.payload as Uint8Array).length).fill(255)));

/** Masks of a UDP key, and what becomes of them. */
const MASKS: [string, Attr[], string][] = [
  ['nothing', [], 'ok'],
  ['everything', ALL(...udp4), 'ok'],
  ['a header without its type', ALL(ipv4(0), UDP), '7'],
  ['a header without a zero type', [attr(6, [0, 0]), ...ALL(ipv4(0))], '7'],
  ['ports without the protocol', [...ALL(type(0)), ...ALL(UDP)], '10'],
  ['zeroes of what the key lacks', [attr(9, zeros(4)), attr(13, zeros(24))], 'ok'],
  ['what the key lacks', [...ALL(...udp4), attr(15, [1, 0, 0, 0])], '15'],
  ['a port and a tunnel that the key lacks', [attr(3, [1, 0, 0, 0]), nest(16, [attr(4, [255])])], 'ok'],
  ['a tag that the key lacks', [...ALL(ETHERNET, type(0)), tci(0xffff), nest(1, ALL(type(0)))], '1'],
];

describe.each<Build>(['debug', 'release'])('key decoder, %s build', (build) => {
  let instance: ActionsInstance;
  beforeAll(async () => {
    instance = new ActionsInstance(await compileActions(build));
  });

  function told(match: Match, key: Uint8Array, mask: Uint8Array): string {
    if (match.status === 0) return 'ok';
    expect(match.status).toBe(-K.EINVAL);
    if (match.missing !== 0) return `-${match.missing}`;
    const list = match.fault?.list === 'key' ? key : mask;
    return match.fault === undefined ? 'nothing' : String(list[match.fault.offset + 2]);
  }

  it.each(KEYS)('%s', (_name, attrs, wanted) => {
    const list = encode(attrs);
    expect(told(instance.parseMatch(list), list, list)).toBe(wanted);
  });

  it.each(MASKS)('a mask of %s', (_name, attrs, wanted) => {
    const [key, mask] = [encode(udp4), encode(attrs)];
    expect(told(instance.parseMatch(key, mask), key, mask)).toBe(wanted);
  });

  it('matches all that a key without a mask says, and no more', () => {
    const { key, mask } = instance.parseMatch(encode([attr(3, [5, 0, 0, 0]), ...udp4]));
    const matched = (at: number, size: number) => hex(mask.subarray(at, at + size));
    expect(matched(K.KEY_IN_PORT, 4)).toBe('ffffffff');
    expect(matched(K.KEY_ETH_DST, 16)).toBe('ff'.repeat(16)); // addresses, type, and that there is no tag
    expect(matched(K.KEY_IPV4_SRC, 8)).toBe('ff'.repeat(8));
    expect(matched(K.KEY_IP_PROTO, 8)).toBe('ff'.repeat(8));
    expect(matched(K.KEY_TCP_FLAGS, 2)).toBe('0000');
    expect(matched(K.KEY_RECIRC_ID, 4)).toBe('00000000');
    expect(matched(K.KEY_SKB_PRIORITY, K.KEY_PACKET_TYPE - K.KEY_SKB_PRIORITY)).toMatch(/^0*$/);
    expect(hex(key.subarray(K.KEY_ETH_TYPE, K.KEY_ETH_TYPE + 2))).toBe('0800');
  });

  it(`reads back what was written of ${caseCount(build)} frames, SEED=${SEED}`, () => {
    const source = frames(SEED);
    for (let index = 0; index < caseCount(build); index++) {
      const { key } = referenceExtractAll(source.next().value, index % 100);
      const list = instance.putKey(key, undefined, 1024).bytes!;
      const exact = new Uint8Array(K.KEY_SIZE).fill(255);
      const maskList = instance.putKey(key, exact, 1024).bytes!;
      const match = instance.parseMatch(list, maskList);
      // A tag cut off by the end of the frame, or a third one whose type nothing follows, is a key that nobody can give.
      if (match.status !== 0) continue;
      expect(hex(instance.putKey(match.key, undefined, 1024).bytes!)).toBe(hex(list));
      const maskAgain = instance.putKey(match.key, match.mask, 1024).bytes!;
      const again = instance.parseMatch(list, maskAgain);
      expect(again.status).toBe(0);
      expect(hex(again.mask)).toBe(hex(match.mask));
    }
  });

  it(`gives the same answer whatever lies around ${caseCount(build)} lists, SEED=${SEED}`, () => {
    const random = new Random(SEED);
    const flows = randomFlows(SEED, Math.ceil(caseCount(build) / 4), 'key');
    let accepted = 0;
    for (let index = 0; index < caseCount(build); index++) {
      const flow = flows[index % flows.length]!;
      const key = random.oneIn(2) ? flow.key : bendBytes(random, flow.key);
      const mask = flow.mask && (random.oneIn(2) ? flow.mask : bendBytes(random, flow.mask));
      const [one, two] = [instance.parseMatch(key, mask, 'key', 0xa5), instance.parseMatch(key, mask, 'mask', 0x5a)];
      expect(two).toEqual(one);
      expect([0, -K.EINVAL]).toContain(one.status);
      if (one.status === 0) accepted++;
    }
    expect(accepted).toBeGreaterThan(caseCount(build) / 20);
  });
});
