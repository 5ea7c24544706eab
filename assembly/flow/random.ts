/*
 * Random numbers: the output function of splitmix64 (Steele, Lea, Flood 2014). Used to spread the datapath's seed over the hash
 * secrets, and by workers for sampling. Any thread; `random32` advances the state of its own worker.
 */
import { WORKER_RANDOM } from '../constants';
import { area, secrets, worker } from '../memory/layout';

const GOLDEN_GAMMA: u64 = 0x9e3779b97f4a7c15;

export function random64(state: u64): u64 {
  let z = state;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
  z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
  return z ^ (z >> 31);
}

/** The next number of this worker. */
export function random32(): u32 {
  const state = load<u64>(area, WORKER_RANDOM) + GOLDEN_GAMMA;
  store<u64>(area, state, WORKER_RANDOM);
  return <u32>(random64(state ^ (load<u64>(secrets) + worker)) >> 32);
}
