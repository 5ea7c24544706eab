/*
 * The one error class of the library. Traffic conditions are not errors (a full ring counts a drop); misuse by the caller is a TypeError or
 * RangeError before anything is touched; everything else that goes wrong is a DatapathError with a stable code.
 */
import * as C from '../assembly/constants.ts';

export type DatapathErrorCode =
  | 'ERR_DATAPATH_CLOSED'
  | 'ERR_OUT_OF_MEMORY'
  | 'ERR_TABLE_FULL'
  | 'ERR_MASKS_EXHAUSTED'
  | 'ERR_FLOW_EXISTS'
  | 'ERR_NO_SUCH_FLOW'
  | 'ERR_INVALID_ACTIONS'
  | 'ERR_PORT_EXISTS'
  | 'ERR_NO_SUCH_PORT'
  | 'ERR_NO_SUCH_QUEUE'
  | 'ERR_QUEUE_FIXED'
  | 'ERR_PORTS_EXHAUSTED'
  | 'ERR_PORT_TYPE'
  | 'ERR_PORT_OPTION'
  | 'ERR_NO_SUCH_PROVIDER'
  | 'ERR_NO_SUCH_DATAPATH'
  | 'ERR_DATAPATH_EXISTS'
  | 'ERR_NO_SUCH_INTERFACE'
  | 'ERR_PORT_PERMISSION'
  | 'ERR_PORT_SYSTEM'
  | 'ERR_HANDLER'
  | 'ERR_RULE'
  | 'ERR_CONFIG'
  | 'ERR_CONTROL'
  | 'ERR_WORKER'
  | 'ERR_WASM'
  | 'ERR_OPERATION'
  | 'ERR_NATIVE_UNAVAILABLE'
  | 'ERR_NETLINK_CLOSED'
  | 'ERR_NETLINK_PROTOCOL'
  | 'ERR_NETLINK_PERMISSION'
  | 'ERR_NETLINK_REFUSED'
  | 'ERR_NETLINK_NO_SUCH_FAMILY'
  | 'ERR_NETLINK_NO_SUCH_GROUP'
  | 'ERR_NETLINK_TOO_LARGE'
  | 'ERR_NETLINK_MALFORMED'
  | 'ERR_NETLINK_OVERRUN'
  | 'ERR_NETLINK_INTERRUPTED'
  | 'ERR_NETLINK_TIMEOUT'
  | 'ERR_NETLINK_BUSY'
  | 'ERR_NETLINK_SYSTEM';

export interface DatapathErrorDetails {
  /** Positive errno of linux/errno.h, when the datapath gave one. */
  errno?: number;
  /** What was being done: 'flow put', 'port add', ... */
  operation?: string;
  /** What the kernel said about it (NLMSGERR_ATTR_MSG). */
  kernelMessage?: string;
  /** The attribute that is at fault: its type, and its byte offset from the start of the request's nlmsghdr (NLMSGERR_ATTR_OFFS). */
  attributeType?: number;
  attributeOffset?: number;
  cause?: unknown;
}

export class DatapathError extends Error {
  override readonly name = 'DatapathError';
  readonly code: DatapathErrorCode;
  readonly errno: number | undefined;
  readonly operation: string | undefined;
  readonly kernelMessage: string | undefined;
  readonly attributeType: number | undefined;
  readonly attributeOffset: number | undefined;

  constructor(code: DatapathErrorCode, message: string, details: DatapathErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.code = code;
    this.errno = details.errno;
    this.operation = details.operation;
    this.kernelMessage = details.kernelMessage;
    this.attributeType = details.attributeType;
    this.attributeOffset = details.attributeOffset;
  }
}

const ERRNO: ReadonlyMap<number, [DatapathErrorCode, string]> = new Map([
  [C.ENOENT, ['ERR_NO_SUCH_FLOW', 'no such flow']],
  [C.EEXIST, ['ERR_FLOW_EXISTS', 'the flow exists already']],
  [C.ENOMEM, ['ERR_OUT_OF_MEMORY', 'the arena of the datapath is full: open it with a larger `arenaSize`']],
  [C.ENOSPC, ['ERR_TABLE_FULL', 'all flow slots are in use: open the datapath with a larger `flows`']],
  [C.EINVAL, ['ERR_INVALID_ACTIONS', 'invalid argument']],
  [C.EMSGSIZE, ['ERR_INVALID_ACTIONS', 'the action list is too long']],
  [C.EOPNOTSUPP, ['ERR_INVALID_ACTIONS', 'not supported']],
]);

/** The error for an errno that the datapath returned. */
export function errnoError(errno: number, operation: string): DatapathError {
  const [code, text] = ERRNO.get(errno) ?? ['ERR_OPERATION', `errno ${errno}`];
  return new DatapathError(code, `${operation}: ${text}`, { errno, operation });
}
