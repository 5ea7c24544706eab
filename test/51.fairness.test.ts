/*
 * Fairness of upcalls: one port misses as fast as it can, others now and then. What the others send is neither lost nor kept waiting: it is in the very
 * next batch. Counted in packets and batches, not in time. SEED sets the seed.
 */
import { describe, expect, it } from 'vitest';
import * as C from '../assembly/constants.ts';
import type { Datapath, MemoryPort } from '../src/index.ts';
import { attribute, le32 } from './support/action-list.ts';
import { BUILDS, expectAccounted, openDatapath, SEED, stepsOf } from './support/datapath.ts';
import * as L from './support/frames.ts';
import { openForUpcalls, refuse, take } from './support/upcall-frames.ts';

const PORTS = 8;
const ROUNDS = 1000;
const FLOOD = 80;

/** A frame that ends with its round. */
function frameOf(round: number): Uint8Array {
  return L.ethernet(0x0800, L.ipv4({ proto: 17 }, L.udp({}, L.bytes(L.filler(20), L.be32(round)))));
}

function roundOf(packet: Uint8Array): number {
  return new DataView(packet.buffer, packet.byteOffset + packet.length - 4, 4).getUint32(0);
}

interface Outcome {
  flooder: MemoryPort;
  victims: MemoryPort[];
  /** Victims' frames served in the batch after their arrival, and later. */
  prompt: number;
  late: number;
}

/** `perRound` frames of each victim a round, one batch taken a round. */
function run(datapath: Datapath, rounds: number, perRound: (victim: number) => number): Outcome {
  const [flooder, ...victims] = Array.from({ length: PORTS }, (_, i) => datapath.ports.add(`p${i}`));
  const outcome: Outcome = { flooder, victims, prompt: 0, late: 0 };
  for (let round = 0; round < rounds; round++) {
    const frame = frameOf(round);
    for (let i = 0; i < FLOOD; i++) flooder.send(frame);
    for (const [victim, port] of victims.entries()) {
      for (let i = perRound(victim); i > 0; i--) port.send(frame);
    }
    datapath.memory.wasm.poll(64);
    const frames = take(datapath);
    for (const upcall of frames) {
      if (upcall.word(C.UPCALL_IN_PORT) === flooder.portNo) continue;
      if (roundOf(upcall.packet) === round) outcome.prompt++;
      else outcome.late++;
    }
    refuse(datapath, frames);
  }
  return outcome;
}

describe.each(BUILDS)('a flooding port, %s', (build) => {
  it.each([
    [64, 1],
    [64, 4],
    [256, 4],
    [4096, 1],
    [4096, 7],
  ])('takes nothing from others in a ring of %i when they send %i a round', async (upcallFrames, count) => {
    await using datapath = await openForUpcalls({ build, upcallFrames });
    const rounds = stepsOf(build, ROUNDS);
    const { flooder, victims, prompt, late } = run(datapath, rounds, () => count);
    for (const port of victims) expect(port.stats()).toMatchObject({ rxPackets: rounds * count, upcallsLost: 0 });
    expect(late).toBe(0);
    expect(prompt).toBe(rounds * count * victims.length);
    expect(flooder.stats().upcallsLost).toBeGreaterThan(0);
    // what the others leave of a batch is the flooder's, as far as the ring holds a batch beside their shares
    const served = flooder.stats().upcalls - datapath.memory.wasm.outstanding(0);
    const part = C.UPCALL_TAKE_MAX - count * victims.length;
    if (upcallFrames >= 256) expect(served).toBe(rounds * part);
    else expect(served).toBeGreaterThanOrEqual(rounds * Math.min(part, 8));
    expectAccounted(datapath.stats());
  });

  it(`takes nothing from those that send now and then, SEED=${SEED}`, async () => {
    await using datapath = await openForUpcalls({ build, upcallFrames: 1024 });
    const random = new L.Random(SEED);
    let sent = 0;
    const { victims, prompt, late } = run(datapath, stepsOf(build, ROUNDS), () => {
      const count = random.oneIn(4) ? random.below(9) : 0;
      sent += count;
      return count;
    });
    expect(victims.reduce((sum, port) => sum + port.stats().upcallsLost, 0)).toBe(0);
    expect([prompt, late]).toEqual([sent, 0]);
  });

  it('is itself what loses, by name', async () => {
    await using datapath = await openForUpcalls({ build, upcallFrames: 256 });
    const { flooder } = run(datapath, 50, () => 1);
    const { drops } = datapath.stats();
    expect(drops.upcallPortShare + drops.upcallRingFull).toBe(flooder.stats().upcallsLost);
    expect(drops.upcallPortShare).toBeGreaterThan(0);
    expect(drops.upcallRingFull).toBe(0);
  });

  it('may use the whole ring when no other port receives', async () => {
    await using datapath = await openForUpcalls({ build, upcallFrames: 64 });
    const port = datapath.ports.add('only');
    await datapath.ports.addType('sink', 'null');
    for (let i = 0; i < 100; i++) port.send(frameOf(i));
    datapath.memory.wasm.poll(64);
    expect(port.stats()).toMatchObject({ upcalls: 64, upcallsLost: 36 });
  });

  it('cannot starve others with userspace actions either', async () => {
    await using datapath = await openForUpcalls({ build, upcallFrames: 256 });
    datapath.flows.put('in_port(1)', attribute(2, attribute(1, le32(7))));
    const rounds = stepsOf(build, ROUNDS / 2);
    const { victims, late } = run(datapath, rounds, () => 2);
    for (const port of victims) expect(port.stats()).toMatchObject({ upcalls: rounds * 2, upcallsLost: 0 });
    expect(late).toBe(0);
    expectAccounted(datapath.stats());
  });

  it('leaves the handler of another its answers', async () => {
    await using datapath = await openDatapath({ build, upcallFrames: 256 });
    const [flooder, victim] = ['flooder', 'victim'].map((name) => datapath.ports.add(name));
    const answered = new Map<number, number>();
    await datapath.onUpcall(({ inPort }) => {
      answered.set(inPort, (answered.get(inPort) ?? 0) + 1);
      return { actions: '', install: false };
    });
    for (let round = 0; round < 20; round++) {
      for (let i = 0; i < 1000; i++) flooder.send(frameOf(i));
      victim.send(frameOf(round));
      datapath.poll(64);
    }
    expect(answered.get(victim.portNo)).toBe(20);
    expect(victim.stats().upcallsLost).toBe(0);
    expectAccounted(datapath.stats());
  });
});
