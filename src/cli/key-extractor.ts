/*
 * A flow key extractor for programs without a datapath of their own: the WASM module with the smallest memory it takes.
 *
 * Used by `wdp parse-pcap`. Frames are copied into a block of the module's memory, keys are copied out. One thread.
 */
import * as C from '../../assembly/constants.ts';
import { loadModule } from '../wasm/load.ts';
import { DatapathMemory } from '../wasm/memory.ts';

export interface KeyExtractor {
  /**
   * The flow key of a frame as KEY_SIZE flat bytes that belong to the caller, or undefined for a frame that no datapath
   * takes: shorter than FRAME_SIZE_MIN or longer than FRAME_SIZE_MAX.
   */
  extractKey(frame: Uint8Array, inPort: number): Uint8Array | undefined;
}

const PAGES_MAX = 1024;
const ARENA_SIZE = 1048576;
const UPCALL_FRAMES_MIN = 64;

/** Throws DatapathError when the module has not been built. */
export function openKeyExtractor(): KeyExtractor {
  const memory = DatapathMemory.create(loadModule(), {
    flows: 1,
    workers: 1,
    emcEntries: C.EMC_ENTRIES_MIN,
    upcallFrames: UPCALL_FRAMES_MIN,
    arenaSize: ARENA_SIZE,
    seed: 0n,
    dpIfindex: 0,
    pagesMax: PAGES_MAX,
  });
  const block = memory.allocate(C.FRAME_SIZE_MAX, 'a frame');
  const room = memory.slice(block, C.FRAME_SIZE_MAX);
  return {
    extractKey(frame, inPort) {
      if (frame.length > C.FRAME_SIZE_MAX) return undefined;
      room.set(frame);
      const key = memory.wasm.extractKey(block, frame.length, inPort) >>> 0;
      return key === 0 ? undefined : memory.copy(key, C.KEY_SIZE);
    },
  };
}
