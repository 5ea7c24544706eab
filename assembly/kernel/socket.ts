/*
 * Sockets: who sends messages to the datapath, and how far a dump of theirs has come. Before it: the host, which opens one for each client. After
 * it: dispatch.ts.
 *
 * Concepts. A socket is a block of the arena: its Netlink port id, whether its owner is an administrator, the state of its running dump (one at a
 * time, as in the kernel), and room to work in. What is sent to it is not kept here: every call writes that to where its caller says.
 *
 * Ownership: the host's, until closeSocket. Threads: one at a time uses a socket; sockets of different threads work side by side.
 */
import { SOCKET_FLAGS, SOCKET_PORT_ID, SOCKET_SIZEOF } from '../constants';
import { lock, unlock } from '../memory/lock';
import { allocate, release } from '../memory/slab';

/** A socket with this port id; `flags`: SOCKET_*. Returns its address, 0 when the arena is full. */
export function openSocket(portId: u32, flags: u32): usize {
  lock();
  const socket = allocate(SOCKET_SIZEOF);
  unlock();
  if (socket == 0) return 0;
  memory.fill(socket, 0, SOCKET_SIZEOF);
  store<u32>(socket, portId, SOCKET_PORT_ID);
  store<u32>(socket, flags, SOCKET_FLAGS);
  return socket;
}

/** A running dump ends without an answer. */
export function closeSocket(socket: usize): void {
  lock();
  release(socket);
  unlock();
}
