/*
 * Runs in the virtual machine of kernel-vm/boot: looks the families of openvswitch.ko up, unloads the module and loads it again, and prints what it
 * saw as JSON.
 */
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { lookupFamily } from './dist/src/netlink/index.js';

const NAMES = ['ovs_datapath', 'ovs_vport', 'ovs_flow', 'ovs_packet', 'ovs_meter', 'ovs_ct_limit'];
const run = (...args) => execFileSync('busybox', args, { encoding: 'utf8' });

const families = NAMES.map((name) => {
  const { ops, groups, ...family } = lookupFamily(name);
  return { ...family, ops: [...ops], groups: [...groups] };
});
const genl = execFileSync('/usr/sbin/genl', ['ctrl', 'list'], { encoding: 'utf8' });
const ids = [NAMES.map((name) => lookupFamily(name).id)];
// A lookup makes the kernel load the module again, where it can.
writeFileSync('/proc/sys/kernel/modprobe', '/nowhere');
run('rmmod', 'openvswitch');
let unloaded = '';
try {
  lookupFamily('ovs_flow');
} catch (error) {
  unloaded = error.message;
}
run('modprobe', 'openvswitch');
ids.push(NAMES.map((name) => lookupFamily(name).id));
console.log(JSON.stringify({ families, genl, unloaded, ids }));
