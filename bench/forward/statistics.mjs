/*
 * Of many windows: the middle one, and the range. Before it: overload.mjs, wake.mjs, report.mjs.
 */

/** The value in the middle: the lower one of two. */
export function median(values) {
  return quantile(values, 0.5);
}

/** The value that so large a part of all is below; undefined of none. */
export function quantile(values, part) {
  return values.toSorted((a, b) => a - b)[Math.floor((values.length - 1) * part)];
}

export function spread(values) {
  return { median: median(values), min: Math.min(...values), max: Math.max(...values) };
}
