/*
 * The tunnel fields of a flow key as one attribute: OVS_KEY_ATTR_TUNNEL, and PSAMPLE_ATTR_TUNNEL, which is the same but for VXLAN's options.
 *
 * Before it: key-put.ts, when the key has a tunnel or a mask is written, and actions/psample.ts. After it: nothing. As in the kernel, which addresses
 * there are depends on the key's family, what is zero is left out except the TTL, flags come from the written side, and a
 * mask is written even for a key without a tunnel. Writes without a look at the limit: the caller made sure of the room.
 * Reads key and mask, keeps nothing; any thread.
 *
 * KEY_TUN_OPTS_SIZE must be nonzero for every kind of option: the size of Geneve's, 4 with VXLAN's, 12 with ERSPAN's.
 */
import {
  KEY_TUN_DST,
  KEY_TUN_ERSPAN,
  KEY_TUN_FLAGS,
  KEY_TUN_GBP,
  KEY_TUN_ID,
  KEY_TUN_OPTS,
  KEY_TUN_OPTS_SIZE,
  KEY_TUN_PROTO,
  KEY_TUN_SRC,
  KEY_TUN_TOS,
  KEY_TUN_TP_DST,
  KEY_TUN_TP_SRC,
  KEY_TUN_TTL,
} from '../constants';
import { attrTotalSize, NLA_HDRLEN } from './attribute';
import {
  ERSPAN_METADATA_SIZEOF,
  OVS_KEY_ATTR_TUNNEL,
  OVS_TUNNEL_KEY_ATTR_CSUM,
  OVS_TUNNEL_KEY_ATTR_DONT_FRAGMENT,
  OVS_TUNNEL_KEY_ATTR_ERSPAN_OPTS,
  OVS_TUNNEL_KEY_ATTR_GENEVE_OPTS,
  OVS_TUNNEL_KEY_ATTR_ID,
  OVS_TUNNEL_KEY_ATTR_IPV4_DST,
  OVS_TUNNEL_KEY_ATTR_IPV4_SRC,
  OVS_TUNNEL_KEY_ATTR_IPV6_DST,
  OVS_TUNNEL_KEY_ATTR_IPV6_SRC,
  OVS_TUNNEL_KEY_ATTR_OAM,
  OVS_TUNNEL_KEY_ATTR_TOS,
  OVS_TUNNEL_KEY_ATTR_TP_DST,
  OVS_TUNNEL_KEY_ATTR_TP_SRC,
  OVS_TUNNEL_KEY_ATTR_TTL,
  OVS_TUNNEL_KEY_ATTR_VXLAN_OPTS,
  OVS_VXLAN_EXT_GBP,
  TUNNEL_CSUM,
  TUNNEL_DONT_FRAGMENT,
  TUNNEL_ERSPAN_OPT,
  TUNNEL_GENEVE_OPT,
  TUNNEL_KEY,
  TUNNEL_OAM,
  TUNNEL_VXLAN_OPT,
} from './openvswitch';

/** Values of KEY_TUN_PROTO. */
export const TUN_PROTO_IPV4: u32 = 4;
export const TUN_PROTO_IPV6: u32 = 6;

@inline
function writeHeader(at: usize, type: u32, payloadSize: u32): usize {
  store<u32>(at, (type << 16) | (NLA_HDRLEN + payloadSize));
  return at + NLA_HDRLEN;
}

/** One word of payload: a u32, or less with its padding. */
@inline
function writeWord(at: usize, type: u32, payloadSize: u32, value: u32): usize {
  at = writeHeader(at, type, payloadSize);
  store<u32>(at, value);
  return at + 4;
}

export function putTunnel(start: usize, key: usize, mask: usize): usize {
  return putTunnelAs(OVS_KEY_ATTR_TUNNEL, start, key, mask, <u32>load<u16>(mask, KEY_TUN_FLAGS));
}

/** `flags`: the key's TUNNEL_*, which say what there is to write. */
export function putTunnelAs(type: u32, start: usize, key: usize, mask: usize, flags: u32): usize {
  let at = start + NLA_HDRLEN;
  if (flags & TUNNEL_KEY) {
    at = writeHeader(at, OVS_TUNNEL_KEY_ATTR_ID, 8);
    store<u64>(at, load<u64>(mask, KEY_TUN_ID));
    at += 8;
  }
  at = putAddresses(at, <u32>load<u8>(key, KEY_TUN_PROTO), mask);
  const tos = <u32>load<u8>(mask, KEY_TUN_TOS);
  if (tos != 0) at = writeWord(at, OVS_TUNNEL_KEY_ATTR_TOS, 1, tos);
  at = writeWord(at, OVS_TUNNEL_KEY_ATTR_TTL, 1, load<u8>(mask, KEY_TUN_TTL));
  if (flags & TUNNEL_DONT_FRAGMENT) at = writeHeader(at, OVS_TUNNEL_KEY_ATTR_DONT_FRAGMENT, 0);
  if (flags & TUNNEL_CSUM) at = writeHeader(at, OVS_TUNNEL_KEY_ATTR_CSUM, 0);
  const source = <u32>load<u16>(mask, KEY_TUN_TP_SRC);
  if (source != 0) at = writeWord(at, OVS_TUNNEL_KEY_ATTR_TP_SRC, 2, source);
  const destination = <u32>load<u16>(mask, KEY_TUN_TP_DST);
  if (destination != 0) at = writeWord(at, OVS_TUNNEL_KEY_ATTR_TP_DST, 2, destination);
  if (flags & TUNNEL_OAM) at = writeHeader(at, OVS_TUNNEL_KEY_ATTR_OAM, 0);
  const optionsSize = <u32>load<u8>(key, KEY_TUN_OPTS_SIZE);
  if (optionsSize != 0) at = putOptions(at, flags, optionsSize, mask);
  store<u32>(start, (type << 16) | <u32>(at - start));
  return at;
}

function putAddresses(at: usize, proto: u32, mask: usize): usize {
  if (proto == TUN_PROTO_IPV4) {
    const source = load<u32>(mask, KEY_TUN_SRC);
    if (source != 0) at = writeWord(at, OVS_TUNNEL_KEY_ATTR_IPV4_SRC, 4, source);
    const destination = load<u32>(mask, KEY_TUN_DST);
    if (destination != 0) at = writeWord(at, OVS_TUNNEL_KEY_ATTR_IPV4_DST, 4, destination);
  } else if (proto == TUN_PROTO_IPV6) {
    at = putIpv6Address(at, OVS_TUNNEL_KEY_ATTR_IPV6_SRC, v128.load(mask, KEY_TUN_SRC));
    at = putIpv6Address(at, OVS_TUNNEL_KEY_ATTR_IPV6_DST, v128.load(mask, KEY_TUN_DST));
  }
  return at;
}

@inline
function putIpv6Address(at: usize, type: u32, address: v128): usize {
  if (!v128.any_true(address)) return at;
  at = writeHeader(at, type, 16);
  v128.store(at, address);
  return at + 16;
}

/** At most one kind of option: Geneve's raw options, VXLAN's group policy, or ERSPAN's metadata. */
function putOptions(at: usize, flags: u32, optionsSize: u32, mask: usize): usize {
  if (flags & TUNNEL_GENEVE_OPT) {
    const end = at + attrTotalSize(optionsSize);
    store<u32>(end - 4, 0);
    memory.copy(writeHeader(at, OVS_TUNNEL_KEY_ATTR_GENEVE_OPTS, optionsSize), mask + KEY_TUN_OPTS, optionsSize);
    return end;
  }
  if (flags & TUNNEL_VXLAN_OPT) {
    at = writeHeader(at, OVS_TUNNEL_KEY_ATTR_VXLAN_OPTS, 8);
    return writeWord(at, OVS_VXLAN_EXT_GBP, 4, load<u32>(mask, KEY_TUN_GBP));
  }
  if (flags & TUNNEL_ERSPAN_OPT) {
    at = writeHeader(at, OVS_TUNNEL_KEY_ATTR_ERSPAN_OPTS, ERSPAN_METADATA_SIZEOF);
    memory.copy(at, mask + KEY_TUN_ERSPAN, ERSPAN_METADATA_SIZEOF);
    at += ERSPAN_METADATA_SIZEOF;
  }
  return at;
}
