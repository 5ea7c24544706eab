/*
 * A dump of the WASM datapaths of this process: of one, or one after the other of all. Before it: the wasm transport. After it: the front door and
 * assembly/kernel/dump.ts.
 *
 * Concepts. Each part is one call, and a block of the arena that belongs to the dump; its messages are read where they lie. Entries that are there all
 * the time are given once whatever changes meanwhile, so a dump is never interrupted. Ownership: a part is valid until the next step. `close`,
 * or the end, gives socket and block back. Threads: one.
 */
import * as C from '../../assembly/constants.ts';
import { type FrontDoor, nextPortId } from '../kernel/front-door.ts';
import type { ByteView } from '../native/netlink.ts';
import { NLM_F_DUMP, NLM_F_REQUEST, NLMSG_FLAGS, NLMSG_HDRLEN, NLMSG_SEQ } from '../netlink/constants.ts';
import type { DumpOptions } from '../netlink/dump.ts';
import { netlinkError, timeoutError } from '../netlink/errors.ts';
import { MessageCursor } from '../netlink/message.ts';
import type { TransportDump } from './transport.ts';
import type { WasmRouter } from './wasm-router.ts';

const SEQUENCE = 1;
/** Where the messages of a part begin in its block, and bytes of the block. */
const PART_START = C.NL_MMAP_HDRLEN;
const BLOCK_SIZE = PART_START + C.DUMP_FRAME_MAX;

export class WasmDump implements TransportDump {
  readonly interrupted = false;
  readonly #request: Uint8Array;
  readonly #operation: string;
  readonly #signal: AbortSignal | undefined;
  readonly #doors: FrontDoor[];
  #door: FrontDoor | undefined;
  #socket = 0;
  #block = 0;
  #cursor = new MessageCursor(new Uint8Array(0));

  constructor(router: WasmRouter, request: ByteView, { operation = 'dump', signal }: DumpOptions = {}) {
    if (request.length < NLMSG_HDRLEN) throw new RangeError(`a request of ${request.length} bytes has no header`);
    this.#operation = operation;
    this.#signal = signal;
    this.#request = request.slice();
    const header = new DataView(this.#request.buffer);
    header.setUint16(NLMSG_FLAGS, header.getUint16(NLMSG_FLAGS, true) | NLM_F_REQUEST | NLM_F_DUMP, true);
    header.setUint32(NLMSG_SEQ, SEQUENCE, true);
    this.#doors = router.dumped(request);
  }

  next(): MessageCursor | undefined {
    while (!this.#cursor.next()) if (!this.#refill()) return undefined;
    return this.#cursor;
  }

  async nextAsync(): Promise<MessageCursor | undefined> {
    while (!this.#cursor.next()) if (!(await this.#refillAsync())) return undefined;
    return this.#cursor;
  }

  nextDatagram(): ByteView | undefined {
    return this.#cursor.rest() ?? (this.#refill() ? this.#cursor.rest() : undefined);
  }

  async nextDatagramAsync(): Promise<ByteView | undefined> {
    return this.#cursor.rest() ?? ((await this.#refillAsync()) ? this.#cursor.rest() : undefined);
  }

  *[Symbol.iterator](): Generator<MessageCursor, void, undefined> {
    try {
      for (let message = this.next(); message !== undefined; message = this.next()) yield message;
    } finally {
      this.close();
    }
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<MessageCursor, void, undefined> {
    try {
      for (let message = await this.nextAsync(); message !== undefined; message = await this.nextAsync()) yield message;
    } finally {
      this.close();
    }
  }

  close(): void {
    this.#doors.length = 0;
    this.#leave();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  async #refillAsync(): Promise<boolean> {
    await new Promise(setImmediate);
    if (this.#signal?.aborted) {
      this.close();
      throw timeoutError(this.#operation, this.#signal.reason);
    }
    return this.#refill();
  }

  /** The cursor gets the next part. False after the last one of the last datapath. */
  #refill(): boolean {
    for (;;) {
      if (this.#door === undefined && this.#doors.length === 0) return false;
      const size = this.#door === undefined ? this.#begin(this.#doors.shift()!) : this.#continue(this.#door);
      const { bytes } = this.#door!.memory;
      const start = this.#block + PART_START;
      this.#cursor = new MessageCursor(bytes, start, size);
      if (!this.#isOver(new MessageCursor(bytes, start, size))) return true;
    }
  }

  /** Asks a datapath; its first part is copied out of the way of other requests. Returns the bytes of its messages. */
  #begin(door: FrontDoor): number {
    const { memory } = door;
    this.#block = memory.allocate(BLOCK_SIZE, this.#operation);
    this.#socket = door.open(nextPortId(), C.SOCKET_ADMIN);
    this.#door = door;
    let size = 0;
    door.send(this.#socket, this.#request, (address, partSize) => {
      size = partSize;
      memory.bytes.copyWithin(this.#block + PART_START, address, address + partSize);
    });
    return size;
  }

  #continue(door: FrontDoor): number {
    return door.continueDump(this.#socket, this.#block, this.#block + BLOCK_SIZE) - this.#block - PART_START;
  }

  /** The part says that this datapath has no more, or why not: nothing else is in it then. */
  #isOver(part: MessageCursor): boolean {
    if (part.next() && !part.isDone && !part.isError) return false;
    const errno = part.errno();
    const refusal = part.isError ? part.extendedAck() : {};
    this.#leave();
    if (errno === 0) return true;
    this.#doors.length = 0;
    throw netlinkError(errno, this.#operation, refusal);
  }

  #leave(): void {
    if (this.#door === undefined) return;
    this.#cursor = new MessageCursor(new Uint8Array(0));
    this.#door.close(this.#socket);
    this.#door.memory.wasm.releaseBlock(this.#block);
    this.#door = undefined;
  }
}
