/*
 * Which worker should poll which queue, from what each of them costs. Before it: distribution.ts. Pure.
 *
 * Concepts. The heaviest queue goes to the worker that has least to do, then the next heaviest, and so on: no worker ends up with more than 4/3 of
 * what the best distribution would give it (Graham 1969). What is fixed is counted first. A queue that nobody sends to costs a look in every round, so
 * idle queues spread by their number. Among equals a queue stays where it is, and a plan that does not relieve the busiest worker moves nothing.
 *
 * A pinned queue goes where it is pinned. A worker that has one is isolated, when that is wanted: queues that are not pinned go to the others, if there are any.
 */

export interface PlannedQueue {
  readonly worker: number;
  /** Share of a worker's time that it takes, 0 to 1. */
  readonly usage: number;
  readonly isFixed: boolean;
  /** One of the workers, which it must go to. */
  readonly pin?: number | undefined;
}

/** Workers for queues that are not pinned: those to which none is, or all when there are none such or nobody is to be isolated. */
export function openWorkers(
  queues: readonly PlannedQueue[],
  workers: readonly number[],
  isolates: boolean,
): readonly number[] {
  const pins = new Set(isolates ? queues.map(({ pin }) => pin) : []);
  const open = workers.filter((worker) => !pins.has(worker));
  return open.length === 0 ? workers : open;
}

/** Somebody else must poll it: where it is pinned, or any of `open`. */
export function isMisplaced({ worker, isFixed, pin }: PlannedQueue, open: readonly number[]): boolean {
  if (pin !== undefined) return worker !== pin;
  return !isFixed && !open.includes(worker);
}

/** What looking at an idle queue counts for, beside shares of time. */
const LOOK = 0.001;
/** The busiest worker must have so much less to do afterwards, as a share of what it has: measurements are not better than that. */
const GAIN_MIN = 0.01;

/** The worker of each queue from now on: one of `workers`. Queues that are misplaced must move, whether that is a gain or not. */
export function plan(queues: readonly PlannedQueue[], workers: readonly number[], isolates = true): number[] {
  const weights = queues.map(({ usage }) => usage + LOOK);
  const load = new Map(workers.map((worker) => [worker, 0]));
  const take = (worker: number, weight: number): void => void load.set(worker, (load.get(worker) ?? 0) + weight);
  const open = openWorkers(queues, workers, isolates);
  const planned = queues.map(({ worker, pin }) => pin ?? worker);
  const isSettled = ({ isFixed, pin }: PlannedQueue): boolean => isFixed || pin !== undefined;
  for (const [i, queue] of queues.entries()) if (isSettled(queue)) take(planned[i], weights[i]);
  const movable = queues.map((_, i) => i).filter((i) => !isSettled(queues[i]));
  for (const i of movable.sort((one, other) => weights[other] - weights[one] || one - other)) {
    planned[i] = leastLoaded(load, open, queues[i].worker);
    take(planned[i], weights[i]);
  }
  const mustMove = queues.some((queue) => isMisplaced(queue, open));
  const now = queues.map(({ worker }) => worker);
  const isGain = busiest(planned, weights, open) < busiest(now, weights, open) * (1 - GAIN_MIN);
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
