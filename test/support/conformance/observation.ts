/*
 * What came of a step on one side, as that side said it. canonical.ts makes the two comparable.
 */
import type { Family } from './openvswitch.ts';
import type { SocketName } from './scenario.ts';

export interface Observation {
  /** Datagrams, in the order in which each socket received them. */
  messages: { socket: SocketName; bytes: Uint8Array }[];
  /** What left through devices, in order for each of them. */
  frames: { device: string; data: Uint8Array }[];
  /** Devices that appeared or went. */
  links: { name: string; ifindex: number }[];
  /** The errno of the last call that failed; 0 if none did. */
  failure: number;
}

export interface Observed {
  families: Map<number, Family>;
  /** By scenario, then by step. */
  observations: Observation[][];
}
