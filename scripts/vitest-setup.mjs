/*
 * Vitest's global setup: builds whatever is stale before the first test file is loaded. With REQUIRE_ALL=1 the native
 * addon must be there too.
 */
import { setup } from './setup.mjs';

export default async function globalSetup() {
  await setup({ requireNative: process.env.REQUIRE_ALL === '1' });
}
