/*
 * The folder of this package: where build/ and prebuilds/ are found, whether the caller runs from src/ (tests), from
 * dist/src/ (a checkout) or from node_modules (an installation). Called on first use by the native loader and by doctor;
 * any thread may.
 */
import { existsSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

/** Absolute path of the nearest folder above this file that holds package.json. */
export function packageRoot(): string {
  let folder = path.dirname(fileURLToPath(import.meta.url));
  while (!existsSync(path.join(folder, 'package.json'))) {
    const parent = path.dirname(folder);
    if (parent === folder) throw new Error(`no package.json above ${fileURLToPath(import.meta.url)}`);
    folder = parent;
  }
  return folder;
}
