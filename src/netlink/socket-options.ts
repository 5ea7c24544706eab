/*
 * The options of NetlinkSocket, what its methods take and give, and how options become those of a channel.
 */
import type { NativeNetlinkStatistics } from '../native/netlink.ts';
import type { ChannelOptions } from './channel.ts';

export interface NetlinkSocketOptions {
  /** Own port id; default: the kernel chooses one. */
  readonly portId?: number;
  /** Port id of whom to talk to: 0 (default) the kernel; -1: not connected. */
  readonly peer?: number;
  /** Bytes; default 1 MiB, forced past the limit of the system where allowed. */
  readonly receiveBufferSize?: number;
  /** Errors say what was wrong (default true). */
  readonly extendedAck?: boolean;
  /** Errors do not repeat the request (default true). */
  readonly cappedAck?: boolean;
  /** NETLINK_ROUTE: requests for dumps are checked and filters in them obeyed (default true). */
  readonly strictDump?: boolean;
  /** Hear notifications of all network namespaces; `nsid` of a datagram says which. */
  readonly listenAllNamespaces?: boolean;
  /** Deliver the sender's process and user id with each datagram. */
  readonly passCredentials?: boolean;
}

export interface SendOptions {
  /** How long to wait for room in the receiver's queue; default 0: not at all, -1: as long as it takes. */
  readonly timeoutMs?: number;
  /** Port id of the receiver, on a socket that is not connected. */
  readonly to?: number;
  /** Multicast groups to send to: bit n - 1 is group n. */
  readonly groups?: number;
}

export interface ReceiveOptions {
  /** How long to wait for a datagram; default 0: not at all, -1: until there is one. */
  readonly timeoutMs?: number;
  /** Bytes to take of it at most; default: all. */
  readonly sizeMax?: number;
}

export type NetlinkStatistics = NativeNetlinkStatistics;

/** Room for some hundred notifications, or for the acknowledgements of a whole batch. */
const RECEIVE_BUFFER_SIZE = 1024 * 1024;

export function channelOptions(protocol: number, options: NetlinkSocketOptions): ChannelOptions {
  return {
    protocol,
    portId: options.portId ?? 0,
    peer: options.peer ?? 0,
    receiveBufferSize: options.receiveBufferSize ?? RECEIVE_BUFFER_SIZE,
    extendedAck: options.extendedAck ?? true,
    cappedAck: options.cappedAck ?? true,
    strictDump: options.strictDump ?? true,
    listenAllNamespaces: options.listenAllNamespaces ?? false,
    passCredentials: options.passCredentials ?? false,
  };
}

export function noStatistics(): NetlinkStatistics {
  return { sent: 0, received: 0, overruns: 0, truncated: 0, foreign: 0, stale: 0, malformed: 0, resent: 0 };
}

/** Adds the counters of `more` to `sum`. */
export function addStatistics(sum: NetlinkStatistics, more: NetlinkStatistics): void {
  for (const name of Object.keys(sum) as (keyof NetlinkStatistics)[]) sum[name] += more[name];
}
