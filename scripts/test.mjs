/*
 * npm test: installs what vitest itself needs, then runs it. The rest of the setup is vitest's global setup
 * (vitest-setup.mjs), so `npx vitest` builds what is stale too.
 *
 * Arguments go to vitest: `npm test -- classifier -t "deletes"`. The last line printed is `N passed, N failed`
 * (test/support/reporter.ts).
 */
import { spawn } from 'node:child_process';
import { inRoot, root } from './files.mjs';
import { orExit, setup } from './setup.mjs';

await orExit(() => setup({ names: ['deps'] }));
const args = [inRoot('node_modules/vitest/vitest.mjs'), 'run', ...process.argv.slice(2)];
const child = spawn(process.execPath, args, { cwd: root, stdio: 'inherit' });
process.on('SIGINT', () => {}); // the terminal sends it to vitest as well, which ends in good order
process.on('SIGTERM', () => child.kill('SIGTERM'));
child.on('exit', (code, signal) => process.exit(signal ? 1 : code));
