/*
 * Flags of Node for threads of piscina pools whose file is an ES module. Before it: bench/setup-pool.ts; pollers have a file that is none.
 *
 * Piscina asks for a task's file by `require` first, and imports it where that fails. Node can require an ES module, but when the thread is ended while it is
 * being loaded, Node 20 aborts the whole process (v8::Module::IsGraphAsync must be used on an instantiated module). So requiring is switched off.
 */
const NO_REQUIRE = '--no-experimental-require-module';

/** What a thread gets in place of the flags of this process; those of NODE_OPTIONS it has anyway. */
export const THREAD_FLAGS: string[] = process.allowedNodeEnvironmentFlags.has(NO_REQUIRE) ? [NO_REQUIRE] : [];
