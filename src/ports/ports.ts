/*
 * The ports of a datapath: adding, finding, removing, and opening the drivers of those that messages add. Pollers get receiving ports in turn, unless the
 * caller says which worker.
 *
 * Concepts. A port is a vport of the datapath (assembly/kernel/vport.ts) made of a device, and a driver that moves its packets. A device is a name with
 * a kind and options; it is declared here, and when the datapath says that a vport was made of it, whoever asked for that, its driver is opened for
 * the vport's number. When it says that the vport is gone, the driver is closed. Adding a port is both: declare the device, ask for the vport.
 * Numbers are the datapath's to give: the lowest free one from 1 on; 0 is the port that is named as the datapath.
 *
 * Threads: the owner thread.
 */
import * as C from '../../assembly/constants.ts';
import {
  OVS_VPORT_CMD_DEL,
  OVS_VPORT_CMD_NEW,
  OVS_VPORT_TYPE_INTERNAL,
  OVS_VPORT_TYPE_NETDEV,
} from '../../assembly/netlink/openvswitch.ts';
import type { StatsReader } from '../datapath/stats.ts';
import { firstReply } from '../dpif/messages/request.ts';
import { readVport } from '../dpif/messages/vport.ts';
import { DatapathError, errnoError } from '../errors.ts';
import type { KernelClient } from '../kernel/client.ts';
import type { FrontDoor } from '../kernel/front-door.ts';
import { integer } from '../ranges.ts';
import type { DatapathMemory } from '../wasm/memory.ts';
import { Pump } from '../worker/pump.ts';
import { type HotFlows, openHotFlows } from './hot-flows.ts';
import type { MemoryPort, MemoryPortOptions } from './memory.ts';
import type { Port, PortContext } from './port.ts';
import { DEFAULT_CONFIG, type PortConfig } from './port-config.ts';
import { checkPort, openDriver, optionFault, parsePortSpec } from './registry.ts';

export interface PortPlace {
  /** Port number, 1 to 1023. Default: the lowest free one. */
  portNo?: number;
  /** Worker slot that polls it: 0 is the calling thread. Default: a poller if there are any; memory ports stay with the calling thread. */
  worker?: number;
}

/** What a vport can be made of. */
interface Device {
  readonly type: string;
  readonly options: object;
  readonly worker: number | undefined;
  /** Number of the vport that was made of it. */
  portNo: number | undefined;
  /** Its driver, or why there is none. */
  driver: Port | Promise<Port> | undefined;
  failure: unknown;
  /** Somebody waits for the driver, and is told of a failure. */
  awaited: boolean;
}

/** What the ports need of their datapath. */
export interface PortsHost {
  readonly memory: DatapathMemory;
  readonly door: FrontDoor;
  readonly client: KernelClient;
  readonly stats: StatsReader;
  readonly workerSlots: number;
  /** Workers that poll are 1 to this one. */
  readonly pollers: () => number;
  onChange(): void;
  /** A port has its receive queues again. */
  onReopened(): void;
  /** Vports of type INTERNAL get interfaces of this host. */
  readonly internalPorts: boolean;
  /** A driver that a message asked for could not be opened. */
  onFailure(name: string, reason: unknown): void;
}

/** Type of port whose vport is INTERNAL. */
const INTERNAL = 'internal';

export class Ports implements Iterable<Port> {
  readonly #host: PortsHost;
  readonly #byNumber = new Map<number, Port>();
  readonly #devices = new Map<string, Device>();
  readonly #configs = new Map<number, PortConfig>();
  /** Drivers that are being closed, by the number that they had. */
  readonly #closing = new Map<number, Promise<void>>();
  readonly #pump: Pump | undefined;
  #hotFlows: HotFlows | undefined;
  #turn = 0;

  constructor(host: PortsHost) {
    this.#host = host;
    this.#pump = Pump.open(host.memory, 0);
  }

  /** Adds a memory port: the program sends and receives on it. */
  add(name: string, options: MemoryPortOptions & PortPlace = {}): MemoryPort {
    const { portNo, worker = 0, ...rest } = options;
    this.#checkPlace(name, portNo);
    const driver = this.#connect(name, 'memory', rest, { portNo, worker });
    if (!(driver instanceof Promise)) return driver as MemoryPort;
    this.#forget(name);
    throw portExists('the port that had this number is still being closed', C.EBUSY);
  }

  /** Adds a port of any type (`memory`, `pcap`, `generator`, `null`, `afpacket`) with that type's options. */
  async addType(name: string, type: string, options: object = {}, place: PortPlace = {}): Promise<Port> {
    this.#checkPlace(name, place.portNo);
    const checked = checkPort(name, type, options);
    try {
      return await this.#connect(name, type, checked, place);
    } catch (error) {
      this.#forget(name);
      throw optionFault(name, error);
    }
  }

  /** Adds a port from a SPEC: `NAME[,type=KIND][,key=value]...`. */
  async addSpec(text: string, place: PortPlace = {}): Promise<Port> {
    const { name, type, options } = parsePortSpec(text);
    return this.addType(name, type, options, place);
  }

  /**
   * Says what a device is, so that messages can make a vport of it: its driver is opened then. Throws ERR_PORT_TYPE, ERR_PORT_OPTION, ERR_PORT_EXISTS,
   * RangeError for a name that no device can have.
   */
  declare(name: string, type: string, options: object = {}, worker?: number): void {
    this.#declare(name, type, checkPort(name, type, options), worker);
  }

  /** Why a declared device has no driver; undefined: it has one, or one that is still being opened, or no vport was made of it. */
  failure(name: string): unknown {
    return this.#devices.get(name)?.failure;
  }

  /** Devices that vports were made of, with the vport's number; `failure`: why there is no driver. */
  *devices(): Generator<{ portNo: number; name: string; type: string; failure: unknown }> {
    for (const [name, { portNo, type, failure }] of this.#devices)
      if (portNo !== undefined) yield { portNo, name, type, failure };
  }

  /** The device is gone, and its port with it. False when there was none. */
  async undeclare(name: string): Promise<boolean> {
    const device = this.#devices.get(name);
    if (device === undefined) return false;
    const portNo = this.get(name)?.portNo;
    this.#forget(name);
    if (portNo !== undefined) await this.#closing.get(portNo);
    return true;
  }

  /** What is set for the port of this number; the defaults when nothing is. */
  config(portNo: number): PortConfig {
    return this.#configs.get(portNo) ?? DEFAULT_CONFIG;
  }

  /** Sets it, until the vport goes. Where its queues are is for `datapath.queues` to see to. */
  configure(portNo: number, config: PortConfig): void {
    const { memory } = this.#host;
    this.#configs.set(portNo, config);
    const flags = memory.portDescriptor(portNo) + C.PORT_FLAGS;
    const others = memory.u32(flags) & ~C.PORT_FLAG_NO_EMC;
    memory.setU32(flags, config.emc ? others : others | C.PORT_FLAG_NO_EMC);
  }

  get(nameOrNumber: string | number): Port | undefined {
    if (typeof nameOrNumber === 'number') return this.#byNumber.get(nameOrNumber);
    return [...this.#byNumber.values()].find((port) => port.name === nameOrNumber);
  }

  get count(): number {
    return this.#byNumber.size;
  }

  [Symbol.iterator](): IterableIterator<Port> {
    return this.#byNumber.values();
  }

  /** Removes a port and its device. Flows that output to it drop from now on (noPort). */
  async remove(nameOrNumber: string | number): Promise<void> {
    const port = this.get(nameOrNumber);
    if (port === undefined)
      throw new DatapathError('ERR_NO_SUCH_PORT', `no port ${nameOrNumber}`, {
        errno: C.ENODEV,
        operation: 'port remove',
      });
    this.#host.client.deleteVport(port.portNo);
    this.#forget(port.name);
    await this.#closing.get(port.portNo);
  }

  /** The datapath is gone, and all vports with it: closes every driver. */
  async close(): Promise<void> {
    for (const port of [...this.#byNumber.values()]) this.#detach(port.portNo);
    await Promise.all(this.#closing.values());
    const hotFlows = this.#hotFlows;
    this.#hotFlows = undefined;
    await hotFlows?.close(this.#host.workerSlots);
  }

  /** A notification of the group ovs_vport. */
  heard(message: Uint8Array): void {
    const cursor = firstReply(message, 'port change');
    const { portNo, type, name } = readVport(cursor, 'port change');
    if (cursor.command === OVS_VPORT_CMD_NEW && type === OVS_VPORT_TYPE_NETDEV) this.#attach(portNo, name);
    if (cursor.command === OVS_VPORT_CMD_NEW && type === OVS_VPORT_TYPE_INTERNAL) this.#attachInternal(portNo, name);
    if (cursor.command === OVS_VPORT_CMD_DEL) this.#detach(portNo);
  }

  /** The system calls for what the calling thread received and sent. True when there was some. */
  kick(): boolean {
    return this.#pump?.turn() ?? false;
  }

  /** Regular work of all ports, and the system calls for what answers sent. True when there was some. */
  service(): boolean {
    let busy = this.kick();
    for (const port of this.#byNumber.values()) busy = port.service() || busy;
    return busy;
  }

  /** Some port has work that nobody wakes the thread for. */
  get needService(): boolean {
    for (const port of this.#byNumber.values()) if (port.needsService) return true;
    return false;
  }

  /** Declares the device and makes a vport of it. */
  #connect(name: string, type: string, options: object, { portNo, worker }: PortPlace): Port | Promise<Port> {
    const device = this.#declare(name, type, options, worker);
    device.awaited = true;
    try {
      const vportType = type === INTERNAL ? OVS_VPORT_TYPE_INTERNAL : OVS_VPORT_TYPE_NETDEV;
      this.#host.client.newVport(name, portNo, vportType);
      if (device.driver === undefined) throw device.failure;
      return device.driver;
    } catch (error) {
      this.#forget(name);
      throw vportFault(error, portNo);
    }
  }

  #declare(name: string, type: string, options: object, worker: number | undefined): Device {
    if (this.#devices.has(name) && this.get(name) === undefined) this.#forget(name);
    // the device of an internal vport comes with it
    if (type !== INTERNAL) this.#addDevice(name);
    const nothing = { portNo: undefined, driver: undefined, failure: undefined };
    const device: Device = { type, options, worker, ...nothing, awaited: false };
    this.#devices.set(name, device);
    return device;
  }

  #addDevice(name: string): void {
    const status = this.#host.door.addDevice(name, 0, C.DEVICE_ETHERNET);
    if (status === -C.EEXIST) throw portExists(`there is a port ${name} already`, C.EEXIST);
    if (status === -C.EINVAL || name.length >= C.IFNAMSIZ)
      throw new RangeError(`a port's name has 1 to ${C.IFNAMSIZ - 1} characters, no blank, / or :, not "${name}"`);
    if (status === -C.ENOMEM) throw errnoError(C.ENOMEM, 'port add');
    if (status !== 0) throw portsExhausted();
  }

  #forget(name: string): void {
    const type = this.#devices.get(name)?.type;
    this.#devices.delete(name);
    if (type !== INTERNAL) this.#host.door.removeDevice(name);
  }

  /** A vport was made: opens its driver, if its device is one of ours; when the driver before it is closed. */
  #attach(portNo: number, name: string): void {
    const device = this.#devices.get(name);
    if (device === undefined) return;
    device.portNo = portNo;
    device.failure = undefined;
    try {
      const before = this.#closing.get(portNo);
      const open = () => this.#open(portNo, name, device);
      device.driver = before === undefined ? open() : before.then(open);
      if (device.driver instanceof Promise) device.driver.catch((error: unknown) => this.#failed(name, device, error));
    } catch (error) {
      this.#failed(name, device, error);
    }
  }

  /** That of the datapath itself has no driver; of the others, those that were declared, or all when the host wants that. */
  #attachInternal(portNo: number, name: string): void {
    if (portNo === 0) return;
    const declared = this.#devices.get(name)?.type === INTERNAL;
    if (!declared && !this.#host.internalPorts) return;
    if (!declared) this.#declare(name, INTERNAL, {}, undefined);
    this.#attach(portNo, name);
  }

  #failed(name: string, device: Device, error: unknown): void {
    device.driver = undefined;
    device.failure = error;
    if (!device.awaited) this.#host.onFailure(name, error);
  }

  #open(portNo: number, name: string, device: Device): Port | Promise<Port> {
    const { memory, stats, workerSlots, pollers } = this.#host;
    const worker = device.worker ?? this.#nextWorker();
    if (worker > pollers() && worker < workerSlots)
      throw new DatapathError(
        'ERR_WORKER',
        `port ${name}: worker ${worker} does not poll: workers 1 to ${pollers()} do`,
      );
    const place = { portNo, name, workerSlots, worker, isPinned: device.worker !== undefined, pollers };
    const hotFlows = (): HotFlows => (this.#hotFlows ??= openHotFlows(memory, name));
    const config = (): PortConfig => this.config(portNo);
    const reopened = (): void => this.#host.onReopened();
    const context: PortContext = { memory, ...place, stats: (no) => stats.port(no), config, reopened, hotFlows };
    const opened = openDriver(context, device.type, device.options);
    return opened instanceof Promise
      ? opened.then((port) => this.#register(port, device))
      : this.#register(opened, device);
  }

  #register(port: Port, device: Device): Port {
    if (device.portNo !== port.portNo) {
      void this.#close(port);
      throw new DatapathError('ERR_NO_SUCH_PORT', `port ${port.name} was removed while it was opened`);
    }
    this.#byNumber.set(port.portNo, port);
    this.#host.onChange();
    return port;
  }

  /** A vport is gone: closes its driver. */
  #detach(portNo: number): void {
    this.#configs.delete(portNo);
    for (const device of this.#devices.values()) {
      if (device.portNo === portNo) device.portNo = device.driver = undefined;
    }
    const port = this.#byNumber.get(portNo);
    if (port === undefined) return;
    this.#byNumber.delete(portNo);
    const closing = this.#close(port);
    if (closing === undefined) return;
    this.#closing.set(
      portNo,
      closing.finally(() => this.#closing.delete(portNo)),
    );
  }

  /** At once when the kind can be. */
  #close(port: Port): Promise<void> | undefined {
    const closed = port.close();
    return closed === undefined ? this.#release(port) : closed.then(() => this.#release(port));
  }

  #release(port: Port): Promise<void> | undefined {
    this.#host.memory.wasm.closePort(port.portNo);
    this.#pump?.turn();
    const released = port.release();
    if (released !== undefined) return released.then(() => this.#host.onChange());
    this.#host.onChange();
    return undefined;
  }

  #checkPlace(name: string, portNo: number | undefined): void {
    if (this.get(name) !== undefined) throw portExists(`there is a port ${name} already`, C.EEXIST);
    if (portNo === undefined) {
      if (this.count >= C.PORTS_MAX - 1) throw portsExhausted();
      return;
    }
    integer('a port number', portNo, 1, C.PORTS_MAX - 1);
    if (this.#byNumber.has(portNo)) throw portExists(`port number ${portNo} is taken`, C.EBUSY);
  }

  #nextWorker(): number {
    const pollers = this.#host.pollers();
    return pollers === 0 ? 0 : 1 + (this.#turn++ % pollers);
  }
}

function portExists(problem: string, errno: number): DatapathError {
  return new DatapathError('ERR_PORT_EXISTS', problem, { errno, operation: 'port add' });
}

/** What the datapath refused: a number that a vport without a driver has, or that none is left. */
function vportFault(error: unknown, portNo: number | undefined): unknown {
  if (!(error instanceof DatapathError)) return error;
  if (error.errno === C.EBUSY) return portExists(`port number ${portNo} is taken`, C.EBUSY);
  return error.errno === C.EFBIG ? portsExhausted() : error;
}

function portsExhausted(): DatapathError {
  return new DatapathError('ERR_PORTS_EXHAUSTED', `a datapath has ${C.PORTS_MAX - 1} ports at most`, {
    errno: C.EFBIG,
    operation: 'port add',
  });
}
