/*
 * The Netlink shim beside other namespaces: notifications of a namespace that this one knows by a number carry that number.
 */
import { spawnSync } from 'node:child_process';
import { describe, expect, onTestFinished, test } from 'vitest';
import * as N from '../src/native/netlink.ts';
import * as K from '../src/netlink/constants.ts';
import { header, openSocket, reason } from './support/netlink-shim.ts';
import { requireProgram } from './support/require.ts';

const RTNLGRP_LINK = 1;
const RTM_NEWLINK = 16;

const missing = reason ?? requireProgram('ip');
const ip = (...args: string[]) => spawnSync('ip', args, { encoding: 'utf8' });

describe.skipIf(missing)('network namespaces', () => {
  test('a group is heard from all namespaces, each with its number', (context) => {
    const name = `wdp-shim-${process.pid}`;
    const added = ip('netns', 'add', name);
    context.skip(added.status !== 0, `needs the right to make a network namespace: ${added.stderr}`);
    onTestFinished(() => void ip('netns', 'delete', name));
    expect(ip('netns', 'set', name, '4242').status).toBe(0);
    const socket = openSocket({ protocol: K.NETLINK_ROUTE });
    expect(socket.setOption(K.NETLINK_LISTEN_ALL_NSID, 1)).toBe(0);
    expect(socket.setOption(K.NETLINK_ADD_MEMBERSHIP, RTNLGRP_LINK)).toBe(0);
    expect(ip('-n', name, 'link', 'set', 'lo', 'up').status).toBe(0);
    const view = new Uint8Array(1 << 16);
    const rows = new Int32Array(N.RECEIVE_ROW_WORDS);
    do expect(socket.receive(view, 0, view.length, 1, rows, 10_000)).toBe(1);
    while (rows[N.RECEIVE_NSID] !== 4242);
    expect(header(view)).toMatchObject({ type: RTM_NEWLINK });
    expect([rows[N.RECEIVE_GROUP], rows[N.RECEIVE_PORT_ID]]).toEqual([RTNLGRP_LINK, 0]);
  });
});
