/*
 * Which datapaths a control command is about: the one that is named, the only one there is, or all.
 *
 * Before it: the commands. After it: Dpif. The rules are those of ovs-dpctl, but datapaths and types come in alphabetical order.
 */
import { constants } from 'node:os';
import { Dpif } from '../dpif/dpif.ts';
import type { DpctlContext } from './context.ts';
import { errnoOf } from './problem.ts';

const { ENODEV, EINVAL } = constants.errno;

const LIST_THEM = '`wdp dump-dps` lists the datapaths';
const IN_A_WORKER = 'datapaths of this type live in a worker: name its control socket, `wdp --target PATH ...`';

/** Opens `[TYPE@]NAME`, runs `use` on it and closes it. A datapath that cannot be opened is a failure `what`. */
export async function withDatapath(
  context: DpctlContext,
  name: string,
  use: (dpif: Dpif) => void | Promise<void>,
  what = 'opening datapath',
): Promise<void> {
  const dpif = openDatapath(context, name, what);
  if (dpif === undefined) return;
  try {
    await use(dpif);
  } finally {
    dpif.close();
  }
}

function openDatapath(context: DpctlContext, name: string, what: string): Dpif | undefined {
  try {
    return Dpif.open(name);
  } catch (error) {
    context.fail(what, error, openMend(context, name, error));
    return undefined;
  }
}

/** What to do about a datapath that is not there. */
export function openMend(context: DpctlContext, name: string, error: unknown): string | undefined {
  if (name.startsWith('netdev@') && !context.inWorker) return IN_A_WORKER;
  return errnoOf(error) === ENODEV ? LIST_THEM : undefined;
}

/**
 * For commands whose datapath may be left out: the first of `args` when there are `max` of them, else the only one there is. `use` gets the other
 * arguments.
 */
export async function withOptionalDatapath(
  context: DpctlContext,
  args: readonly string[],
  max: number,
  use: (dpif: Dpif, rest: readonly string[]) => void | Promise<void>,
): Promise<void> {
  const isNamed = args.length === max;
  const name = isNamed ? args[0] : onlyDatapath(context);
  if (name === undefined) return;
  const rest = isNamed ? args.slice(1) : args;
  await withDatapath(context, name, (dpif) => use(dpif, rest), isNamed ? `${name}: datapath not found` : undefined);
}

/** Whether there is a datapath `[TYPE@]NAME`, for commands whose first argument may be something else. */
export function isDatapath(name: string): boolean {
  try {
    Dpif.open(name).close();
    return true;
  } catch {
    return false;
  }
}

/** The full name of the only datapath; undefined, and a failure, when there are none or several. */
export function onlyDatapath(context: DpctlContext): string | undefined {
  const { names, error } = allDatapaths();
  if (names.length === 1) return names[0];
  if (names.length > 1) context.fail('multiple datapaths, specify one', EINVAL, names.join(', '));
  else context.fail('no datapaths exist', error ?? EINVAL);
  return undefined;
}

/** Full names of all datapaths, and what kept a type from telling its own. */
function allDatapaths(): { names: string[]; error: unknown } {
  const names: string[] = [];
  let error: unknown;
  for (const type of Dpif.types().sort()) {
    try {
      names.push(
        ...Dpif.enumerate(type)
          .sort()
          .map((name) => `${type}@${name}`),
      );
    } catch (reason) {
      error = reason;
    }
  }
  return { names, error };
}

/** Runs `use` on each datapath there is. That a type has none to tell of is only a failure when no other type has. */
export async function forEachDatapath(context: DpctlContext, use: (dpif: Dpif) => void | Promise<void>): Promise<void> {
  const { names, error } = allDatapaths();
  for (const name of names) await withDatapath(context, name, use, `opening datapath ${name} failed`);
  if (names.length === 0 && error !== undefined) context.fail('listing datapaths', error);
}
