/*
 * What came of an EXECUTE as lines that can be compared, the kernel's and ours; and where the two differ, with the reason.
 */
import { layoutOf } from '../reference/actions.ts';
import { parseAttributes } from '../reference/flow-attributes.ts';
import { concat } from './action-list.ts';
import { type ExecuteCase, tagCount } from './execute-cases.ts';
import type { Outcome } from './executor.ts';

export const hex = (data: Uint8Array): string => Buffer.from(data).toString('hex');

/** A message without what is the host's own: family, port id, the datapath's number, and the hash of a packet that was looked up. */
function messageText(message: Uint8Array): string {
  const text = hex(concat(message.subarray(0, 4), message.subarray(16, 20), message.subarray(24)));
  return text.replace(/0c000b00.{8}0[13]000000/, '0c000b00 looked up ');
}

/** Frames by port, then upcalls, a line each. */
export function outcomeText({ frames, upcalls }: Pick<Outcome, 'frames' | 'upcalls'>): string[] {
  const ports = [1, 2, 3, 4].flatMap((port) =>
    frames.filter((frame) => frame.port === port).map(({ data }) => `port ${port} ${hex(data)}`),
  );
  return [...ports, ...upcalls.map((message) => `upcall ${messageText(message)}`)];
}

/** Where the kernel does what nobody should: why, and whether it applies. Each is counted; nothing else may differ. */
export const EXCEPTIONS: [string, (one: ExecuteCase) => boolean][] = [
  [
    'ports set in a later fragment, whose payload the kernel takes for a header',
    ({ frame, list }) => isLater(frame) && sets(list, 9, 10, 17),
  ],
  [
    'SCTP with padding behind it, which the kernel counts in',
    ({ frame, list }) => sets(list, 17) && layoutOf(frame).end !== frame.length,
  ],
  [
    'a header before Ethernet while there is a tag, which the kernel puts into that header',
    ({ frame, list }) => (isTagged(frame) || hasAction(list, 4)) && hasAction(list, 17, 22),
  ],
  [
    'set(eth) after pop_eth, add_mpls or push_nsh, which the kernel writes over what the packet begins with',
    ({ list }) => sets(list, 4) && hasAction(list, 15, 17, 22),
  ],
  [
    'set(mpls) after push_mpls, which in the kernel overwrites the addresses of a key in an upcall',
    ({ list }) => sets(list, 21) && hasAction(list, 9, 22),
  ],
  [
    'set(ipv4) on a header that is cut off or shorter than one can be, where the kernel takes it for the transport header too',
    ({ frame, list }) => sets(list, 7) && hasBrokenHeader(frame),
  ],
  [
    'push_vlan in a list inside of the one with pop_eth: the kernel lets it and keeps the tag beside a packet without Ethernet header',
    ({ list }) => hasAction(list, 15) && nests(list, 4),
  ],
  [
    'pop_vlan of an LLC/SNAP frame whose type is that of a tag: the kernel cuts out its length and the two SAPs',
    ({ frame, list }) => hasAction(list, 5) && isSnapTag(frame),
  ],
  [
    'set of a header behind three tags after recirc, where the kernel, whose key has two, takes the third for that header',
    ({ frame, list }) => hasAction(list, 7) && sets(list, 7, 8, 9, 10, 17) && tagCount(frame) + pushes(list) > 2,
  ],
];

/** All actions of a list and of the lists nested in it: type and payload. */
function* actionsIn(list: Uint8Array): Generator<[number, Uint8Array]> {
  for (const { type, payload } of parseAttributes(list)) {
    yield [type, payload];
    if (type === CLONE) yield* actionsIn(payload);
    if (type === SAMPLE || type === DEC_TTL || type === CHECK_PKT_LEN) {
      for (const inner of parseAttributes(payload)) if (isNested(type, inner.type)) yield* actionsIn(inner.payload);
    }
  }
}

const [SAMPLE, CLONE, CHECK_PKT_LEN, DEC_TTL] = [6, 20, 21, 23];

function isNested(type: number, inner: number): boolean {
  return type === DEC_TTL ? inner === 1 : inner >= 2;
}

export function hasAction(list: Uint8Array, ...types: number[]): boolean {
  return [...actionsIn(list)].some(([type]) => types.includes(type));
}

/** Some list inside of this one has the action. */
function nests(list: Uint8Array, type: number): boolean {
  const outer = parseAttributes(list).filter((attr) => attr.type === type).length;
  return [...actionsIn(list)].filter(([inner]) => inner === type).length > outer;
}

function sets(list: Uint8Array, ...fields: number[]): boolean {
  return [...actionsIn(list)].some(([type, payload]) => (type === 3 || type === 11) && fields.includes(payload[2]));
}

function pushes(list: Uint8Array): number {
  return [...actionsIn(list)].filter(([type]) => type === 4).length;
}

function isTagged(frame: Uint8Array): boolean {
  return [0x8100, 0x88a8].includes((frame[12] << 8) | frame[13]);
}

/** LLC/SNAP; the kernel does not ask for the control field. */
export function isSnap(frame: Uint8Array): boolean {
  const { type, l3 } = layoutOf(frame);
  const view = Buffer.from(frame);
  return type < 0x600 && frame.length >= l3 + 8 && view.readUInt16BE(l3) === 0xaaaa && view.readUIntBE(l3 + 3, 3) === 0;
}

/** LLC/SNAP whose type is that of a VLAN tag. */
function isSnapTag(frame: Uint8Array): boolean {
  return isSnap(frame) && [0x8100, 0x88a8].includes(Buffer.from(frame).readUInt16BE(layoutOf(frame).l3 + 6));
}

function hasBrokenHeader(frame: Uint8Array): boolean {
  const { type, l3 } = layoutOf(frame);
  const size = (frame[l3] & 15) * 4;
  return type === 0x0800 && (size < 20 || l3 + size > frame.length);
}

function isLater(frame: Uint8Array): boolean {
  const { type, l3 } = layoutOf(frame);
  return type === 0x0800 && (((frame[l3 + 6] << 8) | frame[l3 + 7]) & 0x1fff) !== 0;
}
