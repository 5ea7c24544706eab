/*
 * The arena's allocator against a list of blocks: random allocating, releasing and retiring; no two live blocks overlap, what is given back
 * is used again, a full arena answers 0 and everything goes on, and at the end as many bytes are in use as in the beginning.
 */
import { describe, expect, it } from 'vitest';
import * as C from '../assembly/constants.ts';
import type { DatapathMemory } from '../src/wasm/memory.ts';
import { BUILDS, openDatapath, SEED, stepsOf } from './support/datapath.ts';
import { Random } from './support/frames.ts';

const STEPS = 40_000;
const HEADER = 16;

interface Block {
  address: number;
  size: number;
  mark: number;
}

/** Live blocks, each filled with its own byte so that an overlap shows. */
class Arena {
  readonly live: Block[] = [];
  readonly #memory: DatapathMemory;
  readonly #random: Random;

  constructor(memory: DatapathMemory, random: Random) {
    this.#memory = memory;
    this.#random = random;
  }

  allocate(size: number): boolean {
    const address = this.#memory.wasm.allocateBlock(size) >>> 0;
    if (address === 0) return false;
    const start = this.#memory.superblock(C.SB_ARENA);
    expect(address % (size > 48 ? 64 : 16), `alignment of ${size} bytes`).toBe(0);
    expect(address).toBeGreaterThanOrEqual(start + HEADER);
    expect(address + size).toBeLessThanOrEqual(start + this.#memory.superblock(C.SB_ARENA_SIZE));
    const block = { address, size, mark: 1 + this.#random.below(255) };
    this.#memory.bytes.fill(block.mark, address, address + size);
    this.live.push(block);
    return true;
  }

  /** Takes a random block out; its bytes must be as they were left. */
  take(): Block {
    const at = this.#random.below(this.live.length);
    const block = this.live[at];
    this.live[at] = this.live[this.live.length - 1];
    this.live.pop();
    const bytes = this.#memory.slice(block.address, block.size);
    expect(
      bytes.every((byte) => byte === block.mark),
      `block of ${block.size} bytes at ${block.address} is whole`,
    ).toBe(true);
    return block;
  }

  overlaps(): string[] {
    const sorted = [...this.live].sort((a, b) => a.address - b.address);
    return sorted.flatMap((block, i) => {
      const before = sorted[i - 1];
      return before !== undefined && before.address + before.size + HEADER > block.address
        ? [`${before.address}+${before.size} ${block.address}`]
        : [];
    });
  }
}

/** Mostly small, sometimes large: what tables, keys and lists ask for. */
function randomSize(random: Random): number {
  if (random.oneIn(20)) return random.below(300_000);
  if (random.oneIn(4)) return random.below(8192);
  return random.below(256);
}

/** Waits for nobody: without readers one call after the epoch has moved frees what was retired. */
function drain(memory: DatapathMemory): void {
  for (let i = 0; memory.superblock(C.SB_RETIRED_COUNT) > 0; i++) {
    if (i > 100_000) throw new Error('retired blocks are never freed');
    memory.wasm.sortSubtables();
  }
}

describe.each(BUILDS)('slab, %s', (build) => {
  it(`keeps blocks apart and uses them again, SEED=${SEED}`, async () => {
    await using datapath = await openDatapath({ build, arenaSize: 3 * 1048576 });
    const { memory } = datapath;
    const random = new Random(SEED);
    const arena = new Arena(memory, random);
    drain(memory);
    const usedBefore = memory.superblock(C.SB_ARENA_USED);
    let full = 0;
    for (let step = 0; step < stepsOf(build, STEPS); step++) {
      const grow = arena.live.length === 0 || random.below(100) < (step % 8000 < 4000 ? 60 : 40);
      if (grow) full += arena.allocate(randomSize(random)) ? 0 : 1;
      else if (random.oneIn(2)) memory.wasm.releaseBlock(arena.take().address);
      else memory.wasm.retireBlock(arena.take().address);
      if (step % 4000 === 0) expect(arena.overlaps()).toEqual([]);
    }
    expect(full, 'the arena was full at times').toBeGreaterThan(0);
    while (arena.live.length > 0) memory.wasm.releaseBlock(arena.take().address);
    drain(memory);
    expect(memory.superblock(C.SB_ARENA_USED)).toBe(usedBefore);
    expect(datapath.check()).toBe(0);
  });

  it('gives a released block out again for every size of its class', async () => {
    await using datapath = await openDatapath({ build });
    const { memory } = datapath;
    for (const [low, high] of [
      [0, 16],
      [17, 32],
      [33, 48],
      [49, 64],
      [65, 80],
      [113, 128],
      [129, 160],
      [513, 640],
      [4097, 5120],
      [1048577, 1310720],
    ]) {
      const block = memory.wasm.allocateBlock(low) >>> 0;
      memory.wasm.releaseBlock(block);
      const touched = memory.superblock(C.SB_ARENA_NEXT);
      for (const size of [low, high, (low + high) >>> 1]) {
        const again = memory.wasm.allocateBlock(size) >>> 0;
        expect([size, again]).toEqual([size, block]);
        memory.wasm.releaseBlock(again);
      }
      expect(memory.superblock(C.SB_ARENA_NEXT)).toBe(touched);
    }
  });

  it('wastes at most a quarter of a block', async () => {
    await using datapath = await openDatapath({ build });
    const { memory } = datapath;
    for (let size = 64; size < 100_000; size = Math.ceil(size * 1.037)) {
      const before = memory.superblock(C.SB_ARENA_USED);
      const block = memory.wasm.allocateBlock(size);
      const taken = memory.superblock(C.SB_ARENA_USED) - before - HEADER;
      expect(taken).toBeGreaterThanOrEqual(size);
      expect(taken, `${size} bytes`).toBeLessThanOrEqual(size * 1.25);
      memory.wasm.releaseBlock(block);
    }
  });

  it('keeps a retired block from use while a reader of its time reads', async () => {
    await using datapath = await openDatapath({ build });
    const { memory } = datapath;
    const size = 7777;
    memory.wasm.enter();
    const block = memory.wasm.allocateBlock(size) >>> 0;
    memory.wasm.retireBlock(block);
    const others = Array.from({ length: 20 }, () => memory.wasm.allocateBlock(size) >>> 0);
    expect(others).not.toContain(block);
    memory.wasm.leave();
    drain(memory);
    const later = Array.from({ length: 3 }, () => memory.wasm.allocateBlock(size) >>> 0);
    expect(later).toContain(block);
  });

  it('keeps to its own lists with the largest blocks', async () => {
    await using datapath = await openDatapath({ build, arenaSize: 512 * 1048576 });
    const { memory } = datapath;
    const behind = C.SUPERBLOCK + C.SB_DP_EXISTS;
    const before = memory.copy(behind, 256);
    for (let size = 1048576; size <= 128 * 1048576; size *= 2) {
      const block = memory.wasm.allocateBlock(size) >>> 0;
      memory.wasm.releaseBlock(block);
      expect(memory.wasm.allocateBlock(size) >>> 0).toBe(block);
    }
    expect(memory.copy(behind, 256)).toEqual(before);
  });

  it('answers 0 for what no arena holds, and goes on', async () => {
    await using datapath = await openDatapath({ build, arenaSize: 1048576 });
    const { memory } = datapath;
    for (const size of [1048577, 0x7fff0000, 0x7fff0001, 0x80000000, 0xffffffff])
      expect(memory.wasm.allocateBlock(size)).toBe(0);
    const blocks: number[] = [];
    for (let block = memory.wasm.allocateBlock(1000); block !== 0; block = memory.wasm.allocateBlock(1000))
      blocks.push(block);
    expect(blocks.length).toBeGreaterThan(900);
    expect(() => datapath.flows.put('in_port(1)', '2')).toThrow(expect.objectContaining({ code: 'ERR_OUT_OF_MEMORY' }));
    expect(datapath.check()).toBe(0);
    for (const block of blocks) memory.wasm.releaseBlock(block);
    expect(datapath.flows.count).toBe(0);
  });
});
