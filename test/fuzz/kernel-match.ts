/*
 * A law of key lists for the quick fuzz targets (quick.ts): what WASM's parseMatch takes, which is what the kernel takes, means the same
 * after it went through the typed codec or through text.
 */
import * as C from '../../assembly/constants.ts';
import {
  decodeMatchAttributes,
  encodeMatchAttributes,
  formatKeyAttributes,
  OdpAttributeError,
  OdpFieldError,
  parseKeyAttributes,
} from '../../src/odp/index.ts';
import type { DatapathMemory } from '../../src/wasm/memory.ts';
import { attempt } from './odp-keys.ts';

/** OVS_KEY_ATTR_* */
const ATTR = { encap: 1, tunnel: 16, ctState: 22, nsh: 28, packetType: 29 } as const;
/** OVS_TUNNEL_KEY_ATTR_VXLAN_OPTS */
const VXLAN_OPTS = 11;
/** OVS_CS_F_*: a mask with other bits is refused. */
const CT_STATE_BITS = [0xff, 0, 0, 0];
const ROOM = 4096;
/** Text of options that are not whole, or of which text has a part. */
const OPTIONS = /geneve|erspan|gbp/;

/**
 * Attributes for which the kernel refuses what the typed codec takes: port 65535, which is none; a tag with nothing behind it, in a mask;
 * TCP without its flags; a tunnel or tuple that it asks more of; neighbours that it finds by the type alone; and what only userspace has.
 */
const ONLY_OURS = new Set([3, 5, 14, 16, 18, 27, 29, 30]);

/** WASM's parseMatch, which does what the kernel does, beside the typed codec. */
export class KernelMatch {
  readonly #memory: DatapathMemory;
  readonly #at: number;
  readonly #mask = new Uint8Array(ROOM);

  constructor(memory: DatapathMemory) {
    this.#memory = memory;
    this.#at = memory.allocate(2 * ROOM + 4 * C.KEY_SIZE + C.MATCH_SIZEOF, 'lists and keys');
  }

  /**
   * What both take means the same: encoded again by the codec, and printed and read, the lists are to the kernel what they were. A key under
   * a mask of ones. True when the kernel takes it. Every second case goes by text.
   */
  judge(key: Uint8Array, index: number): boolean {
    const mask = this.#onesOf(key);
    const taken = this.#parse(key, mask, 0);
    const decoded = attempt(OdpAttributeError, () => decodeMatchAttributes(key, mask));
    if (decoded?.fitness !== 'perfect') return taken;
    if (!taken) {
      if (!isPadded(key)) return false;
      const fault = this.#fault();
      if (!ONLY_OURS.has(fault)) throw new Error(`the kernel refuses attribute ${fault}`);
      return false;
    }
    if (index % 2 === 0) {
      const lists = attempt(OdpFieldError, () => encodeMatchAttributes(decoded));
      if (lists !== undefined) this.#same('encoded again', withoutPacketType(lists.key), withoutPacketType(lists.mask));
      return true;
    }
    const text = formatKeyAttributes(key, mask, { verbose: true });
    if (OPTIONS.test(text)) return true;
    const read = parseKeyAttributes(text);
    this.#same('printed and read', read.key, read.mask);
    return true;
  }

  #keyAt(copy: number): number {
    return this.#at + 2 * ROOM + copy * 2 * C.KEY_SIZE;
  }

  get #match(): number {
    return this.#keyAt(2);
  }

  #parse(key: Uint8Array, mask: Uint8Array, copy: number): boolean {
    const memory = this.#memory;
    const [keyAt, maskAt] = [this.#at, this.#at + ROOM];
    memory.bytes.set(key, keyAt);
    memory.bytes.set(mask, maskAt);
    const flat = this.#keyAt(copy);
    const { length } = mask;
    return memory.wasm.parseMatch(keyAt, key.length, maskAt, length, flat, flat + C.KEY_SIZE, this.#match) === 0;
  }

  /** Type of the attribute at fault, or of the one that is missing. */
  #fault(): number {
    const memory = this.#memory;
    const fault = memory.u32(this.#match + C.MATCH_FAULT);
    return fault === 0 ? memory.u32(this.#match + C.MATCH_MISSING) : memory.view.getUint16(fault + 2, true) & 0x3fff;
  }

  #same(what: string, key: Uint8Array, mask: Uint8Array): void {
    if (!this.#parse(key, mask, 1)) throw new Error(`${what}: the kernel refuses attribute ${this.#fault()}`);
    const { bytes } = this.#memory;
    const [one, other] = [this.#keyAt(0), this.#keyAt(1)];
    for (let at = 0; at < C.KEY_SIZE; at++) {
      const bits = this.#meaning(at, bytes[one + C.KEY_NSH_MDTYPE]);
      const [maskOne, maskOther] = [bytes[one + C.KEY_SIZE + at] & bits, bytes[other + C.KEY_SIZE + at] & bits];
      if (maskOne !== maskOther) throw new Error(`${what}: byte ${at} of the mask is ${maskOne} and ${maskOther}`);
      if ((bytes[one + at] & maskOne) !== (bytes[other + at] & maskOne))
        throw new Error(`${what}: byte ${at} of the key is ${bytes[one + at]} and ${bytes[other + at]}`);
    }
  }

  /** The bits of a byte that fields have: under a mask of ones the kernel keeps those around them as well. */
  #meaning(at: number, mdType: number): number {
    if (at === C.KEY_IPV6_LABEL) return 0;
    if (at === C.KEY_IPV6_LABEL + 1 || at === C.KEY_TCP_FLAGS) return 0x0f;
    return mdType !== 1 && at >= C.KEY_NSH_CONTEXT && at < C.KEY_NSH_CONTEXT + 16 ? 0 : 0xff;
  }

  /** The list with ones for every payload that is no list. */
  #onesOf(key: Uint8Array): Uint8Array {
    const mask = this.#mask.subarray(0, key.length);
    mask.set(key);
    fillPayloads(mask, 0, mask.length, ATTR.encap);
    return mask;
  }
}

/** `owner`: the attribute that the list is of, ENCAP for the outermost. */
function fillPayloads(bytes: Uint8Array, start: number, end: number, owner: number): void {
  for (let at = start; at + 4 <= end; ) {
    const size = bytes[at] | (bytes[at + 1] << 8);
    const type = bytes[at + 2] | ((bytes[at + 3] & 0x3f) << 8);
    if (size < 4 || size > end - at) return;
    const nested =
      owner === ATTR.encap
        ? type === ATTR.encap || type === ATTR.tunnel || type === ATTR.nsh
        : owner === ATTR.tunnel && type === VXLAN_OPTS;
    if (nested) fillPayloads(bytes, at + 4, at + size, type);
    else if (owner === ATTR.encap && type === ATTR.ctState && size === 8) bytes.set(CT_STATE_BITS, at + 4);
    else bytes.fill(0xff, at + 4, at + size);
    at += (size + 3) & ~3;
  }
}

/** False when the last attribute of a list, or of one behind a tag, lacks its padding: the kernel wants it, Open vSwitch does not. */
function isPadded(list: Uint8Array): boolean {
  if (list.length % 4 !== 0) return false;
  for (let at = 0; at + 4 <= list.length; ) {
    const size = list[at] | (list[at + 1] << 8);
    if (list[at + 2] === ATTR.encap && !isPadded(list.subarray(at + 4, at + size))) return false;
    at += (Math.max(size, 4) + 3) & ~3;
  }
  return true;
}

/** Without what says that there is no Ethernet header, which the kernel knows from the header's absence. */
function withoutPacketType(list: Uint8Array): Uint8Array {
  for (let at = 0; at < list.length; at += ((list[at] | (list[at + 1] << 8)) + 3) & ~3) {
    if (list[at + 2] === ATTR.packetType && list[at + 3] === 0)
      return new Uint8Array(Buffer.concat([list.subarray(0, at), list.subarray(at + 8)]));
  }
  return list;
}
