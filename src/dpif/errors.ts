/*
 * Errors of a datapath interface: the errno of the datapath and, beside it, one line that a person understands: what was being done, to what, why not, and
 * what mends it. Before it: whatever failed below (src/netlink/errors.ts). After it: Dpif, which throws it.
 */
import { constants } from 'node:os';
import { getSystemErrorName } from 'node:util';
import { DatapathError, type DatapathErrorCode } from '../errors.ts';

export const {
  EPERM,
  ENOENT,
  E2BIG,
  EAGAIN,
  EBUSY,
  EEXIST,
  ENODEV,
  EFAULT,
  EINVAL,
  EFBIG,
  EOPNOTSUPP,
  EAFNOSUPPORT,
  ENOBUFS,
  EOVERFLOW,
  EMSGSIZE,
  ENOTCONN,
  ENOSPC,
  ENOMEM,
} = constants.errno;

/** What an errno means for what was being done. */
export interface Meaning {
  readonly code?: DatapathErrorCode;
  readonly text: string;
}

export type Meanings = Readonly<Record<number, Meaning>>;

const COMMON: Meanings = {
  [EPERM]: {
    code: 'ERR_NETLINK_PERMISSION',
    text: 'not permitted: it needs CAP_NET_ADMIN, so run it as root or with that capability',
  },
  [EOPNOTSUPP]: { code: 'ERR_OPERATION', text: 'this datapath cannot do it' },
  [ENODEV]: { code: 'ERR_NO_SUCH_DATAPATH', text: 'the datapath is gone' },
  [ENOMEM]: { code: 'ERR_OUT_OF_MEMORY', text: 'the datapath has no memory left' },
};

/** An error of its own: `operation` names what was done and to what, as in 'flow put' or 'port add eth0'. */
export function dpifError(errno: number, operation: string, meanings: Meanings = {}, cause?: unknown): DatapathError {
  const meaning = meanings[errno] ?? COMMON[errno];
  const below = cause instanceof DatapathError ? cause : undefined;
  const said = below?.kernelMessage === undefined ? '' : `: ${below.kernelMessage}`;
  const text = `${operation}: ${meaning?.text ?? 'refused'} (${errnoName(errno)})${said}`;
  const code = meaning?.code ?? (below?.code === 'ERR_NETLINK_REFUSED' ? undefined : below?.code) ?? 'ERR_OPERATION';
  const error = new DatapathError(code, text, {
    errno,
    operation,
    ...(below?.kernelMessage !== undefined && { kernelMessage: below.kernelMessage }),
    ...(below?.attributeType !== undefined && { attributeType: below.attributeType }),
    ...(below?.attributeOffset !== undefined && { attributeOffset: below.attributeOffset }),
    ...(cause !== undefined && { cause }),
  });
  explained.add(error);
  return error;
}

/** Errors of this layer: they say already what is to be said. */
const explained = new WeakSet<DatapathError>();

/** What was thrown below, said in the words of this layer. What has no errno of a datapath stays as it is. */
export function explain(error: unknown, operation: string, meanings: Meanings = {}): unknown {
  if (!(error instanceof DatapathError) || error.errno === undefined) return error;
  if (explained.has(error) || KEPT.has(error.code)) return error;
  return dpifError(error.errno, operation, meanings, error);
}

/** So do these of the layers below. */
const KEPT: ReadonlySet<DatapathErrorCode> = new Set<DatapathErrorCode>([
  'ERR_NETLINK_NO_SUCH_FAMILY',
  'ERR_NATIVE_UNAVAILABLE',
  'ERR_NETLINK_TOO_LARGE',
  'ERR_NETLINK_CLOSED',
  'ERR_NETLINK_TIMEOUT',
]);

function errnoName(errno: number): string {
  try {
    return getSystemErrorName(-errno);
  } catch {
    return `errno ${errno}`;
  }
}

export function errnoOf(error: unknown): number | undefined {
  return error instanceof DatapathError ? error.errno : undefined;
}

export const OPEN_ERRORS = (name: string, type: string): Meanings => ({
  [ENODEV]: { code: 'ERR_NO_SUCH_DATAPATH', text: `there is no datapath ${name} of type ${type}` },
  [EEXIST]: { code: 'ERR_DATAPATH_EXISTS', text: `there is a datapath or a device ${name} already` },
  [EBUSY]: { code: 'ERR_DATAPATH_EXISTS', text: `${name} is in use` },
});

export const PORT_ERRORS: Meanings = {
  [ENODEV]: { code: 'ERR_NO_SUCH_PORT', text: 'there is no such device, or the datapath is gone' },
  // of Linux 6.1, when the device is taken away between two steps of the kernel's
  [EFAULT]: { code: 'ERR_NO_SUCH_PORT', text: 'the device went away while it was added' },
  [EBUSY]: { code: 'ERR_PORT_EXISTS', text: 'the device or the port number is in use by a bridge or datapath' },
  [EEXIST]: { code: 'ERR_PORT_EXISTS', text: 'there is a device of that name already' },
  [EINVAL]: { code: 'ERR_PORT_OPTION', text: 'no such port can be, or the local port, which stays with its datapath' },
  [EFBIG]: { code: 'ERR_PORTS_EXHAUSTED', text: 'the port number is too large, or all are in use' },
  [EAFNOSUPPORT]: { code: 'ERR_PORT_TYPE', text: 'this datapath has no ports of that type' },
  [ENOSPC]: { code: 'ERR_PORTS_EXHAUSTED', text: 'there is no room for another port' },
};

export const FLOW_ERRORS: Meanings = {
  [ENOENT]: { code: 'ERR_NO_SUCH_FLOW', text: 'there is no such flow' },
  [EEXIST]: { code: 'ERR_FLOW_EXISTS', text: 'there is such a flow already, or one that overlaps it' },
  [EINVAL]: { code: 'ERR_INVALID_ACTIONS', text: 'the datapath does not take this key, mask or list of actions' },
  [EFBIG]: { code: 'ERR_TABLE_FULL', text: 'the flow table is full' },
  [ENOSPC]: { code: 'ERR_TABLE_FULL', text: 'the flow table, or its list of masks, is full' },
  [E2BIG]: { code: 'ERR_INVALID_ACTIONS', text: 'the list of actions is too long' },
  [EMSGSIZE]: { code: 'ERR_INVALID_ACTIONS', text: 'the list of actions is too long' },
  [EOVERFLOW]: { code: 'ERR_INVALID_ACTIONS', text: 'the actions nest too deep' },
};

export const METER_ERRORS: Meanings = {
  [ENOENT]: { code: 'ERR_OPERATION', text: 'there is no such meter' },
  [EINVAL]: {
    code: 'ERR_OPERATION',
    text: 'no such meter can be: a band without a rate, or a type of band that is not known',
  },
  [EFBIG]: { code: 'ERR_OPERATION', text: 'the number of the meter is too large' },
};

export const BOND_ERRORS: Meanings = {
  [ENOENT]: { code: 'ERR_OPERATION', text: 'there is no such bond' },
};

export const CT_ERRORS: Meanings = {
  [ENOENT]: { code: 'ERR_OPERATION', text: 'there is no such connection, or no connection tracking' },
};
