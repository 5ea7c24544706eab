/*
 * wdp bench: lookup, flow-setup, and in files of their own forward and netlink. Reads the options, runs the benchmark, prints one table or, with --json, one object. Before it: main.ts. After it:
 * bench/lookup.ts and bench/flow-setup.ts, which are loaded only when they are asked for. Main thread.
 */
import { type Command, Option } from 'commander';
import * as C from '../../assembly/constants.ts';
import type { FlowSetupOptions } from '../bench/flow-setup.ts';
import type { LookupOptions } from '../bench/lookup.ts';
import { registerForward } from './bench-forward.ts';
import { registerNetlink } from './bench-netlink.ts';
import { powerOfTwo, seconds, whole } from './bench-options.ts';
import { UsageError } from './failure.ts';

/** Most windows or rounds. */
const REPEAT_MAX = 1000;
const SUBTABLES_MAX = 8192;
const UPCALL_FRAMES_MIN = 64;
const UPCALL_FRAMES_MAX = 65536;
const SEED_MAX = 2 ** 32 - 1;

const LOOKUP_HELP = `
Frames are 60 bytes of UDP, the same that bench/ovs gives to Open vSwitch. Every packet must hit; flows are counted afterwards.
With one subtable flows match every field; with 2 to 24 masks are nested in the destination address; more are those of a tuple-space explosion.

Example: wdp bench lookup --flows 20000 --subtables 20 --emc off --seconds 1`;

const FLOW_SETUP_HELP = `
Every packet misses, is decided by a table of 16 rules, and installs a flow of its own. The load is what is sustained with nothing lost.

Example: wdp bench flow-setup --flows 100000 --handler js --workers 1`;

export function registerBench(program: Command): void {
  const bench = program
    .command('bench')
    .summary('measure the datapath')
    .description('Measures the datapath on this machine.');
  registerLookup(bench);
  registerFlowSetup(bench);
  registerForward(bench);
  registerNetlink(bench);
}

function registerLookup(bench: Command): void {
  bench
    .command('lookup')
    .summary('packets a second through known flows')
    .description(
      'Packets a second through known flows: copy the frame in, extract, hash, find, send out, count; on one thread.',
    )
    .option('--flows <N>', 'distinct flows', whole(1, C.FLOWS_MAX), 1000)
    .option('--subtables <S>', 'masks that the flows are spread over', whole(1, SUBTABLES_MAX), 1)
    .addOption(
      new Option('--pcap <FILE>', 'the frames of a capture, one flow a distinct key').conflicts(['flows', 'subtables']),
    )
    .addOption(new Option('--emc <STATE>', 'use the exact-match cache').choices(['on', 'off']).default('on'))
    .option(
      '--emc-entries <N>',
      'its entries, a power of two (default: as many as flows)',
      powerOfTwo(C.EMC_ENTRIES_MIN, C.EMC_ENTRIES_MAX),
    )
    .option('--seconds <T>', 'length of a window', seconds(0.001), 5)
    .option('--warmup <T>', 'unmeasured time before the first window, s', seconds(0), 1)
    .option('--repeat <R>', 'windows; the median is reported', whole(1, REPEAT_MAX), 5)
    .option('--actions <TEXT>', 'what every flow does; port 2 counts packets (default: 2)')
    .addOption(
      new Option('--order <ORDER>', 'order of the frames').choices(['shuffled', 'sequential']).default('shuffled'),
    )
    .option('--seed <N>', 'seed of the order and of the hashes', whole(0, SEED_MAX), 1)
    .option('--json', 'one JSON object')
    .addHelpText('after', LOOKUP_HELP)
    .action(async (options: LookupCliOptions) => {
      const { json, emc, ...rest } = options;
      if (rest.subtables > rest.flows)
        throw new UsageError(`--subtables ${rest.subtables} needs at least as many --flows, not ${rest.flows}`);
      const { runLookup, lookupTable } = await import('../bench/lookup.ts');
      const report = await runLookup({ ...rest, emc: emc === 'on' });
      process.stdout.write(json ? `${JSON.stringify(report)}\n` : lookupTable(report));
    });
}

type LookupCliOptions = Omit<LookupOptions, 'emc'> & { emc: 'on' | 'off'; json?: boolean };

function registerFlowSetup(bench: Command): void {
  bench
    .command('flow-setup')
    .summary('new flows a second')
    .description('New flows a second: miss, upcall, decision by 16 rules, install, and the packet goes out.')
    .option('--flows <N>', 'flows a round', whole(1, C.FLOWS_MAX), 1_000_000)
    .addOption(new Option('--handler <HANDLER>', 'who decides').choices(['wasm', 'js']).default('wasm'))
    .option('--workers <N>', '0: everything on the main thread; 1: a pool thread polls', whole(0, 1), 0)
    .option('--repeat <R>', 'rounds; the median is reported', whole(1, REPEAT_MAX), 5)
    .option(
      '--window <N>',
      'with a pool thread: upcalls that may wait before it receives more',
      whole(1, UPCALL_FRAMES_MAX),
      512,
    )
    .option(
      '--upcall-frames <N>',
      'upcalls that fit the ring, a power of two',
      powerOfTwo(UPCALL_FRAMES_MIN, UPCALL_FRAMES_MAX),
      4096,
    )
    .option('--seed <N>', 'seed of the hashes', whole(0, SEED_MAX), 1)
    .option('--json', 'one JSON object')
    .addHelpText('after', FLOW_SETUP_HELP)
    .action(async (options: FlowSetupOptions & { json?: boolean }) => {
      const { json, ...rest } = options;
      if (rest.window + C.BATCH_MAX > rest.upcallFrames) {
        throw new UsageError(
          `--window ${rest.window} and a batch of ${C.BATCH_MAX} do not fit --upcall-frames ${rest.upcallFrames}`,
        );
      }
      const { runFlowSetup, flowSetupTable } = await import('../bench/flow-setup.ts');
      const report = await runFlowSetup(rest);
      process.stdout.write(json ? `${JSON.stringify(report)}\n` : flowSetupTable(report));
    });
}
