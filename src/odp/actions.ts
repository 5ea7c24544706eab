/*
 * Actions: typed form to and from Netlink attributes (OVS_ACTION_ATTR_*).
 *
 * Actions come from handlers, from text (actions-text.ts) or from a dump, and go with a flow into the datapath. Attributes that have no typed form
 * here, and those whose bytes the typed form would not bring back, are kept as they are, so that nothing is lost on the way through; only the two
 * flag bits of an attribute's type, padding, and the order inside of check_pkt_len and of a tunnel that is set are not. Payload bytes in typed actions are copies.
 */

import { ACTIONS_SIZE_MAX } from '../../assembly/constants.ts';
import {
  ACTION_NESTING_MAX,
  AttributeWriter,
  bytesOf,
  integer,
  isSameBytes,
  type ReadContext,
  tooLong,
  type WriteContext,
} from './action-codec.ts';
import { type ActionNumbering, actionNumber, actionType } from './action-numbers.ts';
import { NLA_F_NESTED } from './action-plain.ts';
import { codecOf } from './action-table.ts';
import type { Action } from './action-types.ts';
import { type Attribute, walkAttributes } from './attributes.ts';
import { OdpAttributeError, OdpFieldError } from './errors.ts';

export interface ActionCodecOptions {
  /** Whose attribute numbers; default the kernel's. */
  numbering?: ActionNumbering;
}

const ATTRIBUTE_TYPE_MAX = 0x3fff;

/**
 * Attributes of an action list, each padded to four bytes. Throws OdpFieldError on a value out of range, over 65,531 bytes, or where lists are
 * more than ACTION_NESTING_MAX deep in each other.
 */
export function encodeActions(actions: readonly Action[], options: ActionCodecOptions = {}): Uint8Array {
  const encoder = new Encoder(options.numbering ?? 'kernel');
  encoder.list(actions, 'actions');
  const { writer } = encoder;
  if (writer.size > ACTIONS_SIZE_MAX) throw tooLong('actions', writer.size);
  return writer.finish();
}

class Encoder implements WriteContext {
  readonly writer = new AttributeWriter();
  readonly #numbering: ActionNumbering;
  #depth = -1;

  constructor(numbering: ActionNumbering) {
    this.#numbering = numbering;
  }

  readonly list = (actions: readonly Action[], field: string): void => {
    if (!Array.isArray(actions)) throw new OdpFieldError(field, 'a list of actions was expected');
    if (this.#depth === ACTION_NESTING_MAX)
      throw new OdpFieldError(field, `lists more than ${ACTION_NESTING_MAX} deep`);
    this.#depth += 1;
    for (const action of actions) this.#action(action);
    this.#depth -= 1;
  };

  #action(action: Action): void {
    const { writer } = this;
    if (action.type === 'unknown') {
      const number = integer(action.number, ATTRIBUTE_TYPE_MAX, 'unknown.number');
      writer.put(number, bytesOf(action.payload, ACTIONS_SIZE_MAX, 'unknown.payload'), 'unknown.payload');
      return;
    }
    const codec = codecOf(action.type);
    if (codec === undefined) throw new OdpFieldError('type', `${JSON.stringify(action.type)} is no action`);
    const number = actionNumber(action.type, this.#numbering);
    if (number === undefined) throw new OdpFieldError('type', `${action.type} has no number in ${this.#numbering}`);
    const start = writer.open(action.type === 'psample' ? number | NLA_F_NESTED : number);
    codec.write(action, this);
    writer.close(start, action.type);
  }
}

/** Typed form of an action list. Throws OdpAttributeError where an attribute is cut, has a wrong size, or lists are too deep in each other. */
export function decodeActions(bytes: Uint8Array, options: ActionCodecOptions = {}): Action[] {
  return new Decoder(options.numbering ?? 'kernel').list(bytes, 0);
}

/** Nested attributes whose order, padding or repetition the typed form does not have: these are written again to be sure. */
const CHECKED: ReadonlySet<string> = new Set(['userspace', 'ct', 'pushNsh', 'psample', 'tunnelPush']);

class Decoder implements ReadContext {
  readonly #numbering: ActionNumbering;
  #depth = -1;

  constructor(numbering: ActionNumbering) {
    this.#numbering = numbering;
  }

  readonly list = (payload: Uint8Array, offset: number): Action[] => {
    if (this.#depth === ACTION_NESTING_MAX) {
      throw new OdpAttributeError('actions', offset, `lists more than ${ACTION_NESTING_MAX} deep`);
    }
    this.#depth += 1;
    const actions: Action[] = [];
    for (const attribute of walkAttributes(payload, 'OVS_ACTION_ATTR', offset)) actions.push(this.#action(attribute));
    this.#depth -= 1;
    return actions;
  };

  #action(attribute: Attribute): Action {
    const { number, payload } = attribute;
    const type = actionType(number, this.#numbering);
    const action = type && codecOf(type)?.read(attribute, this);
    if (action !== undefined && (!CHECKED.has(action.type) || this.#isSame(action, payload))) return action;
    return { type: 'unknown', number, payload: payload.slice() };
  }

  #isSame(action: Action, payload: Uint8Array): boolean {
    try {
      const bytes = encodeActions([action], { numbering: this.#numbering });
      const size = (bytes[0] | (bytes[1] << 8)) - 4;
      return isSameBytes(bytes.subarray(4, 4 + size), payload);
    } catch (error) {
      if (error instanceof OdpFieldError) return false;
      throw error;
    }
  }
}
