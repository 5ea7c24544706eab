/*
 * What an action list does to a packet, slowly: every set rewrites the fields in a plain byte array and then computes the
 * checksums anew over all the bytes they cover. Knows nothing of descriptors, offsets kept from extraction or deltas.
 */
import { carryError, crc32c, internetChecksum, pseudoHeader } from './checksum.ts';

export type SetField = 'priority' | 'mark' | 'ethernet' | 'ipv4' | 'ipv6' | 'tcp' | 'udp' | 'sctp' | 'mpls';

export type Action =
  | { kind: 'output'; port: number }
  | { kind: 'userspace'; pid: number; userdata: Uint8Array }
  | { kind: 'set'; field: SetField; value: Uint8Array; mask?: Uint8Array }
  | { kind: 'pushVlan'; tpid: number; tci: number }
  | { kind: 'popVlan' }
  | { kind: 'trunc'; size: number }
  | { kind: 'drop' };

export type ModelEvent =
  | { kind: 'output'; port: number; frame: Uint8Array }
  | { kind: 'userspace'; frame: Uint8Array }
  | { kind: 'lost' }
  | { kind: 'drop'; reason: 'action' | 'explicit' | 'flow' };

export interface ModelResult {
  events: ModelEvent[];
  frame: Uint8Array;
  priority: number;
  mark: number;
}

const PROTO_TCP = 6;
const PROTO_UDP = 17;
const PROTO_ICMPV6 = 58;
const PROTO_SCTP = 132;
const EXTENSIONS = [0, 43, 44, 51, 60];

/** Where the headers are, found from the first byte on, behind any number of tags. */
export interface Layout {
  type: number;
  l3: number;
  /** Absent when there is no transport header: malformed, or a later fragment. */
  l4?: number;
  proto: number;
  /** End of the IP packet: what is behind it is padding. */
  end: number;
  /** The destination address that the pseudo header has: the last one of a routing header that is not used up. */
  finalDestination?: Uint8Array;
  fragment: boolean;
}

function isTag(type: number): boolean {
  return type === 0x8100 || type === 0x88a8;
}

export function layoutOf(frame: Uint8Array): Layout {
  const view = Buffer.from(frame.buffer, frame.byteOffset, frame.length);
  let at = 12;
  while (isTag(view.readUInt16BE(at)) && frame.length >= at + 6) at += 4;
  const type = view.readUInt16BE(at);
  const l3 = at + 2;
  const none = { type, l3, proto: 0, end: frame.length, fragment: false };
  if (type === 0x0800 && frame.length >= l3 + 20) return ipv4Layout(view, none);
  if (type === 0x86dd && frame.length >= l3 + 40) return ipv6Layout(view, none);
  return none;
}

function ipv4Layout(view: Buffer, base: Layout): Layout {
  const { l3 } = base;
  const headerSize = (view[l3]! & 15) * 4;
  const frag = view.readUInt16BE(l3 + 6);
  const layout = { ...base, proto: view[l3 + 9]!, end: ipEnd(view, l3 + view.readUInt16BE(l3 + 2)) };
  layout.fragment = (frag & 0x3fff) !== 0;
  if (headerSize < 20 || l3 + headerSize > view.length || (frag & 0x1fff) !== 0) return layout;
  return { ...layout, l4: l3 + headerSize };
}

function ipv6Layout(view: Buffer, base: Layout): Layout {
  const { l3 } = base;
  const layout: Layout = { ...base, end: ipEnd(view, l3 + 40 + view.readUInt16BE(l3 + 4)) };
  let next = view[l3 + 6]!;
  let at = l3 + 40;
  while (EXTENSIONS.includes(next)) {
    const size = next === 44 ? 8 : next === 51 ? (view[at + 1]! + 2) * 4 : (view[at + 1]! + 1) * 8;
    if (at + 2 > view.length || at + size > view.length) return layout;
    if (next === 44) layout.fragment = true;
    if (next === 44 && (view.readUInt16BE(at + 2) & 0xfff8) !== 0) return layout;
    if (next === 43 && view[at + 3] !== 0)
      layout.finalDestination = Buffer.from(view.subarray(at + size - 16, at + size));
    next = view[at]!;
    at += size;
  }
  return { ...layout, proto: next, l4: at };
}

function ipEnd(view: Buffer, end: number): number {
  return end > view.length ? view.length : end;
}

/** The transport checksum: its place, what it should be, and the sum of its pseudo header alone; undefined if there is none. */
function transportChecksum(frame: Uint8Array): { at: number; right: number; pseudo: number } | undefined {
  const layout = layoutOf(frame);
  const { l3, l4, proto, end, type } = layout;
  if (l4 === undefined) return undefined;
  const ipv6 = type === 0x86dd;
  const rule = new Map([
    [PROTO_TCP, [16, 20]],
    [PROTO_UDP, [6, 8]],
    ...(ipv6 ? ([[PROTO_ICMPV6, [2, 8]]] as const) : []),
  ]).get(proto);
  if (rule === undefined || frame.length < l4 + rule[1]!) return undefined;
  const at = l4 + rule[0]!;
  const body = Buffer.from(frame.subarray(l4, end));
  body.writeUInt16BE(0, at - l4);
  const source = ipv6 ? frame.subarray(l3 + 8, l3 + 24) : frame.subarray(l3 + 12, l3 + 16);
  const destination = ipv6 ? frame.subarray(l3 + 24, l3 + 40) : frame.subarray(l3 + 16, l3 + 20);
  const addresses = Buffer.concat([source, layout.finalDestination ?? destination]);
  const pseudo = pseudoHeader(addresses, body.length, proto);
  let right = internetChecksum(pseudo, body);
  if (proto === PROTO_UDP && right === 0) right = 0xffff;
  return { at, right, pseudo: internetChecksum(pseudo) ^ 0xffff };
}

function sctpChecksum(frame: Uint8Array): { at: number; right: number } | undefined {
  const { l4, proto, end } = layoutOf(frame);
  if (l4 === undefined || proto !== PROTO_SCTP || frame.length < l4 + 12) return undefined;
  const body = Buffer.from(frame.subarray(l4, end < l4 + 12 ? frame.length : end));
  body.writeUInt32LE(0, 8);
  return { at: l4 + 8, right: crc32c(body) };
}

/**
 * The frame with its transport checksum still to be made: the folded sum of the pseudo header stands in its place. Undefined when there is no
 * such checksum, or only a part of what it covers.
 */
export function withPartialChecksum(frame: Uint8Array): Uint8Array | undefined {
  const checksum = transportChecksum(frame);
  if (checksum === undefined || layoutOf(frame).fragment) return undefined;
  const copy = Buffer.from(frame);
  copy.writeUInt16BE(checksum.pseudo, checksum.at);
  return new Uint8Array(copy);
}

/** Makes it, as whoever sends the frame does: the complement of the sum from the transport header on, whatever stands in its place. */
export function withCompletedChecksum(frame: Uint8Array): Uint8Array {
  const { l4, end, proto } = layoutOf(frame);
  const copy = Buffer.from(frame);
  const made = internetChecksum(copy.subarray(l4, end));
  copy.writeUInt16BE(proto === PROTO_UDP && made === 0 ? 0xffff : made, transportChecksum(frame)!.at);
  return new Uint8Array(copy);
}

/** Runs `change` on the frame, then sets every checksum to what it must be; errors that were there stay. */
function rewrite(frame: Uint8Array, change: (copy: Buffer) => void): Buffer {
  const copy = Buffer.from(frame);
  change(copy);
  const { type, l3, proto } = layoutOf(frame);
  if (type === 0x0800 && frame.length >= l3 + 20) {
    const header = (data: Uint8Array) => {
      const bytes = Buffer.from(data.subarray(l3, l3 + Math.max(20, (data[l3]! & 15) * 4)));
      bytes.writeUInt16BE(0, 10);
      return internetChecksum(bytes);
    };
    writeChecksum(copy, l3 + 10, copy.readUInt16BE(l3 + 10), header(frame), header(copy));
  }
  const before = transportChecksum(frame);
  const after = transportChecksum(copy);
  if (before !== undefined && after !== undefined) {
    const old = copy.readUInt16BE(before.at);
    if (proto !== PROTO_UDP || old !== 0) writeChecksum(copy, before.at, old, before.right, after.right);
    if (proto === PROTO_UDP && old !== 0 && copy.readUInt16BE(before.at) === 0) copy.writeUInt16BE(0xffff, before.at);
  }
  const crcBefore = sctpChecksum(frame);
  const crcAfter = sctpChecksum(copy);
  if (crcBefore !== undefined && crcAfter !== undefined) {
    const old = copy.readUInt32LE(crcBefore.at);
    copy.writeUInt32LE((old ^ crcBefore.right ^ crcAfter.right) >>> 0, crcBefore.at);
  }
  return copy;
}

/** The frame with every checksum right; a UDP checksum of zero stays, it means "none". */
export function withRightChecksums(frame: Uint8Array): Uint8Array {
  const copy = Buffer.from(frame);
  const { type, l3, l4, proto } = layoutOf(frame);
  if (type === 0x0800 && frame.length >= l3 + 20) {
    copy.writeUInt16BE(0, l3 + 10);
    copy.writeUInt16BE(internetChecksum(copy.subarray(l3, l3 + (copy[l3]! & 15) * 4)), l3 + 10);
  }
  const transport = transportChecksum(frame);
  const none = proto === PROTO_UDP && l4 !== undefined && copy.readUInt16BE(l4 + 6) === 0;
  if (transport !== undefined && !none) copy.writeUInt16BE(transport.right, transport.at);
  const crc = sctpChecksum(frame);
  if (crc !== undefined && frame.length >= crc.at + 4) copy.writeUInt32LE(crc.right, crc.at);
  return new Uint8Array(copy);
}

function writeChecksum(copy: Buffer, at: number, old: number, rightBefore: number, rightAfter: number): void {
  if (rightBefore === rightAfter) return;
  copy.writeUInt16BE(old === rightBefore ? rightAfter : carryError(old, rightBefore, rightAfter), at);
}

/** New contents of `size` bytes at `at`: under the mask those of `value`, else those that were there. */
function patch(copy: Buffer, at: number, value: Uint8Array, mask: Uint8Array, from: number, size: number): void {
  for (let i = 0; i < size; i++)
    copy[at + i] = (copy[at + i]! & ~mask[from + i]!) | (value[from + i]! & mask[from + i]!);
}

function setIpv6(copy: Buffer, l3: number, value: Uint8Array, mask: Uint8Array): void {
  patch(copy, l3 + 8, value, mask, 0, 32);
  const first = copy.readUInt32BE(l3);
  const [valueView, maskView] = [Buffer.from(value), Buffer.from(mask)];
  const labelMask = maskView.readUInt32BE(32) & 0xfffff;
  const label = (first & 0xfffff & ~labelMask) | (valueView.readUInt32BE(32) & labelMask);
  const tclass = (((first >>> 20) & 255 & ~mask[37]!) | (value[37]! & mask[37]!)) & 255;
  copy.writeUInt32BE(((first & 0xf0000000) | (tclass << 20) | label) >>> 0, l3);
  patch(copy, l3 + 7, value, mask, 38, 1);
}

/** The frame after a set, or undefined if it has nothing to be set. */
function applySet(frame: Uint8Array, field: SetField, value: Uint8Array, given?: Uint8Array): Buffer | undefined {
  const mask = given ?? new Uint8Array(value.length).fill(255);
  const { type, l3, l4, proto } = layoutOf(frame);
  if (field === 'ethernet') {
    return rewrite(frame, (copy) => {
      patch(copy, 6, value, mask, 0, 6);
      patch(copy, 0, value, mask, 6, 6);
    });
  }
  if (field === 'mpls') {
    // the kernel does not look for a label behind two tags
    if ((type !== 0x8847 && type !== 0x8848) || frame.length < l3 + 4 || l3 > 18) return undefined;
    return rewrite(frame, (copy) => patch(copy, l3, value, mask, 0, 4));
  }
  if (field === 'ipv4') {
    if (type !== 0x0800 || frame.length < l3 + 20) return undefined;
    return rewrite(frame, (copy) => {
      patch(copy, l3 + 12, value, mask, 0, 8);
      patch(copy, l3 + 1, value, mask, 9, 1);
      patch(copy, l3 + 8, value, mask, 10, 1);
    });
  }
  if (field === 'ipv6') {
    if (type !== 0x86dd || frame.length < l3 + 40) return undefined;
    return rewrite(frame, (copy) => setIpv6(copy, l3, value, mask));
  }
  const [wanted, size] = { tcp: [PROTO_TCP, 20], udp: [PROTO_UDP, 8], sctp: [PROTO_SCTP, 12] }[field as 'tcp'] ?? [
    0, 0,
  ];
  if (l4 === undefined || proto !== wanted || frame.length < l4 + size!) return undefined;
  return rewrite(frame, (copy) => patch(copy, l4, value, mask, 0, 4));
}

/** A set of a mark under its mask. */
function setMark(before: number, value: Uint8Array, given?: Uint8Array): number {
  const bits = Buffer.from(value).readUInt32LE(0);
  const mask = given === undefined ? 0xffffffff : Buffer.from(given).readUInt32LE(0);
  return ((before & ~mask) | (bits & mask)) >>> 0;
}

function tagSize(frame: Uint8Array): number {
  return frame.length >= 18 && isTag((frame[12]! << 8) | frame[13]!) ? 4 : 0;
}

/** `heldPids`: port ids that somebody has; upcalls for others are lost. */
export function applyActions(
  start: Uint8Array,
  actions: readonly Action[],
  headroom: number,
  heldPids: readonly number[] = [],
): ModelResult {
  const result: ModelResult = { events: [], frame: start, priority: 0, mark: 0 };
  let room = headroom;
  let limit = Number.POSITIVE_INFINITY;
  /** What leaves: an output does not count the outermost tag against the limit of a trunc. */
  const leave = (free: number) => {
    const frame = result.frame.slice(0, Math.min(result.frame.length, limit + free));
    limit = Number.POSITIVE_INFINITY;
    return frame;
  };
  const fail = (): ModelResult => ({ ...result, events: [...result.events, { kind: 'drop', reason: 'action' }] });
  for (const action of actions) {
    const { frame } = result;
    if (action.kind === 'output')
      result.events.push({ kind: 'output', port: action.port, frame: leave(tagSize(frame)) });
    else if (action.kind === 'userspace') {
      const cut = leave(0);
      result.events.push(heldPids.includes(action.pid) ? { kind: 'userspace', frame: cut } : { kind: 'lost' });
    } else if (action.kind === 'trunc') limit = action.size;
    else if (action.kind === 'drop') {
      result.events.push({ kind: 'drop', reason: 'explicit' });
      return result;
    } else if (action.kind === 'pushVlan') {
      if (room < 4) return fail();
      room -= 4;
      const tag = [action.tpid >>> 8, action.tpid & 255, (action.tci >>> 8) & 0xef, action.tci & 255];
      result.frame = Uint8Array.from([...frame.slice(0, 12), ...tag, ...frame.slice(12)]);
    } else if (action.kind === 'popVlan') {
      if (!isTag((frame[12]! << 8) | frame[13]!)) continue;
      if (frame.length < 18) return fail();
      room += 4;
      result.frame = Uint8Array.from([...frame.slice(0, 12), ...frame.slice(16)]);
      // a tag behind it that is cut off
      const left = result.frame;
      if (left.length < 18 && isTag((left[12]! << 8) | left[13]!)) return fail();
    } else if (action.field === 'priority') result.priority = setMark(result.priority, action.value, action.mask);
    else if (action.field === 'mark') result.mark = setMark(result.mark, action.value, action.mask);
    else {
      const changed = applySet(frame, action.field, action.value, action.mask);
      if (changed === undefined) return fail();
      result.frame = changed;
    }
  }
  if (result.events.length === 0) result.events.push({ kind: 'drop', reason: 'flow' });
  return result;
}
