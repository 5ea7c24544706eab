# shellcheck shell=bash
#
# peer: starts and ends one private Open vSwitch with its userspace (DPDK) datapath, and gives back what it borrowed.
#
# Sourced by `run`, which is already inside a network namespace of its own when it calls anything here. Database, sockets,
# logs and pid files live in $work; both daemons are children of `run`, die with it (parent death signal) and are ended by
# pid. Bridge `b` has port 2 = null (packets sent there are counted and freed) and ports 10, 11, ... = one pcap file each.
#
# A port is polled as soon as it exists, before its OpenFlow port does, and early packets would be lost as failed upcalls.
# So the null port is pinned to the only poll thread first, which isolates that thread: pcap ports get no thread until
# `peer_open` unpins null and pins them, in one transaction, when rules, limits and counters are ready.

# The settings work, main_core, pmd_core and hugepages_mode are `run`'s, and it reads PEER_PACKAGES, hugepages_used:
# shellcheck disable=SC2034,SC2154

readonly PEER_VSWITCHD=/usr/lib/openvswitch-switch-dpdk/ovs-vswitchd-dpdk
readonly PEER_SCHEMA=/usr/share/openvswitch/vswitch.ovsschema
readonly PEER_DRIVERS=(librte_net_pcap librte_net_null librte_mempool_ring librte_bus_vdev)
readonly PEER_PACKAGES='openvswitch-switch openvswitch-switch-dpdk librte-net-pcap23 librte-net-null23 librte-mempool-ring23'
readonly PEER_COMMAND_TIMEOUT_S=120
readonly PEER_DEATH_TRIES=50
readonly HUGEPAGES=/proc/sys/vm/nr_hugepages

peer_server_pid=''
peer_switch_pid=''
peer_switch_dead=0
peer_ports=0
hugepages_before=''
hugepages_used=0

say() { printf 'ovs: %s\n' "$*" >&2; }

# Runs a command so that a signal interrupts the wait for it at once (bash runs traps only between foreground commands), and
# gives it up when the switch dies meanwhile: ovs-vsctl would wait for the dead.
attended_pid=''
attend() {
  local status=0
  if switch_died; then return 1; fi
  "$@" &
  attended_pid=$!
  if [[ -n $peer_switch_pid ]]; then
    wait -n "$attended_pid" "$peer_switch_pid" || status=$?
    if switch_died; then
      end_child "$attended_pid"
      status=1
    fi
  else
    wait "$attended_pid" || status=$?
  fi
  attended_pid=''
  return "$status"
}

# True from the death of the switch until peer_stop. Its pid is forgotten at once: it may soon be a stranger's.
switch_died() {
  if [[ -n $peer_switch_pid ]] && ! kill -0 "$peer_switch_pid" 2>/dev/null; then
    say 'the switch has died'
    peer_switch_pid=''
    peer_switch_dead=1
  fi
  ((peer_switch_dead))
}

# Prints what is missing, one item a line.
peer_missing() {
  local program driver
  for program in ovsdb-tool ovsdb-server ovs-vsctl ovs-ofctl ovs-appctl node unshare setpriv; do
    command -v "$program" >/dev/null || echo "$program"
  done
  [[ -x $PEER_VSWITCHD ]] || echo "$PEER_VSWITCHD"
  for driver in "${PEER_DRIVERS[@]}"; do
    compgen -G "/usr/lib/*/dpdk/pmds-*/$driver.so*" >/dev/null || echo "$driver.so"
  done
}

peer_vsctl() { attend ovs-vsctl --timeout="$PEER_COMMAND_TIMEOUT_S" "--db=unix:$work/db.sock" "$@"; }
peer_appctl() { attend ovs-appctl --timeout="$PEER_COMMAND_TIMEOUT_S" -t "$work/switch.ctl" "$@"; }

free_hugepages() { awk '$1 == "HugePages_Free:" { print $2 }' /proc/meminfo; }

# hugepages_take COUNT: makes COUNT 2 MiB pages free, or fails and leaves the machine as it was.
hugepages_take() {
  local wanted=$1 free now size
  size=$(awk '$1 == "Hugepagesize:" { print $2 }' /proc/meminfo)
  [[ $size == 2048 && -w $HUGEPAGES ]] || return 1
  free=$(free_hugepages)
  if ((free < wanted)); then
    now=$(<"$HUGEPAGES")
    hugepages_before=${hugepages_before:-$now}
    echo $((now + wanted - free)) >"$HUGEPAGES"
    if (($(free_hugepages) < wanted)); then
      hugepages_return
      return 1
    fi
  fi
  hugepages_used=$wanted
}

hugepages_return() {
  hugepages_used=0
  if [[ -n $hugepages_before ]]; then
    echo "$hugepages_before" >"$HUGEPAGES"
    hugepages_before=''
  fi
}

wait_for_file() {
  local path=$1 pid=$2 try
  for ((try = 0; try < 300; try++)); do
    [[ -e $path ]] && return
    kill -0 "$pid" 2>/dev/null || return 1
    attend sleep 0.1 || return
  done
  return 1
}

# peer_memory FRAME_PORTS: MiB for one pool of 262,144 buffers a port, each 1 KiB a buffer larger than the one before (see
# peer_add_port); a pool was seen to take 766 + 257 * port.
peer_memory() {
  local ports=$1 port mib=96
  for ((port = 0; port < ports; port++)); do mib=$((mib + 770 + 258 * port)); done
  echo "$mib"
}

# peer_start FRAME_PORTS: daemons, bridge and the null port.
peer_start() {
  local memory extra='--no-pci'
  memory=$(peer_memory "$1")
  peer_ports=0
  rm -rf "${work:?}"/conf.db* "$work"/*.sock "$work"/*.ctl "$work"/*.pid "$work"/*.mgmt
  if [[ $hugepages_mode == off ]] || ! hugepages_take $((memory / 2)); then
    hugepages_used=0
    # Ordinary memory excludes the --in-memory that Open vSwitch adds by itself; --legacy-mem keeps it from doing so.
    extra+=" --no-huge --legacy-mem --no-shconf -m $((memory + 64))"
  fi

  attend ovsdb-tool create "$work/conf.db" "$PEER_SCHEMA" || return
  setpriv --pdeathsig TERM ovsdb-server "$work/conf.db" "--remote=punix:$work/db.sock" "--pidfile=$work/server.pid" \
    --no-chdir "--unixctl=$work/server.ctl" "--log-file=$work/server.log" >>"$work/output.log" 2>&1 &
  peer_server_pid=$!
  wait_for_file "$work/db.sock" "$peer_server_pid" || return
  peer_vsctl --no-wait init || return
  peer_vsctl --no-wait set Open_vSwitch . other_config:dpdk-init=true "other_config:dpdk-extra=\"$extra\"" \
    "other_config:dpdk-lcore-mask=$(core_mask "$main_core")" "other_config:pmd-cpu-mask=$(core_mask "$pmd_core")" \
    other_config:flow-limit=2000000 other_config:max-idle=100000000 || return
  RUNTIME_DIRECTORY=$work setpriv --pdeathsig TERM "$PEER_VSWITCHD" "unix:$work/db.sock" --disable-system --no-chdir \
    "--pidfile=$work/switch.pid" "--unixctl=$work/switch.ctl" "--log-file=$work/switch.log" >>"$work/output.log" 2>&1 &
  peer_switch_pid=$!
  wait_for_file "$work/switch.ctl" "$peer_switch_pid" || return
  peer_vsctl add-br b -- set bridge b datapath_type=netdev fail-mode=secure || return
  peer_vsctl add-port b nul -- set Interface nul type=dpdk 'options:dpdk-devargs="net_null7,no-rx=1"' \
    ofport_request=2 "other_config:pmd-rxq-affinity=\"0:$pmd_core\""
}

core_mask() { printf '0x%x' $((1 << $1)); }

# peer_add_port PCAP INFINITE(0|1). Ports of one MTU class share a pool of at most 262,144 buffers and an endless pcap
# port keeps one a frame, so each further port asks for an MTU of the next class; the frames stay 60 bytes.
peer_add_port() {
  local pcap=$1 infinite=$2 port=$peer_ports
  peer_ports=$((peer_ports + 1))
  peer_vsctl add-port b "pc$port" -- set Interface "pc$port" type=dpdk mtu_request=$((1500 + 1000 * port)) \
    "options:dpdk-devargs=\"net_pcap$port,rx_pcap=$pcap,infinite_rx=$infinite\"" ofport_request=$((10 + port))
}

# peer_rules FILE MEGAFLOWS(enable|disable), then what keeps the flows in place: limit raised, revalidators paused (best case
# for the peer). Pausing comes last: switching megaflows waits for the revalidators.
peer_rules() {
  attend ovs-ofctl -vconsole:err --timeout=600 add-flows "unix:$work/b.mgmt" "$1" || return
  peer_appctl "upcall/$2-megaflows" >&2 || return
  peer_appctl upcall/set-flow-limit 2000000 >&2 || return
  peer_appctl revalidator/pause >&2 || return
  peer_appctl dpif-netdev/pmd-stats-clear >&2
}

# Prints the ovs-vsctl arguments, one a line, that let the poll thread see the pcap ports.
peer_open_arguments() {
  local port
  printf '%s\n' clear Interface nul other_config
  for ((port = 0; port < peer_ports; port++)); do
    printf '%s\n' -- set Interface "pc$port" "other_config:pmd-rxq-affinity=\"0:$pmd_core\""
  done
}

# end_child PID: TERM, then KILL after PEER_DEATH_TRIES tenths of a second; only ever a child of this shell.
end_child() {
  local pid=$1 try
  [[ -n $pid ]] || return 0
  kill -TERM "$pid" 2>/dev/null
  for ((try = 0; try < PEER_DEATH_TRIES; try++)); do
    kill -0 "$pid" 2>/dev/null || break
    sleep 0.1
  done
  kill -KILL "$pid" 2>/dev/null
  wait "$pid" 2>/dev/null
  return 0
}

peer_stop() {
  end_child "$peer_switch_pid"
  peer_switch_pid=''
  peer_switch_dead=0
  end_child "$peer_server_pid"
  peer_server_pid=''
}
