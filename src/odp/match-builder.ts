/*
 * A builder of matches: `match().inPort(1).ipv4({ dst: '10.0.0.0/8' }).tcp({ dst: 80 }).build()`.
 *
 * Collects a FlowMatch and adds what a field needs before it where only one thing is meant: ipv4 and arp their Ethernet type, tcp over
 * a chosen ipv4 or ipv6 its protocol, nd its ICMPv6 type. Units and byte order are those of FlowMatch: numbers in host order, addresses
 * as text with an optional mask or prefix length. All failures are OdpFieldError.
 */

import { OdpFieldError } from './errors.ts';
import { encodeMatch, type FlatMatch } from './match.ts';
import type { FlowFields, FlowMatch, Masked } from './types.ts';

const IPV4 = 0x0800;
const IPV6 = 0x86dd;
const ARP = 0x0806;
const MPLS = 0x8847;
const NSH = 0x894f;
const PROTO = { icmp: 1, tcp: 6, udp: 17, icmpv6: 58, sctp: 132 } as const;
const ND_TYPES: readonly unknown[] = [135, 136];

export class MatchBuilder {
  readonly #match: FlowMatch = {};

  /** Any field of FlowMatch as it is, without what it needs before it. */
  with(fields: FlowMatch): this {
    Object.assign(this.#match, fields);
    return this;
  }

  inPort(port: Masked<number>): this {
    return this.with({ inPort: port });
  }

  recircId(id: number): this {
    return this.with({ recircId: id });
  }

  /** Bits of enum ovs_cs_f: new 1, established 2, related 4, reply 8, invalid 16, tracked 32, source and destination NAT 64, 128. */
  ctState(state: Masked<number>): this {
    return this.with({ ctState: state });
  }

  tunnel(tunnel: NonNullable<FlowMatch['tunnel']>): this {
    return this.with({ tunnel });
  }

  eth(eth: Masked<FlowFields['eth']>): this {
    return this.with({ eth });
  }

  ethType(type: Masked<number>): this {
    return this.with({ ethType: type });
  }

  /** Only frames without a tag. */
  untagged(): this {
    return this.with({ vlan: 'none' });
  }

  /** The outer tag and, after it, the inner one. */
  vlan(...tags: readonly Exclude<FlowMatch['vlan'], 'none' | undefined>[]): this {
    if (tags.length === 0 || tags.length > 2)
      throw new OdpFieldError('vlan', `${tags.length} tags; one or two are needed`);
    return this.with({ vlan: tags[0], ...(tags.length === 2 ? { cvlan: tags[1] } : {}) });
  }

  mpls(...entries: NonNullable<FlowMatch['mpls']>): this {
    this.#need('ethType', MPLS, 'mpls', [MPLS, 0x8848]);
    return this.with({ mpls: entries });
  }

  ipv4(ipv4: Masked<FlowFields['ipv4']> = {}): this {
    this.#need('ethType', IPV4, 'ipv4');
    return this.with({ ipv4: { ...this.#match.ipv4, ...ipv4 } });
  }

  ipv6(ipv6: Masked<FlowFields['ipv6']> = {}): this {
    this.#need('ethType', IPV6, 'ipv6');
    return this.with({ ipv6: { ...this.#match.ipv6, ...ipv6 } });
  }

  arp(arp: Masked<FlowFields['arp']> = {}): this {
    this.#need('ethType', ARP, 'arp', [ARP, 0x8035]);
    return this.with({ arp });
  }

  nsh(nsh: Masked<FlowFields['nsh']> = {}): this {
    this.#need('ethType', NSH, 'nsh');
    return this.with({ nsh });
  }

  /** TCP ports; needs ipv4() or ipv6() before it. */
  tcp(ports: Masked<FlowFields['tcp']> = {}): this {
    this.#protocol('tcp');
    return this.with({ tcp: ports });
  }

  /** 12 bits: fin 1, syn 2, rst 4, psh 8, ack 16, urg 32, ece 64, cwr 128, ns 256. */
  tcpFlags(flags: Masked<number>): this {
    this.#protocol('tcp');
    return this.with({ tcpFlags: flags });
  }

  udp(ports: Masked<FlowFields['udp']> = {}): this {
    this.#protocol('udp');
    return this.with({ udp: ports });
  }

  sctp(ports: Masked<FlowFields['sctp']> = {}): this {
    this.#protocol('sctp');
    return this.with({ sctp: ports });
  }

  icmp(icmp: Masked<FlowFields['icmp']> = {}): this {
    if (this.#match.ipv4 === undefined) this.ipv4();
    this.#protocol('icmp');
    return this.with({ icmp });
  }

  icmpv6(icmpv6: Masked<FlowFields['icmpv6']> = {}): this {
    if (this.#match.ipv6 === undefined) this.ipv6();
    this.#protocol('icmpv6');
    return this.with({ icmpv6: { ...this.#match.icmpv6, ...icmpv6 } });
  }

  /** Neighbour discovery; needs icmpv6({ type: 135 }) or 136 before it, and adds the code. */
  nd(nd: Masked<FlowFields['nd']> = {}): this {
    if (!ND_TYPES.includes(this.#match.icmpv6?.type))
      throw new OdpFieldError('nd', 'needs icmpv6({ type: 135 }) or 136 before it');
    this.icmpv6({ code: 0 });
    return this.with({ nd });
  }

  /** The typed match as it is now, a copy. */
  typed(): FlowMatch {
    return structuredClone(this.#match);
  }

  /** Flat key and mask. */
  build(): FlatMatch {
    return encodeMatch(this.#match);
  }

  #need(field: 'ethType', value: number, owner: string, also: readonly number[] = [value]): void {
    const current = this.#match[field];
    if (current === undefined) this.#match[field] = value;
    else if (!also.some((type) => type === current)) {
      throw new OdpFieldError(owner, `the match has another ${field} already`);
    }
  }

  #protocol(name: keyof typeof PROTO): void {
    const header = this.#match.ipv4 === undefined ? 'ipv6' : 'ipv4';
    const ip = this.#match[header];
    if (ip === undefined) throw new OdpFieldError(name, 'needs ipv4() or ipv6() before it');
    if (ip.proto !== undefined && ip.proto !== PROTO[name]) {
      throw new OdpFieldError(name, `the match has another ${header}.proto already`);
    }
    ip.proto = PROTO[name];
  }
}

/** An empty match to build on; it matches every frame, tagged or not. */
export function match(): MatchBuilder {
  return new MatchBuilder();
}
