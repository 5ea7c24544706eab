/*
 * wdp bench forward: reads the options and runs the benchmark. Before it: bench.ts. After it: bench/forward.ts, loaded only when it is asked for. Main thread.
 */
import { type Command, Option } from 'commander';
import type { ForwardOptions } from '../bench/forward.ts';
import { seconds, whole } from './bench-options.ts';

const CPU_MAX = 4095;

const HELP = `
Somebody else sends to --rx and counts behind --tx: bench/forward of the repository has a generator with a sink for veth pairs.

Example: wdp bench forward --rx eth1 --tx eth2 --type afxdp --seconds 5`;

export function registerForward(bench: Command): void {
  bench
    .command('forward')
    .summary('packets a second from one interface to another')
    .description(
      'Packets a second from one interface to another, and what each costs the worker. Says `ready` on stderr.',
    )
    .requiredOption('--rx <IF>', 'interface that packets come in by')
    .requiredOption('--tx <IF>', 'interface that they go out by')
    .addOption(new Option('--type <TYPE>', 'kind of the ports').choices(['afpacket', 'afxdp']).default('afpacket'))
    .option('--port-options <LIST>', 'more options of both ports, as in a SPEC: tx=socket')
    .option('--seconds <T>', 'length of the window, from the first packet on', seconds(0.001), 5)
    .option('--wait <T>', 'so long the first packet is waited for, s', seconds(0), 10)
    .option('--cpu <N>', 'CPU of the worker (default: wherever the scheduler puts it)', whole(0, CPU_MAX))
    .option('--json', 'one JSON object')
    .addHelpText('after', HELP)
    .action(async (options: ForwardOptions & { json?: boolean }) => {
      const { json, ...rest } = options;
      const { runForward, forwardTable } = await import('../bench/forward.ts');
      const report = await runForward(rest, () => process.stderr.write('ready\n'));
      process.stdout.write(json ? `${JSON.stringify(report)}\n` : forwardTable(report));
    });
}
