/*
 * Ethernet: addresses, up to two VLAN tags (802.1Q or 802.1ad), and the type, looked up behind LLC/SNAP when the frame
 * carries a length instead.
 *
 * Before it: flow/extract.ts, which made sure of the 14 bytes of a bare header and zeroed the key's hot words. After
 * it: the module of whatever header the type names. Reads the frame, writes the link-layer words of the key; owns no
 * memory; any worker may call it.
 *
 * As in the kernel, a third tag, or a tag with fewer than two bytes behind it, is not a tag any more: its TPID is the
 * type.
 */
import {
  KEY_CVLAN_TCI,
  KEY_CVLAN_TPID,
  KEY_ETH_DST,
  KEY_ETH_SRC,
  KEY_ETH_TYPE,
  KEY_VLAN_TCI,
  KEY_VLAN_TPID,
} from '../constants';

export const ETH_TYPE_OFFSET: u32 = 12;
/** Two addresses and the type. */
export const ETH_HEADER_SIZE: u32 = 14;
/** TPID and TCI. */
export const VLAN_TAG_SIZE: u32 = 4;
/** DSAP, SSAP, control, organisation code, type. */
export const LLC_SNAP_SIZE: u32 = 8;

// Types as a little-endian load of the two wire bytes gives them.
export const ETH_P_IP_WIRE: u32 = 0x0008;
export const ETH_P_ARP_WIRE: u32 = 0x0608;
export const ETH_P_RARP_WIRE: u32 = 0x3580;
export const ETH_P_8021Q_WIRE: u32 = 0x0081;
export const ETH_P_IPV6_WIRE: u32 = 0xdd86;
export const ETH_P_TEB_WIRE: u32 = 0x5865;
export const ETH_P_MPLS_UC_WIRE: u32 = 0x4788;
export const ETH_P_MPLS_MC_WIRE: u32 = 0x4888;
export const ETH_P_8021AD_WIRE: u32 = 0xa888;
export const ETH_P_NSH_WIRE: u32 = 0x4f89;
/** What the key holds for a frame without a type: LLC that is not SNAP, or SNAP with another length. */
export const ETH_P_802_2_WIRE: u32 = 0x0400;

/** A type field below this is the length of an 802.3 frame. */
const ETH_P_802_3_MIN: u32 = 0x0600;
/** VLAN_CFI_MASK of the kernel in wire order: the bit that says "there is a tag". */
const VLAN_PRESENT_WIRE: u32 = 0x0010;

/** DSAP and SSAP 0xaa, any control byte, three zero bytes of organisation code. */
const SNAP_MASK: u64 = 0x0000ffffff00ffff;
const SNAP_VALUE: u64 = 0x000000000000aaaa;
const ADDRESS_MASK: u64 = 0x0000ffffffffffff;

@inline
export function isVlanType(type: u32): bool {
  return type == ETH_P_8021Q_WIRE || type == ETH_P_8021AD_WIRE;
}

@inline
export function isMplsType(type: u32): bool {
  return type == ETH_P_MPLS_UC_WIRE || type == ETH_P_MPLS_MC_WIRE;
}

/** A tag at `offset` counts only when a type follows it inside the frame. */
@inline
function checkVlan(data: usize, offset: u32, size: u32): bool {
  return isVlanType(load<u16>(data + offset)) && size - offset >= VLAN_TAG_SIZE + 2;
}

/** A number that a frame's type field can hold and that is not a length. */
@inline
export function isEthernetType(type: u32): bool {
  return !isLength(type);
}

@inline
export function isLength(type: u32): bool {
  return <u32>bswap<u16>(<u16>type) < ETH_P_802_3_MIN;
}

/**
 * Fills the link-layer fields of the key. `size` is at least ETH_HEADER_SIZE.
 * Returns the offset of the network header, which may be equal to `size`.
 */
export function parseEthernet(data: usize, size: u32, key: usize): u32 {
  const source = load<u64>(data, 6);
  store<u64>(key, load<u64>(data) & ADDRESS_MASK, KEY_ETH_DST);
  store<u64>(key, source & ADDRESS_MASK, KEY_ETH_SRC);

  let offset = ETH_TYPE_OFFSET;
  if (checkVlan(data, offset, size)) {
    store<u16>(key, load<u16>(data + offset), KEY_VLAN_TPID);
    store<u16>(key, load<u16>(data + offset, 2) | VLAN_PRESENT_WIRE, KEY_VLAN_TCI);
    offset += VLAN_TAG_SIZE;
    if (checkVlan(data, offset, size)) {
      store<u16>(key, load<u16>(data + offset), KEY_CVLAN_TPID);
      store<u16>(key, load<u16>(data + offset, 2) | VLAN_PRESENT_WIRE, KEY_CVLAN_TCI);
      offset += VLAN_TAG_SIZE;
    }
  }

  const type = <u32>load<u16>(data + offset);
  offset += 2;
  if (isLength(type)) return parseLlc(data, offset, size, key);
  store<u16>(key, type, KEY_ETH_TYPE);
  return offset;
}

/** The type of a frame whose type field was a length; SNAP is skipped even if its own type is a length again. */
function parseLlc(data: usize, offset: u32, size: u32, key: usize): u32 {
  store<u16>(key, ETH_P_802_2_WIRE, KEY_ETH_TYPE);
  if (size - offset < LLC_SNAP_SIZE) return offset;
  const llc = load<u64>(data + offset);
  if ((llc & SNAP_MASK) != SNAP_VALUE) return offset;
  const type = <u32>(llc >> 48);
  if (!isLength(type)) store<u16>(key, type, KEY_ETH_TYPE);
  return offset + LLC_SNAP_SIZE;
}
