/*
 * Flooding: one action list for each port a packet can come in by, outputs to all the others. Shared by the handlers that flood; made again when
 * ports come or go. Threads: the owner thread.
 */
import type { ActionsHandle, MaskHandle } from '../datapath/handles.ts';
import { fieldsMask } from '../odp/index.ts';
import type { UpcallHandler, UpcallHost } from './handler.ts';

export class FloodLists {
  readonly #host: UpcallHost;
  readonly #lists = new Map<number, ActionsHandle>();

  constructor(host: UpcallHost) {
    this.#host = host;
  }

  /** Outputs to all ports but `inPort`. */
  from(inPort: number): ActionsHandle {
    let list = this.#lists.get(inPort);
    if (list === undefined) {
      const others = [...this.#host.ports].filter((port) => port.portNo !== inPort);
      list = this.#host.actions(others.map((port) => ({ type: 'output', port: port.portNo })));
      this.#lists.set(inPort, list);
    }
    return list;
  }

  clear(): void {
    for (const list of this.#lists.values()) list.release();
    this.#lists.clear();
  }
}

/** The `flood` handler: every packet goes to all other ports, one flow a port. */
export function flood(): UpcallHandler {
  let host: UpcallHost;
  let lists: FloodLists;
  let mask: MaskHandle;
  return {
    name: 'flood',
    attach(attached) {
      host = attached;
      lists = new FloodLists(host);
      mask = host.mask(fieldsMask(['inPort', 'recircId']));
    },
    portsChanged() {
      lists.clear();
      host.flows.flush();
    },
    handle(batch) {
      for (let i = 0; i < batch.count; i++) batch.answer(i, lists.from(batch.inPort(i)), mask);
    },
    close() {
      lists.clear();
      mask.release();
    },
  };
}

/** The `drop` handler: a drop flow for every port. */
export function drop(): UpcallHandler {
  let actions: ActionsHandle;
  let mask: MaskHandle;
  return {
    name: 'drop',
    attach(host) {
      actions = host.actions([]);
      mask = host.mask(fieldsMask(['inPort', 'recircId']));
    },
    handle(batch) {
      for (let i = 0; i < batch.count; i++) batch.answer(i, actions, mask);
    },
    close() {
      actions.release();
      mask.release();
    },
  };
}
