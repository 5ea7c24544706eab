/*
 * Answers to upcalls of another datapath (the kernel's): what a handler decided about a taken frame, as the messages that carry it out there. Before it: the
 * handler, who wrote its answer into the frame as in upcall/answer.ts. After it: the host sends the messages in one batch and gives the frames back.
 *
 * An answer is up to two messages: OVS_FLOW_CMD_NEW with the key as it came, the mask, the actions and a UFID made here; then OVS_PACKET_CMD_EXECUTE with the packet.
 * Equal masked keys under equal masks have equal UFIDs, so an answer that is given twice is the same flow. Threads. The consumer of the ring.
 */
import {
  ACTIONS_ATTRS,
  ACTIONS_SIZE,
  COUNTER_ANSWERED,
  DROP_UPCALL_HANDLER,
  KEY_WORDS,
  UPCALL_ANSWER_ACTIONS,
  UPCALL_ANSWER_MASK,
  UPCALL_COMMAND,
  UPCALL_KEY,
  UPCALL_LIST,
  UPCALL_MESSAGE,
  UPCALL_PACKET,
  UPCALL_PACKET_SIZE,
} from '../constants';
import { count, countDrop } from '../flow/counters';
import { nhWord } from '../flow/hash';
import { readMask } from '../flow/table';
import { secrets } from '../memory/layout';
import { attrFind, attrPayload, attrPayloadSize, nestEnd, nestStart, putAttr, reserveAttr } from '../netlink/attribute';
import { beginMessage, endMessage, messageSize, OVS_MESSAGE_HDRLEN } from '../netlink/header';
import { putKey } from '../netlink/key-put';
import {
  OVS_FLOW_ATTR_ACTIONS,
  OVS_FLOW_ATTR_KEY,
  OVS_FLOW_ATTR_MASK,
  OVS_FLOW_ATTR_UFID,
  OVS_FLOW_CMD_NEW,
  OVS_PACKET_ATTR_ACTIONS,
  OVS_PACKET_ATTR_HASH,
  OVS_PACKET_ATTR_KEY,
  OVS_PACKET_ATTR_MRU,
  OVS_PACKET_ATTR_PACKET,
  OVS_PACKET_CMD_EXECUTE,
  OVS_PACKET_CMD_MISS,
} from '../netlink/openvswitch';
import { give, ringOf } from './consume';

const NLM_F_REQUEST: u32 = 1;
const VERSION: u32 = 1;
const UFID_SIZEOF: u32 = 16;

/**
 * Writes the FLOW NEW of an answer at `at`; its UFID is the first attribute. `work` is room for KEY_SIZE bytes. Returns the end of the message, `at` when nothing
 * is to be installed, 0 when it does not fit below `limit`.
 */
export function exportFlow(frame: usize, at: usize, limit: usize, family: u32, dpIfindex: i32, work: usize): usize {
  const actions: usize = load<u32>(frame, UPCALL_ANSWER_ACTIONS);
  const subtable: usize = load<u32>(frame, UPCALL_ANSWER_MASK);
  if (actions == 0 || subtable == 0) return at;
  const key = frame + UPCALL_KEY;
  readMask(subtable, work);
  let next = beginMessage(at, limit, family, NLM_F_REQUEST, OVS_FLOW_CMD_NEW, VERSION, dpIfindex);
  const ufid = next;
  next = reserveAttr(next, limit, OVS_FLOW_ATTR_UFID, UFID_SIZEOF);
  if (next != 0) writeUfid(attrPayload(ufid), key, work);
  next = copyAttr(next, limit, OVS_FLOW_ATTR_KEY, frame, OVS_PACKET_ATTR_KEY);
  const mask = next;
  next = nestEnd(mask, putKey(nestStart(mask, limit, OVS_FLOW_ATTR_MASK), limit, key, work));
  next = putAttr(next, limit, OVS_FLOW_ATTR_ACTIONS, actions + ACTIONS_ATTRS, load<u32>(actions, ACTIONS_SIZE));
  return endMessage(at, next) == 0 ? 0 : next;
}

/** Writes the PACKET EXECUTE of an answer; otherwise as exportFlow. */
export function exportExecute(frame: usize, at: usize, limit: usize, family: u32, dpIfindex: i32): usize {
  const actions: usize = load<u32>(frame, UPCALL_ANSWER_ACTIONS);
  if (actions == 0 || load<u32>(actions, ACTIONS_SIZE) == 0) return at;
  let next = beginMessage(at, limit, family, NLM_F_REQUEST, OVS_PACKET_CMD_EXECUTE, VERSION, dpIfindex);
  next = putAttr(
    next,
    limit,
    OVS_PACKET_ATTR_PACKET,
    load<u32>(frame, UPCALL_PACKET),
    load<u32>(frame, UPCALL_PACKET_SIZE),
  );
  next = copyAttr(next, limit, OVS_PACKET_ATTR_KEY, frame, OVS_PACKET_ATTR_KEY);
  next = putAttr(next, limit, OVS_PACKET_ATTR_ACTIONS, actions + ACTIONS_ATTRS, load<u32>(actions, ACTIONS_SIZE));
  next = copyAttr(next, limit, OVS_PACKET_ATTR_MRU, frame, OVS_PACKET_ATTR_MRU);
  next = copyAttr(next, limit, OVS_PACKET_ATTR_HASH, frame, OVS_PACKET_ATTR_HASH);
  return endMessage(at, next) == 0 ? 0 : next;
}

/** Gives the first `n` frames of the last take back, their answers carried out elsewhere, and counts them as answered or dropped. */
export function settleTaken(slot: u32, n: u32): void {
  const ring = ringOf(slot);
  for (let i: u32 = 0; i < n; i++) {
    const frame: usize = load<u32>(ring + (i << 2), UPCALL_LIST);
    const miss = load<u32>(frame, UPCALL_COMMAND) == OVS_PACKET_CMD_MISS;
    const answered = load<u32>(frame, UPCALL_ANSWER_ACTIONS) != 0;
    give(slot, frame);
    if (miss && answered) count(COUNTER_ANSWERED, 1);
    else if (miss) countDrop(DROP_UPCALL_HANDLER);
  }
}

/** An attribute of the upcall under another type, as it came; nothing when the upcall has none. */
function copyAttr(at: usize, limit: usize, type: u32, frame: usize, from: u32): usize {
  const message: usize = load<u32>(frame, UPCALL_MESSAGE);
  const a = attrFind(message + OVS_MESSAGE_HDRLEN, messageSize(message) - OVS_MESSAGE_HDRLEN, from);
  return a == 0 ? at : putAttr(at, limit, type, attrPayload(a), attrPayloadSize(a));
}

/** 128 bits of the masked key and the mask, by the secrets of this memory. */
function writeUfid(to: usize, key: usize, mask: usize): void {
  let low: u64 = 0;
  let high: u64 = 0;
  for (let i: u32 = 0; i < <u32>KEY_WORDS; i++) {
    const bits = load<u64>(mask + (i << 3));
    const word = load<u64>(key + (i << 3)) & bits;
    const secret = load<u64>(secrets + (i << 3));
    const other = load<u64>(secrets + (((i + 1) % KEY_WORDS) << 3));
    low += nhWord(word, secret) + nhWord(bits, other);
    high += nhWord(word, rotl<u64>(other, 32)) + nhWord(bits, rotl<u64>(secret, 16));
  }
  store<u64>(to, low);
  store<u64>(to, high, 8);
}
