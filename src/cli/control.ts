/*
 * A command line that is a control command, or is not. Before it: main.ts. After it: dpctl.ts. Main thread.
 */
import { type ControlLine, readControlLine, runControlLine } from './dpctl.ts';
import { report, reporting } from './failure.ts';

/** Runs it, and tells what goes wrong. False, and nothing was done: it is another command, or asks for help. */
export async function runControl(words: readonly string[]): Promise<boolean> {
  let line: ControlLine | undefined;
  try {
    line = readControlLine(words);
  } catch (error) {
    report(error);
    return true;
  }
  if (line === undefined) return false;
  const control = line;
  await reporting(async () => {
    process.exitCode = await runControlLine(control);
  });
  return true;
}
