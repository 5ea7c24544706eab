/*
 * OVS_KEY_ATTR_NSH and the payload of PUSH_NSH: checked, then read into a key or a mask.
 *
 * Before it: key-get.ts, or actions/validate.ts for the check alone. After it: nothing. Reads the list inside its bounds,
 * writes the NSH fields; keeps nothing; any thread.
 *
 * Metadata of type 2 can be pushed and not matched. As in the kernel the last attribute of a type counts, and a key may lack
 * the base header.
 */
import { KEY_NSH_CONTEXT, KEY_NSH_FLAGS } from '../constants';
import { NSH_MD_TYPE1, NSH_MD_TYPE2 } from '../packet/nsh';
import { attrNext, attrOk, attrPayload, attrPayloadSize, attrRest, attrType, NLA_HDRLEN } from './attribute';
import { FORM_MASK, ones, ones128 } from './key-get-attrs';
import {
  OVS_NSH_KEY_ATTR_BASE,
  OVS_NSH_KEY_ATTR_MD1,
  OVS_NSH_KEY_ATTR_MD2,
  OVS_NSH_KEY_BASE_SIZEOF,
  OVS_NSH_KEY_MD1_SIZEOF,
} from './openvswitch';

/** A form of a list besides those of key-get-attrs.ts: what PUSH_NSH carries. */
export const FORM_PUSH: u32 = 3;

/** Bytes of context headers that fit behind the base header (NSH_CTX_HDRS_MAX_LEN). */
const NSH_CONTEXT_SIZE_MAX: u32 = 248;
/** Offset in ovs_nsh_key_base. */
const BASE_MDTYPE: usize = 2;

/** 0, or the address of the attribute at fault (the one around them for what concerns all of them). */
export function checkNsh(attrs: usize, size: u32, form: u32): usize {
  const end = attrs + size;
  let types: u32 = 0;
  let mdType: u32 = 0;
  let a = attrs;
  for (; attrOk(a, end); a = attrNext(a)) {
    const type = attrType(a);
    const payloadSize = attrPayloadSize(a);
    if (type == OVS_NSH_KEY_ATTR_BASE) {
      if (payloadSize != OVS_NSH_KEY_BASE_SIZEOF) return a;
      mdType = load<u8>(attrPayload(a), BASE_MDTYPE);
    } else if (type == OVS_NSH_KEY_ATTR_MD1) {
      if (payloadSize != OVS_NSH_KEY_MD1_SIZEOF) return a;
    } else if (type == OVS_NSH_KEY_ATTR_MD2) {
      if (form != FORM_PUSH || payloadSize == 0 || payloadSize > NSH_CONTEXT_SIZE_MAX) return a;
    } else return a;
    types |= 1 << type;
  }
  if (attrRest(a, end) != 0) return a;
  return checkMetadata(types, mdType, form) ? 0 : attrs - NLA_HDRLEN;
}

function checkMetadata(types: u32, mdType: u32, form: u32): bool {
  const md1 = !!(types & (1 << OVS_NSH_KEY_ATTR_MD1));
  const md2 = !!(types & (1 << OVS_NSH_KEY_ATTR_MD2));
  if (form == FORM_MASK) return true;
  if (md1 && md2) return false;
  if ((md1 && mdType != NSH_MD_TYPE1) || (md2 && mdType != NSH_MD_TYPE2)) return false;
  return form != FORM_PUSH || (!!(types & (1 << OVS_NSH_KEY_ATTR_BASE)) && (md1 || md2));
}

/** Reads what checkNsh passed into the key or the mask `to`. */
export function readNsh(attrs: usize, size: u32, form: u32, to: usize): void {
  const end = attrs + size;
  for (let a = attrs; attrOk(a, end); a = attrNext(a)) {
    const payload = attrPayload(a);
    if (attrType(a) == OVS_NSH_KEY_ATTR_BASE) store<u64>(to, load<u64>(payload) | ones(form), KEY_NSH_FLAGS);
    else v128.store(to, v128.or(v128.load(payload), ones128(form)), KEY_NSH_CONTEXT);
  }
}
