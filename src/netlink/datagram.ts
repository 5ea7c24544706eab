/*
 * Datagram: one received datagram with where it came from, as NetlinkSocket.receive returns it. Ownership: a copy, the caller's.
 */
import {
  type NativeNetlinkSocket,
  RECEIVE_FLAGS,
  RECEIVE_GROUP,
  RECEIVE_NSID,
  RECEIVE_PID,
  RECEIVE_PORT_ID,
  RECEIVE_SIZE,
  RECEIVE_TRUNCATED,
  RECEIVE_UID,
} from '../native/netlink.ts';
import { EAGAIN, systemError } from './errors.ts';

/** One received datagram; `bytes` is a copy. */
export interface Datagram {
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** Of the sender; 0 is the kernel. */
  readonly portId: number;
  /** Multicast group it was sent to, 0 when it was meant for this socket alone. */
  readonly group: number;
  /** Namespace of the sender with `listenAllNamespaces`, -1 the own one. */
  readonly nsid: number;
  /** Of the sender with `passCredentials`, else -1. */
  readonly pid: number;
  readonly uid: number;
  /** Bytes it had, when `sizeMax` cut it. */
  readonly truncatedSize?: number;
}

/** Takes the next datagram, at most `sizeMax` bytes of it; undefined when there is none. `row` is scratch memory. */
export function takeDatagram(native: NativeNetlinkSocket, row: Int32Array, sizeMax: number): Datagram | undefined {
  const waiting = native.peekSize();
  if (waiting === -EAGAIN) return undefined;
  if (waiting < 0) throw systemError(-waiting, 'netlink receive');
  const bytes = new Uint8Array(Math.min(waiting, sizeMax));
  // Another thread may have taken the datagram of that size, so what comes now may be larger; then it is cut, and the row says so.
  const count = native.receive(bytes, 0, bytes.length, 1, row, 0);
  if (count < 0 && count !== -EAGAIN) throw systemError(-count, 'netlink receive');
  if (count <= 0) return undefined;
  const size = row[RECEIVE_SIZE];
  const datagram = {
    bytes: size < bytes.length ? bytes.slice(0, size) : bytes,
    portId: row[RECEIVE_PORT_ID] >>> 0,
    group: row[RECEIVE_GROUP],
    nsid: row[RECEIVE_NSID],
    pid: row[RECEIVE_PID],
    uid: row[RECEIVE_UID],
  };
  return row[RECEIVE_FLAGS] & RECEIVE_TRUNCATED ? { ...datagram, truncatedSize: size } : datagram;
}
