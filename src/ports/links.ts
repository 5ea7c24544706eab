/*
 * Network interfaces as the kernel lists them (rtnetlink): finding one, making and removing veth pairs, and changing what `ip link set` changes.
 * Before it: ports on real interfaces. After it: src/netlink/. Concerns the network namespace of the process. Threads: any.
 */
import { DatapathError } from '../errors.ts';
import { AttributeBuilder } from '../netlink/attributes.ts';
import { MessageBuffer } from '../netlink/buffer.ts';
import * as K from '../netlink/constants.ts';
import { beginMessage, endMessage, MessageCursor } from '../netlink/message.ts';
import { dump, transact } from '../netlink/pool.ts';
import { parseMac } from '../odp/addresses.ts';

/** An interface. */
export interface Link {
  readonly ifindex: number;
  readonly name: string;
  readonly mtu: number;
  /** IFF_UP: the administrator wants it up. */
  readonly up: boolean;
  /** IFF_LOWER_UP: there is a carrier. */
  readonly carrier: boolean;
  /** ARPHRD_ETHER: it carries Ethernet frames. */
  readonly ethernet: boolean;
  /** `veth`, `bridge`, `tun` and so on; '' of hardware. */
  readonly kind: string;
  /** Interface number of the bridge or datapath that it is a port of, 0 none. */
  readonly master: number;
  /** Receive and transmit queues. */
  readonly rxQueues: number;
  readonly txQueues: number;
}

export const RTNLGRP_LINK = 1;
export const RTM_NEWLINK = 16;
export const RTM_DELLINK = 17;
export const RTM_GETLINK = 18;
export const IFINFO_SIZE = 16;
const IFINFO_TYPE = 2;
const IFINFO_INDEX = 4;
const IFINFO_FLAGS = 8;
const IFINFO_CHANGE = 12;
const ARPHRD_ETHER = 1;
export const IFF_UP = 1;
const IFF_LOWER_UP = 65536;
const IFLA_ADDRESS = 1;
export const IFLA_IFNAME = 3;
export const IFLA_MTU = 4;
const IFLA_MASTER = 10;
export const IFLA_LINKINFO = 18;
const IFLA_NET_NS_PID = 19;
const IFLA_NUM_TX_QUEUES = 31;
const IFLA_NUM_RX_QUEUES = 32;
const IFLA_STATS64 = 23;
export const IFLA_INFO_KIND = 1;
export const IFLA_INFO_DATA = 2;
const VETH_INFO_PEER = 1;
const ENODEV = 19;

export interface LinkRequest {
  type: number;
  flags?: number;
  /** 0: named by an attribute. */
  ifindex?: number;
  ifFlags?: number;
  ifChange?: number;
  put?: (attributes: AttributeBuilder, buffer: MessageBuffer) => void;
}

/** A message about an interface: its type is RTM_*. */
export function linkMessage({ type, flags = 0, ifindex = 0, ifFlags = 0, ifChange = 0, put }: LinkRequest): Uint8Array {
  const buffer = new MessageBuffer();
  const start = beginMessage(buffer, type, flags);
  const info = buffer.put(IFINFO_SIZE);
  buffer.setU32(info + IFINFO_INDEX, ifindex);
  buffer.setU32(info + IFINFO_FLAGS, ifFlags);
  buffer.setU32(info + IFINFO_CHANGE, ifChange);
  const attributes = new AttributeBuilder(buffer);
  put?.(attributes, buffer);
  attributes.finish();
  endMessage(buffer, start);
  return new Uint8Array(buffer.bytes);
}

/** The interface that a message of type RTM_NEWLINK or RTM_DELLINK is about. */
export function parseLink(message: MessageCursor): Link {
  const at = message.payloadOffset;
  const view = new DataView(message.bytes.buffer, message.bytes.byteOffset);
  const flags = view.getUint32(at + IFINFO_FLAGS, true);
  const link = { name: '', mtu: 0, kind: '', master: 0, rxQueues: 1, txQueues: 1 };
  const attributes = message.attributes(IFINFO_SIZE);
  while (attributes.next()) {
    if (attributes.type === IFLA_IFNAME) link.name = attributes.string();
    else if (attributes.type === IFLA_MTU) link.mtu = attributes.u32();
    else if (attributes.type === IFLA_MASTER) link.master = attributes.u32();
    else if (attributes.type === IFLA_NUM_RX_QUEUES) link.rxQueues = attributes.u32();
    else if (attributes.type === IFLA_NUM_TX_QUEUES) link.txQueues = attributes.u32();
    else if (attributes.type === IFLA_LINKINFO) {
      for (const inner = attributes.nested(); inner.next(); )
        if (inner.type === IFLA_INFO_KIND) link.kind = inner.string();
    }
  }
  return {
    ...link,
    ifindex: view.getInt32(at + IFINFO_INDEX, true),
    up: (flags & IFF_UP) !== 0,
    carrier: (flags & IFF_LOWER_UP) !== 0,
    ethernet: view.getUint16(at + IFINFO_TYPE, true) === ARPHRD_ETHER,
  };
}

/** The request whose dump is the list of all interfaces. */
export function linksRequest(): Uint8Array {
  return linkMessage({ type: RTM_GETLINK, flags: K.NLM_F_DUMP });
}

export function allLinks(): Link[] {
  const links: Link[] = [];
  for (const message of dump(K.NETLINK_ROUTE, linksRequest(), { operation: 'list of interfaces', retry: 3 }))
    links.push(parseLink(message));
  return links;
}

/** The interface of that name, undefined when there is none. */
export function findLink(name: string): Link | undefined {
  const request = linkMessage({ type: RTM_GETLINK, put: (attributes) => attributes.string(IFLA_IFNAME, name) });
  try {
    const cursor = new MessageCursor(transact(K.NETLINK_ROUTE, request, { operation: `interface ${name}` }));
    return cursor.next() ? parseLink(cursor) : undefined;
  } catch (error) {
    if (error instanceof DatapathError && error.errno === ENODEV) return undefined;
    throw error;
  }
}

/** What a device counts beyond packets and bytes: fields of struct rtnl_link_stats64. */
export interface LinkErrors {
  collisions: bigint;
  rxOverErrors: bigint;
  rxFrameErrors: bigint;
  txAbortedErrors: bigint;
  txCarrierErrors: bigint;
}

/** Of the interface of that name; undefined when there is none, or it does not count. */
export function linkErrors(name: string): LinkErrors | undefined {
  const request = linkMessage({ type: RTM_GETLINK, put: (attributes) => attributes.string(IFLA_IFNAME, name) });
  const cursor = new MessageCursor(transact(K.NETLINK_ROUTE, request, { operation: `interface ${name}` }));
  if (!cursor.next()) return undefined;
  const attributes = cursor.attributes(IFINFO_SIZE);
  while (attributes.next()) {
    if (attributes.type !== IFLA_STATS64) continue;
    const bytes = attributes.bytes();
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    const field = (index: number): bigint => view.getBigUint64(8 * index, true);
    const [rxOverErrors, rxFrameErrors, txAbortedErrors, txCarrierErrors] = [11, 13, 16, 17].map(field);
    return { collisions: field(9), rxOverErrors, rxFrameErrors, txAbortedErrors, txCarrierErrors };
  }
  return undefined;
}

/**
 * Makes a pair of Ethernet interfaces that are each other's wire, `peer` in the network namespace of process `pid`. Throws ERR_NETLINK_REFUSED
 * (EEXIST), ERR_NETLINK_PERMISSION.
 */
export function makeVethPair(name: string, peer: string, pid?: number): void {
  const put = (attributes: AttributeBuilder, buffer: MessageBuffer): void => {
    const putPeer = (inner: AttributeBuilder): void => {
      buffer.put(IFINFO_SIZE);
      inner.string(IFLA_IFNAME, peer);
      if (pid !== undefined) inner.u32(IFLA_NET_NS_PID, pid);
    };
    attributes.string(IFLA_IFNAME, name).nest(IFLA_LINKINFO, (info) => {
      info.string(IFLA_INFO_KIND, 'veth').nest(IFLA_INFO_DATA, (data) => data.nest(VETH_INFO_PEER, putPeer));
    });
  };
  const request = linkMessage({ type: RTM_NEWLINK, flags: K.NLM_F_CREATE | K.NLM_F_EXCL, put });
  transact(K.NETLINK_ROUTE, request, { operation: `veth pair ${name} and ${peer}` });
}

/** What `ip link set` changes of an interface. */
export interface LinkChange {
  up?: boolean | undefined;
  mtu?: number | undefined;
  /** Six bytes in hexadecimal with colons. */
  mac?: string | undefined;
}

export function changeLink(ifindex: number, { up, mtu, mac }: LinkChange): void {
  const put = (attributes: AttributeBuilder): void => {
    if (mtu !== undefined) attributes.u32(IFLA_MTU, mtu);
    if (mac !== undefined) attributes.binary(IFLA_ADDRESS, parseMac(mac));
  };
  const flags = up === undefined ? {} : { ifFlags: up ? IFF_UP : 0, ifChange: IFF_UP };
  const request = linkMessage({ type: RTM_NEWLINK, ifindex, ...flags, put });
  transact(K.NETLINK_ROUTE, request, { operation: `change of interface ${ifindex}` });
}

export function deleteLink(ifindex: number): void {
  const operation = `removal of interface ${ifindex}`;
  transact(K.NETLINK_ROUTE, linkMessage({ type: RTM_DELLINK, ifindex }), { operation });
}
