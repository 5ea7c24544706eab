/*
 * From what a handler threw to what the client is told. Before it: the dispatcher and dumps. After it: NLMSG_ERROR or NLMSG_DONE.
 */
import { constants } from 'node:os';
import { DatapathError } from '../../errors.ts';
import type { Outcome } from './acknowledge.ts';

const { EIO } = constants.errno;

/** Whether the server, not the request, is at fault: anything but a DatapathError with an errno. */
export function isFailure(error: unknown): boolean {
  return !(error instanceof DatapathError) || error.errno === undefined;
}

/** EIO for a failure of the server: its text may hold what is not the client's business, so only `onFailure` gets it. */
export function outcomeOf(error: unknown): Outcome {
  if (!(error instanceof DatapathError) || error.errno === undefined) return { errno: EIO };
  return { errno: error.errno, message: error.kernelMessage, offset: error.attributeOffset };
}
