/*
 * A dump on a socket that is asked for other things meanwhile, in every order: transactions of both kinds, groups, another dump, closing.
 * Whatever the order, every dump gives its whole table, every transaction its answer, every notification arrives once and in order, and no
 * descriptor is left.
 */
import { readdirSync } from 'node:fs';
import { afterAll, beforeAll, expect, it } from 'vitest';
import * as K from '../src/netlink/constants.ts';
import { type Dump, NetlinkSocket } from '../src/netlink/index.ts';
import { describeNetlink as describe, NetlinkPeer, type PeerAction, request, thrown } from './support/netlink-peer.ts';

const TABLE = 0x30;
const ECHO = 0x31;
const GROUP = 21;
const entry = (mark: number): PeerAction => ({ msg: TABLE, flags: K.NLM_F_MULTI, payload: `0${mark}` });

let peer: NetlinkPeer;
beforeAll(async () => {
  peer = await NetlinkPeer.start();
  await peer.rules([
    { type: TABLE, do: [entry(1), { pack: [entry(2), entry(3)] }, entry(4), { done: 0 }] },
    { type: ECHO, do: [{ msg: ECHO, payload: 'echo' }, { ack: 0 }] },
  ]);
});
afterAll(() => peer.stop());

/** One socket, and what must be true of it. */
class Run {
  readonly socket = NetlinkSocket.open(K.NETLINK_USERSOCK, { peer: peer.port });
  private readonly dumps: { dump: Dump; read: number }[] = [];
  private readonly answers: Promise<unknown>[] = [];
  private joined = false;
  private notifications = 0;
  private echo = 0;

  readonly steps: Record<string, () => void | Promise<void>> = {
    dump: () => {
      if (this.refused(() => this.socket.dump(request(TABLE)))) return;
      this.dumps.push({ dump: this.socket.dump(request(TABLE)), read: 0 });
      this.advance(this.dumps.length - 1);
    },
    next: () => {
      if (this.dumps.length > 0) this.advance(0);
    },
    wholeDump: () => {
      if (this.refused(() => this.socket.dump(request(TABLE)))) return;
      expect(Array.from(this.socket.dump(request(TABLE)), (one) => one.bytes[one.payloadOffset])).toEqual([1, 2, 3, 4]);
    },
    abandon: () => this.dumps.pop()?.dump.close(),
    transact: () => {
      const payload = [++this.echo, 0, 0, 0];
      if (this.refused(() => this.socket.transact(request(ECHO)))) return;
      expect(this.socket.transact(request(ECHO, payload))[16]).toBe(this.echo);
    },
    transactAsync: () => {
      const mark = ++this.echo;
      const answer = this.socket.transactAsync(request(ECHO, [mark, 0, 0, 0]));
      const outcome = answer
        .then((reply) => reply[16])
        .catch((error: { code: string }) => this.socket.closed && error.code);
      this.answers.push(
        outcome.then((got) => expect(this.socket.closed ? [mark, 'ERR_NETLINK_CLOSED'] : [mark]).toContain(got)),
      );
    },
    join: () => {
      if (this.refused(() => this.socket.join(GROUP))) return;
      this.socket.join(GROUP);
      this.joined = true;
    },
    cast: async () => {
      await peer.cast(GROUP, { type: 100 + this.notifications });
      if (this.joined && !this.socket.closed) this.notifications++;
    },
    close: () => {
      this.hearAll();
      this.socket.close();
    },
  };

  /** A closed socket refuses, and says so. */
  private refused(call: () => unknown): boolean {
    if (!this.socket.closed) return false;
    expect(thrown(call)).toMatchObject({ code: 'ERR_NETLINK_CLOSED' });
    return true;
  }

  private advance(index: number): void {
    const one = this.dumps[index];
    const message = one.dump.next();
    expect(message?.bytes[message.payloadOffset]).toBe(one.read < 4 ? ++one.read : undefined);
  }

  private hearAll(): void {
    if (!this.joined || this.socket.closed) return;
    const heard = [];
    for (let one = this.socket.receive(); one !== undefined; one = this.socket.receive()) {
      // What the peer still sends to a socket of an earlier run, whose port id this one has, is none of the group's.
      if (one.group === GROUP) heard.push(one.bytes[4] - 100);
    }
    expect(heard).toEqual(Array.from({ length: this.notifications }, (_, i) => i));
    this.notifications = 0;
  }

  async end(): Promise<void> {
    for (let i = 0; i < this.dumps.length; i++)
      while (!(this.dumps[i].dump.ended && this.dumps[i].read === 4)) this.advance(i);
    for (const { dump } of this.dumps) expect(dump.next()).toBeUndefined();
    await Promise.all(this.answers);
    this.hearAll();
    if (!this.socket.closed) expect(this.socket.transact(request(ECHO, [99, 0, 0, 0]))[16]).toBe(99);
    this.socket.close();
  }
}

function* permutations(items: string[]): Generator<string[]> {
  if (items.length <= 1) yield items;
  for (const [i, item] of items.entries()) {
    if (items.indexOf(item) < i) continue; // equal ones change places unseen
    for (const rest of permutations([...items.slice(0, i), ...items.slice(i + 1)])) yield [item, ...rest];
  }
}

const descriptors = (): number => readdirSync('/proc/self/fd').length;

describe('in every order:', () => {
  it.each([
    [['dump', 'transact', 'join', 'cast', 'wholeDump', 'close']],
    [['dump', 'dump', 'next', 'transact', 'abandon', 'close']],
    [['dump', 'transactAsync', 'join', 'cast', 'wholeDump', 'close']],
    [['dump', 'transactAsync', 'transactAsync', 'abandon', 'join', 'cast']],
    [['dump', 'cast', 'cast', 'join', 'transact', 'dump']],
  ])('%j', async (steps) => {
    const before = descriptors();
    let orders = 0;
    for (const order of permutations(steps)) {
      const run = new Run();
      try {
        for (const step of order) await run.steps[step]();
        await run.end();
      } catch (error) {
        throw new Error(`in the order ${order.join(', ')}: ${error instanceof Error ? error.message : String(error)}`);
      }
      orders++;
    }
    expect(orders).toBeGreaterThanOrEqual(180);
    expect(descriptors()).toBe(before);
  });
});
