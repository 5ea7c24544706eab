/*
 * Tunnel metadata: the tunnel part of a flat key (KEY_TUN_*) to and from the nested attributes of OVS_KEY_ATTR_TUNNEL.
 *
 * Before it: key-attributes.ts (keys and masks as attributes) and tunnel-text.ts (which writes and reads the nested attributes as
 * text). After it: the flat key. The rules are the kernel's (ip_tun_from_nlattr, ip_tun_to_nlattr): zero fields are left out except
 * the TTL, a flag is an attribute without payload, at most one kind of options. Owns no memory.
 *
 * In a flat mask KEY_TUN_PROTO is all ones when the match has tunnel fields, and KEY_TUN_OPTS_SIZE when it has options.
 */

import {
  KEY_TUN_DST,
  KEY_TUN_ERSPAN,
  KEY_TUN_ERSPAN_VER,
  KEY_TUN_FLAGS,
  KEY_TUN_GBP,
  KEY_TUN_GTPU_FLAGS,
  KEY_TUN_ID,
  KEY_TUN_OPTS,
  KEY_TUN_OPTS_SIZE,
  KEY_TUN_PROTO,
  KEY_TUN_SRC,
  KEY_TUN_TOS,
  KEY_TUN_TP_DST,
  KEY_TUN_TP_SRC,
  KEY_TUN_TTL,
} from '../../assembly/constants.ts';
import { type Attribute, attributeBytes, checkSize, concatBytes, walkAttributes } from './attributes.ts';
import { OdpAttributeError } from './errors.ts';

/** OVS_TUNNEL_KEY_ATTR_*. In the kernel's own header 16 is IPV4_INFO_BRIDGE; only Open vSwitch's datapath has GTPU_OPTS. */
export const TUNNEL_ATTR = {
  ID: 0,
  IPV4_SRC: 1,
  IPV4_DST: 2,
  TOS: 3,
  TTL: 4,
  DONT_FRAGMENT: 5,
  CSUM: 6,
  OAM: 7,
  GENEVE_OPTS: 8,
  TP_SRC: 9,
  TP_DST: 10,
  VXLAN_OPTS: 11,
  IPV6_SRC: 12,
  IPV6_DST: 13,
  PAD: 14,
  ERSPAN_OPTS: 15,
  GTPU_OPTS: 16,
} as const;

/** OVS_VXLAN_EXT_GBP, nested in VXLAN_OPTS. */
export const VXLAN_EXT_GBP = 1;

/** Bits of KEY_TUN_FLAGS (TUNNEL_* of linux/if_tunnel.h). */
export const TUN_FLAG = {
  CSUM: 0x0001,
  KEY: 0x0004,
  DONT_FRAGMENT: 0x0100,
  OAM: 0x0200,
  GENEVE_OPT: 0x0800,
  VXLAN_OPT: 0x1000,
  ERSPAN_OPT: 0x4000,
  GTPU_OPT: 0x8000,
} as const;

const OPTION_FLAGS = TUN_FLAG.GENEVE_OPT | TUN_FLAG.VXLAN_OPT | TUN_FLAG.ERSPAN_OPT | TUN_FLAG.GTPU_OPT;
export const TUN_PROTO_IPV4 = 4;
export const TUN_PROTO_IPV6 = 6;
export const GENEVE_OPTS_SIZE_MAX = 252;
export const ERSPAN_SIZE = 12;
/** Room for options in the kernel's key. */
const ERSPAN_OPTS_SIZE_MAX = 255;
const GTPU_SIZE = 2;
const GBP_SIZE = 4;
/** First byte behind the tunnel part of a flat key. */
const TUNNEL_END = KEY_TUN_OPTS + 256;

/** Attributes with a fixed payload: number, offset in the flat key, size, family they belong to (0: both). */
const FIXED: readonly (readonly [number, number, number, number])[] = [
  [TUNNEL_ATTR.IPV4_SRC, KEY_TUN_SRC, 4, TUN_PROTO_IPV4],
  [TUNNEL_ATTR.IPV4_DST, KEY_TUN_DST, 4, TUN_PROTO_IPV4],
  [TUNNEL_ATTR.IPV6_SRC, KEY_TUN_SRC, 16, TUN_PROTO_IPV6],
  [TUNNEL_ATTR.IPV6_DST, KEY_TUN_DST, 16, TUN_PROTO_IPV6],
  [TUNNEL_ATTR.TOS, KEY_TUN_TOS, 1, 0],
  [TUNNEL_ATTR.TTL, KEY_TUN_TTL, 1, 0],
  [TUNNEL_ATTR.DONT_FRAGMENT, 0, 0, 0],
  [TUNNEL_ATTR.CSUM, 0, 0, 0],
  [TUNNEL_ATTR.TP_SRC, KEY_TUN_TP_SRC, 2, 0],
  [TUNNEL_ATTR.TP_DST, KEY_TUN_TP_DST, 2, 0],
  [TUNNEL_ATTR.OAM, 0, 0, 0],
];
const FIXED_BY_NUMBER = new Map(FIXED.map((row) => [row[0], row]));

/** The attributes that are flags, and their bits. */
export const FLAG_BY_ATTR: ReadonlyMap<number, number> = new Map([
  [TUNNEL_ATTR.DONT_FRAGMENT, TUN_FLAG.DONT_FRAGMENT],
  [TUNNEL_ATTR.CSUM, TUN_FLAG.CSUM],
  [TUNNEL_ATTR.OAM, TUN_FLAG.OAM],
]);

export function tunnelFlags(flat: Uint8Array): number {
  return flat[KEY_TUN_FLAGS] | (flat[KEY_TUN_FLAGS + 1] << 8);
}

export function setTunnelFlags(flat: Uint8Array, flags: number): void {
  flat[KEY_TUN_FLAGS] |= flags & 0xff;
  flat[KEY_TUN_FLAGS + 1] |= flags >> 8;
}

/** True when a flat key is that of a packet out of a tunnel, or a flat mask has bits in its tunnel part. */
export function hasTunnel(flat: Uint8Array, isMask = false): boolean {
  if (!isMask) return flat[KEY_TUN_PROTO] !== 0;
  for (let at = KEY_TUN_ID; at < TUNNEL_END; at++) if (flat[at] !== 0) return true;
  return false;
}

function hasBits(bytes: Uint8Array, at: number, size: number): boolean {
  for (let i = at; i < at + size; i++) if (bytes[i] !== 0) return true;
  return false;
}

/**
 * Nested attributes of the tunnel part of `flat`, a key or a mask. `key` says which address family and how many bytes of options
 * there are. Fields that are zero in `flat` and in `shown` are left out.
 */
export function encodeTunnel(flat: Uint8Array, key: Uint8Array, shown: Uint8Array = flat): Uint8Array {
  const flags = tunnelFlags(flat);
  const parts: Uint8Array[] = [];
  if ((tunnelFlags(shown) & TUN_FLAG.KEY) !== 0 || hasBits(shown, KEY_TUN_ID, 8)) {
    parts.push(attributeBytes(TUNNEL_ATTR.ID, flat.subarray(KEY_TUN_ID, KEY_TUN_ID + 8)));
  }
  const isWide = hasBits(flat, KEY_TUN_SRC + 4, 12) || hasBits(flat, KEY_TUN_DST + 4, 12);
  const family = key[KEY_TUN_PROTO] || (isWide ? TUN_PROTO_IPV6 : TUN_PROTO_IPV4);
  for (const [number, at, size, proto] of FIXED) {
    if (proto !== 0 && proto !== family) continue;
    const flag = FLAG_BY_ATTR.get(number);
    // An address of zero still tells the family.
    const needed = number === TUNNEL_ATTR.TTL || (number === TUNNEL_ATTR.IPV6_DST && !hasBits(key, KEY_TUN_SRC, 16));
    const present = flag === undefined ? needed || hasBits(shown, at, size) : (flags & flag) !== 0;
    if (present) parts.push(attributeBytes(number, flat.subarray(at, at + size)));
  }
  const options = optionsOf(flat, key, tunnelFlags(shown));
  if (options !== undefined) parts.push(options);
  return concatBytes(parts);
}

function optionsOf(flat: Uint8Array, key: Uint8Array, flags: number): Uint8Array | undefined {
  const size = key[KEY_TUN_OPTS_SIZE];
  const bytes = (at: number, count: number) => flat.subarray(at, at + count);
  if ((flags & TUN_FLAG.GENEVE_OPT) !== 0) return attributeBytes(TUNNEL_ATTR.GENEVE_OPTS, bytes(KEY_TUN_OPTS, size));
  if ((flags & TUN_FLAG.VXLAN_OPT) !== 0)
    return attributeBytes(TUNNEL_ATTR.VXLAN_OPTS, attributeBytes(VXLAN_EXT_GBP, bytes(KEY_TUN_GBP, GBP_SIZE)));
  if ((flags & TUN_FLAG.ERSPAN_OPT) !== 0)
    return attributeBytes(TUNNEL_ATTR.ERSPAN_OPTS, bytes(KEY_TUN_ERSPAN, ERSPAN_SIZE));
  if ((flags & TUN_FLAG.GTPU_OPT) !== 0)
    return attributeBytes(TUNNEL_ATTR.GTPU_OPTS, bytes(KEY_TUN_GTPU_FLAGS, GTPU_SIZE));
  return undefined;
}

/**
 * Writes the nested attributes in `payload` to the tunnel part of `flat`; `offset` is where the payload starts in the message. A
 * whole key must have the TTL, but for the kernel's IPV4_INFO_BRIDGE, which says that the tunnel is its own matter. Throws OdpAttributeError; unknown attributes are handed to `unknown`.
 */
export function decodeTunnel(
  payload: Uint8Array,
  offset: number,
  flat: Uint8Array,
  form: 'key' | 'mask' | 'partial key',
  unknown: (attribute: Attribute) => void,
): void {
  const isMask = form === 'mask';
  const seen = new Set<number>();
  let proto = 0;
  let isBridge = false;
  for (const attribute of walkAttributes(payload, 'OVS_TUNNEL_KEY_ATTR', offset)) {
    const { number } = attribute;
    if (seen.has(number)) throw new OdpAttributeError(`TUNNEL ${number}`, attribute.offset, 'given twice');
    seen.add(number);
    if (number === TUNNEL_ATTR.GTPU_OPTS && attribute.size === 0) isBridge = true;
    const fixed = FIXED_BY_NUMBER.get(number);
    if (fixed !== undefined) {
      const [, at, size, family] = fixed;
      checkSize(attribute, `TUNNEL ${nameOf(number)}`, size);
      setTunnelFlags(flat, FLAG_BY_ATTR.get(number) ?? 0);
      flat.set(attribute.payload, at);
      if (family !== 0 && proto !== 0 && family !== proto)
        throw new OdpAttributeError(`TUNNEL ${nameOf(number)}`, attribute.offset, 'IPv4 and IPv6 addresses are mixed');
      proto = family || proto;
    } else if (number === TUNNEL_ATTR.ID) {
      checkSize(attribute, 'TUNNEL ID', 8);
      setTunnelFlags(flat, TUN_FLAG.KEY);
      flat.set(attribute.payload, KEY_TUN_ID);
    } else if (!decodeOptions(attribute, flat, isMask) && number !== TUNNEL_ATTR.PAD) unknown(attribute);
  }
  const needsTtl = form === 'key' && !isBridge;
  if (needsTtl && !seen.has(TUNNEL_ATTR.TTL)) throw new OdpAttributeError('TUNNEL TTL', offset, 'missing');
  flat[KEY_TUN_PROTO] = isMask ? 0xff : proto || TUN_PROTO_IPV4;
}

function nameOf(number: number): string {
  return Object.entries(TUNNEL_ATTR).find(([, value]) => value === number)?.[0] ?? String(number);
}

/** Takes one of the option attributes; false when it is none. */
function decodeOptions(attribute: Attribute, flat: Uint8Array, isMask: boolean): boolean {
  const { number, payload } = attribute;
  const name = `TUNNEL ${nameOf(number)}`;
  const take = (flag: number, at: number, bytes: Uint8Array) => {
    if ((tunnelFlags(flat) & OPTION_FLAGS) !== 0)
      throw new OdpAttributeError(name, attribute.offset, 'options of more than one kind');
    setTunnelFlags(flat, flag);
    flat.set(bytes, at);
    flat[KEY_TUN_OPTS_SIZE] = isMask ? 0xff : bytes.length;
    return true;
  };
  switch (number) {
    case TUNNEL_ATTR.GENEVE_OPTS:
      if (payload.length > GENEVE_OPTS_SIZE_MAX || payload.length % 4 !== 0)
        throw new OdpAttributeError(name, attribute.offset, `payload of ${payload.length} bytes`);
      return take(TUN_FLAG.GENEVE_OPT, KEY_TUN_OPTS, payload);
    case TUNNEL_ATTR.VXLAN_OPTS:
      return take(TUN_FLAG.VXLAN_OPT, KEY_TUN_GBP, gbpOf(attribute));
    case TUNNEL_ATTR.ERSPAN_OPTS:
      return take(TUN_FLAG.ERSPAN_OPT, KEY_TUN_ERSPAN, erspanOf(attribute, flat));
    case TUNNEL_ATTR.GTPU_OPTS:
      if (payload.length !== GTPU_SIZE) return false;
      return take(TUN_FLAG.GTPU_OPT, KEY_TUN_GTPU_FLAGS, payload);
    default:
      return false;
  }
}

/** The metadata in ERSPAN_OPTS, which the kernel keeps by its end: of a longer payload the last bytes, before a shorter one zeros. */
function erspanOf({ payload, offset }: Attribute, flat: Uint8Array): Uint8Array {
  if (payload.length > ERSPAN_OPTS_SIZE_MAX)
    throw new OdpAttributeError('TUNNEL ERSPAN_OPTS', offset, `payload of ${payload.length} bytes`);
  const metadata = new Uint8Array(ERSPAN_SIZE);
  const kept = payload.subarray(-ERSPAN_SIZE);
  metadata.set(kept, ERSPAN_SIZE - kept.length);
  flat[KEY_TUN_ERSPAN_VER] = metadata[0];
  return metadata;
}

/** The four bytes of the group policy in VXLAN_OPTS. */
function gbpOf(attribute: Attribute): Uint8Array {
  let gbp: Uint8Array | undefined;
  for (const inner of walkAttributes(attribute.payload, 'OVS_VXLAN_EXT', attribute.offset + 4)) {
    if (inner.number !== VXLAN_EXT_GBP || gbp !== undefined)
      throw new OdpAttributeError(`OVS_VXLAN_EXT ${inner.number}`, inner.offset, 'unexpected');
    checkSize(inner, 'OVS_VXLAN_EXT_GBP', GBP_SIZE);
    gbp = inner.payload;
  }
  if (gbp === undefined) throw new OdpAttributeError('OVS_VXLAN_EXT_GBP', attribute.offset, 'missing');
  return gbp;
}
