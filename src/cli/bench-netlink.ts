/*
 * wdp bench netlink: reads the options, and runs the benchmark, `neigh` in a network namespace of its own. Before it: bench.ts. After it:
 * bench/netlink.ts, loaded only when it is asked for. Main thread.
 */
import { spawnSync } from 'node:child_process';
import { type Command, Option } from 'commander';
import type { NetlinkBenchOptions } from '../bench/netlink.ts';
import { DatapathError } from '../errors.ts';
import { whole } from './bench-options.ts';

const COUNT_MAX = 1_000_000_000;
const BATCH_MAX = 65_536;
const REPEAT_MAX = 1000;
/** Set in the process that has the namespace. */
const OWN_NAMESPACE = 'WDP_BENCH_OWN_NAMESPACE';

const HELP = `
noop   messages that the kernel acknowledges and does nothing about
neigh  add or replace 10,000 neighbours of a veth device, in a network namespace of its own (unshare)
flow   add or replace 100,000 flows in a datapath of openvswitch.ko, which must be loaded

Example: wdp bench netlink --op neigh --count 500000 --batch 256`;

export function registerNetlink(bench: Command): void {
  bench
    .command('netlink')
    .summary('transactions with the kernel a second')
    .description('Netlink transactions a second, batched and one by one, beside the same program in C.')
    .addOption(
      new Option('--op <OP>', 'what is asked of the kernel').choices(['noop', 'neigh', 'flow']).default('noop'),
    )
    .option('--count <N>', 'batched transactions of a measurement', whole(1, COUNT_MAX), 500_000)
    .option('--batch <B>', 'requests of one call', whole(1, BATCH_MAX), 256)
    .addOption(
      new Option('--confirm <WHICH>', 'which requests ask for an acknowledgement')
        .choices(['each', 'last'])
        .default('each'),
    )
    .option('--repeat <R>', 'measurements; the median is reported', whole(1, REPEAT_MAX), 5)
    .option('--no-reference', 'without the C program')
    .option('--json', 'one JSON object')
    .addHelpText('after', HELP)
    .action(async (options: NetlinkBenchOptions & { json?: boolean }) => {
      if (options.op === 'neigh' && process.env[OWN_NAMESPACE] === undefined) return runUnshared();
      const { json, ...rest } = options;
      const { runNetlink, netlinkTable } = await import('../bench/netlink.ts');
      const report = runNetlink(rest);
      process.stdout.write(json ? `${JSON.stringify(report)}\n` : netlinkTable(report));
    });
}

/** This very command in a new network namespace; without being root in a new user namespace too. */
function runUnshared(): void {
  const namespaces = process.geteuid?.() === 0 ? ['--net'] : ['--net', '--user', '--map-root-user'];
  const command = [process.execPath, ...process.execArgv, ...process.argv.slice(1)];
  const child = spawnSync('unshare', [...namespaces, ...command], {
    stdio: 'inherit',
    env: { ...process.env, [OWN_NAMESPACE]: '1' },
  });
  if (child.error) {
    const text = 'bench netlink --op neigh: unshare(1) of util-linux is needed for a network namespace of its own';
    throw new DatapathError('ERR_OPERATION', text, { cause: child.error });
  }
  process.exitCode = child.status ?? 1;
}
