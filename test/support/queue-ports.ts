/*
 * A datapath of two ports that have receive queues which nobody fills, and its commands about threads. For tests only.
 */
import { registerPmd } from '../../src/control/pmd-commands.ts';
import { UnixctlCommands } from '../../src/control/unixctl.ts';
import { WorkerStatsReader } from '../../src/control/worker-stats.ts';
import type { DatapathEvent } from '../../src/index.ts';
import { QueueBlocks } from '../../src/ports/queues.ts';
import { openDatapath } from './datapath.ts';
import { openQueues, packetQueue } from './packet-rings.ts';

export const WORKERS = 4;
/** Number of queues by port. */
export const QUEUES = { p0: 4, p1: 2 } as const;
export type PortName = keyof typeof QUEUES;

/** A datapath of two ports that have queues which nobody fills, and its commands. */
export async function withQueues(events: DatapathEvent[] = []) {
  const datapath = await openDatapath({ name: 'pins', workers: WORKERS, onEvent: (event) => events.push(event) });
  for (const [i, [name, count]] of Object.entries(QUEUES).entries()) {
    const portNo = i + 1;
    await datapath.ports.addType(name, 'null', {}, { portNo });
    const blocks = new QueueBlocks(datapath.memory, 'the test');
    const queues = Array.from({ length: count }, () => packetQueue(blocks, { portNo, worker: 1 }).queue);
    openQueues(blocks, portNo, blocks.receiveTable(queues), 1);
  }
  await datapath.queues.spread();
  const commands = new UnixctlCommands('');
  registerPmd(commands, new WorkerStatsReader(datapath));
  return { datapath, ask: (...words: string[]) => commands.run(words[0]!, words.slice(1)) };
}
