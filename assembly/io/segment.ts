/*
 * Segmentation: a super-frame becomes the frames that its sender would have sent without the offload.
 *
 * Before it: io/transmit.ts for ports that take wire frames only; upcall/produce.ts, as handlers see what is on the wire. Concepts. The headers
 * are copied in front of each piece of the payload and made right: lengths, the identification of IPv4 (one more each time), the sequence number
 * of TCP; its FIN and PSH belong to the last segment, its CWR to the first. The checksum field of the super-frame holds the sum of the pseudo
 * header with the length of all, from which that of a segment follows.
 *
 * Ownership. One segment at a time, in the position SEGMENT of this worker; it is valid until the next. The super-frame stays as it was.
 */
import {
  HEADROOM,
  OFFLOAD_COVERED,
  OFFLOAD_CSUM_OFFSET,
  OFFLOAD_GSO_SIZE,
  OFFLOAD_GSO_TYPE,
  OFFLOAD_NETWORK,
  PACKET_DATA,
  PACKET_HEAD,
  PACKET_SIZE,
  PACKET_SIZEOF,
  PACKET_TAIL,
  PACKET_WIRE_SIZE,
  VNET_GSO_ECN,
  VNET_GSO_TCPV4,
  VNET_GSO_TCPV6,
  VNET_GSO_UDP_L4,
} from '../constants';
import { BUFFER_STRIDE, buffers, packets, SEGMENT } from '../memory/layout';
import { fold, sumOf } from '../packet/checksum';
import { TCP_SIZE_MIN } from '../packet/l4';
import { clearOffload, offloadOf, TCP_DATA_OFFSET, UDP_SIZE } from './offload';

const IPV4_SIZE_MIN: u32 = 20;
const IPV4_LENGTH: u32 = 2;
const IPV4_ID: u32 = 4;
const IPV4_CHECK: u32 = 10;
const IPV6_SIZE: u32 = 40;
const IPV6_LENGTH: u32 = 4;
const TCP_SEQUENCE: u32 = 4;
const TCP_FLAGS: u32 = 13;
const TCP_FIN_PSH: u32 = 0x09;
const TCP_CWR: u32 = 0x80;
const UDP_LENGTH: u32 = 4;

// the super-frame at hand
let source: usize = 0;
let network: u32 = 0; // where the network header begins
let transport: u32 = 0;
let payload: u32 = 0; // where the payload begins
let payloadSize: u32 = 0;
let segmentSize: u32 = 0; // payload of each but the last
let count: u32 = 0;
let isTcp: bool = false;

@inline
function be16(at: usize): u32 {
  return <u32>bswap<u16>(load<u16>(at));
}

@inline
function putBe16(at: usize, value: u32): void {
  store<u16>(at, bswap<u16>(<u16>value));
}

/** Takes the first `size` bytes of a super-frame in hand. Returns how many segments it becomes, 0 when its headers are not as its type says. */
export function beginSegments(packet: usize, size: u32): u32 {
  const record = offloadOf(packet);
  const whole = load<u32>(packet, PACKET_SIZE);
  const type = load<u8>(record, OFFLOAD_GSO_TYPE) & ~VNET_GSO_ECN;
  if (load<u32>(record, OFFLOAD_NETWORK) > whole) return 0;
  if (type != VNET_GSO_TCPV4 && type != VNET_GSO_TCPV6 && type != VNET_GSO_UDP_L4) return 0;
  isTcp = type != VNET_GSO_UDP_L4;
  source = packet;
  network = whole - load<u32>(record, OFFLOAD_NETWORK);
  transport = whole - load<u32>(record, OFFLOAD_COVERED);
  segmentSize = load<u16>(record, OFFLOAD_GSO_SIZE);
  const data: usize = load<u32>(packet, PACKET_DATA);
  const smallest = isTcp ? TCP_SIZE_MIN : UDP_SIZE;
  if (network >= size || transport > size || size - transport < smallest || !isNetwork(data, type)) return 0;
  const headerSize = isTcp ? (<u32>load<u8>(data + transport, TCP_DATA_OFFSET) >> 4) << 2 : UDP_SIZE;
  if (headerSize < smallest || transport + headerSize >= size) return 0;
  payload = transport + headerSize;
  payloadSize = size - payload;
  count = (payloadSize + segmentSize - 1) / segmentSize;
  return count;
}

/** A whole network header of the type's version, with the transport header behind it. */
function isNetwork(data: usize, type: u32): bool {
  const version = <u32>load<u8>(data + network) >> 4;
  if (version == 4) return type != VNET_GSO_TCPV6 && transport >= network + IPV4_SIZE_MIN;
  return version == 6 && type != VNET_GSO_TCPV4 && transport >= network + IPV6_SIZE;
}

/** The descriptor of segment `index`. */
export function segment(index: u32): usize {
  const packet = packets + SEGMENT * PACKET_SIZEOF;
  const buffer = buffers + SEGMENT * BUFFER_STRIDE;
  const data = buffer + HEADROOM;
  const from: usize = load<u32>(source, PACKET_DATA);
  const first = index * segmentSize;
  const piece = min<u32>(segmentSize, payloadSize - first);
  memory.copy(packet, source, PACKET_SIZEOF);
  memory.copy(data, from, payload);
  memory.copy(data + payload, from + payload + first, piece);
  store<u32>(packet, <u32>data, PACKET_DATA);
  store<u32>(packet, payload + piece, PACKET_SIZE);
  store<u32>(packet, payload + piece, PACKET_WIRE_SIZE);
  store<u32>(packet, <u32>buffer, PACKET_HEAD);
  store<u32>(packet, <u32>buffer + BUFFER_STRIDE, PACKET_TAIL);
  clearOffload(packet);
  mendNetwork(data + network, payload - network + piece, index);
  mendTransport(data, piece, first, index);
  return packet;
}

/** `size`: of the network header and all that is behind it. */
function mendNetwork(header: usize, size: u32, index: u32): void {
  if (load<u8>(header) >> 4 == 6) {
    putBe16(header + IPV6_LENGTH, size - IPV6_SIZE);
    return;
  }
  putBe16(header + IPV4_LENGTH, size);
  putBe16(header + IPV4_ID, be16(header + IPV4_ID) + index);
  store<u16>(header, 0, IPV4_CHECK);
  store<u16>(header, <u16>~sumOf(header, transport - network, 0), IPV4_CHECK);
}

function mendTransport(data: usize, piece: u32, first: u32, index: u32): void {
  const header = data + transport;
  const size = payload - transport + piece;
  if (isTcp) {
    store<u32>(header, bswap<u32>(bswap<u32>(load<u32>(header, TCP_SEQUENCE)) + first), TCP_SEQUENCE);
    let flags = <u32>load<u8>(header, TCP_FLAGS);
    if (index != count - 1) flags &= ~TCP_FIN_PSH;
    if (index != 0) flags &= ~TCP_CWR;
    store<u8>(header, <u8>flags, TCP_FLAGS);
  } else {
    putBe16(header + UDP_LENGTH, size);
  }
  const field = header + load<u16>(offloadOf(source), OFFLOAD_CSUM_OFFSET);
  const lengthOfAll = <u32>bswap<u16>(<u16>(payload - transport + payloadSize));
  const pseudo = fold(<u64>load<u16>(field) + (~lengthOfAll & 0xffff) + <u32>bswap<u16>(<u16>size));
  store<u16>(field, 0);
  const check = ~sumOf(header, size, pseudo) & 0xffff;
  store<u16>(field, <u16>(check == 0 ? 0xffff : check));
}
