/*
 * The checks of wdp doctor that concern ports on real interfaces beyond the question whether a socket opens: a packet ring inside of WebAssembly memory,
 * tried on the loopback interface, and the program that AF_XDP ports load, which is attached to nothing. Before it: doctor-host.ts. After it: the
 * addon. Nothing is left behind. Main thread.
 */
import { getSystemErrorName } from 'node:util';
import type { NativeAddon } from '../native/load.ts';
import { bareMemory } from '../wasm/memory.ts';
import type { Check } from './doctor-host.ts';

const PAGE = 4096;
const LOOPBACK = 1;
const XDP_FLAGS_SKB_MODE = 2;
/** No interface has this index: attaching is refused when everything before it has worked. */
const NO_INTERFACE = 0x7fffffff;

export function ringChecks(addon: NativeAddon): Check[] {
  return [packetRing(addon), xdpProgram(addon)];
}

function packetRing(addon: NativeAddon): Check {
  const view = bareMemory(1);
  const socket = new addon.PacketSocket();
  const status = socket.open({ ifindex: LOOPBACK, blockSize: PAGE, blockCount: 2, frameSize: 2048 }, view, PAGE);
  const seen = status === 0 && view[PAGE] === 0;
  socket.close();
  const name = 'Packet rings in WebAssembly memory';
  if (seen) return { name, required: false, works: true, detail: 'frames are handled where the kernel puts them' };
  return refused(name, socket.operation, -status, 'ports work without, by copying every frame');
}

function xdpProgram(addon: NativeAddon): Check {
  const program = new addon.XdpProgram();
  const status = program.open(NO_INTERFACE, XDP_FLAGS_SKB_MODE, 1);
  const { operation } = program;
  program.close();
  const name = 'XDP program for AF_XDP ports';
  const works = operation === 'BPF_LINK_CREATE';
  if (works) return { name, required: false, works, detail: 'can be loaded' };
  return refused(name, operation, -status, 'use type=afpacket');
}

function refused(name: string, operation: string, errno: number, instead: string): Check {
  const code = getSystemErrorName(-errno);
  const isForbidden = code === 'EPERM' || code === 'EACCES';
  const mend = isForbidden ? 'the capabilities above and CAP_BPF, or run as root' : instead;
  return { name, required: false, works: false, detail: `${code} at ${operation}`, mend };
}
