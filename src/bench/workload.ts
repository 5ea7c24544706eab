/*
 * The traffic of `wdp bench lookup`: frames and, for each, the mask of the flow that takes it. bench/ovs/frames.mjs makes the same frames and, by
 * OpenFlow rules, the same masks for Open vSwitch.
 *
 * One subtable: the flows of the generator port, each matched by every field of its headers. 2 to 24: class s = i % S has bit s of the destination as its lowest
 * one bit, and its mask covers bits 0..s: nested masks. More: the masks of a tuple-space explosion, prefixes of source address, source and
 * destination port; up to 8,192. A capture: its own frames, one flow a distinct key.
 */
import * as C from '../../assembly/constants.ts';
import { DatapathError } from '../errors.ts';
import { exactMask, fieldsMask, PcapReader } from '../index.ts';
import { classTuple, type FlowTuple, flowTuple, shuffled, udpFrame } from '../ports/frames.ts';
import { alignedSize } from './master-ring.ts';

export interface Workload {
  /** Frames, in the order of their flows. */
  readonly count: number;
  readonly alignedSizes: number;
  frame(i: number): Uint8Array;
  /** Mask of the flow of frame i, whose flat key is given; equal masks may be different arrays. */
  mask(i: number, key: Uint8Array): Uint8Array;
}

/** Order in which the ring delivers frames. */
export type FrameOrder = 'shuffled' | 'sequential';

const NESTED_MAX = 24;
/** What the frames of an explosion differ from, and by how many bits of each field masks differ. */
const TSE_SRC = 0x0a000001;
const TSE_SRC_PORT = 12345;
const TSE_DST_PORT = 80;
const SRC_BITS = 32;
const PORT_BITS = 16;
const FRAME_SIZE = 60;

/** What every megaflow of Open vSwitch looks at for a rule on `udp`. */
const COMMON = fieldsMask(['inPort', 'recircId', 'ethType', 'ipProto', 'ipFrag']);

export function generatedWorkload(flows: number, subtables: number): Workload {
  const make = subtables === 1 ? oneMask : subtables <= NESTED_MAX ? nested : explosion;
  const { tuple, mask } = make(subtables, flows);
  const masks = new Map<number, Uint8Array>();
  return {
    count: flows,
    alignedSizes: flows * alignedSize(FRAME_SIZE),
    frame: (i) => udpFrame(tuple(i), FRAME_SIZE),
    mask(i, key) {
      const index = i % subtables;
      let found = masks.get(index);
      if (found === undefined) {
        found = mask(index, key);
        masks.set(index, found);
      }
      return found;
    },
  };
}

interface Family {
  tuple: (i: number) => FlowTuple;
  mask: (index: number, key: Uint8Array) => Uint8Array;
}

function oneMask(): Family {
  return { tuple: flowTuple, mask: (_index, key) => exactMask(key) };
}

function nested(subtables: number): Family {
  return {
    tuple: (i) => classTuple(i, subtables),
    mask: (index) => maskWith([C.KEY_IPV4_SRC, 32, 0xffffffff], [C.KEY_IPV4_DST, 32, 2 ** (index + 1) - 1]),
  };
}

/** Flow i differs from the allowed values first at bit a of the source, b and c of the ports; flows past the first round differ in the destination. */
function explosion(subtables: number, flows: number): Family {
  const place = (index: number): { a: number; b: number; c: number } => ({
    a: index % SRC_BITS,
    b: Math.floor(index / SRC_BITS) % PORT_BITS,
    c: Math.floor(index / SRC_BITS / PORT_BITS) % PORT_BITS,
  });
  const differ = (value: number, bits: number, bit: number): number => (value ^ (2 ** (bits - 1 - bit))) >>> 0;
  const prefix = (bits: number, length: number): number => 2 ** bits - 2 ** (bits - length);
  return {
    tuple(i) {
      const { a, b, c } = place(i % subtables);
      return {
        src: differ(TSE_SRC, SRC_BITS, a),
        dst: flowTuple(0).dst + Math.floor(i / subtables),
        srcPort: differ(TSE_SRC_PORT, PORT_BITS, b),
        dstPort: differ(TSE_DST_PORT, PORT_BITS, c),
      };
    },
    mask(index) {
      const { a, b, c } = place(index);
      return maskWith(
        [C.KEY_IPV4_SRC, 32, prefix(SRC_BITS, a + 1)],
        [C.KEY_IPV4_DST, 32, flows > subtables ? 0xffffffff : 0],
        [C.KEY_TP_SRC, 16, prefix(PORT_BITS, b + 1)],
        [C.KEY_TP_DST, 16, prefix(PORT_BITS, c + 1)],
      );
    },
  };
}

/** The common fields and some big-endian ones: offset, bits, mask. */
function maskWith(...fields: readonly (readonly [number, 16 | 32, number])[]): Uint8Array {
  const mask = COMMON.slice();
  const view = new DataView(mask.buffer);
  for (const [at, bits, value] of fields) {
    if (bits === 32) view.setUint32(at, value);
    else view.setUint16(at, value);
  }
  return mask;
}

/** The frames of a capture that are long enough to have a key. Throws PcapError, ERR_OPERATION when there is none. */
export async function captureWorkload(file: string): Promise<Workload> {
  const frames: Uint8Array[] = [];
  await using reader = await PcapReader.open(file);
  for await (const { data } of reader) {
    if (data.length >= C.FRAME_SIZE_MIN && data.length <= C.FRAME_SIZE_MAX) frames.push(data);
  }
  if (frames.length === 0) throw new DatapathError('ERR_OPERATION', `${file} holds no frame that a datapath takes`);
  return {
    count: frames.length,
    alignedSizes: frames.reduce((sum, frame) => sum + alignedSize(frame.length), 0),
    frame: (i) => frames[i],
    mask: (_i, key) => exactMask(key),
  };
}

/** The frame at each position of the ring. */
export function frameOrder(count: number, order: FrameOrder, seed: number): Uint32Array {
  return order === 'sequential'
    ? Uint32Array.from({ length: count }, (_, i) => i)
    : Uint32Array.from(shuffled(count, seed));
}
