/*
 * Sockets: who sends messages to the datapath, how far a dump of theirs has come, and which port ids there are. Before it: the host, which opens one for
 * each client. After it: dispatch.ts; upcall/produce.ts, which asks whether the addressee of an upcall is there.
 *
 * Concepts. A socket is a block of the arena: its Netlink port id, whether its owner is an administrator, the state of its running dump (one at a
 * time, as in the kernel), and room to work in. What is sent to it is not kept here: every call writes that to where its caller says.
 * All sockets are in one list, oldest first: the datapath's own handler, which gets nearly all upcalls, is found at once.
 *
 * Ownership: the host's, until closeSocket. Threads: one at a time uses a socket; sockets of different threads work side by side. The list is
 * changed under the writer lock and read by any worker inside an epoch, so that a socket that is taken out of it is retired.
 */
import { SB_SOCKETS, SOCKET_FLAGS, SOCKET_LINK, SOCKET_PORT_ID, SOCKET_SIZEOF } from '../constants';
import { sb } from '../memory/layout';
import { lock, unlock } from '../memory/lock';
import { allocate, retire } from '../memory/slab';

/** A socket with this port id; `flags`: SOCKET_*. Returns its address, 0 when the arena is full. */
export function openSocket(portId: u32, flags: u32): usize {
  lock();
  const socket = allocate(SOCKET_SIZEOF);
  if (socket != 0) {
    memory.fill(socket, 0, SOCKET_SIZEOF);
    store<u32>(socket, portId, SOCKET_PORT_ID);
    store<u32>(socket, flags, SOCKET_FLAGS);
    atomic.store<u32>(linkTo(0), <u32>socket);
  }
  unlock();
  return socket;
}

/** A running dump ends without an answer; upcalls for the port id are lost from now on. */
export function closeSocket(socket: usize): void {
  lock();
  const link = linkTo(socket);
  if (load<u32>(link) != 0) {
    atomic.store<u32>(link, load<u32>(socket, SOCKET_LINK));
    retire(socket, 0);
  }
  unlock();
}

/** The word of the list that names `socket`, or the last one, which is 0. */
function linkTo(socket: usize): usize {
  let link = sb(SB_SOCKETS);
  for (let next: usize = load<u32>(link); next != socket && next != 0; next = load<u32>(link))
    link = next + SOCKET_LINK;
  return link;
}

/** Whether a socket has this port id: what is sent to any other is refused, as by the kernel. No socket has port id 0. */
export function isPortIdHeld(portId: u32): bool {
  if (portId == 0) return false;
  let socket: usize = atomic.load<u32>(sb(SB_SOCKETS));
  while (socket != 0 && load<u32>(socket, SOCKET_PORT_ID) != portId) socket = atomic.load<u32>(socket, SOCKET_LINK);
  return socket != 0;
}
