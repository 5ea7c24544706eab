/*
 * What the scripts of kernel-vm/sessions are given beside them: frames for their devices, rules and flows to install.
 */
import { readFileSync } from 'node:fs';
import type { Session } from '../../kernel-vm/sessions.ts';
import {
  arp,
  type Bytes,
  bytes,
  type EthernetFields,
  ethernet,
  icmp,
  ipv4,
  ipv6,
  MAC_A,
  MAC_B,
  mplsEntry,
  neighbour,
  tcp,
  udp,
} from '../layers.ts';

const BROADCAST = new Uint8Array(6).fill(255);
const BACK: EthernetFields = { src: MAC_B, dst: MAC_A };
const SERVER = [10, 0, 0, 2];
const CLIENT = [10, 0, 0, 1];
const back = { src: bytes(SERVER), dst: bytes(CLIENT) };

type Frame = [device: string, frame: Bytes];

/** Two hosts find each other and talk. */
const learning: Frame[] = [
  ['p1', ethernet(0x0806, arp(1), { dst: BROADCAST })],
  ['p2', ethernet(0x0806, arp(2), BACK)],
  ['p1', ethernet(0x0800, ipv4({ proto: 1 }, icmp(8, 0, new Uint8Array(56))))],
  ['p2', ethernet(0x0800, ipv4({ proto: 1, ...back }, icmp(0, 0, new Uint8Array(56))), BACK)],
  ['p1', ethernet(0x0800, ipv4({ proto: 6 }, tcp({ flags: 2 }, bytes())))],
  ['p2', ethernet(0x0800, ipv4({ proto: 6, ...back }, tcp({ src: 80, dst: 40000, flags: 0x12 }, bytes())), BACK)],
  ['p1', ethernet(0x0800, ipv4({ proto: 6 }, tcp({ flags: 0x10 }, bytes())))],
  ['p1', ethernet(0x86dd, ipv6({ next: 58 }, neighbour(135, bytes())), { dst: bytes(0x33, 0x33, 0, 0, 0, 2) })],
  ['p3', ethernet(0x0806, arp(1), { dst: BROADCAST, src: bytes(2, 0, 0, 0, 0, 0x0c) })],
];

const tagged: Frame[] = [
  ['p1', ethernet(0x0800, ipv4({}, udp({}, new Uint8Array(10))), { tags: [[0x8100, 7]] })],
  ['p2', ethernet(0x0800, ipv4(back, udp({ src: 53, dst: 4660 }, new Uint8Array(10))), BACK)],
  ['p1', ethernet(0x0800, ipv4({}, udp({}, new Uint8Array(10))), { tags: [[0x8100, 9]] })],
  ['p1', ethernet(0x88cc, new Uint8Array(50), { dst: bytes(1, 0x80, 0xc2, 0, 0, 0x0e) })],
];

/** One for each rule of `openflow`, and some for none. */
const rules: Frame[] = [
  ['p1', ethernet(0x0800, ipv4({ proto: 6 }, tcp({ flags: 2 }, bytes())))],
  ['p1', ethernet(0x0800, ipv4({ proto: 6, frag: 0x2000 }, tcp({ flags: 2 }, new Uint8Array(20))))],
  ['p1', ethernet(0x0800, ipv4({ proto: 6, frag: 3 }, new Uint8Array(20)))],
  ['p1', ethernet(0x0800, ipv4({}, udp({ dst: 53 }, new Uint8Array(10))))],
  ['p1', ethernet(0x0800, ipv4({}, udp({ dst: 54 }, new Uint8Array(10))))],
  ['p1', ethernet(0x0800, ipv4({}, udp({ dst: 55 }, new Uint8Array(10))))],
  ['p1', ethernet(0x0800, ipv4({}, udp({ dst: 56 }, new Uint8Array(10))))],
  ['p1', ethernet(0x0800, ipv4({}, udp({ dst: 57 }, new Uint8Array(300))))],
  ['p1', ethernet(0x0800, ipv4({}, udp({ dst: 58 }, new Uint8Array(10))))],
  ['p1', ethernet(0x0800, ipv4({ ttl: 1 }, udp({ dst: 53 }, new Uint8Array(10))))],
  ['p1', ethernet(0x0800, ipv4({ proto: 1 }, icmp(8, 0, new Uint8Array(10))))],
  ['p1', ethernet(0x86dd, ipv6({ next: 6 }, tcp({ flags: 2 }, bytes())))],
  ['p1', ethernet(0x8847, bytes(mplsEntry(5, true), ipv4({}, udp({}, new Uint8Array(4)))))],
  ['p1', ethernet(0x0806, arp(1), { dst: BROADCAST })],
  ['p2', ethernet(0x0800, ipv4({}, udp({ dst: 53 }, new Uint8Array(10))), { tags: [[0x8100, 0x6005]] })],
  ['p3', ethernet(0x0800, ipv4({}, udp({ dst: 53 }, new Uint8Array(10))))],
];

const openflow = `
priority=50,in_port=1,tcp,tp_dst=80 actions=dec_ttl,mod_nw_dst:10.0.0.9,mod_tp_dst:8080,output:2
priority=40,in_port=1,tcp actions=meter:1,output:2
priority=40,in_port=1,tcp6 actions=set_field:2001:db8::99->ipv6_dst,output:2
priority=50,in_port=1,udp,tp_dst=53 actions=dec_ttl,group:1
priority=50,in_port=1,udp,tp_dst=54 actions=group:2
priority=50,in_port=1,udp,tp_dst=55 actions=resubmit(,1)
priority=50,in_port=1,udp,tp_dst=56 actions=controller(reason=action,max_len=64)
priority=50,in_port=1,udp,tp_dst=57 actions=check_pkt_larger(200)->reg0[0],resubmit(,2)
priority=50,in_port=1,udp,tp_dst=58 actions=set_queue:1,set_field:5->pkt_mark,output:2,pop_queue
priority=50,in_port=1,icmp actions=push_mpls:0x8847,set_field:9->mpls_label,output:2
priority=50,in_port=1,mpls actions=pop_mpls:0x0800,output:2
priority=50,in_port=1,arp actions=move:NXM_OF_ETH_SRC[]->NXM_OF_ETH_DST[],load:2->NXM_OF_ARP_OP[],in_port
priority=50,in_port=2,dl_vlan=5 actions=strip_vlan,push_vlan:0x88a8,mod_vlan_vid:8,output:1
table=1,priority=5,udp actions=learn(table=3,hard_timeout=60,NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[],output:NXM_OF_IN_PORT[]),clone(mod_dl_src:02:00:00:00:00:55,output:2),output(port=2,max_len=64)
table=2,priority=5,reg0=1,udp actions=output:2
table=2,priority=4,udp actions=mod_nw_tos:32,output:2
priority=1 actions=drop
`.trimStart();

const flows = `
create flow in_port(9),eth(src=02:00:00:00:00:01,dst=02:00:00:00:00:02),eth_type(0x0800),ipv4(src=1.2.3.4,dst=5.6.7.8,proto=1,tos=0,ttl=64,frag=no),icmp(type=8,code=0) actions:7
modify flow in_port(9),eth(src=02:00:00:00:00:01,dst=02:00:00:00:00:02),eth_type(0x0800),ipv4(src=1.2.3.4,dst=5.6.7.8,proto=1,tos=0,ttl=64,frag=no),icmp(type=8,code=0) actions:drop
delete flow in_port(9),eth(src=02:00:00:00:00:01,dst=02:00:00:00:00:02),eth_type(0x0800),ipv4(src=1.2.3.4,dst=5.6.7.8,proto=1,tos=0,ttl=64,frag=no),icmp(type=8,code=0)
in_port(9),eth(),eth_type(0x8100),vlan(vid=5,pcp=2),encap(eth_type(0x0806),arp(sip=1.1.1.1,op=1)) actions:pop_vlan,7
`.trimStart();

const lines = (frames: Frame[]) =>
  frames.map(([device, frame]) => `${device} ${Buffer.from(frame).toString('hex')}\n`).join('');

export function sessions(): Record<string, Session> {
  const files = {
    'frames-learning': lines(learning),
    'frames-tagged': lines(tagged),
    'frames-rules': lines(rules),
    openflow,
    flows,
  };
  const schema = { 'vswitch.ovsschema': readFileSync('/usr/share/openvswitch/vswitch.ovsschema', 'utf8') };
  const programs = ['ovs-vswitchd', 'ovsdb-server', 'ovsdb-tool', 'ovs-vsctl', 'ovs-ofctl', 'ovs-appctl'];
  return {
    'ovs-vswitchd': { script: 'vswitchd.sh', programs, files: { ...files, ...schema } },
    'ovs-dpctl': { script: 'dpctl.sh', programs: ['ovs-dpctl'], files },
  };
}
