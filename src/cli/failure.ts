/*
 * How a command fails: one line on stderr and an exit status. UsageError says that the command line itself is wrong (status 2); the library's own
 * errors and those of the operating system say that it could not be done (status 1); anything else is a fault of this program and shows its stack.
 *
 * Thrown by the commands, caught by `reporting`. Any thread.
 */
import { DatapathError } from '../errors.ts';
import { OdpAttributeError, OdpFieldError, OdpSyntaxError } from '../odp/errors.ts';
import { PcapError } from '../pcap/error.ts';

export const EXIT_DONE = 0;
export const EXIT_FAILED = 1;
export const EXIT_USAGE = 2;
export const EXIT_INTERRUPTED = 130;

/** The command line is wrong; the message says what and what is allowed. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

/** What stderr says about an error and the exit status that goes with it. */
export function failureOf(error: unknown): { text: string; status: number } {
  const message = error instanceof Error ? error.message : String(error);
  if (error instanceof UsageError) return { text: oneLine(message), status: EXIT_USAGE };
  if (isExpected(error)) return { text: oneLine(message), status: EXIT_FAILED };
  const stack = error instanceof Error ? error.stack : undefined;
  return { text: `internal error: ${stack ?? message}`, status: EXIT_FAILED };
}

function isExpected(error: unknown): boolean {
  const ours = [DatapathError, PcapError, OdpAttributeError, OdpSyntaxError, OdpFieldError];
  if (ours.some((kind) => error instanceof kind)) return true;
  return error instanceof Error && 'syscall' in error;
}

/** The text on one line, whatever an error message had in it. */
export function oneLine(text: string): string {
  return text.trim().replaceAll(/\s*\n\s*/g, ' ');
}

/** Does the work of a command. What it fails with is told, and so is what goes wrong in the background, such as a disk that is full, which ends the process. */
export async function reporting(work: () => Promise<void>): Promise<void> {
  process.on('uncaughtException', (error) => {
    report(error);
    process.exit();
  });
  try {
    await work();
  } catch (error) {
    report(error);
  }
}

/** Says what failed, in one line, and sets the exit status. */
export function report(error: unknown): void {
  const { text, status } = failureOf(error);
  process.stderr.write(`wdp: ${text}\n`);
  process.exitCode = status;
}
