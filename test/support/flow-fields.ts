/*
 * Flow keys as flat maps of field name to text, so that two ways of saying the same can be compared field by field: the
 * datapath's key bytes (keyFields) and a line of `ovs-ofctl parse-pcap` (ofctlFields).
 *
 * Numbers are decimal, addresses hexadecimal; a field that is zero is left out. Names are the kernel's where both
 * have the field: nw_tos is the whole byte, tp_src and tp_dst are also ICMP type and code, arp_op is nw_proto, nd_sll
 * is arp_sha.
 */
import * as K from '../../assembly/constants.ts';

export type Fields = Map<string, string>;

/** Field name, place in the key, size; big-endian numbers. */
const NUMBERS: readonly [string, number, 1 | 2 | 4][] = [
  ['dl_type', K.KEY_ETH_TYPE, 2],
  ['vlan_tci', K.KEY_VLAN_TCI, 2],
  ['vlan_tci1', K.KEY_CVLAN_TCI, 2],
  ['nw_proto', K.KEY_IP_PROTO, 1],
  ['nw_tos', K.KEY_IP_TOS, 1],
  ['nw_ttl', K.KEY_IP_TTL, 1],
  ['nw_frag', K.KEY_IP_FRAG, 1],
  ['tp_src', K.KEY_TP_SRC, 2],
  ['tp_dst', K.KEY_TP_DST, 2],
  ['tcp_flags', K.KEY_TCP_FLAGS, 2],
  ['ipv6_label', K.KEY_IPV6_LABEL, 4],
  ['mpls_lse0', K.KEY_MPLS_LSE0, 4],
  ['mpls_lse1', K.KEY_MPLS_LSE1, 4],
  ['mpls_lse2', K.KEY_MPLS_LSE2, 4],
  ['nsh_flags', K.KEY_NSH_FLAGS, 1],
  ['nsh_ttl', K.KEY_NSH_TTL, 1],
  ['nsh_mdtype', K.KEY_NSH_MDTYPE, 1],
  ['nsh_np', K.KEY_NSH_NP, 1],
  ['nsh_path_hdr', K.KEY_NSH_PATH_HDR, 4],
  ['nsh_c1', K.KEY_NSH_CONTEXT, 4],
  ['nsh_c2', K.KEY_NSH_CONTEXT + 4, 4],
  ['nsh_c3', K.KEY_NSH_CONTEXT + 8, 4],
  ['nsh_c4', K.KEY_NSH_CONTEXT + 12, 4],
];

const ADDRESSES: readonly [string, number, number][] = [
  ['dl_src', K.KEY_ETH_SRC, 6],
  ['dl_dst', K.KEY_ETH_DST, 6],
  ['nw_src', K.KEY_IPV4_SRC, 4],
  ['nw_dst', K.KEY_IPV4_DST, 4],
  ['ipv6_src', K.KEY_IPV6_SRC, 16],
  ['ipv6_dst', K.KEY_IPV6_DST, 16],
  ['arp_sha', K.KEY_ARP_SHA, 6],
  ['arp_tha', K.KEY_ARP_THA, 6],
  ['nd_target', K.KEY_ND_TARGET, 16],
];

/** The fields of a key that `ovs-ofctl parse-pcap` prints too. */
export function keyFields(key: Uint8Array): Fields {
  const view = new DataView(key.buffer, key.byteOffset, key.byteLength);
  const fields: Fields = new Map();
  for (const [name, at, size] of NUMBERS) {
    const value = size === 1 ? view.getUint8(at) : size === 2 ? view.getUint16(at) : view.getUint32(at);
    put(fields, name, value);
  }
  for (const [name, at, size] of ADDRESSES)
    putHex(fields, name, Buffer.from(key.subarray(at, at + size)).toString('hex'));
  return fields;
}

function put(fields: Fields, name: string, value: number): void {
  if (value !== 0) fields.set(name, String(value));
}

function putHex(fields: Fields, name: string, value: string): void {
  if (/[^0]/.test(value)) fields.set(name, value);
}

/** Words at the beginning of a line and the type and protocol they stand for. */
const PROTOCOLS = new Map<string, [number, number?]>([
  ['ip', [0x0800]],
  ['icmp', [0x0800, 1]],
  ['tcp', [0x0800, 6]],
  ['udp', [0x0800, 17]],
  ['sctp', [0x0800, 132]],
  ['arp', [0x0806]],
  ['rarp', [0x8035]],
  ['ipv6', [0x86dd]],
  ['tcp6', [0x86dd, 6]],
  ['udp6', [0x86dd, 17]],
  ['sctp6', [0x86dd, 132]],
  ['icmp6', [0x86dd, 58]],
  ['mpls', [0x8847]],
  ['mplsm', [0x8848]],
]);

const TCP_FLAGS = ['fin', 'syn', 'rst', 'psh', 'ack', 'urg', 'ece', 'cwr', 'ns'];
const FRAGMENTS = new Map([
  ['no', 0],
  ['first', 1],
  ['later', 2],
]);

/** Other names of the same field. */
const RENAMED = new Map([
  ['icmp_type', 'tp_src'],
  ['icmp_code', 'tp_dst'],
  ['arp_op', 'nw_proto'],
  ['arp_spa', 'nw_src'],
  ['arp_tpa', 'nw_dst'],
  ['nd_sll', 'arp_sha'],
  ['nd_tll', 'arp_tha'],
]);

/** The fields of one line of `ovs-ofctl parse-pcap`. Throws on a word it does not know. */
export function ofctlFields(line: string): Fields {
  const raw = new Map<string, string>();
  const fields: Fields = new Map();
  for (const item of line.trim().split(',')) {
    const equals = item.indexOf('=');
    if (equals >= 0) {
      raw.set(item.slice(0, equals), item.slice(equals + 1));
      continue;
    }
    const known = PROTOCOLS.get(item);
    if (known === undefined) throw new Error(`unknown word ${item} in ${line}`);
    put(fields, 'dl_type', known[0]);
    put(fields, 'nw_proto', known[1] ?? 0);
  }
  raw.delete('in_port');
  takeComposed(raw, fields);
  for (const [name, text] of raw) putText(fields, RENAMED.get(name) ?? name, text);
  return fields;
}

/** Fields that are printed in parts. */
function takeComposed(raw: Map<string, string>, fields: Fields): void {
  const take = (name: string): number => {
    const text = raw.get(name);
    raw.delete(name);
    return Number(text ?? 0);
  };
  for (const index of ['', '1']) {
    if (!raw.has(`dl_vlan${index}`)) continue;
    put(fields, `vlan_tci${index}`, (take(`dl_vlan_pcp${index}`) << 13) | 0x1000 | take(`dl_vlan${index}`));
  }
  put(fields, 'nw_tos', take('nw_tos') | take('nw_ecn'));
  const label = take('mpls_label') * 4096 + take('mpls_tc') * 512;
  put(fields, 'mpls_lse0', label + take('mpls_bos') * 256 + take('mpls_ttl'));
  put(fields, 'nsh_path_hdr', take('nsh_spi') * 256 + take('nsh_si'));
}

function putText(fields: Fields, name: string, text: string): void {
  if (name === 'nw_frag') put(fields, name, FRAGMENTS.get(text) ?? Number.NaN);
  else if (name === 'tcp_flags') put(fields, name, tcpFlags(text));
  else if (/_(src|dst|sha|tha|target)$/.test(name) && /[:.]/.test(text)) putHex(fields, name, addressHex(text));
  else put(fields, name, Number(text));
}

/** `syn|ack`, `[200]` for a bit without a name, or a number. */
function tcpFlags(text: string): number {
  return text.split('|').reduce((sum, word) => {
    const index = TCP_FLAGS.indexOf(word);
    if (index >= 0) return sum | (1 << index);
    return sum | (word.startsWith('[') ? Number.parseInt(word.slice(1), 16) : Number(word));
  }, 0);
}

function addressHex(text: string): string {
  if (/^[0-9.]+$/.test(text)) return Buffer.from(text.split('.').map(Number)).toString('hex');
  if (/^([0-9a-f]{2}:){5}[0-9a-f]{2}$/.test(text)) return text.replaceAll(':', '');
  const tail = /:(\d+\.\d+\.\d+\.\d+)$/.exec(text);
  const plain = tail ? text.replace(tail[1], `${addressHex(tail[1]).replace(/(....)(....)/, '$1:$2')}`) : text;
  const [left, right] = plain.split('::').map((half) => (half === '' ? [] : half.split(':')));
  const middle = right === undefined ? [] : new Array<string>(8 - left.length - right.length).fill('0');
  return [...left, ...middle, ...(right ?? [])].map((group) => group.padStart(4, '0')).join('');
}
