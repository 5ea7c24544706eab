/*
 * What a trace is made of: plain data, all of it copies, packets as bytes. Made by trace/trace.ts, printed by trace/text.ts.
 */
import type { DropName } from '../datapath/stats.ts';
import type { Effects, Output } from './executor.ts';
import type { Layer } from './layers.ts';

/** A packet at one moment: its bytes and what they are. */
export interface PacketView {
  bytes: Uint8Array;
  layers: Layer[];
}

/** A rule that does not match: the first field that keeps it from it. */
export interface PassedOver {
  text: string;
  line?: number;
  why: string;
}

/** One action. */
export interface Step {
  /** In the text of ovs-dpctl. */
  action: string;
  /** As the action left it; absent when the packet stayed as it was. */
  packet?: PacketView;
  /** What changed beside the packet: `skb_mark(0x7)`. */
  metadata?: string[];
  outputs?: Output[];
  /** Packets sent to handlers by USERSPACE. */
  upcalls?: Uint8Array[];
  /** How many more were for a port id that nobody has: lost. */
  lostCount?: number;
  /** Which list of the action was executed, or why none was. */
  branch?: string;
  /** The actions of that list, on the packet as it was before this action. */
  steps?: Step[];
  /** Why the packet ended with that list. */
  listDrops?: DropName[];
  /** What became of a recirculated packet. */
  pass?: Pass;
  /** Why the packet, or the copy that was for this action, went no further. */
  drops?: DropName[];
}

/** One lookup and what followed. */
export interface Pass {
  /** From 1, in the order of the lookups. */
  number: number;
  key: string;
  /** The rule that decided, in its own words; undefined when none did. */
  rule?: { text: string; line?: number };
  /** The flow that covers the packet: installed for it, or for a pass before. */
  flow: { match: string; actions: string; installed: boolean };
  /** Names of the fields that the flow's mask has bits in. */
  lookedAt: string[];
  /** Rules before the one that decided, in the order in which they are asked. */
  passedOver: PassedOver[];
  steps: Step[];
  drops?: DropName[];
}

/** Where the packet and its copies ended. */
export type TraceResult = Omit<Effects, 'explicit'>;

export interface Trace {
  /** What was given, or composed for the key that was given. */
  packet: PacketView;
  /** `key`: the packet was composed. */
  from: 'packet' | 'key';
  /** Fields of the given key that no packet has as they are: the lookup goes by the key, the actions by the packet. */
  notComposed: string[];
  /** Undefined for a packet that no datapath takes. */
  pass?: Pass;
  result: TraceResult;
  /** What the steps came to, when that is not the result. */
  differs?: TraceResult;
}
