/*
 * A wire between ports 1 and 2 that loses pings, as a function that is called with one packet at a time.
 *
 *   wdp run --handler module:examples/handlers/no-ping.mjs \
 *     --port a,type=pcap,rx=examples/captures/arp-icmp.pcap,speed=max --port b,type=pcap,tx=no-ping.pcap
 *
 * What it returns is installed for all packets with the same headers; no actions: they are dropped.
 */
export const perPacket = true;

const ECHO_REQUEST = 8;

export default function noPing({ inPort, key }) {
  if (key.icmp?.type === ECHO_REQUEST) return { actions: [] };
  return { actions: [{ type: 'output', port: 3 - inPort }] };
}
