/*
 * The datapath's own client: what a Datapath does to itself by messages, as everybody does. Before it: Datapath and Ports. After it: the front door.
 * Its port id is 1: that of the datapath's own handler, which gets the upcalls of the ports that the program adds. Threads: the owner's.
 */
import * as C from '../../assembly/constants.ts';
import { OVS_DP_F_UNALIGNED, OVS_DP_F_VPORT_PIDS } from '../../assembly/netlink/openvswitch.ts';
import { datapathRequest } from '../dpif/messages/datapath.ts';
import { firstReply } from '../dpif/messages/request.ts';
import { readVport, vportRequest } from '../dpif/messages/vport.ts';
import { errnoError } from '../errors.ts';
import type { ByteView } from '../native/netlink.ts';
import { NLM_F_ECHO, NLMSG_FLAGS } from '../netlink/constants.ts';
import { netlinkError } from '../netlink/errors.ts';
import { MessageCursor } from '../netlink/message.ts';
import { kernelFamily } from './families.ts';
import type { FrontDoor } from './front-door.ts';

export const OWN_PORT_ID = 1;

export class KernelClient {
  readonly #door: FrontDoor;
  readonly #socket: number;

  constructor(door: FrontDoor) {
    this.#door = door;
    this.#socket = door.open(OWN_PORT_ID, C.SOCKET_ADMIN | C.SOCKET_CAP_ACK);
  }

  /** Makes the datapath of this memory. */
  newDatapath(name: string): void {
    const features = OVS_DP_F_UNALIGNED | OVS_DP_F_VPORT_PIDS;
    const request = { command: 'new', name, upcallPid: OWN_PORT_ID, features } as const;
    this.#ask(datapathRequest(kernelFamily('ovs_datapath'), request), 'datapath open', false);
  }

  deleteDatapath(): void {
    const request = { command: 'del', dpIfindex: this.#door.dpIfindex } as const;
    this.#ask(datapathRequest(kernelFamily('ovs_datapath'), request), 'datapath close', false);
  }

  /** Makes a vport of a device. Returns its number. */
  newVport(name: string, portNo: number | undefined, type: number): number {
    const { dpIfindex } = this.#door;
    const upcallPids = [OWN_PORT_ID];
    const request = { command: 'new', dpIfindex, name, portNo, type, upcallPids } as const;
    const reply = this.#ask(vportRequest(kernelFamily('ovs_vport'), request), 'port add', true);
    return readVport(firstReply(reply, 'port add'), 'port add').portNo;
  }

  deleteVport(portNo: number): void {
    const request = { command: 'del', dpIfindex: this.#door.dpIfindex, portNo } as const;
    this.#ask(vportRequest(kernelFamily('ovs_vport'), request), 'port remove', false);
  }

  #ask(request: Uint8Array, operation: string, wantsReply: boolean): Uint8Array {
    if (!wantsReply) request[NLMSG_FLAGS] &= ~NLM_F_ECHO;
    const { memory } = this.#door;
    let reply: ByteView = new Uint8Array(0);
    this.#door.send(this.#socket, request, (address, size) => {
      reply = memory.copy(address, size);
    });
    const cursor = new MessageCursor(reply);
    if (!cursor.next() || !cursor.isError) return reply;
    const errno = cursor.errno();
    throw errno === C.ENOMEM ? errnoError(errno, operation) : netlinkError(errno, operation, cursor.extendedAck());
  }
}
