/*
 * The sockets that the kernel sends upcalls to, and how it is told of them: a port id for each port (`per-vport`), or a list of port ids by CPU (`per-cpu`, Linux 5.15).
 * Before it: SystemUpcalls. After it: messages to the datapath; the receivers, each of which has its part of the sockets.
 *
 * Concepts. By port: a port that floods fills its own socket and no other's; all receivers hold all sockets, and whoever is free takes what comes. By CPU: one socket a receiver,
 * however many ports there are; the list repeats them until every possible CPU has one. Ports that other programs add are found by `refresh`, and a dispatch that they
 * changed is put right: ovs-dpctl asks for dispatch by CPU whenever it opens a datapath.
 *
 * Ownership: the sockets are this object's. On close the kernel is told to send nothing, so that nobody who gets the port id next hears our upcalls.
 * Threads: one.
 */
import { readFileSync } from 'node:fs';
import { NETLINK_GENERIC } from '../../netlink/constants.ts';
import { NetlinkSocket } from '../../netlink/socket.ts';
import { ENODEV, errnoOf } from '../errors.ts';
import type { VportMessage } from '../messages/vport.ts';
import type { UpcallReceiver } from './receiver.ts';

export type UpcallDispatch = 'per-vport' | 'per-cpu';

/** Port id that asks the kernel to choose by CPU. */
export const ANY_PORT_ID = 0xffffffff;
/** Bytes of each socket's buffer: some hundred packets in full size. */
const RECEIVE_BUFFER_SIZE = 1024 * 1024;
const POSSIBLE_CPUS = '/sys/devices/system/cpu/possible';

/** What the sockets need of the datapath. */
export interface UpcallTarget {
  vports(): Iterable<VportMessage>;
  setVportPids(portNo: number, portIds: readonly number[]): void;
  /** How upcalls are dispatched now: another program may have changed it. */
  dispatch(): { isByCpu: boolean; cpuPids: readonly number[] };
  /** Has them dispatched as was agreed, by CPU with this list of port ids. Throws EOPNOTSUPP when the datapath does not. */
  setDispatch(cpuPids?: readonly number[]): void;
}

export interface UpcallSockets {
  readonly dispatch: UpcallDispatch;
  /** For USERSPACE actions on packets of the port (undefined: of any); 0: nobody listens. */
  portId(portNo: number | undefined): number;
  /** Has `add` add a port that sends its upcalls to `portId`; returns its number. */
  addPort(add: (portId: number) => number): number;
  removePort(portNo: number): void;
  /** Looks for ports that came or went. */
  refresh(): void;
  close(): void;
}

export interface UpcallSocketOptions {
  receiveBufferSize?: number;
}

export function openUpcallSockets(
  dispatch: UpcallDispatch,
  target: UpcallTarget,
  receivers: readonly UpcallReceiver[],
  options: UpcallSocketOptions = {},
): UpcallSockets {
  const { receiveBufferSize = RECEIVE_BUFFER_SIZE } = options;
  const open = (): NetlinkSocket => NetlinkSocket.open(NETLINK_GENERIC, { receiveBufferSize });
  const sockets =
    dispatch === 'per-cpu' ? new CpuSockets(target, receivers, open) : new VportSockets(target, receivers, open);
  try {
    sockets.refresh();
  } catch (error) {
    sockets.close();
    throw error;
  }
  return sockets;
}

class VportSockets implements UpcallSockets {
  readonly dispatch = 'per-vport';
  readonly #target: UpcallTarget;
  readonly #receivers: readonly UpcallReceiver[];
  readonly #open: () => NetlinkSocket;
  readonly #sockets = new Map<number, NetlinkSocket>();

  constructor(target: UpcallTarget, receivers: readonly UpcallReceiver[], open: () => NetlinkSocket) {
    this.#target = target;
    this.#receivers = receivers;
    this.#open = open;
  }

  portId(portNo: number | undefined): number {
    return portNo === undefined ? 0 : (this.#sockets.get(portNo)?.portId ?? 0);
  }

  addPort(add: (portId: number) => number): number {
    const socket = this.#open();
    try {
      const portNo = add(socket.portId);
      this.#keep(portNo, socket);
      return portNo;
    } catch (error) {
      socket.close();
      throw error;
    }
  }

  removePort(portNo: number): void {
    const socket = this.#sockets.get(portNo);
    if (socket === undefined) return;
    this.#sockets.delete(portNo);
    for (const receiver of this.#receivers) receiver.remove(socket);
    socket.close();
  }

  refresh(): void {
    if (this.#target.dispatch().isByCpu) this.#target.setDispatch();
    const gone = new Set(this.#sockets.keys());
    for (const { portNo, upcallPids } of [...this.#target.vports()]) {
      gone.delete(portNo);
      const socket = this.#sockets.get(portNo) ?? this.#keep(portNo, this.#open());
      if (upcallPids.length === 1 && upcallPids[0] === socket.portId) continue;
      if (!this.#tell(portNo, socket.portId)) gone.add(portNo);
    }
    for (const portNo of gone) this.removePort(portNo);
  }

  close(): void {
    for (const portNo of [...this.#sockets.keys()]) {
      ignoreGone(() => this.#tell(portNo, 0));
      this.removePort(portNo);
    }
  }

  /** False when the port is gone. */
  #tell(portNo: number, portId: number): boolean {
    try {
      this.#target.setVportPids(portNo, [portId]);
      return true;
    } catch (error) {
      if (errnoOf(error) === ENODEV) return false;
      throw error;
    }
  }

  #keep(portNo: number, socket: NetlinkSocket): NetlinkSocket {
    this.removePort(portNo);
    for (const receiver of this.#receivers) receiver.add(socket, portNo);
    this.#sockets.set(portNo, socket);
    return socket;
  }
}

class CpuSockets implements UpcallSockets {
  readonly dispatch = 'per-cpu';
  readonly #target: UpcallTarget;
  readonly #receivers: readonly UpcallReceiver[];
  readonly #sockets: NetlinkSocket[];

  constructor(target: UpcallTarget, receivers: readonly UpcallReceiver[], open: () => NetlinkSocket) {
    this.#target = target;
    this.#receivers = receivers;
    this.#sockets = receivers.map((receiver) => {
      const socket = open();
      receiver.add(socket, receiver.handler);
      return socket;
    });
  }

  portId(): number {
    return ANY_PORT_ID;
  }

  addPort(add: (portId: number) => number): number {
    return add(0);
  }

  removePort(): void {}

  refresh(): void {
    const wanted = this.#list((i) => this.#sockets[i].portId);
    const { isByCpu, cpuPids } = this.#target.dispatch();
    // the kernel shows no more of the list than it has CPUs
    const isSame = isByCpu && cpuPids.length > 0 && cpuPids.every((portId, i) => portId === wanted[i]);
    if (!isSame) this.#target.setDispatch(wanted);
  }

  close(): void {
    ignoreGone(() => this.#target.setDispatch(this.#list(() => 0)));
    this.#sockets.forEach((socket, i) => {
      this.#receivers[i].remove(socket);
      socket.close();
    });
    this.#sockets.length = 0;
  }

  #list(portId: (receiver: number) => number): number[] {
    return Array.from({ length: possibleCpus() }, (_, cpu) => portId(cpu % this.#sockets.length));
  }
}

/** CPUs that there may ever be: numbers up to the last one in a list as 0-3,8-11. */
export function possibleCpus(): number {
  const last = /(\d+)\s*$/.exec(readFileSync(POSSIBLE_CPUS, 'utf8'));
  return last === null ? 1 : Number(last[1]) + 1;
}

/** On the way out it does not matter that there is no datapath any more, or no right to change it. */
function ignoreGone(step: () => unknown): void {
  try {
    step();
  } catch (error) {
    if (errnoOf(error) === undefined) throw error;
  }
}
