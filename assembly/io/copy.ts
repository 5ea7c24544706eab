/*
 * Copying frames. Most are short: those are copied by whole vectors, which read and write past their end, so there must be room for that behind
 * both (the memory itself has a spare page). Pure; any thread.
 */

/** Longer ones are copied as memory.copy does it, whose call costs about as much as this many bytes. */
const SHORT_MAX: u32 = 256;

/** Bytes that copyFrame may write behind a frame of `size`. */
export const COPY_SLACK: u32 = 63;

@inline
export function copyFrame(to: usize, from: usize, size: u32): void {
  if (size <= SHORT_MAX) copyLines(to, from, size);
  else memory.copy(to, from, size);
}

@inline
function copyLines(to: usize, from: usize, size: u32): void {
  let at: u32 = 0;
  do {
    v128.store(to + at, v128.load(from + at));
    v128.store(to + at, v128.load(from + at, 16), 16);
    v128.store(to + at, v128.load(from + at, 32), 32);
    v128.store(to + at, v128.load(from + at, 48), 48);
    at += 64;
  } while (at < size);
}
