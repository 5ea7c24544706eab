/*
 * Who is an administrator: processes with every mixture of user and capability, made by setpriv of util-linux, and looked at from here.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { afterEach, expect, it } from 'vitest';
import { isAdministrator } from '../src/netlink/server/credentials.ts';
import { requireProgram } from './support/require.ts';

const reason =
  requireProgram('setpriv') ?? (process.getuid?.() === 0 ? undefined : 'only root can become another user');
const running: ChildProcess[] = [];

afterEach(() => {
  for (const child of running.splice(0)) child.kill('SIGKILL');
});

/** A process under setpriv that has said that it runs; its id. */
async function processWith(...args: string[]): Promise<number> {
  const child = spawn('setpriv', [...args, 'sh', '-c', 'echo ready; read line'], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  running.push(child);
  await once(child.stdout, 'data');
  return child.pid ?? 0;
}

const AMBIENT = ['--inh-caps=+net_admin', '--ambient-caps=+net_admin'];

it('is root with CAP_NET_ADMIN', async ({ skip }) => {
  skip(reason !== undefined, reason);
  const pid = await processWith();
  expect(isAdministrator({ portId: 1, pid, uid: 0 })).toBe(true);
  expect(isAdministrator({ portId: 1, pid: process.pid, uid: 0 })).toBe(true);
});

it('is not root of a container without CAP_NET_ADMIN', async ({ skip }) => {
  skip(reason !== undefined, reason);
  const pid = await processWith('--bounding-set=-net_admin', '--inh-caps=-net_admin');
  expect(isAdministrator({ portId: 1, pid, uid: 0 })).toBe(false);
  expect(isAdministrator({ portId: 1, pid, uid: 0 }, true)).toBe(false);
});

it('is another user with CAP_NET_ADMIN only when the server was told so', async ({ skip }) => {
  skip(reason !== undefined, reason);
  const pid = await processWith('--reuid=12345', '--clear-groups', ...AMBIENT);
  expect(isAdministrator({ portId: 1, pid, uid: 12_345 })).toBe(false);
  expect(isAdministrator({ portId: 1, pid, uid: 12_345 }, true)).toBe(true);
});

it('is no user without it, and nobody whose process has another user by now, or is gone', async ({ skip }) => {
  skip(reason !== undefined, reason);
  const pid = await processWith('--reuid=12345', '--clear-groups');
  expect(isAdministrator({ portId: 1, pid, uid: 12_345 }, true)).toBe(false);
  expect(isAdministrator({ portId: 1, pid: process.pid, uid: 12_345 }, true)).toBe(false);
  expect(isAdministrator({ portId: 1, pid, uid: 0 }, true)).toBe(false);
  expect(isAdministrator({ portId: 1, pid: 0, uid: 0 }, true)).toBe(false);
  expect(isAdministrator({ portId: 1, pid: 2 ** 22 + 1, uid: 0 }, true)).toBe(false);
});
