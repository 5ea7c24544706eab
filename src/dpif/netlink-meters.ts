/*
 * Meters over a transport, and whether the other end's meters can be believed. Before it: netlink-dpif.ts. After it: messages/meter.ts. Threads: one.
 *
 * Kernels before Linux 4.18 say that they have meters and lose all but one of them. So before the first use two meters are made that nobody has, and both must
 * be there; what a process found out holds for all its datapaths at the same other end.
 */
import { DatapathError } from '../errors.ts';
import { MessageCursor } from '../netlink/message.ts';
import type { Transport } from '../transport/transport.ts';
import { dpifError, EINVAL, ENODEV, EOPNOTSUPP, errnoOf } from './errors.ts';
import { meterFeaturesRequest, meterRequest, meterSetRequest, readMeter, readMeterFeatures } from './messages/meter.ts';
import { firstReply } from './messages/request.ts';
import type { MeterConfig, MeterFeatures, MeterStats } from './types.ts';

/** Meters for the probe, those of Open vSwitch: high enough that nobody has them. */
const PROBE_IDS = [54545401, 54545402] as const;
const PROBE_CONFIG: MeterConfig = { unit: 'kbps', bands: [{ rate: 1 }] };

/** By transport: whether meters are broken there. */
const broken = new WeakMap<Transport, boolean>();

export class NetlinkMeters {
  readonly #transport: Transport;
  readonly #dpIfindex: number;

  constructor(transport: Transport, dpIfindex: number) {
    this.#transport = transport;
    this.#dpIfindex = dpIfindex;
  }

  features(): MeterFeatures {
    const operation = 'meter features';
    this.#check(operation);
    const request = meterFeaturesRequest(this.#family(operation), this.#dpIfindex);
    return readMeterFeatures(firstReply(this.#transport.transact(request, { operation }), operation));
  }

  set(id: number, config: MeterConfig): void {
    this.#check('meter set');
    this.#set(id, config);
  }

  get(id: number): MeterStats {
    this.#check('meter get');
    return this.#get(id);
  }

  delete(id: number): MeterStats | undefined {
    this.#check('meter del');
    return this.#delete(id);
  }

  #set(id: number, config: MeterConfig): void {
    const operation = 'meter set';
    const request = meterSetRequest(this.#family(operation), this.#dpIfindex, id, config);
    const said = readMeter(firstReply(this.#transport.transact(request, { operation }), operation)).id;
    if (said !== id) throw wrongMeter(operation, id, said);
  }

  #get(id: number): MeterStats {
    const operation = 'meter get';
    const request = meterRequest(this.#family(operation), this.#dpIfindex, 'get', id);
    const { id: said, stats } = readMeter(firstReply(this.#transport.transact(request, { operation }), operation));
    if (said !== undefined && said !== id) throw wrongMeter(operation, id, said);
    return stats;
  }

  /** The kernel answers the deletion of a meter that is not there with an empty message. */
  #delete(id: number): MeterStats | undefined {
    const operation = 'meter del';
    const request = meterRequest(this.#family(operation), this.#dpIfindex, 'del', id);
    const reply = new MessageCursor(this.#transport.transact(request, { operation }));
    if (!reply.next()) return undefined;
    const { id: said, stats } = readMeter(reply);
    if (said !== undefined && said !== id) throw wrongMeter(operation, id, said);
    return said === undefined ? undefined : stats;
  }

  #family(operation: string) {
    try {
      return this.#transport.family('ovs_meter');
    } catch (error) {
      if (error instanceof DatapathError && error.code === 'ERR_NETLINK_NO_SUCH_FAMILY')
        throw dpifError(EOPNOTSUPP, operation, { [EOPNOTSUPP]: { text: 'this datapath has no meters' } }, error);
      throw error;
    }
  }

  #check(operation: string): void {
    let isBroken = broken.get(this.#transport);
    if (isBroken === undefined) {
      isBroken = this.#probe();
      broken.set(this.#transport, isBroken);
    }
    if (!isBroken) return;
    const text = 'the meters of this kernel are broken: update it to Linux 4.18';
    throw dpifError(EOPNOTSUPP, operation, { [EOPNOTSUPP]: { text } });
  }

  /** True when meters are broken. */
  #probe(): boolean {
    if (PROBE_IDS.some((id) => this.#succeeds(() => this.#get(id)))) return false; // somebody's meters work
    const made = PROBE_IDS.every((id) => this.#succeeds(() => this.#set(id, PROBE_CONFIG)));
    const kept = made && PROBE_IDS.every((id) => this.#succeeds(() => this.#get(id)));
    for (const id of PROBE_IDS) this.#succeeds(() => this.#delete(id));
    return !kept;
  }

  /** Whether it is answered as it should be; what is no refusal is thrown: the probe says nothing then. */
  #succeeds(step: () => void): boolean {
    try {
      step();
      return true;
    } catch (error) {
      if (error instanceof DatapathError && PROBE_REFUSALS.has(error.code) && !SAYS_NOTHING.has(errnoOf(error)))
        return false;
      throw error;
    }
  }
}

const PROBE_REFUSALS: ReadonlySet<string> = new Set(['ERR_NETLINK_REFUSED', 'ERR_OPERATION', 'ERR_NETLINK_MALFORMED']);

/** Of meters: the datapath has none, or is gone, which says nothing of others at the same end. */
const SAYS_NOTHING: ReadonlySet<number | undefined> = new Set([EOPNOTSUPP, ENODEV]);

function wrongMeter(operation: string, id: number, said: number | undefined): DatapathError {
  return dpifError(EINVAL, operation, { [EINVAL]: { text: `the answer for meter ${id} is about ${said ?? 'none'}` } });
}
