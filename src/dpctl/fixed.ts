/*
 * Numbers with a fixed count of decimals as the C library prints them: what lies in the middle goes to the even neighbour, where JavaScript's toFixed takes the
 * larger one. Pure.
 */

/** A double has no more decimals than these to be told from the middle. */
const EXACT_DIGITS = 60;

/** `value` with so many decimals, at most 20. */
export function fixed(value: number, decimals: number): string {
  const rounded = value.toFixed(decimals);
  const [, kept, rest] = /^(.*)(.{60})$/.exec(value.toFixed(decimals + EXACT_DIGITS))!;
  const isMiddle = /^50*$/.test(rest);
  const lastDigit = Number(/(\d)\.?$/.exec(kept)![1]);
  return isMiddle && lastDigit % 2 === 0 ? kept.replace(/\.$/, '') : rounded;
}
