/*
 * The veth port: a pair of interfaces made with the port, of which the datapath has one end as an AF_PACKET port and whoever wants the other: a network
 * namespace, a container, a test. Both go with the port, but not when the process is killed. Threads: the owner thread.
 */
import { AfPacketPort, type AfPacketPortOptions } from './afpacket.ts';
import { changeLink, deleteLink, findLink, makeVethPair } from './links.ts';
import type { PortContext } from './port.ts';

export interface VethPortOptions extends Omit<AfPacketPortOptions, 'interface'> {
  /** Name of the other end. */
  peer: string;
  /** Process whose network namespace the other end is put into. Default: it stays here. */
  pid?: number | undefined;
}

export class VethPort extends AfPacketPort {
  override readonly type: string = 'veth';

  /** Makes the pair and opens the port. Throws as makeVethPair and AfPacketPort do, and leaves nothing behind then. */
  static open(context: PortContext, options: VethPortOptions): VethPort {
    const { peer, pid, ...rest } = options;
    makeVethPair(context.name, peer, pid);
    const { ifindex } = findLink(context.name)!;
    try {
      changeLink(ifindex, { up: true });
      if (pid === undefined) changeLink(findLink(peer)!.ifindex, { up: true });
      return new VethPort(context, rest);
    } catch (error) {
      deleteLink(ifindex);
      throw error;
    }
  }

  override async release(): Promise<void> {
    const { ifindex } = this;
    await super.release();
    if (ifindex !== 0 && findLink(this.name)?.ifindex === ifindex) deleteLink(ifindex);
  }
}
