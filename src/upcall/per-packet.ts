/*
 * The convenience form of a handler: a function that is called with one upcall at a time and returns what to do. It costs a few objects a
 * miss; handlers that must be fast implement UpcallHandler.
 */
import type { ActionsHandle, ActionsInput, MaskHandle } from '../datapath/handles.ts';
import { decodeKey, exactMask, type FlowKey } from '../odp/index.ts';
import type { UpcallBatch } from './batch.ts';
import type { UpcallHandler, UpcallHost } from './handler.ts';

/** One upcall. `packet` and `flatKey` are views, valid until the function has returned. */
export interface Upcall {
  readonly inPort: number;
  readonly command: 'miss' | 'action';
  readonly packet: Uint8Array;
  readonly flatKey: Uint8Array;
  /** The key, typed; decoded when first read. */
  readonly key: FlowKey;
  readonly userdata: Uint8Array | undefined;
}

/** What to do with the packet and, unless `install` is false, with those that have the same key under `mask`. */
export interface Verdict {
  actions: ActionsInput;
  /** KEY_SIZE bytes. Default: everything that the packet's protocols have (`exactMask`). */
  mask?: Uint8Array;
  /** Install a flow. Default true. */
  install?: boolean;
}

/** undefined: drop this packet and install nothing. */
export type UpcallFunction = (upcall: Upcall) => Verdict | undefined;

/** Distinct action lists and masks that are kept held from batch to batch; past it the oldest are let go. */
const CACHE_MAX = 1024;

export function perPacket(decide: UpcallFunction): UpcallHandler {
  let host: UpcallHost;
  const actions = new HandleCache<ActionsHandle>();
  const masks = new HandleCache<MaskHandle>();

  return {
    name: decide.name || 'function',
    attach(attached) {
      host = attached;
    },
    handle(batch) {
      actions.trim();
      masks.trim();
      for (let i = 0; i < batch.count; i++) {
        const verdict = decide(upcallOf(batch, i));
        if (verdict === undefined) {
          batch.drop(i);
          continue;
        }
        const held = actions.get(cacheKey(verdict.actions), () => host.actions(verdict.actions));
        if (verdict.install === false) {
          batch.answer(i, held);
          continue;
        }
        const mask = verdict.mask ?? exactMask(batch.key(i));
        batch.answer(
          i,
          held,
          masks.get(Buffer.from(mask).toString('latin1'), () => host.mask(mask)),
        );
      }
    },
    close() {
      actions.clear();
      masks.clear();
    },
  };
}

function upcallOf(batch: UpcallBatch, index: number): Upcall {
  const flatKey = batch.key(index);
  let key: FlowKey | undefined;
  return {
    inPort: batch.inPort(index),
    command: batch.command(index),
    packet: batch.packet(index),
    flatKey,
    get key() {
      key ??= decodeKey(flatKey);
      return key;
    },
    userdata: batch.userdata(index),
  };
}

function cacheKey(actions: ActionsInput): string {
  if (typeof actions === 'string') return `t${actions}`;
  if (actions instanceof Uint8Array) return `b${Buffer.from(actions).toString('latin1')}`;
  return `j${JSON.stringify(actions, (_, value) => (typeof value === 'bigint' ? `${value}n` : value))}`;
}

class HandleCache<T extends { release(): void }> {
  readonly #held = new Map<string, T>();

  get(key: string, make: () => T): T {
    let handle = this.#held.get(key);
    if (handle === undefined) {
      handle = make();
      this.#held.set(key, handle);
    }
    return handle;
  }

  /** Lets the oldest go that are too many. Before a batch: what a batch is answered with is held until the answers are carried out. */
  trim(): void {
    for (const [key, handle] of this.#held) {
      if (this.#held.size <= CACHE_MAX) return;
      handle.release();
      this.#held.delete(key);
    }
  }

  clear(): void {
    for (const handle of this.#held.values()) handle.release();
    this.#held.clear();
  }
}
