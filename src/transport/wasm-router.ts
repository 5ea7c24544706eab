/*
 * The router: which of the WASM datapaths of this process a message is for. Before it: the wasm transport. After it: front doors.
 *
 * Concepts. Each datapath has a memory of its own, and its module answers only for itself; together they are to answer as one kernel does:
 *
 *     a dp_ifindex, without a name               the datapath that has it
 *     a name, in the family ovs_datapath         the datapath that is called so; OVS_DP_CMD_NEW of a new name makes a memory first
 *     a vport's name without a dp_ifindex        the first datapath that has such a port
 *     nobody                                     a small memory without a datapath, which refuses in the kernel's words
 *
 * A router has a socket in each memory, with one port id in all of them. Ownership: sockets go with `close`; a datapath that a message made belongs to
 * the list of the process, until a message removes it. Threads: one.
 */
import * as C from '../../assembly/constants.ts';
import { FAMILY_DATAPATH, FAMILY_VPORT } from '../../assembly/kernel/families.ts';
import {
  OVS_DP_ATTR_NAME,
  OVS_DP_CMD_DEL,
  OVS_DP_CMD_NEW,
  OVS_VPORT_ATTR_NAME,
} from '../../assembly/netlink/openvswitch.ts';
import { Datapath } from '../datapath/datapath.ts';
import { type FrontDoor, nextPortId } from '../kernel/front-door.ts';
import { dpIfindexOf, OVS_HEADER_SIZE } from '../kernel/ovs-header.ts';
import { datapathWithIfindex, findDatapath, freeIfindex, registeredDatapaths } from '../kernel/registry.ts';
import type { ByteView } from '../native/netlink.ts';
import { GENL_HDRLEN, NLMSG_ERROR, NLMSG_HDRLEN, NLMSG_TYPE } from '../netlink/constants.ts';
import { MessageCursor } from '../netlink/message.ts';

/** Gets a message of an answer: `size` bytes at `address` of `bytes`, valid until it returns. */
export type ReplySink = (bytes: ByteView, address: number, size: number) => void;

const ENODEV = 19;
/** What refuses for nobody needs no room, and has a dp_ifindex that nobody else has. */
const NOBODY = {
  name: 'nobody',
  dpIfindex: 2 ** 31 - 1,
  flows: 1,
  arenaSize: 1 << 20,
  upcallFrames: 64,
  emcEntries: 8192,
} as const;
let nobodyHere: Datapath | undefined;

export class WasmRouter {
  readonly portId = nextPortId();
  /** Bytes of a datagram at most. */
  readonly datagramSize = C.DOOR_DATAGRAM_SIZE;
  readonly #sockets = new Map<FrontDoor, number>();

  /** Sends messages that are all for one datapath. Throws what no memory for a new datapath was to be had for. */
  send(messages: ByteView, sink: ReplySink): void {
    const cursor = new MessageCursor(messages);
    if (!cursor.next()) return this.#ask(undefined, messages, sink, false);
    const { type, command } = cursor;
    const ifindex = ifindexIn(cursor);
    if (type !== FAMILY_DATAPATH && ifindex !== 0)
      return this.#ask(datapathWithIfindex(ifindex), messages, sink, false);
    const named = nameIn(cursor);
    if (type === FAMILY_DATAPATH && named !== undefined) {
      const found = findDatapath(named);
      if (command === OVS_DP_CMD_NEW && found === undefined) return this.#create(named, messages, sink);
      return this.#ask(found, messages, sink, command === OVS_DP_CMD_DEL);
    }
    if (type === FAMILY_VPORT && named !== undefined) return this.#askAll(messages, sink);
    const mayEnd = type === FAMILY_DATAPATH && command === OVS_DP_CMD_DEL;
    this.#ask(datapathWithIfindex(ifindex), messages, sink, mayEnd);
  }

  /** The datapaths that a dump is about. */
  dumped(request: ByteView): FrontDoor[] {
    const cursor = new MessageCursor(request);
    cursor.next();
    if (cursor.type === FAMILY_DATAPATH && registeredDatapaths().length > 0)
      return registeredDatapaths().map(({ door }) => door);
    return [(datapathWithIfindex(ifindexIn(cursor)) ?? nobody()).door];
  }

  close(): void {
    for (const [door, socket] of this.#sockets) door.close(socket);
    this.#sockets.clear();
  }

  #ask(datapath: Datapath | undefined, messages: ByteView, sink: ReplySink, mayEnd: boolean): void {
    const { door } = datapath ?? nobody();
    this.#pass(door, messages, sink);
    if (!mayEnd || datapath === undefined || door.exists) return;
    this.#forget(door);
    datapath.removed();
  }

  /** The first datapath that knows the port answers. */
  #askAll(messages: ByteView, sink: ReplySink): void {
    for (const { door } of registeredDatapaths()) {
      let known = true;
      this.#pass(door, messages, (bytes, address, size) => {
        known &&= !isNoDevice(bytes, address);
        if (known) sink(bytes, address, size);
      });
      if (known) return;
    }
    this.#pass(nobody().door, messages, sink);
  }

  #create(name: string, messages: ByteView, sink: ReplySink): void {
    const datapath = Datapath.bare({ name, dpIfindex: freeIfindex() });
    this.#pass(datapath.door, messages, sink);
    if (datapath.door.exists) return datapath.enter();
    this.#forget(datapath.door);
    void datapath.close();
  }

  #pass(door: FrontDoor, messages: ByteView, sink: ReplySink): void {
    const { bytes } = door.memory;
    door.send(this.#socketIn(door), messages, (address, size) => sink(bytes, address, size));
  }

  #socketIn(door: FrontDoor): number {
    let socket = this.#sockets.get(door);
    if (socket === undefined) {
      socket = door.open(this.portId, C.SOCKET_ADMIN);
      this.#sockets.set(door, socket);
    }
    return socket;
  }

  /** The memory of a datapath goes, and the socket in it. */
  #forget(door: FrontDoor): void {
    this.#sockets.delete(door);
  }
}

function nobody(): Datapath {
  nobodyHere ??= Datapath.bare(NOBODY);
  return nobodyHere;
}

/** dp_ifindex; -1, which no datapath has, for a message without one. */
function ifindexIn(cursor: MessageCursor): number {
  return cursor.payloadSize < GENL_HDRLEN + OVS_HEADER_SIZE ? -1 : dpIfindexOf(cursor);
}

/** OVS_DP_ATTR_NAME or OVS_VPORT_ATTR_NAME; undefined when there is none, or none that can be a name. */
function nameIn(cursor: MessageCursor): string | undefined {
  const { type } = cursor;
  if (type !== FAMILY_DATAPATH && type !== FAMILY_VPORT) return undefined;
  const wanted = type === FAMILY_DATAPATH ? OVS_DP_ATTR_NAME : OVS_VPORT_ATTR_NAME;
  const attributes = cursor.attributes(GENL_HDRLEN + OVS_HEADER_SIZE);
  let name: string | undefined;
  while (attributes.next()) {
    if (attributes.type !== wanted) continue;
    const text = attributes.string();
    name = text === '' || text.length >= C.IFNAMSIZ ? undefined : text;
  }
  return name;
}

function isNoDevice(bytes: ByteView, address: number): boolean {
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  return (
    view.getUint16(address + NLMSG_TYPE, true) === NLMSG_ERROR &&
    view.getInt32(address + NLMSG_HDRLEN, true) === -ENODEV
  );
}
