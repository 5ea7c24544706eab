/*
 * Vitest's global setup: builds whatever is stale before the first test file is loaded. `npm test` has done it already
 * and says so in WDP_SETUP; `npx vitest` comes here straight.
 */
import { setup } from './setup.mjs';

export default async function globalSetup() {
  if (process.env.WDP_SETUP !== 'done') await setup({ requireNative: process.env.REQUIRE_ALL === '1' });
}
