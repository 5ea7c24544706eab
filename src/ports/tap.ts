/*
 * The TAP port: an interface of the host that the datapath is the other end of; what `internal` ports are made of. Before it: the registry. After
 * it: assembly/io/afpacket.ts, native/tap.cc.
 *
 * Concepts. The interface is made with the port and goes with it, also when the process is killed. Checksums and super-frames pass as they
 * are (virtio_net_hdr). There is no ring: the shim reads and writes a frame at a time, and a frame may be 64 KiB. Threads: the owner thread.
 */
import * as C from '../../assembly/constants.ts';
import { DatapathError } from '../errors.ts';
import type { NativeTapQueue } from '../native/io.ts';
import { integer } from '../ranges.ts';
import { changeLink, findLink } from './links.ts';
import type { PortContext } from './port.ts';
import { QueuePort, refusal, requireAddon } from './queue-port.ts';

export interface TapPortOptions {
  /** Name of the interface. Default: the port's. */
  interface?: string | undefined;
  /** Queues that the host spreads flows over, each for one worker, 1 to 16. Default 1. */
  queues?: number | undefined;
  /** Hardware address, `02:00:00:00:00:01`. Default: the kernel's choice. */
  mac?: string | undefined;
  mtu?: number | undefined;
  /** Whether the interface is brought up. Default true. */
  up?: boolean | undefined;
}

export class TapPort extends QueuePort {
  readonly type: string = 'tap';
  readonly ifindex: number;
  readonly #queues: NativeTapQueue[] = [];

  /** Throws ERR_PORT_EXISTS, ERR_PORT_PERMISSION, ERR_PORT_SYSTEM, ERR_NATIVE_UNAVAILABLE, RangeError. */
  constructor(context: PortContext, options: TapPortOptions = {}) {
    super(context);
    const { queues = 1, interface: name = context.name, mac, mtu, up = true } = options;
    integer('queues', queues, 1, C.QUEUES_MAX);
    requireAddon(context.name);
    if (findLink(name) !== undefined) {
      const message = `port ${context.name}: there is an interface ${name} already`;
      throw new DatapathError('ERR_PORT_EXISTS', message, { errno: C.EEXIST, operation: 'port add' });
    }
    let ifindex = 0;
    this.opening(() => {
      const rx = Array.from({ length: queues }, (_, i) => this.#openQueue(name, i, queues > 1));
      const fdOf = (slot: number): number => this.#queues[slot % queues].fd;
      const tx = this.blocks.transmitQueues(C.QUEUE_KIND_TAP_TX, context.portNo, context.workerSlots, fdOf);
      ifindex = findLink(this.#queues[0].name)!.ifindex;
      changeLink(ifindex, { mac, mtu, up });
      this.open(C.RX_QUEUES, this.blocks.receiveTable(rx), C.TX_QUEUES, tx);
    });
    this.ifindex = ifindex;
  }

  #openQueue(name: string, index: number, isMany: boolean): number {
    const queue = new (requireAddon(this.name).TapQueue)();
    this.#queues.push(queue);
    const status = queue.open(name, isMany);
    if (status < 0) throw refusal(this.name, queue.operation, -status, 'CAP_NET_ADMIN');
    const { portNo } = this.context;
    return this.blocks.copyingQueue({
      kind: C.QUEUE_KIND_TAP_RX,
      fd: queue.fd,
      portNo,
      worker: this.workerOf(index),
    });
  }

  protected override closeDescriptors(): void {
    for (const queue of this.#queues) queue.close();
  }

  override describe(): string {
    return this.#queues.length === 1 ? '' : `${this.#queues.length} queues`;
  }
}

/** The device of a vport of type INTERNAL: the same, but that the vport comes first and the device with it. */
export class InternalPort extends TapPort {
  override readonly type = 'internal';
}
