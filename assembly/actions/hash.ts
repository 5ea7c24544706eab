/*
 * HASH: a number from addresses, protocol and ports into the key's dp_hash, for the flows behind a RECIRC to choose by.
 *
 * Before it: execute.ts. After it: nothing. L4 tells the two directions of a connection apart. SYM_L4 does not; as in the kernel's
 * symmetric hash, the two addresses have no order, and the two ports have none of their own. Fragments count without ports, the first
 * one too, and ICMP without type and code, so that what belongs together goes the same way.
 *
 * The number is this datapath's own, as the kernel's is this boot's: nobody may rely on it from one start to the next. It is never 0,
 * which means "not computed". The worker that owns the packet calls it.
 */
import {
  KEY_DP_HASH,
  KEY_ETH_TYPE,
  KEY_IPV4_DST,
  KEY_IPV4_SRC,
  KEY_IPV6_DST,
  KEY_IPV6_SRC,
  KEY_IP_FRAG,
  KEY_IP_PROTO,
  KEY_TP_DST,
  KEY_TP_SRC,
  PACKET_FLAGS,
  PACKET_FLAG_KEY_STALE,
} from '../constants';
import { extractAgain } from '../flow/extract';
import { finish, nhWord } from '../flow/hash';
import { secrets } from '../memory/layout';
import { OVS_HASH_ALG_SYM_L4 } from '../netlink/openvswitch';
import { FRAG_NONE } from '../packet/ipv4';
import { IPPROTO_SCTP, IPPROTO_TCP, IPPROTO_UDP } from '../packet/l4';
import { keyOf, markKeyCold } from './packet';

// struct ovs_action_hash
const HASH_ALG: usize = 0;
const HASH_BASIS: usize = 4;

const ADDRESS_SECRETS: usize = 4 * 8;

/** False if the key is stale and the packet has none any more. */
export function hash(packet: usize, payload: usize): bool {
  if (!hasFreshKey(packet)) return false;
  const symmetric = load<u32>(payload, HASH_ALG) == OVS_HASH_ALG_SYM_L4;
  store<u32>(keyOf(packet), hashOf(keyOf(packet), load<u32>(payload, HASH_BASIS), symmetric), KEY_DP_HASH);
  markKeyCold(packet);
  return true;
}

/** The L4 hash with the basis 0, which goes nowhere; 0: the key is stale and the packet has none any more. */
export function l4Hash(packet: usize): u32 {
  return hasFreshKey(packet) ? hashOf(keyOf(packet), 0, false) : 0;
}

@inline
function hasFreshKey(packet: usize): bool {
  return !(load<u16>(packet, PACKET_FLAGS) & PACKET_FLAG_KEY_STALE) || extractAgain(packet) == 0;
}

function hashOf(key: usize, basis: u32, symmetric: bool): u32 {
  // Secrets of the sources; of the destinations the same ones, or others.
  const other = secrets + (symmetric ? 0 : ADDRESS_SECRETS);
  let sum = nhWord(basis | ((<u64>load<u8>(key, KEY_IP_PROTO)) << 32), load<u64>(secrets, 64));
  sum += nhWord(load<u16>(key, KEY_ETH_TYPE), load<u64>(secrets, 72));
  sum += address(key, KEY_IPV4_SRC, KEY_IPV6_SRC, secrets) + address(key, KEY_IPV4_DST, KEY_IPV6_DST, other);
  if (hasPorts(key)) {
    sum += nhWord(load<u16>(key, KEY_TP_SRC), load<u64>(secrets, 80));
    sum += nhWord(load<u16>(key, KEY_TP_DST), load<u64>(secrets + (symmetric ? 80 : 88)));
  }
  const value = finish(sum);
  return value == 0 ? 1 : value;
}

@inline
function address(key: usize, ipv4: u32, ipv6: u32, addressSecrets: usize): u64 {
  return (
    nhWord(load<u32>(key + ipv4), load<u64>(addressSecrets)) +
    nhWord(load<u64>(key + ipv6), load<u64>(addressSecrets, 8)) +
    nhWord(load<u64>(key + ipv6, 8), load<u64>(addressSecrets, 16))
  );
}

@inline
function hasPorts(key: usize): bool {
  const proto = <u32>load<u8>(key, KEY_IP_PROTO);
  return (
    load<u8>(key, KEY_IP_FRAG) == FRAG_NONE && (proto == IPPROTO_TCP || proto == IPPROTO_UDP || proto == IPPROTO_SCTP)
  );
}
