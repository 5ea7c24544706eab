/*
 * The requests of `wdp bench netlink`: one message for each kind of transaction, with the place of the word that makes each request another one. Before
 * them: netlink.ts. After them: a TransactionBatch, and the C program, which get the same bytes. Main thread.
 */
import * as K from '../../assembly/netlink/openvswitch.ts';
import { DatapathError } from '../errors.ts';
import { OVS_HEADER_SIZE } from '../kernel/ovs-header.ts';
import { AttributeBuilder } from '../netlink/attributes.ts';
import { MessageBuffer } from '../netlink/buffer.ts';
import {
  NETLINK_GENERIC,
  NETLINK_ROUTE,
  NLM_F_CREATE,
  NLM_F_ECHO,
  NLM_F_REPLACE,
  NLM_F_REQUEST,
  NLMSG_NOOP,
} from '../netlink/constants.ts';
import { lookupFamily } from '../netlink/generic.ts';
import { beginGenericMessage, beginMessage, endMessage, MessageCursor } from '../netlink/message.ts';
import { NetlinkSocket } from '../netlink/socket.ts';

export type NetlinkOp = 'noop' | 'neigh' | 'flow';

export interface RequestTemplate {
  /** What errors call it. */
  operation: string;
  protocol: number;
  /** The first request; its headers are written when it is sent. */
  message: Uint8Array;
  /** Where a big-endian u32 counts from request to request, -1: all are equal. */
  offset: number;
  /** Requests until it begins again. */
  modulo: number;
  /** Entries that the kernel lists afterwards; undefined when there is no table. */
  entries(): number | undefined;
  close(): void;
}

const RTM_NEWLINK = 16;
const RTM_DELLINK = 17;
const RTM_GETLINK = 18;
const RTM_NEWNEIGH = 28;
const RTM_GETNEIGH = 30;
const AF_INET = 2;
const IFF_UP = 1;
const IFLA_IFNAME = 3;
const IFLA_LINKINFO = 18;
const IFLA_INFO_KIND = 1;
const IFLA_INFO_DATA = 2;
const VETH_INFO_PEER = 1;
const IFINFOMSG_SIZEOF = 16;
const NDMSG_SIZEOF = 12;
const NDMSG_IFINDEX = 4;
const NDA_DST = 1;
const NDA_LLADDR = 2;
const NUD_PERMANENT = 0x80;
const NEIGHBOURS = 10_000;
const FLOWS = 100_000;

const OVS_DATAPATH_VERSION = 2;
const OVS_FLOW_VERSION = 1;
const OVS_NEW = 1; // OVS_DP_CMD_NEW, OVS_FLOW_CMD_NEW
const OVS_DEL = 2;
const OVS_GET = 3;
const OVS_DP_ATTR_NAME = 1;
const OVS_DP_ATTR_UPCALL_PID = 2;
const OVS_FLOW_ATTR_KEY = 1;
const OVS_FLOW_ATTR_ACTIONS = 2;
const ETH_P_IP = 0x0800;
const IPPROTO_UDP = 17;

export function requestTemplate(op: NetlinkOp): RequestTemplate {
  if (op === 'noop') return noop();
  return op === 'neigh' ? neighbours() : flows();
}

/** A message that the kernel acknowledges and does nothing about: what is left is the way there and back. */
function noop(): RequestTemplate {
  const message = build((buffer) => beginMessage(buffer, NLMSG_NOOP, NLM_F_REQUEST));
  return {
    operation: 'bench: noop',
    protocol: NETLINK_ROUTE,
    message,
    offset: -1,
    modulo: 1,
    entries: () => undefined,
    close: () => {},
  };
}

/** Adds or replaces permanent neighbours 10.0.0.1 and up on one end of a veth pair that goes away with the benchmark. */
function neighbours(): RequestTemplate {
  const socket = NetlinkSocket.open(NETLINK_ROUTE);
  const name = `wdpb${process.pid}`;
  socket.transact(newVeth(name, `${name}p`), { operation: 'bench: create a veth pair' });
  const ifindex = linkIndex(socket, name);
  socket.transact(aboutLink(RTM_NEWLINK, ifindex, IFF_UP), { operation: 'bench: set the veth device up' });
  let offset = 0;
  const message = build((buffer) => {
    const start = beginMessage(buffer, RTM_NEWNEIGH, NLM_F_REQUEST | NLM_F_CREATE | NLM_F_REPLACE);
    putNdmsg(buffer, ifindex);
    offset = buffer.size + 4;
    const attributes = new AttributeBuilder(buffer);
    attributes.binary(NDA_DST, Uint8Array.of(10, 0, 0, 1)).binary(NDA_LLADDR, Uint8Array.of(2, 0, 0, 0, 0, 1));
    attributes.finish();
    return start;
  });
  const dumpNeighbours = build((buffer) => {
    const start = beginMessage(buffer, RTM_GETNEIGH, NLM_F_REQUEST);
    putNdmsg(buffer, ifindex, 0);
    return start;
  });
  return {
    operation: 'bench: add a neighbour',
    protocol: NETLINK_ROUTE,
    message,
    offset,
    modulo: NEIGHBOURS,
    entries: () =>
      countDump(socket, dumpNeighbours, (reply, at) => reply.getInt32(at + NDMSG_IFINDEX, true) === ifindex),
    close: () => {
      socket.transact(aboutLink(RTM_DELLINK, ifindex));
      socket.close();
    },
  };
}

/** Adds or replaces flows in a datapath of its own of openvswitch.ko, which refuses to replace one with NLM_F_CREATE. */
function flows(): RequestTemplate {
  const datapathFamily = lookupFamily('ovs_datapath');
  const flowFamily = lookupFamily('ovs_flow');
  const socket = NetlinkSocket.open(NETLINK_GENERIC);
  const name = `wdpb${process.pid}`;
  const command = (cmd: number, flags: number): Uint8Array =>
    build((buffer) => {
      const start = beginGenericMessage(buffer, datapathFamily.id, cmd, OVS_DATAPATH_VERSION, flags);
      buffer.append(new Uint8Array(OVS_HEADER_SIZE));
      const attributes = new AttributeBuilder(buffer).string(OVS_DP_ATTR_NAME, name);
      if (cmd === OVS_NEW) attributes.u32(OVS_DP_ATTR_UPCALL_PID, 0);
      attributes.finish();
      return start;
    });
  const made = new MessageCursor(
    socket.transact(command(OVS_NEW, NLM_F_REQUEST | NLM_F_ECHO), { operation: 'bench: create a datapath' }),
  );
  if (!made.next())
    throw new DatapathError('ERR_NETLINK_MALFORMED', 'bench: the kernel did not say which datapath it made');
  const dpIfindex = made.bytes.slice(made.payloadOffset + 4, made.payloadOffset + 8);
  let offset = 0;
  const message = build((buffer) => {
    const start = beginGenericMessage(buffer, flowFamily.id, OVS_NEW, OVS_FLOW_VERSION, NLM_F_REQUEST | NLM_F_REPLACE);
    buffer.append(dpIfindex);
    const attributes = new AttributeBuilder(buffer);
    attributes.nest(OVS_FLOW_ATTR_KEY, (key) => {
      key
        .u32(K.OVS_KEY_ATTR_IN_PORT, 0)
        .binary(K.OVS_KEY_ATTR_ETHERNET, Uint8Array.of(2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2));
      key.be16(K.OVS_KEY_ATTR_ETHERTYPE, ETH_P_IP);
      offset = buffer.size + 4;
      key.binary(K.OVS_KEY_ATTR_IPV4, Uint8Array.of(10, 0, 0, 1, 192, 0, 2, 1, IPPROTO_UDP, 0, 64, 0));
      key.binary(K.OVS_KEY_ATTR_UDP, Uint8Array.of(0, 1, 0, 2));
    });
    attributes.nest(OVS_FLOW_ATTR_ACTIONS, () => {}).finish();
    return start;
  });
  const dumpFlows = build((buffer) => {
    const start = beginGenericMessage(buffer, flowFamily.id, OVS_GET, OVS_FLOW_VERSION, NLM_F_REQUEST);
    buffer.append(dpIfindex);
    return start;
  });
  return {
    operation: 'bench: add a flow',
    protocol: NETLINK_GENERIC,
    message,
    offset,
    modulo: FLOWS,
    entries: () => countDump(socket, dumpFlows, () => true),
    close: () => {
      socket.transact(command(OVS_DEL, NLM_F_REQUEST));
      socket.close();
    },
  };
}

function build(write: (buffer: MessageBuffer) => number): Uint8Array {
  const buffer = new MessageBuffer();
  const start = write(buffer);
  endMessage(buffer, start);
  return buffer.bytes.slice();
}

/** Flags and which of them to change are the same: those given are set. */
function putIfinfomsg(buffer: MessageBuffer, ifindex: number, flags = 0): void {
  const bytes = new Uint8Array(IFINFOMSG_SIZEOF);
  const view = new DataView(bytes.buffer);
  view.setInt32(4, ifindex, true);
  view.setUint32(8, flags, true);
  view.setUint32(12, flags, true);
  buffer.append(bytes);
}

function putNdmsg(buffer: MessageBuffer, ifindex: number, state = NUD_PERMANENT): void {
  const bytes = new Uint8Array(NDMSG_SIZEOF);
  const view = new DataView(bytes.buffer);
  view.setUint8(0, AF_INET);
  if (state !== 0) view.setInt32(NDMSG_IFINDEX, ifindex, true);
  view.setUint16(8, state, true);
  buffer.append(bytes);
}

function aboutLink(type: number, ifindex: number, flags = 0): Uint8Array {
  return build((buffer) => {
    const start = beginMessage(buffer, type, NLM_F_REQUEST);
    putIfinfomsg(buffer, ifindex, flags);
    return start;
  });
}

function newVeth(name: string, peer: string): Uint8Array {
  return build((buffer) => {
    const start = beginMessage(buffer, RTM_NEWLINK, NLM_F_REQUEST | NLM_F_CREATE);
    putIfinfomsg(buffer, 0);
    const attributes = new AttributeBuilder(buffer).string(IFLA_IFNAME, name);
    attributes.nest(IFLA_LINKINFO, (info) => {
      info.string(IFLA_INFO_KIND, 'veth');
      info.nest(IFLA_INFO_DATA, (data) => {
        data.nest(VETH_INFO_PEER, (inner) => {
          putIfinfomsg(buffer, 0);
          inner.string(IFLA_IFNAME, peer);
        });
      });
    });
    attributes.finish();
    return start;
  });
}

function linkIndex(socket: NetlinkSocket, name: string): number {
  const reply = socket.transact(
    build((buffer) => {
      const start = beginMessage(buffer, RTM_GETLINK, NLM_F_REQUEST);
      buffer.append(new Uint8Array(IFINFOMSG_SIZEOF));
      new AttributeBuilder(buffer).string(IFLA_IFNAME, name).finish();
      return start;
    }),
    { operation: `bench: find ${name}` },
  );
  const message = new MessageCursor(reply);
  if (!message.next()) throw new DatapathError('ERR_NETLINK_MALFORMED', `bench: no answer about ${name}`);
  return new DataView(reply.buffer, reply.byteOffset).getInt32(message.payloadOffset + 4, true);
}

/** Messages of a dump that `counts` says yes to; it gets the reply and where the payload begins in it. */
function countDump(
  socket: NetlinkSocket,
  request: Uint8Array,
  counts: (reply: DataView, payloadOffset: number) => boolean,
): number {
  let count = 0;
  const dump = socket.dump(request);
  for (let message = dump.next(); message !== undefined; message = dump.next()) {
    const { bytes, payloadOffset } = message;
    if (counts(new DataView(bytes.buffer, bytes.byteOffset), payloadOffset)) count++;
  }
  return count;
}
