/*
 * Set actions on fields that are not one flat structure of the field table: MPLS entries, a VLAN tag, NSH, whose value and mask stand
 * side by side in each of its nested attributes, and a tunnel, which is only set whole.
 *
 * Used by set-fields.ts. Pure functions.
 */

import { KEY_SIZE, MPLS_DEPTH_MAX } from '../../assembly/constants.ts';
import * as K from '../../assembly/netlink/openvswitch.ts';
import { type Attribute, attributeBytes, checkSize, concatBytes, walkAttributes } from './attributes.ts';
import {
  decodeMaskedMplsEntry,
  decodeMaskedTci,
  decodeMplsEntry,
  decodeTci,
  encodeMplsEntry,
  encodeTci,
  formatMpls,
  formatTci,
  type MaskedWord,
  MPLS_MASK_FULL,
  scanMpls,
  scanTci,
} from './bitfields.ts';
import { OdpFieldError } from './errors.ts';
import { NSH_BASE_SIZE, NSH_MD1_SIZE, NSH_SLOTS } from './fields.ts';
import { decodeMaskedFields, encodeFields, formatGroup, scanFields } from './groups.ts';
import { readBe16, readBe32, writeBe16, writeBe32 } from './layers.ts';
import type { SetBytes, SetCodec } from './set-fields.ts';
import { decodeTunnel, encodeTunnel } from './tunnel.ts';
import { scanTunnel } from './tunnel-scan.ts';
import { formatTunnel } from './tunnel-text.ts';
import { decodeTunnelKey, encodeTunnelKey } from './tunnel-typed.ts';
import type { Masked, MplsEntry, TunnelKey, VlanMatch } from './types.ts';

// ---------------------------------------------------------------------------------------------------- MPLS

const LSE_SIZE = 4;

function mplsBytes(words: readonly MaskedWord[]): SetBytes {
  const bytes = { value: new Uint8Array(words.length * LSE_SIZE), mask: new Uint8Array(words.length * LSE_SIZE) };
  for (const [index, word] of words.entries()) {
    writeBe32(bytes.value, index * LSE_SIZE, word.value);
    writeBe32(bytes.mask, index * LSE_SIZE, word.mask);
  }
  return bytes;
}

function mplsWords(value: Uint8Array, mask: Uint8Array | undefined): MaskedWord[] {
  return Array.from({ length: value.length / LSE_SIZE }, (_, index) => ({
    value: readBe32(value, index * LSE_SIZE),
    mask: mask === undefined ? MPLS_MASK_FULL : readBe32(mask, index * LSE_SIZE),
  }));
}

const MPLS: SetCodec = {
  name: 'mpls',
  text: 'mpls',
  number: K.OVS_KEY_ATTR_MPLS,
  sizes: Array.from({ length: MPLS_DEPTH_MAX }, (_, index) => (index + 1) * LSE_SIZE),
  encode: (typed, whole) => {
    const entries = Array.isArray(typed) ? (typed as Masked<MplsEntry>[]) : [];
    if (entries.length === 0 || entries.length > MPLS_DEPTH_MAX) {
      throw new OdpFieldError('mpls', `1 to ${MPLS_DEPTH_MAX} entries are needed, not ${entries.length}`);
    }
    const words = entries.map((entry, index) => encodeMplsEntry(entry, `mpls[${index}]`));
    if (whole && words.some((word) => word.mask >>> 0 !== MPLS_MASK_FULL)) {
      throw new OdpFieldError('mpls', 'label, tc, ttl and bos are needed without masks');
    }
    return mplsBytes(words);
  },
  decode: (value, mask) =>
    mplsWords(value, mask).map((word) =>
      mask === undefined ? decodeMplsEntry(word.value) : decodeMaskedMplsEntry(word),
    ),
  format: (value, mask) => formatMpls(mplsWords(value, mask)),
  scan: (scanner) => {
    const words = scanMpls(scanner, MPLS_DEPTH_MAX);
    if (words.length === 0) throw scanner.error('label=, tc=, ttl= or bos=', scanner.position - 1);
    return mplsBytes(words);
  },
};

// ---------------------------------------------------------------------------------------------------- VLAN

function tciBytes(word: MaskedWord): SetBytes {
  const bytes = { value: new Uint8Array(2), mask: new Uint8Array(2) };
  writeBe16(bytes.value, 0, word.value);
  writeBe16(bytes.mask, 0, word.mask);
  return bytes;
}

const VLAN: SetCodec = {
  name: 'vlan',
  text: 'vlan',
  number: K.OVS_KEY_ATTR_VLAN,
  sizes: [2],
  encode: (typed, whole) => {
    const word = encodeTci(typed as VlanMatch, 'vlan');
    if (whole && word.mask !== 0xffff) throw new OdpFieldError('vlan', 'vid and pcp are needed without masks');
    return tciBytes(word);
  },
  decode: (value, mask) =>
    mask === undefined
      ? decodeTci(readBe16(value, 0))
      : decodeMaskedTci({ value: readBe16(value, 0), mask: readBe16(mask, 0) }),
  format: (value, mask) => formatTci(readBe16(value, 0), mask === undefined ? 0xffff : readBe16(mask, 0)),
  scan: (scanner) => tciBytes(scanTci(scanner)),
};

// ---------------------------------------------------------------------------------------------------- NSH

const NSH_SIZE = NSH_BASE_SIZE + NSH_MD1_SIZE;

/** Value and mask without the context words when no bit of these is in the mask: the packet may have none. */
function trimContext({ value, mask }: SetBytes): SetBytes {
  const context = mask.subarray(NSH_BASE_SIZE).some((byte) => byte !== 0);
  return context ? { value, mask } : { value: value.subarray(0, NSH_BASE_SIZE), mask: mask.subarray(0, NSH_BASE_SIZE) };
}

function whole(bytes: Uint8Array): Uint8Array {
  const padded = new Uint8Array(NSH_SIZE);
  padded.set(bytes);
  return padded;
}

const NSH: SetCodec = {
  name: 'nsh',
  text: 'nsh',
  number: K.OVS_KEY_ATTR_NSH,
  use: 'setMasked',
  sizes: [NSH_BASE_SIZE, NSH_SIZE],
  encode: (typed) => {
    const bytes = { value: new Uint8Array(NSH_SIZE), mask: new Uint8Array(NSH_SIZE) };
    encodeFields('nsh', NSH_SLOTS, typed, bytes.value, bytes.mask);
    return trimContext(bytes);
  },
  decode: (value, mask) => decodeMaskedFields(NSH_SLOTS, whole(value), whole(mask ?? new Uint8Array(0))),
  format: (value, mask) => formatGroup(NSH_SLOTS, whole(value), whole(mask ?? new Uint8Array(0))),
  scan: (scanner) => {
    const bytes = { value: new Uint8Array(NSH_SIZE), mask: new Uint8Array(NSH_SIZE) };
    scanFields(scanner, NSH_SLOTS, bytes.value, bytes.mask);
    return trimContext(bytes);
  },
  join: ({ value, mask }) => {
    const part = (number: number, from: number, to: number) =>
      attributeBytes(number, concatBytes([value.subarray(from, to), mask.subarray(from, to)]));
    const base = part(K.OVS_NSH_KEY_ATTR_BASE, 0, NSH_BASE_SIZE);
    return value.length === NSH_BASE_SIZE
      ? base
      : concatBytes([base, part(K.OVS_NSH_KEY_ATTR_MD1, NSH_BASE_SIZE, NSH_SIZE)]);
  },
  split: splitNsh,
};

function splitNsh(attribute: Attribute): SetBytes | undefined {
  const [base, context, ...rest] = walkAttributes(attribute.payload, 'OVS_NSH_KEY_ATTR', attribute.offset + 4);
  if (base?.number !== K.OVS_NSH_KEY_ATTR_BASE || rest.length > 0) return undefined;
  checkSize(base, 'SET NSH BASE', 2 * NSH_BASE_SIZE);
  const values = [base.payload.subarray(0, NSH_BASE_SIZE)];
  const masks = [base.payload.subarray(NSH_BASE_SIZE)];
  if (context !== undefined) {
    if (context.number !== K.OVS_NSH_KEY_ATTR_MD1) return undefined;
    checkSize(context, 'SET NSH MD1', 2 * NSH_MD1_SIZE);
    values.push(context.payload.subarray(0, NSH_MD1_SIZE));
    masks.push(context.payload.subarray(NSH_MD1_SIZE));
  }
  return { value: concatBytes(values), mask: concatBytes(masks) };
}

// ---------------------------------------------------------------------------------------------------- tunnel

/** A mask of the nested attributes as a whole: there is none. */
function unmasked(value: Uint8Array): SetBytes {
  return { value, mask: new Uint8Array(value.length).fill(0xff) };
}

const MASK_SIGNS = /[/+-]/;

const TUNNEL: SetCodec = {
  name: 'tunnel',
  text: 'tunnel',
  number: K.OVS_KEY_ATTR_TUNNEL,
  use: 'set',
  sizes: [],
  encode: (typed) => {
    const flat = new Uint8Array(KEY_SIZE);
    if (typeof typed !== 'object' || typed === null) throw new OdpFieldError('tunnel', 'an object was expected');
    encodeTunnelKey(typed as TunnelKey, flat, new Uint8Array(KEY_SIZE), true);
    return unmasked(encodeTunnel(flat, flat));
  },
  decode: (value) => {
    const flat = new Uint8Array(KEY_SIZE);
    decodeTunnel(value, 0, flat, 'key', () => {});
    return decodeTunnelKey(flat);
  },
  format: (value) => formatTunnel(value),
  scan: (scanner) => {
    const start = scanner.position;
    const { key } = scanTunnel(scanner);
    const sign = scanner.text.slice(start, scanner.position).search(MASK_SIGNS);
    if (sign >= 0) throw scanner.error('a tunnel without masks', start + sign);
    return unmasked(key);
  },
  split: ({ payload }) => unmasked(payload),
  canonical: (payload) => {
    const nested = [...walkAttributes(payload, 'OVS_TUNNEL_KEY_ATTR')].sort(
      (left, right) => left.number - right.number,
    );
    return concatBytes(nested.map((entry) => attributeBytes(entry.number, entry.payload)));
  },
};

export const SPECIAL_FIELDS: readonly SetCodec[] = [MPLS, VLAN, NSH, TUNNEL];
