/*
 * The ports of a datapath: adding, finding, removing. Numbers are given from 1 on (0 is the local port in Open vSwitch and stays free); pollers get
 * receiving ports in turn, unless the caller says which worker. Threads: the owner thread.
 */
import * as C from '../../assembly/constants.ts';
import type { StatsReader } from '../datapath/stats.ts';
import { DatapathError } from '../errors.ts';
import type { DatapathMemory } from '../wasm/memory.ts';
import { Pump } from '../worker/pump.ts';
import { MemoryPort, type MemoryPortOptions } from './memory.ts';
import type { Port, PortContext } from './port.ts';
import { openPort, parsePortSpec } from './registry.ts';

export interface PortPlace {
  /** Port number, 1 to 1023. Default: the lowest free one. */
  portNo?: number;
  /** Worker slot that polls it: 0 is the calling thread. Default: a poller if there are any; memory ports stay with the calling thread. */
  worker?: number;
}

export class Ports implements Iterable<Port> {
  readonly #memory: DatapathMemory;
  readonly #stats: StatsReader;
  readonly #workerSlots: number;
  readonly #onChange: () => void;
  readonly #byNumber = new Map<number, Port>();
  readonly #pump: Pump | undefined;
  #turn = 0;

  constructor(memory: DatapathMemory, stats: StatsReader, workerSlots: number, onChange: () => void) {
    this.#memory = memory;
    this.#stats = stats;
    this.#workerSlots = workerSlots;
    this.#onChange = onChange;
    this.#pump = Pump.open(memory, 0);
  }

  /** Adds a memory port: the program sends and receives on it. */
  add(name: string, options: MemoryPortOptions & PortPlace = {}): MemoryPort {
    const { portNo, worker = 0, ...rest } = options;
    return this.#register(new MemoryPort(this.#place(name, { portNo, worker }), rest));
  }

  /** Adds a port of any type (`memory`, `pcap`, `generator`, `null`) with that type's options. */
  async addType(name: string, type: string, options: object = {}, place: PortPlace = {}): Promise<Port> {
    return this.#register(await openPort(this.#place(name, place), type, options));
  }

  /** Adds a port from a SPEC: `NAME[,type=KIND][,key=value]...`. */
  async addSpec(text: string, place: PortPlace = {}): Promise<Port> {
    const { name, type, options } = parsePortSpec(text);
    return this.addType(name, type, options, place);
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

  /** Closes a port. Flows that output to it drop from now on (noPort). */
  async remove(nameOrNumber: string | number): Promise<void> {
    const port = this.get(nameOrNumber);
    if (port === undefined)
      throw new DatapathError('ERR_NO_SUCH_PORT', `no port ${nameOrNumber}`, {
        errno: C.ENODEV,
        operation: 'port remove',
      });
    this.#byNumber.delete(port.portNo);
    await port.close();
    this.#memory.wasm.closePort(port.portNo);
    this.#pump?.turn();
    await port.release();
    this.#onChange();
  }

  /** Regular work of all ports, and the system calls for what the calling thread received and sent. True when there was some. */
  service(): boolean {
    let busy = this.#pump?.turn() ?? false;
    for (const port of this.#byNumber.values()) busy = port.service() || busy;
    return busy;
  }

  #register<T extends Port>(port: T): T {
    this.#byNumber.set(port.portNo, port);
    this.#onChange();
    return port;
  }

  #place(name: string, { portNo, worker }: PortPlace): PortContext {
    if (this.get(name) !== undefined)
      throw new DatapathError('ERR_PORT_EXISTS', `there is a port ${name} already`, {
        errno: C.EEXIST,
        operation: 'port add',
      });
    const number = portNo ?? this.#freeNumber();
    if (!Number.isInteger(number) || number < 1 || number >= C.PORTS_MAX)
      throw new RangeError(`a port number is 1 to ${C.PORTS_MAX - 1}, not ${number}`);
    if (this.#byNumber.has(number))
      throw new DatapathError('ERR_PORT_EXISTS', `port number ${number} is taken`, {
        errno: C.EBUSY,
        operation: 'port add',
      });
    return {
      memory: this.#memory,
      portNo: number,
      name,
      workerSlots: this.#workerSlots,
      worker: worker ?? this.#nextWorker(),
      stats: (no) => this.#stats.port(no),
    };
  }

  #freeNumber(): number {
    for (let number = 1; number < C.PORTS_MAX; number++) if (!this.#byNumber.has(number)) return number;
    throw new DatapathError('ERR_PORTS_EXHAUSTED', `a datapath has ${C.PORTS_MAX - 1} ports at most`, {
      errno: C.EFBIG,
      operation: 'port add',
    });
  }

  #nextWorker(): number {
    const pollers = this.#workerSlots - 1;
    return pollers === 0 ? 0 : 1 + (this.#turn++ % pollers);
  }
}
