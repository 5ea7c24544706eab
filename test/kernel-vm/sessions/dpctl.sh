# Every command of ovs-dpctl that talks to the datapath, right and wrong. Run by ../sessions.ts.
mkdir -p /tmp/run
export OVS_RUNDIR=/tmp/run
mkfifo /tmp/frames
./tap p1 p2 < /tmp/frames &
exec 7> /tmp/frames
sleep 0.5

dpctl() { RECORD=$PWD/out/records LD_PRELOAD=$PWD/record.so ovs-dpctl -voff "$@" > /dev/null 2>&1; }

KEY='in_port(1),eth(src=02:00:00:00:00:0a,dst=02:00:00:00:00:0b),eth_type(0x0800),ipv4(src=10.0.0.1,dst=10.0.0.2,proto=17,tos=0,ttl=64,frag=no),udp(src=5,dst=6)'
WILD='in_port(2),eth(src=02:00:00:00:00:00/ff:ff:ff:ff:ff:00,dst=02:00:00:00:00:0b),eth_type(0x0800),ipv4(src=10.0.0.0/255.255.255.0,dst=10.0.0.2,proto=6,frag=no)'

dpctl dump-dps
dpctl show
dpctl add-dp dp0
dpctl add-dp dp0
dpctl --may-create add-dp dp0
dpctl add-dp dp1 p1
dpctl add-if dp0 p1
dpctl del-if dp1 p1
dpctl add-if dp0 p1 p2,port_no=7 i1,type=internal i2,type=internal,port_no=9
dpctl add-if dp0 none
dpctl add-if dp0 p2
dpctl add-if dp0 i3,type=internal,port_no=9
dpctl add-if dp0 i3,type=internal,port_no=70000
dpctl set-if dp0 p1,port_no=1
dpctl set-if dp0 p1,port_no=2
dpctl set-if dp0 p1,type=internal
dpctl -s show
dpctl show dp0 dp1 none
dpctl dump-dps
dpctl add-flow dp0 "$KEY" 7
dpctl add-flow dp0 "$KEY" 9
dpctl --may-create mod-flow dp0 "$KEY" 9
dpctl mod-flow dp0 "$KEY" 7,9
dpctl mod-flow dp0 "$WILD" drop
dpctl --may-create mod-flow dp0 "$WILD" drop
cat frames-rules | sed 's/^p3/p1/' >&7
sleep 1
dpctl -s mod-flow dp0 "$KEY" 7
dpctl -s --clear mod-flow dp0 "$KEY" 9
dpctl add-flow dp0 "ufid:00112233-4455-6677-8899-aabbccddeeff,recirc_id(0x5),$WILD" 'push_vlan(vid=5,pcp=3),7,pop_vlan,userspace(pid=2001,userdata(0102))'
dpctl get-flow dp0 ufid:00112233-4455-6677-8899-aabbccddeeff
dpctl get-flow dp0 ufid:00112233-4455-6677-8899-aabbccddeef0
dpctl get-flow dp0 "$KEY"
dpctl add-flow dp0 'in_port(1),eth(),eth_type(0x1234)' 'meter(1)'
dpctl add-flow dp0 'in_port(1),eth(),eth_type(0x1234)' 'sample(sample=50%,actions(7)),clone(set(eth(src=02:00:00:00:00:01)),9)'
dpctl add-flow dp0 'in_port(1),eth(),eth_type(0x86dd),ipv6(proto=58)' 'trunc(100),7,hash(hash_l4(0)),recirc(0x7)'
dpctl add-flow dp0 'in_port(1),eth(),eth_type(0x8847),mpls(label=5,tc=0,ttl=3,bos=1)' 'pop_mpls(eth_type=0x800),9'
dpctl add-flow dp0 'tunnel(tun_id=0x5,src=1.1.1.1,dst=2.2.2.2,flags(key)),in_port(1),eth(),eth_type(0x0806)' 'set(tunnel(tun_id=0x7,src=1.1.1.1,dst=2.2.2.2,ttl=64,flags(df|key))),7'
dpctl add-flows dp0 flows
dpctl dump-flows dp0
dpctl -m dump-flows dp0
dpctl --names dump-flows dp0
dpctl dump-flows dp0 type=ovs
dpctl dump-flows dp0 'filter=udp'
dpctl del-flow dp0 "$KEY"
dpctl del-flow dp0 "$KEY"
dpctl -s del-flow dp0 ufid:00112233-4455-6677-8899-aabbccddeeff
dpctl del-flow dp0 ufid:00112233-4455-6677-8899-aabbccddeeff
dpctl del-flows dp0 'filter=ip'
dpctl cache-get-size dp0
dpctl cache-set-size dp0 masks-cache 1024
dpctl cache-set-size dp0 masks-cache 1000
dpctl cache-set-size dp0 masks-cache 0
dpctl cache-get-size dp0
dpctl del-if dp0 p1 i1 none
dpctl del-if dp0 dp0
dpctl -s show dp0
dpctl del-flows dp0
dpctl dump-flows dp0
dpctl del-dp dp1
dpctl del-dp none
dpctl del-dp dp0
dpctl dump-dps
