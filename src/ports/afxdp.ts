/*
 * The AF_XDP port: a real interface whose frames the kernel puts into the datapath's memory before its own stack sees them, and takes from there. Before
 * it: the registry. After it: assembly/io/afxdp.ts, native/xdp-socket.cc, native/xdp-program.cc.
 *
 * Concepts. An XDP program hands every frame to the socket of the queue that it came by; each queue of the interface has one, each socket a worker,
 * and that worker sends by it; when the queue moves to another worker, both sides do. The other workers, and whatever is not plain (super-frames,
 * checksums still to be made), send by a packet socket. Where frames are copied depends on the mode: `zerocopy`, nowhere, if driver and hardware can;
 * `native`, by the driver; `generic`, by the kernel, which every interface can. The program goes with the process. Frames are of one page half: the MTU
 * must fit.
 * What the kernel does not tell by AF_XDP: that a checksum is still to be made, as on veth; it is seen from the checksum, which then is that of the
 * pseudo header (io/offload.ts).
 * Threads: the owner thread.
 */
import * as C from '../../assembly/constants.ts';
import { DatapathError } from '../errors.ts';
import type { NativePacketSocket, NativeXdpProgram } from '../native/io.ts';
import type { NativeAddon } from '../native/load.ts';
import { integer, powerOfTwo } from '../ranges.ts';
import { quiesce } from '../worker/wake.ts';
import { InterfacePort } from './interface-port.ts';
import type { Link } from './links.ts';
import type { PortContext } from './port.ts';
import { refusal, requireAddon } from './queue-port.ts';
import { takesXdpFrames } from './xdp-features.ts';
import { XDP_COPY, XDP_USE_NEED_WAKEUP, XDP_ZEROCOPY, XSK_FRAME_SIZE, Xsk } from './xsk.ts';

export type XdpMode = 'zerocopy' | 'native' | 'generic';

export interface AfXdpPortOptions {
  /** The interface. Default: the port's name. */
  interface?: string | undefined;
  /** Queues of the interface, each for one worker, 1 to 16. Default: all that it has. */
  queues?: number | undefined;
  /** Frames that the kernel has to receive into, a queue; a power of two. Default 2048. */
  frames?: number | undefined;
  /** Default `auto`: the first that works of `zerocopy`, `native`, `generic`. */
  mode?: 'auto' | XdpMode | undefined;
  /** The XDP program forwards what it can of the flows between ports that have this option (default off): io/hot-flows.ts. Needs a driver's mode. */
  offload?: boolean | undefined;
}

const FRAMES_DEFAULT = 2048;
const FRAMES_MIN = 64;
const FRAMES_MAX = 65536;
const TX_FRAMES = 512;
const SEND_BUFFER_SIZE = 4 * 1048576;
/** What the kernel keeps in front of a frame (XDP_PACKET_HEADROOM). */
const XDP_HEADROOM = 256;
/** Ethernet header and two tags beside the MTU. */
const FRAME_OVERHEAD = 14 + 8;
export const XDP_MTU_MAX = XSK_FRAME_SIZE - XDP_HEADROOM - FRAME_OVERHEAD;

const XDP_FLAGS_SKB_MODE = 2;
const XDP_FLAGS_DRV_MODE = 4;
const MODES: readonly XdpMode[] = ['zerocopy', 'native', 'generic'];
/** Flags of the program and of the sockets. */
const FLAGS: Record<XdpMode, [number, number]> = {
  zerocopy: [XDP_FLAGS_DRV_MODE, XDP_ZEROCOPY],
  native: [XDP_FLAGS_DRV_MODE, XDP_COPY],
  generic: [XDP_FLAGS_SKB_MODE, XDP_COPY],
};
const EINVAL = 22;

/** By what each worker sends: the table that it looks into, its queue over the packet socket, its AF_XDP socket if it has one. */
interface Sending {
  readonly table: number;
  readonly plain: readonly number[];
  readonly by: Map<number, Xsk>;
}

/** What was refused on the way to a mode. */
interface Refusal {
  mode: XdpMode;
  operation: string;
  errno: number;
}

export class AfXdpPort extends InterfacePort {
  readonly type = 'afxdp';
  readonly #options: AfXdpPortOptions & { frames: number };
  readonly #xsks: Xsk[] = [];
  #program: NativeXdpProgram | undefined;
  #packetSocket: NativePacketSocket | undefined;
  #sending: Sending | undefined;
  #mode: XdpMode = 'generic';
  #dropsBefore = 0;
  /** Longest frame that programs may send here, 0 none; undefined: not said yet. */
  #sentTo: number | undefined;

  /** Throws ERR_NO_SUCH_INTERFACE, ERR_PORT_PERMISSION, ERR_PORT_SYSTEM, ERR_NATIVE_UNAVAILABLE, RangeError. */
  constructor(context: PortContext, options: AfXdpPortOptions = {}) {
    super(context, options.interface ?? context.name);
    const { frames = FRAMES_DEFAULT, queues = 1 } = options;
    integer('queues', queues, 1, C.QUEUES_MAX);
    powerOfTwo('frames', frames, FRAMES_MIN, FRAMES_MAX);
    this.#options = { ...options, frames };
    requireAddon(context.name);
    this.begin();
  }

  /** How frames come in. */
  get mode(): XdpMode {
    return this.#mode;
  }

  protected override openOn(link: Link): void {
    if (link.mtu > XDP_MTU_MAX) {
      const problem = `the MTU of ${link.name} is ${link.mtu}, and AF_XDP takes ${XDP_MTU_MAX}: use type=afpacket`;
      throw new DatapathError('ERR_PORT_OPTION', `port ${this.name}: ${problem}`, { operation: 'port add' });
    }
    const addon = requireAddon(this.name);
    const mode = this.#options.mode ?? 'auto';
    const refusals: Refusal[] = [];
    const isOpen = (mode === 'auto' ? MODES : [mode]).some((candidate) =>
      this.blocks.trying(() => {
        const refused = this.#openMode(addon, link, candidate);
        if (refused !== undefined) refusals.push(refused);
        return refused === undefined;
      }),
    );
    if (!isOpen) throw this.#refusal(refusals);
    const { portNo, workerSlots } = this.context;
    const fd = this.#openPacketSocket(addon, link);
    const table = this.blocks.transmitQueues(C.QUEUE_KIND_PACKET_TX, portNo, workerSlots, () => fd);
    const plain = Array.from({ length: workerSlots }, (_, slot) => this.context.memory.u32(table + slot * 4));
    this.#sending = { table, plain, by: new Map() };
    this.#sendBy(this.#sending, this.#wanted());
    const rx = this.blocks.receiveTable(this.#xsks.map(({ address }) => address));
    this.open(C.RX_QUEUES, rx, C.TX_QUEUES, table, this.#offloadsIn(this.#mode) ? C.PORT_FLAG_HOT : 0);
    this.stateChanged(link);
  }

  /** Its program looks through the hot flows: only where frames are no skbs yet, or it would gain nothing. */
  #offloadsIn(mode: XdpMode): boolean {
    return this.#options.offload === true && mode !== 'generic';
  }

  /** Other ports' programs may send frames here while it is up and takes them. */
  protected override stateChanged(link: Link): void {
    if (this.#options.offload !== true) return;
    const takes = link.up && link.carrier && takesXdpFrames(link.ifindex);
    const sizeMax = takes ? link.mtu + C.FRAME_SIZE_MIN : 0;
    if (sizeMax === this.#sentTo) return;
    this.#sentTo = sizeMax;
    this.context.hotFlows().setDevice(this.portNo, link.ifindex, sizeMax);
  }

  /** The socket that each worker is to send by: the first that it polls. */
  #wanted(): Map<number, Xsk> {
    return new Map([...this.#xsks].reverse().map((xsk) => [xsk.worker, xsk]));
  }

  /** Workers send by their sockets, those without one by the packet socket. */
  #sendBy({ table, plain, by }: Sending, wanted: ReadonlyMap<number, Xsk>): void {
    for (const [worker, xsk] of wanted) {
      this.context.memory.setU32(table + worker * 4, xsk.transmitQueue(plain[worker]));
      by.set(worker, xsk);
    }
  }

  /** The sending sides follow the receiving ones: for a moment, until nobody has them in hand, the packet socket sends. */
  override async queuesMoved(): Promise<void> {
    const sending = this.#sending;
    if (sending === undefined) return;
    const wanted = this.#wanted();
    for (const [worker, xsk] of sending.by) {
      if (wanted.get(worker) === xsk) continue;
      this.context.memory.setU32(sending.table + worker * 4, sending.plain[worker]);
      sending.by.delete(worker);
    }
    for (const worker of sending.by.keys()) wanted.delete(worker);
    await quiesce(this.context.memory, this.context.workerSlots);
    if (this.#sending === sending) this.#sendBy(sending, wanted);
  }

  /** Program and sockets in one mode. What was refused, with nothing left open; or undefined. */
  #openMode(addon: NativeAddon, link: Link, mode: XdpMode): Refusal | undefined {
    const [programFlags, socketFlags] = FLAGS[mode];
    const program = new addon.XdpProgram();
    const hot = this.#offloadsIn(mode) ? this.context.hotFlows() : undefined;
    const status = program.open(
      link.ifindex,
      programFlags,
      C.QUEUES_MAX,
      hot?.describe(this.portNo, isSoft(link)),
      hot?.factors,
    );
    if (status < 0) return { mode, operation: program.operation, errno: -status };
    this.#program = program;
    const refused = this.#openSockets(addon, link, mode, socketFlags);
    if (refused === undefined) {
      this.#mode = mode;
      return undefined;
    }
    this.#closeXdp();
    return refused;
  }

  #openSockets(addon: NativeAddon, link: Link, mode: XdpMode, flags: number): Refusal | undefined {
    const { frames, queues } = this.#options;
    const count = queues ?? Math.min(link.rxQueues, C.QUEUES_MAX);
    for (let queue = 0; queue < count; queue++) {
      const xsk = Xsk.open(this.blocks, addon, {
        ifindex: link.ifindex,
        queue,
        portNo: this.portNo,
        worker: this.workerOf(queue),
        flags: flags | XDP_USE_NEED_WAKEUP,
        isSoft: isSoft(link),
        rxFrames: frames,
        txFrames: TX_FRAMES,
        sendBufferSize: SEND_BUFFER_SIZE,
      });
      // an interface may have fewer queues in use than it was made with
      if (!(xsk instanceof Xsk) && queue > 0 && queues === undefined && xsk.errno === EINVAL) return undefined;
      if (!(xsk instanceof Xsk)) return { mode, ...xsk };
      this.#xsks.push(xsk);
      const status = this.#program!.setSocket(queue, xsk.socket.fd);
      if (status < 0) return { mode, operation: this.#program!.operation, errno: -status };
    }
    return undefined;
  }

  #openPacketSocket(addon: NativeAddon, link: Link): number {
    const socket = new addon.PacketSocket();
    this.#packetSocket = socket;
    const options = { ifindex: link.ifindex, receives: 0, promiscuous: 1, sendBufferSize: SEND_BUFFER_SIZE } as const;
    const status = socket.open(options, this.context.memory.bytes, 0);
    if (status < 0) throw refusal(this.name, socket.operation, -status, 'CAP_NET_RAW');
    return socket.fd;
  }

  /** The first refusal that is one of permission, else that of the last mode. */
  #refusal(refusals: readonly Refusal[]): DatapathError {
    const { mode, operation, errno } =
      refusals.find(({ errno: number }) => number === C.EPERM) ?? refusals[refusals.length - 1];
    const capabilities = 'CAP_NET_RAW, CAP_NET_ADMIN and CAP_BPF';
    return refusal(this.name, `${operation} (XDP mode ${mode})`, errno, capabilities);
  }

  override get kernelDrops(): number {
    return this.#xsks.reduce((sum, { socket }) => sum + socket.drops(), this.#dropsBefore);
  }

  #closeXdp(): void {
    this.#dropsBefore = this.kernelDrops;
    this.#program?.close();
    this.#program = undefined;
    for (const { socket } of this.#xsks.splice(0)) socket.close();
  }

  protected override closeDescriptors(): void {
    this.#sending = undefined;
    if (this.#sentTo !== undefined && this.#sentTo > 0) this.context.hotFlows().clearDevice(this.portNo);
    this.#sentTo = undefined;
    this.#closeXdp();
    this.#packetSocket?.close();
    this.#packetSocket = undefined;
  }

  protected override describeRings(): string[] {
    const count = this.#xsks.length;
    return [`mode ${this.#mode}`, ...(count > 1 ? [`${count} queues`] : []), ...this.#describeOffload()];
  }

  #describeOffload(): string[] {
    if (this.#options.offload !== true) return [];
    const out = this.#sentTo === 0 ? ['takes no XDP frames'] : [];
    return this.#offloadsIn(this.#mode) ? ['offload', ...out] : ['no offload in this mode', ...out];
  }

  /** 0 when every frame of every socket has one owner, else what is wrong (checkXsk). While no worker polls. */
  check(): number {
    const { wasm } = this.context.memory;
    return this.#xsks.map(({ address }) => wasm.checkXsk(address)).find((broken) => broken !== 0) ?? 0;
  }
}

/** No wire is behind it: what comes in may have its checksum still to be made. */
function isSoft(link: Link): boolean {
  return link.kind !== '';
}
