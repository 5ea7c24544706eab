/*
 * Handles: masks and action lists that the host holds in the datapath, so that a handler can answer with two numbers. Equal ones are the
 * same block in the datapath; a handle is one reference to it.
 *
 * Threads: the owner thread. A handle that is never released is freed with the datapath.
 */
import * as C from '../../assembly/constants.ts';
import { DatapathError, errnoError } from '../errors.ts';
import { type Action, encodeActions, parseActions } from '../odp/index.ts';
import type { DatapathMemory } from '../wasm/memory.ts';

/** Actions in any of their forms: typed, `ovs-dpctl` text, or Netlink attributes. */
export type ActionsInput = readonly Action[] | string | Uint8Array;

/** A key and a mask to validate actions against, KEY_SIZE bytes each. */
export interface ActionsContext {
  key: Uint8Array;
  mask: Uint8Array;
}

/** A reference to a block of the datapath, until it is released. */
class Handle {
  readonly #what: string;
  readonly #drop: (address: number) => void;
  #address: number;

  constructor(what: string, address: number, drop: (address: number) => void) {
    this.#what = what;
    this.#address = address;
    this.#drop = drop;
  }

  /** Where it stands in the datapath. Throws TypeError when it was released. */
  get address(): number {
    if (this.#address === 0) throw new TypeError(`this handle of ${this.#what} was released`);
    return this.#address;
  }

  release(): void {
    if (this.#address !== 0) this.#drop(this.#address);
    this.#address = 0;
  }
}

/** A held action list. */
export class ActionsHandle extends Handle {
  readonly kind = 'actions';

  constructor(memory: DatapathMemory, address: number) {
    super('an action list', address, (held) => memory.wasm.dropActionList(held));
  }
}

/** A held mask. */
export class MaskHandle extends Handle {
  readonly kind = 'mask';

  constructor(memory: DatapathMemory, address: number) {
    super('a mask', address, (held) => memory.wasm.dropMask(held));
  }
}

export function actionBytes(actions: ActionsInput): Uint8Array {
  if (actions instanceof Uint8Array) return actions;
  return encodeActions(typeof actions === 'string' ? parseActions(actions) : [...actions]);
}

/** Validates and holds an action list. Throws ERR_INVALID_ACTIONS, ERR_OUT_OF_MEMORY. */
export function holdActions(memory: DatapathMemory, actions: ActionsInput, context?: ActionsContext): ActionsHandle {
  if (context !== undefined && (context.key.length !== C.KEY_SIZE || context.mask.length !== C.KEY_SIZE)) {
    throw new TypeError(`a flat key and its mask have ${C.KEY_SIZE} bytes each`);
  }
  const bytes = actionBytes(actions);
  if (bytes.length > C.ACTIONS_SIZE_MAX) throw errnoError(C.EMSGSIZE, 'actions');
  const scratch = memory.allocate(2 * C.KEY_SIZE + bytes.length + 16, 'an action list');
  try {
    const attrs = scratch + 2 * C.KEY_SIZE;
    memory.bytes.set(bytes, attrs);
    if (context !== undefined) {
      memory.bytes.set(context.key, scratch);
      memory.bytes.set(context.mask, scratch + C.KEY_SIZE);
    }
    const key = context === undefined ? 0 : scratch;
    const mask = context === undefined ? 0 : scratch + C.KEY_SIZE;
    const result = memory.wasm.holdActionList(attrs, bytes.length, key, mask) >>> 0;
    if (result < C.SUPERBLOCK) throw errnoError(result, 'actions');
    return new ActionsHandle(memory, result);
  } finally {
    memory.wasm.releaseBlock(scratch);
  }
}

/** Holds a mask (KEY_SIZE bytes). Throws ERR_MASKS_EXHAUSTED, ERR_OUT_OF_MEMORY. */
export function holdMask(memory: DatapathMemory, mask: Uint8Array): MaskHandle {
  if (mask.length !== C.KEY_SIZE) throw new TypeError(`a mask has ${C.KEY_SIZE} bytes, not ${mask.length}`);
  const scratch = memory.allocate(C.KEY_SIZE, 'a mask');
  memory.bytes.set(mask, scratch);
  const address = memory.wasm.holdMask(scratch) >>> 0;
  memory.wasm.releaseBlock(scratch);
  if (address === 0) throw maskError(memory);
  return new MaskHandle(memory, address);
}

/** Every descriptor is in use, or else the arena had no room. */
function maskError(memory: DatapathMemory): DatapathError {
  const free = memory.superblock(C.SB_SUBTABLE_FREE) !== 0 || memory.superblock(C.SB_SUBTABLE_FRESH) < C.SUBTABLES_MAX;
  if (free) return errnoError(C.ENOMEM, 'mask');
  return new DatapathError('ERR_MASKS_EXHAUSTED', `mask: all ${C.SUBTABLES_MAX} are in use`, {
    errno: C.ENOSPC,
    operation: 'mask',
  });
}
