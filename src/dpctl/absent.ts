/*
 * Commands about what no datapath here has: limits and checks of Open vSwitch's own connection tracker, its reassembly of fragments, hardware offload. They
 * open the datapath and say so, as ovs-dpctl does for a datapath of the kernel. Before it: command-table.ts.
 */
import { constants } from 'node:os';
import type { DpctlRun } from './command-table.ts';
import { withOptionalDatapath } from './datapaths.ts';

const { EOPNOTSUPP } = constants.errno;

/** A command that fails with `what`; `maxArgs` of them with the datapath. */
function absent(what: string, maxArgs: number): DpctlRun {
  return (context, args) => withOptionalDatapath(context, args, maxArgs, () => context.fail(what, EOPNOTSUPP));
}

export const offloadStatsShow = absent('retrieving offload statistics', 1);
export const ctSetMaxconns = absent('ct set maxconns failed', 2);
export const ctGetMaxconns = absent('maxconns could not be retrieved', 1);
export const ctGetNconns = absent('nconns could not be retrieved', 1);
export const ctEnableTcpSeqChk = absent('enabling TCP sequence checking failed', 1);
export const ctDisableTcpSeqChk = absent('disabling TCP sequence checking failed', 1);
export const ctGetTcpSeqChk = absent('TCP sequence checking query failed', 1);
export const ipfSetEnabled = absent('enabling fragmentation reassembly failed', 2);
export const ipfSetDisabled = absent('disabling fragmentation reassembly failed', 2);
export const ipfSetMinFrag = absent('setting minimum fragment size failed', 3);
export const ipfSetMaxNfrags = absent('setting maximum fragments failed', 2);
export const ipfGetStatus = absent('ipf status could not be retrieved', 1);
