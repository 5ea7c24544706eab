/*
 * The `module:FILE` handler: a user's ES module. Its default export is an UpcallHandler, a function that makes one, or a function of one upcall
 * marked by the export `perPacket = true`.
 */
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { DatapathError } from '../errors.ts';
import type { UpcallHandler } from './handler.ts';
import { perPacket, type UpcallFunction } from './per-packet.ts';

interface HandlerModule {
  default?: unknown;
  perPacket?: boolean;
}

/** Loads a handler. Throws ERR_HANDLER: not found, does not load, exports no handler. */
export async function moduleFile(file: string): Promise<UpcallHandler> {
  let loaded: HandlerModule;
  try {
    loaded = (await import(pathToFileURL(path.resolve(file)).href)) as HandlerModule;
  } catch (cause) {
    throw new DatapathError(
      'ERR_HANDLER',
      `cannot load the handler ${file}: ${cause instanceof Error ? cause.message : cause}`,
      { cause },
    );
  }
  const exported = loaded.default;
  if (typeof exported === 'function') {
    if (loaded.perPacket === true) return perPacket(exported as UpcallFunction);
    const made: unknown = await (exported as () => unknown)();
    if (isHandler(made)) return named(made, file);
  }
  if (isHandler(exported)) return named(exported, file);
  throw new DatapathError(
    'ERR_HANDLER',
    `${file} exports no handler: export default an object with handle(batch), a function that returns one, or a function of one upcall with \`export const perPacket = true\``,
  );
}

function isHandler(value: unknown): value is UpcallHandler {
  return typeof value === 'object' && value !== null && typeof (value as Partial<UpcallHandler>).handle === 'function';
}

function named(handler: UpcallHandler, file: string): UpcallHandler {
  return handler.name === undefined ? Object.assign(handler, { name: `module:${file}` }) : handler;
}
