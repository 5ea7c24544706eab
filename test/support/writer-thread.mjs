/*
 * A second writer: a thread that attaches a worker slot of its own and puts, replaces and removes flows until it is told to stop, as fast as it
 * can. It runs the built package, as the pollers do. Masks, action lists and keys are held by the main thread.
 */
import { parentPort, workerData } from 'node:worker_threads';
import * as C from '../../dist/assembly/constants.js';
import { DatapathMemory } from '../../dist/src/wasm/memory.js';

const { module, memory, slot, keys, count, masks, lists, stop, seed } = workerData;
const { wasm } = DatapathMemory.attach(module, memory, slot);
const flows = new Array(count).fill(0);
const result = { puts: 0, removes: 0, failures: 0, broken: 0 };
let state = seed >>> 0 || 1;

function below(limit) {
  state ^= state << 13;
  state ^= state >>> 17;
  state ^= state << 5;
  state >>>= 0;
  return state % limit;
}

while (Atomics.load(stop, 0) === 0) {
  for (let i = 0; i < 256; i++) {
    const n = below(count);
    if (flows[n] !== 0 && below(3) === 0) {
      if (wasm.removeFlowAt(flows[n]) !== 0) result.failures++;
      flows[n] = 0;
      result.removes++;
    } else {
      const address =
        wasm.putFlow(keys + n * C.KEY_SIZE, masks[n % masks.length], lists[below(lists.length)], 0, 0, 0) >>> 0;
      if (address < C.SUPERBLOCK) result.failures++;
      else flows[n] = address;
      result.puts++;
    }
  }
  if (result.broken === 0 && below(64) === 0) result.broken = wasm.check();
}
wasm.detach();
parentPort.postMessage(result);
