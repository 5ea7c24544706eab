/*
 * Bonds: what `lb_output` chooses a port from. Before it: the embedding program, or dpif. After it: assembly/actions/bond.ts, which says how it
 * chooses. Threads: the owner thread; the workers go on meanwhile.
 */
import * as C from '../../assembly/constants.ts';
import { errnoError } from '../errors.ts';
import { integer } from '../ranges.ts';
import type { DatapathMemory } from '../wasm/memory.ts';

const U32_MAX = 4294967295;

export class Bonds {
  readonly #memory: DatapathMemory;
  readonly #scratch: number;

  constructor(memory: DatapathMemory) {
    this.#memory = memory;
    this.#scratch = memory.allocate(C.BOND_SIZEOF, 'the bonds');
  }

  /**
   * Makes bond `id`, any number of 32 bits, or gives it other members: `ports` are 256 port numbers by the low eight bits of a packet's L4 hash. A bond
   * that was there keeps its bytes. Throws RangeError for an impossible id, port or number of ports; DatapathError ERR_OUT_OF_MEMORY, also for
   * more than 64 bonds.
   */
  set(id: number, ports: readonly number[]): void {
    integer('id of a bond', id, 0, U32_MAX);
    if (ports.length !== C.BOND_BUCKETS) {
      throw new RangeError(`a bond must have ${C.BOND_BUCKETS} ports, not ${ports.length}`);
    }
    for (const [bucket, port] of ports.entries()) {
      integer('port of a bond', port, 0, C.PORTS_MAX - 1);
      this.#memory.setU32(this.#scratch + bucket * 4, port);
    }
    const errno = this.#memory.wasm.setBond(id, this.#scratch);
    if (errno !== 0) throw errnoError(errno, 'bond set');
  }

  /** Bytes that went to the port of each bucket of bond `id`; undefined when there is none. */
  bytes(id: number): number[] | undefined {
    const memory = this.#memory;
    if (memory.wasm.readBond(id, this.#scratch) !== 0) return undefined;
    return Array.from({ length: C.BOND_BUCKETS }, (_, bucket) => memory.u64(this.#scratch + C.BOND_BYTES + bucket * 8));
  }

  /** False when there was none. Packets of flows that name it are dropped from now on, as `noPort`. */
  delete(id: number): boolean {
    return this.#memory.wasm.deleteBond(id) === 0;
  }
}
