# A day in the life of ovs-vswitchd on the kernel's datapath: bridges, ports, traffic, and rules of many kinds. Run by ../sessions.ts.
export OVS_RUNDIR=/tmp/run OVS_LOGDIR=/tmp/run OVS_DBDIR=/tmp/run OVS_SYSCONFDIR=/tmp/run
mkdir -p /tmp/run

vsctl() { timeout 20 ovs-vsctl "$@"; }
ofctl() { timeout 10 ovs-ofctl -O OpenFlow15 "$@"; }
# Frames of the files that are named go through the tap devices, slowly enough for each to be answered.
frames() {
  for name in "$@"; do
    while read -r line; do
      echo "$line" >&7
      sleep 0.15
    done < "frames-$name"
  done
}

ovsdb-tool create /tmp/run/conf.db vswitch.ovsschema
ovsdb-server /tmp/run/conf.db --remote=punix:/tmp/run/db.sock --no-chdir -vconsole:off > /dev/null 2>&1 &
while [ ! -S /tmp/run/db.sock ]; do sleep 0.1; done
vsctl --no-wait init
mkfifo /tmp/frames
./tap p1 p2 p3 < /tmp/frames &
exec 7> /tmp/frames
sleep 0.5
RECORD=$PWD/out/records LD_PRELOAD=$PWD/record.so \
  ovs-vswitchd unix:/tmp/run/db.sock --pidfile --log-file=/tmp/run/log -vconsole:off > /dev/null 2>&1 &
switch=$!

vsctl add-br br0 -- set bridge br0 other-config:hwaddr=02:00:00:00:00:99
vsctl add-port br0 p1 -- add-port br0 p2 -- set interface p1 ofport_request=1 -- set interface p2 ofport_request=2
sleep 1
frames learning
vsctl set port p2 tag=7
frames tagged
vsctl clear port p2 tag
vsctl add-br br1 -- add-port br1 p3 -- set interface p3 ofport_request=3 \
  -- add-port br0 patch0 -- set interface patch0 type=patch options:peer=patch1 \
  -- add-port br1 patch1 -- set interface patch1 type=patch options:peer=patch0
sleep 1
frames learning

ofctl del-flows br0
ofctl add-meter br0 'meter=1,pktps,burst,bands=type=drop,rate=100000,burst_size=100000'
ofctl add-group br0 'group_id=1,type=all,bucket=output:2,bucket=set_field:02:00:00:00:00:77->eth_dst,output:1'
ofctl add-group br0 'group_id=2,type=select,bucket=weight:1,output:2,bucket=weight:1,mod_vlan_vid:5,output:2'
ofctl add-flows br0 openflow
frames rules
ofctl dump-flows br0 > /dev/null
sleep 1
vsctl -- --id=@s create sflow agent=br0 target='"127.0.0.1:6343"' sampling=1 polling=0 -- set bridge br0 sflow=@s
frames learning
vsctl clear bridge br0 sflow
vsctl -- --id=@p get port p2 -- --id=@m create mirror name=m select-all=true output-port=@p -- set bridge br0 mirrors=@m
frames learning
vsctl clear bridge br0 mirrors
ofctl mod-flows br0 'tcp,actions=drop'
sleep 1
frames rules
ofctl del-meter br0 meter=1
ovs-appctl -t ovs-vswitchd upcall/show > /dev/null
ovs-appctl -t ovs-vswitchd dpctl/dump-flows -m > /dev/null
ovs-appctl -t ovs-vswitchd revalidator/purge
vsctl del-port br1 p3
vsctl del-br br1
sleep 12
ovs-appctl -t ovs-vswitchd exit --cleanup
wait $switch
