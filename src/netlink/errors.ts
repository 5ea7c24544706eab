/*
 * Errors of Netlink: from an errno, and what the kernel says beside it, to a DatapathError with a stable code.
 *
 * Two origins, told apart by who speaks. `netlinkError` is for the errno of a reply: a peer read the request and refused it. `systemError`
 * is for the errno of a system call: the socket itself failed. The constructors below them serve what has no errno of its own.
 */
import { constants } from 'node:os';
import { getSystemErrorName } from 'node:util';
import { DatapathError, type DatapathErrorCode, type DatapathErrorDetails } from '../errors.ts';
import type { ExtendedAck } from './message.ts';

/** Numbers of linux/errno.h that this layer looks at. */
export const {
  EPERM,
  EINTR,
  EBADF,
  EAGAIN,
  EACCES,
  EINVAL,
  ENOSPC,
  EPROTONOSUPPORT,
  EMSGSIZE,
  EADDRINUSE,
  ENOBUFS,
  ETIMEDOUT,
  ECONNREFUSED,
  EINPROGRESS,
  ECANCELED,
  ENOPROTOOPT,
  EBUSY,
} = constants.errno;

const CODES: ReadonlyMap<number, DatapathErrorCode> = new Map<number, DatapathErrorCode>([
  [EPERM, 'ERR_NETLINK_PERMISSION'],
  [EACCES, 'ERR_NETLINK_PERMISSION'],
  [EPROTONOSUPPORT, 'ERR_NETLINK_PROTOCOL'],
  [ENOBUFS, 'ERR_NETLINK_OVERRUN'],
  [EMSGSIZE, 'ERR_NETLINK_TOO_LARGE'],
  [EBADF, 'ERR_NETLINK_CLOSED'],
  [ECANCELED, 'ERR_NETLINK_CLOSED'],
  [ETIMEDOUT, 'ERR_NETLINK_TIMEOUT'],
]);

/** What an extended acknowledgement says about a refused request. */
export interface Refusal extends Pick<ExtendedAck, 'message' | 'offset'> {
  /** Type of the attribute at `offset`, where the request is still there to look at. */
  attributeType?: number;
}

/** The error of a request that its peer refused with `errno` (positive). */
export function netlinkError(errno: number, operation: string, refusal: Refusal = {}): DatapathError {
  return make(CODES.get(errno) ?? 'ERR_NETLINK_REFUSED', errno, operation, refusal);
}

/** The error of a system call on the socket that failed with `errno` (positive). */
export function systemError(errno: number, operation: string): DatapathError {
  return make(CODES.get(errno) ?? 'ERR_NETLINK_SYSTEM', errno, operation, {});
}

export function closedError(operation: string): DatapathError {
  return new DatapathError('ERR_NETLINK_CLOSED', `${operation}: the socket is closed`, { errno: EBADF, operation });
}

/** `cause` is the reason of an AbortSignal, when it was one that ended the waiting. */
export function timeoutError(operation: string, cause?: unknown): DatapathError {
  const text = cause === undefined ? 'no answer in time' : 'given up by the caller';
  return new DatapathError('ERR_NETLINK_TIMEOUT', `${operation}: ${text}`, { errno: ETIMEDOUT, operation, cause });
}

export function busyError(operation: string): DatapathError {
  const text = 'the socket is in the middle of asynchronous transactions';
  return new DatapathError('ERR_NETLINK_BUSY', `${operation}: ${text}`, { errno: EBUSY, operation });
}

export function noSuchGroupError(group: number, operation: string): DatapathError {
  const message = `${operation}: no group ${group} in this protocol`;
  return new DatapathError('ERR_NETLINK_NO_SUCH_GROUP', message, { errno: EINVAL, operation });
}

/** Bytes that are no Netlink messages; `problem` says at which offset of the datagram. */
export function malformedError(operation: string, problem: string): DatapathError {
  return new DatapathError('ERR_NETLINK_MALFORMED', `${operation}: ${problem}`, { operation });
}

function make(code: DatapathErrorCode, errno: number, operation: string, refusal: Refusal): DatapathError {
  const said = refusal.message === undefined ? '' : `: ${refusal.message}`;
  const details: DatapathErrorDetails = { errno, operation };
  if (refusal.message !== undefined) details.kernelMessage = refusal.message;
  if (refusal.offset !== undefined) details.attributeOffset = refusal.offset;
  if (refusal.attributeType !== undefined) details.attributeType = refusal.attributeType;
  return new DatapathError(code, `${operation}: ${getSystemErrorName(-errno)}${said}`, details);
}
