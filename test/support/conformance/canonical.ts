/*
 * Observations made comparable: what is a kernel's own to choose becomes the same on both sides, and nothing else is touched.
 *
 * Before it: what a kernel sent. After it: compare.ts. Replaced by names: family ids (FAMILY_TYPE + number) and the ifindex of a device (a number for
 * its name). Zeroed, because they are times, random or a matter of speed: MASKED. Messages of a dump of flows are sorted, since their order is that of a hash
 * with a random seed; where a dump is cut into datagrams is nobody's business.
 */
import type { Observation, Observed } from './observation.ts';
import { DP_ATTR, type Family, FLOW_ATTR, KEY, METER_ATTR, PACKET_ATTR, VPORT_ATTR } from './openvswitch.ts';
import { familyNumber, HEADERS_SIZE, NLM_F, type SocketName } from './scenario.ts';

export const FAMILY_TYPE = 0xf000;
const NLMSG_HDRLEN = 16;
const NLMSG_MIN_TYPE = 16;
const NLMSG_ERROR = 2;
const TYPE_MASK = 0x3fff;

/** Attributes whose value is no part of the comparison, and which bytes of it: from, to. */
export const MASKED: Partial<Record<Family, Record<number, [number, number][]>>> = {
  // Lookups and hits of the mask cache.
  datapath: {
    [DP_ATTR.MEGAFLOW_STATS]: [
      [0, 8],
      [16, 24],
    ],
  },
  flow: { [FLOW_ATTR.USED]: [[0, 8]] },
  packet: { [PACKET_ATTR.HASH]: [[0, 8]] },
  // How many meters there may be follows from the size of the memory.
  meter: { [METER_ATTR.USED]: [[0, 8]], [METER_ATTR.MAX_METERS]: [[0, 4]] },
};

export interface Line {
  socket: SocketName;
  bytes: Uint8Array;
}

export interface Canonical {
  messages: Line[];
  frames: { device: string; data: Uint8Array }[];
  failure: number;
}

/** A number for each name of a device, the same in all scenarios and on both sides. */
const names: string[] = [];
const FIRST_NAME = 0x4e000000;

function numberOf(name: string): number {
  if (!names.includes(name)) names.push(name);
  return FIRST_NAME + names.indexOf(name);
}

export function nameOf(number: number): string | undefined {
  return names[number - FIRST_NAME];
}

/** The attributes of a list: type without flags, where the payload begins and ends. Ends at what is no attribute. */
export function* attributesOf(bytes: Uint8Array, start: number, end: number): Generator<[number, number, number]> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let at = start; at + 4 <= end; ) {
    const size = view.getUint16(at, true);
    if (size < 4 || at + size > end) return;
    yield [view.getUint16(at + 2, true) & TYPE_MASK, at + 4, at + size];
    at += (size + 3) & ~3;
  }
}

/** What one side is to be made comparable with: its ids, and the devices that it has had so far. */
export class Canonicalizer {
  private readonly families: Observed['families'];
  private readonly devices = new Map<number, string>();

  constructor(families: Observed['families']) {
    this.families = families;
  }

  step(observation: Observation): Canonical {
    for (const { name, ifindex } of observation.links) this.devices.set(ifindex, name);
    const messages = observation.messages.flatMap(({ socket, bytes }) =>
      this.messagesIn(bytes).map((message) => ({ socket, bytes: message })),
    );
    return { messages: sortDumps(messages), frames: observation.frames, failure: observation.failure };
  }

  private messagesIn(datagram: Uint8Array): Uint8Array[] {
    const found: Uint8Array[] = [];
    for (let at = 0; at + NLMSG_HDRLEN <= datagram.length; ) {
      const size = new DataView(datagram.buffer, datagram.byteOffset + at).getUint32(0, true);
      if (size < NLMSG_HDRLEN) throw new Error(`a message of ${size} bytes`);
      found.push(this.message(datagram.slice(at, at + size)));
      at += (size + 3) & ~3;
    }
    return found;
  }

  private message(bytes: Uint8Array): Uint8Array {
    const type = this.header(bytes, 0, bytes.length);
    if (type === NLMSG_ERROR) this.header(bytes, NLMSG_HDRLEN + 4, bytes.length);
    else if (type >= NLMSG_MIN_TYPE) this.attributes(bytes, type);
    return bytes;
  }

  /** Names instead of ids in the headers at `at`. Returns the type that was there. */
  private header(bytes: Uint8Array, at: number, end: number): number {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    if (at + NLMSG_HDRLEN > end) return 0;
    const type = view.getUint16(at + 4, true);
    const family = this.families.get(type);
    if (family === undefined) return type;
    view.setUint16(at + 4, FAMILY_TYPE + familyNumber(family), true);
    if (at + HEADERS_SIZE <= end) this.device(view, at + HEADERS_SIZE - 4);
    return type;
  }

  private device(view: DataView, at: number): void {
    const name = this.devices.get(view.getUint32(at, true));
    if (name !== undefined) view.setUint32(at, numberOf(name), true);
  }

  private attributes(bytes: Uint8Array, type: number): void {
    const family = this.families.get(type);
    if (family === undefined) return;
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    for (const [attribute, start, end] of attributesOf(bytes, HEADERS_SIZE, bytes.length)) {
      for (const [from, to] of MASKED[family]?.[attribute] ?? []) {
        bytes.fill(0, Math.min(start + from, end), Math.min(start + to, end));
      }
      if (family === 'vport' && attribute === VPORT_ATTR.IFINDEX) this.device(view, start);
      if (family === 'packet' && attribute === PACKET_ATTR.KEY) maskHash(bytes, start, end);
    }
  }
}

/** What the hash action computed is each kernel's own. */
function maskHash(bytes: Uint8Array, from: number, to: number): void {
  for (const [attribute, start, end] of attributesOf(bytes, from, to)) {
    if (attribute === KEY.DP_HASH && bytes.subarray(start, end).some((byte) => byte !== 0))
      bytes.fill(0xff, start, end);
  }
}

function isDumpedFlow({ bytes }: Line): boolean {
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  return (
    view.getUint16(4, true) === FAMILY_TYPE + familyNumber('flow') && (view.getUint16(6, true) & NLM_F.MULTI) !== 0
  );
}

function sortDumps(lines: Line[]): Line[] {
  const sorted: Line[] = [];
  for (let at = 0; at < lines.length; ) {
    let end = at;
    while (end < lines.length && lines[end]!.socket === lines[at]!.socket && isDumpedFlow(lines[end]!)) end++;
    if (end === at) end++;
    sorted.push(...lines.slice(at, end).sort((a, b) => Buffer.compare(a.bytes, b.bytes)));
    at = end;
  }
  return sorted;
}
