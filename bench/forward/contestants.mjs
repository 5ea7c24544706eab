/*
 * Who forwards in bench/forward: each starts on in0 and out0, runs through one window, and says how busy its core was. Before it: run.mjs. After it:
 * the C program, `wdp bench forward`, ovs.mjs, a Linux bridge.
 *
 * `start` resolves with a run once frames are taken: `begin` and `end` mark the window of run.mjs, `result` gives { busyNsPerPacket, userShare } (the share of
 * the thread's own code in its time; null where no thread forwards), `close` leaves nothing behind.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { busiest, Child, command, FROM, SINK, TICK_NS, TO, takeXdpFrames, threadTimes } from './lab.mjs';
import { Ovs, whyNoOvs } from './ovs.mjs';

export const WDP = path.join(import.meta.dirname, '..', '..', 'dist/src/cli/main.cjs');
/** Our window lasts so much longer than that of run.mjs, in which it lies. */
const MARGIN_S = 0.3;

/**
 * A program that says how long its rounds with packets took, by the clock, in `busyOf` of the JSON that it prints. What others took of its core is in that: it was
 * not busy for longer than its thread was on the processor.
 */
function polling(label, { makeArgs, coreOf, busyOf, isEnded }) {
  return {
    label,
    whyNot: () => undefined,
    async start(setting) {
      const child = new Child(coreOf(setting), ...makeArgs(setting));
      const close = () => child.end();
      try {
        await child.said('ready');
      } catch (error) {
        await close();
        throw error;
      }
      let before;
      let after;
      return {
        begin: () => {
          before = threadTimes(child.pid);
        },
        end: () => {
          after = threadTimes(child.pid);
        },
        async result(forwarded) {
          if (isEnded) child.process.kill('SIGTERM');
          const { ns, userShare } = busiest(before, after);
          return { busyNsPerPacket: Math.min(busyOf(JSON.parse(await child.done)), ns / forwarded), userShare };
        },
        close,
      };
    },
  };
}

function plainC(label, type) {
  return polling(label, {
    makeArgs: ({ forwarder }) => [forwarder, [FROM, TO, type]],
    coreOf: ({ core }) => core,
    busyOf: ({ busySeconds, received }) => (busySeconds * 1e9) / received,
    isEnded: true,
  });
}

/** `wdp bench forward` on ports of a type, with more options of theirs, for so many seconds from the first packet on. */
export function benchForward(type, core, seconds, extra = {}) {
  const options = { rx: FROM, tx: TO, type, cpu: core, seconds, ...extra };
  const args = Object.entries(options).flatMap(([name, value]) => [`--${name}`, String(value)]);
  return [process.execPath, [WDP, 'bench', 'forward', ...args, '--json']];
}

/** Only the polling thread is on the core, where it goes by itself; the others are where Open vSwitch's are too. */
function ours(label, type) {
  return polling(label, {
    makeArgs: ({ core, warmup, seconds }) => benchForward(type, core, warmup + seconds + MARGIN_S),
    coreOf: ({ otherCore }) => otherCore,
    busyOf: ({ busyNsPerPacket }) => busyNsPerPacket,
    isEnded: false,
  });
}

/**
 * The same with XDP programs that forward what they can. They run where frames are received, which on a veth is the sender's core: the worker's is idle, and
 * there is no thread whose time it would be. The far end of the way out has to take their frames.
 */
function offloading(label) {
  const contestant = polling(label, {
    makeArgs: ({ core, warmup, seconds }) =>
      benchForward('afxdp', core, warmup + seconds + MARGIN_S, { 'port-options': 'offload=on' }),
    coreOf: ({ otherCore }) => otherCore,
    busyOf: () => 0,
    isEnded: false,
  });
  return {
    ...contestant,
    async start(setting) {
      takeXdpFrames(SINK);
      const run = await contestant.start(setting);
      const result = async (forwarded) => {
        await run.result(forwarded);
        return { busyNsPerPacket: null, userShare: null };
      };
      return { ...run, result };
    },
  };
}

function openVSwitch(label, kind) {
  return {
    label,
    whyNot: () => whyNoOvs(kind),
    async start(setting) {
      const ovs = new Ovs(path.join(setting.folder, `ovs-${setting.turn}`), kind, setting);
      const close = () => ovs.close();
      let before;
      let after;
      try {
        await ovs.open();
      } catch (error) {
        await close();
        throw error;
      }
      return {
        begin: () => {
          before = ovs.read();
        },
        end: () => {
          after = ovs.read();
        },
        async result(forwarded) {
          const { ns, userShare } = ovs.busy(before, after);
          return { busyNsPerPacket: ns / forwarded, userShare };
        },
        close,
      };
    },
  };
}

/** Soft-interrupt time of a core so far, ns, to a tick. */
function softirqNs(core) {
  const [, fields] = new RegExp(`^cpu${core} (.*)`, 'm').exec(readFileSync('/proc/stat', 'utf8'));
  return Number(fields.trim().split(/\s+/)[6]) * TICK_NS;
}

const bridge = {
  label: 'Linux bridge, in the kernel',
  whyNot: () => undefined,
  async start({ core }) {
    command('ip', 'link', 'add', 'br0', 'type', 'bridge', 'mcast_snooping', '0');
    command('sysctl', '-qw', 'net.ipv6.conf.br0.disable_ipv6=1');
    for (const name of [FROM, TO]) command('ip', 'link', 'set', name, 'master', 'br0');
    command('ip', 'link', 'set', 'br0', 'up');
    // receive packet steering: without it the generator's core would forward
    const steering = `/sys/class/net/${FROM}/queues/rx-0/rps_cpus`;
    if (existsSync(steering)) writeFileSync(steering, (1 << core).toString(16));
    let before;
    let after;
    return {
      begin: () => {
        before = softirqNs(core);
      },
      end: () => {
        after = softirqNs(core);
      },
      result: async (forwarded) => ({ busyNsPerPacket: (after - before) / forwarded, userShare: null }),
      close: async () => {},
    };
  },
};

/** By the names of --only, in the order of the first round. */
export const CONTESTANTS = {
  'c-afpacket': plainC('plain C, AF_PACKET in, AF_XDP out', 'afpacket'),
  'c-afxdp': plainC('plain C, AF_XDP in and out', 'afxdp'),
  afpacket: ours('wasm-datapath, afpacket', 'afpacket'),
  afxdp: ours('wasm-datapath, afxdp', 'afxdp'),
  'afxdp-offload': offloading('wasm-datapath, afxdp, offload'),
  'ovs-system': openVSwitch('Open vSwitch, system ports', 'system'),
  'ovs-dpdk-afpacket': openVSwitch('Open vSwitch, DPDK af_packet', 'dpdk-af_packet'),
  'ovs-dpdk-afxdp': openVSwitch('Open vSwitch, DPDK af_xdp', 'dpdk-af_xdp'),
  bridge,
};
