/*
 * Numbers on the command line of `wdp bench`: text in, number out, or commander's InvalidArgumentError.
 */
import { InvalidArgumentError } from 'commander';

/** Longest time, s. */
const SECONDS_MAX = 3600;

export function whole(low: number, high: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (/^\d+$/.test(text) && value >= low && value <= high) return value;
    throw new InvalidArgumentError(`It must be a whole number from ${low} to ${high}.`);
  };
}

export function powerOfTwo(low: number, high: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (/^\d+$/.test(text) && Number.isInteger(Math.log2(value)) && value >= low && value <= high) return value;
    throw new InvalidArgumentError(`It must be a power of two from ${low} to ${high}.`);
  };
}

export function seconds(low: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (/^\d*\.?\d+$/.test(text) && value >= low && value <= SECONDS_MAX) return value;
    throw new InvalidArgumentError(`It must be a number of seconds from ${low} to ${SECONDS_MAX}.`);
  };
}
