/*
 * The native addon, loaded on first use. Before it: whoever needs a system call that Node does not have; after it:
 * native/*.cc.
 *
 * Everything but real network interfaces and kernel Netlink works without the addon, so its absence is an answer and
 * never an exception: ask `nativeAddon()`, and where it is undefined `nativeUnavailableReason()` says why.
 * Threads: each thread loads its own instance; nothing is shared between them.
 */
import { existsSync, readdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import type { NativeIo } from './io.ts';
import type { NativeNetlinkSocketClass } from './netlink.ts';
import { packageRoot } from './package-root.ts';
import type { NativePollSetClass } from './poll-set.ts';

/** Whether the kernel gives something to this process; `errno` is 0 when it does. */
export interface ProbeAnswer {
  readonly available: boolean;
  readonly errno: number;
}

/** Memory that may be locked, in bytes; -1 is no limit. */
export interface MemlockAnswer extends ProbeAnswer {
  readonly softSize: number;
  readonly hardSize: number;
}

/** What the kernel offers: each socket or device was opened, and closed again. */
export interface NativeProbe {
  readonly afPacket: ProbeAnswer;
  readonly afXdp: ProbeAnswer;
  readonly tun: ProbeAnswer;
  /** The generic Netlink family of openvswitch.ko; errno 2 (ENOENT) when the module is not there. */
  readonly ovsDatapath: ProbeAnswer;
  readonly memlock: MemlockAnswer;
}

/** Effective capabilities of the calling thread, CAP_NET_ADMIN as netAdmin and so on. */
export interface NativeCapabilities {
  readonly netAdmin: boolean;
  readonly netRaw: boolean;
  readonly ipcLock: boolean;
  readonly sysAdmin: boolean;
  readonly sysNice: boolean;
  readonly bpf: boolean;
}

export interface NativeAddon extends NativeIo {
  /** Pins the calling thread to these CPUs (0 to 1023). Returns 0 or an errno; throws TypeError for anything else. */
  setAffinity(cpus: Int32Array | readonly number[]): number;
  /** Has the calling thread run before all ordinary ones, or as one of them again; threads that it makes are ordinary. 0 or an errno: EPERM without CAP_SYS_NICE. */
  setUrgent(on: boolean): number;
  capabilities(): NativeCapabilities;
  probe(): NativeProbe;
  /** One datagram to a unix socket; `@` begins a name of the abstract name space. 0 or -errno. */
  notify(path: string, text: string): number;
  readonly NetlinkSocket: NativeNetlinkSocketClass;
  readonly PollSet: NativePollSetClass;
}

type Outcome =
  | { readonly addon: NativeAddon; readonly reason?: undefined }
  | { readonly addon?: undefined; readonly reason: string };

let outcome: Outcome | undefined;

/** The addon, or undefined where it was not built or cannot be loaded. The answer does not change within a thread. */
export function nativeAddon(): NativeAddon | undefined {
  outcome ??= load(addonFiles(packageRoot()));
  return outcome.addon;
}

/** Why there is no addon, in one line; undefined when there is one. */
export function nativeUnavailableReason(): string | undefined {
  outcome ??= load(addonFiles(packageRoot()));
  return outcome.reason;
}

/** Where an addon may be: the one that WDP_ADDON names alone, else built here first, then the ones that came with the package. */
export function addonFiles(root: string): string[] {
  const named = process.env.WDP_ADDON;
  if (named) return [named];
  const built = path.join(root, 'build', 'Release', 'wdp_native.node');
  const folder = path.join(root, 'prebuilds', `${process.platform}-${process.arch}`);
  const shipped = existsSync(folder) ? readdirSync(folder).filter((file) => file.endsWith('.node')) : [];
  return [built, ...shipped.sort().map((file) => path.join(folder, file))].filter((file) => existsSync(file));
}

/** Loads the first of the files that loads. */
export function load(files: readonly string[]): Outcome {
  if (files.length === 0) return { reason: `not built for ${process.platform}-${process.arch}` };
  const require = createRequire(import.meta.url);
  const reasons: string[] = [];
  for (const file of files) {
    try {
      return { addon: require(file) as NativeAddon };
    } catch (error) {
      reasons.push(`${file}: ${error instanceof Error ? error.message.split('\n')[0] : String(error)}`);
    }
  }
  return { reason: reasons.join('; ') };
}
