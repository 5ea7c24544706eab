/*
 * What a key says about a packet besides its headers: recirculation, hash, priority, port, mark, tunnel, connection.
 *
 * Before it: key-get.ts, with the attributes in the table. After it: nothing. Reads the attributes, writes the key or the mask;
 * any thread.
 *
 * A mask of the input port matches all of it. A packet without an Ethernet header has ETHERTYPE and no ETHERNET; its
 * KEY_PACKET_TYPE says so.
 */
import {
  KEY_CT_LABELS,
  KEY_CT_MARK,
  KEY_CT_ORIG_DST,
  KEY_CT_ORIG_PROTO,
  KEY_CT_ORIG_SRC,
  KEY_CT_ORIG_TP_SRC,
  KEY_CT_STATE,
  KEY_CT_ZONE,
  KEY_DP_HASH,
  KEY_IN_PORT,
  KEY_RECIRC_ID,
  KEY_SKB_MARK,
  KEY_SKB_PRIORITY,
} from '../constants';
import { attrPayloadSize, NLA_HDRLEN } from './attribute';
import { bit, FORM_EXACT, FORM_KEY, ones, ones128, payloadOf, refuse } from './key-get-attrs';
import { checkTunnel, readTunnel } from './key-get-tunnel';
import { IN_PORT_NONE } from './key-size';
import {
  OVS_KEY_ATTR_CT_LABELS,
  OVS_KEY_ATTR_CT_MARK,
  OVS_KEY_ATTR_CT_ORIG_TUPLE_IPV4,
  OVS_KEY_ATTR_CT_ORIG_TUPLE_IPV6,
  OVS_KEY_ATTR_CT_STATE,
  OVS_KEY_ATTR_CT_ZONE,
  OVS_KEY_ATTR_DP_HASH,
  OVS_KEY_ATTR_IN_PORT,
  OVS_KEY_ATTR_PRIORITY,
  OVS_KEY_ATTR_RECIRC_ID,
  OVS_KEY_ATTR_SKB_MARK,
  OVS_KEY_ATTR_TUNNEL,
} from './openvswitch';

/** The eight bits of OVS_CS_F_*. */
const CT_STATE_SUPPORTED: u32 = 0xff;

const TUNNEL_TYPE: u64 = (<u64>1) << OVS_KEY_ATTR_TUNNEL;
const MARK_TYPES: u64 =
  ((<u64>1) << OVS_KEY_ATTR_DP_HASH) | ((<u64>1) << OVS_KEY_ATTR_PRIORITY) | ((<u64>1) << OVS_KEY_ATTR_SKB_MARK);
const CT_TYPES: u64 =
  ((<u64>1) << OVS_KEY_ATTR_CT_STATE) |
  ((<u64>1) << OVS_KEY_ATTR_CT_ZONE) |
  ((<u64>1) << OVS_KEY_ATTR_CT_MARK) |
  ((<u64>1) << OVS_KEY_ATTR_CT_LABELS) |
  ((<u64>1) << OVS_KEY_ATTR_CT_ORIG_TUPLE_IPV4) |
  ((<u64>1) << OVS_KEY_ATTR_CT_ORIG_TUPLE_IPV6);

@inline
function readU32(match: usize, seen: u64, form: u32, type: u32, field: usize): void {
  if (seen & bit(type)) store<u32>(field, load<u32>(payloadOf(match, type)) | <u32>ones(form));
}

/** `to` is the key or the mask to write, `key` the key. 0 or -EINVAL. Most lists have no more than a recirculation and a port. */
@inline
export function readMetadata(match: usize, seen: u64, form: u32, to: usize, key: usize): i32 {
  readU32(match, seen, form, OVS_KEY_ATTR_RECIRC_ID, to + KEY_RECIRC_ID);
  if (seen & MARK_TYPES) {
    readU32(match, seen, form, OVS_KEY_ATTR_DP_HASH, to + KEY_DP_HASH);
    readU32(match, seen, form, OVS_KEY_ATTR_PRIORITY, to + KEY_SKB_PRIORITY);
    readU32(match, seen, form, OVS_KEY_ATTR_SKB_MARK, to + KEY_SKB_MARK);
  }
  if (seen & bit(OVS_KEY_ATTR_IN_PORT)) {
    const port = payloadOf(match, OVS_KEY_ATTR_IN_PORT);
    if (form == FORM_KEY && load<u32>(port) >= IN_PORT_NONE) return refuse(match, port - NLA_HDRLEN);
    store<u32>(to, form == FORM_KEY ? load<u32>(port) : u32.MAX_VALUE, KEY_IN_PORT);
  } else if (form == FORM_KEY) store<u32>(to, IN_PORT_NONE, KEY_IN_PORT);

  return seen & (TUNNEL_TYPE | CT_TYPES) ? readState(match, seen, form, to, key) : 0;
}

/** The tunnel that the packet came through and the connection that it belongs to. */
function readState(match: usize, seen: u64, form: u32, to: usize, key: usize): i32 {
  if (seen & TUNNEL_TYPE) {
    const tunnel = payloadOf(match, OVS_KEY_ATTR_TUNNEL);
    const size = attrPayloadSize(tunnel - NLA_HDRLEN);
    const fault: usize = form == FORM_EXACT ? 0 : checkTunnel(tunnel, size, form, key);
    if (fault != 0) return refuse(match, fault);
    readTunnel(tunnel, size, form, to);
  }
  return seen & CT_TYPES ? readConnection(match, seen, form, to) : 0;
}

function readConnection(match: usize, seen: u64, form: u32, to: usize): i32 {
  if (seen & bit(OVS_KEY_ATTR_CT_STATE)) {
    const state = payloadOf(match, OVS_KEY_ATTR_CT_STATE);
    const bits = form == FORM_EXACT ? CT_STATE_SUPPORTED : load<u32>(state);
    if (bits & ~CT_STATE_SUPPORTED) return refuse(match, state - NLA_HDRLEN);
    store<u32>(to, bits, KEY_CT_STATE);
  }
  if (seen & bit(OVS_KEY_ATTR_CT_ZONE)) {
    store<u16>(to, load<u16>(payloadOf(match, OVS_KEY_ATTR_CT_ZONE)) | <u16>ones(form), KEY_CT_ZONE);
  }
  readU32(match, seen, form, OVS_KEY_ATTR_CT_MARK, to + KEY_CT_MARK);
  const all = ones128(form);
  if (seen & bit(OVS_KEY_ATTR_CT_LABELS)) {
    v128.store(to, v128.or(v128.load(payloadOf(match, OVS_KEY_ATTR_CT_LABELS)), all), KEY_CT_LABELS);
  }
  if (seen & bit(OVS_KEY_ATTR_CT_ORIG_TUPLE_IPV4)) {
    const tuple = payloadOf(match, OVS_KEY_ATTR_CT_ORIG_TUPLE_IPV4);
    store<u32>(to, load<u32>(tuple) | <u32>ones(form), KEY_CT_ORIG_SRC);
    store<u32>(to, load<u32>(tuple, 4) | <u32>ones(form), KEY_CT_ORIG_DST);
    readTupleEnd(tuple + 8, form, to);
  }
  if (seen & bit(OVS_KEY_ATTR_CT_ORIG_TUPLE_IPV6)) {
    const tuple = payloadOf(match, OVS_KEY_ATTR_CT_ORIG_TUPLE_IPV6);
    v128.store(to, v128.or(v128.load(tuple), all), KEY_CT_ORIG_SRC);
    v128.store(to, v128.or(v128.load(tuple, 16), all), KEY_CT_ORIG_DST);
    readTupleEnd(tuple + 32, form, to);
  }
  return 0;
}

/** Ports and protocol of a tuple. */
@inline
function readTupleEnd(ports: usize, form: u32, to: usize): void {
  store<u32>(to, load<u32>(ports) | <u32>ones(form), KEY_CT_ORIG_TP_SRC);
  store<u8>(to, load<u8>(ports, 4) | <u8>ones(form), KEY_CT_ORIG_PROTO);
}
