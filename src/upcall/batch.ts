/*
 * A batch of upcalls: frames of one worker's ring, in the handler's hands until they are answered.
 *
 * Every accessor reads the frame where it lies; nothing is copied and no object is made a packet. Views (`key`, `packet`, `message`) are valid
 * until the handler has returned (or its promise is settled); the frame is then filled again by the datapath. Copy what must last.
 * Addresses are the datapath's and mean nothing outside it.
 * Threads: the consumer of the ring.
 */
import * as C from '../../assembly/constants.ts';
import type { ActionsHandle, MaskHandle } from '../datapath/handles.ts';
import type { DatapathMemory, SharedBytes } from '../wasm/memory.ts';

export type UpcallCommand = 'miss' | 'action';

const OVS_PACKET_CMD_ACTION = 2;
const TWO_32 = 4294967296;

export class UpcallBatch {
  /** Upcalls in this batch, at most UPCALL_TAKE_MAX. */
  count = 0;
  /** The worker whose ring they are from. */
  readonly worker: number;
  readonly #memory: DatapathMemory;
  readonly #list: number;
  #open = false;

  constructor(memory: DatapathMemory, worker: number, list: number) {
    this.#memory = memory;
    this.worker = worker;
    this.#list = list;
  }

  /** For the dispatcher: `count` frames stand in the ring's list. */
  begin(count: number): void {
    this.count = count;
    this.#open = true;
  }

  /** For the dispatcher: the batch was carried out or given up; a late handler finds it closed. */
  end(): void {
    this.#open = false;
    this.count = 0;
  }

  #frame(index: number): number {
    if (!this.#open || index >>> 0 !== index || index >= this.count)
      throw new RangeError(`no upcall ${index} in this batch (any more)`);
    return this.#memory.u32(this.#list + index * 4);
  }

  inPort(index: number): number {
    return this.#memory.u32(this.#frame(index) + C.UPCALL_IN_PORT);
  }

  command(index: number): UpcallCommand {
    return this.#memory.u32(this.#frame(index) + C.UPCALL_COMMAND) === OVS_PACKET_CMD_ACTION ? 'action' : 'miss';
  }

  /** The flat key, KEY_SIZE bytes; offsets are KEY_* of assembly/constants.ts. A view. */
  key(index: number): SharedBytes {
    return this.#memory.slice(this.#frame(index) + C.UPCALL_KEY, C.KEY_SIZE);
  }

  /** Address of the flat key, for handlers that read it word by word through `datapath.memory` rather than make views. */
  keyAddress(index: number): number {
    return this.#frame(index) + C.UPCALL_KEY;
  }

  /** The frame's bytes. A view. */
  packet(index: number): SharedBytes {
    const frame = this.#frame(index);
    return this.#memory.slice(
      this.#memory.u32(frame + C.UPCALL_PACKET),
      this.#memory.u32(frame + C.UPCALL_PACKET_SIZE),
    );
  }

  /** Bytes of the frame. */
  packetSize(index: number): number {
    return this.#memory.u32(this.#frame(index) + C.UPCALL_PACKET_SIZE);
  }

  /** The whole OVS_PACKET_CMD_MISS or ACTION message, nlmsghdr first. A view. */
  message(index: number): SharedBytes {
    const frame = this.#frame(index);
    return this.#memory.slice(this.#memory.u32(frame + C.UPCALL_MESSAGE), this.#memory.u32(frame + C.NL_MMAP_LEN));
  }

  /** Payload of OVS_PACKET_ATTR_USERDATA of an `action` upcall; undefined when there is none. A view. */
  userdata(index: number): SharedBytes | undefined {
    const attribute = this.#memory.u32(this.#frame(index) + C.UPCALL_USERDATA);
    if (attribute === 0) return undefined;
    return this.#memory.slice(attribute + 4, this.#memory.view.getUint16(attribute, true) - 4);
  }

  /** Receive time, ns of CLOCK_REALTIME. */
  timeNs(index: number): number {
    return this.#memory.u64(this.#frame(index) + C.UPCALL_TIME_NS);
  }

  /** Source MAC as a 48-bit number. */
  ethSrc(index: number): number {
    return this.#mac(this.#frame(index) + C.UPCALL_KEY + C.KEY_ETH_SRC);
  }

  /** Destination MAC as a 48-bit number. */
  ethDst(index: number): number {
    return this.#mac(this.#frame(index) + C.UPCALL_KEY + C.KEY_ETH_DST);
  }

  /** VLAN id of the outer tag, 0 without one. */
  vlanId(index: number): number {
    return this.#memory.view.getUint16(this.#frame(index) + C.UPCALL_KEY + C.KEY_VLAN_TCI) & 0xfff;
  }

  #mac(address: number): number {
    const { view } = this.#memory;
    return view.getUint16(address) * TWO_32 + view.getUint32(address + 2);
  }

  /**
   * Executes `actions` on this packet and, with a mask, installs the flow of its key under that mask. Both must stay held until the handler
   * has returned (or its promise is settled). Throws TypeError for a handle that was released.
   */
  answer(index: number, actions: ActionsHandle, mask?: MaskHandle): void {
    const frame = this.#frame(index);
    const list = actions.address;
    this.#memory.setU32(frame + C.UPCALL_ANSWER_MASK, mask === undefined ? 0 : mask.address);
    this.#memory.setU32(frame + C.UPCALL_ANSWER_ACTIONS, list);
  }

  /** Drops this one packet (counted as upcallHandler); what an undecided upcall gets too. */
  drop(index: number): void {
    this.#memory.setU32(this.#frame(index) + C.UPCALL_ANSWER_ACTIONS, 0);
  }
}
