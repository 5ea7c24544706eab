/*
 * The port that suits an interface best, for SPECs that name no type. Before it: the registry. After it: afxdp.ts or afpacket.ts.
 *
 * Concepts. Hardware whose driver gives AF_XDP without copying is best served by that; whether it does is found out by opening it. Everything else,
 * and whatever software is at the other end of (veth, TAP, a virtual machine), is best served by AF_PACKET: it knows checksums and super-frames that
 * AF_XDP does not, and its ring costs the same (docs/decisions/packet-rings.md). Threads: the owner thread.
 */
import { AfPacketPort } from './afpacket.ts';
import { AfXdpPort, XDP_MTU_MAX } from './afxdp.ts';
import { findLink } from './links.ts';
import type { Port, PortContext } from './port.ts';

export interface BestPortOptions {
  /** The interface. Default: the port's name. */
  interface?: string | undefined;
  queues?: number | undefined;
}

/** Opens the port. Throws what the last kind that was tried throws. */
export function openBest(context: PortContext, options: BestPortOptions): Port {
  const link = findLink(options.interface ?? context.name);
  if (link !== undefined && link.kind === '' && link.mtu <= XDP_MTU_MAX) {
    try {
      return new AfXdpPort(context, { ...options, mode: 'zerocopy' });
    } catch {
      // whatever was in the way: AF_PACKET needs less, and says so if even that cannot be had
    }
  }
  return new AfPacketPort(context, options);
}
