/*
 * ct-set-limits, ct-get-limits, ct-del-limits: how many connections zones may have. Before it: command-table.ts. After it: Dpif.
 */
import { constants } from 'node:os';
import type { Dpif } from '../dpif/dpif.ts';
import type { CtLimit } from '../dpif/types.ts';
import type { DpctlContext } from './context.ts';
import { limitsText } from './ct-text.ts';
import { isDatapath, onlyDatapath, withDatapath } from './datapaths.ts';

const { EINVAL } = constants.errno;
const ZONE_MAX = 0xffff;
const LIMIT_MAX = 0xffffffff;

/** Whether a text is a zone's number. */
export function isZone(text: string): boolean {
  return /^\d+$/.test(text) && Number(text) <= ZONE_MAX;
}

function isLimit(text: string): boolean {
  return /^\d+$/.test(text) && Number(text) <= LIMIT_MAX;
}

/** The datapath may be left out; what it is not is an argument. */
async function withArguments(
  context: DpctlContext,
  args: readonly string[],
  use: (dpif: Dpif, rest: readonly string[]) => void,
): Promise<void> {
  const isNamed = args.length > 0 && !args[0].includes('=') && isDatapath(args[0]);
  const name = isNamed ? args[0] : onlyDatapath(context);
  if (name !== undefined) await withDatapath(context, name, (dpif) => use(dpif, isNamed ? args.slice(1) : args));
}

export async function ctSetLimits(context: DpctlContext, args: readonly string[]): Promise<void> {
  await withArguments(context, args, (dpif, rest) => {
    const limits = rest.map(readLimit);
    const wrong = limits.find((limit) => typeof limit === 'string');
    if (wrong !== undefined) return context.fail(wrong as string, EINVAL);
    try {
      dpif.ctSetLimits(limits as CtLimit[]);
    } catch (error) {
      context.fail('failed to set conntrack limit', error);
    }
  });
}

/** `default=L` or `zone=N,limit=L`; else what is wrong with it. */
function readLimit(text: string): CtLimit | string {
  const fields = new Map(text.split(/[, ]+/).map((item) => item.split('=') as [string, string]));
  const stranger = [...fields.keys()].find((name) => !['default', 'zone', 'limit'].includes(name));
  if (stranger !== undefined) return `invalid zone limit field: ${stranger}`;
  const [usual, zone, limit] = ['default', 'zone', 'limit'].map((name) => fields.get(name));
  if (usual !== undefined)
    return isLimit(usual) && fields.size === 1 ? { limit: Number(usual) } : 'invalid default limit';
  if (zone === undefined || limit === undefined) return 'failed to parse zone limit';
  if (!isZone(zone)) return 'failed to parse field zone';
  return isLimit(limit) ? { zone: Number(zone), limit: Number(limit) } : 'failed to parse field limit';
}

/** `zone=N1[,N2]...`; undefined, and a failure, when it is not that. */
function readZones(context: DpctlContext, text: string): number[] | undefined {
  if (!text.startsWith('zone=')) {
    context.fail(`invalid argument ${text}`, EINVAL);
    return undefined;
  }
  const zones = text.slice('zone='.length).split(',');
  if (zones.every(isZone)) return zones.map(Number);
  context.fail('invalid zone', EINVAL);
  return undefined;
}

export async function ctDelLimits(context: DpctlContext, args: readonly string[]): Promise<void> {
  await withArguments(context, args, (dpif, rest) => {
    if (rest.length !== 1) return context.fail('zone=N1[,N2]... was expected', EINVAL);
    const zones = readZones(context, rest[0]);
    if (zones === undefined) return;
    try {
      dpif.ctDelLimits(zones);
    } catch (error) {
      context.fail('failed to delete conntrack limit', error);
    }
  });
}

export async function ctGetLimits(context: DpctlContext, args: readonly string[]): Promise<void> {
  await withArguments(context, args, (dpif, rest) => {
    if (rest.length > 1) return context.fail(`invalid argument ${rest[1]}`, EINVAL);
    const zones = rest.length === 0 ? [] : readZones(context, rest[0]);
    if (zones === undefined) return;
    try {
      const limits = dpif.ctGetLimits(zones);
      if (context.options.json) context.writeObject({ limits });
      else context.write(`${limitsText(limits)}\n`);
    } catch (error) {
      context.fail('failed to get conntrack limit', error);
    }
  });
}
