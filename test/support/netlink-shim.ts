/*
 * What the tests of the Netlink shim have in common: the addon or a reason to skip, sockets that close with their test, and messages written
 * byte by byte, so that nothing of src/netlink/ is between the test and the shim.
 */
import { onTestFinished } from 'vitest';
import { type NativeAddon, nativeAddon, nativeUnavailableReason } from '../../src/native/load.ts';
import type { NativeNetlinkOptions, NativeNetlinkSocket, NativeSocketHandle } from '../../src/native/netlink.ts';

export const reason = nativeUnavailableReason();

export function addon(): NativeAddon {
  const loaded = nativeAddon();
  if (!loaded) throw new Error(reason);
  return loaded;
}

/** A socket that is closed when the test ends. */
export function openSocket(options: NativeNetlinkOptions): NativeNetlinkSocket {
  const socket = addon().NetlinkSocket.open(options);
  if (typeof socket === 'number') throw new Error(`open: errno ${-socket}`);
  onTestFinished(() => socket.close());
  return socket;
}

export function shared(socket: NativeNetlinkSocket): NativeSocketHandle {
  const handle = socket.share();
  if (typeof handle === 'number') throw new Error(`share: errno ${-handle}`);
  return handle;
}

/** A view of shared WASM memory. */
export function wasmView(pages = 4): Uint8Array {
  return new Uint8Array(new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true }).buffer);
}

export interface MessageFields {
  type: number;
  flags?: number;
  seq?: number;
  portId?: number;
  payload?: Uint8Array;
}

/** A whole message: nlmsghdr and payload, padded to 4. */
export function message({
  type,
  flags = 0,
  seq = 0,
  portId = 0,
  payload = new Uint8Array(),
}: MessageFields): Uint8Array {
  const size = 16 + payload.length;
  const bytes = new Uint8Array((size + 3) & ~3);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, size, true);
  view.setUint16(4, type, true);
  view.setUint16(6, flags, true);
  view.setUint32(8, seq, true);
  view.setUint32(12, portId, true);
  bytes.set(payload, 16);
  return bytes;
}

export interface Header {
  size: number;
  type: number;
  flags: number;
  seq: number;
  portId: number;
}

export function header(bytes: Uint8Array, offset = 0): Header {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return {
    size: view.getUint32(offset, true),
    type: view.getUint16(offset + 4, true),
    flags: view.getUint16(offset + 6, true),
    seq: view.getUint32(offset + 8, true),
    portId: view.getUint32(offset + 12, true),
  };
}
