/*
 * set(tunnel): where the packet is to be sent when its output port is a tunnel.
 *
 * Before it: set.ts, with a payload that validation accepted. After it: whoever outputs to a tunnel port or looks the packet up again reads
 * the key. All tunnel fields are replaced; what the action does not say becomes zero. The worker that owns the packet calls it.
 */
import {
  KEY_SIZE,
  KEY_TUN_DST,
  KEY_TUN_ERSPAN,
  KEY_TUN_ERSPAN_VER,
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
import { attrNext, attrOk, attrPayload, attrPayloadSize, attrType } from '../netlink/attribute';
import {
  ERSPAN_METADATA_SIZEOF,
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
  TUNNEL_CSUM,
  TUNNEL_DONT_FRAGMENT,
  TUNNEL_ERSPAN_OPT,
  TUNNEL_GENEVE_OPT,
  TUNNEL_KEY,
  TUNNEL_OAM,
  TUNNEL_VXLAN_OPT,
} from '../netlink/openvswitch';
import { TUN_PROTO_IPV4, TUN_PROTO_IPV6 } from '../netlink/tunnel-put';
import { keyOf, markKeyCold } from './packet';

/** What KEY_TUN_OPTS_SIZE is with VXLAN's option. */
const GBP_SIZE: u32 = 4;
const GENEVE_OPTS_SIZE_MAX: u32 = 252;

export function setTunnel(packet: usize, attrs: usize, size: u32): bool {
  const key = keyOf(packet);
  memory.fill(key + KEY_TUN_ID, 0, KEY_SIZE - KEY_TUN_ID); // the tunnel fields are the last of a key
  markKeyCold(packet);
  const end = attrs + size;
  for (let a = attrs; attrOk(a, end); a = attrNext(a)) setField(key, attrType(a), attrPayload(a), attrPayloadSize(a));
  return true;
}

function setField(key: usize, type: u32, value: usize, size: u32): void {
  switch (<i32>type) {
    case OVS_TUNNEL_KEY_ATTR_ID:
      store<u64>(key, load<u64>(value), KEY_TUN_ID);
      return addFlag(key, TUNNEL_KEY);
    case OVS_TUNNEL_KEY_ATTR_IPV4_SRC:
      return setIpv4(key, KEY_TUN_SRC, value);
    case OVS_TUNNEL_KEY_ATTR_IPV4_DST:
      return setIpv4(key, KEY_TUN_DST, value);
    case OVS_TUNNEL_KEY_ATTR_IPV6_SRC:
      return setIpv6(key, KEY_TUN_SRC, value);
    case OVS_TUNNEL_KEY_ATTR_IPV6_DST:
      return setIpv6(key, KEY_TUN_DST, value);
    case OVS_TUNNEL_KEY_ATTR_TOS:
      return store<u8>(key, load<u8>(value), KEY_TUN_TOS);
    case OVS_TUNNEL_KEY_ATTR_TTL:
      return store<u8>(key, load<u8>(value), KEY_TUN_TTL);
    case OVS_TUNNEL_KEY_ATTR_DONT_FRAGMENT:
      return addFlag(key, TUNNEL_DONT_FRAGMENT);
    case OVS_TUNNEL_KEY_ATTR_CSUM:
      return addFlag(key, TUNNEL_CSUM);
    case OVS_TUNNEL_KEY_ATTR_OAM:
      return addFlag(key, TUNNEL_OAM);
    case OVS_TUNNEL_KEY_ATTR_TP_SRC:
      return store<u16>(key, load<u16>(value), KEY_TUN_TP_SRC);
    case OVS_TUNNEL_KEY_ATTR_TP_DST:
      return store<u16>(key, load<u16>(value), KEY_TUN_TP_DST);
    default:
      return setOptions(key, type, value, size);
  }
}

function setOptions(key: usize, type: u32, value: usize, size: u32): void {
  if (type == OVS_TUNNEL_KEY_ATTR_GENEVE_OPTS) {
    const optionsSize = min<u32>(size, GENEVE_OPTS_SIZE_MAX);
    memory.copy(key + KEY_TUN_OPTS, value, optionsSize);
    store<u8>(key, <u8>optionsSize, KEY_TUN_OPTS_SIZE);
    addFlag(key, TUNNEL_GENEVE_OPT);
  } else if (type == OVS_TUNNEL_KEY_ATTR_VXLAN_OPTS) {
    // one nested attribute: OVS_VXLAN_EXT_GBP
    if (attrOk(value, value + size) && attrPayloadSize(value) >= 4) {
      store<u32>(key, load<u32>(attrPayload(value)), KEY_TUN_GBP);
    }
    store<u8>(key, <u8>GBP_SIZE, KEY_TUN_OPTS_SIZE);
    addFlag(key, TUNNEL_VXLAN_OPT);
  } else if (type == OVS_TUNNEL_KEY_ATTR_ERSPAN_OPTS) {
    const kept = min<u32>(size, ERSPAN_METADATA_SIZEOF);
    memory.copy(key + KEY_TUN_ERSPAN + ERSPAN_METADATA_SIZEOF - kept, value + size - kept, kept);
    store<u8>(key, load<u8>(key, KEY_TUN_ERSPAN), KEY_TUN_ERSPAN_VER);
    store<u8>(key, <u8>ERSPAN_METADATA_SIZEOF, KEY_TUN_OPTS_SIZE);
    addFlag(key, TUNNEL_ERSPAN_OPT);
  }
}

@inline
function addFlag(key: usize, flag: u32): void {
  store<u16>(key, load<u16>(key, KEY_TUN_FLAGS) | <u16>flag, KEY_TUN_FLAGS);
}

@inline
function setIpv4(key: usize, offset: u32, value: usize): void {
  store<u32>(key + offset, load<u32>(value));
  store<u8>(key, <u8>TUN_PROTO_IPV4, KEY_TUN_PROTO);
}

@inline
function setIpv6(key: usize, offset: u32, value: usize): void {
  v128.store(key + offset, v128.load(value));
  store<u8>(key, <u8>TUN_PROTO_IPV6, KEY_TUN_PROTO);
}
