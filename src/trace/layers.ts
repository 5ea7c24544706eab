/*
 * What a packet is made of: its headers from the outside in, each with its place, its fields and whether its checksum is right.
 *
 * Before it: any bytes, also cut or lying ones. After it: trace/text.ts, one line a header, or JSON. It reads the packet as it lies there and goes
 * as far as the headers lead; it knows nothing of flow keys, so it is a second opinion on them. What IP says is too much for the packet
 * is `cut`; what is behind IP's own end is `padding`. Keeps nothing; any thread.
 */
import { formatIpv4, formatIpv6, formatMac } from '../odp/addresses.ts';
import { ETH_P_ARP, ETH_P_IP, ETH_P_IPV6, ETH_P_NSH, ETH_P_RARP, isMplsType, isVlanType } from '../odp/layers.ts';
import { describeIpv4, describeIpv6 } from './layers-ip.ts';

/** `none`: the sender left it out (UDP). `unchecked`: a fragment, or cut. */
export type ChecksumState = 'ok' | 'bad' | 'none' | 'unchecked';

export type LayerName =
  | 'ethernet'
  | 'vlan'
  | 'llc'
  | 'mpls'
  | 'nsh'
  | 'arp'
  | 'ipv4'
  | 'ipv6'
  | 'extension'
  | 'tcp'
  | 'udp'
  | 'sctp'
  | 'icmp'
  | 'igmp'
  | 'icmpv6'
  | 'nd'
  | 'payload'
  | 'padding';

export interface Layer {
  name: LayerName;
  /** First byte and number of bytes; fewer than the header should have when it is `cut`. */
  at: number;
  size: number;
  /** Addresses are text, everything else numbers in host order. Empty when the header is cut. */
  fields: Readonly<Record<string, number | string>>;
  checksum?: ChecksumState;
  cut?: boolean;
}

/** A cursor over one packet: layers are added at its end. */
export class Description {
  readonly bytes: Uint8Array;
  readonly view: DataView;
  readonly layers: Layer[] = [];
  at = 0;
  /** Where the packet ends, or what is outside says it does. */
  end: number;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    this.end = bytes.length;
  }

  get rest(): number {
    return this.end - this.at;
  }

  u8(offset: number): number {
    return this.bytes[this.at + offset];
  }

  u16(offset: number): number {
    return this.view.getUint16(this.at + offset);
  }

  u32(offset: number): number {
    return this.view.getUint32(this.at + offset);
  }

  mac(offset: number): string {
    return formatMac(this.bytes, this.at + offset);
  }

  ipv4(offset: number): string {
    return formatIpv4(this.bytes, this.at + offset);
  }

  ipv6(offset: number): string {
    return formatIpv6(this.bytes, this.at + offset);
  }

  /** The next layer, of `size` bytes; the cursor steps over it. */
  add(name: LayerName, size: number, fields: Layer['fields'], checksum?: ChecksumState): void {
    this.layers.push({ name, at: this.at, size, fields, ...(checksum === undefined ? {} : { checksum }) });
    this.at += size;
  }

  /** False, with what is left added as a cut header, when there are not `size` bytes. */
  has(name: LayerName, size: number): boolean {
    if (this.rest >= size) return true;
    if (this.rest > 0) this.layers.push({ name, at: this.at, size: this.rest, fields: {}, cut: true });
    this.at = this.end;
    return false;
  }

  /** What is left is payload, and behind the end padding. */
  finish(): Layer[] {
    if (this.rest > 0) this.add('payload', this.rest, {});
    this.at = this.end;
    this.end = this.bytes.length;
    if (this.rest > 0) this.add('padding', this.rest, {});
    return this.layers;
  }
}

const ETH_TYPE_MIN = 0x0600;
const ETH_SIZE = 14;
const TAG_SIZE = 4;
const LLC_SIZE = 3;
const SNAP_SIZE = 8;
const MPLS_SIZE = 4;
const NSH_BASE_SIZE = 8;
const ARP_SIZE = 28;
const MD1_WORDS = 4;
/** Next protocols of NSH (RFC 8300, 2.2). */
const NSH_NEXT: Readonly<Record<number, number>> = { 1: ETH_P_IP, 2: ETH_P_IPV6, 4: ETH_P_NSH, 5: 0x8847 };
const NSH_ETHERNET = 3;
/** NSH within NSH and Ethernet within NSH, so often at most. */
const DEPTH_MAX = 8;

/** The layers of a packet that begins with an Ethernet header, or, with `firstType`, with what has this Ethernet type. */
export function describeLayers(packet: Uint8Array, firstType?: number): Layer[] {
  const d = new Description(packet);
  if (firstType === undefined) describeEthernet(d, 0);
  else describeNetwork(d, firstType, 0);
  return d.finish();
}

function describeEthernet(d: Description, depth: number): void {
  if (!d.has('ethernet', ETH_SIZE)) return;
  let type = d.u16(12);
  d.add('ethernet', ETH_SIZE, { dst: d.mac(0), src: d.mac(6), type });
  while (isVlanType(type)) {
    if (!d.has('vlan', TAG_SIZE)) return;
    const [tpid, tci] = [type, d.u16(0)];
    type = d.u16(2);
    d.add('vlan', TAG_SIZE, { tpid, vid: tci & 0xfff, dei: (tci >> 12) & 1, pcp: tci >> 13, type });
  }
  if (type >= ETH_TYPE_MIN) describeNetwork(d, type, depth);
  else describeLlc(d, type, depth);
}

/** `size` is what the length field says: what is behind it is padding. */
function describeLlc(d: Description, size: number, depth: number): void {
  d.end = Math.min(d.end, d.at + size);
  if (!d.has('llc', LLC_SIZE)) return;
  const fields = { dsap: d.u8(0), ssap: d.u8(1), control: d.u8(2) };
  if (fields.dsap !== 0xaa || fields.ssap !== 0xaa || d.rest < SNAP_SIZE) return d.add('llc', LLC_SIZE, fields);
  const type = d.u16(6);
  const oui = d.u32(2) & 0xffffff;
  d.add('llc', SNAP_SIZE, { ...fields, oui, type });
  if (oui === 0 && type >= ETH_TYPE_MIN) describeNetwork(d, type, depth);
}

function describeNetwork(d: Description, type: number, depth: number): void {
  if (type === ETH_P_IP) describeIpv4(d);
  else if (type === ETH_P_IPV6) describeIpv6(d);
  else if (type === ETH_P_ARP || type === ETH_P_RARP) describeArp(d);
  else if (isMplsType(type)) describeMpls(d);
  else if (type === ETH_P_NSH && depth < DEPTH_MAX) describeNsh(d, depth + 1);
}

function describeArp(d: Description): void {
  if (!d.has('arp', ARP_SIZE)) return;
  // Ethernet and IPv4; other kinds have other sizes and are left alone
  if (d.u32(0) !== 0x00010800 || d.u16(4) !== 0x0604) return;
  const fields = { op: d.u16(6), sha: d.mac(8), sip: d.ipv4(14), tha: d.mac(18), tip: d.ipv4(24) };
  d.add('arp', ARP_SIZE, fields);
}

/** Behind the last label nothing says what follows; an IP version there is taken for one, as is usual. */
function describeMpls(d: Description): void {
  for (let bos = 0; bos === 0; ) {
    if (!d.has('mpls', MPLS_SIZE)) return;
    const entry = d.u32(0);
    bos = (entry >>> 8) & 1;
    d.add('mpls', MPLS_SIZE, { label: entry >>> 12, tc: (entry >>> 9) & 7, bos, ttl: entry & 0xff });
  }
  const version = d.rest > 0 ? d.u8(0) >> 4 : 0;
  if (version === 4) describeIpv4(d);
  else if (version === 6) describeIpv6(d);
}

function describeNsh(d: Description, depth: number): void {
  if (!d.has('nsh', NSH_BASE_SIZE)) return;
  const base = d.u16(0);
  const size = Math.max((base & 0x3f) * 4, NSH_BASE_SIZE);
  if (!d.has('nsh', size)) return;
  const [mdtype, np] = [d.u8(2) & 0x0f, d.u8(3)];
  const fields: Record<string, number> = {
    ...{ version: base >> 14, flags: (base >> 12) & 3, ttl: (base >> 6) & 0x3f, mdtype, np },
    ...{ spi: d.u32(4) >>> 8, si: d.u8(7) },
  };
  if (mdtype === 1 && size === NSH_BASE_SIZE + 4 * MD1_WORDS)
    for (let i = 0; i < MD1_WORDS; i++) fields[`c${i + 1}`] = d.u32(NSH_BASE_SIZE + 4 * i);
  d.add('nsh', size, fields);
  if (np === NSH_ETHERNET && depth < DEPTH_MAX) describeEthernet(d, depth);
  else if (NSH_NEXT[np] !== undefined) describeNetwork(d, NSH_NEXT[np], depth);
}
