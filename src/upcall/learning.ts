/*
 * The `learning` handler: an Ethernet switch. It notes by which port a MAC address was heard (for each VLAN of its own), sends to the port of a known
 * destination, and floods the unknown, broadcast and multicast.
 *
 * What it installs: flows on (in_port, source, destination, VLAN) for known destinations, and for groups. A packet to an unknown unicast
 * destination is flooded without a flow, because the answer changes as soon as the destination speaks. When an address moves to
 * another port, the flows to it are removed. Flows last a third of an address's age at most, so a source that only ever hits flows is
 * heard again before it is forgotten.
 *
 * Threads: the owner thread. Limits: ADDRESSES_MAX; past it nothing new is learnt and the unknown is flooded.
 */
import type { ActionsHandle, MaskHandle } from '../datapath/handles.ts';
import { fieldsMask } from '../odp/index.ts';
import { monotonicMs } from '../wasm/clock.ts';
import type { UpcallBatch } from './batch.ts';
import { FloodLists } from './flood.ts';
import type { UpcallHandler, UpcallHost } from './handler.ts';

export interface LearningOptions {
  /** An address not heard for so long is forgotten, ms. Default 300,000 (IEEE 802.1D). */
  ageMs?: number;
  /** Addresses kept. Default 65,536. */
  addressesMax?: number;
}

interface Learnt {
  port: number;
  heardMs: number;
}

/** The low bit of the first octet: a group address. */
const GROUP_BIT = 2 ** 40;
const AGE_MS = 300_000;
const ADDRESSES_MAX = 65536;

/** 802.1D reserved group addresses are for the switch itself and never forwarded: 01:80:c2:00:00:00 to 0f. */
const RESERVED_FIRST = 0x0180c2000000;
const RESERVED_LAST = 0x0180c200000f;

export class LearningHandler implements UpcallHandler {
  readonly name = 'learning';
  readonly hardTimeoutMs: number;
  readonly #ageMs: number;
  readonly #addressesMax: number;
  /** By address, and by VLAN id and address as text for tagged frames (together they need 60 bits). */
  readonly #table = new Map<number | string, Learnt>();
  readonly #outputs = new Map<number, ActionsHandle>();
  #host!: UpcallHost;
  #floods!: FloodLists;
  #mask!: MaskHandle;
  #drop!: ActionsHandle;

  constructor(options: LearningOptions = {}) {
    this.#ageMs = options.ageMs ?? AGE_MS;
    this.hardTimeoutMs = Math.ceil(this.#ageMs / 3);
    this.#addressesMax = options.addressesMax ?? ADDRESSES_MAX;
  }

  /** Addresses known. */
  get size(): number {
    return this.#table.size;
  }

  /** The port by which `mac` (a 48-bit number) was heard in `vlan`, undefined when unknown. */
  portOf(mac: number, vlan = 0): number | undefined {
    return this.#table.get(tableKey(mac, vlan))?.port;
  }

  attach(host: UpcallHost): void {
    this.#host = host;
    this.#floods = new FloodLists(host);
    this.#mask = host.mask(fieldsMask(['inPort', 'recircId', 'ethSrc', 'ethDst', 'vlan']));
    this.#drop = host.actions([]);
  }

  portsChanged(): void {
    this.#floods.clear();
    const numbers = new Set([...this.#host.ports].map((port) => port.portNo));
    for (const [key, learnt] of this.#table) if (!numbers.has(learnt.port)) this.#table.delete(key);
    this.#host.flows.flush();
  }

  handle(batch: UpcallBatch): void {
    const now = monotonicMs();
    for (let i = 0; i < batch.count; i++) this.#decide(batch, i, now);
  }

  #decide(batch: UpcallBatch, i: number, now: number): void {
    const inPort = batch.inPort(i);
    const vlan = batch.vlanId(i);
    const source = batch.ethSrc(i);
    const destination = batch.ethDst(i);
    if (!isGroup(source)) this.#learn(source, vlan, inPort, now);

    if (isGroup(destination)) {
      const reserved = destination >= RESERVED_FIRST && destination <= RESERVED_LAST;
      batch.answer(i, reserved ? this.#drop : this.#floods.from(inPort), this.#mask);
      return;
    }
    const known = this.#table.get(tableKey(destination, vlan));
    if (known === undefined) batch.answer(i, this.#floods.from(inPort));
    else if (known.port === inPort) batch.answer(i, this.#drop, this.#mask);
    else batch.answer(i, this.#outputTo(known.port), this.#mask);
  }

  #learn(mac: number, vlan: number, port: number, now: number): void {
    const key = tableKey(mac, vlan);
    const learnt = this.#table.get(key);
    if (learnt === undefined) {
      if (this.#table.size < this.#addressesMax) this.#table.set(key, { port, heardMs: now });
      return;
    }
    learnt.heardMs = now;
    if (learnt.port === port) return;
    learnt.port = port;
    this.#forgetFlowsTo(mac);
  }

  #forgetFlowsTo(mac: number): void {
    this.#host.flows.deleteWhere({ eth: { dst: macText(mac) } });
  }

  #outputTo(port: number): ActionsHandle {
    let actions = this.#outputs.get(port);
    if (actions === undefined) {
      actions = this.#host.actions([{ type: 'output', port }]);
      this.#outputs.set(port, actions);
    }
    return actions;
  }

  /** Ageing of addresses. */
  tick(nowMs: number): void {
    for (const [key, learnt] of this.#table) {
      if (nowMs - learnt.heardMs > this.#ageMs) this.#table.delete(key);
    }
  }

  close(): void {
    this.#floods.clear();
    for (const actions of this.#outputs.values()) actions.release();
    this.#outputs.clear();
    this.#mask.release();
    this.#drop.release();
  }
}

function isGroup(mac: number): boolean {
  return Math.floor(mac / GROUP_BIT) % 2 === 1;
}

function tableKey(mac: number, vlan: number): number | string {
  return vlan === 0 ? mac : `${vlan}/${mac}`;
}

function macText(mac: number): string {
  return mac
    .toString(16)
    .padStart(12, '0')
    .replace(/(..)(?!$)/g, '$1:');
}

/** The learning switch. */
export function learning(options: LearningOptions = {}): UpcallHandler {
  return new LearningHandler(options);
}
