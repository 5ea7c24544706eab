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

/** Lists that need no flow key: accepted, or refused with an errno. */
const TABLE: [string, Uint8Array, number][] = [
  ['nothing', new Uint8Array(0), 0],
  ['several outputs', concat(OUTPUT, OUTPUT, OUTPUT), 0],
  ['the last port', attribute(1, le32(K.PORTS_MAX - 1)), 0],
  ['a port too high', attribute(1, le32(K.PORTS_MAX)), -K.EINVAL],
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
  ['type 0', attribute(0, []), -K.EINVAL],
  ['a type from the future', attribute(26, []), -K.EINVAL],
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

  it('refuses the actions that are known and not supported', () => {
    for (const type of [6, 7, 8, 9, 10, 12, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 25]) {
      for (const size of [0, 2, 4, 8]) expect(instance.validate(attribute(type, zeros(size)))).toBe(-K.EINVAL);
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
      expect(instance.validate(nested)).toBe(-K.EINVAL);
    }
  });

  it(`gives 0 or an errno for ${caseCount(build)} mutated lists and runs the ones it accepts, SEED=${SEED}`, async () => {
    await using executor = await Executor.open({ build });
    const bytes = fc.array(fc.tuple(fc.nat(), fc.integer({ min: 0, max: 255 })), { maxLength: 4 });
    const errnos = [0, -K.EINVAL, -K.ERANGE];
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
