/*
 * The provider of the kernel's datapaths on kernels that lack things: what is negotiated for upcalls, and what the probes find. No such kernel runs here, so one is
 * made of our datapath (support/old-kernel.ts); 58.dpif-kernel does the same with the real one of 6.1.
 */
import { afterEach, describe, expect, it } from 'vitest';
import * as K from '../assembly/netlink/openvswitch.ts';
import { DPIF_FP_CREATE, Dpif, registerProvider, unregisterProvider } from '../src/dpif/index.ts';
import { datapathFamilies } from '../src/dpif/netlink-dpif.ts';
import { probeCapabilities } from '../src/dpif/probe.ts';
import { createDatapath, prepareUpcalls } from '../src/dpif/system/negotiate.ts';
import { SystemDatapath } from '../src/dpif/system/system-datapath.ts';
import { encodeKeyAttributes, flowUfid, parseKey } from '../src/odp/index.ts';
import { OldKernel, type OldKernelOptions } from './support/old-kernel.ts';

const [EINVAL, EOPNOTSUPP] = [22, 95];
const PER_VPORT = K.OVS_DP_F_UNALIGNED | K.OVS_DP_F_VPORT_PIDS;
const PER_CPU = K.OVS_DP_F_UNALIGNED | K.OVS_DP_F_DISPATCH_UPCALL_PER_CPU;
const SHARING = K.OVS_DP_F_TC_RECIRC_SHARING;

/** A Dpif of the type `old`, on a kernel of these options. */
function openOn(kernel: OldKernel): Dpif {
  registerProvider({
    type: 'old',
    cleanupRequired: false,
    enumerate: () => [],
    open: (name) => {
      const families = datapathFamilies(kernel);
      return new SystemDatapath(kernel, families, createDatapath(kernel, families.datapath, name));
    },
  });
  return Dpif.open('old@old', { create: true });
}

function using(options: OldKernelOptions, check: (dpif: Dpif, kernel: OldKernel) => void): void {
  const kernel = new OldKernel(options);
  const dpif = openOn(kernel);
  try {
    check(dpif, kernel);
  } finally {
    dpif.destroy();
    dpif.close();
    kernel.close();
  }
}

describe('on a kernel', () => {
  afterEach(() => {
    unregisterProvider('old');
  });

  const KERNELS: readonly [title: string, options: OldKernelOptions, features: number][] = [
    ['of 5.15 or later: upcalls by CPU', { refusal: EOPNOTSUPP }, PER_CPU],
    ['of before 5.15: port ids of ports', { features: PER_VPORT, refusal: EOPNOTSUPP }, PER_VPORT],
    ['that refuses by EINVAL', { features: PER_VPORT, refusal: EINVAL }, PER_VPORT],
    ['of long ago, which takes every bit: port ids of ports', { features: PER_VPORT }, PER_VPORT],
    ['that takes every bit and has none', { features: 0 }, 0],
  ];
  for (const [title, options, features] of KERNELS) {
    it(title, () => {
      using(options, (dpif, kernel) => {
        expect(dpif.features()).toBe(features);
        const byCpu = (features & K.OVS_DP_F_DISPATCH_UPCALL_PER_CPU) !== 0;
        expect(dpif.numberHandlersRequired() === undefined).toBe(!byCpu);
        // the bit that no kernel has is asked for first, and never again
        expect(kernel.asked[0] >>> 31).toBe(1);
        expect(kernel.asked.slice(1).every((asked) => asked >>> 31 === 0)).toBe(true);
        // a favour that may be refused: our datapath has no tc to share with
        if (options.refusal !== undefined) expect(kernel.asked.at(-1)).toBe(features | SHARING);
      });
    });
  }

  it('that has both ways: the one that is asked for', () => {
    using({ refusal: EOPNOTSUPP }, (dpif, kernel) => {
      const families = datapathFamilies(kernel);
      const { dpIfindex } = (dpif as unknown as { provider: SystemDatapath }).provider;
      const prepare = (dispatch?: 'per-cpu' | 'per-vport'): number =>
        prepareUpcalls(kernel, families.datapath, { dpIfindex, features: dpif.features() }, dispatch).features;
      expect(prepare('per-vport')).toBe(PER_VPORT);
      expect(prepare('per-cpu')).toBe(PER_CPU);
      expect(prepare()).toBe(PER_CPU);
    });
  });

  it('without upcalls by CPU: refuses to be made to', () => {
    using({ features: PER_VPORT, refusal: EOPNOTSUPP }, (dpif, kernel) => {
      const families = datapathFamilies(kernel);
      const { dpIfindex } = (dpif as unknown as { provider: SystemDatapath }).provider;
      const datapath = { dpIfindex, features: dpif.features() };
      expect(() => prepareUpcalls(kernel, families.datapath, datapath, 'per-cpu')).toThrow(
        expect.objectContaining({ errno: EOPNOTSUPP }),
      );
    });
  });

  const LACKS: readonly [name: string, options: OldKernelOptions, found: object][] = [
    ['nothing', {}, { ufid: true, clone: true, trunc: true, checkPktLen: true, recirc: true }],
    ['UFIDs', { withoutAttributes: [K.OVS_FLOW_ATTR_UFID] }, { ufid: false, clone: true, recirc: true }],
    ['CLONE', { withoutActions: [K.OVS_ACTION_ATTR_CLONE] }, { ufid: true, clone: false, trunc: true }],
    ['TRUNC', { withoutActions: [K.OVS_ACTION_ATTR_TRUNC] }, { trunc: false, clone: true }],
    ['SET_MASKED', { withoutActions: [K.OVS_ACTION_ATTR_SET_MASKED] }, { maskedSet: false, clone: true }],
    ['CHECK_PKT_LEN', { withoutActions: [K.OVS_ACTION_ATTR_CHECK_PKT_LEN] }, { checkPktLen: false, clone: true }],
  ];
  for (const [name, options, found] of LACKS) {
    it(`that lacks ${name}: the probes find it`, () => {
      using(options, (dpif) => {
        expect(probeCapabilities(dpif)).toMatchObject(found);
        expect(dpif.stats().flows).toBe(0n);
      });
    });
  }

  it('that lacks UFIDs: flows go by their keys, and a program that gives both is understood', () => {
    using({ withoutAttributes: [K.OVS_FLOW_ATTR_UFID] }, (dpif) => {
      const key = encodeKeyAttributes(parseKey('in_port(0),eth(),eth_type(0x1234)'));
      const flow = { key, ufid: flowUfid(key) };
      dpif.flowPut({ flags: DPIF_FP_CREATE, ...flow });
      expect([...dpif.flowDump()].map(({ ufid }) => ufid)).toEqual([undefined]);
      expect(dpif.flowGet(flow).flow?.key).toBeDefined();
      dpif.flowDel(flow);
      expect(dpif.stats().flows).toBe(0n);
    });
  });
});
