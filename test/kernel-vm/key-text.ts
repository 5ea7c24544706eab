/*
 * Key attributes as text, for the messages of a failed comparison: NAME(payload in hexadecimal), nested ones in braces.
 *
 * For tests only; reads whatever it is given and says where it is not a list of attributes.
 */
import * as ovs from '../../assembly/netlink/openvswitch.ts';

const PREFIX = 'OVS_KEY_ATTR_';
const NAMES = new Map<number, string>(
  Object.entries(ovs)
    .filter(([name]) => name.startsWith(PREFIX))
    .map(([name, type]) => [type, name.slice(PREFIX.length).toLowerCase()]),
);

export function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex');
}

/** One line, attributes in their order. */
export function keyText(attributes: Uint8Array): string {
  const view = new DataView(attributes.buffer, attributes.byteOffset, attributes.byteLength);
  const parts: string[] = [];
  let at = 0;
  while (at + 4 <= attributes.length) {
    const size = view.getUint16(at, true);
    const type = view.getUint16(at + 2, true) & 0x3fff;
    if (size < 4 || at + size > attributes.length) break;
    const payload = attributes.subarray(at + 4, at + size);
    const name = NAMES.get(type) ?? `type ${type}`;
    parts.push(type === ovs.OVS_KEY_ATTR_ENCAP ? `${name}{${keyText(payload)}}` : `${name}(${hex(payload)})`);
    at += (size + 3) & ~3;
  }
  if (at < attributes.length) parts.push(`not an attribute: ${hex(attributes.subarray(at))}`);
  return parts.join(' ');
}

/** The NSH attribute of a key for a frame whose NSH header could not be read: no metadata type at all. */
export function hasRefusedNsh(attributes: Uint8Array): boolean {
  return /\bnsh\(0c000100(00){8}\)/.test(keyText(attributes));
}
