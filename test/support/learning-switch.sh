#!/bin/bash
# Two hosts in network namespaces behind examples/dpif/learning-switch on the provider netdev. Runs in a network and a mount namespace of its own:
#
#   unshare --net --mount learning-switch.sh EXAMPLE
#
# Prints what the two pings and the example print; fails when a ping is not answered.
set -eu
mount -t tmpfs none /run
mkdir /run/netns
for i in 1 2; do
  ip netns add "host$i"
  ip link add "port$i" type veth peer name eth0 netns "host$i"
  ip link set "port$i" up
  ip -n "host$i" addr add "10.9.0.$i/24" dev eth0
  ip -n "host$i" addr add "fd00::$i/64" dev eth0 nodad
  ip -n "host$i" link set eth0 up
done
coproc SWITCH { exec "$(command -v node)" "$1" netdev@lan port1 port2 --for 20; }
exec 3<&"${SWITCH[0]}"
read -r line <&3
echo "$line"
ip netns exec host1 ping -c 4 -i 0.2 -W 5 10.9.0.2
ip netns exec host2 ping -c 4 -i 0.2 -W 5 fd00::1
kill -INT "$SWITCH_PID"
cat <&3
