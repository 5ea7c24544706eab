/*
 * Scenarios: what is sent to a kernel, step by step, in a form that any kernel understands. Ids that a kernel chooses for itself are
 * names here: a family, and the device whose ifindex stands for a datapath. Everything else is bytes.
 *
 * Before it: the generators and recorded sessions. After it: kernel-vm/replay.ts and ours.ts, which play a scenario on the real kernel
 * and on ours. A scenario begins with no datapath and no device, and with SOCKETS.
 */
import { type Attr, encode } from '../attribute-tree.ts';
import { FAMILIES, type Family, VERSION } from './openvswitch.ts';

export const NLM_F = {
  REQUEST: 1,
  MULTI: 2,
  ACK: 4,
  ECHO: 8,
  ROOT: 0x100,
  MATCH: 0x200,
  DUMP: 0x300,
  REPLACE: 0x100,
  EXCL: 0x200,
  CREATE: 0x400,
  APPEND: 0x800,
} as const;

/**
 * Sockets by name, in the order of replay.c: requesters, of which `plain` lacks CAP_NET_ADMIN; receivers of upcalls; and one listener for the
 * multicast group of each family that has one.
 */
export const SOCKETS = {
  admin: { portId: 1001, isAdmin: true, group: undefined },
  other: { portId: 1002, isAdmin: true, group: undefined },
  plain: { portId: 1003, isAdmin: false, group: undefined },
  upcalls1: { portId: 2001, isAdmin: true, group: undefined },
  upcalls2: { portId: 2002, isAdmin: true, group: undefined },
  upcalls3: { portId: 2003, isAdmin: true, group: undefined },
  datapathGroup: { portId: 3001, isAdmin: true, group: 'datapath' },
  vportGroup: { portId: 3002, isAdmin: true, group: 'vport' },
  flowGroup: { portId: 3003, isAdmin: true, group: 'flow' },
  meterGroup: { portId: 3005, isAdmin: true, group: 'meter' },
  ctLimitGroup: { portId: 3006, isAdmin: true, group: 'ctLimit' },
} as const satisfies Record<string, { portId: number; isAdmin: boolean; group: Family | undefined }>;
export type SocketName = keyof typeof SOCKETS;
export const SOCKET_NAMES = Object.keys(SOCKETS) as SocketName[];

/** A place in a datagram that only the kernel it is for can fill: u16 id of a family, u32 ifindex of a device. */
export type Fix = { at: number; family: Family } | { at: number; ifindex: string };

export interface Datagram {
  bytes: Uint8Array;
  fixes: Fix[];
}

/**
 * Whatever a step causes is received before the next; but a socket that posted something receives nothing until it sends something. (The kernel makes the
 * parts of a dump as they are received.)
 */
export type Step =
  | { do: 'send' | 'post'; from: SocketName; datagram: Datagram }
  /** A frame arrives at a device. */
  | { do: 'frame'; device: string; data: Uint8Array }
  /** A device that is not Open vSwitch's own appears, or goes. */
  | { do: 'device' | 'remove'; name: string }
  | { do: 'join' | 'leave'; socket: SocketName; family: Family }
  | { do: 'close'; socket: SocketName };

export interface Scenario {
  name: string;
  steps: Step[];
  /** What follows a difference follows from it: only the first is told. */
  isStateful?: boolean;
}

export interface RequestFields {
  family: Family;
  command: number;
  /** NLM_F_*; default REQUEST | ACK. */
  flags?: number;
  version?: number;
  /** The device whose ifindex goes into ovs_header, or the number itself; default 0. */
  dp?: string | number;
  attributes?: Attr[] | Uint8Array;
  seq?: number;
  /** genlmsghdr's reserved field. */
  reserved?: number;
  /** nlmsg_type instead of the family's id. */
  type?: number;
  /** nlmsg_len, when it is not what it should be. */
  size?: number;
  /** Bytes behind nlmsghdr that are left; default all. */
  cut?: number;
}

export const HEADERS_SIZE = 24;
const TYPE_OFFSET = 4;
const IFINDEX_OFFSET = 20;

/** One message. */
export function request(fields: RequestFields): Datagram {
  const { family, command, flags = NLM_F.REQUEST | NLM_F.ACK, version = VERSION[family], dp = 0 } = fields;
  const { attributes = [], seq = 1, type } = fields;
  const body = attributes instanceof Uint8Array ? attributes : encode(attributes);
  const bytes = new Uint8Array(HEADERS_SIZE + body.length);
  const view = new DataView(bytes.buffer);
  view.setUint16(6, flags, true);
  view.setUint32(8, seq, true);
  view.setUint8(16, command);
  view.setUint8(17, version);
  view.setUint16(18, fields.reserved ?? 0, true);
  bytes.set(body, HEADERS_SIZE);
  const fixes: Fix[] = [];
  if (type === undefined) fixes.push({ at: TYPE_OFFSET, family });
  else view.setUint16(TYPE_OFFSET, type, true);
  if (typeof dp === 'string') fixes.push({ at: IFINDEX_OFFSET, ifindex: dp });
  else view.setInt32(IFINDEX_OFFSET, dp, true);
  const kept = bytes.subarray(0, 16 + (fields.cut ?? bytes.length - 16));
  new DataView(kept.buffer).setUint32(0, fields.size ?? kept.length, true);
  return { bytes: kept, fixes: fixes.filter((fix) => fix.at + ('family' in fix ? 2 : 4) <= kept.length) };
}

/** Several messages as one datagram, each at a multiple of four. */
export function together(...datagrams: Datagram[]): Datagram {
  const parts: Uint8Array[] = [];
  const fixes: Fix[] = [];
  let at = 0;
  for (const { bytes, fixes: inner } of datagrams) {
    for (const fix of inner) fixes.push({ ...fix, at: fix.at + at });
    const padded = new Uint8Array((bytes.length + 3) & ~3);
    padded.set(bytes);
    parts.push(padded);
    at += padded.length;
  }
  return { bytes: new Uint8Array(Buffer.concat(parts)), fixes };
}

/** The bytes with every fix filled in by whoever plays it. */
export function resolve(
  { bytes, fixes }: Datagram,
  familyId: (family: Family) => number,
  ifindex: (name: string) => number,
): Uint8Array {
  const resolved = bytes.slice();
  const view = new DataView(resolved.buffer);
  for (const fix of fixes) {
    if ('family' in fix) view.setUint16(fix.at, familyId(fix.family), true);
    else view.setUint32(fix.at, ifindex(fix.ifindex), true);
  }
  return resolved;
}

export function familyNumber(family: Family): number {
  return FAMILIES.indexOf(family);
}
