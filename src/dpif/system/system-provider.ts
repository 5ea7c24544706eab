/*
 * The provider `system`: openvswitch.ko. Before it: registry.ts. After it: system-datapath.ts, over the kernel transport, of which each thread has one.
 */
import { KernelTransport } from '../../transport/kernel.ts';
import { datapathFamilies, enumerateDatapaths } from '../netlink-dpif.ts';
import type { DpifProvider } from '../provider.ts';
import { createDatapath, transactDatapath } from './negotiate.ts';
import { SystemDatapath } from './system-datapath.ts';

let transport: KernelTransport | undefined;

export const systemProvider: DpifProvider = {
  type: 'system',
  cleanupRequired: false,

  enumerate() {
    return enumerateDatapaths(kernel());
  },

  open(name, create) {
    const families = datapathFamilies(kernel());
    const datapath = create
      ? createDatapath(kernel(), families.datapath, name)
      : transactDatapath(kernel(), families.datapath, { command: 'get', name }, 'datapath get');
    return new SystemDatapath(kernel(), families, datapath);
  },
};

function kernel(): KernelTransport {
  transport ??= new KernelTransport();
  return transport;
}
