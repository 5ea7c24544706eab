/*
 * Upcall handlers on the kernel's datapath, end to end between two network namespaces, and what goes wrong. The checks are those of support/dpif-switch.mjs.
 */
import path from 'node:path';
import { describeGuestSuite } from './support/guest-suite.ts';

const SUPPORT = path.join(import.meta.dirname, 'support');

describeGuestSuite('handlers on openvswitch.ko', path.join(SUPPORT, 'dpif-switch.mjs'), {
  programs: ['ip', 'ping', 'iperf3', 'ovs-dpctl'],
  files: ['dpif-suite-tools.mjs', 'dpif-gone.mjs'].map((name) => path.join(SUPPORT, name)),
});
