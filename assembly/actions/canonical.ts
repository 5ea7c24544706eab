/*
 * An action list as the kernel gives it back, whatever form it was given in: what a reply about a flow carries.
 *
 * Before it: whoever has a validated list (a flow's) to put into a message. After it: nothing. Reads the list, writes the
 * caller's buffer below `limit`; keeps nothing; any thread.
 *
 * Every attribute loses its flags and gets its padding, zeroed. The payload of an action is kept as it came, but for those that
 * the kernel takes apart and puts together again: SET of a field, SET of a tunnel (attributes in a fixed order, what is zero
 * left out), SAMPLE, CLONE, CHECK_PKT_LEN and DEC_TTL, of which only what they know comes back, in a fixed order.
 */
import {
  attrFind,
  attrNext,
  attrOk,
  attrPayload,
  attrPayloadSize,
  attrType,
  nestEnd,
  nestStart,
  NLA_HDRLEN,
  putAttr,
  putFlag,
  putU32,
  reserveAttr,
} from '../netlink/attribute';
import { isSet } from '../netlink/key-get-tunnel';
import {
  ERSPAN_METADATA_SIZEOF,
  OVS_ACTION_ATTR_CHECK_PKT_LEN,
  OVS_ACTION_ATTR_CLONE,
  OVS_ACTION_ATTR_DEC_TTL,
  OVS_ACTION_ATTR_SAMPLE,
  OVS_ACTION_ATTR_SET,
  OVS_CHECK_PKT_LEN_ATTR_ACTIONS_IF_GREATER,
  OVS_CHECK_PKT_LEN_ATTR_ACTIONS_IF_LESS_EQUAL,
  OVS_CHECK_PKT_LEN_ATTR_PKT_LEN,
  OVS_DEC_TTL_ATTR_ACTION,
  OVS_KEY_ATTR_TUNNEL,
  OVS_SAMPLE_ATTR_ACTIONS,
  OVS_SAMPLE_ATTR_PROBABILITY,
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
  OVS_TUNNEL_KEY_ATTR_TOS,
  OVS_TUNNEL_KEY_ATTR_TP_DST,
  OVS_TUNNEL_KEY_ATTR_TP_SRC,
  OVS_TUNNEL_KEY_ATTR_TTL,
  OVS_TUNNEL_KEY_ATTR_VXLAN_OPTS,
  OVS_VXLAN_EXT_GBP,
} from '../netlink/openvswitch';

/** Writes the list of `size` bytes at `attrs`, which validateActions accepted, at `at`. Returns the end, 0 without room. */
export function canonicalActions(attrs: usize, size: u32, at: usize, limit: usize): usize {
  const end = attrs + size;
  for (let a = attrs; attrOk(a, end); a = attrNext(a)) at = putAction(a, at, limit);
  return at;
}

function putAction(a: usize, at: usize, limit: usize): usize {
  const type = attrType(a);
  switch (<i32>type) {
    case OVS_ACTION_ATTR_SET: {
      const inner = attrPayload(a);
      const tunnel = attrType(inner) == OVS_KEY_ATTR_TUNNEL;
      const end = nestStart(at, limit, type);
      return nestEnd(at, tunnel ? putSetTunnel(inner, end, limit) : copyAttr(inner, end, limit));
    }
    case OVS_ACTION_ATTR_SAMPLE: {
      const end = putInner(a, OVS_SAMPLE_ATTR_PROBABILITY, 4, nestStart(at, limit, type), limit);
      return nestEnd(at, putList(a, OVS_SAMPLE_ATTR_ACTIONS, end, limit));
    }
    case OVS_ACTION_ATTR_CLONE:
      return nestEnd(at, canonicalActions(attrPayload(a), attrPayloadSize(a), nestStart(at, limit, type), limit));
    case OVS_ACTION_ATTR_CHECK_PKT_LEN: {
      let end = putInner(a, OVS_CHECK_PKT_LEN_ATTR_PKT_LEN, 2, nestStart(at, limit, type), limit);
      end = putList(a, OVS_CHECK_PKT_LEN_ATTR_ACTIONS_IF_LESS_EQUAL, end, limit);
      return nestEnd(at, putList(a, OVS_CHECK_PKT_LEN_ATTR_ACTIONS_IF_GREATER, end, limit));
    }
    case OVS_ACTION_ATTR_DEC_TTL:
      return nestEnd(at, putList(a, OVS_DEC_TTL_ATTR_ACTION, nestStart(at, limit, type), limit));
    default:
      return copyAttr(a, at, limit);
  }
}

@inline
function copyAttr(a: usize, at: usize, limit: usize): usize {
  return putAttr(at, limit, attrType(a), attrPayload(a), attrPayloadSize(a));
}

/** The first `size` bytes of the attribute of this type inside of `a`. */
@inline
function putInner(a: usize, type: u32, size: u32, at: usize, limit: usize): usize {
  const inner = attrFind(attrPayload(a), attrPayloadSize(a), type);
  return putAttr(at, limit, type, attrPayload(inner), size);
}

/** The action list of this type inside of `a`. */
function putList(a: usize, type: u32, at: usize, limit: usize): usize {
  const list = attrFind(attrPayload(a), attrPayloadSize(a), type);
  return nestEnd(at, canonicalActions(attrPayload(list), attrPayloadSize(list), nestStart(at, limit, type), limit));
}

function putSetTunnel(tunnel: usize, start: usize, limit: usize): usize {
  const attrs = attrPayload(tunnel);
  const size = attrPayloadSize(tunnel);
  let at = nestStart(start, limit, OVS_KEY_ATTR_TUNNEL);
  at = copyLast(attrs, size, OVS_TUNNEL_KEY_ATTR_ID, at, limit);
  if (!isSet(attrs, size, OVS_TUNNEL_KEY_ATTR_IPV4_DST) && !isSet(attrs, size, OVS_TUNNEL_KEY_ATTR_IPV6_DST)) {
    return nestEnd(start, putFlag(at, limit, OVS_TUNNEL_KEY_ATTR_IPV4_INFO_BRIDGE));
  }
  at = copySet(attrs, size, OVS_TUNNEL_KEY_ATTR_IPV4_SRC, at, limit);
  at = copySet(attrs, size, OVS_TUNNEL_KEY_ATTR_IPV4_DST, at, limit);
  at = copySet(attrs, size, OVS_TUNNEL_KEY_ATTR_IPV6_SRC, at, limit);
  at = copySet(attrs, size, OVS_TUNNEL_KEY_ATTR_IPV6_DST, at, limit);
  at = copySet(attrs, size, OVS_TUNNEL_KEY_ATTR_TOS, at, limit);
  at = copyLast(attrs, size, OVS_TUNNEL_KEY_ATTR_TTL, at, limit);
  at = copyLast(attrs, size, OVS_TUNNEL_KEY_ATTR_DONT_FRAGMENT, at, limit);
  at = copyLast(attrs, size, OVS_TUNNEL_KEY_ATTR_CSUM, at, limit);
  at = copySet(attrs, size, OVS_TUNNEL_KEY_ATTR_TP_SRC, at, limit);
  at = copySet(attrs, size, OVS_TUNNEL_KEY_ATTR_TP_DST, at, limit);
  at = copyLast(attrs, size, OVS_TUNNEL_KEY_ATTR_OAM, at, limit);
  return nestEnd(start, putTunnelOptions(attrs, size, at, limit));
}

/** The last attribute of this type, if there is one. */
@inline
function copyLast(attrs: usize, size: u32, type: u32, at: usize, limit: usize): usize {
  const a = attrFind(attrs, size, type);
  return a == 0 ? at : copyAttr(a, at, limit);
}

/** The same, if it is not zero. */
@inline
function copySet(attrs: usize, size: u32, type: u32, at: usize, limit: usize): usize {
  return isSet(attrs, size, type) ? copyLast(attrs, size, type, at, limit) : at;
}

/** At most one kind: Geneve's unless empty, VXLAN's group policy, or ERSPAN's metadata, which always has its full size. */
function putTunnelOptions(attrs: usize, size: u32, at: usize, limit: usize): usize {
  const geneve = attrFind(attrs, size, OVS_TUNNEL_KEY_ATTR_GENEVE_OPTS);
  if (geneve != 0) return attrPayloadSize(geneve) == 0 ? at : copyAttr(geneve, at, limit);
  const vxlan = attrFind(attrs, size, OVS_TUNNEL_KEY_ATTR_VXLAN_OPTS);
  if (vxlan != 0) {
    const policy = attrFind(attrPayload(vxlan), attrPayloadSize(vxlan), OVS_VXLAN_EXT_GBP);
    const value = policy == 0 ? 0 : load<u32>(attrPayload(policy));
    return nestEnd(at, putU32(nestStart(at, limit, OVS_TUNNEL_KEY_ATTR_VXLAN_OPTS), limit, OVS_VXLAN_EXT_GBP, value));
  }
  const erspan = attrFind(attrs, size, OVS_TUNNEL_KEY_ATTR_ERSPAN_OPTS);
  return erspan == 0 ? at : putErspan(erspan, at, limit);
}

/** Metadata of another size is what the kernel's key keeps of it: its end, behind zeroes. */
function putErspan(erspan: usize, at: usize, limit: usize): usize {
  const size = attrPayloadSize(erspan);
  const kept = min(size, <u32>ERSPAN_METADATA_SIZEOF);
  const end = reserveAttr(at, limit, OVS_TUNNEL_KEY_ATTR_ERSPAN_OPTS, ERSPAN_METADATA_SIZEOF);
  if (end == 0) return 0;
  memory.fill(at + NLA_HDRLEN, 0, ERSPAN_METADATA_SIZEOF);
  memory.copy(end - kept, attrPayload(erspan) + size - kept, kept);
  return end;
}
