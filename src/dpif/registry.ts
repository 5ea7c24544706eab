/*
 * The providers by their types, and names of datapaths: `[type@]name`. Before it: Dpif. After it: provider.ts; `system` and `netdev` register themselves when
 * system/register.ts and netdev/register.ts are loaded (index.ts loads both), a program adds its own with `registerProvider`. Threads: each has a registry of its own.
 */
import { DatapathError } from '../errors.ts';
import { EAFNOSUPPORT } from './errors.ts';
import type { DpifProvider } from './provider.ts';

/** What a name without a type means. */
export const DEFAULT_TYPE = 'system';

const providers = new Map<string, DpifProvider>();

/** Adds a kind of datapath. Throws TypeError when its type is taken or is none, and what its `init` throws. */
export function registerProvider(provider: DpifProvider): void {
  const { type } = provider;
  if (!/^[^@\s]+$/.test(type)) throw new TypeError(`"${type}" cannot be the type of a provider`);
  if (providers.has(type)) throw new TypeError(`there is a provider of type ${type} already`);
  provider.init?.();
  providers.set(type, provider);
}

/** Removes a kind of datapath; those that are open go on. False when there was none. */
export function unregisterProvider(type: string): boolean {
  return providers.delete(type);
}

export function providerTypes(): string[] {
  return [...providers.keys()];
}

/** The provider of a type; '' is DEFAULT_TYPE. Throws ERR_NO_SUCH_PROVIDER. */
export function findProvider(type: string): DpifProvider {
  const provider = providers.get(type || DEFAULT_TYPE);
  if (provider !== undefined) return provider;
  const message = `there is no datapath type ${type}; there are ${providerTypes().join(', ')}`;
  throw new DatapathError('ERR_NO_SUCH_PROVIDER', message, { errno: EAFNOSUPPORT, operation: 'datapath open' });
}

export interface DatapathName {
  type: string;
  name: string;
}

/** Takes `[type@]name` apart; what stands behind the first @ is the name. */
export function parseDatapathName(text: string): DatapathName {
  const at = text.indexOf('@');
  return at < 0
    ? { type: DEFAULT_TYPE, name: text }
    : { type: text.slice(0, at) || DEFAULT_TYPE, name: text.slice(at + 1) };
}
