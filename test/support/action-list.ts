/*
 * Action lists as attributes, written apart from the datapath's own builder.
 */
import type { Action, SetField } from '../reference/actions.ts';

/** One attribute with its padding. */
export function attribute(type: number, payload: ArrayLike<number>): Uint8Array {
  const result = new Uint8Array((4 + payload.length + 3) & ~3);
  new DataView(result.buffer).setUint16(0, 4 + payload.length, true);
  new DataView(result.buffer).setUint16(2, type, true);
  result.set(payload, 4);
  return result;
}

export function concat(...parts: readonly Uint8Array[]): Uint8Array {
  return new Uint8Array(Buffer.concat(parts));
}

export function le32(value: number): Uint8Array {
  return new Uint8Array(new Uint32Array([value]).buffer);
}

export function be16(value: number): Uint8Array {
  return Uint8Array.of(value >>> 8, value & 255);
}

/** The OVS_KEY_ATTR_* number of each field that can be set. */
export const SET_TYPES: Record<SetField, number> = {
  priority: 2,
  ethernet: 4,
  ipv4: 7,
  ipv6: 8,
  tcp: 9,
  udp: 10,
  mark: 15,
  sctp: 17,
  mpls: 21,
};

export function encodeAction(action: Action): Uint8Array {
  switch (action.kind) {
    case 'output':
      return attribute(1, le32(action.port));
    case 'userspace':
      return attribute(2, concat(attribute(1, le32(action.pid)), attribute(2, action.userdata)));
    case 'set': {
      const type = SET_TYPES[action.field];
      if (action.mask === undefined) return attribute(3, attribute(type, action.value));
      return attribute(11, attribute(type, concat(action.value, action.mask)));
    }
    case 'pushVlan':
      return attribute(4, concat(be16(action.tpid), be16(action.tci)));
    case 'popVlan':
      return attribute(5, []);
    case 'trunc':
      return attribute(13, le32(action.size));
    case 'drop':
      return attribute(24, le32(0));
  }
}

export function encodeActions(actions: readonly Action[]): Uint8Array {
  return concat(...actions.map(encodeAction));
}
