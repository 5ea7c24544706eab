/*
 * The action interpreter: does to one packet what its flow's list says, in order.
 *
 * Before it: the pipeline, for lists that are not just one OUTPUT. After it: io/transmit.ts and upcall/action.ts, which copy what they are
 * given, so a packet may go out, be changed and go out again; and for RECIRC a lookup.
 *
 * Concepts. The list was validated for the flow; what cannot be known before the packet is there (does it have this header? is there
 * room?) is asked here, and an action that cannot be applied ends the list: DROP_ACTION. Each action is a function of its family's file.
 * Nested lists (CLONE, SAMPLE, CHECK_PKT_LEN) get the packet itself when they are the last to use it or cannot change it, else a copy
 * (nest.ts). When one of them fails, so does the list around it. All this is what the kernel does.
 *
 * What becomes of a packet. A list sends it to k places: ports, handlers, groups, nested lists, lookups, a named drop; the first gets the
 * packet and the others are copies of it (COUNTER_COPIES). A list with k = 0 is DROP_FLOW. So what begins equals what ends:
 *
 *     hits + executed + copies = transmitted + noPort + txFull + txLong + noEthernet + userspace upcalls, queued or lost + psampled
 *                              + recirculated + flow + explicit + action + meter + ttl + recursion
 *
 * Ownership and threads. The packet, its descriptor and its key belong to the worker that calls this, until it returns.
 */
import {
  COUNTER_COPIES,
  DROP_ACTION,
  DROP_FLOW,
  DROP_METER,
  DROP_TTL,
  ENOMEM,
  EAFNOSUPPORT,
  EINVAL,
  EPROTO,
  KEY_CT_LABELS,
  KEY_CT_MARK,
  KEY_PACKET_TYPE,
  PACKET_CUT,
  PACKET_FLOW,
  PACKET_MPLS,
  PACKET_SCRATCH,
} from '../constants';
import { count, countDrop } from '../flow/counters';
import { random32 } from '../flow/random';
import { isSuperFrame, segmentSize } from '../io/offload';
import { attrFind, attrNext, attrPayload, attrPayloadSize, attrType } from '../netlink/attribute';
import {
  OVS_ACTION_ATTR_ADD_MPLS,
  OVS_ACTION_ATTR_CHECK_PKT_LEN,
  OVS_ACTION_ATTR_CLONE,
  OVS_ACTION_ATTR_CT_CLEAR,
  OVS_ACTION_ATTR_DEC_TTL,
  OVS_ACTION_ATTR_DROP,
  OVS_ACTION_ATTR_HASH,
  OVS_ACTION_ATTR_LB_OUTPUT,
  OVS_ACTION_ATTR_METER,
  OVS_ACTION_ATTR_OUTPUT,
  OVS_ACTION_ATTR_POP_ETH,
  OVS_ACTION_ATTR_POP_MPLS,
  OVS_ACTION_ATTR_POP_NSH,
  OVS_ACTION_ATTR_POP_VLAN,
  OVS_ACTION_ATTR_PSAMPLE,
  OVS_ACTION_ATTR_PUSH_ETH,
  OVS_ACTION_ATTR_PUSH_MPLS,
  OVS_ACTION_ATTR_PUSH_NSH,
  OVS_ACTION_ATTR_PUSH_VLAN,
  OVS_ACTION_ATTR_RECIRC,
  OVS_ACTION_ATTR_SAMPLE,
  OVS_ACTION_ATTR_SET,
  OVS_ACTION_ATTR_SET_MASKED,
  OVS_ACTION_ATTR_TRUNC,
  OVS_ACTION_ATTR_USERSPACE,
  OVS_CHECK_PKT_LEN_ATTR_ACTIONS_IF_GREATER,
  OVS_CHECK_PKT_LEN_ATTR_ACTIONS_IF_LESS_EQUAL,
  OVS_CHECK_PKT_LEN_ATTR_PKT_LEN,
  OVS_DEC_TTL_ATTR_ACTION,
  OVS_KEY_ATTR_MPLS,
  OVS_SAMPLE_ATTR_ACTIONS,
  OVS_SAMPLE_ATTR_PROBABILITY,
} from '../netlink/openvswitch';
import { ETH_HEADER_SIZE, isMplsType } from '../packet/ethernet';
import { MPLS_SIZE } from '../packet/mpls';
import { lbOutput } from './bond';
import { popEth, pushEth } from './ethernet';
import { givenMru } from './given';
import { hash } from './hash';
import { isExceeded } from './meter';
import { addMpls, popMpls, pushMpls } from './mpls';
import { ascend, copyOf, defer, deferred, deferredRate, descend, isDeepest, resetLevels } from './nest';
import { popNsh, pushNsh } from './nsh';
import { drop, output, trunc } from './output';
import { hasHeader, keyOf, lengthOf, markKeyCold, protocolOf, sizeOf } from './packet';
import { psample } from './psample';
import { pass, recirculate } from './recirculate';
import { set } from './set';
import { decTtl, TTL_DONE, TTL_FAILED } from './ttl';
import { userspace } from './userspace';
import { popVlan, pushVlan } from './vlan';

// What one action came to: bits.
/** The packet, or a copy of it, went somewhere. */
const SENT: u32 = 1;
/** It could not be applied. */
const FAILED: u32 = 2;
/** The packet is used up: nothing follows. */
const ENDED: u32 = 4;

const ALWAYS: u32 = 0xffffffff;
/** Conntrack fields of the key: mark, state, zone, labels and original tuple. */
const CT_SIZE: usize = KEY_PACKET_TYPE - KEY_CT_MARK;
assert(KEY_CT_LABELS > KEY_CT_MARK && KEY_CT_LABELS < KEY_PACKET_TYPE);

/** Probability of the innermost SAMPLE around what is executed (the kernel's OVS_CB(skb)->probability), 0 none: what PSAMPLE reports. */
let rate: u32 = 0;
/** The kernel's errno of the last action that could not be applied. */
let failure: i32 = 0;

/**
 * Runs the list of `size` bytes at `attrs`, which validateActions accepted, on a packet that nothing has been done to. 0, or the negative errno of
 * the action that could not be applied, unless that was put off.
 */
export function execute(packet: usize, attrs: usize, size: u32): i32 {
  resetLevels();
  rate = 0;
  const status = run(packet, attrs, size, true) ? 0 : failure;
  if (deferred(0) != 0) executeDeferred();
  return status;
}

/** The kernel cannot pull a header that is not there (ENOMEM), but for what it asks before or instead. */
function failureOf(type: u32, a: usize, packet: usize): i32 {
  switch (<i32>type) {
    case OVS_ACTION_ATTR_POP_ETH:
    case OVS_ACTION_ATTR_PUSH_ETH:
      return -EPROTO;
    case OVS_ACTION_ATTR_PUSH_NSH:
      return -EAFNOSUPPORT;
    case OVS_ACTION_ATTR_SET:
    case OVS_ACTION_ATTR_SET_MASKED:
      if (attrType(attrPayload(a)) != OVS_KEY_ATTR_MPLS || isMplsType(protocolOf(packet))) return -ENOMEM;
      return hasHeader(packet, load<u16>(packet, PACKET_MPLS), MPLS_SIZE) ? -EINVAL : -ENOMEM;
    default:
      return -ENOMEM;
  }
}

function executeDeferred(): void {
  for (let n: u32 = 0; ; n++) {
    const late = deferred(n);
    if (late == 0) return;
    rate = deferredRate(n);
    const list: usize = load<u32>(late, PACKET_FLOW);
    if (list != 0) run(late, list, load<u32>(late, PACKET_SCRATCH), true);
    else pass(late);
  }
}

/** Runs a list at the current level. With `owned` the packet is used up; else it must not be changed. False if an action failed. */
export function run(packet: usize, attrs: usize, size: u32, owned: bool): bool {
  const end = attrs + size;
  let sent: u32 = 0;
  let failed = false;
  for (let a = attrs; a < end; a = attrNext(a)) {
    const type = attrType(a);
    if (type == OVS_ACTION_ATTR_OUTPUT) {
      output(packet, attrPayload(a));
      sent++;
      continue;
    }
    // what lists hold most is called from here, one call deep
    let outcome: u32 = 0;
    if (type == OVS_ACTION_ATTR_SET_MASKED) outcome = set(packet, attrPayload(a), true) ? 0 : FAILED;
    else if (type == OVS_ACTION_ATTR_PUSH_VLAN) outcome = pushVlan(packet, attrPayload(a)) ? 0 : FAILED;
    else outcome = act(packet, a, attrs, end, owned);
    if (outcome == 0) continue;
    sent += outcome & SENT;
    failed = (outcome & FAILED) != 0;
    if (outcome & ENDED) break;
    if (outcome == FAILED) failure = failureOf(type, a, packet);
    if (failed) {
      countDrop(DROP_ACTION);
      sent++;
      break;
    }
  }
  if (sent == 0) countDrop(DROP_FLOW);
  else if (sent > 1) count(COUNTER_COPIES, sent - 1);
  return !failed;
}

/** The action at `a` of the list from `attrs` to `end`, but those that `run` looks for first. */
function act(packet: usize, a: usize, attrs: usize, end: usize, owned: bool): u32 {
  const payload = attrPayload(a);
  const size = attrPayloadSize(a);
  const last = owned && attrNext(a) >= end;
  switch (<i32>attrType(a)) {
    case OVS_ACTION_ATTR_USERSPACE:
      userspace(packet, payload, size, attrs, <u32>(end - attrs));
      return SENT;
    case OVS_ACTION_ATTR_TRUNC:
      trunc(packet, payload);
      return 0;
    case OVS_ACTION_ATTR_RECIRC:
      if (!recirculate(packet, load<u32>(payload), last, rate)) return FAILED;
      return last ? SENT | ENDED : SENT;
    case OVS_ACTION_ATTR_SAMPLE:
      return sample(packet, payload, size, last);
    case OVS_ACTION_ATTR_CLONE:
      return nested(packet, payload, size, last);
    case OVS_ACTION_ATTR_CHECK_PKT_LEN:
      return checkPacketLength(packet, payload, size, last);
    case OVS_ACTION_ATTR_DEC_TTL:
      return decrementTtl(packet, payload, size);
    case OVS_ACTION_ATTR_METER:
      if (!isExceeded(packet, load<u32>(payload))) return 0;
      countDrop(DROP_METER);
      return SENT | ENDED;
    case OVS_ACTION_ATTR_DROP:
      drop(payload);
      return SENT | ENDED;
    case OVS_ACTION_ATTR_PSAMPLE:
      psample(packet, payload, size, rate);
      return SENT;
    case OVS_ACTION_ATTR_LB_OUTPUT:
      return lbOutput(packet, payload) ? SENT : FAILED;
    default:
      return change(packet, attrType(a), payload) ? 0 : FAILED;
  }
}

/** The actions that change the packet and send it nowhere, but those that `run` calls itself. */
function change(packet: usize, type: u32, payload: usize): bool {
  switch (<i32>type) {
    case OVS_ACTION_ATTR_SET:
      return set(packet, payload, false);
    case OVS_ACTION_ATTR_POP_VLAN:
      return popVlan(packet);
    case OVS_ACTION_ATTR_HASH:
      return hash(packet, payload);
    case OVS_ACTION_ATTR_PUSH_MPLS:
      return pushMpls(packet, payload);
    case OVS_ACTION_ATTR_ADD_MPLS:
      return addMpls(packet, payload);
    case OVS_ACTION_ATTR_POP_MPLS:
      return popMpls(packet, payload);
    case OVS_ACTION_ATTR_PUSH_ETH:
      return pushEth(packet, payload);
    case OVS_ACTION_ATTR_POP_ETH:
      return popEth(packet);
    case OVS_ACTION_ATTR_PUSH_NSH:
      return pushNsh(packet, payload);
    case OVS_ACTION_ATTR_POP_NSH:
      return popNsh(packet);
    case OVS_ACTION_ATTR_CT_CLEAR:
      memory.fill(keyOf(packet) + KEY_CT_MARK, 0, CT_SIZE);
      markKeyCold(packet);
      return true;
    default:
      return false;
  }
}

/** Executes a nested list on the packet as it is, which comes out of it unchanged unless it is the last to use it. */
function nested(packet: usize, attrs: usize, size: u32, last: bool): u32 {
  if (last) return run(packet, attrs, size, true) ? SENT | ENDED : SENT | ENDED | FAILED;
  let done = true;
  if (!mayChange(attrs, size)) {
    const cut = load<u32>(packet, PACKET_CUT);
    done = run(packet, attrs, size, false);
    store<u32>(packet, cut, PACKET_CUT);
  } else if (isDeepest()) {
    defer(packet, attrs, size, 0, rate);
  } else {
    const copy = copyOf(packet);
    descend();
    done = run(copy, attrs, size, true);
    ascend();
  }
  return done ? SENT : SENT | FAILED;
}

/** Some action of the list may change packet or key. */
function mayChange(attrs: usize, size: u32): bool {
  const end = attrs + size;
  for (let a = attrs; a < end; a = attrNext(a)) {
    const type = attrType(a);
    if (
      type != OVS_ACTION_ATTR_OUTPUT &&
      type != OVS_ACTION_ATTR_LB_OUTPUT &&
      type != OVS_ACTION_ATTR_RECIRC &&
      type != OVS_ACTION_ATTR_TRUNC &&
      type != OVS_ACTION_ATTR_USERSPACE &&
      type != OVS_ACTION_ATTR_DROP &&
      type != OVS_ACTION_ATTR_PSAMPLE
    )
      return true;
  }
  return false;
}

function sample(packet: usize, payload: usize, size: u32, last: bool): u32 {
  const probability = load<u32>(attrPayload(attrFind(payload, size, OVS_SAMPLE_ATTR_PROBABILITY)));
  if (probability != ALWAYS && (probability == 0 || random32() > probability)) return 0;
  const list = attrFind(payload, size, OVS_SAMPLE_ATTR_ACTIONS);
  const around = rate;
  rate = probability;
  const outcome = nested(packet, attrPayload(list), attrPayloadSize(list), last);
  rate = around;
  return outcome;
}

/** A packet that was put together from fragments is taken for what the largest of them was, a super-frame for its segments. */
function lengthOnWire(packet: usize): u32 {
  if (givenMru != 0) return givenMru + ETH_HEADER_SIZE;
  const length = lengthOf(packet);
  return isSuperFrame(packet) ? segmentSize(packet) - (sizeOf(packet) - length) : length;
}

function checkPacketLength(packet: usize, payload: usize, size: u32, last: bool): u32 {
  const limit = load<u16>(attrPayload(attrFind(payload, size, OVS_CHECK_PKT_LEN_ATTR_PKT_LEN)));
  const greater = lengthOnWire(packet) > <u32>limit;
  const type = greater ? OVS_CHECK_PKT_LEN_ATTR_ACTIONS_IF_GREATER : OVS_CHECK_PKT_LEN_ATTR_ACTIONS_IF_LESS_EQUAL;
  const list = attrFind(payload, size, type);
  return nested(packet, attrPayload(list), attrPayloadSize(list), last);
}

/** A packet that has come to its end is the business of the action's own list. */
function decrementTtl(packet: usize, payload: usize, size: u32): u32 {
  const result = decTtl(packet);
  if (result == TTL_DONE) return 0;
  if (result == TTL_FAILED) return FAILED;
  const list = attrFind(payload, size, OVS_DEC_TTL_ATTR_ACTION);
  const listSize: u32 = list == 0 ? 0 : attrPayloadSize(list);
  if (listSize != 0) return run(packet, attrPayload(list), listSize, true) ? SENT | ENDED : SENT | ENDED | FAILED;
  countDrop(DROP_TTL);
  return SENT | ENDED;
}
