/*
 * Lines of many flows, made of the messages of a dump (FlowLines), beside what formats one flow (flowText), which is held against ovs-dpctl: the same for every flow,
 * alike or not.
 */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import * as K from '../assembly/netlink/openvswitch.ts';
import { DpctlContext } from '../src/dpctl/context.ts';
import { dumpFlows } from '../src/dpctl/flow-commands.ts';
import { FlowLines } from '../src/dpctl/flow-lines.ts';
import { type FlowTextOptions, flowText } from '../src/dpctl/flow-text.ts';
import { FlowMessages } from '../src/dpif/flow-messages.ts';
import { readFlow } from '../src/dpif/messages/flow.ts';
import { request } from '../src/dpif/messages/request.ts';
import { registerProvider, unregisterProvider } from '../src/dpif/registry.ts';
import type { DpifFlow } from '../src/dpif/types.ts';
import { encodeActions, encodeMatch, parseActions, parseKeyAttributes } from '../src/odp/index.ts';
import { encodeMatchAttributes } from '../src/odp/key-attributes.ts';
import { seed } from './support/odp.ts';
import { comparable, tunnelledMatch } from './support/odp-tunnel.ts';

console.log(`84.flow-lines: SEED=${seed}`);
const RUNS = Number(process.env.CASES ?? 200);
const NOW_MS = 5_000_000;
const FAMILY = {
  id: 30,
  version: 1,
  name: 'ovs_flow',
  headerSize: 4,
  maxAttribute: K.OVS_FLOW_ATTR_MAX,
  groups: new Map(),
};

const names = new Map([1, 2, 4, 5, 7].map((port) => [port, `p${port}`]));
const OPTIONS: FlowTextOptions[] = [false, true].flatMap((verbose) =>
  [undefined, names].map((some) => ({ verbose, names: some, nowMs: NOW_MS })),
);

/** What a message tells of a flow; what is absent is not in it. */
interface Told {
  key?: Uint8Array;
  mask?: Uint8Array;
  actions?: Uint8Array;
  ufid?: Uint8Array;
  packets?: bigint;
  bytes?: bigint;
  usedMs?: bigint;
  tcpFlags?: number;
}

function actionBytes(text: string): Uint8Array {
  return encodeActions(parseActions(text));
}

/** As the kernel puts it. */
function message({ key, mask, actions, ufid, packets, bytes = 0n, usedMs, tcpFlags }: Told): Uint8Array {
  return request(FAMILY as never, K.OVS_FLOW_CMD_NEW, 0, 9, (attributes) => {
    if (ufid !== undefined) attributes.binary(K.OVS_FLOW_ATTR_UFID, ufid);
    if (key !== undefined) attributes.binary(K.OVS_FLOW_ATTR_KEY, key);
    if (mask !== undefined) attributes.binary(K.OVS_FLOW_ATTR_MASK, mask);
    if (packets !== undefined)
      attributes.binary(K.OVS_FLOW_ATTR_STATS, new Uint8Array(BigUint64Array.of(packets, bytes).buffer));
    if (tcpFlags !== undefined) attributes.u8(K.OVS_FLOW_ATTR_TCP_FLAGS, tcpFlags);
    if (usedMs !== undefined) attributes.u64(K.OVS_FLOW_ATTR_USED, usedMs);
    if (actions !== undefined) attributes.binary(K.OVS_FLOW_ATTR_ACTIONS, actions);
  });
}

/** Output of a dump. */
class Printer {
  readonly #lines: FlowLines;
  readonly #parts: string[] = [];
  readonly #context = new DpctlContext(
    {} as never,
    {
      write: (text) => void this.#parts.push(text),
      error: (text) => expect.unreachable(text),
    },
    false,
  );

  constructor(options: FlowTextOptions) {
    this.#lines = new FlowLines(options);
  }

  add(datagram: Uint8Array): void {
    const messages = new FlowMessages(datagram, readFlow);
    while (messages.next()) this.#lines.addMessage(messages);
  }

  /** Of this datagram alone. */
  lines(datagram: Uint8Array): string {
    this.add(datagram);
    return this.take();
  }

  take(): string {
    this.#lines.writeTo(this.#context);
    return this.#parts.splice(0).join('');
  }
}

function makePrinters(): { options: FlowTextOptions; printer: Printer }[] {
  return OPTIONS.map((options) => ({ options, printer: new Printer(options) }));
}

function expected(datagram: Uint8Array, options: FlowTextOptions): string {
  const messages = new FlowMessages(datagram, readFlow);
  let text = '';
  while (messages.next()) text += flowText(messages.flow()!, options);
  return text;
}

/** What `work` gives, or how it fails. */
function outcome(work: () => string): string {
  try {
    return work();
  } catch (error) {
    return `fails: ${(error as Error).message}`;
  }
}

const change = fc.tuple(fc.nat(), fc.integer({ min: 0, max: 255 }));
const lists = tunnelledMatch.map((typed) => encodeMatchAttributes(encodeMatch(comparable(typed))));
const small = fc.bigInt({ min: 0n, max: 200n });
const counter = fc.oneof(small, fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }));
const usedMs = fc.oneof(fc.constant(0n), fc.bigInt({ min: 4_990_000n, max: 5_000_010n }), counter);
const actions = fc.constantFrom('drop', '1', '2', '2,3', 'set(ipv4(ttl=3)),5').map(actionBytes);
const rest = fc.record(
  {
    actions,
    ufid: fc.uint8Array({ minLength: 16, maxLength: 16 }),
    packets: counter,
    bytes: counter,
    usedMs,
    tcpFlags: fc.nat(255),
  },
  { requiredKeys: [] },
);

describe('lines of many flows', () => {
  it('are those of one by one, whatever the bytes of keys and masks are', () => {
    const flows = fc.tuple(lists, rest, fc.array(fc.array(change, { maxLength: 4 }), { maxLength: 6 }));
    fc.assert(
      fc.property(flows, fc.array(change, { maxLength: 2 }), ([{ key, mask }, told, others], maskChanges) => {
        const printers = makePrinters();
        const bent = mask.slice();
        for (const [at, byte] of maskChanges) if (payloadAt(mask, at % mask.length)) bent[at % bent.length] = byte;
        for (const bits of [mask, bent]) {
          for (const changes of [[], ...others]) {
            const other = key.slice();
            for (const [at, byte] of changes) if (payloadAt(key, at % key.length)) other[at % key.length] = byte;
            const datagram = message({ ...told, key: other, mask: bits });
            for (const { options, printer } of printers) {
              const line = outcome(() => printer.lines(datagram));
              expect(line).toEqual(outcome(() => expected(datagram, options)));
            }
          }
        }
      }),
      { seed, numRuns: RUNS },
    );
  });

  it('are those of one by one behind each other, where only what has changed is written anew', () => {
    const flow = fc.tuple(fc.nat(3), fc.nat(3), fc.array(change, { maxLength: 3 }), fc.boolean(), small, usedMs);
    fc.assert(
      fc.property(
        fc.array(lists, { minLength: 1, maxLength: 4 }),
        fc.array(rest, { minLength: 1, maxLength: 4 }),
        fc.array(flow, { maxLength: 20 }),
        (kinds, tellings, flows) => {
          const printers = makePrinters();
          const keys = kinds.map(({ key }) => key.slice());
          const datagrams: Uint8Array[] = [];
          for (const [kind, telling, changes, isOther, packets, used] of flows) {
            const { mask } = kinds[kind % kinds.length];
            const key = keys[kind % kinds.length];
            for (const [at, byte] of changes) if (payloadAt(key, at % key.length)) key[at % key.length] = byte;
            const told = { ...tellings[telling % tellings.length], key, mask };
            if (isOther && told.packets !== undefined) told.packets = packets;
            if (isOther && told.usedMs !== undefined) told.usedMs = used;
            const datagram = message(told);
            if (OPTIONS.every((options) => !outcome(() => expected(datagram, options)).startsWith('fails: ')))
              datagrams.push(datagram);
          }
          const datagram = new Uint8Array(Buffer.concat(datagrams));
          for (const { options, printer } of printers) {
            printer.add(datagram);
            expect(printer.take()).toBe(expected(datagram, options));
          }
        },
      ),
      { seed, numRuns: RUNS },
    );
  });

  it.each([
    'in_port(1),eth(),eth_type(0x0800),ipv4(frag=no)',
    'in_port(2/0xff),eth(src=02:00:00:00:00:01,dst=01:00:00:00:00:00/01:00:00:00:00:00),eth_type(0x86dd),ipv6(label=0x5/0xff,frag=first)',
    'recirc_id(0),ct_state(+trk-new),in_port(3),eth(),eth_type(0x0800),ipv4(proto=6,frag=no),tcp(src=0/0),tcp_flags(syn)',
    'in_port(1),packet_type(ns=1,id=0x800),eth_type(0x0800),ipv4(ttl=3,frag=later)',
    '<empty>',
  ])('%s', (text) => {
    const { key, mask } = parseKeyAttributes(text);
    const ufid = Uint8Array.from({ length: 16 }, (_, i) => i);
    const flows: Told[] = [
      { key, mask, actions: actionBytes('3') },
      { key, mask, actions: actionBytes('1,2') },
      { key: removeType(key), mask, actions: actionBytes('3') },
      { key, actions: actionBytes('3') },
      { key, mask },
      { key, mask, actions: Uint8Array.of(1, 0) },
      { key, mask, actions: Uint8Array.of(9, 0, 1, 0) },
      { ufid, packets: 3n, bytes: 2n ** 40n, usedMs: 4_999_000n },
      { key, mask, ufid, actions: actionBytes('drop'), packets: 3n, bytes: 180n, usedMs: 4_998_766n, tcpFlags: 0x12 },
      {
        key,
        mask,
        ufid: ufid.subarray(4),
        actions: actionBytes('drop'),
        packets: 3n,
        bytes: 180n,
        usedMs: 0n,
        tcpFlags: 0,
      },
    ];
    for (const options of OPTIONS) {
      const printer = new Printer(options);
      for (const flow of [...flows, ...flows]) {
        const datagram = message(flow);
        expect(outcome(() => printer.lines(datagram))).toBe(outcome(() => expected(datagram, options)));
      }
    }
  });

  it('of more kinds than there are forms for are printed all the same', () => {
    const options = OPTIONS[0];
    const printer = new Printer(options);
    for (let round = 0; round < 3; round++) {
      for (let bits = 1; bits < 200; bits++) {
        const { key, mask } = parseKeyAttributes(`in_port(1),skb_mark(${bits}/${bits}),eth(),eth_type(0x0806)`);
        const datagram = message({ key, mask, actions: actionBytes('drop') });
        printer.add(datagram);
        expect(printer.take()).toBe(expected(datagram, options));
      }
    }
  });

  it('do not depend on where the messages lie', () => {
    const { key, mask } = parseKeyAttributes('in_port(1),eth(),eth_type(0x0806)');
    const one = message({ key, mask, actions: actionBytes('2') });
    const datagram = new Uint8Array(Buffer.concat([one, one]));
    for (let offset = 0; offset < 8; offset++) {
      const bytes = new Uint8Array(datagram.length + offset).subarray(offset);
      bytes.set(datagram);
      const printer = new Printer(OPTIONS[1]);
      printer.add(bytes);
      expect(printer.take()).toBe(expected(datagram, OPTIONS[1]));
    }
  });
});

describe('dump-flows', () => {
  const { key, mask } = parseKeyAttributes('in_port(1),eth(),eth_type(0x0806)');
  const attrs = { offloaded: false, dpLayer: 'ovs' };
  const stats = { packets: 1n, bytes: 60n, usedMs: 0n, tcpFlags: 0 };
  const flows: DpifFlow[] = [-1, -1, 3].map((pmdId, i) => {
    return { key, mask, actions: actionBytes(`${i}`), stats, attrs, pmdId };
  });
  const line = (port: number): string =>
    `in_port(1),eth(),eth_type(0x0806), packets:1, bytes:60, used:never, actions:${port}\n`;

  it.each([
    [[], `flow-dump from the main thread:\n${line(0)}${line(1)}flow-dump from pmd on cpu core: 3\n${line(2)}`],
    [['pmd=3'], line(2)],
    [['type=tc'], 'flow-dump from the main thread:\nflow-dump from pmd on cpu core: 3\n'],
    [['filter=in_port(1)', 'pmd=-1'], line(0) + line(1)],
    [['filter=in_port(2)', 'pmd=-1'], ''],
  ])('of a provider that has flows and no messages: %j', async (args, text) => {
    const parts = [flows.slice(0, 1), flows.slice(1)];
    const datapath = {
      name: 'd',
      close: () => undefined,
      portDump: () => [],
      flowDump: () => ({ thread: () => ({ next: () => parts.shift() ?? [] }), close: () => undefined }),
    };
    registerProvider({ type: 'others', cleanupRequired: false, enumerate: () => ['d'], open: () => datapath as never });
    try {
      const written: string[] = [];
      const sink = {
        write: (some: string) => void written.push(some),
        error: (some: string) => void written.push(some),
      };
      const context = new DpctlContext({ json: false, names: false, verbosity: 0 } as never, sink, false);
      await dumpFlows(context, ['others@d', ...args]);
      expect(written.join('')).toBe(text);
    } finally {
      unregisterProvider('others');
    }
  });
});

/** Whether the byte at `position` of a list is in the payload of an attribute. */
function payloadAt(list: Uint8Array, position: number): boolean {
  for (let at = 0; at < list.length; ) {
    const size = list[at] | (list[at + 1] << 8);
    if (position >= at + 4 && position < at + size) return true;
    at += (size + 3) & ~3;
  }
  return false;
}

/** The list without its Ethernet type, so that only the mask has it. */
function removeType(list: Uint8Array): Uint8Array {
  const parts: Uint8Array[] = [];
  for (let at = 0; at < list.length; ) {
    const size = ((list[at] | (list[at + 1] << 8)) + 3) & ~3;
    if (list[at + 2] !== 6) parts.push(list.subarray(at, at + size));
    at += size;
  }
  return new Uint8Array(Buffer.concat(parts));
}
