/*
 * Script: writes a scenario down. Each method is one request or one event; sequence numbers count up by themselves.
 */
import { type Attr, attr, nest } from '../attribute-tree.ts';
import { DP, DP_ATTR, type Family, FLOW, FLOW_ATTR, PACKET, PACKET_ATTR, VPORT, VPORT_ATTR } from './openvswitch.ts';
import {
  type Datagram,
  NLM_F,
  type RequestFields,
  request,
  type Scenario,
  SOCKETS,
  type SocketName,
  type Step,
  together,
} from './scenario.ts';

export const u8 = (value: number) => Uint8Array.of(value);
export const u16 = (value: number) => Uint8Array.of(value & 255, (value >>> 8) & 255);
export const be16 = (value: number) => Uint8Array.of((value >>> 8) & 255, value & 255);
export const u32 = (...values: number[]) => new Uint8Array(Uint32Array.from(values).buffer);
export const text = (value: string) => new Uint8Array(Buffer.from(`${value}\0`, 'latin1'));

export const ECHO = NLM_F.REQUEST | NLM_F.ACK | NLM_F.ECHO;
export const ACK = NLM_F.REQUEST | NLM_F.ACK;
export const DUMP = NLM_F.REQUEST | NLM_F.DUMP;

/** Who sends, and what differs from the usual request. */
export type Options = Partial<RequestFields> & { from?: SocketName };

export const PIDS = {
  first: SOCKETS.upcalls1.portId,
  second: SOCKETS.upcalls2.portId,
  third: SOCKETS.upcalls3.portId,
} as const;

export interface FlowFields {
  key?: Attr[] | Uint8Array;
  mask?: Attr[] | Uint8Array;
  actions?: Attr[] | Uint8Array;
  ufid?: Uint8Array;
  ufidFlags?: number;
  clear?: boolean;
  probe?: boolean;
}

function list(type: number, content: Attr[] | Uint8Array | undefined): Attr[] {
  return content === undefined ? [] : [{ type, payload: content }];
}

/** In the order in which Open vSwitch sends them. */
export function flowAttributes(fields: FlowFields): Attr[] {
  const { ufid, ufidFlags } = fields;
  return [
    ...(ufid === undefined ? [] : [attr(FLOW_ATTR.UFID, ufid)]),
    ...(ufidFlags === undefined ? [] : [attr(FLOW_ATTR.UFID_FLAGS, u32(ufidFlags))]),
    ...list(FLOW_ATTR.KEY, fields.key),
    ...list(FLOW_ATTR.MASK, fields.mask),
    ...list(FLOW_ATTR.ACTIONS, fields.actions),
    ...(fields.probe ? [attr(FLOW_ATTR.PROBE, [])] : []),
    ...(fields.clear ? [attr(FLOW_ATTR.CLEAR, [])] : []),
  ];
}

export class Script {
  readonly steps: Step[] = [];
  readonly name: string;
  /** Where requests go that do not say another. */
  dp: string | number;
  private seq = 0;

  constructor(name: string, dp: string | number = 'dp0') {
    this.name = name;
    this.dp = dp;
  }

  get scenario(): Scenario {
    return { name: this.name, steps: this.steps };
  }

  message(family: Family, command: number, attributes: Attr[] | Uint8Array, options: Options = {}): Datagram {
    this.seq++;
    const { from: _, ...fields } = options;
    return request({ family, command, attributes, dp: this.dp, seq: this.seq, ...fields });
  }

  send(family: Family, command: number, attributes: Attr[] | Uint8Array = [], options: Options = {}): void {
    const datagram = this.message(family, command, attributes, options);
    this.steps.push({ do: 'send', from: options.from ?? 'admin', datagram });
  }

  /** Several messages in one datagram. */
  sendTogether(messages: Datagram[], from: SocketName = 'admin'): void {
    this.steps.push({ do: 'send', from, datagram: together(...messages) });
  }

  /** What comes back waits until the socket sends again. */
  post(from: SocketName, datagram: Datagram): void {
    this.steps.push({ do: 'post', from, datagram });
  }

  raw(bytes: Uint8Array, from: SocketName = 'admin'): void {
    this.steps.push({ do: 'send', from, datagram: { bytes, fixes: [] } });
  }

  newDatapath(name = 'dp0', more: Attr[] = [], options: Options = {}): void {
    const attributes = [attr(DP_ATTR.NAME, text(name)), attr(DP_ATTR.UPCALL_PID, u32(PIDS.first)), ...more];
    this.send('datapath', DP.NEW, attributes, { dp: 0, flags: ECHO, ...options });
  }

  newPort(name: string, type: number, more: Attr[] = [], options: Options = {}): void {
    const attributes = [
      attr(VPORT_ATTR.NAME, text(name)),
      attr(VPORT_ATTR.TYPE, u32(type)),
      ...(more.some((a) => a.type === VPORT_ATTR.UPCALL_PID) ? [] : [attr(VPORT_ATTR.UPCALL_PID, u32(PIDS.second))]),
      ...more,
    ];
    this.send('vport', VPORT.NEW, attributes, { flags: ECHO, ...options });
  }

  flow(command: number, fields: FlowFields, options: Options = {}): void {
    this.send('flow', command, flowAttributes(fields), { flags: ECHO, ...options });
  }

  putFlow(fields: FlowFields, options: Options = {}): void {
    this.flow(FLOW.NEW, fields, options);
  }

  /** Everything that there is, as anybody may see it. */
  dumpAll(): void {
    this.send('datapath', DP.GET, [], { flags: DUMP, from: 'plain', dp: 0 });
    this.send('vport', VPORT.GET, [], { flags: DUMP, from: 'plain' });
    this.send('flow', FLOW.GET, [], { flags: DUMP, from: 'plain' });
  }

  execute(packet: Uint8Array, actions: Attr[], key: Attr[] = [], more: Attr[] = [], options: Options = {}): void {
    const attributes = [
      attr(PACKET_ATTR.PACKET, packet),
      nest(PACKET_ATTR.KEY, key),
      nest(PACKET_ATTR.ACTIONS, actions),
      ...more,
    ];
    this.send('packet', PACKET.EXECUTE, attributes, options);
  }

  frame(device: string, data: Uint8Array): void {
    this.steps.push({ do: 'frame', device, data });
  }

  device(name: string): void {
    this.steps.push({ do: 'device', name });
  }

  remove(name: string): void {
    this.steps.push({ do: 'remove', name });
  }
}
