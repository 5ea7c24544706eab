/*
 * A sample: a message of the psample family, the kernel's or our datapath's, taken apart. Before it: samples.ts, or a Netlink socket in the
 * family's group `packets`. After it: whoever keeps statistics of traffic (sFlow, IPFIX).
 *
 * Attributes that are not named here are passed over. Bytes (`data`, `cookie`, `message`) are views into the message.
 */
import { KEY_SIZE } from '../../assembly/constants.ts';
import { AttributeCursor } from '../netlink/attributes.ts';
import { decodeTunnel } from '../odp/tunnel.ts';
import { decodeTunnelKey } from '../odp/tunnel-typed.ts';
import type { TunnelKey } from '../odp/types.ts';

export interface Sample {
  /** What the action, or the rule of `tc`, names. */
  group: number;
  /** Messages of the group before this one; a datapath does not count them and always says 0. */
  sequence: number;
  /** Of how many packets this is one: 1 when all are sampled. */
  rate: number;
  /** Bytes of the packet, without its outermost VLAN tag. */
  packetSize: number;
  /** Ethernet type behind at most one tag. */
  protocol: number | undefined;
  /** When the sample was taken, ns of CLOCK_REALTIME. */
  timeNs: number | undefined;
  /** Device that the packet came in by and the one it leaves by, where known. */
  inIfindex: number | undefined;
  outIfindex: number | undefined;
  /** The packet's first bytes, or all of it, without the outermost VLAN tag. */
  data: Uint8Array;
  cookie: Uint8Array | undefined;
  /** Tunnel that the packet came in by, or is to leave by. */
  tunnel: TunnelKey | undefined;
  /** The whole message, nlmsghdr first. */
  message: Uint8Array;
}

/** linux/psample.h */
const ATTR = {
  ...{ IIFINDEX: 0, OIFINDEX: 1, ORIGSIZE: 2, SAMPLE_GROUP: 3, GROUP_SEQ: 4, SAMPLE_RATE: 5, DATA: 6, TUNNEL: 8 },
  ...{ TIMESTAMP: 13, PROTO: 14, USER_COOKIE: 15, SAMPLE_PROBABILITY: 16 },
} as const;
const HEADERS_SIZE = 20;
/** With SAMPLE_PROBABILITY the rate is this many times the probability. */
const PROBABILITY_ONE = 0xffffffff;

/** Takes a message apart. Throws ERR_NETLINK_MALFORMED, or OdpAttributeError for its tunnel. */
export function decodeSample(message: Uint8Array): Sample {
  const sample: Sample = {
    ...{ group: 0, sequence: 0, rate: 1, packetSize: 0, protocol: undefined, timeNs: undefined },
    ...{ inIfindex: undefined, outIfindex: undefined, data: new Uint8Array(0), cookie: undefined },
    ...{ tunnel: undefined, message },
  };
  const cursor = new AttributeCursor(message, HEADERS_SIZE);
  let isProbability = false;
  while (cursor.next()) {
    if (cursor.type === ATTR.SAMPLE_PROBABILITY) isProbability = true;
    else take(sample, cursor);
  }
  cursor.check();
  if (isProbability) sample.rate = PROBABILITY_ONE / sample.rate;
  return sample;
}

function take(sample: Sample, cursor: AttributeCursor): void {
  switch (cursor.type) {
    case ATTR.IIFINDEX:
      sample.inIfindex = cursor.u16();
      break;
    case ATTR.OIFINDEX:
      sample.outIfindex = cursor.u16();
      break;
    case ATTR.ORIGSIZE:
      sample.packetSize = cursor.u32();
      break;
    case ATTR.SAMPLE_GROUP:
      sample.group = cursor.u32();
      break;
    case ATTR.GROUP_SEQ:
      sample.sequence = cursor.u32();
      break;
    case ATTR.SAMPLE_RATE:
      sample.rate = cursor.u32();
      break;
    case ATTR.DATA:
      sample.data = cursor.view();
      break;
    case ATTR.TUNNEL:
      sample.tunnel = tunnelOf(cursor);
      break;
    case ATTR.TIMESTAMP:
      sample.timeNs = Number(cursor.u64());
      break;
    case ATTR.PROTO:
      sample.protocol = cursor.u16();
      break;
    case ATTR.USER_COOKIE:
      sample.cookie = cursor.view();
      break;
  }
}

/** PSAMPLE_TUNNEL_KEY_ATTR_* have the numbers of OVS_TUNNEL_KEY_ATTR_*. */
function tunnelOf(cursor: AttributeCursor): TunnelKey {
  const flat = new Uint8Array(KEY_SIZE);
  decodeTunnel(cursor.bytes(), cursor.offset + 4, flat, 'partial key', () => {});
  return decodeTunnelKey(flat);
}
