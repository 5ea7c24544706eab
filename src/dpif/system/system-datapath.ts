/*
 * What is particular to a datapath of the kernel. Before it: Dpif. After it: NetlinkDpif, which has all the rest.
 */
import { readFileSync } from 'node:fs';
import { dpifError, EINVAL } from '../errors.ts';
import { NetlinkDpif } from '../netlink-dpif.ts';

/** Classes of the queueing discipline that Open vSwitch sets up: major 1, and a minor one more than the queue. */
const QUEUES_MAX = 0xf000;
const VERSION_FILE = '/sys/module/openvswitch/version';

export class SystemDatapath extends NetlinkDpif {
  getDatapathVersion(): string | undefined {
    try {
      return readFileSync(VERSION_FILE, 'utf8').trim();
    } catch {
      return undefined;
    }
  }

  queueToPriority(queueId: number): number {
    if (Number.isInteger(queueId) && queueId >= 0 && queueId < QUEUES_MAX) return 0x10000 | (queueId + 1);
    throw dpifError(EINVAL, `queue ${queueId}`, { [EINVAL]: { text: `queues are 0 to ${QUEUES_MAX - 1}` } });
  }
}
