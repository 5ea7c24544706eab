/*
 * Scenes of control commands on the real kernel: tracked connections, their limits, and tunnel ports. 84.dpctl-kernel.test.ts plays them, on its datapath dp0
 * with the ports v1 (1) and v2 (2), behind which are w1 with 10.0.0.9 and w2.
 *
 * For tests only.
 */
import { both, ip, json, ovs, type Scene, sh, wdp } from './dpctl-cases.ts';

/** What goes from w1 to w2 is tracked, in zone 5 or, if it is to port 97, in zone 6; nobody answers. */
const track = (protocol: string, zone: number): string =>
  `add-flow dp0 "in_port(1),eth(),eth_type(0x0800),ipv4(${protocol}" "ct(commit,zone=${zone}),2"`;
const ICMP = track('proto=1,frag=no),icmp()', 5);
const TCP = (port: number, zone: number): string => track(`proto=6,frag=no),tcp(dst=${port}),tcp_flags(0/0)`, zone);
/** Connections of IPv6, from w1 with fd00::9. */
const ICMPV6 =
  'add-flow dp0 "in_port(1),eth(),eth_type(0x86dd),ipv6(proto=58,frag=no),icmpv6(type=128)" "ct(commit,zone=5,mark=0x7,label=0x1234),2"';
const UDPV6 =
  'add-flow dp0 "in_port(1),eth(),eth_type(0x86dd),ipv6(proto=17,frag=no),udp(dst=69)" "ct(commit,zone=5),2"';
const UDP = track('proto=17,frag=no),udp(dst=69)', 5);
const connect = (port: number): string => `nc -w 1 10.0.0.2 ${port} < /dev/null`;
/** The port that the next ones come from. */
const from = (port: number): string => `echo ${port} ${port} > /proc/sys/net/ipv4/ip_local_port_range`;
/** A slow machine takes its time for what comes between. */
const lastsLong = (timeout: string): string => `echo 6000 > /proc/sys/net/netfilter/nf_conntrack_${timeout}`;
const tuple = (port: number): string =>
  `ct_nw_src=10.0.0.9,ct_nw_dst=10.0.0.2,ct_nw_proto=6,ct_tp_src=4000,ct_tp_dst=${port}`;

const ADDRESSES = (before: string, between: string, after: string): RegExp =>
  new RegExp(`^${before}fd00::9${between}fd00::2${after}`, 'm');

const DUMPS = [
  both('dump-conntrack'),
  both('dump-conntrack dp0'),
  both('dump-conntrack dp0 zone=5'),
  both('dump-conntrack zone=6'),
  both('dump-conntrack zone=7'),
  both('-m dump-conntrack'),
  both('-s dump-conntrack'),
  both('-m -s dump-conntrack dp0 zone=5'),
  both('ct-stats-show'),
  both('ct-stats-show dp0 zone=5'),
  both('ct-stats-show zone=7'),
  json('ct-stats-show'),
  json('-s dump-conntrack'),
  json('-m -s dump-conntrack dp0 zone=5'),
  both('-m ct-stats-show'),
  both('ct-bkts'),
  both('ct-bkts dp0 gt=1'),
];

export const CONNECTION_SCENES: readonly Scene[] = [
  [
    'connections',
    [
      ovs('del-flows dp0'),
      both('flush-conntrack'),
      both('dump-conntrack'),
      both('ct-stats-show'),
      wdp(ICMP),
      wdp(TCP(99, 5)),
      wdp(TCP(98, 5)),
      wdp(TCP(97, 6)),
      wdp(UDP),
      wdp(ICMPV6),
      wdp(UDPV6),
      sh('echo 0 > /proc/sys/net/ipv6/conf/w1/disable_ipv6'),
      ip('addr add fd00::9/64 dev w1 nodad'),
      ip('neigh replace fd00::2 lladdr 02:00:00:00:00:02 dev w1'),
      ip('neigh replace 10.0.0.2 lladdr 02:00:00:00:00:02 dev w1'),
      sh(
        [
          'for what in acct timestamp; do echo 1 > /proc/sys/net/netfilter/nf_conntrack_$what; done',
          from(4000),
          ...['icmp_timeout', 'icmpv6_timeout', 'udp_timeout', 'tcp_timeout_syn_sent'].map(lastsLong),
          'ping -c 1 -W 1 10.0.0.2',
          ...[99, 98, 97].map(connect),
          'timeout 1 tftp -g -r x -l /dev/null 10.0.0.2',
          'ping -6 -c 1 -W 1 fd00::2',
          'timeout 1 tftp -g -r x -l /dev/null fd00::2',
          'echo 1 > /proc/sys/net/ipv6/conf/w1/disable_ipv6',
        ].join('; '),
      ),
      ...DUMPS,
      wdp('dump-conntrack dp0 zone=5', { output: ADDRESSES('icmpv6,orig=\\(src=', ',dst=', ',') }),
      wdp('--json dump-conntrack zone=5', {
        output: ADDRESSES('{"protocol":"icmpv6","origin":{"src":"', '","dst":"', '"'),
      }),
      wdp('--json dump-conntrack zone=6', {
        output:
          /^{"protocol":"tcp","origin":{"src":"10.0.0.9","dst":"10.0.0.2","protocol":6,"srcPort":4000,"dstPort":97},.*"zone":6,.*"startNs":"1\d{18}".*"counters":{"origin":{"packets":[1-9]/,
      }),
    ],
  ],
  [
    'connections that are forgotten',
    [
      both('flush-conntrack zone=x', { error: 'failed to parse zone (Invalid argument)' }),
      both('flush-conntrack nosuch=1', { error: /invalid conntrack tuple field/ }),
      both(`flush-conntrack zone=5 "${tuple(9)}"`, {
        error: 'failed to flush conntrack (No such file or directory)',
      }),
      wdp(`flush-conntrack dp0 zone=5 "${tuple(99)}"`),
      ...DUMPS,
      ovs(`flush-conntrack zone=5 "${tuple(98)}"`),
      ...DUMPS,
      ovs('flush-conntrack zone=5'),
      ...DUMPS,
      wdp('flush-conntrack zone=6'),
      both('dump-conntrack'),
    ],
  ],
  [
    'limits of connections',
    [
      both('ct-get-limits'),
      wdp('ct-set-limits default=100 zone=5,limit=3 zone=6,limit=1'),
      both('ct-get-limits'),
      both('ct-get-limits dp0'),
      both('ct-get-limits zone=5'),
      both('ct-get-limits dp0 zone=5,6,7'),
      json('ct-get-limits dp0 zone=5,6,7'),
      sh([4001, 4002].flatMap((port) => [from(port), connect(97), connect(98)]).join('; ')),
      both('ct-get-limits'),
      both('dump-conntrack'),
      ovs('ct-set-limits zone=5,limit=7 zone=9,limit=0'),
      both('ct-get-limits'),
      wdp('ct-del-limits zone=5'),
      both('ct-get-limits'),
      both('ct-del-limits dp0 zone=6,9'),
      both('ct-get-limits'),
      both('ct-set-limits default=0'),
      both('ct-get-limits'),
      both('ct-set-limits zone=5', { error: 'failed to parse zone limit (Invalid argument)' }),
      both('ct-set-limits zone=x,limit=1', { error: 'failed to parse field zone (Invalid argument)' }),
      both('ct-set-limits limit=1', { error: 'failed to parse zone limit (Invalid argument)' }),
      both('ct-del-limits dp0', { status: 1, error: 'zone=N1[,N2]... was expected (Invalid argument)' }),
      both('ct-del-limits zone=x', { error: 'invalid zone (Invalid argument)' }),
      both('ct-get-limits zone=70000', { status: 1, error: 'invalid zone (Invalid argument)', output: '' }),
      both('ct-get-limits nosuch', { error: 'invalid argument nosuch (Invalid argument)' }),
    ],
  ],
  [
    'tunnel ports',
    [
      wdp('add-if dp0 vx0,type=vxlan'),
      both('show'),
      both('-s show'),
      ovs('add-if dp0 vx1,type=vxlan,dst_port=4790,remote_ip=flow'),
      wdp('add-if dp0 gn0,type=geneve,dst_port=6082,remote_ip=flow,key=flow'),
      ovs('add-if dp0 gn1,type=geneve,remote_ip=flow'),
      wdp('add-if dp0 gr0,type=gre'),
      both('show'),
      both('-s show'),
      ip('-d link show vxlan_sys_4789', /./),
      wdp('add-if dp0 vx2,type=vxlan,remote_ip=flow', { status: 1, error: 'adding vx2 to dp0 failed (File exists)' }),
      both('set-if dp0 vxlan_sys_4789,type=geneve', {
        error: "vxlan_sys_4789: can't change type from vxlan to geneve",
      }),
      wdp('del-if dp0 vxlan_sys_4790'),
      ovs('del-if dp0 genev_sys_6082'),
      wdp('del-if dp0 gre_sys'),
      both('show'),
    ],
  ],
];
