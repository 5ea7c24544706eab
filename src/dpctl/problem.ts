/*
 * How an error is told on one line, in the way of ovs-dpctl: what could not be done, the text of the errno in parentheses; and behind it, where a person
 * needs it, what the kernel said and how to mend it. Before it: the commands. After it: context.ts prints. Pure.
 */
import { constants } from 'node:os';
import { DatapathError } from '../errors.ts';
import { OdpAttributeError, OdpFieldError, OdpSyntaxError } from '../odp/errors.ts';
import { errnoText } from './errno-text.ts';

const { EPERM, EACCES } = constants.errno;

/** The errno of an error, if it has one. */
export function errnoOf(error: unknown): number | undefined {
  if (error instanceof DatapathError) return error.errno;
  const { errno } = error as NodeJS.ErrnoException;
  return typeof errno === 'number' ? Math.abs(errno) : undefined;
}

/**
 * What stands behind the `what` of a line: ` (No such device); mend`. `reason` is an errno or an error; one that nobody expects is thrown on.
 */
export function problemText(reason: unknown, mend?: string): string {
  if (reason === undefined) return notesText([mend]);
  if (typeof reason === 'number') return ` (${errnoText(reason)})${notesText([mend])}`;
  if (!isExpected(reason)) throw reason;
  const errno = errnoOf(reason);
  const text = errno === undefined ? reason.message : errnoText(errno);
  return ` (${text})${notesText([kernelNote(reason), mend ?? usualMend(reason, errno)])}`;
}

function notesText(notes: readonly (string | undefined)[]): string {
  return notes.map((note) => (note === undefined ? '' : `; ${note}`)).join('');
}

function isExpected(error: unknown): error is Error {
  if ([DatapathError, OdpSyntaxError, OdpFieldError, OdpAttributeError].some((kind) => error instanceof kind))
    return true;
  return error instanceof Error && 'syscall' in error;
}

function kernelNote(error: Error): string | undefined {
  if (!(error instanceof DatapathError) || error.kernelMessage === undefined) return undefined;
  return `the kernel says: ${error.kernelMessage}`;
}

function usualMend(error: Error, errno: number | undefined): string | undefined {
  if (error instanceof DatapathError && error.code === 'ERR_NETLINK_NO_SUCH_FAMILY') return error.message;
  return errno === EPERM || errno === EACCES ? 'this takes root, or CAP_NET_ADMIN' : undefined;
}
