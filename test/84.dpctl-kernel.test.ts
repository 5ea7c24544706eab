/*
 * The control commands beside ovs-dpctl on the same datapaths of the real kernel: the same output to the byte, the same exit status, and what one makes the
 * other shows.
 */
import { beforeAll, describe, it } from 'vitest';
import { nativeUnavailableReason } from '../src/native/load.ts';
import { whyNoKernel } from './kernel-vm/kernel.ts';
import { both, check, ip, json, ovs, type Scene, sh, wdp } from './support/dpctl-cases.ts';
import { CONNECTION_SCENES } from './support/dpctl-connections.ts';
import { runSteps, type StepResult } from './support/dpctl-steps.ts';
import { requireProgram } from './support/require.ts';

/** Flows of many kinds: `FLOW ACTIONS`. */
const FLOWS = [
  'recirc_id(0),in_port(1),eth(src=02:00:00:00:00:01,dst=02:00:00:00:00:02),eth_type(0x0800),ipv4(src=10.0.0.1,dst=10.0.0.2,proto=6,tos=0,ttl=64,frag=no),tcp(src=1024,dst=80),tcp_flags(0x2/0x2) 2',
  'recirc_id(0),in_port(1),eth(),eth_type(0x0800),ipv4(dst=10.1.0.0/255.255.0.0,proto=17,tos=0/0x3,frag=no),udp(dst=53) push_vlan(vid=7,pcp=3),2,3',
  'recirc_id(0),in_port(v1),eth(dst=ff:ff:ff:ff:ff:ff),eth_type(0x0806),arp(sip=10.0.0.1,tip=10.0.0.2,op=1/0xff) 1,3',
  'ufid:12345678-9abc-def0-1234-56789abcdef0,recirc_id(0),in_port(3),eth(),eth_type(0x86dd),ipv6(src=fe80::1,dst=fe80::/ffff::,proto=58,frag=no),icmpv6(type=135,code=0),nd(target=fe80::2) set(eth(src=02:00:00:00:00:09)),1',
  'recirc_id(0),in_port(2),eth(),eth_type(0x8100),vlan(vid=5,pcp=0/0x0),encap(eth_type(0x0800),ipv4(frag=no)) pop_vlan,1',
  'recirc_id(0x1),dp_hash(0x3/0xf),skb_mark(0x5),in_port(2),eth(),eth_type(0x8847),mpls(label=7,tc=0/0x0,ttl=0/0x0,bos=1) 3',
  'recirc_id(0),tunnel(tun_id=0x5,src=1.2.3.4,dst=1.2.3.5,ttl=0/0,flags(-df-csum+key)),in_port(3),eth(),eth_type(0x0800),ipv4(frag=first) set(ipv4(ttl=63)),2',
  'recirc_id(0),ct_state(+trk),ct_zone(5),ct_mark(0x1/0xff),in_port(1),eth(),eth_type(0x0800),ipv4(proto=132,frag=no),sctp(src=1/0xff00) ct(commit,zone=5,mark=0x1/0xff),recirc(2)',
  'recirc_id(0),in_port(1),eth(),eth_type(0x0802) sample(sample=50.0%,actions(userspace(pid=7,userdata(0102030405060708)))),trunc(100),2',
];

const FILTERS = [
  'tcp',
  'udp,udp_dst=53',
  'ip,nw_dst=10.0.0.2',
  'ip,nw_dst=10.1.2.3',
  'arp',
  'arp,arp_spa=10.0.0.1',
  'in_port=1',
  'in_port=v1',
  'in_port=9',
  'dl_dst=ff:ff:ff:ff:ff:ff',
  'ipv6,ipv6_src=fe80::1',
  'icmp6,icmpv6_type=135',
  'dl_vlan=5',
  'dl_vlan=6',
  'dl_type=0x8847',
  'recirc_id=1',
  'tun_id=5',
  'ct_zone=5',
  'ip,nw_frag=first',
  'tcp,tcp_dst=80,tcp_src=1024',
  'tcp tp_dst=81',
];

const FILE = `# a comment
add    ${FLOWS[0].replace('in_port(1)', 'in_port(2)')}   # of port 2
${FLOWS[1].replace('in_port(1)', 'in_port(2)')}
modify ${FLOWS[1].replace('in_port(1)', 'in_port(2)').replace(/ .*/, ' 3')}

delete ${FLOWS[0].replace('in_port(1)', 'in_port(2)').replace(/ .*/, '')}
\t add ${FLOWS[8].replace('in_port(1)', 'in_port(2)')}
`;

/** What FILE leaves. */
const GONE = [FLOWS[1], FLOWS[8]]
  .map((flow) => `${flow.replace('in_port(1)', 'in_port(2)').replace(/ .*/, '')}\n`)
  .join('');

const BAD_FILE = `${FLOWS[8].replace('in_port(1)', 'in_port(3)')}
in_port(1),nonsense(1) 2
add in_port(1),eth(),eth_type(0x0803)
delete in_port(1),eth(),eth_type(0x0803) 2
delete in_port(1),eth(),eth_type(0x0803)
in_port(2),eth(),eth_type(0x0803) bogus
in_port(2),eth(),eth_type(0x0803) 1`;

const SHOW = [both('show'), both('-s show'), both('dump-dps'), both('show dp0'), json('show'), json('-s show dp0')];
const DUMPS = [
  both('dump-flows dp0'),
  both('-m dump-flows dp0'),
  both('--names dump-flows dp0'),
  both('-m --no-names dump-flows dp0'),
  json('-m --no-names dump-flows dp0'),
];

const SCENES: readonly Scene[] = [
  [
    'no datapath',
    [
      both('dump-dps'),
      both('show'),
      both('dump-flows', { error: 'no datapaths exist (Invalid argument)' }),
      both('show nosuch', {
        error: 'opening datapath nosuch failed (No such device); `wdp dump-dps` lists the datapaths',
      }),
      both('del-dp nosuch', { error: /^opening datapath \(No such device\)/ }),
      both('cache-get-size'),
    ],
  ],
  [
    'what one makes the other shows',
    [
      sh('for conf in all default; do echo 1 > /proc/sys/net/ipv6/conf/$conf/disable_ipv6; done'),
      ip('link add v1 type veth peer name w1'),
      ip('link add v2 type veth peer name w2'),
      ip('link set w1 up'),
      ip('link set w2 up'),
      ip('addr add 10.0.0.9/24 dev w1'),
      wdp('add-dp dp0 v1'),
      ...SHOW,
      ovs('add-if dp0 v2'),
      wdp('add-if dp0 in0,type=internal,port_no=7'),
      ...SHOW,
      ip('-o link show dev v2 up', /v2/),
      ip('-o link show dev in0 up', /in0/),
      ip('-o link show dev v1 up', /v1/),
      ovs('add-dp dp1'),
      both('dump-dps'),
      both('dump-flows', { error: 'multiple datapaths, specify one (Invalid argument); system@dp0, system@dp1' }),
      json('dump-dps'),
      json('show'),
      wdp('del-dp dp1'),
      both('dump-dps'),
      ovs('del-if dp0 in0'),
      wdp('add-if dp0 in0,type=internal,port_no=3'),
      ...SHOW,
    ],
  ],
  [
    'ports that cannot be',
    [
      both('add-dp dp0', { error: 'add_dp (File exists)' }),
      both('add-if dp0 nosuch', { error: 'nosuch: failed to open network device (No such device)' }),
      both('add-if nosuch v1', { error: /^opening datapath \(No such device\)/ }),
      both('add-if dp0 v1', { error: /^adding v1 to dp0 failed \(/ }),
      both('add-if dp0 ,', { error: ', is not a valid network device name (Invalid argument)' }),
      both('del-if dp0 nosuch', { error: 'no port named nosuch (No such file or directory)' }),
      both('del-if dp0 0', { error: 'deleting port 0 from dp0 failed (Invalid argument)' }),
      both('del-if dp0 99', { error: 'deleting port 99 from dp0 failed (No such device)' }),
      both('set-if dp0 v1,type=internal', { error: "v1: can't change type from system to internal" }),
      both('set-if dp0 v1,port_no=5', { error: "v1: can't change port number from 1 to 5" }),
      both('set-if dp0 nosuch', { error: /^nosuch: failed to query port in dp0 \(No such device\)/ }),
      both('--read-only del-dp dp0', { error: "'del-dp' command does not work in read only mode" }),
      both('show'),
    ],
  ],
  [
    'flows',
    [
      ...FLOWS.map((flow) => wdp(`add-flow dp0 "${flow.replace(' ', '" "')}"`)),
      ...DUMPS,
      both('get-flow dp0 ufid:12345678-9abc-def0-1234-56789abcdef0'),
      both('-m get-flow ufid:12345678-9abc-def0-1234-56789abcdef0'),
      json('-m --no-names get-flow dp0 ufid:12345678-9abc-def0-1234-56789abcdef0'),
      wdp('del-flows dp0'),
      both('dump-flows dp0'),
      ...FLOWS.map((flow) => ovs(`add-flow dp0 "${flow.replace(' ', '" "')}"`)),
      ...DUMPS,
      both('show'),
    ],
  ],
  ['filters', FILTERS.map((filter) => both(`dump-flows dp0 "filter=${filter}"`))],
  [
    'flows that are changed',
    [
      both(`mod-flow dp0 "${FLOWS[8].replace(/ .*/, '')}" 1`),
      both('dump-flows dp0'),
      both(`-s mod-flow dp0 "${FLOWS[8].replace(/ .*/, '')}" 3`),
      both(`--clear mod-flow dp0 "${FLOWS[8].replace(/ .*/, '')}" 1`),
      both('--may-create mod-flow dp0 "in_port(3),eth(),eth_type(0x0809)" 1'),
      both('-s del-flow dp0 "in_port(3),eth(),eth_type(0x0809)"', {
        status: 1,
        output: '',
        error: /deleting flow \(No such file/,
      }),
      wdp('del-flow dp0 ufid:12345678-9abc-def0-1234-56789abcdef0'),
      ...DUMPS,
      both('get-flow dp0 ufid:12345678-9abc-def0-1234-56789abcdef0', {
        error: 'getting flow (No such file or directory)',
      }),
      both('mod-flow dp0 "in_port(3),eth(),eth_type(0x0810)" 1', {
        error: 'updating flow table (No such file or directory); there is no such flow; --may-create makes it',
      }),
      both(`add-flow dp0 "${FLOWS[8].replace(' ', '" "')}"`, {
        error: 'updating flow table (File exists); there is this flow already, or one that it overlaps',
      }),
      both('add-flow dp0 "in_port(x),eth(),eth_type(0x0811)" 1', { error: /^parsing flow key \(expected / }),
      both('add-flow dp0 "in_port(1),eth(),eth_type(0x0811)" nonsense', { error: /^parsing actions \(expected / }),
      both('add-flow dp0 "in_port(1)" 1', { error: /^updating flow table \(Invalid argument\)/ }),
      both('add-flow dp0 "ufid:123,in_port(1)" 1', { error: /^parsing flow/ }),
      both('dump-flows nosuch', { error: /^nosuch: datapath not found \(No such device\)/ }),
      both('dump-flows dp0 filter=nosuch=1', { error: /^Failed to parse filter \(nosuch=1: unknown field nosuch\)/ }),
    ],
  ],
  [
    'files of flows',
    [
      ovs('del-flows dp0'),
      wdp('add-flows dp0 flows'),
      ...DUMPS,
      both('del-flows dp0'),
      both('dump-flows'),
      ovs('add-flows dp0 flows'),
      ...DUMPS,
      wdp('del-flows dp0'),
      wdp('add-flows dp0 bad', {
        status: 1,
        error: new RegExp(
          [
            '^wdp: bad:2: parsing flow key \\(expected .*',
            'wdp: bad:3: Failed parsing line, skipped!; .*',
            'wdp: bad:4: Failed parsing line, skipped!; .*',
            'wdp: bad:5: deleting flow \\(No such file or directory\\); perhaps .*',
            'wdp: bad:6: parsing actions \\(expected .*\n$',
          ].join('\n'),
        ),
      }),
      both('dump-flows'),
      ovs('del-flows'),
      { step: { kind: 'process', words: ['add-flows', 'dp0', '-'], input: FILE } },
      both('dump-flows'),
      { step: { kind: 'process', words: ['del-flows', 'dp0', 'file'] } },
      both('dump-flows'),
      wdp('add-flows dp0 nosuch', { status: 1, error: 'Opening file "nosuch" failed (No such file or directory)' }),
    ],
  ],
  [
    'packets that the kernel counts',
    [
      ovs('del-flows dp0'),
      wdp('add-flow dp0 "in_port(1),eth(),eth_type(0x0800),ipv4(proto=6,frag=no),tcp(dst=99),tcp_flags(0/0)" 2'),
      wdp('add-flow dp0 "in_port(1),eth(),eth_type(0x0806),arp()" drop'),
      wdp('add-flow dp0 "in_port(1),eth(),eth_type(0x0800),ipv4(proto=1,frag=no),icmp()" 2,3'),
      ip('neigh add 10.0.0.2 lladdr 02:00:00:00:00:02 dev w1'),
      sh('ping -c 3 -W 1 10.0.0.2; nc -w 1 10.0.0.2 99 < /dev/null'),
      ...DUMPS,
      ...SHOW,
      both('-s mod-flow dp0 "in_port(1),eth(),eth_type(0x0800),ipv4(proto=1,frag=no),icmp()" 2'),
      json('-s mod-flow dp0 "in_port(1),eth(),eth_type(0x0800),ipv4(proto=1,frag=no),icmp()" 2'),
      {
        step: { kind: 'process', words: ['monitor', 'dp0', '--json', '--count', '1', '--interval', '0.1'] },
        output: /^{"name":"system@dp0",.*"flows":3,.*"name":"v1","type":"system".*"busiest":\[{"flow":.*}\]}\n$/,
      },
      wdp('-s del-flow dp0 "in_port(1),eth(),eth_type(0x0800),ipv4(proto=1,frag=no),icmp()"', {
        output: /^packets:[1-9]\d*, bytes:[1-9]\d*, used:\d+\.\d{3}s\n$/,
      }),
    ],
  ],
  [
    'caches',
    [
      both('cache-get-size'),
      both('cache-get-size dp0'),
      json('cache-get-size'),
      both('cache-set-size dp0 masks-cache 512'),
      both('cache-set-size dp0 masks-cache 3'),
      both('cache-set-size dp0 nosuch 4', {
        error: 'Cache name "nosuch" not found on dpif (Invalid argument); there is masks-cache',
      }),
      both('cache-set-size dp0 masks-cache x', { error: 'size is malformed (Invalid argument)' }),
      both('cache-get-size nosuch', { error: /^Opening datapath nosuch failed \(No such device\)/ }),
      both('show'),
    ],
  ],
  [
    'what a datapath of the kernel does not have',
    [
      both('offload-stats-show', { error: 'retrieving offload statistics (Operation not supported)' }),
      both('ct-get-maxconns', { error: 'maxconns could not be retrieved (Operation not supported)' }),
      both('ct-set-maxconns 7', { error: 'ct set maxconns failed (Operation not supported)' }),
      both('ct-get-nconns dp0', { error: 'nconns could not be retrieved (Operation not supported)' }),
      both('ct-enable-tcp-seq-chk', { error: 'enabling TCP sequence checking failed (Operation not supported)' }),
      both('ct-disable-tcp-seq-chk', { error: 'disabling TCP sequence checking failed (Operation not supported)' }),
      both('ct-get-tcp-seq-chk', { error: 'TCP sequence checking query failed (Operation not supported)' }),
      both('ipf-set-enabled v4', { error: 'enabling fragmentation reassembly failed (Operation not supported)' }),
      both('ipf-set-disabled v6', { error: 'disabling fragmentation reassembly failed (Operation not supported)' }),
      both('ipf-set-max-nfrags 7', { error: 'setting maximum fragments failed (Operation not supported)' }),
      both('ipf-get-status', { error: 'ipf status could not be retrieved (Operation not supported)' }),
      both('ct-bkts'),
    ],
  ],
  ...CONNECTION_SCENES,
];

const whyNot = whyNoKernel() ?? requireProgram('ovs-dpctl') ?? nativeUnavailableReason();

describe.skipIf(whyNot)(`beside ovs-dpctl (${whyNot ?? 'runs'})`, () => {
  let results: StepResult[] = [];
  beforeAll(() => {
    const steps = SCENES.flatMap(([, cases]) => cases.map(({ step }) => step));
    results = runSteps(steps, {
      flows: FILE,
      bad: BAD_FILE,
      file: GONE,
    });
  });

  let first = 0;
  for (const [title, cases] of SCENES) {
    const start = first;
    first += cases.length;
    it(title, () => {
      for (const [i, one] of cases.entries()) check(one, results[start + i]);
    });
  }
});
