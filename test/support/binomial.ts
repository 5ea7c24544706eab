/*
 * Whether a count of chance events is what their probability says, with a bound that holds for every number of trials.
 */

/** Kullback-Leibler divergence of two coins, in nats. */
function divergence(q: number, p: number): number {
  const term = (a: number, b: number): number => (a === 0 ? 0 : a * Math.log(a / b));
  return term(q, p) + term(1 - q, 1 - p);
}

/**
 * An upper bound (Chernoff's) of the probability that of `trials` independent events of probability `p` a number comes true that is as far
 * off, or farther, on either side, as `count`.
 */
export function chanceOf(count: number, trials: number, p: number): number {
  return Math.min(1, 2 * Math.exp(-trials * divergence(count / trials, p)));
}
