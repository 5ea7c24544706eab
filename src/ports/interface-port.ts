/*
 * A port on an interface that is there without it, and that may go and come again. Before it: one file a kind (afpacket.ts, afxdp.ts). After it:
 * queue-port.ts, link-watch.ts.
 *
 * Concepts. An interface that is gone is left: what goes out to it is dropped by name (noPort). One that is there again under its name is taken, if
 * it can be. Going down and up is the kernel's business, and what is sent meanwhile is dropped by name (txDown). Threads: the owner thread.
 */
import * as C from '../../assembly/constants.ts';
import { DatapathError } from '../errors.ts';
import { type LinkListener, linkWatch } from './link-watch.ts';
import { findLink, type Link } from './links.ts';
import type { PortContext } from './port.ts';
import { QueuePort } from './queue-port.ts';

export abstract class InterfacePort extends QueuePort implements LinkListener {
  readonly interfaceName: string;
  #ifindex = 0;

  constructor(context: PortContext, interfaceName: string) {
    super(context);
    this.interfaceName = interfaceName;
  }

  /** Opens the port on an interface: descriptors, queues, and the port's descriptor in memory. */
  protected abstract openOn(link: Link): void;

  /** The last step of a constructor. Throws ERR_NO_SUCH_INTERFACE, ERR_PORT_TYPE, and what openOn throws. */
  protected begin(): void {
    this.#attach(requireInterface(this.name, this.interfaceName));
    linkWatch.add(this);
  }

  #attach(link: Link): void {
    this.opening(() => this.openOn(link));
    this.#ifindex = link.ifindex;
  }

  /** Of the interface; 0 while there is none. */
  get ifindex(): number {
    return this.#ifindex;
  }

  linkChanged(link: Link | undefined): void {
    if (link === undefined) {
      this.#ifindex = 0;
      this.detach();
    } else if (this.#ifindex === 0 && link.ethernet) {
      this.whenDetached(() => this.#attachAgain(link));
    } else if (this.#ifindex !== 0) {
      this.stateChanged(link);
    }
  }

  /** The interface is the same, but it went up or down, or has another MTU or other features. */
  protected stateChanged(_link: Link): void {}

  #attachAgain(link: Link): void {
    if (this.#ifindex !== 0) return;
    try {
      this.#attach(link);
      this.context.reopened();
    } catch (error) {
      // what the kernel refuses now it may grant when the interface changes again
      if (!(error instanceof DatapathError)) throw error;
    }
  }

  override service(): boolean {
    linkWatch.look();
    return false;
  }

  override async release(): Promise<void> {
    linkWatch.remove(this);
    await super.release();
  }

  /** What kind of rings it has, in words. */
  protected abstract describeRings(): string[];

  override describe(): string {
    const state = this.#ifindex === 0 ? [`interface ${this.interfaceName} is gone`] : [];
    return [...this.describeRings(), ...state].join(', ');
  }
}

/** The interface, which must be there and carry Ethernet frames. Throws ERR_NO_SUCH_INTERFACE, ERR_PORT_TYPE. */
function requireInterface(port: string, name: string): Link {
  const link = findLink(name);
  const operation = 'port add';
  if (link === undefined) {
    const message = `port ${port}: there is no interface ${name} ("ip link" lists them, "wdp run --help" other kinds of ports)`;
    throw new DatapathError('ERR_NO_SUCH_INTERFACE', message, { errno: C.ENODEV, operation });
  }
  if (!link.ethernet)
    throw new DatapathError('ERR_PORT_TYPE', `port ${port}: ${name} is no Ethernet interface`, { operation });
  return link;
}
