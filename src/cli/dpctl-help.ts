/*
 * The help of the control commands, and their place in the list of all commands. Before it: program.ts. control.ts runs the commands themselves.
 */
import { type Command, Option } from 'commander';
import { DPCTL_COMMANDS } from '../dpctl/command-table.ts';
import { DPCTL_OPTIONS, type DpctlOptionRow } from '../dpctl/options.ts';
import { LOCAL_OPTIONS } from './dpctl.ts';

const GROUP = 'Control commands, as of ovs-dpctl:';

/** Which options each command looks at, beside those that all do. */
const OPTIONS: Readonly<Record<string, readonly string[]>> = {
  show: ['statistics', 'json'],
  'dump-dps': ['json'],
  'dump-flows': ['more', 'names', 'no-names', 'json'],
  'get-flow': ['more', 'names', 'no-names', 'json'],
  'add-flow': ['statistics', 'json'],
  'mod-flow': ['may-create', 'clear', 'statistics', 'json'],
  'del-flow': ['statistics', 'json'],
  'add-flows': ['statistics', 'json'],
  'mod-flows': ['statistics', 'json'],
  'del-flows': ['statistics', 'json'],
  'dump-conntrack': ['more', 'statistics', 'json'],
  'ct-stats-show': ['more', 'json'],
  'ct-get-limits': ['json'],
  'cache-get-size': ['json'],
};

const MORE: Readonly<Record<string, string>> = {
  'add-if': `
iface: NAME[,type=TYPE][,port_no=N][,KEY=VALUE]...   TYPE: system (a network device, the default), internal, vxlan, geneve, gre, ...`,
  'dump-flows': `
filter=FIELDS  fields as of ovs-ofctl, such as filter=tcp,nw_dst=10.0.0.2: flows that nothing in it contradicts
type=LIST      ovs, tc, dpdk, offloaded, non-offloaded, partially-offloaded, all
pmd=N          flows of one poll thread`,
  'add-flows': `
file: one flow a line, [add|modify|delete] FLOW [ACTIONS], FLOW without blanks; - for standard input. A line that
cannot be carried out is told and skipped, and makes the command fail in the end.`,
  'flush-conntrack': `
tuples: ct_nw_src=IP,ct_nw_dst=IP,ct_nw_proto=N,ct_tp_src=N,ct_tp_dst=N, or ct_ipv6_src, ct_ipv6_dst, icmp_id, icmp_type,
icmp_code; what is left out may be anything.`,
};

/** Lists the control commands, each with its help. */
export function registerDpctlHelp(program: Command): void {
  for (const { name, usage, summary, writes } of DPCTL_COMMANDS) {
    const command = program.command(name).summary(summary).usage(usage).helpGroup(GROUP);
    command.description(`${summary[0].toUpperCase()}${summary.slice(1)}.`);
    command.addHelpText(
      'after',
      `${MORE[name] ?? ''}\ndp: [TYPE@]NAME, the only datapath if it is left out where it may be.`,
    );
    const looksAt = [...(OPTIONS[name] ?? []), ...(writes ? ['read-only'] : [])];
    for (const row of [...DPCTL_OPTIONS.filter(({ long }) => looksAt.includes(long)), ...LOCAL_OPTIONS]) {
      if (row.long !== 'help') command.addOption(new Option(flags(row), row.summary));
    }
  }
}

function flags({ short, long, value }: DpctlOptionRow): string {
  return `${short === undefined ? '' : `-${short}, `}--${long}${value === undefined ? '' : ` <${value}>`}`;
}
