/*
 * Features of a kernel's datapath: what is asked for, and how one comes to know what this kernel has. Before it: system-provider.ts. After it: messages.
 *
 * The kernel's way to say that it lacks a feature is to refuse the request (EOPNOTSUPP; EINVAL before Linux 5.4), and kernels of long ago
 * accept every bit. So a bit that no kernel has is asked for first, which must fail. Then upcalls by CPU are asked for (Linux 5.15), else several port ids a
 * port (3.17). Sharing of recirculation ids with tc is a favour. An answer that does not show a bit does not have it.
 *
 * Opening a datapath that is there changes nothing of it: it may be another program's. What this program needs is asked for when it begins to receive upcalls.
 */
import * as K from '../../../assembly/netlink/openvswitch.ts';
import type { DatapathError } from '../../errors.ts';
import type { GenericFamily } from '../../netlink/generic.ts';
import type { Transport } from '../../transport/transport.ts';
import { EEXIST, EINVAL, EOPNOTSUPP, errnoOf } from '../errors.ts';
import { type DatapathMessage, type DatapathRequest, datapathRequest, readDatapath } from '../messages/datapath.ts';
import { firstReply } from '../messages/request.ts';
import type { UpcallDispatch } from './upcall-sockets.ts';

/** A bit that stands for no feature. */
const OVS_DP_F_UNSUPPORTED = 0x80000000;
const PER_VPORT = K.OVS_DP_F_UNALIGNED | K.OVS_DP_F_VPORT_PIDS;
/** How a kernel says that it has no such feature. */
const REFUSALS = [EOPNOTSUPP, EINVAL];
const PER_CPU = K.OVS_DP_F_UNALIGNED | K.OVS_DP_F_DISPATCH_UPCALL_PER_CPU;

/** One request about a datapath, and its answer. */
export function transactDatapath(
  transport: Transport,
  family: GenericFamily,
  what: DatapathRequest,
  operation: string,
): DatapathMessage {
  const reply = transport.transact(datapathRequest(family, what), { operation });
  return readDatapath(firstReply(reply, operation), operation);
}

/** Makes a datapath with the best features that this kernel has. Throws EEXIST when there is one. */
export function createDatapath(transport: Transport, family: GenericFamily, name: string): DatapathMessage {
  return negotiate(transport, family, { command: 'new', name, upcallPid: 0 }, 'datapath new', undefined);
}

/** Asks for what upcalls need; `dispatch` keeps it to one of the two ways. */
export function prepareUpcalls(
  transport: Transport,
  family: GenericFamily,
  { dpIfindex, features }: Pick<DatapathMessage, 'dpIfindex' | 'features'>,
  dispatch?: UpcallDispatch,
): DatapathMessage {
  return negotiate(transport, family, { command: 'set', dpIfindex, features }, 'datapath set', dispatch);
}

function negotiate(
  transport: Transport,
  family: GenericFamily,
  request: DatapathRequest,
  operation: string,
  dispatch: UpcallDispatch | undefined,
): DatapathMessage {
  const others = (request.features ?? 0) & ~(PER_VPORT | PER_CPU);
  const ask = (features: number, changes: Partial<DatapathRequest> = {}): DatapathMessage =>
    transactDatapath(transport, family, { ...request, ...changes, features: (others | features) >>> 0 }, operation);

  const credulous = attempt(() => ask(PER_VPORT | OVS_DP_F_UNSUPPORTED), REFUSALS);
  if (credulous !== undefined) return ask(PER_VPORT, { command: 'set', name: credulous.name, upcallPid: undefined });

  const byCpu = dispatch === 'per-vport' ? undefined : attempt(() => ask(PER_CPU), dispatch ? [] : REFUSALS);
  const datapath = byCpu ?? ask(PER_VPORT);
  const { dpIfindex, features } = datapath;
  const wish: DatapathRequest = { command: 'set', dpIfindex, features: features | K.OVS_DP_F_TC_RECIRC_SHARING };
  return attempt(() => transactDatapath(transport, family, wish, operation), undefined) ?? datapath;
}

/** Undefined when it is refused with one of these (or with any) errno. */
function attempt<T>(ask: () => T, errnos: readonly number[] | undefined): T | undefined {
  try {
    return ask();
  } catch (error) {
    const errno = errnoOf(error as DatapathError);
    if (errno === undefined || errno === EEXIST || (errnos !== undefined && !errnos.includes(errno))) throw error;
    return undefined;
  }
}
