/*
 * Messages of ctnetlink, the part of NETLINK_NETFILTER that is about connections: nlmsghdr, struct nfgenmsg, attributes CTA_*, integers in network order. Before it:
 * conntrack.ts. After it: NETLINK_NETFILTER. Names and numbers are those of linux/netfilter/nfnetlink_conntrack.h.
 */
import { AttributeBuilder, type AttributeCursor } from '../../netlink/attributes.ts';
import { MessageBuffer } from '../../netlink/buffer.ts';
import { NLM_F_REQUEST } from '../../netlink/constants.ts';
import { beginMessage, endMessage, type MessageCursor } from '../../netlink/message.ts';
import type { CtCounters, CtEntry, CtTuple } from '../types.ts';

const NFNL_SUBSYS_CTNETLINK = 1;
const IPCTNL_MSG_CT_GET = 1;
const IPCTNL_MSG_CT_DELETE = 2;
/** u8 family, u8 version, be16 resource. */
const NFGENMSG_SIZEOF = 4;
const AF_UNSPEC = 0;
const AF_INET = 2;
const AF_INET6 = 10;

const CTA_TUPLE_ORIG = 1;
const CTA_TUPLE_REPLY = 2;
const CTA_STATUS = 3;
const CTA_PROTOINFO = 4;
const CTA_HELP = 5;
const CTA_TIMEOUT = 7;
const CTA_MARK = 8;
const CTA_COUNTERS_ORIG = 9;
const CTA_COUNTERS_REPLY = 10;
const CTA_ID = 12;
const CTA_TUPLE_MASTER = 14;
const CTA_ZONE = 18;
const CTA_TIMESTAMP = 20;
const CTA_LABELS = 22;
const CTA_TUPLE_IP = 1;
const CTA_TUPLE_PROTO = 2;
const CTA_IP_V4_SRC = 1;
const CTA_IP_V4_DST = 2;
const CTA_IP_V6_SRC = 3;
const CTA_IP_V6_DST = 4;
const CTA_PROTO_NUM = 1;
const CTA_PROTO_SRC_PORT = 2;
const CTA_PROTO_DST_PORT = 3;
const CTA_PROTO_ICMP_ID = 4;
const CTA_PROTO_ICMP_TYPE = 5;
const CTA_PROTO_ICMP_CODE = 6;
const CTA_PROTO_ICMPV6_ID = 7;
const CTA_PROTO_ICMPV6_TYPE = 8;
const CTA_PROTO_ICMPV6_CODE = 9;
const CTA_COUNTERS_PACKETS = 1;
const CTA_COUNTERS_BYTES = 2;
const CTA_TIMESTAMP_START = 1;
const CTA_TIMESTAMP_STOP = 2;
const CTA_PROTOINFO_TCP = 1;
const CTA_PROTOINFO_TCP_STATE = 1;
const CTA_PROTOINFO_TCP_WSCALE_ORIGINAL = 2;
const CTA_PROTOINFO_TCP_WSCALE_REPLY = 3;
const CTA_PROTOINFO_TCP_FLAGS_ORIGINAL = 4;
const CTA_PROTOINFO_TCP_FLAGS_REPLY = 5;
const CTA_HELP_NAME = 1;

const IPPROTO_ICMPV6 = 58;
const IPV4_SIZE = 4;

export function connectionsRequest(): Uint8Array {
  return request(IPCTNL_MSG_CT_GET, AF_UNSPEC, () => undefined);
}

/** All connections. */
export function flushRequest(): Uint8Array {
  return request(IPCTNL_MSG_CT_DELETE, AF_UNSPEC, () => undefined);
}

/** One connection; with an id only if it is still the same. */
export function deleteRequest(tuple: CtTuple, zone: number, id?: number): Uint8Array {
  return request(IPCTNL_MSG_CT_DELETE, tuple.src.length === IPV4_SIZE ? AF_INET : AF_INET6, (attributes) => {
    attributes.nest(CTA_TUPLE_ORIG, (inner) => putTuple(inner, tuple));
    attributes.be16(CTA_ZONE, zone);
    if (id !== undefined) attributes.be32(CTA_ID, id);
  });
}

function request(type: number, family: number, write: (attributes: AttributeBuilder) => void): Uint8Array {
  const buffer = new MessageBuffer();
  const start = beginMessage(buffer, (NFNL_SUBSYS_CTNETLINK << 8) | type, NLM_F_REQUEST);
  buffer.setU8(buffer.put(NFGENMSG_SIZEOF), family);
  const attributes = new AttributeBuilder(buffer);
  write(attributes);
  attributes.finish();
  endMessage(buffer, start);
  return buffer.bytes;
}

function putTuple(attributes: AttributeBuilder, tuple: CtTuple): void {
  const isV4 = tuple.src.length === IPV4_SIZE;
  attributes.nest(CTA_TUPLE_IP, (ip) => {
    ip.binary(isV4 ? CTA_IP_V4_SRC : CTA_IP_V6_SRC, tuple.src).binary(isV4 ? CTA_IP_V4_DST : CTA_IP_V6_DST, tuple.dst);
  });
  attributes.nest(CTA_TUPLE_PROTO, (proto) => {
    proto.u8(CTA_PROTO_NUM, tuple.protocol);
    if (tuple.icmpType === undefined) {
      proto.be16(CTA_PROTO_SRC_PORT, tuple.srcPort ?? 0).be16(CTA_PROTO_DST_PORT, tuple.dstPort ?? 0);
      return;
    }
    const isV6 = tuple.protocol === IPPROTO_ICMPV6;
    proto.be16(isV6 ? CTA_PROTO_ICMPV6_ID : CTA_PROTO_ICMP_ID, tuple.icmpId ?? 0);
    proto.u8(isV6 ? CTA_PROTO_ICMPV6_TYPE : CTA_PROTO_ICMP_TYPE, tuple.icmpType);
    proto.u8(isV6 ? CTA_PROTO_ICMPV6_CODE : CTA_PROTO_ICMP_CODE, tuple.icmpCode ?? 0);
  });
}

/** A connection as the kernel tells of it. Throws ERR_NETLINK_MALFORMED; undefined when it has no tuples. */
export function readConnection(message: MessageCursor): CtEntry | undefined {
  const cursor = message.attributes(NFGENMSG_SIZEOF);
  const entry: Partial<CtEntry> & { zone: number } = { zone: 0 };
  const counters: { origin?: CtCounters; reply?: CtCounters } = {};
  while (cursor.next()) {
    if (cursor.type === CTA_COUNTERS_ORIG) counters.origin = readCounters(cursor.nested());
    else if (cursor.type === CTA_COUNTERS_REPLY) counters.reply = readCounters(cursor.nested());
    else readAttribute(cursor, entry);
  }
  cursor.check();
  const { origin, reply } = entry;
  if (origin === undefined || reply === undefined) return undefined;
  if (counters.origin !== undefined && counters.reply !== undefined)
    entry.counters = { origin: counters.origin, reply: counters.reply };
  return { ...entry, origin, reply };
}

function readAttribute(cursor: AttributeCursor, entry: Partial<CtEntry>): void {
  if (cursor.type === CTA_TUPLE_ORIG) entry.origin = readTuple(cursor.nested());
  else if (cursor.type === CTA_TUPLE_REPLY) entry.reply = readTuple(cursor.nested());
  else if (cursor.type === CTA_TUPLE_MASTER) entry.parent = readTuple(cursor.nested());
  else if (cursor.type === CTA_ZONE) entry.zone = cursor.be16();
  else if (cursor.type === CTA_ID) entry.id = cursor.be32();
  else if (cursor.type === CTA_STATUS) entry.status = cursor.be32();
  else if (cursor.type === CTA_TIMEOUT) entry.timeoutS = cursor.be32();
  else if (cursor.type === CTA_MARK) entry.mark = cursor.be32();
  else if (cursor.type === CTA_LABELS) entry.labels = cursor.bytes();
  else if (cursor.type === CTA_PROTOINFO) readProtocol(cursor.nested(), entry);
  else if (cursor.type === CTA_HELP) {
    for (const inner = cursor.nested(); inner.next(); ) if (inner.type === CTA_HELP_NAME) entry.helper = inner.string();
  } else if (cursor.type === CTA_TIMESTAMP) {
    for (const inner = cursor.nested(); inner.next(); ) {
      if (inner.type === CTA_TIMESTAMP_START) entry.startNs = inner.be64();
      else if (inner.type === CTA_TIMESTAMP_STOP) entry.stopNs = inner.be64();
    }
  }
}

function readTuple(cursor: AttributeCursor): CtTuple {
  const tuple: CtTuple = { src: new Uint8Array(IPV4_SIZE), dst: new Uint8Array(IPV4_SIZE), protocol: 0 };
  while (cursor.next()) {
    if (cursor.type === CTA_TUPLE_IP) {
      for (const ip = cursor.nested(); ip.next(); ) {
        if (ip.type === CTA_IP_V4_SRC || ip.type === CTA_IP_V6_SRC) tuple.src = ip.bytes();
        else if (ip.type === CTA_IP_V4_DST || ip.type === CTA_IP_V6_DST) tuple.dst = ip.bytes();
      }
    } else if (cursor.type === CTA_TUPLE_PROTO) readPorts(cursor.nested(), tuple);
  }
  return tuple;
}

function readPorts(cursor: AttributeCursor, tuple: CtTuple): void {
  while (cursor.next()) {
    const { type } = cursor;
    if (type === CTA_PROTO_NUM) tuple.protocol = cursor.u8();
    else if (type === CTA_PROTO_SRC_PORT) tuple.srcPort = cursor.be16();
    else if (type === CTA_PROTO_DST_PORT) tuple.dstPort = cursor.be16();
    else if (type === CTA_PROTO_ICMP_ID || type === CTA_PROTO_ICMPV6_ID) tuple.icmpId = cursor.be16();
    else if (type === CTA_PROTO_ICMP_TYPE || type === CTA_PROTO_ICMPV6_TYPE) tuple.icmpType = cursor.u8();
    else if (type === CTA_PROTO_ICMP_CODE || type === CTA_PROTO_ICMPV6_CODE) tuple.icmpCode = cursor.u8();
  }
}

function readCounters(cursor: AttributeCursor): CtCounters {
  const counters: CtCounters = { packets: 0n, bytes: 0n };
  while (cursor.next()) {
    if (cursor.type === CTA_COUNTERS_PACKETS) counters.packets = cursor.be64();
    else if (cursor.type === CTA_COUNTERS_BYTES) counters.bytes = cursor.be64();
  }
  return counters;
}

function readProtocol(cursor: AttributeCursor, entry: Partial<CtEntry>): void {
  while (cursor.next()) {
    if (cursor.type !== CTA_PROTOINFO_TCP) continue;
    const tcp: NonNullable<CtEntry['tcp']> = { state: 0, windowScale: [0, 0], flags: [0, 0] };
    for (const inner = cursor.nested(); inner.next(); ) {
      if (inner.type === CTA_PROTOINFO_TCP_STATE) tcp.state = inner.u8();
      else if (inner.type === CTA_PROTOINFO_TCP_WSCALE_ORIGINAL) tcp.windowScale[0] = inner.u8();
      else if (inner.type === CTA_PROTOINFO_TCP_WSCALE_REPLY) tcp.windowScale[1] = inner.u8();
      else if (inner.type === CTA_PROTOINFO_TCP_FLAGS_ORIGINAL) tcp.flags[0] = inner.u8();
      else if (inner.type === CTA_PROTOINFO_TCP_FLAGS_REPLY) tcp.flags[1] = inner.u8();
    }
    entry.tcp = tcp;
  }
}
