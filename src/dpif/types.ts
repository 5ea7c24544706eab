/*
 * What goes into a datapath interface and comes out of it: plain records. Keys, masks and actions are lists of Netlink attributes
 * (OVS_KEY_ATTR_*, OVS_ACTION_ATTR_*) as bytes, which src/odp/ makes from text or typed fields and reads back. Counters are bigint; one that is
 * undefined is not known to the provider. Before it: provider.ts. After it: programs.
 */
import type { DatapathError } from '../errors.ts';

export interface DpStats {
  /** Packets that hit a flow, missed the table, and were lost on their way up. */
  hits: bigint;
  missed: bigint;
  lost: bigint;
  flows: bigint;
  /** Masks looked at by lookups, masks in use, and hits of the cache of masks. */
  maskHits?: bigint;
  masks?: number;
  cacheHits?: bigint;
}

export interface DpifPort {
  portNo: number;
  name: string;
  /** As in the database of Open vSwitch: 'system', 'internal', 'vxlan', 'geneve', 'gre', ... */
  type: string;
}

/** A port to add. Options of tunnels: dst_port, exts, ...; a provider refuses what it does not know. */
export interface PortRequest {
  name: string;
  /** Default 'system': a network device that is there. */
  type?: string;
  options?: Record<string, string>;
}

/** Seen from the switch: rx came into it by the port. The last five are known to devices only. */
export interface PortStats {
  rxPackets?: bigint;
  txPackets?: bigint;
  rxBytes?: bigint;
  txBytes?: bigint;
  rxErrors?: bigint;
  txErrors?: bigint;
  rxDropped?: bigint;
  txDropped?: bigint;
  rxOverErrors?: bigint;
  rxFrameErrors?: bigint;
  txAbortedErrors?: bigint;
  txCarrierErrors?: bigint;
  collisions?: bigint;
}

/** A port changed; 'changed' when it is not known which one. */
export type PortChange = { name: string } | 'changed';

export interface FlowStats {
  packets: bigint;
  bytes: bigint;
  /** CLOCK_MONOTONIC, ms, of the last packet; 0: never used. */
  usedMs: bigint;
  /** OR of the TCP flags seen. */
  tcpFlags: number;
}

export interface FlowAttrs {
  offloaded: boolean;
  dpLayer: string;
}

export interface DpifFlow {
  readonly key?: Uint8Array;
  readonly mask?: Uint8Array;
  readonly actions?: Uint8Array;
  /** 16 bytes. */
  readonly ufid?: Uint8Array;
  readonly stats: FlowStats;
  readonly attrs: FlowAttrs;
  /** Thread that has the flow, where a provider keeps flows by thread. */
  readonly pmdId?: number;
  readonly extraInfo?: string;
}

// flags of a flow put
export const DPIF_FP_CREATE = 1;
export const DPIF_FP_MODIFY = 2;
/** Statistics of a flow that is modified begin at zero. */
export const DPIF_FP_ZERO_STATS = 4;
/** It is only asked whether the datapath takes such a flow: errors are not logged. */
export const DPIF_FP_PROBE = 8;

export interface FlowPut {
  type: 'flow_put';
  /** DPIF_FP_*. Without CREATE and MODIFY nothing is done. */
  flags: number;
  key: Uint8Array;
  /** Absent: exact on everything that the key has. */
  mask?: Uint8Array;
  actions?: Uint8Array;
  ufid?: Uint8Array;
  wantStats?: boolean;
  /** Results: of the flow that was modified, and why it failed. */
  stats?: FlowStats;
  error?: DatapathError;
}

export interface FlowDel {
  type: 'flow_del';
  /** One of the two; with a UFID the key is not looked at. */
  key?: Uint8Array;
  ufid?: Uint8Array;
  /** The answer needs no key, mask or actions. */
  terse?: boolean;
  wantStats?: boolean;
  stats?: FlowStats;
  error?: DatapathError;
}

export interface FlowGet {
  type: 'flow_get';
  key?: Uint8Array;
  ufid?: Uint8Array;
  flow?: DpifFlow;
  error?: DatapathError;
}

export interface Execute {
  type: 'execute';
  packet: Uint8Array;
  /** The packet's metadata; what can be read from the packet itself is read from there. */
  key: Uint8Array;
  actions: Uint8Array;
  /** It is only asked whether the datapath takes these actions. */
  probe?: boolean;
  /** The datapath may not know all of the actions: what it need not do is done here. */
  needsHelp?: boolean;
  /** Largest frame that was seen before reassembly, 0 none. */
  mru?: number;
  hash?: bigint;
  error?: DatapathError;
}

export type DpifOp = FlowPut | FlowDel | FlowGet | Execute;

export interface DpifUpcall {
  type: 'miss' | 'action';
  portNo: number;
  packet: Uint8Array;
  key: Uint8Array;
  /** Hash of the key, made here: see flowUfid. */
  ufid: Uint8Array;
  userdata?: Uint8Array;
  actions?: Uint8Array;
  outTunKey?: Uint8Array;
  mru?: number;
  /** Bytes that the packet had, when it was cut. */
  size?: number;
  hash?: bigint;
}

/** What the receivers of upcalls saw. */
export interface UpcallStats {
  received: bigint;
  /** Messages that were no upcalls of this datapath. */
  strangers: bigint;
  /** Times that a socket was full and the datapath dropped something for it; how much, only its `lost` counts. */
  overruns: bigint;
  /** The same by port (per-vport) or by handler (per-cpu). */
  overrunsBy: ReadonlyMap<number, bigint>;
}

export interface MeterFeatures {
  metersMax: number;
  bandsMax: number;
  /** OVS_METER_BAND_TYPE_*. */
  bandTypes: number[];
}

export interface MeterBandConfig {
  /** Default: drop, the only one that there is. */
  type?: number;
  /** kbit/s or packets/s. */
  rate: number;
  /** kbit or packets; 0: as much as in a second. */
  burst?: number;
}

export interface MeterConfig {
  unit: 'kbps' | 'pktps';
  bands: MeterBandConfig[];
}

export interface MeterStats {
  packets: bigint;
  bytes: bigint;
  usedMs: bigint;
  bands: { packets: bigint; bytes: bigint }[];
}

/** A limit of connections in a zone; `zone` undefined: of the zones that have none of their own. 0: no limit. */
export interface CtLimit {
  zone?: number;
  limit: number;
  /** Connections that there are. */
  count?: number;
}

/** One direction of a connection. */
export interface CtTuple {
  /** 4 or 16 bytes each. */
  src: Uint8Array;
  dst: Uint8Array;
  protocol: number;
  srcPort?: number;
  dstPort?: number;
  icmpId?: number;
  icmpType?: number;
  icmpCode?: number;
}

export interface CtCounters {
  packets: bigint;
  bytes: bigint;
}

export interface CtEntry {
  origin: CtTuple;
  reply: CtTuple;
  /** Of the connection that it belongs to: ftp data and the like. */
  parent?: CtTuple;
  zone: number;
  id?: number;
  /** IPS_*. */
  status?: number;
  timeoutS?: number;
  mark?: number;
  labels?: Uint8Array;
  /** State and flags of both directions of a TCP connection. */
  tcp?: { state: number; windowScale: [number, number]; flags: [number, number] };
  /** State, and verification tags of both directions, of an SCTP association. */
  sctp?: { state: number; tags: [number, number] };
  helper?: string;
  counters?: { origin: CtCounters; reply: CtCounters };
  /** CLOCK_REALTIME, ns. */
  startNs?: bigint;
  stopNs?: bigint;
}

export interface CtFlush {
  zone?: number;
  /** Only this connection, by its original direction. */
  tuple?: CtTuple;
}
