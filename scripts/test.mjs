/*
 * npm test: sets up what is missing, then runs vitest. Arguments go to vitest: `npm test -- classifier -t "deletes"`.
 *
 * With REQUIRE_ALL=1 the native addon is required too. The last line printed is `N passed, N failed`
 * (test/support/reporter.ts), also when setup fails and no test can run.
 */
import { spawn } from 'node:child_process';
import { inRoot, root } from './files.mjs';
import { orExit, setup } from './setup.mjs';

await orExit(
  () => setup({ requireNative: process.env.REQUIRE_ALL === '1' }),
  () => process.stdout.write('0 passed, 1 failed\n'),
);
const args = [inRoot('node_modules/vitest/vitest.mjs'), 'run', ...process.argv.slice(2)];
const child = spawn(process.execPath, args, {
  cwd: root,
  stdio: 'inherit',
  env: { ...process.env, WDP_SETUP: 'done' },
});
process.on('SIGINT', () => {}); // the terminal sends it to vitest as well, which ends in good order
process.on('SIGTERM', () => child.kill('SIGTERM'));
child.on('exit', (code, signal) => process.exit(signal ? 1 : code));
