/*
 * Loads the kinds of datapaths that a command can be about. Before it: run.ts. After it: the providers.
 *
 * A command line has a process of its own and a short life, and loading is most of it. Such a process has just begun and has no datapaths of its own, so what
 * they need, the larger part, is loaded only when somebody names another kind than the kernel's.
 */
import type { DpctlContext } from './context.ts';

const OTHER_KIND = /^(?!system@)[^@/\s]+@/;

export async function loadProviders({ inWorker }: DpctlContext, args: readonly string[]): Promise<void> {
  await import('../dpif/system/register.ts');
  if (inWorker || args.some((arg) => OTHER_KIND.test(arg))) await import('../dpif/netdev/register.ts');
}
