/*
 * HASH: a number from addresses, protocol and ports into the key's dp_hash, for the flows behind a RECIRC to choose by.
 *
 * Before it: execute.ts. After it: nothing. L4 tells the two directions of a connection apart, SYM_L4 does not. The number is this
 * datapath's own, as the kernel's is this boot's: nobody may rely on it from one start to the next. It is never 0, which means "not
 * computed". The worker that owns the packet calls it.
 */
import {
  KEY_DP_HASH,
  KEY_ETH_TYPE,
  KEY_IPV4_DST,
  KEY_IPV4_SRC,
  KEY_IPV6_DST,
  KEY_IPV6_SRC,
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
import { keyOf, markKeyCold } from './packet';

// struct ovs_action_hash
const HASH_ALG: usize = 0;
const HASH_BASIS: usize = 4;

/** False if the key is stale and the packet has none any more. */
export function hash(packet: usize, payload: usize): bool {
  if (load<u16>(packet, PACKET_FLAGS) & PACKET_FLAG_KEY_STALE && extractAgain(packet) != 0) return false;
  const key = keyOf(packet);
  const symmetric = load<u32>(payload, HASH_ALG) == OVS_HASH_ALG_SYM_L4;
  // Secrets of one end; of the other end the same ones, or the four after them.
  const other = secrets + (symmetric ? 0 : 4 * 8);
  let sum = nhWord(load<u32>(payload, HASH_BASIS) | ((<u64>load<u8>(key, KEY_IP_PROTO)) << 32), load<u64>(secrets, 64));
  sum += nhWord(load<u16>(key, KEY_ETH_TYPE), load<u64>(secrets, 72));
  sum += end(key, KEY_IPV4_SRC, KEY_IPV6_SRC, KEY_TP_SRC, secrets);
  sum += end(key, KEY_IPV4_DST, KEY_IPV6_DST, KEY_TP_DST, other);
  const value = finish(sum);
  store<u32>(key, value == 0 ? 1 : value, KEY_DP_HASH);
  markKeyCold(packet);
  return true;
}

@inline
function end(key: usize, ipv4: u32, ipv6: u32, port: u32, endSecrets: usize): u64 {
  return (
    nhWord(load<u32>(key + ipv4) | ((<u64>load<u16>(key + port)) << 32), load<u64>(endSecrets)) +
    nhWord(load<u64>(key + ipv6), load<u64>(endSecrets, 8)) +
    nhWord(load<u64>(key + ipv6, 8), load<u64>(endSecrets, 16))
  );
}
