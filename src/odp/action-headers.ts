/*
 * Codecs of the actions that push a header: push_vlan, push_mpls, add_mpls, pop_mpls, push_eth, push_nsh.
 *
 * Joined with the other families in action-table.ts. Pure functions.
 */

import * as K from '../../assembly/netlink/openvswitch.ts';
import {
  bytesOf,
  type Codecs,
  hexString,
  integer,
  scanHexString,
  scanMac,
  u8,
  u16,
  u32,
  type WriteContext,
} from './action-codec.ts';
import type { PushEthAction, PushNshAction, PushVlanAction } from './action-types.ts';
import { formatMac, MAC_SIZE, parseMac } from './addresses.ts';
import { type Attribute, checkSize, walkAttributes } from './attributes.ts';
import {
  decodeMplsEntry,
  decodeTci,
  encodeMplsEntry,
  encodeTci,
  formatMpls,
  formatTci,
  MPLS_MASK_FULL,
  scanTci,
} from './bitfields.ts';
import { OdpFieldError } from './errors.ts';
import { ETH_P_8021Q, readBe16, readBe32 } from './layers.ts';
import type { TextScanner } from './scanner.ts';
import type { MplsEntry } from './types.ts';

// ---------------------------------------------------------------------------------------------------- VLAN

function writePushVlan(action: PushVlanAction, { writer }: WriteContext): void {
  const { vid, pcp, cfi } = action;
  if (vid === undefined || pcp === undefined) throw new OdpFieldError('pushVlan', 'vid and pcp are needed');
  writer.be16(u16(action.tpid ?? ETH_P_8021Q, 'pushVlan.tpid'));
  writer.be16(encodeTci({ vid, pcp, cfi }, 'pushVlan').value);
}

function formatPushVlan(action: PushVlanAction): string {
  const tpid = action.tpid ?? ETH_P_8021Q;
  const prefix = tpid === ETH_P_8021Q ? '' : `tpid=0x${tpid.toString(16).padStart(4, '0')},`;
  return `push_vlan(${prefix}${formatTci(encodeTci(action, 'pushVlan').value)})`;
}

function scanPushVlan(scanner: TextScanner): PushVlanAction {
  scanner.expect('(');
  let tpid = ETH_P_8021Q;
  if (scanner.take('tpid=')) {
    tpid = scanner.number(0xffff);
    scanner.expect(',');
  }
  const start = scanner.position;
  const word = scanTci(scanner);
  if (word.mask !== 0xffff) throw scanner.error('vid= and pcp= without masks', start);
  return { type: 'pushVlan', tpid, ...decodeTci(word.value) };
}

// ---------------------------------------------------------------------------------------------------- MPLS

function entryWord(action: MplsEntry, field: string): number {
  for (const name of ['label', 'tc', 'ttl', 'bos'] as const)
    if (typeof action[name] !== 'number') throw new OdpFieldError(`${field}.${name}`, 'missing');
  const { label, tc, ttl, bos } = action;
  return encodeMplsEntry({ label, tc, ttl, bos }, field).value;
}

function formatEntry(action: MplsEntry & { ethType: number }, field: string): string {
  const text = formatMpls([{ value: entryWord(action, field), mask: MPLS_MASK_FULL }]);
  return `${text},eth_type=0x${action.ethType.toString(16)}`;
}

const MPLS_PARTS = [
  ['label', 0xfffff],
  ['tc', 7],
  ['ttl', 0xff],
  ['bos', 1],
] as const;

function scanEntry(scanner: TextScanner): MplsEntry & { ethType: number } {
  scanner.expect('(');
  const entry: MplsEntry = { label: 0, tc: 0, ttl: 0, bos: 0 };
  for (const [name, max] of MPLS_PARTS) {
    scanner.expect(`${name}=`);
    entry[name] = scanner.number(max);
    scanner.expect(',');
  }
  scanner.expect('eth_type=');
  return { ...entry, ethType: scanner.number(0xffff) };
}

// ---------------------------------------------------------------------------------------------------- Ethernet

function scanPushEth(scanner: TextScanner): PushEthAction {
  scanner.expect('(src=');
  const src = scanMac(scanner);
  scanner.expect(',dst=');
  const dst = scanMac(scanner);
  scanner.expect(')');
  return { type: 'pushEth', src, dst };
}

// ---------------------------------------------------------------------------------------------------- NSH

const OVS_NSH_KEY_ATTR_MD2 = 3;
const NSH_MD2_SIZE_MAX = 244;
const NSH_M_TYPE2 = 2;
const NSH_P_ETHERNET = 3;
/** What the header has room for, and so what Open vSwitch prints, of the bytes of the attribute. */
const NSH_FLAGS_MASK = 0x03;
const NSH_TTL_MASK = 0x3f;
const NSH_UNKNOWN_METADATA = '<error: unknown mdtype>';

function writePushNsh(action: PushNshAction, { writer }: WriteContext): void {
  const base = writer.open(K.OVS_NSH_KEY_ATTR_BASE);
  const path = (integer(action.spi, 0xffffff, 'pushNsh.spi') << 8) | u8(action.si, 'pushNsh.si');
  writer.be16((u8(action.flags, 'pushNsh.flags') << 8) | u8(action.ttl, 'pushNsh.ttl'));
  writer.be16((u8(action.mdtype, 'pushNsh.mdtype') << 8) | u8(action.np, 'pushNsh.np'));
  writer.be32(path);
  writer.close(base, 'pushNsh');
  if (action.context !== undefined) {
    if (action.context.length !== 4) throw new OdpFieldError('pushNsh.context', 'four words are needed');
    const md1 = writer.open(K.OVS_NSH_KEY_ATTR_MD1);
    for (const word of action.context) writer.be32(u32(word, 'pushNsh.context'));
    writer.close(md1, 'pushNsh');
  }
  if (action.md2 === undefined) return;
  const md2 = bytesOf(action.md2, NSH_MD2_SIZE_MAX, 'pushNsh.md2');
  if (md2.length % 4 !== 0) throw new OdpFieldError('pushNsh.md2', `${md2.length} bytes, not a multiple of 4`);
  writer.put(OVS_NSH_KEY_ATTR_MD2, md2, 'pushNsh.md2');
}

function readPushNsh(attribute: Attribute): PushNshAction | undefined {
  const nests = [...walkAttributes(attribute.payload, 'OVS_KEY_ATTR', attribute.offset + 4)];
  if (nests.length !== 1 || nests[0].number !== K.OVS_KEY_ATTR_NSH) return undefined;
  const [base, metadata, ...rest] = walkAttributes(nests[0].payload, 'OVS_NSH_KEY_ATTR', nests[0].offset + 4);
  if (base?.number !== K.OVS_NSH_KEY_ATTR_BASE || rest.length > 0) return undefined;
  checkSize(base, 'NSH BASE', K.OVS_NSH_KEY_BASE_SIZEOF);
  const [flags, ttl, mdtype, np] = base.payload;
  const path = readBe32(base.payload, 4);
  const action: PushNshAction = { type: 'pushNsh', flags, ttl, mdtype, np, spi: path >>> 8, si: path & 0xff };
  if (metadata === undefined) return action;
  const { payload } = metadata;
  if (metadata.number === K.OVS_NSH_KEY_ATTR_MD1) {
    checkSize(metadata, 'NSH MD1', K.OVS_NSH_KEY_MD1_SIZEOF);
    const [c1, c2, c3, c4] = [0, 4, 8, 12].map((at) => readBe32(payload, at));
    return { ...action, context: [c1, c2, c3, c4] };
  }
  const typed =
    metadata.number === OVS_NSH_KEY_ATTR_MD2 && payload.length <= NSH_MD2_SIZE_MAX && payload.length % 4 === 0;
  return typed ? { ...action, md2: payload.slice() } : undefined;
}

function formatPushNsh(action: PushNshAction, exact: boolean): string {
  const { flags, ttl, mdtype, np, spi, si, context, md2 } = action;
  let text = `flags=${flags & NSH_FLAGS_MASK},ttl=${ttl & NSH_TTL_MASK},mdtype=${mdtype},np=${np},spi=0x${spi.toString(16)},si=${si}`;
  if (mdtype === K.NSH_M_TYPE1)
    text += (context ?? [0, 0, 0, 0]).map((word, index) => `,c${index + 1}=0x${word.toString(16)}`).join('');
  else if (mdtype === NSH_M_TYPE2) text += `,md2=${hexString(md2 ?? new Uint8Array(0), exact)}`;
  else text += `,${NSH_UNKNOWN_METADATA}`;
  return `push_nsh(${text})`;
}

const NSH_PARTS = [
  ['flags', 0xff],
  ['ttl', 0xff],
  ['mdtype', 0xff],
  ['np', 0xff],
  ['spi', 0xffffff],
  ['si', 0xff],
] as const;

function scanPushNsh(scanner: TextScanner): PushNshAction {
  const action: PushNshAction = {
    type: 'pushNsh',
    flags: 0,
    ttl: 63,
    mdtype: K.NSH_M_TYPE1,
    np: NSH_P_ETHERNET,
    spi: 0,
    si: 255,
  };
  const context: [number, number, number, number] = [0, 0, 0, 0];
  let contextGiven = false;
  scanner.expect('(');
  for (;;) {
    scanner.skipDelimiters();
    if (scanner.take(')')) break;
    const part = NSH_PARTS.find(([name]) => scanner.take(`${name}=`));
    const word = [0, 1, 2, 3].find((index) => part === undefined && scanner.take(`c${index + 1}=`));
    if (part !== undefined) action[part[0]] = scanner.number(part[1]);
    else if (word !== undefined) {
      context[word] = scanner.number(0xffffffff);
      contextGiven = true;
    } else if (scanner.take('md2=')) action.md2 = scanMetadata(scanner);
    else if (!scanner.take(NSH_UNKNOWN_METADATA))
      throw scanner.error('flags=, ttl=, mdtype=, np=, spi=, si=, c1= to c4= or md2=');
    if (!scanner.skipDelimiters() && !scanner.peek(')')) throw scanner.error("',' or ')'");
  }
  return contextGiven || action.mdtype === K.NSH_M_TYPE1 ? { ...action, context } : action;
}

/** Type-length-values padded to words; `0` is none, as Open vSwitch writes it. */
function scanMetadata(scanner: TextScanner): Uint8Array {
  const start = scanner.position;
  const bytes = scanHexString(scanner);
  const size = (bytes.length + 3) & ~3;
  if (size > NSH_MD2_SIZE_MAX) throw scanner.error(`at most ${NSH_MD2_SIZE_MAX} bytes`, start);
  const padded = new Uint8Array(size);
  padded.set(bytes);
  return padded;
}

export const HEADERS: Codecs<'pushVlan' | 'pushMpls' | 'popMpls' | 'addMpls' | 'pushEth' | 'pushNsh'> = {
  pushVlan: {
    words: ['push_vlan'],
    write: writePushVlan,
    read: (attribute) => {
      checkSize(attribute, 'PUSH_VLAN', 4);
      const { payload } = attribute;
      return { type: 'pushVlan', tpid: readBe16(payload, 0), ...decodeTci(readBe16(payload, 2)) };
    },
    format: formatPushVlan,
    scan: ({ scanner }) => scanPushVlan(scanner),
  },
  pushMpls: {
    words: ['push_mpls'],
    write: (action, { writer }) => {
      writer.be32(entryWord(action, 'pushMpls'));
      writer.be16(u16(action.ethType, 'pushMpls.ethType'));
      writer.u16(0);
    },
    read: (attribute) => {
      checkSize(attribute, 'PUSH_MPLS', 8);
      const { payload } = attribute;
      if (readBe16(payload, 6) !== 0) return undefined;
      return { type: 'pushMpls', ...decodeMplsEntry(readBe32(payload, 0)), ethType: readBe16(payload, 4) };
    },
    format: (action) => `push_mpls(${formatEntry(action, 'pushMpls')})`,
    scan: ({ scanner }) => {
      const entry = scanEntry(scanner);
      scanner.expect(')');
      return { type: 'pushMpls', ...entry };
    },
  },
  popMpls: {
    words: ['pop_mpls'],
    write: (action, { writer }) => writer.be16(u16(action.ethType, 'popMpls.ethType')),
    read: (attribute) => {
      checkSize(attribute, 'POP_MPLS', 2);
      return { type: 'popMpls', ethType: readBe16(attribute.payload, 0) };
    },
    format: (action) => `pop_mpls(eth_type=0x${action.ethType.toString(16)})`,
    scan: ({ scanner }) => {
      scanner.expect('(eth_type=');
      const ethType = scanner.number(0xffff);
      scanner.expect(')');
      return { type: 'popMpls', ethType };
    },
  },
  addMpls: {
    words: ['add_mpls'],
    write: (action, { writer }) => {
      writer.be32(entryWord(action, 'addMpls'));
      writer.be16(u16(action.ethType, 'addMpls.ethType'));
      writer.u16(u16(action.flags ?? 0, 'addMpls.flags'));
    },
    read: (attribute) => {
      checkSize(attribute, 'ADD_MPLS', 8);
      const { payload } = attribute;
      const entry = decodeMplsEntry(readBe32(payload, 0));
      return { type: 'addMpls', ...entry, ethType: readBe16(payload, 4), flags: payload[6] | (payload[7] << 8) };
    },
    format: (action) => `add_mpls(${formatEntry(action, 'addMpls')})`,
    scan: ({ scanner }) => {
      const entry = scanEntry(scanner);
      scanner.expect(')');
      return { type: 'addMpls', ...entry, flags: 0 };
    },
  },
  pushEth: {
    words: ['push_eth'],
    write: (action, { writer }) => {
      writer.raw(parseMac(action.src));
      writer.raw(parseMac(action.dst));
    },
    read: (attribute) => {
      checkSize(attribute, 'PUSH_ETH', 2 * MAC_SIZE);
      const { payload } = attribute;
      return { type: 'pushEth', src: formatMac(payload), dst: formatMac(payload, MAC_SIZE) };
    },
    format: (action) => `push_eth(src=${action.src},dst=${action.dst})`,
    scan: ({ scanner }) => scanPushEth(scanner),
  },
  pushNsh: {
    words: ['push_nsh'],
    write: (action, context) => {
      const nest = context.writer.open(K.OVS_KEY_ATTR_NSH);
      writePushNsh(action, context);
      context.writer.close(nest, 'pushNsh');
    },
    read: readPushNsh,
    format: (action, { exact }) => formatPushNsh(action, exact),
    scan: ({ scanner }) => scanPushNsh(scanner),
  },
};
