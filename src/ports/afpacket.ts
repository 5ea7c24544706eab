/*
 * The AF_PACKET port: a real interface, received from a ring that the kernel fills inside of the datapath's memory, sent to by sendmmsg.
 * Before it: the registry. After it: assembly/io/afpacket.ts, native/packet-socket.cc.
 *
 * Concepts. The datapath sees what arrives on the interface, and the host's own stack goes on seeing it as well: give the interface no address.
 * Tags, partial checksums and super-frames pass as they are (virtio_net_hdr). With `queues` the kernel spreads flows over several rings
 * (PACKET_FANOUT_HASH), each polled by a worker. Where the ring cannot be mapped the shim fills the same frames. Threads: the owner thread.
 */
import * as C from '../../assembly/constants.ts';
import type { DatapathError } from '../errors.ts';
import type { NativePacketOptions, NativePacketSocket } from '../native/io.ts';
import type { NativeAddon } from '../native/load.ts';
import { integer } from '../ranges.ts';
import { InterfacePort } from './interface-port.ts';
import type { Link } from './links.ts';
import type { PortContext } from './port.ts';
import { refusal, requireAddon } from './queue-port.ts';
import { ringGeometry } from './queues.ts';
import { XDP_COPY, XDP_USE_NEED_WAKEUP, Xsk } from './xsk.ts';

export interface AfPacketPortOptions {
  /** The interface. Default: the port's name. */
  interface?: string | undefined;
  /** Rings that the kernel spreads flows over, each for one worker, 1 to 16. Default 1. */
  queues?: number | undefined;
  /** Frames of a ring. Default 2048. */
  frames?: number | undefined;
  /** Whether the interface receives what is addressed to others. Default true. */
  promiscuous?: boolean | undefined;
  /**
   * How plain frames are sent: `xdp`, by AF_XDP sockets, which is faster and passes by the interface's queueing discipline and by whoever listens to
   * what goes out (tcpdump); `socket`, by the packet socket, as everything else. Default `auto`: xdp where it can be had.
   */
  tx?: 'auto' | 'xdp' | 'socket' | undefined;
  /** `mapped` (default): the kernel's ring in the datapath's memory. `copied`: without one, the shim receives. */
  ring?: 'mapped' | 'copied' | undefined;
}

const FRAMES_DEFAULT = 2048;
const FRAMES_MIN = 32;
const FRAMES_MAX = 65536;
/** From the start of a frame's memory to the frame: the kernel's header, headroom, virtio_net_hdr; then a cache line begins. */
const FRAME_OFFSET = 192;
/** PACKET_RESERVE that puts it there: the kernel itself leaves TPACKET2_HDRLEN and the address, aligned, and VNET_SIZEOF. */
const RESERVE = FRAME_OFFSET - 76;
/** Ethernet header and two tags beside the MTU. */
const FRAME_OVERHEAD = 14 + 8;
/** For frames longer than the ring's, which wait in the socket; and for what waits to be sent. */
const RECEIVE_BUFFER_SIZE = 16 * 1048576;
const SEND_BUFFER_SIZE = 4 * 1048576;
/** Frames that can be on their way out by AF_XDP at once. */
const XSK_FRAMES = 512;
/** What can be refused where rings cannot be had. */
const RING_OPERATIONS: readonly string[] = ['PACKET_VERSION', 'PACKET_RX_RING', 'mmap'];
const PACKET_FANOUT_HASH = 0;
const PACKET_FANOUT_FLAG_UNIQUEID = 0x2000;

export class AfPacketPort extends InterfacePort {
  readonly type: string = 'afpacket';
  readonly #options: Required<Omit<AfPacketPortOptions, 'interface' | 'ring'>>;
  readonly #sockets: NativePacketSocket[] = [];
  readonly #xsks: Xsk[] = [];
  #ring: 'mapped' | 'copied';
  #dropsBefore = 0;

  /** Throws ERR_NO_SUCH_INTERFACE, ERR_PORT_PERMISSION, ERR_PORT_SYSTEM, ERR_NATIVE_UNAVAILABLE, RangeError. */
  constructor(context: PortContext, options: AfPacketPortOptions = {}) {
    super(context, options.interface ?? context.name);
    const { queues = 1, frames = FRAMES_DEFAULT, promiscuous = true, tx = 'auto', ring = 'mapped' } = options;
    integer('queues', queues, 1, C.QUEUES_MAX);
    integer('frames', frames, FRAMES_MIN, FRAMES_MAX);
    this.#options = { queues, frames, promiscuous, tx };
    this.#ring = ring;
    requireAddon(context.name);
    this.begin();
  }

  protected override openOn(link: Link): void {
    const { queues } = this.#options;
    const { portNo, workerSlots } = this.context;
    const addon = requireAddon(this.name);
    const rx = Array.from({ length: queues }, (_, i) => this.#openQueue(addon, link, i));
    const fdOf = (slot: number): number => this.#sockets[slot % queues].fd;
    const tx = this.blocks.transmitQueues(C.QUEUE_KIND_PACKET_TX, portNo, workerSlots, fdOf);
    if (this.#options.tx !== 'socket') this.#addXsks(addon, link, tx);
    this.open(C.RX_QUEUES, this.blocks.receiveTable(rx), C.TX_QUEUES, tx);
  }

  /**
   * Plain frames go by AF_XDP sockets: one for each queue of the interface, as the kernel has it, so for so many of the workers; the others, and
   * the calling thread, send by the packet socket.
   */
  #addXsks(addon: NativeAddon, link: Link, table: number): void {
    const { memory, portNo, workerSlots } = this.context;
    const count = Math.min(Math.max(link.rxQueues, link.txQueues), Math.max(workerSlots - 1, 1));
    for (let queue = 0; queue < count; queue++) {
      const worker = this.workerOf(queue);
      const what = { ifindex: link.ifindex, queue, portNo, worker, flags: XDP_COPY | XDP_USE_NEED_WAKEUP };
      const sizes = { isSoft: false, rxFrames: 0, txFrames: XSK_FRAMES, sendBufferSize: SEND_BUFFER_SIZE };
      const xsk = Xsk.open(this.blocks, addon, { ...what, ...sizes });
      if (xsk instanceof Xsk) {
        this.#xsks.push(xsk);
        memory.setU32(table + worker * 4, xsk.transmitQueue(memory.u32(table + worker * 4)));
      } else if (this.#options.tx === 'xdp') throw refusal(this.name, xsk.operation, xsk.errno, 'CAP_NET_RAW');
      else return;
    }
  }

  /** A queue over a mapped ring; where the kernel refuses one, over frames that the shim fills. */
  #openQueue(addon: NativeAddon, link: Link, index: number): number {
    const { memory, portNo } = this.context;
    const socket = new addon.PacketSocket();
    this.#sockets.push(socket);
    const what = { kind: C.QUEUE_KIND_PACKET_RX, portNo, worker: this.workerOf(index) };
    if (this.#ring === 'mapped') {
      const geometry = ringGeometry(this.#options.frames, FRAME_OFFSET + link.mtu + FRAME_OVERHEAD);
      const ring = this.blocks.allocatePages(geometry.blockSize * geometry.blockCount);
      const options = { ...this.#socketOptions(link, index), reserve: RESERVE, ...geometry };
      const status = socket.open(options, memory.bytes, ring);
      if (status === 0) return this.blocks.receiveQueue({ ...what, fd: socket.fd, flags: 0 }, ring, geometry);
      if (!RING_OPERATIONS.includes(socket.operation)) throw this.#refusal(socket, status);
      this.#ring = 'copied';
    }
    const status = socket.open(this.#socketOptions(link, index), memory.bytes, 0);
    if (status < 0) throw this.#refusal(socket, status);
    return this.blocks.copyingQueue({ ...what, fd: socket.fd });
  }

  #refusal(socket: NativePacketSocket, status: number): DatapathError {
    return refusal(this.name, socket.operation, -status, 'CAP_NET_RAW');
  }

  #socketOptions(link: Link, index: number): NativePacketOptions {
    return {
      ifindex: link.ifindex,
      promiscuous: this.#options.promiscuous ? 1 : 0,
      receiveBufferSize: RECEIVE_BUFFER_SIZE,
      sendBufferSize: SEND_BUFFER_SIZE,
      ...(this.#options.queues > 1 ? this.#fanout(index) : {}),
    };
  }

  /** The first socket makes a group with an id of the kernel's choice; the others join it. */
  #fanout(index: number): Pick<NativePacketOptions, 'fanoutGroup' | 'fanoutMode'> {
    if (index === 0) return { fanoutGroup: 0, fanoutMode: PACKET_FANOUT_HASH | PACKET_FANOUT_FLAG_UNIQUEID };
    return { fanoutGroup: this.#sockets[0].fanoutGroup, fanoutMode: PACKET_FANOUT_HASH };
  }

  /** Frames that the kernel lost because the rings were full. */
  override get kernelDrops(): number {
    return this.#sockets.reduce((sum, socket) => sum + socket.counts().drops, this.#dropsBefore);
  }

  protected override closeDescriptors(): void {
    this.#dropsBefore = this.kernelDrops;
    for (const socket of this.#sockets.splice(0)) socket.close();
    for (const { socket } of this.#xsks.splice(0)) socket.close();
  }

  protected override describeRings(): string[] {
    const { queues } = this.#options;
    const what = this.#ring === 'mapped' ? 'ring in memory' : 'copied';
    const tx = this.#xsks.length > 0 ? ['sends by AF_XDP'] : [];
    return [...(queues === 1 ? [] : [`${queues} queues`]), what, ...tx];
  }
}
