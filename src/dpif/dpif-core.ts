/*
 * DpifCore: what every method of Dpif is made with: the open datapath, its name, errors that a person understands, the log. Before it: dpif.ts, dpif-services.ts.
 * After it: the provider. provider.ts is the manual.
 */
import { dpifError, EOPNOTSUPP, errnoOf, explain, type Meanings } from './errors.ts';
import { say } from './log.ts';
import type { ProviderDatapath, Walk } from './provider.ts';

export class DpifCore {
  readonly type: string;
  readonly baseName: string;
  protected readonly provider: ProviderDatapath;

  protected constructor(type: string, provider: ProviderDatapath) {
    this.type = type;
    this.baseName = provider.name;
    this.provider = provider;
  }

  /** `type@name`. */
  get fullName(): string {
    return `${this.type}@${this.baseName}`;
  }

  /** One step at the provider; `quiet` are the errnos that are a part of normal life. */
  protected attempt<T>(operation: string, meanings: Meanings, step: () => T, quiet: readonly number[] = []): T {
    return attempt(`${this.fullName}: ${operation}`, meanings, step, quiet);
  }

  protected async attemptAsync<T>(operation: string, meanings: Meanings, step: () => Promise<T>): Promise<T> {
    try {
      return await step();
    } catch (error) {
      throw told(explain(error, `${this.fullName}: ${operation}`, meanings), []);
    }
  }

  /** A walk through a table, whose errors come while one walks. */
  protected walk<T>(operation: string, meanings: Meanings, start: () => Walk<T>): Walk<T> {
    const what = `${this.fullName}: ${operation}`;
    return {
      *[Symbol.iterator]() {
        try {
          yield* start();
        } catch (error) {
          throw told(explain(error, what, meanings), []);
        }
      },
      async *[Symbol.asyncIterator]() {
        try {
          yield* start();
        } catch (error) {
          throw told(explain(error, what, meanings), []);
        }
      },
    };
  }

  /** A member that the provider may lack: EOPNOTSUPP. */
  protected need<N extends keyof ProviderDatapath>(name: N): NonNullable<ProviderDatapath[N]> {
    const member = this.provider[name];
    if (typeof member !== 'function') throw dpifError(EOPNOTSUPP, `${this.fullName}: ${name}`);
    return member.bind(this.provider) as NonNullable<ProviderDatapath[N]>;
  }
}

export function attempt<T>(operation: string, meanings: Meanings, step: () => T, quiet: readonly number[] = []): T {
  let result: T;
  try {
    result = step();
  } catch (error) {
    throw told(explain(error, operation, meanings), quiet);
  }
  say('dbg', () => `${operation}: done`);
  return result;
}

function told(error: unknown, quiet: readonly number[]): unknown {
  const isQuiet = quiet.includes(errnoOf(error) ?? 0);
  if (error instanceof Error) say(isQuiet ? 'dbg' : 'warn', () => error.message);
  return error;
}
