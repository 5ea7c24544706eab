/*
 * All action codecs in one table, by type and by the word that opens them in text.
 *
 * Before it: the families action-*.ts. After it: actions.ts (attributes) and actions-text.ts (text). Constants only.
 */

import type { ActionCodec, Codecs } from './action-codec.ts';
import { CT } from './action-ct.ts';
import { HEADERS } from './action-headers.ts';
import { NESTED } from './action-nested.ts';
import { PLAIN } from './action-plain.ts';
import { SET } from './action-set.ts';
import { TUNNEL_PUSH } from './action-tunnel.ts';
import type { Action, ActionType } from './action-types.ts';
import { USERSPACE } from './action-userspace.ts';

type TypedActionType = Exclude<ActionType, 'unknown'>;

const CODECS: Codecs<TypedActionType> = {
  ...PLAIN,
  ...HEADERS,
  ...NESTED,
  ...USERSPACE,
  ...CT,
  ...SET,
  ...TUNNEL_PUSH,
};

/** The codec of an action type, undefined for a name that is none. */
export function codecOf(type: string): ActionCodec<Action> | undefined {
  return Object.hasOwn(CODECS, type) ? (CODECS[type as TypedActionType] as unknown as ActionCodec<Action>) : undefined;
}

/** Codecs by the words that open them in text. */
export const CODECS_BY_WORD: ReadonlyMap<string, ActionCodec<Action>> = new Map(
  Object.values(CODECS as unknown as Record<string, ActionCodec<Action>>).flatMap((codec) =>
    codec.words.map((word) => [word, codec] as const),
  ),
);
