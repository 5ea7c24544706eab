/*
 * requireProgram: whether an outside program that a test needs is installed, as a reason to skip.
 *
 * Tests pass the answer to `test.skipIf` or `context.skip`; with REQUIRE_ALL=1 the reporter counts the skip as a failure.
 */
import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';

const folders = [...(process.env.PATH ?? '').split(delimiter), '/usr/local/sbin', '/usr/sbin', '/sbin'];

/** A reason to skip when `name` is not installed, else undefined. */
export function requireProgram(name: string): string | undefined {
  return folders.some((folder) => isExecutable(join(folder, name))) ? undefined : `${name} is not installed`;
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
