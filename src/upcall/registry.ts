/*
 * Handlers by the names of the command line: `learning`, `drop`, `flood`, `static:FILE`, `module:FILE`.
 */
import { DatapathError } from '../errors.ts';
import { drop, flood } from './flood.ts';
import type { UpcallHandler } from './handler.ts';
import { learning } from './learning.ts';
import { moduleFile } from './module.ts';
import { staticFile } from './static.ts';

export const HANDLER_FORMS = ['learning', 'drop', 'flood', 'static:FILE', 'module:FILE'] as const;

/** Makes a handler. Throws DatapathError ERR_HANDLER or ERR_RULE. */
export async function makeHandler(spec: string): Promise<UpcallHandler> {
  const at = spec.indexOf(':');
  const name = at < 0 ? spec : spec.slice(0, at);
  const file = at < 0 ? '' : spec.slice(at + 1);
  if (at < 0 && name === 'learning') return learning();
  if (at < 0 && name === 'drop') return drop();
  if (at < 0 && name === 'flood') return flood();
  if (file !== '' && name === 'static') return staticFile(file);
  if (file !== '' && name === 'module') return moduleFile(file);
  throw new DatapathError('ERR_HANDLER', `no handler "${spec}"; there are ${HANDLER_FORMS.join(', ')}`);
}
