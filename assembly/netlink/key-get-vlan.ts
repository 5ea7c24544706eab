/*
 * Up to two VLAN tags: ETHERTYPE (the TPID), VLAN (the TCI), and ENCAP with everything behind the tag.
 *
 * Before it: key-get.ts, with the attributes of the outermost list in the table. After it: the readers of the headers, which
 * find the attributes of all lists in one table. Writes the tags of the key or the mask; any thread.
 *
 * In a key, a tag has VLAN_CFI_MASK set in its TCI; a TCI of zero with an empty ENCAP is a tag that the end of the frame cut
 * off. A mask may look behind a tag only if the key has it, and must then match its TPID and that bit.
 */
import { KEY_CVLAN_TCI, KEY_CVLAN_TPID, KEY_VLAN_TCI, KEY_VLAN_TPID } from '../constants';
import { isVlanType } from '../packet/ethernet';
import { attrPayloadSize, NLA_HDRLEN } from './attribute';
import { bit, FORM_KEY, ones, payloadOf, refuse, refuseWithout, SEEN_BAD, sortAttrs } from './key-get-attrs';
import { OVS_KEY_ATTR_ENCAP, OVS_KEY_ATTR_ETHERNET, OVS_KEY_ATTR_ETHERTYPE, OVS_KEY_ATTR_VLAN } from './openvswitch';

/** VLAN_CFI_MASK in wire order. */
export const VLAN_CFI_WIRE: u32 = 0x0010;
const TPID_EXACT: u32 = 0xffff;

/** Opens what `seen` and the table hold. `to` is the key or the mask to write, `key` the key. Returns as sortAttrs does. */
@inline
export function openTags(match: usize, seen: u64, form: u32, to: usize, key: usize): u64 {
  seen = openTag(match, seen, form, to, KEY_VLAN_TPID, KEY_VLAN_TCI, key);
  if (seen == SEEN_BAD || !(load<u16>(key, KEY_VLAN_TCI) & VLAN_CFI_WIRE)) return seen;
  return openTag(match, seen, form, to, KEY_CVLAN_TPID, KEY_CVLAN_TCI, key);
}

@inline
function openTag(match: usize, seen: u64, form: u32, to: usize, tpidAt: u32, tciAt: u32, key: usize): u64 {
  if (form == FORM_KEY) {
    const typed = bit(OVS_KEY_ATTR_ETHERNET) | bit(OVS_KEY_ATTR_ETHERTYPE);
    if ((seen & typed) != typed || !isVlanType(wordOf(match, OVS_KEY_ATTR_ETHERTYPE, form))) return seen;
    if (!checkTag(match, seen)) return SEEN_BAD;
  } else {
    if (!(seen & bit(OVS_KEY_ATTR_ENCAP))) return seen;
    if (!checkTagMask(match, form, key + tciAt)) return SEEN_BAD;
  }
  store<u16>(to + tpidAt, <u16>wordOf(match, OVS_KEY_ATTR_ETHERTYPE, form));
  store<u16>(to + tciAt, <u16>wordOf(match, OVS_KEY_ATTR_VLAN, form));
  const encap = payloadOf(match, OVS_KEY_ATTR_ENCAP);
  const around = seen & ~(bit(OVS_KEY_ATTR_ENCAP) | bit(OVS_KEY_ATTR_VLAN) | bit(OVS_KEY_ATTR_ETHERTYPE));
  return sortAttrs(match, encap, attrPayloadSize(encap - NLA_HDRLEN), around, form);
}

@inline
function wordOf(match: usize, type: u32, form: u32): u32 {
  return <u32>load<u16>(payloadOf(match, type)) | (<u32>ones(form) & 0xffff);
}

function checkTag(match: usize, seen: u64): bool {
  if (!(seen & bit(OVS_KEY_ATTR_VLAN))) return refuseWithout(match, OVS_KEY_ATTR_VLAN) == 0;
  if (!(seen & bit(OVS_KEY_ATTR_ENCAP))) return refuseWithout(match, OVS_KEY_ATTR_ENCAP) == 0;
  const tci = wordOf(match, OVS_KEY_ATTR_VLAN, FORM_KEY);
  if (tci & VLAN_CFI_WIRE) return true;
  if (tci != 0) return refuse(match, payloadOf(match, OVS_KEY_ATTR_VLAN) - NLA_HDRLEN) == 0;
  const encap = payloadOf(match, OVS_KEY_ATTR_ENCAP) - NLA_HDRLEN;
  return attrPayloadSize(encap) == 0 || refuse(match, encap) == 0;
}

/** A key with the tag has its VLAN and ETHERTYPE in the table, whatever the mask has. */
function checkTagMask(match: usize, form: u32, keyTci: usize): bool {
  const tagged = load<u16>(keyTci) & VLAN_CFI_WIRE;
  if (tagged && wordOf(match, OVS_KEY_ATTR_ETHERTYPE, form) == TPID_EXACT) {
    if (wordOf(match, OVS_KEY_ATTR_VLAN, form) & VLAN_CFI_WIRE) return true;
  }
  return refuse(match, payloadOf(match, OVS_KEY_ATTR_ENCAP) - NLA_HDRLEN) == 0;
}
