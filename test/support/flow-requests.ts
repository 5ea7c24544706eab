/*
 * Requests of ovs_flow for tests, and what their answers say. Keys and masks are attribute lists written apart from the library's own code.
 */
import * as C from '../../assembly/constants.ts';
import { FAMILY_DATAPATH, FAMILY_FLOW } from '../../assembly/kernel/families.ts';
import * as OVS from '../../assembly/netlink/openvswitch.ts';
import type { Datapath } from '../../src/index.ts';
import type { AttributeBuilder } from '../../src/netlink/index.ts';
import { parseAttributes } from '../reference/flow-attributes.ts';
import { KernelSocket, messagesOf, type RequestParts } from './kernel-socket.ts';

export const FLOW = {
  NEW: OVS.OVS_FLOW_CMD_NEW,
  DEL: OVS.OVS_FLOW_CMD_DEL,
  GET: OVS.OVS_FLOW_CMD_GET,
  SET: OVS.OVS_FLOW_CMD_SET,
} as const;

/** Encoded lists; what is absent is left out. */
export interface FlowParts {
  ufid?: Uint8Array | undefined;
  ufidFlags?: number | undefined;
  key?: Uint8Array | undefined;
  mask?: Uint8Array | undefined;
  actions?: Uint8Array | undefined;
  clear?: boolean | undefined;
  probe?: boolean | undefined;
}

export function flowRequest(command: number, parts: FlowParts, ifindex: number, flags = 0): RequestParts {
  const attributes = (a: AttributeBuilder): void => {
    if (parts.ufid !== undefined) a.binary(OVS.OVS_FLOW_ATTR_UFID, parts.ufid);
    if (parts.ufidFlags !== undefined) a.u32(OVS.OVS_FLOW_ATTR_UFID_FLAGS, parts.ufidFlags);
    if (parts.key !== undefined) a.binary(OVS.OVS_FLOW_ATTR_KEY, parts.key);
    if (parts.mask !== undefined) a.binary(OVS.OVS_FLOW_ATTR_MASK, parts.mask);
    if (parts.actions !== undefined) a.binary(OVS.OVS_FLOW_ATTR_ACTIONS, parts.actions);
    if (parts.clear === true) a.flag(OVS.OVS_FLOW_ATTR_CLEAR);
    if (parts.probe === true) a.flag(OVS.OVS_FLOW_ATTR_PROBE);
  };
  return { family: FAMILY_FLOW, command, ifindex, flags, attributes };
}

/** A flow as a message shows it. */
export interface ShownFlow {
  command: number;
  flags: number;
  ifindex: number;
  /** Types of the attributes, in their order. */
  types: number[];
  ufid?: Uint8Array;
  key?: Uint8Array;
  mask?: Uint8Array;
  actions?: Uint8Array;
  packets: number;
  bytes: number;
  usedMs?: number;
  tcpFlags?: number;
}

export function shownFlow(message: Uint8Array): ShownFlow {
  const view = new DataView(message.buffer, message.byteOffset, message.length);
  const shown: ShownFlow = {
    ...{ command: message[16]!, flags: view.getUint16(6, true), ifindex: view.getInt32(20, true) },
    ...{ types: [], packets: 0, bytes: 0 },
  };
  for (const { type, payload } of parseAttributes(message.subarray(24))) {
    shown.types.push(type);
    const words = new DataView(payload.buffer, payload.byteOffset, payload.length);
    if (type === OVS.OVS_FLOW_ATTR_UFID) shown.ufid = payload;
    if (type === OVS.OVS_FLOW_ATTR_KEY) shown.key = payload;
    if (type === OVS.OVS_FLOW_ATTR_MASK) shown.mask = payload;
    if (type === OVS.OVS_FLOW_ATTR_ACTIONS) shown.actions = payload;
    if (type === OVS.OVS_FLOW_ATTR_TCP_FLAGS) shown.tcpFlags = payload[0]!;
    if (type === OVS.OVS_FLOW_ATTR_USED) shown.usedMs = Number(words.getBigUint64(0, true));
    if (type === OVS.OVS_FLOW_ATTR_STATS) {
      shown.packets = Number(words.getBigUint64(0, true));
      shown.bytes = Number(words.getBigUint64(8, true));
    }
  }
  return shown;
}

/** A socket that asks for flows of a datapath. */
export class FlowSocket {
  readonly socket: KernelSocket;
  readonly ifindex: number;

  constructor(datapath: Datapath) {
    this.socket = new KernelSocket(datapath.memory);
    this.ifindex = datapath.memory.superblock(C.SB_DP_IFINDEX);
    this.#makeDatapath();
  }

  #makeDatapath(): void {
    const attributes = (a: AttributeBuilder): void => {
      a.string(OVS.OVS_DP_ATTR_NAME, 'dp0').u32(OVS.OVS_DP_ATTR_UPCALL_PID, 1);
    };
    const there = { family: FAMILY_DATAPATH, version: 2, command: OVS.OVS_DP_CMD_GET, ifindex: this.ifindex };
    if (this.socket.ask(there).errno === 0) return;
    this.socket.done({ family: FAMILY_DATAPATH, version: 2, command: OVS.OVS_DP_CMD_NEW, attributes });
  }

  ask(command: number, parts: FlowParts, flags = 0): { errno: number; flows: ShownFlow[]; groups: number[] } {
    const { errno, frames } = this.socket.ask(flowRequest(command, parts, this.ifindex, flags));
    return {
      errno,
      flows: frames.flatMap(messagesOf).map(shownFlow),
      groups: frames.map(({ group }) => group),
    };
  }

  /** All flows, in parts of `size` bytes; `between` is called behind each part. */
  dump(size = 1 << 20, ufidFlags?: number, between: () => void = () => {}): ShownFlow[] {
    const request = flowRequest(FLOW.GET, { ufidFlags }, this.ifindex);
    const flows = this.socket.startDump(request, size).map(shownFlow);
    while (this.socket.dumping) {
      between();
      flows.push(...this.socket.continuePart(size).map(shownFlow));
    }
    return flows;
  }
}
