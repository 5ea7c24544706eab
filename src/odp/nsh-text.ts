/*
 * Text of the nested attributes of NSH: `flags=0,ttl=63,mdtype=1,np=1,spi=0x1,si=255,c1=0x0,...`, between the parentheses.
 *
 * Beside tunnel-text.ts, for attributes-text.ts. Metadata type 2 has no attribute in a key: neither the kernel nor Open vSwitch keeps its
 * context there, so that only the base header of such a packet is text. Owns no memory; the bytes handed out are new.
 */

import { attributeBytes, concatBytes, walkAttributes } from './attributes.ts';
import { NSH_BASE_SIZE, NSH_MD1_SIZE, NSH_SLOTS } from './fields.ts';
import { formatGroup, scanFields } from './groups.ts';
import { NSH_ATTR, NSH_MD1 } from './key-attributes.ts';
import type { TextScanner } from './scanner.ts';

const NSH_SIZE = NSH_BASE_SIZE + NSH_MD1_SIZE;
const NSH_MDTYPE = 2;

/** BASE and MD1 side by side; undefined for what the fields cannot say: other attributes, or no BASE. */
function joinNsh(payload: Uint8Array): { fields: Uint8Array; hasContext: boolean } | undefined {
  const fields = new Uint8Array(NSH_SIZE);
  let hasBase = false;
  let hasContext = false;
  for (const { number, payload: inner } of walkAttributes(payload, 'OVS_NSH_KEY_ATTR')) {
    if (number === NSH_ATTR.BASE && inner.length === NSH_BASE_SIZE && !hasBase) {
      fields.set(inner);
      hasBase = true;
    } else if (number === NSH_ATTR.MD1 && inner.length === NSH_MD1_SIZE && !hasContext) {
      fields.set(inner, NSH_BASE_SIZE);
      hasContext = true;
    } else return undefined;
  }
  return hasBase ? { fields, hasContext } : undefined;
}

/** Text of a payload under its mask, if that is given; undefined for what has no spelling. */
export function formatNsh(key: Uint8Array, mask: Uint8Array | undefined): string | undefined {
  const value = joinNsh(key);
  const bits = mask === undefined || mask.length === 0 ? undefined : joinNsh(mask);
  if (value === undefined || (bits === undefined && mask !== undefined && mask.length > 0)) return undefined;
  if (mask === undefined) {
    const context = value.fields[NSH_MDTYPE] === NSH_MD1;
    return formatGroup(context ? NSH_SLOTS : NSH_SLOTS.filter((slot) => slot.at < NSH_BASE_SIZE), value.fields);
  }
  // Open vSwitch writes the context that a key of another type has not as one of zeros, matched whole.
  if (bits !== undefined && !value.hasContext) bits.fields.fill(0xff, NSH_BASE_SIZE);
  return formatGroup(NSH_SLOTS, value.fields, bits?.fields ?? new Uint8Array(NSH_SIZE));
}

/** Payloads of what formatNsh writes, up to and with the closing parenthesis. */
export function scanNsh(scanner: TextScanner): { key: Uint8Array; mask: Uint8Array } {
  const [key, mask] = [new Uint8Array(NSH_SIZE), new Uint8Array(NSH_SIZE)];
  scanFields(scanner, NSH_SLOTS, key, mask);
  return { key: splitNsh(key, false), mask: splitNsh(mask, true) };
}

/** MD1 goes with a mask always, with a key of its type. */
function splitNsh(fields: Uint8Array, isMask: boolean): Uint8Array {
  const base = attributeBytes(NSH_ATTR.BASE, fields.subarray(0, NSH_BASE_SIZE));
  if (!isMask && fields[NSH_MDTYPE] !== NSH_MD1) return base;
  return concatBytes([base, attributeBytes(NSH_ATTR.MD1, fields.subarray(NSH_BASE_SIZE))]);
}
