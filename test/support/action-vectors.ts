/*
 * One small list of each action, written by hand: text, attributes, and the calls of the builder that make it.
 */
import { type Action, actions } from '../../src/odp/index.ts';

export function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}

/** Bytes of hexadecimal digits, blanks between them allowed. */
export function bytes(text: string): Uint8Array {
  return Uint8Array.from(Buffer.from(text.replaceAll(' ', ''), 'hex'));
}

/** What `run` throws, undefined when it does not. */
export function thrown(run: () => unknown): unknown {
  try {
    run();
  } catch (error) {
    return error;
  }
  return undefined;
}

/** Written by hand from linux/openvswitch.h: text of ovs-dpctl, attributes, builder. */
export const VECTORS: [text: string, hex: string, built: Action[]][] = [
  ['recirc(0x10)', '0800 0700 10000000', actions().recirc(16).build()],
  ['hash(l4(5))', '0c00 0800 00000000 05000000', actions().hash(5).build()],
  ['hash(sym_l4(0))', '0c00 0800 01000000 00000000', actions().hash(0, 'symL4').build()],
  [
    'push_mpls(label=100,tc=3,ttl=64,bos=1,eth_type=0x8847)',
    '0c00 0900 00064740 8847 0000',
    actions().pushMpls({ label: 100, tc: 3, ttl: 64, bos: 1, ethType: 0x8847 }).build(),
  ],
  ['pop_mpls(eth_type=0x800)', '0600 0a00 0800 0000', actions().popMpls(0x800).build()],
  [
    'add_mpls(label=0,tc=0,ttl=64,bos=1,eth_type=0x8847)',
    '0c00 1600 00000140 8847 0000',
    actions().addMpls({ label: 0, tc: 0, ttl: 64, bos: 1, ethType: 0x8847, flags: 0 }).build(),
  ],
  [
    'push_eth(src=00:00:00:00:00:01,dst=00:00:00:00:00:02)',
    '1000 0e00 000000000001 000000000002',
    actions().pushEth({ src: '00:00:00:00:00:01', dst: '00:00:00:00:00:02' }).build(),
  ],
  ['pop_eth', '0400 0f00', actions().popEth().build()],
  [
    'push_nsh(flags=0,ttl=63,mdtype=1,np=3,spi=0x10,si=255,c1=0x1,c2=0x2,c3=0x3,c4=0x4)',
    '2800 1100 2400 1c00 0c00 0100 003f0103 000010ff 1400 0200 00000001 00000002 00000003 00000004',
    actions()
      .pushNsh({ flags: 0, ttl: 63, mdtype: 1, np: 3, spi: 16, si: 255, context: [1, 2, 3, 4] })
      .build(),
  ],
  ['pop_nsh()', '0400 1200', actions().popNsh().build()],
  [
    'set(nsh(ttl=3,si=0x0f/0x0f))',
    '1c00 0b00 1800 1c00 1400 0100 0003000000000 00f 00ff000000 00000f',
    actions()
      .setNsh({ ttl: 3, si: { value: 15, mask: 15 } })
      .build(),
  ],
  ['meter(7)', '0800 1300 07000000', actions().meter(7).build()],
  [
    'sample(sample=50.0%,actions(3))',
    '1800 0600 0800 0100 00000080 0c00 0200 0800 0100 03000000',
    actions()
      .sample(0.5, (nested) => nested.output(3))
      .build(),
  ],
  [
    'clone(ct_clear,1)',
    '1000 1400 0400 1000 0800 0100 01000000',
    actions()
      .clone([{ type: 'ctClear' }, { type: 'output', port: 1 }])
      .build(),
  ],
  [
    'check_pkt_len(size=1500,gt(drop),le(2))',
    '1c00 1500 0600 0100 dc05 0000 0400 0200 0c00 0300 0800 0100 02000000',
    actions()
      .checkPktLen(1500, [], (nested) => nested.output(2))
      .build(),
  ],
  [
    'dec_ttl(le_1(1))',
    '1000 1700 0c00 0100 0800 0100 01000000',
    actions()
      .decTtl((nested) => nested.output(1))
      .build(),
  ],
  [
    'psample(group=1,cookie=0x1020)',
    '1400 1980 0800 0100 01000000 0600 0200 1020 0000',
    actions().psample(1, bytes('1020')).build(),
  ],
  ['ct', '0400 0c00', actions().ct().build()],
  [
    'ct(commit,zone=5,mark=0x1/0xff,helper=ftp,nat(src=10.0.0.1-10.0.0.9:100-200,persistent,random))',
    '5400 0c00 0400 0100 0600 0200 0500 0000 0c00 0300 01000000 ff000000 0800 0500 66747000 ' +
      '3000 0600 0400 0100 0800 0300 0a000001 0800 0400 0a000009 0600 0500 6400 0000 0600 0600 c800 0000 0400 0700 0400 0900',
    actions()
      .ct({
        commit: true,
        zone: 5,
        mark: { value: 1, mask: 255 },
        helper: 'ftp',
        nat: {
          direction: 'src',
          address: { min: '10.0.0.1', max: '10.0.0.9' },
          port: { min: 100, max: 200 },
          persistent: true,
          random: true,
        },
      })
      .build(),
  ],
  [
    'ct(force_commit,timeout=t,nat(dst=[2001:db8::1]:80))',
    '3400 0c00 0400 0700 0600 0900 7400 0000 2400 0600 0400 0200 1400 0300 20010db8000000000000000000000001 0600 0500 5000 0000',
    actions()
      .ct({
        forceCommit: true,
        timeout: 't',
        nat: { direction: 'dst', address: { min: '2001:db8::1' }, port: { min: 80 } },
      })
      .build(),
  ],
  [
    'userspace(pid=1,slow_path(cfm,lacp),actions)',
    '4400 0200 0800 0100 01000000 3400 0200 02000000 ffff0000 00000000000000000000000000000000 00000000 05000000' +
      ' 00000000000000000000000000000000 0400 0400',
    actions()
      .userspace({ pid: 1, userdata: { type: 'slowPath', reason: 5 }, actions: true })
      .build(),
  ],
  ['tnl_pop(4)', '0800 1b00 04000000', actions().tunnelPop(4).build()],
  ['lb_output(2)', '0800 1c00 02000000', actions().lbOutput(2).build()],
  [
    'tnl_push(tnl_port(4),header(size=50,type=4,eth(dst=00:00:00:00:00:02,src=00:00:00:00:00:01,dl_type=0x0800),' +
      'ipv4(src=1.1.2.88,dst=1.1.2.92,proto=17,tos=0,ttl=64,frag=0x4000),udp(src=0,dst=4789,csum=0x0),' +
      'vxlan(flags=0x8000000,vni=0x7b)),out_port(100))',
    '4600 1a00 04000000 64000000 32000000 04000000 000000000002 000000000001 0800' +
      '4500 0000 0000 4000 4011 3438 01010258 0101025c 0000 12b5 0000 0000 08000000 00007b00 0000',
    actions()
      .tunnelPush(
        { tunnelPort: 4, outPort: 100 },
        {
          eth: { dst: '00:00:00:00:00:02', src: '00:00:00:00:00:01', dlType: 0x800 },
          ipv4: { src: '1.1.2.88', dst: '1.1.2.92', proto: 17, tos: 0, ttl: 64, frag: 0x4000 },
          udp: { src: 0, dst: 4789, csum: 0 },
          tunnel: { type: 'vxlan', flags: 0x8000000, vni: 123 },
        },
      )
      .build(),
  ],
];
