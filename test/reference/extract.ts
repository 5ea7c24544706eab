/*
 * The slow, obvious model of flow key extraction: what assembly/flow/extract.ts must give for any frame.
 *
 * Written from the rules (docs/extraction.md), a rule a line, over a DataView that throws when a read leaves the
 * frame. It shares nothing with the datapath but the offsets of the key. Used by the tests as the second opinion.
 */
import * as K from '../../assembly/constants.ts';

/** Offsets of the headers as the packet descriptor has them; undefined when there is no such header. */
export interface ReferenceOffsets {
  l3: number;
  l4?: number;
  mpls?: number;
}

export interface ReferenceResult {
  key: Uint8Array;
  offsets: ReferenceOffsets;
  /** Something was written behind the hot words. */
  cold: boolean;
}

const EXTENSIONS = new Set([0, 43, 44, 51, 60]);

/** The flow key (KEY_SIZE bytes) of a frame of at least 14 bytes. */
export function referenceExtract(frame: Uint8Array, inPort: number, recircId = 0): Uint8Array {
  return referenceExtractAll(frame, inPort, recircId).key;
}

/** Key, header offsets and cold mark; the frame must have at least 14 bytes. */
export function referenceExtractAll(frame: Uint8Array, inPort: number, recircId = 0): ReferenceResult {
  const model = new Model(frame);
  model.key.setUint32(K.KEY_IN_PORT, inPort, true);
  model.key.setUint32(K.KEY_RECIRC_ID, recircId, true);
  model.ethernet();
  const key = new Uint8Array(model.key.buffer);
  return { key, offsets: model.offsets, cold: key.subarray(K.KEY_HOT_SIZE).some((byte) => byte !== 0) };
}

class Model {
  readonly key = new DataView(new ArrayBuffer(K.KEY_SIZE));
  readonly offsets: ReferenceOffsets = { l3: 0 };
  private readonly wire: DataView;
  private readonly frame: Uint8Array;

  constructor(frame: Uint8Array) {
    this.frame = frame;
    this.wire = new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
  }

  private u8(at: number): number {
    return this.wire.getUint8(at);
  }

  private u16(at: number): number {
    return this.wire.getUint16(at);
  }

  /** Bytes of the frame from `at` on; negative when `at` lies behind its end. */
  private left(at: number): number {
    return this.frame.length - at;
  }

  private copy(keyOffset: number, at: number, size: number): void {
    for (let i = 0; i < size; i++) this.key.setUint8(keyOffset + i, this.u8(at + i));
  }

  private clear(keyOffset: number, size: number): void {
    for (let i = 0; i < size; i++) this.key.setUint8(keyOffset + i, 0);
  }

  private isZero(keyOffset: number, size: number): boolean {
    for (let i = 0; i < size; i++) if (this.key.getUint8(keyOffset + i) !== 0) return false;
    return true;
  }

  ethernet(): void {
    this.copy(K.KEY_ETH_DST, 0, 6);
    this.copy(K.KEY_ETH_SRC, 6, 6);
    let at = 12;
    for (const [tci, tpid] of [
      [K.KEY_VLAN_TCI, K.KEY_VLAN_TPID],
      [K.KEY_CVLAN_TCI, K.KEY_CVLAN_TPID],
    ]) {
      // A tag is TPID, TCI and the type behind it; otherwise what looks like a TPID is the type.
      if (![0x8100, 0x88a8].includes(this.u16(at)) || this.left(at) < 6) break;
      this.key.setUint16(tpid, this.u16(at));
      this.key.setUint16(tci, this.u16(at + 2) | 0x1000);
      at += 4;
    }
    let type = this.u16(at);
    at += 2;
    if (type < 0x600) {
      type = 0x0004;
      if (this.left(at) >= 8 && this.u16(at) === 0xaaaa && this.u8(at + 3) === 0 && this.u16(at + 4) === 0) {
        if (this.u16(at + 6) >= 0x600) type = this.u16(at + 6);
        at += 8;
      }
    }
    this.key.setUint16(K.KEY_ETH_TYPE, type);
    this.offsets.l3 = at;
    this.network(type, at);
  }

  private network(type: number, at: number): void {
    if (type === 0x0800) this.ipv4(at);
    if (type === 0x86dd) this.ipv6(at);
    if (type === 0x0806 || type === 0x8035) this.arp(at);
    if (type === 0x8847 || type === 0x8848) this.mpls(at);
    if (type === 0x894f) this.nsh(at);
  }

  private arp(at: number): void {
    if (this.left(at) < 28) return;
    if (this.u16(at) !== 1 || this.u16(at + 2) !== 0x0800 || this.u8(at + 4) !== 6 || this.u8(at + 5) !== 4) return;
    const opcode = this.u16(at + 6);
    this.key.setUint8(K.KEY_IP_PROTO, opcode <= 255 ? opcode : 0);
    this.copy(K.KEY_ARP_SHA, at + 8, 6);
    this.copy(K.KEY_IPV4_SRC, at + 14, 4);
    this.copy(K.KEY_ARP_THA, at + 18, 6);
    this.copy(K.KEY_IPV4_DST, at + 24, 4);
  }

  private ipv4(at: number): void {
    if (this.left(at) < 20) return;
    const headerSize = (this.u8(at) % 16) * 4;
    if (headerSize < 20 || this.left(at) < headerSize) return;
    const proto = this.u8(at + 9);
    this.key.setUint8(K.KEY_IP_TOS, this.u8(at + 1));
    this.key.setUint8(K.KEY_IP_TTL, this.u8(at + 8));
    this.key.setUint8(K.KEY_IP_PROTO, proto);
    this.copy(K.KEY_IPV4_SRC, at + 12, 4);
    this.copy(K.KEY_IPV4_DST, at + 16, 4);
    const fragOffset = this.u16(at + 6) & 0x1fff;
    if (fragOffset !== 0) {
      this.key.setUint8(K.KEY_IP_FRAG, 2);
      return;
    }
    if (this.u16(at + 6) & 0x2000) this.key.setUint8(K.KEY_IP_FRAG, 1);
    const l4 = at + headerSize;
    this.setL4(l4);
    if (proto === 1 || proto === 2) {
      if (this.left(l4) >= 8) this.typeCode(l4);
    } else {
      this.ports(proto, l4);
    }
  }

  private setL4(at: number): void {
    if (at < K.OFFSET_NONE) this.offsets.l4 = at;
  }

  private typeCode(at: number): void {
    this.key.setUint16(K.KEY_TP_SRC, this.u8(at));
    this.key.setUint16(K.KEY_TP_DST, this.u8(at + 1));
  }

  private ports(proto: number, at: number): void {
    const needed = new Map([
      [6, 20],
      [17, 8],
      [132, 12],
    ]).get(proto);
    if (needed === undefined || this.left(at) < needed) return;
    if (proto === 6) {
      const headerSize = Math.floor(this.u8(at + 12) / 16) * 4;
      if (headerSize < 20 || this.left(at) < headerSize) return;
      this.key.setUint16(K.KEY_TCP_FLAGS, this.u16(at + 12) & 0x0fff);
    }
    this.copy(K.KEY_TP_SRC, at, 2);
    this.copy(K.KEY_TP_DST, at + 2, 2);
  }

  private ipv6(at: number): void {
    if (this.left(at) < 40) return;
    this.key.setUint8(K.KEY_IP_TOS, (this.u16(at) >> 4) & 0xff);
    this.key.setUint32(K.KEY_IPV6_LABEL, this.wire.getUint32(at) & 0xfffff);
    this.key.setUint8(K.KEY_IP_TTL, this.u8(at + 7));
    this.copy(K.KEY_IPV6_SRC, at + 8, 16);
    this.copy(K.KEY_IPV6_DST, at + 24, 16);
    this.key.setUint16(K.KEY_IPV6_EXTHDRS, this.extensionBits(at), true);
    this.key.setUint8(K.KEY_IP_PROTO, 59);
    const found = this.findTransport(at);
    if (found === undefined) return;
    this.key.setUint8(K.KEY_IP_PROTO, found.proto);
    if (found.at === undefined) return;
    this.setL4(found.at);
    if (found.proto === 58) this.icmpv6(found.at);
    else this.ports(found.proto, found.at);
  }

  /** Protocol and place of what follows the extension headers; undefined when the chain is broken. */
  private findTransport(ip: number): { proto: number; at?: number } | undefined {
    let next = this.u8(ip + 6);
    let at = ip + 40;
    while (EXTENSIONS.has(next)) {
      if (this.left(at) < 2) return undefined;
      const after = this.u8(at);
      let size = this.u8(at + 1) * 8 + 8;
      if (next === 51) size = this.u8(at + 1) * 4 + 8;
      if (next === 44) {
        this.key.setUint8(K.KEY_IP_FRAG, 1);
        if (this.left(at) < 4) return undefined;
        if (this.u16(at + 2) >= 8) {
          if (EXTENSIONS.has(after)) return undefined;
          this.key.setUint8(K.KEY_IP_FRAG, 2);
          return { proto: 44 };
        }
        size = 8;
      }
      if (this.left(at) < size) return undefined;
      at += size;
      next = after;
    }
    return { proto: next, at };
  }

  /** The extension header pseudo-field. Every length is taken as 8-byte units; the walk goes on behind fragments. */
  private extensionBits(ip: number): number {
    const bits = { none: 1, auth: 4, dest: 8, frag: 16, router: 32, hop: 64, repeated: 128, order: 256 };
    const order = [bits.hop, bits.dest, bits.router, bits.frag, bits.auth];
    const kinds = new Map([
      [43, bits.router],
      [44, bits.frag],
      [51, bits.auth],
    ]);
    let seen = 0;
    let destinations = 0;
    let next = this.u8(ip + 6);
    let at = ip + 40;
    const onlyBefore = (bit: number): boolean => {
      const allowed = order.slice(0, order.indexOf(bit)).reduce((sum, one) => sum + one, bits.repeated);
      return (seen | allowed) === allowed;
    };
    for (;;) {
      if (next === 59) return seen | bits.none;
      const kind = kinds.get(next);
      if (kind !== undefined) {
        if (seen & kind) seen |= bits.repeated;
        if (!onlyBefore(kind) || destinations >= 2) seen |= bits.order;
        seen |= kind;
      } else if (next === 0) {
        if (seen & bits.hop) seen |= bits.repeated;
        seen |= seen === 0 ? bits.hop : bits.order;
      } else if (next === 60) {
        destinations++;
        if (destinations === 1) seen |= (onlyBefore(bits.dest) ? 0 : bits.order) | bits.dest;
        if (destinations > 2) seen |= bits.repeated;
      } else {
        return seen;
      }
      if (this.left(at) < 2) return seen;
      next = this.u8(at);
      at += this.u8(at + 1) * 8 + 8;
    }
  }

  private icmpv6(at: number): void {
    if (this.left(at) < 8) return;
    this.typeCode(at);
    const type = this.u8(at);
    if (this.u8(at + 1) !== 0 || (type !== 135 && type !== 136)) return;
    this.copy(K.KEY_ND_RESERVED, at + 4, 4);
    if (this.left(at) >= 24) {
      this.copy(K.KEY_ND_TARGET, at + 8, 16);
      this.neighbourOptions(at + 24);
    }
    const extended = !this.isZero(K.KEY_ND_RESERVED, 4) || !this.isZero(K.KEY_ND_OPTIONS_TYPE, 1);
    if (extended) this.key.setUint8(K.KEY_FLAGS, K.KEY_FLAG_ND_EXT);
  }

  private neighbourOptions(start: number): void {
    const places = new Map([
      [1, K.KEY_ND_SLL],
      [2, K.KEY_ND_TLL],
    ]);
    for (let at = start; this.left(at) >= 8; at += this.u8(at + 1) * 8) {
      const size = this.u8(at + 1) * 8;
      if (size === 0 || size > this.left(at)) return;
      const place = places.get(this.u8(at));
      if (place === undefined || size !== 8) continue;
      if (!this.isZero(place, 6)) {
        this.clear(K.KEY_ND_TARGET, 16);
        this.clear(K.KEY_ND_SLL, 6);
        this.clear(K.KEY_ND_TLL, 6);
        return;
      }
      this.copy(place, at + 2, 6);
      if (this.isZero(K.KEY_ND_OPTIONS_TYPE, 1)) this.copy(K.KEY_ND_OPTIONS_TYPE, at, 1);
    }
  }

  private mpls(start: number): void {
    if (this.left(start) >= 4) this.offsets.mpls = start;
    const entries: number[] = [];
    let bottom = false;
    for (let at = start; this.left(at) >= 4 && !bottom; at += 4) {
      entries.push(this.wire.getUint32(at));
      bottom = (this.u8(at + 2) & 1) === 1;
    }
    const kept = entries.slice(0, 3);
    kept.forEach((entry, index) => {
      this.key.setUint32(K.KEY_MPLS_LSE0 + index * 4, entry);
    });
    if (bottom) this.key.setUint8(K.KEY_MPLS_COUNT, kept.length);
  }

  private nsh(at: number): void {
    if (this.left(at) < 8) return;
    const base = this.u16(at);
    const size = (base & 0x3f) * 4;
    if (base >= 0x4000 || this.left(at) < size) return;
    const type = this.u8(at + 2);
    if (type !== 1 && type !== 2) return;
    if (type === 1 && size !== 24) return;
    this.key.setUint8(K.KEY_NSH_FLAGS, (base >> 12) & 3);
    this.key.setUint8(K.KEY_NSH_TTL, (base >> 6) & 0x3f);
    this.copy(K.KEY_NSH_MDTYPE, at + 2, 1);
    this.copy(K.KEY_NSH_NP, at + 3, 1);
    this.copy(K.KEY_NSH_PATH_HDR, at + 4, 4);
    if (type === 1) this.copy(K.KEY_NSH_CONTEXT, at + 8, 16);
  }
}
