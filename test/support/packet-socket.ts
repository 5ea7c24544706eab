/*
 * A datapath dp0 with memory ports 1 to 4 that are vports too, and a socket that has it execute actions by messages. What comes of each request: errno,
 * frames out of the ports, upcall messages with the port ids they are for.
 */
import * as C from '../../assembly/constants.ts';
import { FAMILY_DATAPATH, FAMILY_PACKET, FAMILY_VPORT } from '../../assembly/kernel/families.ts';
import * as OVS from '../../assembly/netlink/openvswitch.ts';
import type { Datapath, DatapathOptions, MemoryPort } from '../../src/index.ts';
import type { AttributeBuilder } from '../../src/netlink/index.ts';
import { parseAttributes } from '../reference/flow-attributes.ts';
import { openDatapath } from './datapath.ts';
import { KernelSocket } from './kernel-socket.ts';
import { refuse, take } from './upcall-frames.ts';

export const PORTS = [1, 2, 3, 4] as const;
export const UPCALL_PID = 4242;

export interface Executed {
  errno: number;
  frames: { port: number; data: Uint8Array }[];
  upcalls: Uint8Array[];
  /** Of each upcall. */
  portIds: number[];
}

const words = (...values: number[]): Uint8Array => new Uint8Array(Uint32Array.from(values).buffer);

export class PacketSocket implements AsyncDisposable {
  readonly datapath: Datapath;
  readonly socket: KernelSocket;
  readonly ports: MemoryPort[];
  readonly ifindex: number;

  static async open(options: DatapathOptions = {}): Promise<PacketSocket> {
    return new PacketSocket(await openDatapath({ upcallFrames: 64, arenaSize: 96 * 1048576, ...options }));
  }

  private constructor(datapath: Datapath) {
    this.datapath = datapath;
    this.ports = PORTS.map((portNo) =>
      datapath.ports.add(`port${portNo}`, { portNo, slots: 64, frameSize: C.FRAME_SIZE_MAX }),
    );
    this.socket = new KernelSocket(datapath.memory);
    this.ifindex = datapath.memory.superblock(C.SB_DP_IFINDEX);
    datapath.memory.setOption(C.OPTION_HANDLER, true);
    this.#makeDatapath();
    for (const portNo of PORTS) this.#makeVport(portNo);
  }

  #makeDatapath(): void {
    const features = OVS.OVS_DP_F_UNALIGNED | OVS.OVS_DP_F_VPORT_PIDS;
    if (this.changeDatapath(features) === 0) return;
    const attributes = (a: AttributeBuilder): void => {
      a.string(OVS.OVS_DP_ATTR_NAME, 'dp0').u32(OVS.OVS_DP_ATTR_UPCALL_PID, UPCALL_PID);
      a.u32(OVS.OVS_DP_ATTR_USER_FEATURES, features);
    };
    this.socket.done({ family: FAMILY_DATAPATH, version: 2, command: OVS.OVS_DP_CMD_NEW, attributes });
  }

  #makeVport(portNo: number): void {
    if (this.setPortIds(portNo, UPCALL_PID) === 0) return;
    this.socket.addDevice(`port${portNo}`, 100 + portNo, C.DEVICE_ETHERNET);
    const attributes = (a: AttributeBuilder): void => {
      a.u32(OVS.OVS_VPORT_ATTR_PORT_NO, portNo).string(OVS.OVS_VPORT_ATTR_NAME, `port${portNo}`);
      a.u32(OVS.OVS_VPORT_ATTR_TYPE, OVS.OVS_VPORT_TYPE_NETDEV).u32(OVS.OVS_VPORT_ATTR_UPCALL_PID, UPCALL_PID);
    };
    this.socket.done({ family: FAMILY_VPORT, command: OVS.OVS_VPORT_CMD_NEW, ifindex: this.ifindex, attributes });
  }

  /** Features, and with DISPATCH_UPCALL_PER_CPU the port ids of the workers. Returns the errno. */
  changeDatapath(features: number, perWorker: number[] = []): number {
    const attributes = (a: AttributeBuilder): void => {
      a.u32(OVS.OVS_DP_ATTR_USER_FEATURES, features);
      if (perWorker.length > 0) a.binary(OVS.OVS_DP_ATTR_PER_CPU_PIDS, words(...perWorker));
    };
    const request = { family: FAMILY_DATAPATH, version: 2, command: OVS.OVS_DP_CMD_SET, ifindex: this.ifindex };
    return this.socket.ask({ ...request, attributes }).errno;
  }

  setPortIds(portNo: number, ...ids: number[]): number {
    const attributes = (a: AttributeBuilder): void => {
      a.u32(OVS.OVS_VPORT_ATTR_PORT_NO, portNo).binary(OVS.OVS_VPORT_ATTR_UPCALL_PID, words(...ids));
    };
    const request = { family: FAMILY_VPORT, command: OVS.OVS_VPORT_CMD_SET, ifindex: this.ifindex };
    return this.socket.ask({ ...request, attributes }).errno;
  }

  /** Somebody has these port ids. Returns how to close the sockets. */
  hold(...ids: number[]): () => void {
    const { wasm } = this.datapath.memory;
    const sockets = ids.map((id) => wasm.openSocket(id, 0) >>> 0);
    return () => {
      for (const socket of sockets) wasm.closeSocket(socket);
    };
  }

  /** Sends EXECUTE with these attributes. */
  execute(attributes: Uint8Array, ifindex = this.ifindex): Executed {
    const command = OVS.OVS_PACKET_CMD_EXECUTE;
    const write = (a: AttributeBuilder): void => {
      for (const { type, payload } of parseAttributes(attributes)) a.raw(type, payload);
    };
    const { errno } = this.socket.ask({ family: FAMILY_PACKET, command, ifindex, attributes: write });
    return { errno, ...this.sent() };
  }

  /** What came out since the last time. */
  sent(): Omit<Executed, 'errno'> {
    const frames = this.ports.flatMap((port) => port.receive().map((data) => ({ port: port.portNo, data })));
    const upcalls: Uint8Array[] = [];
    const portIds: number[] = [];
    for (let taken = take(this.datapath); taken.length > 0; taken = take(this.datapath)) {
      upcalls.push(...taken.map(({ message }) => message));
      portIds.push(...taken.map((frame) => frame.word(C.UPCALL_PORT_ID)));
      refuse(this.datapath, taken);
    }
    return { frames, upcalls, portIds };
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.datapath.close();
  }
}
