/*
 * parseMetadata and checkTuple alone: what the key of OVS_PACKET_CMD_EXECUTE says about a packet besides its headers. Random lists are
 * compared with the typed codec, the rules with the attribute that each refusal names; the kernel's own word is in 47.kernel-packet.test.ts.
 * In both builds. SEED sets the seed, CASES the number of lists.
 *
 * Law: whatever the bytes are, nothing is read outside of them (the list ends where the memory ends, and what lies before it does not
 * matter) and nothing traps.
 */
import { beforeAll, describe, expect, it } from 'vitest';
import * as K from '../assembly/constants.ts';
import { decodeKeyAttributes, OdpAttributeError } from '../src/odp/index.ts';
import { attempt } from './fuzz/odp-keys.ts';
import { ActionsInstance, type Build, compileActions, type Match } from './support/actions-wasm.ts';
import { type Attr, attr, bendBytes, encode, nest } from './support/attribute-tree.ts';
import { randomKey } from './support/flow-generator.ts';
import { Random } from './support/frame-generator.ts';

const SEED = Number(process.env.SEED ?? Math.floor(Math.random() * 4294967296));
const CASES = Number(process.env.CASES ?? 3000);

const zeros = (size: number) => new Uint8Array(size);
const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');
const ETHERNET = attr(4, [2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2]);
const type = (value: number) => attr(6, [value >>> 8, value & 255]);
const TUPLE4 = attr(26, [10, 0, 0, 1, 10, 0, 0, 2, 0, 1, 0, 2, 17, 0, 0, 0]);
const TUPLE6 = attr(27, new Uint8Array(40).fill(7));
const [ETH_P_IP, ETH_P_IPV6, ETH_P_ARP] = [0x0800, 0x86dd, 0x0806];
/** OVS_KEY_ATTR_* that are metadata. */
const METADATA: ReadonlySet<number> = new Set([2, 3, 15, 16, 19, 20, 22, 23, 24, 25, 26, 27]);

/** Lists, and the answer: 'ok' or the type of the attribute at fault. */
const LISTS: [string, Attr[], string][] = [
  ['nothing', [], 'ok'],
  ['a port', [attr(3, [1, 0, 0, 0])], 'ok'],
  ['port 65534', [attr(3, [254, 255, 0, 0])], 'ok'],
  ['port 65535', [attr(3, [255, 255, 0, 0])], '3'],
  ['port 65536', [attr(3, [0, 0, 1, 0])], '3'],
  ['a short port', [attr(3, zeros(2))], '3'],
  ['a mark twice', [attr(15, zeros(4)), attr(15, zeros(4))], '15'],
  ['a state with a bit that is none', [attr(22, [0, 1, 0, 0])], '22'],
  ['every bit of a state', [attr(22, [255, 0, 0, 0])], 'ok'],
  ['headers that do not belong together', [attr(9, zeros(4)), attr(13, zeros(24)), attr(5, [0, 5])], 'ok'],
  ['a header of a wrong size', [attr(7, zeros(11))], '7'],
  ['a tag with anything in it', [nest(1, [attr(60, zeros(3))])], 'ok'],
  ['a tunnel to nowhere', [nest(16, [attr(4, [64])])], '16'],
  ['a tunnel', [nest(16, [attr(2, [1, 2, 3, 4]), attr(4, [64])])], 'ok'],
  ['packet_type', [attr(29, zeros(4))], '29'],
  ['type 33', [attr(33, zeros(4))], '33'],
  ['a type and no Ethernet header', [type(ETH_P_IP)], 'ok'],
  ['a length for a type, and no Ethernet header', [type(0x05ff)], '6'],
  ['a length for a type behind an Ethernet header', [ETHERNET, type(0x05ff)], 'ok'],
];

/** A tuple, the type of the packet, and what checkTuple says. */
const TUPLES: [string, Attr[], number, string][] = [
  ['none', [], ETH_P_ARP, 'ok'],
  ['IPv4 of an IPv4 packet', [TUPLE4], ETH_P_IP, 'ok'],
  ['IPv4 of an IPv6 packet', [TUPLE4], ETH_P_IPV6, '26'],
  ['IPv6 of an IPv6 packet', [TUPLE6], ETH_P_IPV6, 'ok'],
  ['IPv6 of an IPv4 packet', [TUPLE6], ETH_P_IP, '27'],
  ['IPv4 of neither', [TUPLE4], ETH_P_ARP, '26'],
  ['IPv6 of neither', [TUPLE6], ETH_P_ARP, '27'],
  ['both of an IPv6 packet', [TUPLE6, TUPLE4], ETH_P_IPV6, '26'],
  ['both of an IPv4 packet', [TUPLE6, TUPLE4], ETH_P_IP, '27'],
];

describe.each<Build>(['debug', 'release'])('metadata, %s build', (build) => {
  let instance: ActionsInstance;
  beforeAll(async () => {
    instance = new ActionsInstance(await compileActions(build));
  });

  function told(status: number, { fault }: Match, list: Uint8Array): string {
    if (status === 0) return 'ok';
    expect(status).toBe(-K.EINVAL);
    return fault === undefined ? 'nothing' : String(list[fault.offset + 2]);
  }

  it.each(LISTS)('%s', (_name, attrs, wanted) => {
    const list = encode(attrs);
    const match = instance.parseMetadata(list);
    expect(told(match.status, match, list)).toBe(wanted);
    expect(match.missing).toBe(0);
  });

  it.each(TUPLES)('the tuple %s', (_name, attrs, ethType, wanted) => {
    const list = encode(attrs);
    const match = instance.parseMetadata(list, ethType);
    expect(match.status).toBe(0);
    expect(told(match.tuple, match, list)).toBe(wanted);
  });

  it('of a packet without an Ethernet header is its type', () => {
    const packetType = (...list: Attr[]) => {
      return hex(instance.parseMetadata(encode(list)).key.subarray(K.KEY_PACKET_TYPE, K.KEY_PACKET_TYPE + 4));
    };
    expect(packetType(type(ETH_P_IPV6))).toBe('000186dd');
    expect(packetType(ETHERNET, type(ETH_P_IPV6))).toBe('00000000');
    expect(packetType(ETHERNET)).toBe('00000000');
    expect(packetType()).toBe('00000000');
  });

  it(`of ${CASES} lists is what the typed codec reads, SEED=${SEED}`, () => {
    const random = new Random(SEED);
    let compared = 0;
    for (let index = 0; index < CASES; index++) {
      const some = randomKey(random).attrs.filter((one) => METADATA.has(one.type) && !random.oneIn(4));
      const tuple = some.find((one) => one.type === 26 || one.type === 27);
      const attrs = some.filter((one) => one === tuple || (one.type !== 26 && one.type !== 27));
      const list = encode([...attrs, ETHERNET, type(0x9999)]);
      const { status, key } = instance.parseMetadata(list);
      if (status !== 0) continue;
      // an information bridge is the kernel's alone
      const decoded = attempt(OdpAttributeError, () => decodeKeyAttributes(list));
      if (decoded === undefined || decoded.unknown.length > 0) continue;
      const typed = decoded.key;
      for (const [at, size] of [
        [K.KEY_ETH_SRC, 6],
        [K.KEY_ETH_DST, 6],
        [K.KEY_ETH_TYPE, 2],
      ] as const)
        typed.fill(0, at, at + size);
      expect(hex(key), hex(list)).toBe(hex(typed));
      compared++;
    }
    expect(compared).toBeGreaterThan(CASES / 2);
  });

  it(`of ${CASES} bent lists is the same whatever lies before them, SEED=${SEED}`, () => {
    const random = new Random(SEED);
    let taken = 0;
    for (let index = 0; index < CASES; index++) {
      const list = bendBytes(random, encode(randomKey(random).attrs));
      const [one, two] = [instance.parseMetadata(list, ETH_P_IP, 0xa5), instance.parseMetadata(list, ETH_P_IP, 0x5a)];
      if (one.status === 0) expect(two).toEqual(one);
      else expect([two.status, two.fault]).toEqual([one.status, one.fault]);
      expect([0, -K.EINVAL]).toContain(one.status);
      if (one.status === 0) taken++;
    }
    expect(taken).toBeGreaterThan(CASES / 20);
  });
});
