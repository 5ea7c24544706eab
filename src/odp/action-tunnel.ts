/*
 * The tnl_push action of userspace datapaths: ports and a whole outer header (tunnel-header.ts).
 *
 * A header that has no typed form, or bytes behind it, is written `data(hex bytes)`. Joined with the other families in
 * action-table.ts. Pure functions.
 */

import {
  bytesOf,
  type Codecs,
  type FormatContext,
  type ScanContext,
  scanHexBytes,
  scanHexString,
  scanIpv4,
  scanIpv6,
  scanMac,
  scanPort,
  u32,
} from './action-codec.ts';
import type { TunnelPushAction } from './action-types.ts';
import { type Attribute, readU32 } from './attributes.ts';
import { OdpAttributeError, OdpFieldError } from './errors.ts';
import { hexBytes } from './hex.ts';
import { ETH_P_IP } from './layers.ts';
import type { TextScanner } from './scanner.ts';
import {
  decodeTunnelHeader,
  encodeTunnelHeader,
  formatTunnelHeader,
  type OuterTunnel,
  TUNNEL_HEADER_SIZE_MAX,
  TUNNEL_TYPES,
  type TunnelHeader,
} from './tunnel-header.ts';
import type { GeneveOption } from './types.ts';

/** tnl_port, out_port, header_len, tnl_type, before the header itself. */
const PREFIX_SIZE = 16;
const U32_MAX = 0xffffffff;

function read(attribute: Attribute): TunnelPushAction | undefined {
  const { payload, offset } = attribute;
  if (payload.length < PREFIX_SIZE)
    throw new OdpAttributeError('TUNNEL_PUSH', offset, `payload of ${payload.length} bytes, ${PREFIX_SIZE} at least`);
  const header = payload.slice(PREFIX_SIZE);
  if (readU32(payload, 8) !== header.length || header.length > TUNNEL_HEADER_SIZE_MAX) return undefined;
  return {
    type: 'tunnelPush',
    tunnelPort: readU32(payload),
    outPort: readU32(payload, 4),
    tunnelType: readU32(payload, 12),
    header,
  };
}

// ---------------------------------------------------------------------------------------------------- text

function format(action: TunnelPushAction, context: FormatContext): string {
  const { tunnelType, header } = action;
  const start = `tnl_push(tnl_port(${context.port(action.tunnelPort)}),header(size=${header.length},type=${tunnelType}`;
  const typed = decodeTunnelHeader(tunnelType, header);
  const whole = typed !== undefined && encodeTunnelHeader(typed).length === header.length;
  const text = whole ? formatTunnelHeader(typed) : `data(${hexBytes(header)})`;
  return `${start},${text}),out_port(${context.port(action.outPort)}))`;
}

function scan(context: ScanContext): TunnelPushAction {
  const { scanner } = context;
  scanner.expect('(tnl_port(');
  const tunnelPort = scanPort(context);
  scanner.expect('),header(size=');
  const start = scanner.position;
  const size = scanner.number(TUNNEL_HEADER_SIZE_MAX);
  scanner.expect(',type=');
  const tunnelType = scanner.number(U32_MAX);
  scanner.expect(',');
  const header = scanner.take('data(') ? scanHexBytes(scanner) : scanTyped(scanner, tunnelType);
  if (header.length !== size) throw scanner.error(`size=${header.length}, the size of the headers`, start);
  scanner.expect('),out_port(');
  const outPort = scanPort(context);
  scanner.expect('))');
  return { type: 'tunnelPush', tunnelPort, outPort, tunnelType, header };
}

function scanTyped(scanner: TextScanner, tunnelType: number): Uint8Array {
  const start = scanner.position;
  const field = fieldScanner(scanner);
  scanner.expect('eth(dst=');
  const dst = scanMac(scanner);
  scanner.expect(',src=');
  const src = scanMac(scanner);
  const eth = { dst, src, dlType: field(',dl_type=', 0xffff) };
  scanner.expect('),');
  const network = eth.dlType === ETH_P_IP ? { ipv4: scanOuterIpv4(scanner) } : { ipv6: scanOuterIpv6(scanner) };
  scanner.expect('),');
  const header: Omit<TunnelHeader, 'tunnel'> = { eth, ...network };
  if (scanner.take('udp(')) {
    header.udp = { src: field('src=', 0xffff), dst: field(',dst=', 0xffff), csum: field(',csum=', 0xffff) };
    scanner.expect('),');
  }
  const tunnel = scanTunnel(scanner);
  const types: (number | undefined)[] = [
    TUNNEL_TYPES[tunnel.type],
    TUNNEL_TYPES[`ip6${tunnel.type}` as keyof typeof TUNNEL_TYPES],
  ];
  if (!types.includes(tunnelType)) throw scanner.error(`headers of tunnel type ${tunnelType}`, start);
  try {
    return encodeTunnelHeader({ ...header, tunnel });
  } catch (error) {
    if (error instanceof OdpFieldError) throw scanner.error(`headers that fit (${error.message})`, start);
    throw error;
  }
}

/** Reads `name` and a number. */
function fieldScanner(scanner: TextScanner): (name: string, max: number) => number {
  return (name, max) => {
    scanner.expect(name);
    return scanner.number(max);
  };
}

function scanOuterIpv4(scanner: TextScanner): TunnelHeader['ipv4'] {
  const field = fieldScanner(scanner);
  scanner.expect('ipv4(src=');
  const src = scanIpv4(scanner);
  scanner.expect(',dst=');
  const dst = scanIpv4(scanner);
  const proto = field(',proto=', 0xff);
  return { src, dst, proto, tos: field(',tos=', 0xff), ttl: field(',ttl=', 0xff), frag: field(',frag=', 0xffff) };
}

function scanOuterIpv6(scanner: TextScanner): TunnelHeader['ipv6'] {
  const field = fieldScanner(scanner);
  scanner.expect('ipv6(src=');
  const src = scanIpv6(scanner);
  scanner.expect(',dst=');
  const dst = scanIpv6(scanner);
  const label = field(',label=', 0xfffff);
  const proto = field(',proto=', 0xff);
  return { src, dst, label, proto, tclass: field(',tclass=', 0xff), hlimit: field(',hlimit=', 0xff) };
}

/** The innermost header, up to and with its closing parenthesis. */
function scanTunnel(scanner: TextScanner): OuterTunnel {
  const field = fieldScanner(scanner);
  let tunnel: OuterTunnel;
  if (scanner.take('vxlan('))
    tunnel = { type: 'vxlan', flags: field('flags=', U32_MAX), vni: field(',vni=', 0xffffff) };
  else if (scanner.take('geneve(')) tunnel = scanGeneve(scanner);
  else if (scanner.take('gre(')) tunnel = scanGre(scanner);
  else if (scanner.take('erspan(ver=1')) {
    tunnel = { type: 'erspan', ver: 1, sid: field(',sid=', 0x3ff), idx: field(',idx=', U32_MAX) };
  } else if (scanner.take('erspan(ver=2')) {
    tunnel = {
      type: 'erspan',
      ver: 2,
      sid: field(',sid=', 0x3ff),
      dir: field(',dir=', 1),
      hwid: field(',hwid=', 0x3f),
    };
  } else if (scanner.take('gtpu(')) {
    const flags = field('flags=', 0xff);
    tunnel = { type: 'gtpu', flags, msgtype: field(',msgtype=', 0xff), teid: field(',teid=', U32_MAX) };
  } else if (scanner.take('srv6(')) tunnel = scanSegments(scanner);
  else throw scanner.error('udp(, vxlan(, geneve(, gre(, erspan(ver=, gtpu( or srv6(');
  scanner.expect(')');
  return tunnel;
}

function scanGeneve(scanner: TextScanner): OuterTunnel {
  const field = fieldScanner(scanner);
  const oam = scanner.take('oam,');
  const crit = scanner.take('crit,');
  const vni = field('vni=', 0xffffff);
  const options: GeneveOption[] = [];
  if (scanner.take(',options(')) {
    while (scanner.take('{')) {
      const option = { class: field('class=', 0xffff), type: field(',type=', 0xff) };
      const data = new Uint8Array(field(',len=', 124));
      if (scanner.take(',')) {
        const start = scanner.position;
        const digits = scanHexString(scanner);
        if (digits.length > data.length) throw scanner.error(`at most ${data.length} bytes`, start);
        data.set(digits, data.length - digits.length);
      }
      options.push({ ...option, data: hexBytes(data) });
      scanner.expect('}');
    }
    scanner.expect(')');
  }
  return { type: 'geneve', oam, crit, vni, options };
}

function scanGre(scanner: TextScanner): OuterTunnel {
  const field = fieldScanner(scanner);
  const tunnel: OuterTunnel & { type: 'gre' } = {
    type: 'gre',
    flags: field('(flags=', 0xffff),
    proto: field(',proto=', 0xffff),
  };
  scanner.expect(')');
  if (scanner.peek(',csum=')) tunnel.csum = field(',csum=', 0xffff);
  if (scanner.peek(',key=')) tunnel.key = field(',key=', U32_MAX);
  if (scanner.peek(',seq=')) tunnel.seq = field(',seq=', U32_MAX);
  return tunnel;
}

function scanSegments(scanner: TextScanner): OuterTunnel {
  const segmentsLeft = fieldScanner(scanner)('segments_left=', 0xff);
  scanner.expect(',segs(');
  const segs: string[] = [];
  do segs.push(scanIpv6(scanner));
  while (scanner.take(','));
  scanner.expect(')');
  return { type: 'srv6', segmentsLeft, segs };
}

export const TUNNEL_PUSH: Codecs<'tunnelPush'> = {
  tunnelPush: {
    words: ['tnl_push'],
    write: (action, { writer }) => {
      const header = bytesOf(action.header, TUNNEL_HEADER_SIZE_MAX, 'tunnelPush.header');
      writer.u32(u32(action.tunnelPort, 'tunnelPush.tunnelPort'));
      writer.u32(u32(action.outPort, 'tunnelPush.outPort'));
      writer.u32(header.length);
      writer.u32(u32(action.tunnelType, 'tunnelPush.tunnelType'));
      writer.raw(header);
    },
    read,
    format,
    scan,
  },
};
