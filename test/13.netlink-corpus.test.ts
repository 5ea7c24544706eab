/*
 * What a kernel answered once (test/corpus/netlink, recorded by test/support/record-netlink.py), replayed by the scripted peer. That
 * kernel's bytes are thus read on every machine, whatever the kernel there is like.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { afterAll, beforeAll, expect, it } from 'vitest';
import * as K from '../src/netlink/constants.ts';
import { MessageCursor, NetlinkSocket } from '../src/netlink/index.ts';
import { describeNetlink as describe, NetlinkPeer } from './support/netlink-peer.ts';

interface Recording {
  name: string;
  request: Uint8Array;
  /** How many entries `ip` listed at the time. */
  count: number | null;
  datagrams: string[];
}

const FOLDER = new URL('corpus/netlink/', import.meta.url);
const recordings: Recording[] = readdirSync(FOLDER).map((file) => {
  const { request, count, datagrams } = JSON.parse(readFileSync(new URL(file, FOLDER), 'utf8'));
  return { name: file.replace('.json', ''), request: bytesOf(request), count, datagrams };
});

/** What the kernel meant, as `ip` and the kernel's sources say it. */
const REFUSALS: Record<string, object> = {
  'getlink-enodev': { errno: 19, kernelMessage: undefined },
  'getlink-enodev-whole': { errno: 19, kernelMessage: undefined },
  'getlink-attribute': {
    errno: 22,
    kernelMessage: 'Attribute failed policy validation',
    attributeOffset: 32,
    attributeType: 61,
  },
  'getlink-attribute-whole': {
    errno: 22,
    kernelMessage: 'Attribute failed policy validation',
    attributeOffset: 32,
    attributeType: 61,
  },
  'getfamily-enoent': { errno: 2, kernelMessage: undefined },
  'dump-refused': { errno: 22, kernelMessage: 'ipv4: Unsupported attribute in dump request' },
};

function bytesOf(hex: string): Uint8Array {
  return new Uint8Array(Buffer.from(hex, 'hex'));
}

/** The recorded messages but for NLMSG_DONE and NLMSG_ERROR, without sequence numbers and port ids. */
function messages(datagrams: Uint8Array[]): string[] {
  return datagrams.flatMap((bytes) => {
    const cursor = new MessageCursor(bytes);
    const found: string[] = [];
    while (cursor.next()) {
      if (cursor.isError || cursor.isDone) continue;
      const message = cursor.message();
      found.push(Buffer.from(message.fill(0, K.NLMSG_SEQ, K.NLMSG_HDRLEN)).toString('hex'));
    }
    cursor.check();
    return found;
  });
}

let peer: NetlinkPeer;
beforeAll(async () => {
  peer = await NetlinkPeer.start();
});
afterAll(() => peer.stop());

describe('recorded replies', () => {
  it('are all here', () => expect(recordings.length).toBe(12));

  it.each(recordings)('$name', async ({ name, request, count, datagrams }) => {
    await peer.always(...datagrams.map((replay) => ({ replay })));
    using socket = NetlinkSocket.open(K.NETLINK_USERSOCK, { peer: peer.port });
    const ask = (): Uint8Array[] => {
      if (!name.startsWith('dump')) return [socket.transact(request)];
      return Array.from(socket.dump(request), (cursor) => cursor.message());
    };
    const expected = REFUSALS[name];
    if (expected === undefined) {
      const got = messages(ask());
      expect(got).toEqual(messages(datagrams.map(bytesOf)));
      if (count !== null) expect(got.length).toBe(count);
      expect(got.length).toBeGreaterThan(0);
    } else {
      let error: unknown;
      try {
        ask();
      } catch (thrown) {
        error = thrown;
      }
      expect(error).toMatchObject({ code: 'ERR_NETLINK_REFUSED', ...expected });
    }
  });
});
