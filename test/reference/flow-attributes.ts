/*
 * Flow key attributes read back into a flat key, apart from the datapath's writer: one table of where the bytes of each
 * attribute belong, and which bytes of the key were said.
 */
import * as K from '../../assembly/constants.ts';

export interface Attribute {
  type: number;
  payload: Uint8Array;
}

/** Splits a list; throws on anything that is not exactly a sequence of padded attributes with zero padding. */
export function parseAttributes(list: Uint8Array): Attribute[] {
  const view = Buffer.from(list);
  const result: Attribute[] = [];
  let at = 0;
  while (at < view.length) {
    const size = view.readUInt16LE(at);
    const end = at + ((size + 3) & ~3);
    if (size < 4 || end > view.length) throw new Error(`attribute of ${size} bytes at ${at} of ${view.length}`);
    if (view.subarray(at + size, end).some((byte) => byte !== 0))
      throw new Error(`padding at ${at + size} is not zero`);
    result.push({ type: view.readUInt16LE(at + 2), payload: list.slice(at + 4, at + size) });
    at = end;
  }
  return result;
}

/** A run of payload bytes: from where in the payload, to where in the key, how many. */
type Run = readonly [from: number, to: number, size: number];

/** Payload size and its runs, by OVS_KEY_ATTR_*. */
const PLAIN = new Map<number, { size: number; runs: readonly Run[] }>([
  [2, { size: 4, runs: [[0, K.KEY_SKB_PRIORITY, 4]] }],
  [3, { size: 4, runs: [[0, K.KEY_IN_PORT, 4]] }],
  [
    4,
    {
      size: 12,
      runs: [
        [0, K.KEY_ETH_SRC, 6],
        [6, K.KEY_ETH_DST, 6],
      ],
    },
  ],
  [
    7,
    {
      size: 12,
      runs: [
        [0, K.KEY_IPV4_SRC, 4],
        [4, K.KEY_IPV4_DST, 4],
        [8, K.KEY_IP_PROTO, 1],
        [9, K.KEY_IP_TOS, 1],
        [10, K.KEY_IP_TTL, 1],
        [11, K.KEY_IP_FRAG, 1],
      ],
    },
  ],
  [
    8,
    {
      size: 40,
      runs: [
        [0, K.KEY_IPV6_SRC, 16],
        [16, K.KEY_IPV6_DST, 16],
        [32, K.KEY_IPV6_LABEL, 4],
        [36, K.KEY_IP_PROTO, 1],
        [37, K.KEY_IP_TOS, 1],
        [38, K.KEY_IP_TTL, 1],
        [39, K.KEY_IP_FRAG, 1],
      ],
    },
  ],
  [
    9,
    {
      size: 4,
      runs: [
        [0, K.KEY_TP_SRC, 2],
        [2, K.KEY_TP_DST, 2],
      ],
    },
  ],
  [
    10,
    {
      size: 4,
      runs: [
        [0, K.KEY_TP_SRC, 2],
        [2, K.KEY_TP_DST, 2],
      ],
    },
  ],
  [
    11,
    {
      size: 2,
      runs: [
        [0, K.KEY_TP_SRC + 1, 1],
        [1, K.KEY_TP_DST + 1, 1],
      ],
    },
  ],
  [
    12,
    {
      size: 2,
      runs: [
        [0, K.KEY_TP_SRC + 1, 1],
        [1, K.KEY_TP_DST + 1, 1],
      ],
    },
  ],
  [
    13,
    {
      size: 24,
      runs: [
        [0, K.KEY_IPV4_SRC, 4],
        [4, K.KEY_IPV4_DST, 4],
        [9, K.KEY_IP_PROTO, 1],
        [10, K.KEY_ARP_SHA, 6],
        [16, K.KEY_ARP_THA, 6],
      ],
    },
  ],
  [
    14,
    {
      size: 28,
      runs: [
        [0, K.KEY_ND_TARGET, 16],
        [16, K.KEY_ND_SLL, 6],
        [22, K.KEY_ND_TLL, 6],
      ],
    },
  ],
  [15, { size: 4, runs: [[0, K.KEY_SKB_MARK, 4]] }],
  [
    17,
    {
      size: 4,
      runs: [
        [0, K.KEY_TP_SRC, 2],
        [2, K.KEY_TP_DST, 2],
      ],
    },
  ],
  [18, { size: 2, runs: [[0, K.KEY_TCP_FLAGS, 2]] }],
  [19, { size: 4, runs: [[0, K.KEY_DP_HASH, 4]] }],
  [20, { size: 4, runs: [[0, K.KEY_RECIRC_ID, 4]] }],
  [22, { size: 4, runs: [[0, K.KEY_CT_STATE, 4]] }],
  [23, { size: 2, runs: [[0, K.KEY_CT_ZONE, 2]] }],
  [24, { size: 4, runs: [[0, K.KEY_CT_MARK, 4]] }],
  [25, { size: 16, runs: [[0, K.KEY_CT_LABELS, 16]] }],
  [
    26,
    {
      size: 16,
      runs: [
        [0, K.KEY_CT_ORIG_SRC, 4],
        [4, K.KEY_CT_ORIG_DST, 4],
        [8, K.KEY_CT_ORIG_TP_SRC, 2],
        [10, K.KEY_CT_ORIG_TP_DST, 2],
        [12, K.KEY_CT_ORIG_PROTO, 1],
      ],
    },
  ],
  [
    27,
    {
      size: 40,
      runs: [
        [0, K.KEY_CT_ORIG_SRC, 16],
        [16, K.KEY_CT_ORIG_DST, 16],
        [32, K.KEY_CT_ORIG_TP_SRC, 2],
        [34, K.KEY_CT_ORIG_TP_DST, 2],
        [36, K.KEY_CT_ORIG_PROTO, 1],
      ],
    },
  ],
  [32, { size: 2, runs: [[0, K.KEY_IPV6_EXTHDRS, 2]] }],
]);

const TUNNEL = new Map<number, { size: number; to: number; flag?: number }>([
  [0, { size: 8, to: K.KEY_TUN_ID, flag: 0x0004 }],
  [1, { size: 4, to: K.KEY_TUN_SRC }],
  [2, { size: 4, to: K.KEY_TUN_DST }],
  [3, { size: 1, to: K.KEY_TUN_TOS }],
  [4, { size: 1, to: K.KEY_TUN_TTL }],
  [5, { size: 0, to: 0, flag: 0x0100 }],
  [6, { size: 0, to: 0, flag: 0x0001 }],
  [7, { size: 0, to: 0, flag: 0x0200 }],
  [9, { size: 2, to: K.KEY_TUN_TP_SRC }],
  [10, { size: 2, to: K.KEY_TUN_TP_DST }],
  [12, { size: 16, to: K.KEY_TUN_SRC }],
  [13, { size: 16, to: K.KEY_TUN_DST }],
]);

export interface DecodedKey {
  key: Uint8Array;
  /** 1 for each byte of the key that an attribute spoke of. */
  said: Uint8Array;
  /** OVS_KEY_ATTR_* in the order found, those inside an ENCAP behind it. */
  types: number[];
}

class Decoder {
  readonly key = new Uint8Array(K.KEY_SIZE);
  readonly said = new Uint8Array(K.KEY_SIZE);
  readonly types: number[] = [];

  private say(to: number, part: Uint8Array): void {
    if (this.said.subarray(to, to + part.length).some((byte) => byte !== 0)) throw new Error(`byte ${to} said twice`);
    this.key.set(part, to);
    this.said.fill(1, to, to + part.length);
  }

  /** `level` tags were opened; a VLAN attribute makes the ETHERTYPE before it a TPID. */
  list(attributes: readonly Attribute[], level: number): void {
    const tagged = attributes.some(({ type }) => type === 5);
    for (const { type, payload } of attributes) {
      this.types.push(type);
      const plain = PLAIN.get(type);
      if (plain !== undefined) {
        expectSize(type, payload, plain.size);
        for (const [from, to, size] of plain.runs) this.say(to, payload.subarray(from, from + size));
      } else if (type === 1) this.list(parseAttributes(payload), level + 1);
      else if (type === 5) this.say(level === 0 ? K.KEY_VLAN_TCI : K.KEY_CVLAN_TCI, payload);
      else if (type === 6 && tagged) this.say(level === 0 ? K.KEY_VLAN_TPID : K.KEY_CVLAN_TPID, payload);
      else if (type === 6) this.say(K.KEY_ETH_TYPE, payload);
      else if (type === 16) this.tunnel(parseAttributes(payload));
      else if (type === 21) this.mpls(payload);
      else if (type === 28) this.nsh(parseAttributes(payload));
      else throw new Error(`unknown attribute ${type}`);
    }
  }

  private mpls(payload: Uint8Array): void {
    this.say(K.KEY_MPLS_LSE0, payload);
    this.say(K.KEY_MPLS_COUNT, Uint8Array.of(payload.length / 4));
  }

  private nsh(attributes: readonly Attribute[]): void {
    for (const { type, payload } of attributes) {
      expectSize(type, payload, type === 1 ? 8 : 16);
      this.say(type === 1 ? K.KEY_NSH_FLAGS : K.KEY_NSH_CONTEXT, payload);
    }
  }

  private tunnel(attributes: readonly Attribute[]): void {
    let flags = 0;
    for (const { type, payload } of attributes) {
      const field = TUNNEL.get(type);
      if (field !== undefined) {
        expectSize(type, payload, field.size);
        flags |= field.flag ?? 0;
        if (field.size !== 0) this.say(field.to, payload);
      } else if (type === 8) {
        flags |= 0x0800;
        this.say(K.KEY_TUN_OPTS, payload);
        this.say(K.KEY_TUN_OPTS_SIZE, Uint8Array.of(payload.length));
      } else if (type === 11) {
        flags |= 0x1000;
        this.say(K.KEY_TUN_GBP, parseAttributes(payload)[0]!.payload);
      } else if (type === 15) {
        flags |= 0x4000;
        this.say(K.KEY_TUN_ERSPAN, payload);
      } else throw new Error(`unknown tunnel attribute ${type}`);
    }
    this.say(K.KEY_TUN_FLAGS, Uint8Array.of(flags & 255, flags >>> 8));
  }
}

function expectSize(type: number, payload: Uint8Array, size: number): void {
  if (payload.length !== size) throw new Error(`attribute ${type} has ${payload.length} bytes instead of ${size}`);
}

export function decodeKey(list: Uint8Array): DecodedKey {
  const decoder = new Decoder();
  decoder.list(parseAttributes(list), 0);
  return { key: decoder.key, said: decoder.said, types: decoder.types };
}
