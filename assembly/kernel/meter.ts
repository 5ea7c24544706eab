/*
 * The family ovs_meter: what meters there can be, making, replacing, reading and removing one. Before it: dispatch.ts. After it: actions/meter.ts, which
 * says how a meter works.
 *
 * As in the kernel every answer goes to the requester alone, SET tells the statistics of the meter that was there before, and removing what is not
 * there is no error. Threads: any; changes are made under the writer lock.
 */
import {
  EINVAL,
  ENODEV,
  ENOENT,
  ENOMEM,
  METERS_MAX,
  METER_BANDS,
  METER_BANDS_MAX,
  METER_BAND_COUNT,
  METER_BAND_PACKETS,
  METER_BAND_SIZEOF,
  METER_BYTES,
  METER_PACKETS,
  METER_SIZEOF,
  METER_TOLD,
  METER_USED_MS,
  NL_VALIDATE_LIBERAL,
} from '../constants';
import { copyMeter, makeMeter } from '../actions/meter';
import { meterAt, reservePlace, swapMeter } from '../actions/meter-table';
import { lock, unlock } from '../memory/lock';
import { retire } from '../memory/slab';
import {
  attrNext,
  attrOk,
  attrPayload,
  attrPayloadSize,
  nestEnd,
  nestStart,
  putAttr,
  putU32,
  putU64,
} from '../netlink/attribute';
import {
  OVS_BAND_ATTR_BURST,
  OVS_BAND_ATTR_RATE,
  OVS_BAND_ATTR_STATS,
  OVS_BAND_ATTR_TYPE,
  OVS_BAND_ATTR_UNSPEC,
  OVS_FLOW_STATS_SIZEOF,
  OVS_METER_ATTR_BANDS,
  OVS_METER_ATTR_CLEAR,
  OVS_METER_ATTR_ID,
  OVS_METER_ATTR_KBPS,
  OVS_METER_ATTR_MAX_BANDS,
  OVS_METER_ATTR_MAX_METERS,
  OVS_METER_ATTR_STATS,
  OVS_METER_ATTR_USED,
  OVS_METER_BAND_TYPE_DROP,
  OVS_METER_CMD_DEL,
  OVS_METER_CMD_FEATURES,
  OVS_METER_CMD_GET,
  OVS_METER_CMD_SET,
} from '../netlink/openvswitch';
import { parsePolicy } from '../netlink/policy';
import { isDatapath } from './datapath';
import { beginReply, frameLimit, sendReply } from './frames';
import { bandPolicy } from './policies';
import { attr, attrU32, requestIfindex, scratch } from './request';

// what stands in scratch
const COPY: u32 = 0; // a meter
const PAIRS: u32 = METER_SIZEOF; // u32[2] a band: rate, burst
const TABLE: u32 = PAIRS + METER_BANDS_MAX * 8; // attributes of a band by type

export function doMeter(command: u32): i32 {
  if (command == OVS_METER_CMD_FEATURES) return features();
  if (attr(OVS_METER_ATTR_ID) == 0) return -EINVAL;
  switch (command) {
    case OVS_METER_CMD_SET:
      return set();
    case OVS_METER_CMD_DEL:
      return remove();
    default:
      return show();
  }
}

function features(): i32 {
  if (!isDatapath(requestIfindex())) return -ENODEV;
  let at = putU32(reply(OVS_METER_CMD_FEATURES), frameLimit, OVS_METER_ATTR_MAX_METERS, METERS_MAX);
  at = putU32(at, frameLimit, OVS_METER_ATTR_MAX_BANDS, METER_BANDS_MAX);
  const bands = at;
  const band = nestStart(bands, frameLimit, OVS_METER_ATTR_BANDS);
  at = nestStart(band, frameLimit, OVS_BAND_ATTR_UNSPEC);
  at = nestEnd(band, putU32(at, frameLimit, OVS_BAND_ATTR_TYPE, OVS_METER_BAND_TYPE_DROP));
  return sendReply(nestEnd(bands, at));
}

function set(): i32 {
  const id = attrU32(OVS_METER_ATTR_ID);
  const count = readBands(attr(OVS_METER_ATTR_BANDS));
  if (count < 0) return count;
  if (!isDatapath(requestIfindex())) return -ENODEV;
  lock();
  let errno = reservePlace(id);
  const meter = errno == 0 ? makeMeter(attr(OVS_METER_ATTR_KBPS) != 0, scratch() + PAIRS, <u32>count) : 0;
  if (errno == 0 && meter == 0) errno = ENOMEM;
  const before: usize = meter == 0 ? 0 : replace(id, meter);
  unlock();
  if (errno != 0) return -(<i32>errno);
  let at = putU32(reply(OVS_METER_CMD_SET), frameLimit, OVS_METER_ATTR_ID, id);
  if (before != 0 && load<u32>(scratch() + COPY, METER_TOLD) != 0) at = putMeter(at, id);
  return sendReply(at);
}

/** Puts the new meter in its place. Returns the one before, whose last state stands in scratch then. */
function replace(id: u32, meter: usize): usize {
  const told = attr(OVS_METER_ATTR_CLEAR) == 0;
  const stats = attr(OVS_METER_ATTR_STATS);
  store<u32>(meter, told ? 1 : 0, METER_TOLD);
  if (told && stats != 0) memory.copy(meter + METER_PACKETS, attrPayload(stats), OVS_FLOW_STATS_SIZEOF);
  const before = swapMeter(id, meter);
  if (before != 0) copyMeter(before, scratch() + COPY);
  retire(before, 0);
  return before;
}

// struct ovs_flow_stats is METER_PACKETS and METER_BYTES
assert(METER_BYTES == METER_PACKETS + 8);

/** Writes rate and burst of each band to scratch. Returns how many, or a negative errno. */
function readBands(bands: usize): i32 {
  if (bands == 0) return -EINVAL;
  const end = attrPayload(bands) + attrPayloadSize(bands);
  let count: u32 = 0;
  for (let band = attrPayload(bands); attrOk(band, end); band = attrNext(band)) {
    if (++count > <u32>METER_BANDS_MAX) return -EINVAL;
  }
  let pair = scratch() + PAIRS;
  for (let band = attrPayload(bands); attrOk(band, end); band = attrNext(band), pair += 8) {
    const status = readBand(band, pair);
    if (status != 0) return status;
  }
  return <i32>count;
}

function readBand(band: usize, pair: usize): i32 {
  const table = scratch() + TABLE;
  const status = parsePolicy(bandPolicy(), attrPayload(band), attrPayloadSize(band), table, NL_VALIDATE_LIBERAL);
  if (status != 0) return status;
  const rate: usize = load<u32>(table, OVS_BAND_ATTR_RATE << 2);
  const burst: usize = load<u32>(table, OVS_BAND_ATTR_BURST << 2);
  // any type will do: the kernel does not look at it
  if (load<u32>(table, OVS_BAND_ATTR_TYPE << 2) == 0 || rate == 0 || burst == 0) return -EINVAL;
  store<u32>(pair, load<u32>(attrPayload(rate)));
  store<u32>(pair, load<u32>(attrPayload(burst)), 4);
  return load<u32>(pair) == 0 ? -EINVAL : 0;
}

function show(): i32 {
  const id = attrU32(OVS_METER_ATTR_ID);
  if (!isDatapath(requestIfindex())) return -ENODEV;
  lock();
  const meter = meterAt(id);
  if (meter != 0) copyMeter(meter, scratch() + COPY);
  unlock();
  return meter == 0 ? -ENOENT : sendReply(putMeter(reply(OVS_METER_CMD_GET), id));
}

function remove(): i32 {
  const id = attrU32(OVS_METER_ATTR_ID);
  if (!isDatapath(requestIfindex())) return -ENODEV;
  lock();
  const meter = swapMeter(id, 0);
  if (meter != 0) copyMeter(meter, scratch() + COPY);
  retire(meter, 0);
  unlock();
  const attrs = reply(OVS_METER_CMD_DEL);
  return sendReply(meter == 0 ? attrs : putMeter(attrs, id));
}

@inline
function reply(command: u32): usize {
  return beginReply(command, requestIfindex());
}

/** Writes the meter that stands in scratch. */
function putMeter(attrs: usize, id: u32): usize {
  const meter = scratch() + COPY;
  let at = putU32(attrs, frameLimit, OVS_METER_ATTR_ID, id);
  at = putAttr(at, frameLimit, OVS_METER_ATTR_STATS, meter + METER_PACKETS, OVS_FLOW_STATS_SIZEOF);
  at = putU64(at, frameLimit, OVS_METER_ATTR_USED, load<u64>(meter, METER_USED_MS));
  const bands = at;
  at = nestStart(bands, frameLimit, OVS_METER_ATTR_BANDS);
  for (let i: u32 = 0; i < load<u32>(meter, METER_BAND_COUNT); i++) {
    const stats = meter + METER_BANDS + i * METER_BAND_SIZEOF + METER_BAND_PACKETS;
    const band = at;
    at = nestStart(band, frameLimit, OVS_BAND_ATTR_UNSPEC);
    at = nestEnd(band, putAttr(at, frameLimit, OVS_BAND_ATTR_STATS, stats, OVS_FLOW_STATS_SIZEOF));
  }
  return nestEnd(bands, at);
}
