/*
 * Of many windows: the middle one, and the range. Before it: overload.mjs, report.mjs.
 */

/** The value in the middle: the lower one of two. */
export function median(values) {
  return values.toSorted((a, b) => a - b)[(values.length - 1) >> 1];
}

export function spread(values) {
  return { median: median(values), min: Math.min(...values), max: Math.max(...values) };
}
