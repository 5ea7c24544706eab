/*
 * The validator: every rule at its limit and one past it, and lists that are no lists. The list always ends where the memory
 * ends, so a read behind it would trap; whatever the bytes are, the answer is 0 or an errno. In both builds.
 * SEED sets the seed, CASES the number of random lists.
 */
import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import * as K from '../assembly/constants.ts';
import { referenceExtractAll } from './reference/extract.ts';
import { cases } from './support/action-cases.ts';
import { attribute, be16, concat, encodeActions, le32 } from './support/action-list.ts';
import { ActionsInstance, type Build, compileActions } from './support/actions-wasm.ts';
import { Executor } from './support/executor.ts';
import * as L from './support/frames.ts';

const SEED = Number(process.env.SEED ?? Math.floor(Math.random() * 2147483647));
const CASES = Number(process.env.CASES ?? 20_000);

/** The debug build is slower, and checks more; a quarter of the cases are enough for it. */
function caseCount(build: Build): number {
  return build === 'debug' ? Math.ceil(CASES / 4) : CASES;
}

const OUTPUT = attribute(1, le32(1));
const PID = attribute(1, le32(7));
const set = (type: number, value: ArrayLike<number>) => attribute(3, attribute(type, value));
const setMasked = (type: number, value: number[], mask: number[]) =>
  attribute(11, attribute(type, [...value, ...mask]));
const zeros = (size: number) => new Array<number>(size).fill(0);
const withByte = (size: number, at: number, value: number) => zeros(size).with(at, value);

const PSAMPLE = (...inner: Uint8Array[]) => attribute(25 | 0x8000, concat(...inner));
const SAMPLE = (...inner: Uint8Array[]) => attribute(6, concat(...inner));
const CHECK = (...inner: Uint8Array[]) => attribute(21, concat(...inner));
const TUNNEL = concat(attribute(2, [10, 0, 0, 1]), attribute(4, [64]));
const pushMpls = (type: number) => attribute(9, [...zeros(4), ...be16(type), 0, 0]);
const popMpls = (type: number) => attribute(10, be16(type));
const addMpls = (flags: number) => attribute(22, [...zeros(4), 0x88, 0x47, flags, 0]);
const pushNsh = (...inner: Uint8Array[]) => attribute(17, attribute(28, concat(...inner)));
const NSH_BASE = (mdType: number) => attribute(1, [0, 63, mdType, 1, 0, 0, 0, 1]);
const PUSH_VLAN = attribute(4, [0x81, 0, 0x10, 0]);
const [POP_VLAN, POP_ETH, POP_NSH] = [attribute(5, []), attribute(15, []), attribute(18, [])];
const PUSH_ETH = attribute(14, zeros(12));
const SET_IPV4 = setMasked(7, zeros(12), withByte(12, 9, 255));
const SET_MPLS = set(21, zeros(4));

/** Lists whose fate depends on the flow, and the flows that they are right for. */
const FOR_FLOWS: [string, Uint8Array, string[]][] = [
  ['push_mpls', pushMpls(0x8847), ['udp4', 'mpls', 'arp', 'l3']],
  ['push_mpls of another type', pushMpls(0x0800), []],
  ['push_mpls behind a pushed tag', concat(PUSH_VLAN, pushMpls(0x8847)), []],
  ['push_mpls where a tag was', concat(POP_VLAN, pushMpls(0x8847)), ['udp4', 'mpls', 'arp', 'tagged']],
  ['push_mpls and set', concat(pushMpls(0x8848), SET_MPLS), ['udp4', 'mpls', 'arp', 'l3']],
  ['push_mpls, then set of what is behind', concat(pushMpls(0x8847), SET_IPV4), []],
  ['pop_mpls', popMpls(0x0800), ['mpls']],
  ['pop_mpls of two labels', concat(popMpls(0x8847), popMpls(0x0800)), []],
  ['push_mpls and two pops', concat(pushMpls(0x8847), popMpls(0x8847), popMpls(0x0800)), ['mpls']],
  ['pop_mpls to a frame', popMpls(0x6558), []],
  ['pop_mpls, then set of what is behind', concat(popMpls(0x0800), SET_IPV4), []],
  ['add_mpls behind the Ethernet header', addMpls(1), ['udp4', 'mpls', 'arp', 'l3']],
  ['add_mpls before everything', concat(addMpls(0), popMpls(0x6558)), ['udp4', 'mpls', 'arp', 'nsh', 'l3', 'other']],
  ['pop_eth', POP_ETH, ['udp4', 'mpls', 'arp', 'nsh', 'other']],
  ['pop_eth and push_eth', concat(POP_ETH, PUSH_ETH), ['udp4', 'mpls', 'arp', 'nsh', 'other']],
  ['push_eth', PUSH_ETH, ['l3']],
  ['set of addresses', set(4, zeros(12)), ['udp4', 'mpls', 'arp', 'nsh', 'other', 'tagged']],
  ['set of addresses that are gone', concat(POP_ETH, set(4, zeros(12))), []],
  [
    'addresses gone, but not in a clone',
    concat(POP_ETH, attribute(20, set(4, zeros(12)))),
    ['udp4', 'mpls', 'arp', 'nsh', 'other'],
  ],
  ['push_vlan', PUSH_VLAN, ['udp4', 'mpls', 'arp', 'nsh', 'other', 'tagged']],
  ['push_nsh', pushNsh(NSH_BASE(1), attribute(2, zeros(16))), ['udp4', 'mpls', 'arp', 'nsh', 'other', 'tagged', 'l3']],
  [
    'push_nsh of type 2',
    pushNsh(NSH_BASE(2), attribute(3, zeros(248))),
    ['udp4', 'mpls', 'arp', 'nsh', 'other', 'tagged', 'l3'],
  ],
  ['push_nsh of type 2, too long', pushNsh(NSH_BASE(2), attribute(3, zeros(249))), []],
  ['push_nsh of the wrong type', pushNsh(NSH_BASE(2), attribute(2, zeros(16))), []],
  ['push_nsh without metadata', pushNsh(NSH_BASE(1)), []],
  [
    'push_nsh before what NSH cannot carry',
    concat(POP_ETH, pushNsh(NSH_BASE(1), attribute(2, zeros(16)))),
    ['udp4', 'mpls', 'nsh'],
  ],
  ['pop_nsh', POP_NSH, ['nsh']],
  ['pop_nsh, then there is no Ethernet header', concat(POP_NSH, PUSH_VLAN), []],
  ['ct in a list with something malformed', concat(attribute(12, []), attribute(1, le32(65535))), []],
];

/** Lists that need no flow key: accepted, or refused with an errno. */
const TABLE: [string, Uint8Array, number][] = [
  ['nothing', new Uint8Array(0), 0],
  ['several outputs', concat(OUTPUT, OUTPUT, OUTPUT), 0],
  ['the last port of a kernel', attribute(1, le32(65534)), 0],
  ['a port too high', attribute(1, le32(65535)), -K.EINVAL],
  ['a port of -1', attribute(1, le32(0xffffffff)), -K.EINVAL],
  ['output with 3 bytes', attribute(1, [0, 0, 0]), -K.EINVAL],
  ['output with 5 bytes', attribute(1, zeros(5)), -K.EINVAL],
  ['drop', attribute(24, le32(0)), 0],
  ['drop at the end', concat(OUTPUT, attribute(24, le32(9))), 0],
  ['drop before something', concat(attribute(24, le32(0)), OUTPUT), -K.EINVAL],
  ['drop without a reason', attribute(24, []), -K.EINVAL],
  ['userspace', attribute(2, concat(PID, attribute(2, [1, 2, 3]), attribute(3, le32(1)), attribute(4, []))), 0],
  ['userspace with an unknown attribute', attribute(2, concat(PID, attribute(77, [1]))), 0],
  ['userspace without a pid', attribute(2, attribute(2, [1])), -K.EINVAL],
  ['userspace with pid 0', attribute(2, attribute(1, le32(0))), -K.EINVAL],
  ['userspace with two pids, the last 0', attribute(2, concat(PID, attribute(1, le32(0)))), -K.EINVAL],
  ['userspace with a short pid', attribute(2, attribute(1, [1, 2, 3])), -K.ERANGE],
  ['userspace with a short tunnel port', attribute(2, concat(PID, attribute(3, [1]))), -K.ERANGE],
  ['empty userspace', attribute(2, []), -K.EINVAL],
  ['userspace with a pid beyond its end', attribute(2, [12, 0, 1, 0, 7, 0, 0, 0]), -K.EINVAL],
  ['push_vlan', attribute(4, [0x81, 0, 0x10, 0]), 0],
  ['push_vlan of 802.1ad', attribute(4, [0x88, 0xa8, 0xff, 0xff]), 0],
  ['push_vlan without CFI', attribute(4, [0x81, 0, 0xef, 0xff]), -K.EINVAL],
  ['push_vlan of another type', attribute(4, [0x91, 0, 0x10, 0]), -K.EINVAL],
  ['push_vlan with 2 bytes', attribute(4, [0x81, 0]), -K.EINVAL],
  ['pop_vlan', attribute(5, []), 0],
  ['pop_vlan with a byte', attribute(5, [0]), -K.EINVAL],
  ['trunc to an Ethernet header', attribute(13, le32(14)), 0],
  ['trunc to less', attribute(13, le32(13)), -K.EINVAL],
  ['trunc with 2 bytes', attribute(13, [0, 1]), -K.EINVAL],
  ['set priority', set(2, zeros(4)), 0],
  ['set mark under a mask', setMasked(15, [1, 0, 0, 0], [3, 0, 0, 0]), 0],
  ['set outside of its mask', setMasked(15, [1, 0, 0, 0], [2, 0, 0, 0]), -K.EINVAL],
  ['set eth', set(4, zeros(12)), 0],
  ['set eth, short', set(4, zeros(11)), -K.EINVAL],
  ['set ipv4, proto and frag left alone', setMasked(7, zeros(12), zeros(12)), 0],
  ['set ipv4 proto', setMasked(7, zeros(12), withByte(12, 8, 1)), -K.EINVAL],
  ['set ipv4 frag', setMasked(7, zeros(12), withByte(12, 11, 1)), -K.EINVAL],
  ['set ipv6', set(8, zeros(40)), 0],
  ['set ipv6 proto', setMasked(8, zeros(40), withByte(40, 36, 1)), -K.EINVAL],
  ['set ipv6 frag', setMasked(8, zeros(40), withByte(40, 39, 1)), -K.EINVAL],
  ['set ipv6 label of 21 bits', set(8, withByte(40, 33, 0x10)), -K.EINVAL],
  ['set ipv6 label mask of 21 bits', setMasked(8, zeros(40), withByte(40, 33, 0x10)), -K.EINVAL],
  ['set ports', concat(set(9, zeros(4)), set(10, zeros(4)), set(17, zeros(4)), set(21, zeros(4))), 0],
  ['set of two labels', set(21, zeros(8)), -K.EINVAL],
  ['set without its padding', attribute(3, attribute(4, zeros(12)).slice(0, 13)), -K.EINVAL],
  ['set of nothing', attribute(3, []), -K.EINVAL],
  ['set of an empty attribute', set(2, []), -K.EINVAL],
  ['set of two', attribute(3, concat(attribute(2, zeros(4)), attribute(15, zeros(4)))), -K.EINVAL],
  ['set of an attribute of size 0', attribute(3, [0, 0, 2, 0]), -K.EINVAL],
  ['set of an attribute of 64 kB', attribute(3, [255, 255, 2, 0]), -K.EINVAL],
  ['set of what cannot be set', set(3, zeros(4)), -K.EINVAL],
  ['set of ct_mark and ct_labels', concat(set(24, zeros(4)), set(25, zeros(16))), 0],
  ['hash', concat(attribute(8, zeros(8)), attribute(8, [1, ...zeros(7)])), 0],
  ['hash of an unknown kind', attribute(8, [2, ...zeros(7)]), -K.EINVAL],
  ['recirc, meter, ct_clear', concat(attribute(7, le32(1)), attribute(19, le32(9)), attribute(16, [])), 0],
  ['recirc of two bytes', attribute(7, [1, 0]), -K.EINVAL],
  ['psample', PSAMPLE(attribute(1, le32(1)), attribute(2, zeros(16))), 0],
  ['psample without a cookie', PSAMPLE(attribute(1, le32(1))), 0],
  ['psample without a group', PSAMPLE(attribute(2, zeros(4))), -K.EINVAL],
  ['psample with too long a cookie', PSAMPLE(attribute(1, le32(1)), attribute(2, zeros(17))), -K.ERANGE],
  ['psample with a group of 8 bytes', PSAMPLE(attribute(1, zeros(8))), -K.EINVAL],
  ['psample with something else', PSAMPLE(attribute(1, le32(1)), attribute(3, [])), -K.EINVAL],
  ['psample without its flag', attribute(25, attribute(1, le32(1))), -K.EINVAL],
  ['psample with a flag inside', PSAMPLE(attribute(1 | 0x8000, le32(1))), -K.EINVAL],
  ['psample with bytes left over', PSAMPLE(attribute(1, le32(1)), Uint8Array.of(1, 2)), -K.EINVAL],
  ['sample', SAMPLE(attribute(1, le32(5)), attribute(2, OUTPUT)), 0],
  ['sample, the other way round', SAMPLE(attribute(2, OUTPUT), attribute(1, le32(5))), 0],
  ['sample of nothing', SAMPLE(attribute(1, le32(5)), attribute(2, [])), 0],
  ['sample without a probability', SAMPLE(attribute(2, OUTPUT)), -K.EINVAL],
  ['sample without a list', SAMPLE(attribute(1, le32(5))), -K.EINVAL],
  ['sample with two lists', SAMPLE(attribute(1, le32(5)), attribute(2, []), attribute(2, [])), -K.EINVAL],
  ['sample with a list of 3 bytes', SAMPLE(attribute(1, le32(5)), attribute(2, zeros(3))), -K.EINVAL],
  ['sample with a bad list', SAMPLE(attribute(1, le32(5)), attribute(2, attribute(1, le32(65535)))), -K.EINVAL],
  ['sample with bytes left over', SAMPLE(attribute(1, le32(5)), attribute(2, []), Uint8Array.of(1)), -K.EINVAL],
  ['clone', concat(attribute(20, OUTPUT), attribute(20, [])), 0],
  ['clone of 3 bytes', attribute(20, zeros(3)), -K.EINVAL],
  ['check_pkt_len', CHECK(attribute(1, [9, 0]), attribute(2, OUTPUT), attribute(3, [])), 0],
  [
    'check_pkt_len, twice the size',
    CHECK(attribute(1, [0, 0]), attribute(1, [9, 0]), attribute(3, []), attribute(2, [])),
    0,
  ],
  ['check_pkt_len of 0', CHECK(attribute(1, [0, 0]), attribute(2, []), attribute(3, [])), -K.EINVAL],
  ['check_pkt_len of a byte', CHECK(attribute(1, [9]), attribute(2, []), attribute(3, [])), -K.ERANGE],
  ['check_pkt_len, a list of 2 bytes', CHECK(attribute(1, [9, 0]), attribute(2, [1, 2]), attribute(3, [])), -K.ERANGE],
  ['check_pkt_len without a list', CHECK(attribute(1, [9, 0]), attribute(2, [])), -K.EINVAL],
  ['check_pkt_len with something else', CHECK(attribute(1, [9, 0]), attribute(2, []), attribute(4, [])), -K.EINVAL],
  ['dec_ttl', attribute(23, concat(attribute(1, OUTPUT), attribute(9, [1]))), 0],
  ['dec_ttl without a list', attribute(23, attribute(9, [1])), -K.EINVAL],
  ['dec_ttl with two lists', attribute(23, concat(attribute(1, []), attribute(1, []))), -K.EINVAL],
  ['set tunnel', attribute(3, attribute(16, TUNNEL)), 0],
  ['set tunnel under a mask', attribute(11, attribute(16, concat(TUNNEL, TUNNEL))), -K.EINVAL],
  ['set tunnel without a TTL', attribute(3, attribute(16, attribute(2, [1, 2, 3, 4]))), -K.EINVAL],
  ['set tunnel with a cut option', attribute(3, attribute(16, concat(TUNNEL, attribute(8, [0, 0, 0, 1])))), -K.EINVAL],
  ['tunnel_push', attribute(26, zeros(16)), -K.EINVAL],
  ['tunnel_pop', attribute(27, zeros(4)), -K.EINVAL],
  ['lb_output', attribute(28, zeros(4)), 0],
  ['type 0', attribute(0, []), -K.EINVAL],
  ['a type from the future', attribute(29, []), -K.EINVAL],
  ['the type with its flags', attribute(1 | 0x8000, le32(1)), 0],
  ['the last attribute without padding', attribute(2, concat(PID, attribute(2, [1]).slice(0, 5))).slice(0, 17), 0],
  ['one byte left over', concat(OUTPUT, Uint8Array.of(0)), -K.EINVAL],
  ['three bytes left over', concat(OUTPUT, Uint8Array.of(0, 0, 0)), -K.EINVAL],
];

describe.each<Build>(['debug', 'release'])('action validator, %s build', (build) => {
  let instance: ActionsInstance;
  beforeAll(async () => {
    instance = new ActionsInstance(await compileActions(build));
  });

  it.each(TABLE)('%s', (_name, list, wanted) => {
    expect(instance.validate(list)).toBe(wanted);
  });

  it('follows what actions make of the packets of a flow', () => {
    const frame = (data: Uint8Array) => referenceExtractAll(data, 1).key;
    const udp = L.ipv4({ proto: 17 }, L.udp({}, L.filler(4)));
    const l3 = frame(L.ethernet(0x0800, udp)).slice();
    l3.set([0, 1, 8, 0], K.KEY_PACKET_TYPE);
    const flows: Record<string, Uint8Array> = {
      udp4: frame(L.ethernet(0x0800, udp)),
      mpls: frame(L.ethernet(0x8847, L.mplsEntry(1, true))),
      arp: frame(L.ethernet(0x0806, L.arp())),
      nsh: frame(L.ethernet(0x894f, L.nsh({ next: 1 }, L.filler(16)))),
      tagged: frame(L.ethernet(0x8100, concat(Uint8Array.of(0, 5), be16(0x0800), udp))),
      other: frame(L.ethernet(0x88cc, L.filler(4))),
      l3,
    };
    for (const [name, list, allowed] of FOR_FLOWS) {
      for (const [flow, key] of Object.entries(flows)) {
        const wanted = allowed.includes(flow) ? 0 : -K.EINVAL;
        expect(instance.validate(list, key), `${name} for ${flow}`).toBe(wanted);
      }
    }
  });

  it('checks sets against the key of the flow under its mask', () => {
    const keys = {
      udp4: referenceExtractAll(L.ethernet(0x0800, L.ipv4({ proto: 17 }, L.udp({}, L.filler(4)))), 1).key,
      tcp6: referenceExtractAll(L.ethernet(0x86dd, L.ipv6({ next: 6 }, L.tcp({}, L.filler(4)))), 1).key,
      sctp4: referenceExtractAll(L.ethernet(0x0800, L.ipv4({ proto: 132 }, L.sctp({}, L.filler(4)))), 1).key,
      later: referenceExtractAll(L.ethernet(0x0800, L.ipv4({ proto: 17, frag: 3 }, L.filler(8))), 1).key,
      mpls: referenceExtractAll(L.ethernet(0x8847, L.mplsEntry(1, true)), 1).key,
      arp: referenceExtractAll(L.ethernet(0x0806, L.arp()), 1).key,
    };
    type Name = keyof typeof keys;
    const sets: [string, Uint8Array, Name[]][] = [
      ['eth', set(4, zeros(12)), ['udp4', 'tcp6', 'sctp4', 'later', 'mpls', 'arp']],
      ['ipv4', set(7, withByte(12, 8, 17)), ['udp4']],
      ['ipv4 of a later fragment', set(7, withByte(12, 8, 17).with(11, 2)), ['later']],
      ['ipv4 under a mask', setMasked(7, zeros(12), withByte(12, 0, 255)), ['udp4', 'sctp4', 'later']],
      ['ipv6', set(8, withByte(40, 36, 6)), ['tcp6']],
      ['tcp', set(9, zeros(4)), ['tcp6']],
      ['udp', set(10, zeros(4)), ['udp4', 'later']],
      ['sctp', set(17, zeros(4)), ['sctp4']],
      ['mpls', set(21, zeros(4)), ['mpls']],
    ];
    const exact = new Uint8Array(K.KEY_SIZE).fill(255);
    const untyped = exact.slice();
    untyped.fill(0, K.KEY_ETH_TYPE, K.KEY_ETH_TYPE + 2);
    for (const [name, list, allowed] of sets) {
      for (const [keyName, key] of Object.entries(keys)) {
        const wanted = allowed.includes(keyName as Name) ? 0 : -K.EINVAL;
        expect(instance.validate(list, key), `${name} for ${keyName}`).toBe(wanted);
        expect(instance.validate(list, key, exact), `${name} for ${keyName} with a mask`).toBe(wanted);
        expect(instance.validate(list, key, untyped), `${name}, any type`).toBe(name === 'eth' ? 0 : -K.EINVAL);
      }
    }
  });

  it('answers every size of an attribute, right up to the end of the memory', () => {
    for (let type = 0; type < 40; type++) {
      for (let claimed = 0; claimed <= 70; claimed++) {
        for (const there of [4, 5, 7, 8, 12, 16, 20, 44, 64]) {
          const list = new Uint8Array(there).fill(0xff);
          new DataView(list.buffer).setUint16(0, claimed, true);
          new DataView(list.buffer).setUint16(2, type, true);
          const answer = instance.validate(list);
          if (claimed < 4 || claimed > there) expect(answer).toBe(-K.EINVAL);
          expect(answer).toBeLessThanOrEqual(0);
        }
      }
    }
  });

  it('answers long lists and deep ones', () => {
    const outputs = concat(...Array.from({ length: 8191 }, () => OUTPUT));
    expect(instance.validate(outputs)).toBe(0);
    expect(instance.validate(concat(outputs, Uint8Array.of(0, 0, 0)))).toBe(-K.EINVAL);
    expect(instance.validate(new Uint8Array(K.ACTIONS_SIZE_MAX + 1))).toBe(-K.EMSGSIZE);
    expect(instance.validate(new Uint8Array(131072))).toBe(-K.EMSGSIZE);
    for (const type of [2, 3, 6, 11, 20, 21, 23]) {
      let nested: Uint8Array = OUTPUT;
      for (let depth = 0; depth < 5000; depth++) nested = attribute(type, nested);
      expect(instance.validate(nested)).toBe(type === 20 ? -K.EOVERFLOW : -K.EINVAL);
    }
    const wraps = [
      (list: Uint8Array) => attribute(20, list),
      (list: Uint8Array) => SAMPLE(attribute(1, le32(1)), attribute(2, list)),
      (list: Uint8Array) => CHECK(attribute(1, [1, 0]), attribute(2, []), attribute(3, list)),
      (list: Uint8Array) => attribute(23, attribute(1, list)),
    ];
    for (const wrap of wraps) {
      let nested: Uint8Array = OUTPUT;
      for (let depth = 0; depth < K.ACTIONS_DEPTH_MAX; depth++) nested = wrap(nested);
      expect(instance.validate(nested)).toBe(0);
      expect(instance.validate(wrap(nested))).toBe(-K.EOVERFLOW);
    }
  });

  it(`gives 0 or an errno for ${caseCount(build)} mutated lists and runs the ones it accepts, SEED=${SEED}`, async () => {
    await using executor = await Executor.open({ build });
    const bytes = fc.array(fc.tuple(fc.nat(), fc.integer({ min: 0, max: 255 })), { maxLength: 4 });
    const errnos = [0, -K.EINVAL, -K.ERANGE, -K.EOVERFLOW, -K.EOPNOTSUPP];
    let accepted = 0;
    const property = fc.property(cases, bytes, fc.option(fc.nat(80)), ({ frame, headroom, actions }, changes, size) => {
      const list = encodeActions(actions).slice(0, size ?? undefined);
      for (const [at, value] of changes) if (list.length !== 0) list[at % list.length] = value;
      const answer = instance.validate(list);
      if (!errnos.includes(answer)) throw new Error(`answer ${answer}`);
      if (answer !== 0) return;
      accepted++;
      if (executor.execute(frame, list, { headroom }).strayed)
        throw new Error('bytes outside of the buffer were written');
    });
    fc.assert(property, { seed: SEED, numRuns: caseCount(build) });
    expect(accepted).toBeGreaterThan(caseCount(build) / 20);
  });

  it('takes wire-order constants as the kernel does', () => {
    expect(instance.validate(attribute(4, concat(be16(0x8100), be16(0x1000))))).toBe(0);
    expect(instance.validate(attribute(4, concat(be16(0x0081), be16(0x1000))))).toBe(-K.EINVAL);
  });
});
