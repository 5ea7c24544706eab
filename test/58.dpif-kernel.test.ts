/*
 * wasm-datapath/dpif on the kernel's datapath, beside ovs-dpctl and ovs-vswitchd: datapaths, ports, flows, meters, limits, tunnels, probes. The checks are those of
 * support/dpif-suite.mjs.
 */
import path from 'node:path';
import { describeGuestSuite } from './support/guest-suite.ts';

const SUPPORT = path.join(import.meta.dirname, 'support');
const SCHEMA = '/usr/share/openvswitch/vswitch.ovsschema';

describeGuestSuite('dpif on openvswitch.ko', path.join(SUPPORT, 'dpif-suite.mjs'), {
  programs: ['ip', 'ovs-dpctl', 'ovsdb-tool', 'ovsdb-server', 'ovs-vsctl', 'ovs-vswitchd', 'ovs-appctl'],
  files: [path.join(SUPPORT, 'dpif-suite-tools.mjs'), SCHEMA],
});
