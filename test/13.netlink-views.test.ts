/*
 * What is a copy and what is a view: memory is overwritten, and copies must not change while views must; and batches in memory of the
 * caller, WASM memory included, which is never left.
 */
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import * as K from '../src/netlink/constants.ts';
import {
  AttributeBuilder,
  AttributeCursor,
  beginMessage,
  endMessage,
  MessageCursor,
  NetlinkSocket,
  TransactionBatch,
} from '../src/netlink/index.ts';
import { describeNetlink as describe, NetlinkPeer, type PeerAction, request, thrown } from './support/netlink-peer.ts';

const TYPE = 0x20;
const POISON = 0xa5;
const ECHO: PeerAction[] = [{ msg: 0x21, payload: 'echo' }, { ack: 0 }];

let peer: NetlinkPeer;
beforeAll(async () => {
  peer = await NetlinkPeer.start();
});
afterAll(() => peer.stop());
beforeEach(() => peer.always(...ECHO));

const connect = (): NetlinkSocket => NetlinkSocket.open(K.NETLINK_USERSOCK, { peer: peer.port });

/** A region of shared WASM memory with guards around it. */
function wasmRegion(size: number): { region: Uint8Array; intact: () => boolean } {
  const all = new Uint8Array(new WebAssembly.Memory({ initial: 4, maximum: 4, shared: true }).buffer).fill(POISON);
  const intact = (): boolean =>
    [all.subarray(0, 4096), all.subarray(4096 + size)].every((part) => part.every((b) => b === POISON));
  return { region: all.subarray(4096, 4096 + size), intact };
}

describe('copies', () => {
  it('transact and receive return what nothing overwrites', () => {
    using socket = connect();
    const first = socket.transact(request(TYPE, [1, 2, 3, 4]));
    const kept = [...first];
    socket.transact(request(TYPE, [9, 9, 9, 9]));
    expect([...first]).toEqual(kept);
    socket.send(request(TYPE, [5, 6, 7, 8]));
    const datagram = socket.receive({ timeoutMs: 60_000 })!;
    const before = [...datagram.bytes];
    socket.receive({ timeoutMs: 60_000 });
    expect([...datagram.bytes]).toEqual(before);
  });

  it('errors keep their text when the batch is overwritten', async () => {
    await peer.always({ ack: 22, text: 'read me later' });
    const replies = new Uint8Array(4096);
    const batch = new TransactionBatch({ replies }).addMessage(request(TYPE));
    using socket = connect();
    socket.transactMany(batch);
    const error = batch.error(0);
    replies.fill(POISON);
    expect(error?.kernelMessage).toBe('read me later');
  });

  it('requests are copied when they are added or sent', async () => {
    const message = request(TYPE, [1, 2, 3, 4]);
    using socket = connect();
    const batch = new TransactionBatch().addMessage(message);
    message.fill(POISON);
    socket.transactMany(batch);
    expect((await peer.log())[0].payload).toBe('01020304');
  });
});

describe('views', () => {
  it('a reply is overwritten by the next run', () => {
    using socket = connect();
    const batch = new TransactionBatch().addMessage(request(TYPE, [1, 1, 1, 1]));
    socket.transactMany(batch);
    const reply = batch.reply(0);
    expect(reply[16]).toBe(1);
    batch.clear();
    expect(thrown(() => batch.reply(0))).toBeInstanceOf(RangeError);
    socket.transactMany(batch.addMessage(request(TYPE, [2, 2, 2, 2])));
    expect(reply[16]).toBe(2);
  });

  it('a message of a dump is overwritten by a later one', async () => {
    await peer.always({ msg: TYPE, payload: '01' }, { msg: TYPE, payload: '02' }, { done: 0 });
    using socket = connect();
    const dump = socket.dump(request(TYPE));
    const first = dump.next()!;
    const { bytes, payloadOffset } = first;
    const copy = first.message();
    expect([bytes[payloadOffset], copy[16]]).toEqual([1, 1]);
    dump.next();
    expect([bytes[payloadOffset], copy[16]]).toEqual([2, 1]);
  });
});

describe('a batch in WASM memory', () => {
  it('is built, sent and answered in place, and nothing around it is touched', () => {
    const requests = wasmRegion(8192);
    const replies = wasmRegion(16_384);
    const rows = new Int32Array(new SharedArrayBuffer(4 * 4 * 100));
    const batch = new TransactionBatch({ requests: requests.region, replies: replies.region, rows });
    using socket = connect();
    for (let round = 0; round < 3; round++) {
      batch.clear();
      for (let i = 0; i < 100; i++) {
        batch.add((buffer) => {
          const start = beginMessage(buffer, TYPE, 0);
          new AttributeBuilder(buffer)
            .u32(1, 1000 * round + i)
            .string(2, `n${i}`)
            .finish();
          endMessage(buffer, start);
        });
      }
      expect(socket.transactMany(batch)).toBe(0);
      for (let i = 0; i < 100; i++) {
        const cursor = new MessageCursor(batch.reply(i));
        expect(cursor.next()).toBe(true);
        const attributes = new AttributeCursor(cursor.bytes, cursor.payloadOffset, cursor.payloadSize);
        expect([attributes.next() && attributes.u32(), attributes.next() && attributes.string()]).toEqual([
          1000 * round + i,
          `n${i}`,
        ]);
      }
    }
    expect(batch.requests.buffer).toBe(requests.region.buffer);
    expect([requests.intact(), replies.intact()]).toEqual([true, true]);
  });

  it('refuses what it has no room for, and is as before', () => {
    const batch = new TransactionBatch({ requests: new Uint8Array(64), countMax: 2, operation: 'put' });
    batch.addMessage(request(TYPE, [1, 2, 3, 4]));
    const size = batch.requests.length;
    expect(thrown(() => batch.addMessage(request(TYPE, new Uint8Array(40))))).toMatchObject({
      code: 'ERR_NETLINK_TOO_LARGE',
    });
    expect(thrown(() => batch.add(() => {}))).toBeInstanceOf(RangeError);
    expect([batch.count, batch.requests.length]).toEqual([1, size]);
    batch.addMessage(request(TYPE));
    expect(thrown(() => batch.addMessage(request(TYPE)))).toBeInstanceOf(RangeError);
    expect(thrown(() => new TransactionBatch({ rows: new Int32Array(7), countMax: 2 }))).toBeInstanceOf(RangeError);
    using socket = connect();
    expect(socket.transactMany(batch)).toBe(0);
  });

  it('grows when its memory is its own', () => {
    const batch = new TransactionBatch({ countMax: 500 });
    for (let i = 0; i < 500; i++) batch.addMessage(request(TYPE, new Uint8Array(200).fill(i)));
    using socket = connect();
    expect(socket.transactMany(batch)).toBe(0);
    for (let i = 0; i < 500; i++) expect(batch.reply(i)[16]).toBe(i & 255);
  });

  it('with a message that lies about its length is refused before anything is sent', async () => {
    const batch = new TransactionBatch().addMessage(request(TYPE)).addMessage(request(TYPE));
    new DataView(batch.requests.buffer, batch.requests.byteOffset).setUint32(16, 100, true);
    using socket = connect();
    expect(thrown(() => socket.transactMany(batch))).toBeInstanceOf(RangeError);
    expect(await peer.log()).toEqual([]);
  });
});
