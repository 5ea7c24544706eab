/*
 * Masks: the exact mask of a key, and masks built from field names.
 *
 * An upcall handler's usual answer is actions and one of these. exactMask is cheap enough to be called for each miss: masks
 * of one shape (same headers present) are built once and copied.
 */

import * as C from '../../assembly/constants.ts';
import { OdpFieldError } from './errors.ts';
import { ATTRIBUTES, METADATA } from './fields.ts';
import { fillGroup } from './groups.ts';
import {
  checkKeySize,
  ETH_P_ARP,
  ETH_P_IP,
  ETH_P_IPV6,
  ETH_P_NSH,
  ETH_P_RARP,
  isMplsType,
  layersOf,
  mplsOffset,
  readBe16,
  TAGS,
} from './layers.ts';

export interface ExactMaskOptions {
  /** Match the TCP flags too; a flow for each combination of them is rarely wanted. */
  tcpFlags?: boolean;
  /** Match skb_priority, skb_mark, dp_hash and the connection tracking fields too. */
  metadata?: boolean;
}

const NSH_MD1 = 1;
const shapes = new Map<number, Uint8Array>();

/**
 * The mask that matches this very key: in_port, recirc_id, Ethernet addresses and type, both tags (also their absence), and
 * every field of the headers that its types lead to, extension headers and what only userspace reads of ND apart. Written to `out` (KEY_SIZE bytes) when given, else to new bytes.
 */
export function exactMask(
  key: Uint8Array,
  options: ExactMaskOptions = {},
  out = new Uint8Array(C.KEY_SIZE),
): Uint8Array {
  checkKeySize(key, 'key');
  const shape = shapeOf(key, options);
  let mask = shapes.get(shape);
  if (mask === undefined) {
    mask = buildExactMask(key, options);
    shapes.set(shape, mask);
  }
  out.set(mask);
  return out;
}

/** A number that is the same for keys with the same exact mask; there are a few thousand of them at most. */
function shapeOf(key: Uint8Array, options: ExactMaskOptions): number {
  const bits = (options.tcpFlags ? 1 : 0) | (options.metadata ? 2 : 0);
  const type = readBe16(key, C.KEY_ETH_TYPE);
  const known =
    type === ETH_P_IP ||
    type === ETH_P_IPV6 ||
    type === ETH_P_ARP ||
    type === ETH_P_RARP ||
    type === ETH_P_NSH ||
    isMplsType(type);
  return ((known ? type : 0) * 1024 + (known ? detailOf(key, type) : 0)) * 4 + bits;
}

function detailOf(key: Uint8Array, type: number): number {
  if (isMplsType(type)) return Math.min(key[C.KEY_MPLS_COUNT], C.MPLS_DEPTH_MAX);
  if (type === ETH_P_NSH) return key[C.KEY_NSH_MDTYPE];
  if (type !== ETH_P_IP && type !== ETH_P_IPV6) return 0;
  const later = key[C.KEY_IP_FRAG] === 2 ? 0x100 : 0;
  const discovery =
    (readBe16(key, C.KEY_TP_SRC) === 135 || readBe16(key, C.KEY_TP_SRC) === 136) && readBe16(key, C.KEY_TP_DST) === 0;
  return key[C.KEY_IP_PROTO] | later | (discovery ? 0x200 : 0);
}

function buildExactMask(key: Uint8Array, options: ExactMaskOptions): Uint8Array {
  const mask = new Uint8Array(C.KEY_SIZE);
  const attributes = [ATTRIBUTES.inPort, ATTRIBUTES.recircId, ATTRIBUTES.eth, ATTRIBUTES.ethType];
  if (options.metadata) attributes.push(...METADATA, ATTRIBUTES.ctTuple6);
  for (const entry of [...attributes, ...layersOf(key)]) {
    if (entry === ATTRIBUTES.ndExt || entry === ATTRIBUTES.ipv6Exthdrs) continue;
    if (entry === ATTRIBUTES.tcpFlags && !options.tcpFlags) continue;
    const md1 = entry !== ATTRIBUTES.nsh || key[C.KEY_NSH_MDTYPE] === NSH_MD1;
    fillGroup(
      entry.flat.filter((slot) => md1 || slot.at < C.KEY_NSH_CONTEXT),
      mask,
    );
  }
  for (const { tpid, tci } of TAGS) mask.fill(0xff, tpid, tpid + 2).fill(0xff, tci, tci + 2);
  if (isMplsType(readBe16(key, C.KEY_ETH_TYPE))) {
    mask.fill(0xff, mplsOffset(0), mplsOffset(Math.min(key[C.KEY_MPLS_COUNT], C.MPLS_DEPTH_MAX)));
  }
  return mask;
}

/** [offset, size] of each part of a named field. */
const FIELDS = {
  inPort: [[C.KEY_IN_PORT, 4]],
  recircId: [[C.KEY_RECIRC_ID, 4]],
  ethSrc: [[C.KEY_ETH_SRC, 6]],
  ethDst: [[C.KEY_ETH_DST, 6]],
  ethType: [[C.KEY_ETH_TYPE, 2]],
  vlan: [
    [C.KEY_VLAN_TPID, 2],
    [C.KEY_VLAN_TCI, 2],
    [C.KEY_CVLAN_TPID, 2],
    [C.KEY_CVLAN_TCI, 2],
  ],
  vlanTpid: [[C.KEY_VLAN_TPID, 2]],
  vlanTci: [[C.KEY_VLAN_TCI, 2]],
  cvlanTpid: [[C.KEY_CVLAN_TPID, 2]],
  cvlanTci: [[C.KEY_CVLAN_TCI, 2]],
  ipProto: [[C.KEY_IP_PROTO, 1]],
  ipTos: [[C.KEY_IP_TOS, 1]],
  ipTtl: [[C.KEY_IP_TTL, 1]],
  ipFrag: [[C.KEY_IP_FRAG, 1]],
  tpSrc: [[C.KEY_TP_SRC, 2]],
  tpDst: [[C.KEY_TP_DST, 2]],
  ipv4Src: [[C.KEY_IPV4_SRC, 4]],
  ipv4Dst: [[C.KEY_IPV4_DST, 4]],
  ipv6Src: [[C.KEY_IPV6_SRC, 16]],
  ipv6Dst: [[C.KEY_IPV6_DST, 16]],
  ipv6Exthdrs: [[C.KEY_IPV6_EXTHDRS, 2]],
  arpSha: [[C.KEY_ARP_SHA, 6]],
  arpTha: [[C.KEY_ARP_THA, 6]],
  ndTarget: [[C.KEY_ND_TARGET, 16]],
  mplsLse0: [[C.KEY_MPLS_LSE0, 4]],
  mplsLse1: [[C.KEY_MPLS_LSE1, 4]],
  mplsLse2: [[C.KEY_MPLS_LSE2, 4]],
  skbPriority: [[C.KEY_SKB_PRIORITY, 4]],
  skbMark: [[C.KEY_SKB_MARK, 4]],
  dpHash: [[C.KEY_DP_HASH, 4]],
  ctZone: [[C.KEY_CT_ZONE, 2]],
  ctMark: [[C.KEY_CT_MARK, 4]],
  ctLabel: [[C.KEY_CT_LABELS, 16]],
} as const satisfies Record<string, readonly (readonly [number, number])[]>;

/** Names that fieldsMask takes; `vlan` is both tags, type and TCI. */
export type MaskFieldName = keyof typeof FIELDS | 'ipv6Label' | 'tcpFlags' | 'ctState';

/** A mask of all ones in the named fields and zeros elsewhere. Throws OdpFieldError for an unknown name. */
export function fieldsMask(names: readonly MaskFieldName[]): Uint8Array {
  const mask = new Uint8Array(C.KEY_SIZE);
  for (const name of names) {
    if (name === 'ipv6Label')
      fillGroup(
        ATTRIBUTES.ipv6.flat.filter((slot) => slot.name === 'label'),
        mask,
      );
    else if (name === 'tcpFlags' || name === 'ctState') fillGroup(ATTRIBUTES[name].flat, mask);
    else if (Object.hasOwn(FIELDS, name)) for (const [at, size] of FIELDS[name]) mask.fill(0xff, at, at + size);
    else throw new OdpFieldError(String(name), 'unknown field');
  }
  return mask;
}
