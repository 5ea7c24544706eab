/*
 * Random numbers: the output function of splitmix64 (Steele, Lea, Flood 2014). Used to spread the datapath's seed over the hash
 * secrets, and by workers for sampling. Pure; any thread.
 */

export function random64(state: u64): u64 {
  let z = state;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
  z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
  return z ^ (z >> 31);
}
