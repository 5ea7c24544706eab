/*
 * OVS_KEY_ATTR_TUNNEL: checked, then read into a key or a mask; checked alone for the action SET.
 *
 * Before it: key-get.ts or actions/validate-set.ts. After it: nothing. Reads the list inside its bounds, writes the tunnel
 * fields; keeps nothing; any thread.
 *
 * As in the kernel an attribute may come more than once and the last one counts, but there may be one kind of options only.
 * A key needs a destination that is not zero and a TTL, or IPV4_INFO_BRIDGE and then nothing but an id. ERSPAN's metadata
 * of any size is kept as 12 bytes, the last ones.
 */
import {
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
import { attrFind, attrNext, attrOk, attrPayload, attrPayloadSize, attrRest, attrType, NLA_HDRLEN } from './attribute';
import { FORM_EXACT, FORM_KEY, isZero, ones, ones128, SIZE_ANY } from './key-get-attrs';
import {
  ERSPAN_METADATA_SIZEOF,
  OVS_TUNNEL_KEY_ATTR_CSUM,
  OVS_TUNNEL_KEY_ATTR_DONT_FRAGMENT,
  OVS_TUNNEL_KEY_ATTR_ERSPAN_OPTS,
  OVS_TUNNEL_KEY_ATTR_GENEVE_OPTS,
  OVS_TUNNEL_KEY_ATTR_ID,
  OVS_TUNNEL_KEY_ATTR_IPV4_DST,
  OVS_TUNNEL_KEY_ATTR_IPV4_INFO_BRIDGE,
  OVS_TUNNEL_KEY_ATTR_IPV4_SRC,
  OVS_TUNNEL_KEY_ATTR_IPV6_DST,
  OVS_TUNNEL_KEY_ATTR_IPV6_SRC,
  OVS_TUNNEL_KEY_ATTR_OAM,
  OVS_TUNNEL_KEY_ATTR_PAD,
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
import { TUN_PROTO_IPV4, TUN_PROTO_IPV6 } from './tunnel-put';

/** Room for options in the kernel's key: Geneve's are a multiple of 4 and thus at most 252, ERSPAN's may be this. */
const OPTIONS_SIZE_MAX: u32 = 255;
const SIZE_UNKNOWN: u32 = 0xffff;
/** The two option TLV header words of Geneve: class, type, size of the data in words (5 bits). */
const GENEVE_OPTION_HDRLEN: u32 = 4;
const GENEVE_OPTION_LENGTH: u32 = 3;

const IPV4_TYPES: u32 =
  (1 << OVS_TUNNEL_KEY_ATTR_IPV4_SRC) |
  (1 << OVS_TUNNEL_KEY_ATTR_IPV4_DST) |
  (1 << OVS_TUNNEL_KEY_ATTR_IPV4_INFO_BRIDGE);
const IPV6_TYPES: u32 = (1 << OVS_TUNNEL_KEY_ATTR_IPV6_SRC) | (1 << OVS_TUNNEL_KEY_ATTR_IPV6_DST);
const OPTION_TYPES: u32 =
  (1 << OVS_TUNNEL_KEY_ATTR_GENEVE_OPTS) |
  (1 << OVS_TUNNEL_KEY_ATTR_VXLAN_OPTS) |
  (1 << OVS_TUNNEL_KEY_ATTR_ERSPAN_OPTS);
/** What a key with IPV4_INFO_BRIDGE may hold, flags without a value aside. */
const BRIDGE_TYPES: u32 =
  (1 << OVS_TUNNEL_KEY_ATTR_ID) | (1 << OVS_TUNNEL_KEY_ATTR_PAD) | (1 << OVS_TUNNEL_KEY_ATTR_IPV4_INFO_BRIDGE);
const FLAG_TYPES: u32 =
  (1 << OVS_TUNNEL_KEY_ATTR_DONT_FRAGMENT) |
  (1 << OVS_TUNNEL_KEY_ATTR_CSUM) |
  (1 << OVS_TUNNEL_KEY_ATTR_OAM) |
  OPTION_TYPES;

function tunnelAttrSize(type: u32): u32 {
  switch (<i32>type) {
    case OVS_TUNNEL_KEY_ATTR_ID:
      return 8;
    case OVS_TUNNEL_KEY_ATTR_IPV4_SRC:
    case OVS_TUNNEL_KEY_ATTR_IPV4_DST:
      return 4;
    case OVS_TUNNEL_KEY_ATTR_IPV6_SRC:
    case OVS_TUNNEL_KEY_ATTR_IPV6_DST:
      return 16;
    case OVS_TUNNEL_KEY_ATTR_TOS:
    case OVS_TUNNEL_KEY_ATTR_TTL:
      return 1;
    case OVS_TUNNEL_KEY_ATTR_TP_SRC:
    case OVS_TUNNEL_KEY_ATTR_TP_DST:
      return 2;
    case OVS_TUNNEL_KEY_ATTR_DONT_FRAGMENT:
    case OVS_TUNNEL_KEY_ATTR_CSUM:
    case OVS_TUNNEL_KEY_ATTR_OAM:
    case OVS_TUNNEL_KEY_ATTR_PAD:
    case OVS_TUNNEL_KEY_ATTR_IPV4_INFO_BRIDGE:
      return 0;
    case OVS_TUNNEL_KEY_ATTR_GENEVE_OPTS:
    case OVS_TUNNEL_KEY_ATTR_VXLAN_OPTS:
    case OVS_TUNNEL_KEY_ATTR_ERSPAN_OPTS:
      return SIZE_ANY;
    default:
      return SIZE_UNKNOWN;
  }
}

/**
 * 0 if the tunnel attributes are what a key (FORM_KEY) or a mask may have, else the address of the one at fault: that of the attribute
 * around them for what concerns all of them. `key` is the key whose mask it is, which says how long Geneve's options are.
 */
export function checkTunnel(attrs: usize, size: u32, form: u32, key: usize): usize {
  const end = attrs + size;
  let types: u32 = 0;
  let a = attrs;
  for (; attrOk(a, end); a = attrNext(a)) {
    const type = attrType(a);
    const payloadSize = attrPayloadSize(a);
    const wanted = tunnelAttrSize(type);
    if (wanted == SIZE_ANY) {
      if (types & OPTION_TYPES || !checkOptions(type, attrPayload(a), payloadSize, form, key)) return a;
    } else if (wanted != payloadSize) return a;
    types |= 1 << type;
  }
  if (attrRest(a, end) != 0) return a;
  if (types & IPV4_TYPES && types & IPV6_TYPES) return attrs - NLA_HDRLEN;
  return form != FORM_KEY || checkComplete(attrs, size, types) ? 0 : attrs - NLA_HDRLEN;
}

function checkOptions(type: u32, options: usize, size: u32, form: u32, key: usize): bool {
  if (type == OVS_TUNNEL_KEY_ATTR_GENEVE_OPTS) {
    if (size > OPTIONS_SIZE_MAX || size % 4 != 0) return false;
    return form == FORM_KEY || load<u8>(key, KEY_TUN_OPTS_SIZE) == size;
  }
  if (type == OVS_TUNNEL_KEY_ATTR_ERSPAN_OPTS) return size <= OPTIONS_SIZE_MAX;
  const end = options + size;
  let a = options;
  for (; attrOk(a, end); a = attrNext(a)) {
    if (attrType(a) != OVS_VXLAN_EXT_GBP || attrPayloadSize(a) != 4) return false;
  }
  return a == end;
}

/** What a key needs besides well-formed attributes. */
function checkComplete(attrs: usize, size: u32, types: u32): bool {
  if (types & IPV6_TYPES) {
    return !!(types & (1 << OVS_TUNNEL_KEY_ATTR_TTL)) && isSet(attrs, size, OVS_TUNNEL_KEY_ATTR_IPV6_DST);
  }
  if (!(types & (1 << OVS_TUNNEL_KEY_ATTR_IPV4_INFO_BRIDGE))) {
    return !!(types & (1 << OVS_TUNNEL_KEY_ATTR_TTL)) && isSet(attrs, size, OVS_TUNNEL_KEY_ATTR_IPV4_DST);
  }
  if (types & FLAG_TYPES) return false;
  for (let type: u32 = OVS_TUNNEL_KEY_ATTR_IPV4_SRC; type <= <u32>OVS_TUNNEL_KEY_ATTR_TP_DST; type++) {
    if (!(BRIDGE_TYPES & (1 << type)) && isSet(attrs, size, type)) return false;
  }
  return true;
}

/** There is such an attribute, and the last one is not zero. */
export function isSet(attrs: usize, size: u32, type: u32): bool {
  const a = attrFind(attrs, size, type);
  return a != 0 && !isZero(attrPayload(a), attrPayloadSize(a));
}

/** Geneve options are whole: what the action SET asks, and a key does not. */
export function checkGeneveOptions(options: usize, size: u32): bool {
  while (size != 0) {
    const optionSize = GENEVE_OPTION_HDRLEN + ((<u32>load<u8>(options, GENEVE_OPTION_LENGTH) & 31) << 2);
    if (size < optionSize) return false;
    options += optionSize;
    size -= optionSize;
  }
  return true;
}

/** Reads what checkTunnel passed into the key or the mask `to`. */
export function readTunnel(attrs: usize, size: u32, form: u32, to: usize): void {
  const end = attrs + size;
  const all = ones(form);
  let flags: u32 = 0;
  let proto = TUN_PROTO_IPV4;
  if (form == FORM_EXACT) memory.fill(to + KEY_TUN_ID, 0xff, KEY_TUN_TP_DST + 2 - KEY_TUN_ID);
  for (let a = attrs; attrOk(a, end); a = attrNext(a)) {
    const payload = attrPayload(a);
    switch (<i32>attrType(a)) {
      case OVS_TUNNEL_KEY_ATTR_ID:
        store<u64>(to, load<u64>(payload) | all, KEY_TUN_ID);
        flags |= TUNNEL_KEY;
        break;
      case OVS_TUNNEL_KEY_ATTR_IPV4_SRC:
        store<u32>(to, load<u32>(payload) | <u32>all, KEY_TUN_SRC);
        break;
      case OVS_TUNNEL_KEY_ATTR_IPV4_DST:
        store<u32>(to, load<u32>(payload) | <u32>all, KEY_TUN_DST);
        break;
      case OVS_TUNNEL_KEY_ATTR_IPV6_SRC:
        v128.store(to, v128.or(v128.load(payload), ones128(form)), KEY_TUN_SRC);
        proto = TUN_PROTO_IPV6;
        break;
      case OVS_TUNNEL_KEY_ATTR_IPV6_DST:
        v128.store(to, v128.or(v128.load(payload), ones128(form)), KEY_TUN_DST);
        proto = TUN_PROTO_IPV6;
        break;
      case OVS_TUNNEL_KEY_ATTR_TOS:
        store<u8>(to, load<u8>(payload) | <u8>all, KEY_TUN_TOS);
        break;
      case OVS_TUNNEL_KEY_ATTR_TTL:
        store<u8>(to, load<u8>(payload) | <u8>all, KEY_TUN_TTL);
        break;
      case OVS_TUNNEL_KEY_ATTR_TP_SRC:
        store<u16>(to, load<u16>(payload) | <u16>all, KEY_TUN_TP_SRC);
        break;
      case OVS_TUNNEL_KEY_ATTR_TP_DST:
        store<u16>(to, load<u16>(payload) | <u16>all, KEY_TUN_TP_DST);
        break;
      default:
        flags |= readFlag(a, form, to);
    }
  }
  store<u16>(to, <u16>flags, KEY_TUN_FLAGS);
  store<u8>(to, form == FORM_KEY ? <u8>proto : 0xff, KEY_TUN_PROTO);
}

/** An attribute that sets a flag: without a value, or one of the kinds of options. */
function readFlag(a: usize, form: u32, to: usize): u32 {
  const size = attrPayloadSize(a);
  switch (<i32>attrType(a)) {
    case OVS_TUNNEL_KEY_ATTR_DONT_FRAGMENT:
      return TUNNEL_DONT_FRAGMENT;
    case OVS_TUNNEL_KEY_ATTR_CSUM:
      return TUNNEL_CSUM;
    case OVS_TUNNEL_KEY_ATTR_OAM:
      return TUNNEL_OAM;
    case OVS_TUNNEL_KEY_ATTR_GENEVE_OPTS:
      readBytes(to + KEY_TUN_OPTS, attrPayload(a), size, form);
      storeOptionsSize(to, form, size);
      return TUNNEL_GENEVE_OPT;
    case OVS_TUNNEL_KEY_ATTR_VXLAN_OPTS:
      readGroupPolicy(attrPayload(a), size, form, to);
      storeOptionsSize(to, form, 4);
      return TUNNEL_VXLAN_OPT;
    case OVS_TUNNEL_KEY_ATTR_ERSPAN_OPTS: {
      const kept = min(size, <u32>ERSPAN_METADATA_SIZEOF);
      readBytes(to + KEY_TUN_ERSPAN + ERSPAN_METADATA_SIZEOF - kept, attrPayload(a) + size - kept, kept, form);
      store<u8>(to, load<u8>(to, KEY_TUN_ERSPAN), KEY_TUN_ERSPAN_VER);
      storeOptionsSize(to, form, ERSPAN_METADATA_SIZEOF);
      return TUNNEL_ERSPAN_OPT;
    }
    default:
      return 0;
  }
}

@inline
function storeOptionsSize(to: usize, form: u32, size: u32): void {
  store<u8>(to, form == FORM_KEY ? <u8>size : 0xff, KEY_TUN_OPTS_SIZE);
}

function readBytes(to: usize, from: usize, size: u32, form: u32): void {
  if (form == FORM_EXACT) memory.fill(to, 0xff, size);
  else memory.copy(to, from, size);
}

function readGroupPolicy(options: usize, size: u32, form: u32, to: usize): void {
  const gbp = attrFind(options, size, OVS_VXLAN_EXT_GBP);
  store<u32>(to, gbp == 0 ? 0 : load<u32>(attrPayload(gbp)) | <u32>ones(form), KEY_TUN_GBP);
}
