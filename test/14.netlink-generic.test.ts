/*
 * Families by name: against what `genl ctrl list` of iproute2 prints, against the real openvswitch.ko in a virtual machine (kernel-vm/boot), whose
 * unloading must be noticed, and against FamilyServers that come and go.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { nativeAddon } from '../src/native/load.ts';
import * as K from '../src/netlink/constants.ts';
import {
  clearFamilies,
  dumpFamilies,
  type GenericFamily,
  lookupFamily,
  lookupFamilyAsync,
  lookupGroup,
  lookupGroupAsync,
} from '../src/netlink/generic.ts';
import { familyModule } from '../src/netlink/modules.ts';
import { FamilyServer } from '../src/netlink/server/server.ts';
import { whyNoKernel } from './kernel-vm/kernel.ts';
import { NUMBERS, Numbers } from './support/netlink-family.ts';
import { requireProgram } from './support/require.ts';

const ROOT = path.join(import.meta.dirname, '..');

afterEach(clearFamilies);

/** A family in one line, as far as `genl` prints it. */
function line(family: GenericFamily): string {
  const ops = [...family.ops.values()].map(({ command, flags }) => `${command}/${flags}`).join(' ');
  const groups = [...family.groups].map(([name, id]) => `${name}=${id}`).join(' ');
  return `${family.name} ${family.id} v${family.version} ${family.headerSize} ${family.maxAttribute} [${ops}] [${groups}]`;
}

/** The same of the output of `genl ctrl list`. */
function readGenl(text: string): string[] {
  return text.split(/^Name: /m).flatMap((part) => {
    const head = /^(.*)\n\s*ID: (\S+)\s+Version: (\S+)\s+header size: (\d+)\s+max attribs: (\d+)/.exec(part);
    if (head === null) return [];
    const [, name, id, version, headerSize, maxAttribute] = head;
    const ops = [...part.matchAll(/ID-(0x[0-9a-f]+) *\n(?:\s+Capabilities \((0x[0-9a-f]+)\))?/g)];
    const groups = [...part.matchAll(/ID-(0x[0-9a-f]+)\s+name: (\S+)/g)];
    const opsText = ops
      .map(([, command, flags = 'unsaid']) => `${Number(command)}/${flags === 'unsaid' ? flags : Number(flags)}`)
      .join(' ');
    const groupsText = groups.map(([, group, groupName]) => `${groupName}=${Number(group)}`).join(' ');
    return [`${name} ${Number(id)} v${Number(version)} ${headerSize} ${maxAttribute} [${opsText}] [${groupsText}]`];
  });
}

/** Ours as genl would print it: it does not say the flags of operations of all families. */
function asTold(family: GenericFamily, theirs: readonly string[]): string {
  const silent = theirs.some((one) => one.startsWith(`${family.name} `) && one.includes('/unsaid'));
  return silent ? line(family).replace(/(\d+)\/\d+/g, '$1/unsaid') : line(family);
}

/** Netlink sockets of this process, by inode. */
function socketCount(protocol: number): number {
  const rows = readFileSync('/proc/self/net/netlink', 'latin1').trim().split('\n').slice(1);
  return rows.filter((row) => Number(row.trim().split(/\s+/)[1]) === protocol).length;
}

describe('the kernel', () => {
  const reason = requireProgram('genl');

  it('has the families, operations and groups that genl lists', ({ skip }) => {
    skip(reason !== undefined, reason);
    const theirs = readGenl(execFileSync('genl', ['ctrl', 'list'], { encoding: 'utf8' }));
    expect(theirs.length).toBeGreaterThan(2);
    const families = dumpFamilies();
    expect(families.map((family) => asTold(family, theirs))).toEqual(theirs);
    for (const { name } of families) expect(theirs).toContain(asTold(lookupFamily(name), theirs));
  });

  it('keeps an answer, and a listener only as long as there is one', () => {
    const before = socketCount(K.NETLINK_GENERIC);
    expect(() => lookupFamily('no_such_family')).toThrow();
    const pooled = socketCount(K.NETLINK_GENERIC);
    const family = lookupFamily('nlctrl');
    expect(socketCount(K.NETLINK_GENERIC)).toBe(pooled + 1);
    expect(lookupFamily('nlctrl')).toBe(family);
    expect(lookupGroup('nlctrl', 'notify')).toBe(K.GENL_ID_CTRL);
    clearFamilies();
    expect(socketCount(K.NETLINK_GENERIC)).toBe(pooled);
    expect(before).toBeLessThanOrEqual(pooled);
    expect(lookupFamily('nlctrl')).not.toBe(family);
  });

  it('says which module a missing family needs, and which groups there are', () => {
    const missing = (text: string) =>
      expect.objectContaining({ code: 'ERR_NETLINK_NO_SUCH_FAMILY', errno: 2, message: text });
    const unknown =
      'no generic Netlink family no_such_family: the kernel module that offers it is not loaded, or there is none';
    expect(() => lookupFamily('no_such_family')).toThrow(missing(unknown));
    expect(familyModule('ovs_meter')).toBe('openvswitch');
    expect(familyModule('nl80211')).toBe('cfg80211');
    expect(familyModule('ovs')).toBeUndefined();
    expect(() => lookupGroup('nlctrl', 'nothing')).toThrow(
      expect.objectContaining({
        code: 'ERR_NETLINK_NO_SUCH_GROUP',
        message: expect.stringContaining('it has: notify'),
      }),
    );
  });
});

it('knows the families of openvswitch.ko, and notices that the module goes and comes', ({ skip }) => {
  const reason = whyNoKernel();
  skip(reason !== undefined, reason);
  const copies = ['dist', 'build', 'package.json', 'test/support/netlink-openvswitch.mjs'].flatMap((file) => [
    '--copy',
    path.join(ROOT, file),
  ]);
  const args = [...copies, '--program', process.execPath, '--program', '/usr/sbin/genl'];
  const { status, stdout, stderr } = spawnSync(
    path.join(ROOT, 'test/kernel-vm/boot'),
    [...args, '--', `${process.execPath} netlink-openvswitch.mjs`],
    { encoding: 'utf8', env: { ...process.env, KERNEL_VM_MEMORY: '2048' } },
  );
  expect(stderr).toBe('');
  expect(status).toBe(0);
  const { families, genl, unloaded, ids } = JSON.parse(stdout) as {
    families: GenericFamily[];
    genl: string;
    unloaded: string;
    ids: number[][];
  };
  const groups = (name: string) => families.filter((one) => one.name === name).map((one) => one.groups);
  expect(families.map(({ name }) => name)).toEqual([
    'ovs_datapath',
    'ovs_vport',
    'ovs_flow',
    'ovs_packet',
    'ovs_meter',
    'ovs_ct_limit',
  ]);
  expect(groups('ovs_packet')).toEqual([[]]);
  const revived = families.map((family) => ({
    ...family,
    ops: new Map(family.ops as unknown as [number, { command: number; flags: number }][]),
    groups: new Map(family.groups as unknown as [string, number][]),
  }));
  const theirs = readGenl(genl);
  for (const family of revived) expect(theirs).toContain(asTold(family, theirs));
  expect(unloaded).toContain('the kernel module openvswitch is not loaded (modprobe openvswitch)');
  const [before, after] = ids;
  expect(after).not.toEqual(before);
});

describe('a FamilyServer', () => {
  it('is asked by its port id; answers are kept until its nlctrl says otherwise', async () => {
    const { family } = new Numbers();
    using server = FamilyServer.open({ families: [family] });
    const first = await lookupFamilyAsync(NUMBERS, server.portId);
    expect(line(first)).toMatch(/^numbers \d+ v3 4 2 \[1\/14 2\/11 3\/6 4\/14 5\/2\] \[changes=\d+ secrets=\d+\]$/);
    const { requests } = server.statistics();
    expect(await lookupFamilyAsync(NUMBERS, server.portId)).toBe(first);
    expect(await lookupGroupAsync(NUMBERS, 'changes', server.portId)).toBe(first.groups.get('changes'));
    expect(server.statistics().requests).toBe(requests);
    server.unregister(NUMBERS);
    const gone = lookupFamilyAsync(NUMBERS, server.portId);
    await expect(gone).rejects.toMatchObject({ code: 'ERR_NETLINK_NO_SUCH_FAMILY' });
    server.register(family);
    expect((await lookupFamilyAsync(NUMBERS, server.portId)).id).not.toBe(first.id);
  });

  it('is not mistaken for the one before it on the same port id', async () => {
    const { family } = new Numbers();
    const socket = nativeAddon()?.NetlinkSocket.open({ protocol: K.NETLINK_USERSOCK, peer: -1 });
    if (socket === undefined || typeof socket === 'number') throw new Error('no socket');
    const first = new FamilyServer(socket, { families: [family] });
    const { portId } = first;
    await lookupFamilyAsync(NUMBERS, portId);
    // As when its process is killed: nobody is told.
    socket.close();
    first.close();
    using second = FamilyServer.open({ portId });
    await expect(lookupFamilyAsync(NUMBERS, second.portId)).rejects.toMatchObject({
      code: 'ERR_NETLINK_NO_SUCH_FAMILY',
    });
  });

  it('that is not there is an error, soon', async () => {
    await expect(lookupFamilyAsync(NUMBERS, 0x7ffffff0)).rejects.toMatchObject({ code: 'ERR_NETLINK_SYSTEM' });
  });

  it('answers many lookups at once', async () => {
    const { family } = new Numbers();
    using server = FamilyServer.open({ families: [family] });
    const found = await Promise.all(Array.from({ length: 50 }, () => lookupFamilyAsync(NUMBERS, server.portId)));
    expect(new Set(found).size).toBe(1);
  });
});
