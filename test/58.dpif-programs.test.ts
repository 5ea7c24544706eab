/*
 * The kernel's datapath under two programs that change it at the same time. The checks are those of support/dpif-programs.mjs; the same on ours is in 59.dpif-programs.
 */
import path from 'node:path';
import { describeGuestSuite } from './support/guest-suite.ts';

const SUPPORT = path.join(import.meta.dirname, 'support');

describeGuestSuite('two programs on openvswitch.ko', path.join(SUPPORT, 'dpif-programs.mjs'), {
  programs: ['ip', 'ovs-dpctl'],
  files: ['dpif-suite-tools.mjs', 'dpif-churn.mjs'].map((file) => path.join(SUPPORT, file)),
});
