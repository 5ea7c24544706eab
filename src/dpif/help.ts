/*
 * Execution with help: a list of actions that the datapath does not take as it is (too long, or with actions that it does not know) is carried out here, by the WASM
 * executor, and the datapath gets what only it can do, action by action, each time with the packet as it is then. Before it: Dpif.operate. After it: help-plan.ts,
 * which cuts the list; the provider, which gets plain EXECUTE operations.
 *
 * Concepts. The executor is a small WASM datapath without ports. The packet becomes a frame of its ring, the list is executed on it, and what would have been for the
 * datapath comes out of the ring as upcalls, in order. A tunnel that the packet came by, or that was set, is set again before each: an EXECUTE does not remember it.
 *
 * Ownership: one memory a thread, made when it is first needed. Threads: each has its own.
 */
import * as C from '../../assembly/constants.ts';
import * as K from '../../assembly/netlink/openvswitch.ts';
import { AttributeBuilder, AttributeCursor } from '../netlink/attributes.ts';
import { MessageBuffer } from '../netlink/buffer.ts';
import type { GenericFamily } from '../netlink/generic.ts';
import type { Action } from '../odp/action-types.ts';
import { decodeActions, encodeActions } from '../odp/actions.ts';
import { ATTRIBUTES, METADATA } from '../odp/fields.ts';
import { loadModule } from '../wasm/load.ts';
import { DatapathMemory } from '../wasm/memory.ts';
import { dpifError, EINVAL, ENOBUFS } from './errors.ts';
import { CONTINUE, OWN_PORT_ID, planSegments, type Segment } from './help-plan.ts';
import { putKeyList } from './messages/key.ts';
import { putRequest } from './messages/request.ts';
import type { Execute } from './types.ts';

const MIB = 1048576;
const PAGE = 65536;
const FRAMES = 64;
/** The executor's own world: its messages go nowhere. */
const FAMILY: GenericFamily = { id: 32, name: 'ovs_packet', version: 1 } as GenericFamily;
const DP_IFINDEX = 1;
/** Types of key attributes that are not about headers. */
const { ctTuple4, ctTuple6 } = ATTRIBUTES;
const BESIDE_HEADERS: ReadonlySet<number> = new Set([...METADATA, ctTuple4, ctTuple6].map((entry) => entry.number));
const COUNTERS_SIZE = (C.COUNTERS + C.DROP_REASONS + C.EXPLICIT_REASONS) * 8;

/** Whether a datapath can be asked for the operation as it is. */
export function wantsHelp(op: Execute): boolean {
  return op.needsHelp === true || op.actions.length > C.ACTIONS_SIZE_MAX;
}

/**
 * Carries the operation out. `send` has the datapath execute a part of it and returns its error. The first error is that of the whole, and ends it. Throws nothing: the operation has its error.
 */
export function executeWithHelp(op: Execute, send: (part: Execute) => Error | undefined): Error | undefined {
  executor ??= new Executor();
  try {
    return executor.run(op, send);
  } catch (error) {
    return error as Error;
  }
}

let executor: Executor | undefined;

class Executor {
  readonly #memory: DatapathMemory;
  readonly #slots: number;
  readonly #rows: number;
  readonly #work: number;
  readonly #list: number;
  readonly #counters: number;

  constructor() {
    this.#memory = DatapathMemory.create(loadModule('release'), {
      flows: 1,
      workers: 1,
      emcEntries: C.EMC_ENTRIES_MIN,
      upcallFrames: FRAMES,
      arenaSize: MIB,
      seed: crypto.getRandomValues(new BigUint64Array(1))[0],
      dpIfindex: DP_IFINDEX,
      pagesMax: (64 * MIB) / PAGE,
    });
    this.#memory.setOption(C.OPTION_HANDLER, true);
    this.#memory.wasm.openSocket(OWN_PORT_ID, 0);
    this.#slots = this.#memory.allocate(C.IMPORT_SLOT_SIZEOF, 'the executor');
    this.#rows = this.#memory.allocate(C.IMPORT_ROW_SIZEOF, 'the executor');
    this.#work = this.#memory.allocate(C.KEY_SIZE + C.MATCH_SIZEOF, 'the executor');
    this.#list = this.#memory.allocate(C.ACTIONS_SIZE_MAX + 5, 'the executor');
    this.#counters = this.#memory.allocate(COUNTERS_SIZE, 'the executor');
  }

  run(op: Execute, send: (part: Execute) => Error | undefined): Error | undefined {
    const segments = planSegments(decodeActions(op.actions));
    const inPort = inPortOf(op.key);
    let frame = this.#load(op);
    for (const segment of segments) {
      const lostBefore = this.#lost();
      this.#execute(frame, segment);
      this.#memory.wasm.give(0, frame);
      if (this.#lost() !== lostBefore) {
        this.#memory.wasm.purge(0);
        return dpifError(ENOBUFS, 'execute', { [ENOBUFS]: { text: 'lists in the list have too many outputs' } });
      }
      const { next, error } = this.#handOn(op, segment, inPort, send);
      if (error !== undefined) return error;
      if (next === undefined) return undefined;
      frame = next;
    }
    return undefined;
  }

  /** The packet as a frame of the ring, taken. */
  #load(op: Execute): number {
    const { wasm } = this.#memory;
    const message = missMessage(op);
    if (wasm.importSlots(0, 1, this.#slots) !== 1) throw new Error('the ring of the executor is full');
    const size = this.#memory.u32(this.#slots + C.IMPORT_SLOT_SIZE);
    const at = this.#memory.u32(this.#slots + C.IMPORT_SLOT_OFFSET);
    this.#memory.bytes.set(message.subarray(0, size), at);
    this.#memory.bytes.set(message.subarray(size), this.#memory.u32(this.#slots + C.IMPORT_SLOT_TAIL));
    this.#memory.setU32(this.#rows + C.IMPORT_ROW_SLOT, 0);
    this.#memory.setU32(this.#rows + C.IMPORT_ROW_SIZE, message.length);
    this.#memory.setU32(this.#rows + C.IMPORT_ROW_TRUNCATED, 0);
    if (wasm.importUpcalls(0, this.#rows, 1, FAMILY.id, DP_IFINDEX, this.#work) !== 1)
      throw dpifError(EINVAL, 'execute', { [EINVAL]: { text: 'no such packet can be, or its key is none' } });
    wasm.take(0, 1);
    const frame = this.#memory.u32(this.#memory.upcallRing(0) + C.UPCALL_LIST);
    this.#memory.setU32(frame + C.UPCALL_IN_PORT, 0); // the executor has no ports: what comes out of it counts for port 0
    return frame;
  }

  #execute(frame: number, { list }: Segment): void {
    const { wasm } = this.#memory;
    this.#memory.bytes.set(list, this.#list);
    const errno = -wasm.validateActions(this.#list, list.length, 0, 0);
    if (errno !== 0) throw dpifError(errno, 'execute', { [errno]: { text: 'the list of actions makes no sense' } });
    wasm.executeFrame(frame, this.#list, list.length);
  }

  /** Sends what came out of the ring to the datapath. `next` is the packet at the end of the segment, when another one follows. */
  #handOn(
    op: Execute,
    { steps }: Segment,
    inPort: number | undefined,
    send: (part: Execute) => Error | undefined,
  ): { next?: number; error?: Error } {
    const { wasm } = this.#memory;
    const list = this.#memory.upcallRing(0) + C.UPCALL_LIST;
    const count = wasm.take(0, C.UPCALL_TAKE_MAX);
    const frames = Array.from({ length: count }, (_, i) => this.#memory.u32(list + i * 4));
    let next: number | undefined;
    let error: Error | undefined;
    for (const frame of frames) {
      const token = this.#memory.u32(this.#memory.u32(frame + C.UPCALL_USERDATA) + 4);
      if (token === CONTINUE && error === undefined) next = frame;
      else {
        if (error === undefined) error = send(this.#part(op, frame, steps[token], inPort));
        wasm.give(0, frame);
      }
    }
    if (error !== undefined && next !== undefined) wasm.give(0, next);
    return { ...(next !== undefined && { next }), ...(error !== undefined && { error }) };
  }

  #part(op: Execute, frame: number, step: readonly Action[], inPort: number | undefined): Execute {
    const memory = this.#memory;
    const message = memory.copy(memory.u32(frame + C.UPCALL_MESSAGE), memory.u32(frame + C.NL_MMAP_LEN));
    const packet = memory.copy(memory.u32(frame + C.UPCALL_PACKET), memory.u32(frame + C.UPCALL_PACKET_SIZE));
    const key = keyIn(message);
    const tunnel = patchKey(key, inPort);
    const before: Action[] =
      tunnel === undefined ? [] : [{ type: 'unknown', number: K.OVS_ACTION_ATTR_SET, payload: tunnel }];
    const { mru, hash, probe } = op;
    return {
      type: 'execute',
      packet,
      key,
      actions: encodeActions([...before, ...step]),
      ...(mru !== undefined && { mru }),
      ...(hash !== undefined && { hash }),
      ...(probe !== undefined && { probe }),
    };
  }

  #lost(): number {
    this.#memory.wasm.sumCounters(this.#counters);
    return this.#memory.u64(this.#counters + C.COUNTER_UPCALL_ACTIONS_LOST * 8);
  }
}

function missMessage(op: Execute): Uint8Array {
  const buffer = new MessageBuffer(op.packet.length + op.key.length + 64);
  putRequest(buffer, FAMILY, K.OVS_PACKET_CMD_MISS, 0, DP_IFINDEX, (attributes) => {
    putKeyList(attributes, K.OVS_PACKET_ATTR_KEY, withoutHeaders(op.key));
    attributes.binary(K.OVS_PACKET_ATTR_PACKET, op.packet);
  });
  return buffer.bytes;
}

/** What a key says besides the headers of an Ethernet frame: those of the frame itself count, as in a datapath's EXECUTE. */
function withoutHeaders(key: Uint8Array): Uint8Array {
  const buffer = new MessageBuffer(key.length);
  const kept = new AttributeBuilder(buffer);
  let isFrame = false;
  const cursor = new AttributeCursor(key);
  while (cursor.next()) {
    isFrame ||= cursor.type === K.OVS_KEY_ATTR_ETHERNET;
    if (BESIDE_HEADERS.has(cursor.type)) kept.binary(cursor.type, cursor.view());
  }
  kept.finish();
  return isFrame && cursor.error === undefined ? buffer.bytes : key;
}

const HEADERS_SIZE = 24;

/** A copy of the attributes of OVS_PACKET_ATTR_KEY. */
function keyIn(message: Uint8Array): Uint8Array {
  const cursor = new AttributeCursor(message, HEADERS_SIZE);
  while (cursor.next()) if (cursor.type === K.OVS_PACKET_ATTR_KEY) return cursor.bytes();
  return new Uint8Array(0);
}

function inPortOf(key: Uint8Array): number | undefined {
  const cursor = new AttributeCursor(key);
  while (cursor.next()) if (cursor.type === K.OVS_KEY_ATTR_IN_PORT) return cursor.u32();
  return undefined;
}

/** Puts the packet's own port back into a key that the executor made. Returns the attribute TUNNEL in it, whole, undefined when there is none. */
function patchKey(key: Uint8Array, inPort: number | undefined): Uint8Array | undefined {
  let tunnel: Uint8Array | undefined;
  const view = new DataView(key.buffer, key.byteOffset, key.length);
  const cursor = new AttributeCursor(key);
  while (cursor.next()) {
    if (cursor.type === K.OVS_KEY_ATTR_IN_PORT && inPort !== undefined) view.setUint32(cursor.offset + 4, inPort, true);
    else if (cursor.type === K.OVS_KEY_ATTR_TUNNEL)
      tunnel = key.slice(cursor.offset, cursor.offset + 4 + cursor.payloadSize);
  }
  return tunnel;
}
