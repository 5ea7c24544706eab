/*
 * The checks of wdp doctor that concern the host: build tools, the native addon, what the kernel allows this process,
 * and the Open vSwitch programs that serve as a second opinion in tests. None of them is needed for the main job.
 *
 * Before it: doctor.ts; after it: the native addon's probe. Looks only, changes nothing; main thread.
 */
import { accessSync, constants, readFileSync } from 'node:fs';
import path from 'node:path';
import { getSystemErrorName } from 'node:util';
import {
  type NativeAddon,
  type NativeProbe,
  nativeAddon,
  nativeUnavailableReason,
  type ProbeAnswer,
} from '../native/load.ts';
import { ringChecks } from './doctor-io.ts';

/** One line of the report. `mend` is a command, or words where no command can help; absent when all is well. */
export interface Check {
  readonly name: string;
  readonly works: boolean;
  /** Whether the main job needs it. */
  readonly required: boolean;
  readonly detail: string;
  readonly mend?: string | undefined;
}

const capNetAdmin = 12;
const capNetRaw = 13;
const capIpcLock = 14;
/** Locked memory that an AF_XDP port with one queue needs for its frames. */
const memlockSizeMin = 6 * 1024 * 1024;

/** Compiler, make and Python: what building the native addon takes. */
export function checkBuildTools(env: NodeJS.ProcessEnv): Check[] {
  return buildTools(env).map(([name, programs, use, packageName]) =>
    programCheck(name, programs, use, packageName, env),
  );
}

/** The addon and everything that only works through it, or, without it, what /proc can tell. */
export function checkNative(env: NodeJS.ProcessEnv): Check[] {
  const addon = nativeAddon();
  const check: Check = {
    name: 'Native addon',
    required: false,
    works: addon !== undefined,
    detail: addon ? 'loaded' : `${nativeUnavailableReason()}: no real interfaces, no kernel Netlink`,
    mend: addon ? undefined : addonMend(env),
  };
  return [check, ...capabilityChecks(), ...probeChecks(addon)];
}

/** Open vSwitch's own programs and tshark: optional, the tests compare with them. */
export function checkOracles(env: NodeJS.ProcessEnv): Check[] {
  const wanted: [string, string][] = [
    ['ovs-ofctl', 'openvswitch-common'],
    ['ovs-dpctl', 'openvswitch-switch'],
    ['ovs-vswitchd', 'openvswitch-switch'],
    ['tshark', 'tshark'],
  ];
  const host = { ...env, PATH: `${env.PATH ?? ''}:/usr/sbin` }; // where system programs are, PATH of a user or not
  return wanted.map(([program, name]) => programCheck(program, [program], 'a second opinion for tests', name, host));
}

function programCheck(
  name: string,
  programs: string[],
  use: string,
  packageName: string,
  env: NodeJS.ProcessEnv,
): Check {
  const found = findProgram(programs, env);
  if (found) return { name, required: false, works: true, detail: found };
  return {
    name,
    required: false,
    works: false,
    detail: `not found (${use})`,
    mend: installCommand([packageName], env),
  };
}

/** The first of the programs that is an executable file: by its path, or in a folder of PATH. */
export function findProgram(programs: readonly string[], env: NodeJS.ProcessEnv): string | undefined {
  const folders = (env.PATH ?? '').split(path.delimiter).filter(Boolean);
  for (const program of programs) {
    for (const folder of program.includes('/') ? [''] : folders) {
      const file = path.join(folder, program);
      try {
        accessSync(file, constants.X_OK);
        return file;
      } catch {
        // not in this folder
      }
    }
  }
  return undefined;
}

/** The command that installs packages, with the names of the package managers that differ from Debian's. */
function installCommand(packages: readonly string[], env: NodeJS.ProcessEnv): string {
  const names: Record<string, Record<string, string>> = {
    'g++': { dnf: 'gcc-c++', pacman: 'gcc' },
    python3: { pacman: 'python' },
    tshark: { dnf: 'wireshark-cli', pacman: 'wireshark-cli' },
    'openvswitch-common': { dnf: 'openvswitch', apk: 'openvswitch', pacman: 'openvswitch' },
    'openvswitch-switch': { dnf: 'openvswitch', apk: 'openvswitch', pacman: 'openvswitch' },
  };
  const managers = [
    ['apt-get', 'apt-get install -y'],
    ['dnf', 'dnf install -y'],
    ['apk', 'apk add'],
    ['pacman', 'pacman -S'],
  ];
  const host = { PATH: `${env.PATH ?? ''}:/usr/bin:/sbin` };
  const [manager, command] = managers.find(([program]) => findProgram([program], host)) ?? managers[0];
  const local = packages.map((name) => names[name]?.[manager] ?? name);
  return `${asRoot()}${command} ${local.join(' ')}`;
}

function asRoot(): string {
  return process.getuid?.() === 0 ? '' : 'sudo ';
}

/** What building the addon takes, as [name, programs that will do, what it is for, Debian's package]. */
function buildTools(env: NodeJS.ProcessEnv): [string, string[], string, string][] {
  return [
    ['C++ compiler', env.CXX ? [env.CXX.split(' ')[0]] : ['c++', 'g++', 'clang++'], 'for the native addon', 'g++'],
    ['make', [env.MAKE || 'make'], 'for the native addon', 'make'],
    ['python3', [env.PYTHON || 'python3', 'python'], 'for node-gyp, which builds the native addon', 'python3'],
  ];
}

function addonMend(env: NodeJS.ProcessEnv): string {
  const missing = buildTools(env).filter(([, programs]) => !findProgram(programs, env));
  const install = installCommand(
    missing.map(([, , , packageName]) => packageName),
    env,
  );
  return missing.length === 0 ? 'npm run build:native' : `${install} && npm run build:native`;
}

/** CAP_NET_ADMIN and CAP_NET_RAW from /proc/self/status, which needs no addon. */
function capabilityChecks(): Check[] {
  const effective = effectiveCapabilities();
  const wanted: [string, number, string][] = [
    ['CAP_NET_ADMIN', capNetAdmin, 'kernel datapath, TAP ports, interface settings'],
    ['CAP_NET_RAW', capNetRaw, 'AF_PACKET and AF_XDP ports'],
  ];
  return wanted.map(([name, bit, use]) => {
    const works = holds(effective, bit);
    const mend = works ? undefined : `sudo setcap cap_net_admin,cap_net_raw+ep ${process.execPath}, or run as root`;
    return { name, required: false, works, detail: works ? use : `not held (${use})`, mend };
  });
}

function holds(capabilities: bigint, bit: number): boolean {
  return ((capabilities >> BigInt(bit)) & 1n) === 1n;
}

function effectiveCapabilities(): bigint {
  try {
    const line = /^CapEff:\s*([0-9a-f]+)$/m.exec(readFileSync('/proc/self/status', 'utf8'));
    return BigInt(`0x${line?.[1] ?? '0'}`);
  } catch {
    return 0n;
  }
}

type Question = Exclude<keyof NativeProbe, 'memlock'>;

/** Kernel features: [question, name, what it is for, what mends it when it is not a matter of permission]. */
function probeQuestions(): [Question, string, string, string][] {
  return [
    ['afPacket', 'AF_PACKET', 'ports on real interfaces', `${asRoot()}modprobe af_packet`],
    [
      'afXdp',
      'AF_XDP',
      'fast ports on real interfaces',
      'use type=afpacket, or a kernel with CONFIG_XDP_SOCKETS (most distributions have it)',
    ],
    ['tun', 'TUN/TAP', 'tap ports', `${asRoot()}modprobe tun`],
    [
      'ovsDatapath',
      'Open vSwitch kernel module',
      'the kernel datapath, type system',
      `${asRoot()}modprobe openvswitch, on a kernel that has it`,
    ],
  ];
}

function probeChecks(addon: NativeAddon | undefined): Check[] {
  const probe = addon?.probe();
  const checks = probeQuestions().map(([question, name, use, mend]) => {
    const check = { name, required: false };
    if (probe) return { ...check, ...probeLine(probe[question], use, mend) };
    return { ...check, works: false, detail: 'unknown without the native addon', mend: 'npm run build:native' };
  });
  return [...checks, memlockCheck(probe), ...(addon ? ringChecks(addon) : [])];
}

function probeLine(answer: ProbeAnswer, use: string, mend: string): Pick<Check, 'works' | 'detail' | 'mend'> {
  if (answer.available) return { works: true, detail: use };
  const code = getSystemErrorName(-answer.errno);
  const forbidden = code === 'EPERM' || code === 'EACCES';
  return {
    works: false,
    detail: `${code} (${use})`,
    mend: forbidden ? 'the capabilities above, or run as root' : mend,
  };
}

/** AF_XDP buffers are charged to the limit, unless CAP_IPC_LOCK is held. */
function memlockCheck(probe: NativeProbe | undefined): Check {
  const size = probe ? probe.memlock.softSize : procMemlockSize();
  const exempt = holds(effectiveCapabilities(), capIpcLock);
  const works = exempt || size < 0 || size >= memlockSizeMin;
  const limit = size < 0 ? 'no limit' : `${Math.round(size / 1024)} KiB`;
  const detail = exempt
    ? `${limit}, lifted by CAP_IPC_LOCK`
    : `${limit}${works ? '' : ' (each queue of an AF_XDP port needs 6 MiB)'}`;
  const mend = works ? undefined : 'ulimit -l unlimited, CAP_IPC_LOCK, or run as root';
  return { name: 'Locked memory limit', required: false, works, detail, mend };
}

/** The soft limit in bytes from /proc, -1 for none, 0 when it cannot be read. */
function procMemlockSize(): number {
  try {
    const soft = /^Max locked memory\s+(\S+)/m.exec(readFileSync('/proc/self/limits', 'utf8'))?.[1];
    return soft === 'unlimited' ? -1 : Number(soft ?? 0);
  } catch {
    return 0;
  }
}
