/*
 * The provider `netdev`: the WASM datapaths of this process, those that the program opened (`Datapath.open`) and those that are made here. Before it:
 * registry.ts. After it: netdev-datapath.ts, over the wasm transport, of which each thread has one.
 */
import { findDatapath } from '../../kernel/registry.ts';
import { WasmTransport } from '../../transport/wasm.ts';
import { dpifError, ENODEV } from '../errors.ts';
import { datapathRequest, readDatapath } from '../messages/datapath.ts';
import { firstReply } from '../messages/request.ts';
import { datapathFamilies, enumerateDatapaths } from '../netlink-dpif.ts';
import type { DpifProvider } from '../provider.ts';
import { NetdevDatapath, SYSTEM_DRIVER } from './netdev-datapath.ts';

let transport: WasmTransport | undefined;

export const netdevProvider: DpifProvider = {
  type: 'netdev',
  cleanupRequired: true,

  enumerate() {
    return enumerateDatapaths(wasm());
  },

  /** An internal port is a TAP device where the datapath makes interfaces of them; what Open vSwitch calls `system` goes by the rings of AF_PACKET. */
  portOpenType(type) {
    return type === 'internal' ? 'tap' : type === 'system' ? SYSTEM_DRIVER : type;
  },

  open(name, create) {
    const families = datapathFamilies(wasm());
    const operation = create ? 'datapath new' : 'datapath get';
    const request = create ? ({ command: 'new', name, upcallPid: 0 } as const) : ({ command: 'get', name } as const);
    const reply = wasm().transact(datapathRequest(families.datapath, request), { operation });
    const datapath = findDatapath(name);
    if (datapath === undefined) throw dpifError(ENODEV, operation, {});
    return new NetdevDatapath(wasm(), families, readDatapath(firstReply(reply, operation), operation), datapath);
  },
};

function wasm(): WasmTransport {
  transport ??= new WasmTransport();
  return transport;
}
