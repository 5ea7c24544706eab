/*
 * npm run clean: removes everything that setup and the tests make, but not node_modules.
 */
import { rmSync } from 'node:fs';
import { inRoot } from './files.mjs';

for (const folder of ['build', 'dist', 'coverage', 'out', '.cache'])
  rmSync(inRoot(folder), { recursive: true, force: true });
