/*
 * Which worker should poll which queue, from what each of them costs. Before it: distribution.ts. Pure.
 *
 * Concepts. The heaviest queue goes to the worker that has least to do, then the next heaviest, and so on: no worker ends up with more than 4/3 of
 * what the best distribution would give it (Graham 1969). What is fixed is counted first. A queue that nobody sends to costs a look in every round, so
 * idle queues spread by their number. Among equals a queue stays where it is, and a plan that does not relieve the busiest worker moves nothing.
 */

export interface PlannedQueue {
  readonly worker: number;
  /** Share of a worker's time that it takes, 0 to 1. */
  readonly usage: number;
  readonly isFixed: boolean;
}

/** What looking at an idle queue counts for, beside shares of time. */
const LOOK = 0.001;
/** The busiest worker must have so much less to do afterwards, as a share of what it has: measurements are not better than that. */
const GAIN_MIN = 0.01;

/** The worker of each queue from now on: one of `workers`. Queues of others must move, whether that is a gain or not. */
export function plan(queues: readonly PlannedQueue[], workers: readonly number[]): number[] {
  const weights = queues.map(({ usage }) => usage + LOOK);
  const load = new Map(workers.map((worker) => [worker, 0]));
  const take = (worker: number, weight: number): void => void load.set(worker, (load.get(worker) ?? 0) + weight);
  const planned = queues.map(({ worker }) => worker);
  for (const [i, { worker, isFixed }] of queues.entries()) if (isFixed) take(worker, weights[i]);
  const movable = queues.map((_, i) => i).filter((i) => !queues[i].isFixed);
  for (const i of movable.sort((one, other) => weights[other] - weights[one] || one - other)) {
    planned[i] = leastLoaded(load, workers, queues[i].worker);
    take(planned[i], weights[i]);
  }
  const mustMove = movable.some((i) => !workers.includes(queues[i].worker));
  const now = queues.map(({ worker }) => worker);
  const isGain = busiest(planned, weights, workers) < busiest(now, weights, workers) * (1 - GAIN_MIN);
  return mustMove || isGain ? planned : now;
}

/** The first of those that have least, or `preferred` if it is one of them. */
function leastLoaded(load: ReadonlyMap<number, number>, workers: readonly number[], preferred: number): number {
  const least = Math.min(...workers.map((worker) => load.get(worker)!));
  if (load.get(preferred) === least && workers.includes(preferred)) return preferred;
  return workers.find((worker) => load.get(worker) === least)!;
}

function busiest(planned: readonly number[], weights: readonly number[], workers: readonly number[]): number {
  const loads = workers.map((worker) => planned.reduce((sum, of, i) => sum + (of === worker ? weights[i] : 0), 0));
  return Math.max(0, ...loads);
}
