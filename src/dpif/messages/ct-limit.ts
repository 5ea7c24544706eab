/*
 * Messages of the family ovs_ct_limit: limits of connections by zone, of the whole network namespace and not of one datapath. One attribute holds an array
 * of struct ovs_zone_limit. request.ts has what is common to all families.
 */
import { NLM_F_ECHO } from '../../netlink/constants.ts';
import type { GenericFamily } from '../../netlink/generic.ts';
import type { MessageCursor } from '../../netlink/message.ts';
import type { CtLimit } from '../types.ts';
import { attributesOf, request } from './request.ts';

const OVS_CT_LIMIT_CMD_SET = 1;
const OVS_CT_LIMIT_CMD_DEL = 2;
const OVS_CT_LIMIT_CMD_GET = 3;
const OVS_CT_LIMIT_ATTR_ZONE_LIMIT = 1;
/** struct ovs_zone_limit: s32 zone, u32 limit, u32 count. */
const ZONE_LIMIT_SIZEOF = 12;
/** Zones without a limit of their own. */
const OVS_ZONE_LIMIT_DEFAULT_ZONE = -1;

const COMMANDS = { set: OVS_CT_LIMIT_CMD_SET, del: OVS_CT_LIMIT_CMD_DEL, get: OVS_CT_LIMIT_CMD_GET } as const;

/** An empty list asks for all. */
export function ctLimitRequest(
  family: GenericFamily,
  command: keyof typeof COMMANDS,
  limits: readonly Partial<CtLimit>[],
): Uint8Array {
  return request(family, COMMANDS[command], NLM_F_ECHO, 0, (attributes) => {
    if (limits.length > 0) attributes.binary(OVS_CT_LIMIT_ATTR_ZONE_LIMIT, writeLimits(limits));
  });
}

export function readCtLimits(message: MessageCursor): CtLimit[] {
  const cursor = attributesOf(message);
  const limits: CtLimit[] = [];
  while (cursor.next()) {
    if (cursor.type !== OVS_CT_LIMIT_ATTR_ZONE_LIMIT) continue;
    const bytes = cursor.bytes();
    const view = new DataView(bytes.buffer);
    for (let at = 0; at + ZONE_LIMIT_SIZEOF <= bytes.length; at += ZONE_LIMIT_SIZEOF) {
      const zone = view.getInt32(at, true);
      const limit = view.getUint32(at + 4, true);
      if (zone === OVS_ZONE_LIMIT_DEFAULT_ZONE) limits.push({ limit });
      else limits.push({ zone, limit, count: view.getUint32(at + 8, true) });
    }
  }
  cursor.check();
  return limits;
}

function writeLimits(limits: readonly Partial<CtLimit>[]): Uint8Array {
  const bytes = new Uint8Array(limits.length * ZONE_LIMIT_SIZEOF);
  const view = new DataView(bytes.buffer);
  limits.forEach(({ zone = OVS_ZONE_LIMIT_DEFAULT_ZONE, limit = 0 }, i) => {
    view.setInt32(i * ZONE_LIMIT_SIZEOF, zone, true);
    view.setUint32(i * ZONE_LIMIT_SIZEOF + 4, limit, true);
  });
  return bytes;
}
