/*
 * Messages of the family ovs_meter. request.ts has what is common to all families.
 */
import * as K from '../../../assembly/netlink/openvswitch.ts';
import type { AttributeCursor } from '../../netlink/attributes.ts';
import { NLM_F_ECHO } from '../../netlink/constants.ts';
import type { GenericFamily } from '../../netlink/generic.ts';
import type { MessageCursor } from '../../netlink/message.ts';
import type { MeterConfig, MeterFeatures, MeterStats } from '../types.ts';
import { attributesOf, readLongs, request } from './request.ts';

type MeterCommand = 'get' | 'del';

const COMMANDS = { get: K.OVS_METER_CMD_GET, del: K.OVS_METER_CMD_DEL } as const;

export function meterFeaturesRequest(family: GenericFamily, dpIfindex: number): Uint8Array {
  return request(family, K.OVS_METER_CMD_FEATURES, NLM_F_ECHO, dpIfindex, () => undefined);
}

export function meterRequest(family: GenericFamily, dpIfindex: number, command: MeterCommand, id: number): Uint8Array {
  return request(family, COMMANDS[command], NLM_F_ECHO, dpIfindex, (attributes) => {
    attributes.u32(K.OVS_METER_ATTR_ID, id);
  });
}

export function meterSetRequest(family: GenericFamily, dpIfindex: number, id: number, config: MeterConfig): Uint8Array {
  return request(family, K.OVS_METER_CMD_SET, NLM_F_ECHO, dpIfindex, (attributes) => {
    attributes.u32(K.OVS_METER_ATTR_ID, id);
    if (config.unit === 'kbps') attributes.flag(K.OVS_METER_ATTR_KBPS);
    attributes.nest(K.OVS_METER_ATTR_BANDS, (bands) => {
      for (const { type = K.OVS_METER_BAND_TYPE_DROP, rate, burst } of config.bands) {
        bands.nest(K.OVS_BAND_ATTR_UNSPEC, (band) => {
          band.u32(K.OVS_BAND_ATTR_TYPE, type).u32(K.OVS_BAND_ATTR_RATE, rate);
          band.u32(K.OVS_BAND_ATTR_BURST, burst || rate);
        });
      }
    });
  });
}

export function readMeterFeatures(message: MessageCursor): MeterFeatures {
  const cursor = attributesOf(message);
  const features: MeterFeatures = { metersMax: 0, bandsMax: 0, bandTypes: [] };
  while (cursor.next()) {
    if (cursor.type === K.OVS_METER_ATTR_MAX_METERS) features.metersMax = cursor.u32();
    else if (cursor.type === K.OVS_METER_ATTR_MAX_BANDS) features.bandsMax = cursor.u32();
    else if (cursor.type === K.OVS_METER_ATTR_BANDS) features.bandTypes = readBands(cursor).map(({ type }) => type);
  }
  cursor.check();
  return features;
}

/** What a meter has seen, and its number; undefined where the message does not say it. */
export function readMeter(message: MessageCursor): { id: number | undefined; stats: MeterStats } {
  const cursor = attributesOf(message);
  const stats: MeterStats = { packets: 0n, bytes: 0n, usedMs: 0n, bands: [] };
  let id: number | undefined;
  while (cursor.next()) {
    if (cursor.type === K.OVS_METER_ATTR_ID) id = cursor.u32();
    else if (cursor.type === K.OVS_METER_ATTR_STATS) [stats.packets, stats.bytes] = readLongs(cursor.bytes(), 2);
    else if (cursor.type === K.OVS_METER_ATTR_USED) stats.usedMs = cursor.u64();
    else if (cursor.type === K.OVS_METER_ATTR_BANDS) stats.bands = readBands(cursor).map(({ stats: band }) => band);
  }
  cursor.check();
  return { id, stats };
}

function readBands(cursor: AttributeCursor): { type: number; stats: MeterStats['bands'][number] }[] {
  const bands: ReturnType<typeof readBands> = [];
  for (const list = cursor.nested(); list.next(); ) {
    const band = { type: 0, stats: { packets: 0n, bytes: 0n } };
    for (const inner = list.nested(); inner.next(); ) {
      if (inner.type === K.OVS_BAND_ATTR_TYPE) band.type = inner.u32();
      else if (inner.type === K.OVS_BAND_ATTR_STATS)
        [band.stats.packets, band.stats.bytes] = readLongs(inner.bytes(), 2);
    }
    bands.push(band);
  }
  return bands;
}
