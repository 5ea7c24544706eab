/*
 * Flooding: one action list for each port a packet can come in by, outputs to all the others. Shared by the handlers that flood; made again when
 * ports come or go. Threads: the owner thread.
 */
import type { Datapath } from '../datapath/datapath.ts';
import type { ActionsHandle } from '../datapath/handles.ts';
import { fieldsMask } from '../odp/index.ts';
import type { Port } from '../ports/port.ts';
import type { UpcallHandler } from './handler.ts';

export class FloodLists {
  readonly #datapath: Datapath;
  readonly #lists = new Map<number, ActionsHandle>();

  constructor(datapath: Datapath) {
    this.#datapath = datapath;
  }

  /** Outputs to all ports but `inPort`. */
  from(inPort: number): ActionsHandle {
    let list = this.#lists.get(inPort);
    if (list === undefined) {
      const others = [...this.#datapath.ports].filter((port) => port.portNo !== inPort);
      list = this.#datapath.actions(others.map((port) => ({ type: 'output', port: port.portNo })));
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
  let datapath: Datapath;
  let lists: FloodLists;
  let mask: ReturnType<Datapath['mask']>;
  return {
    name: 'flood',
    attach(attached) {
      datapath = attached;
      lists = new FloodLists(datapath);
      mask = datapath.mask(fieldsMask(['inPort', 'recircId']));
    },
    portsChanged(_ports: readonly Port[]) {
      lists.clear();
      datapath.flows.flush();
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
  let mask: ReturnType<Datapath['mask']>;
  return {
    name: 'drop',
    attach(datapath) {
      actions = datapath.actions([]);
      mask = datapath.mask(fieldsMask(['inPort', 'recircId']));
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
