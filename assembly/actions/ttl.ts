/*
 * DEC_TTL: one hop less to live.
 *
 * Before it: execute.ts, which executes the action's own list when this answers that the packet has reached its end. As in the kernel, a
 * packet that is neither IPv4 nor IPv6 behind at most one tag stays as it is. The worker that owns the packet calls it.
 */
import { KEY_IP_TTL, PACKET_L3 } from '../constants';
import { ETH_P_IPV6_WIRE, ETH_P_IP_WIRE } from '../packet/ethernet';
import { IPV4_SIZE_MIN, IPV4_TTL } from '../packet/ipv4';
import { IPV6_HOP_LIMIT, IPV6_SIZE } from '../packet/ipv6';
import { dataOf, hasHeader, keyOf, protocolOf } from './packet';
import { setTtl } from './set-ip';

export const TTL_DONE: u32 = 0;
export const TTL_EXPIRED: u32 = 1;
/** The header is cut off. */
export const TTL_FAILED: u32 = 2;

export function decTtl(packet: usize): u32 {
  const protocol = protocolOf(packet);
  const ipv6 = protocol == ETH_P_IPV6_WIRE;
  if (!ipv6 && protocol != ETH_P_IP_WIRE) return TTL_DONE;
  const l3 = <u32>load<u16>(packet, PACKET_L3);
  if (!hasHeader(packet, l3, ipv6 ? IPV6_SIZE : IPV4_SIZE_MIN)) return TTL_FAILED;
  const header = dataOf(packet) + l3;
  const ttl = <u32>load<u8>(header + (ipv6 ? IPV6_HOP_LIMIT : IPV4_TTL));
  if (ttl <= 1) return TTL_EXPIRED;
  if (ipv6) store<u8>(header, <u8>(ttl - 1), IPV6_HOP_LIMIT);
  else setTtl(header, ttl - 1);
  store<u8>(keyOf(packet), <u8>(ttl - 1), KEY_IP_TTL);
  return TTL_DONE;
}
