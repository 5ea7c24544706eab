/*
 * LB_OUTPUT: a packet leaves by the member of a bond that its L4 hash says, which HASH says too, and what went to each is counted. The
 * host's side of bonds, through the datapath and through Dpif.
 */
import { describe, expect, it } from 'vitest';
import * as C from '../assembly/constants.ts';
import { Dpif } from '../src/dpif/index.ts';
import { DatapathError } from '../src/index.ts';
import { encodeActions, parseActions } from '../src/odp/index.ts';
import { BUILDS, SEED } from './support/datapath.ts';
import { Executor } from './support/executor.ts';
import { Random } from './support/frame-generator.ts';
import { hashPairs } from './support/hash-cases.ts';

const BOND = 7;
const U32_MAX = 4294967295;
const FRAMES = hashPairs(SEED, 2).flatMap(({ frames }) => frames);
const list = (text: string): Uint8Array => encodeActions(parseActions(text));

/** Random members, of ports 1 to 4. */
function members(random: Random): number[] {
  return Array.from({ length: C.BOND_BUCKETS }, () => 1 + random.below(4));
}

describe.each(BUILDS)('lb_output, %s', (build) => {
  it(`sends ${FRAMES.length} packets to the members of their buckets, SEED=${SEED}`, async () => {
    await using executor = await Executor.open({ build });
    const { bonds } = executor.datapath;
    const random = new Random(SEED);
    const wanted = new Array<number>(C.BOND_BUCKETS).fill(0);
    for (const ports of [members(random), members(random)]) {
      bonds.set(BOND, ports);
      for (const frame of FRAMES) {
        const { key, frames, drops } = executor.execute(frame, list(`hash(l4(0)),lb_output(${BOND})`));
        const bucket = Buffer.from(key).readUInt32LE(C.KEY_DP_HASH) % C.BOND_BUCKETS;
        wanted[bucket]! += frame.length;
        expect({ drops, frames: frames.map(({ port, data }) => [port, Buffer.from(data).equals(frame)]) }).toEqual({
          drops: {},
          frames: [[ports[bucket], true]],
        });
      }
      expect(bonds.bytes(BOND)).toEqual(wanted);
    }
    expect(wanted.filter((bytes) => bytes > 0).length).toBeGreaterThan(C.BOND_BUCKETS / 4);
    executor.verify(2 * FRAMES.length);
  });

  it('goes by what the packet has become, beside other outputs, as much of it as is left', async () => {
    await using executor = await Executor.open({ build });
    const ports = members(new Random(SEED));
    executor.datapath.bonds.set(BOND, ports);
    const frame = FRAMES[0]!;
    const change = 'set(ipv4(src=192.0.2.1)),push_vlan(vid=1,pcp=0),pop_vlan';
    const { key } = executor.execute(frame, list(`${change},hash(l4(0)),1`));
    const port = ports[Buffer.from(key).readUInt32LE(C.KEY_DP_HASH) % C.BOND_BUCKETS];
    const { frames } = executor.execute(
      frame,
      list(`${change},trunc(40),lb_output(${BOND}),clone(lb_output(${BOND}))`),
    );
    expect(frames.map((one) => [one.port, one.data.length])).toEqual([
      [port, 40],
      [port, frame.length],
    ]);
    executor.verify(2);
  });

  it('drops packets without their bond as packets without their port', async () => {
    await using executor = await Executor.open({ build });
    const { bonds } = executor.datapath;
    const send = () => executor.execute(FRAMES[0]!, list(`trunc(20),lb_output(${BOND}),2`));
    expect(send()).toMatchObject({ drops: { noPort: 1 }, frames: [{ port: 2, data: FRAMES[0] }] });
    bonds.set(BOND, new Array(C.BOND_BUCKETS).fill(3));
    bonds.set(U32_MAX, new Array(C.BOND_BUCKETS).fill(4));
    expect(send().frames.map(({ port }) => port)).toEqual([2, 3]);
    expect([bonds.delete(BOND), bonds.delete(BOND), bonds.bytes(BOND)]).toEqual([true, false, undefined]);
    expect(send().drops).toEqual({ noPort: 1 });
    expect(bonds.bytes(U32_MAX)).toHaveLength(C.BOND_BUCKETS);
    executor.verify(3);
  });

  it('has a limit on bonds, and on what they are', async () => {
    await using executor = await Executor.open({ build });
    const { bonds } = executor.datapath;
    const ports = new Array<number>(C.BOND_BUCKETS).fill(C.PORTS_MAX - 1);
    for (let id = 0; id < C.BONDS_MAX; id++) bonds.set(id, ports);
    expect(() => bonds.set(C.BONDS_MAX, ports)).toThrow(DatapathError);
    bonds.set(0, ports);
    bonds.delete(C.BONDS_MAX / 2);
    bonds.set(C.BONDS_MAX, ports);
    for (const [id, list] of [
      [-1, ports],
      [U32_MAX + 1, ports],
      [0.5, ports],
      [1, ports.slice(1)],
      [1, [...ports, 1]],
      [1, [C.PORTS_MAX, ...ports.slice(1)]],
    ] as const)
      expect(() => bonds.set(id, list)).toThrow(RangeError);
    executor.verify(0);
  });
});

it('is there for programs that drive a datapath by Dpif', () => {
  const dpif = Dpif.createAndOpen('netdev@bonds');
  try {
    dpif.bondAdd(BOND, new Array(C.BOND_BUCKETS).fill(0));
    expect(dpif.bondStatsGet(BOND)).toEqual(new Array(C.BOND_BUCKETS).fill(0));
    dpif.bondDel(BOND);
    for (const call of [() => dpif.bondDel(BOND), () => dpif.bondStatsGet(BOND)]) {
      expect(call).toThrow(/there is no such bond/);
    }
  } finally {
    dpif.destroy();
    dpif.close();
  }
});
