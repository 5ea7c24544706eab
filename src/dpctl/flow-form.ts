/*
 * The form (line-form.ts) of a message about a flow: what its line has in common with those of other flows. Key, statistics and actions are fields, and the UFID when
 * it is shown; all the rest of the message is the same, or does not matter. Before it: flow-lines.ts. After it: key-form.ts.
 */
import * as K from '../../assembly/netlink/openvswitch.ts';
import { FLOW_ATTRS } from '../dpif/messages/flow.ts';
import { attributesOf, HEADERS_SIZE } from '../dpif/messages/request.ts';
import { NLA_HDRLEN, NLMSG_TYPE } from '../netlink/constants.ts';
import { MessageCursor } from '../netlink/message.ts';
import { readU32 } from '../odp/attributes.ts';
import { addKey } from '../odp/key-form.ts';
import { FormBuilder, type LineForm, type Put } from '../odp/line-form.ts';
import type { TextBytes } from '../odp/text-bytes.ts';
import { formatUfid, UFID_SIZE } from '../odp/ufid.ts';
import { type FlowTextOptions, flagsText, keyOptions, placeText, usedText } from './flow-text.ts';

const U64_SIZE = 8;
const TCP_FLAGS_SIZE = 1;
const SECONDS = Buffer.from('s');
/** As far as `putThousandths` goes. */
const IDLE_MS_MAX = 2 ** 42;

/** Puts the text of a list of actions that lies in the bytes. */
export type PutActions = (out: TextBytes, bytes: Uint8Array, at: number, size: number) => void;

/** Where the payload of an attribute is, from the start of the message. */
interface Place {
  readonly at: number;
  readonly size: number;
}

/** Undefined when the flow is no usual one: it has no mask or no actions, or something that has no simple spelling. Throws OdpAttributeError when a list is cut. */
export function makeFlowForm(
  message: Uint8Array,
  options: FlowTextOptions,
  putActions: PutActions,
): LineForm | undefined {
  const places = findPlaces(message);
  if (places === undefined) return undefined;
  const [key, mask, actions] = [K.OVS_FLOW_ATTR_KEY, K.OVS_FLOW_ATTR_MASK, K.OVS_FLOW_ATTR_ACTIONS].map((type) =>
    places.get(type),
  );
  if (key === undefined || mask === undefined || actions === undefined) return undefined;
  const { verbose } = options;
  const bytesOf = ({ at, size }: Place): Uint8Array => message.subarray(at, at + size);
  const form = new FormBuilder(message);
  form.free(NLMSG_TYPE, HEADERS_SIZE - NLMSG_TYPE);
  const ufid = places.get(K.OVS_FLOW_ATTR_UFID);
  if (ufid !== undefined) {
    form.free(ufid.at, ufid.size);
    if (verbose) {
      if (ufid.size !== UFID_SIZE) return undefined;
      form.field(ufid.at, ufid.size, putUfid);
      form.text(', ');
    }
  }
  if (!addKey(form, key.at, bytesOf(key), bytesOf(mask), keyOptions(options))) return undefined;
  addStats(form, places, options.nowMs);
  if (verbose) form.text(placeText(FLOW_ATTRS));
  form.text(', actions:');
  form.field(actions.at, actions.size, (out, bytes, at) => putActions(out, bytes, at, actions.size));
  form.text('\n');
  return form.form();
}

const SIZES: ReadonlyMap<number, number> = new Map([
  [K.OVS_FLOW_ATTR_STATS, K.OVS_FLOW_STATS_SIZEOF],
  [K.OVS_FLOW_ATTR_USED, U64_SIZE],
  [K.OVS_FLOW_ATTR_TCP_FLAGS, TCP_FLAGS_SIZE],
]);

/** Undefined when the message is malformed, or one of its attributes has an unusual size or is there twice. */
function findPlaces(message: Uint8Array): Map<number, Place> | undefined {
  const places = new Map<number, Place>();
  const cursor = new MessageCursor(message);
  if (!cursor.next()) return undefined;
  const attributes = attributesOf(cursor);
  while (attributes.next()) {
    const { type, offset, payloadSize } = attributes;
    if (places.has(type) || (SIZES.get(type) ?? payloadSize) !== payloadSize) return undefined;
    places.set(type, { at: offset + NLA_HDRLEN, size: payloadSize });
  }
  return attributes.error === undefined ? places : undefined;
}

/** As statsText; an attribute that is not there says that there was no packet. */
function addStats(form: FormBuilder, places: ReadonlyMap<number, Place>, nowMs: number): void {
  const stats = places.get(K.OVS_FLOW_ATTR_STATS);
  const used = places.get(K.OVS_FLOW_ATTR_USED);
  const tcpFlags = places.get(K.OVS_FLOW_ATTR_TCP_FLAGS);
  form.text(', packets:');
  if (stats === undefined) form.text('0, bytes:0');
  else {
    form.field(stats.at, U64_SIZE, putU64);
    form.text(', bytes:');
    form.field(stats.at + U64_SIZE, U64_SIZE, putU64);
  }
  form.text(', used:');
  if (used === undefined) form.text('never');
  else form.field(used.at, U64_SIZE, (out, bytes, at) => putUsed(out, readNumber(bytes, at), nowMs));
  if (tcpFlags !== undefined) form.field(tcpFlags.at, TCP_FLAGS_SIZE, putTcpFlags);
}

function putUfid(...[out, bytes, at]: Parameters<Put>): void {
  out.putText(formatUfid(bytes.subarray(at, at + UFID_SIZE)));
}

/** A u64 as the nearest number. */
function readNumber(bytes: Uint8Array, at: number): number {
  return readU32(bytes, at + 4) * 2 ** 32 + readU32(bytes, at);
}

function putU64(...[out, bytes, at]: Parameters<Put>): void {
  const high = readU32(bytes, at + 4);
  if (high === 0) out.putDecimal(readU32(bytes, at));
  else out.putText(String((BigInt(high) << 32n) | BigInt(readU32(bytes, at))));
}

function putUsed(out: TextBytes, usedMs: number, nowMs: number): void {
  const idleMs = nowMs - usedMs;
  if (usedMs === 0 || idleMs < 0 || idleMs >= IDLE_MS_MAX) {
    out.putText(usedText(usedMs, nowMs));
    return;
  }
  out.putThousandths(idleMs);
  out.putBytes(SECONDS);
}

function putTcpFlags(...[out, bytes, at]: Parameters<Put>): void {
  out.putText(flagsText(bytes[at]));
}
