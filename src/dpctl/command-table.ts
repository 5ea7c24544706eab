/*
 * The control commands: names, arguments, and what runs each. Names, usage and numbers of arguments are those of ovs-dpctl 3.1.
 *
 * What runs a command is loaded when it is called for, because each one of the command line has a process of its own, and a short life. Before it: run.ts.
 * After it: the files of this folder.
 */
import type { DpctlContext } from './context.ts';

export type DpctlRun = (context: DpctlContext, args: readonly string[]) => void | Promise<void>;

export interface DpctlCommand {
  readonly name: string;
  /** Arguments, as the list of commands shows them. */
  readonly usage: string;
  readonly minArgs: number;
  readonly maxArgs: number;
  /** It changes something, which --read-only forbids. */
  readonly writes: boolean;
  /** One line for the help. */
  readonly summary: string;
  readonly load: () => Promise<DpctlRun>;
}

const MANY = Number.POSITIVE_INFINITY;

const show = () => import('./show.ts');
const ports = () => import('./ports.ts');
const flows = () => import('./flow-commands.ts');
const conntrack = () => import('./conntrack.ts');
const limits = () => import('./ct-limits.ts');
const absent = () => import('./absent.ts');

function command(
  name: string,
  usage: string,
  [minArgs, maxArgs]: readonly [number, number],
  mode: 'reads' | 'writes',
  summary: string,
  load: () => Promise<DpctlRun>,
): DpctlCommand {
  return { name, usage, minArgs, maxArgs, writes: mode === 'writes', summary, load };
}

/** In the order of ovs-dpctl. */
export const DPCTL_COMMANDS: readonly DpctlCommand[] = [
  command(
    'add-dp',
    'dp [iface...]',
    [1, MANY],
    'writes',
    'add a datapath, with ports',
    async () => (await ports()).addDp,
  ),
  command('del-dp', 'dp', [1, 1], 'writes', 'delete a datapath', async () => (await ports()).delDp),
  command('add-if', 'dp iface...', [2, MANY], 'writes', 'add ports to a datapath', async () => (await ports()).addIf),
  command(
    'del-if',
    'dp iface...',
    [2, MANY],
    'writes',
    'delete ports from a datapath',
    async () => (await ports()).delIf,
  ),
  command('set-if', 'dp iface...', [2, MANY], 'writes', 'change options of ports', async () => (await ports()).setIf),
  command('dump-dps', '', [0, 0], 'reads', 'names of all datapaths', async () => (await show()).dumpDps),
  command('show', '[-s] [dp...]', [0, MANY], 'reads', 'datapaths and their ports', async () => (await show()).show),
  command(
    'dump-flows',
    '[-m] [--names] [dp] [filter=..] [type=..] [pmd=..]',
    [0, 6],
    'reads',
    'flows of a datapath',
    async () => (await flows()).dumpFlows,
  ),
  command('add-flow', '[dp] flow actions', [2, 3], 'writes', 'add a flow', async () => (await flows()).addFlow),
  command('mod-flow', '[dp] flow actions', [2, 3], 'writes', 'change a flow', async () => (await flows()).modFlow),
  command('get-flow', '[dp] ufid', [1, 2], 'reads', 'the flow of a UFID', async () => (await flows()).getFlow),
  command('del-flow', '[dp] flow', [1, 2], 'writes', 'delete a flow', async () => (await flows()).delFlow),
  command('add-flows', '[dp] file', [1, 2], 'writes', 'add the flows of a file', async () => (await flows()).addFlows),
  command(
    'mod-flows',
    '[dp] file',
    [1, 2],
    'writes',
    'change the flows of a file',
    async () => (await flows()).modFlows,
  ),
  command(
    'del-flows',
    '[dp] [file]',
    [0, 2],
    'writes',
    'delete all flows, or those of a file',
    async () => (await flows()).delFlows,
  ),
  command(
    'offload-stats-show',
    '[dp]',
    [0, 1],
    'reads',
    'statistics of hardware offload',
    async () => (await absent()).offloadStatsShow,
  ),
  command(
    'dump-conntrack',
    '[-m] [-s] [dp] [zone=N]',
    [0, 4],
    'reads',
    'tracked connections',
    async () => (await conntrack()).dumpConntrack,
  ),
  command(
    'flush-conntrack',
    '[dp] [zone=N] [ct-orig-tuple] [ct-reply-tuple]',
    [0, 4],
    'writes',
    'forget connections',
    async () => (await conntrack()).flushConntrack,
  ),
  command(
    'cache-get-size',
    '[dp]',
    [0, 1],
    'reads',
    'sizes of the caches of a datapath',
    async () => (await show()).cacheGetSize,
  ),
  command(
    'cache-set-size',
    'dp cache <size>',
    [3, 3],
    'writes',
    'set the size of a cache',
    async () => (await show()).cacheSetSize,
  ),
  command(
    'ct-stats-show',
    '[dp] [zone=N]',
    [0, 3],
    'reads',
    'connections by protocol',
    async () => (await conntrack()).ctStatsShow,
  ),
  command(
    'ct-bkts',
    '[dp] [gt=N]',
    [0, 2],
    'reads',
    'connections by bucket',
    async () => (await conntrack()).ctBuckets,
  ),
  command(
    'ct-set-maxconns',
    '[dp] maxconns',
    [1, 2],
    'writes',
    'limit all connections',
    async () => (await absent()).ctSetMaxconns,
  ),
  command(
    'ct-get-maxconns',
    '[dp]',
    [0, 1],
    'reads',
    'the limit of all connections',
    async () => (await absent()).ctGetMaxconns,
  ),
  command(
    'ct-get-nconns',
    '[dp]',
    [0, 1],
    'reads',
    'how many connections there are',
    async () => (await absent()).ctGetNconns,
  ),
  command(
    'ct-enable-tcp-seq-chk',
    '[dp]',
    [0, 1],
    'writes',
    'check TCP sequence numbers',
    async () => (await absent()).ctEnableTcpSeqChk,
  ),
  command(
    'ct-disable-tcp-seq-chk',
    '[dp]',
    [0, 1],
    'writes',
    'do not check TCP sequence numbers',
    async () => (await absent()).ctDisableTcpSeqChk,
  ),
  command(
    'ct-get-tcp-seq-chk',
    '[dp]',
    [0, 1],
    'reads',
    'whether TCP sequence numbers are checked',
    async () => (await absent()).ctGetTcpSeqChk,
  ),
  command(
    'ct-set-limits',
    '[dp] [default=L] [zone=N,limit=L]...',
    [1, MANY],
    'writes',
    'limit the connections of zones',
    async () => (await limits()).ctSetLimits,
  ),
  command(
    'ct-del-limits',
    '[dp] zone=N1[,N2]...',
    [1, 2],
    'writes',
    'lift limits of zones',
    async () => (await limits()).ctDelLimits,
  ),
  command(
    'ct-get-limits',
    '[dp] [zone=N1[,N2]...]',
    [0, 2],
    'reads',
    'limits of zones',
    async () => (await limits()).ctGetLimits,
  ),
  command(
    'ipf-set-enabled',
    '[dp] v4|v6',
    [1, 2],
    'writes',
    'reassemble fragments',
    async () => (await absent()).ipfSetEnabled,
  ),
  command(
    'ipf-set-disabled',
    '[dp] v4|v6',
    [1, 2],
    'writes',
    'do not reassemble fragments',
    async () => (await absent()).ipfSetDisabled,
  ),
  command(
    'ipf-set-min-frag',
    '[dp] v4|v6 minfragment',
    [2, 3],
    'writes',
    'size of the smallest fragment',
    async () => (await absent()).ipfSetMinFrag,
  ),
  command(
    'ipf-set-max-nfrags',
    '[dp] maxfrags',
    [1, 2],
    'writes',
    'how many fragments are held',
    async () => (await absent()).ipfSetMaxNfrags,
  ),
  command('ipf-get-status', '[dp]', [0, 1], 'reads', 'state of reassembly', async () => (await absent()).ipfGetStatus),
];

export function findCommand(name: string): DpctlCommand | undefined {
  return DPCTL_COMMANDS.find((command) => command.name === name);
}
