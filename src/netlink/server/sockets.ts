/*
 * Which Netlink sockets exist in our network namespace, from /proc/net/netlink. Before it: whoever keeps something for a socket of another
 * process (memberships, packet queues, cached families). After it: it is let go once that socket is gone.
 *
 * A port id alone does not name a socket for long: it may be taken again by another. The inode is new with each socket. Nothing is
 * sent, so a reader whose buffer is full is not disturbed. The list is that of the calling thread's namespace; cost about 1 us a socket.
 */
import { readFileSync } from 'node:fs';

const COLUMN_PROTOCOL = 1;
const COLUMN_PORT_ID = 2;
const COLUMN_INODE = 9;

/** Inode by port id of the sockets of a protocol; empty where /proc is not there. Port id 0 is the kernel's own. */
export function netlinkSockets(protocol: number): Map<number, number> {
  const sockets = new Map<number, number>();
  for (const line of readList().split('\n').slice(1)) {
    const columns = line.trim().split(/\s+/);
    if (columns.length <= COLUMN_INODE || Number(columns[COLUMN_PROTOCOL]) !== protocol) continue;
    sockets.set(Number(columns[COLUMN_PORT_ID]) >>> 0, Number(columns[COLUMN_INODE]));
  }
  return sockets;
}

function readList(): string {
  for (const file of ['/proc/thread-self/net/netlink', '/proc/net/netlink']) {
    try {
      return readFileSync(file, 'latin1');
    } catch {}
  }
  return '';
}
