/*
 * Codecs of set and set_masked: both are `set(field(..))` in text, and which of the two is meant shows in the masks.
 *
 * The fields are those of keys (set-fields.ts). Joined with the other families in action-table.ts. Pure functions.
 */

import type { ActionCodec, Codecs } from './action-codec.ts';
import type { SetAction, SetMaskedAction } from './action-types.ts';
import {
  decodeSet,
  decodeSetMasked,
  encodeSet,
  encodeSetMasked,
  formatSet,
  type SetField,
  type SetMaskedField,
  scanSet,
} from './set-fields.ts';

/** Reads `(field(..))`; gives either of the two actions. */
const scan: ActionCodec<SetAction | SetMaskedAction>['scan'] = ({ scanner }) => {
  scanner.expect('(');
  const { masked, field } = scanSet(scanner);
  scanner.expect(')');
  return masked ? { type: 'setMasked', field: field as SetMaskedField } : { type: 'set', field: field as SetField };
};

export const SET: Codecs<'set' | 'setMasked'> = {
  set: {
    words: ['set'],
    write: (action, { writer }) => writer.raw(encodeSet(action.field)),
    read: (attribute) => {
      const field = decodeSet(attribute);
      return field && { type: 'set', field };
    },
    format: (action) => `set(${formatSet(action.field, false)})`,
    scan: scan as ActionCodec<SetAction>['scan'],
  },
  setMasked: {
    words: [],
    write: (action, { writer }) => writer.raw(encodeSetMasked(action.field)),
    read: (attribute) => {
      const field = decodeSetMasked(attribute);
      return field && { type: 'setMasked', field };
    },
    format: (action) => `set(${formatSet(action.field, true)})`,
    scan: scan as ActionCodec<SetMaskedAction>['scan'],
  },
};
