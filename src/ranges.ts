/*
 * Numbers that callers give, held against what they may be: the same words everywhere. Before it: options of datapaths and ports, arguments of their methods.
 * Pure; any thread.
 */

/** `value`, if it is an integer in the range. Throws RangeError, which begins with `name`. */
export function integer(name: string, value: number, low: number, high: number): number {
  if (!Number.isInteger(value) || value < low || value > high) {
    throw new RangeError(`${name} must be an integer from ${low} to ${high}, not ${value}`);
  }
  return value;
}

/** `value`, if it is a power of two in the range. Throws RangeError, which begins with `name`. */
export function powerOfTwo(name: string, value: number, low: number, high: number): number {
  integer(name, value, low, high);
  if ((value & (value - 1)) !== 0) throw new RangeError(`${name} must be a power of two, not ${value}`);
  return value;
}
