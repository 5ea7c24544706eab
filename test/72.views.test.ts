/*
 * Views do not escape: what a handler or a sink is given lies in the datapath's memory and is good until it has returned; what must last is
 * copied. Each view that is said to be one is kept here against the rules, and must be seen to change; each copy must not.
 */
import { describe, expect, it } from 'vitest';
import * as C from '../assembly/constants.ts';
import type { UpcallBatch } from '../src/index.ts';
import { OWN_PORT_ID } from '../src/kernel/client.ts';
import { attribute, concat, le32 } from './support/action-list.ts';
import { BUILDS, openDatapath } from './support/datapath.ts';
import * as L from './support/frames.ts';

const frame = (byte: number): Uint8Array =>
  L.ethernet(0x0800, L.ipv4({ src: L.bytes(10, byte, byte, byte) }, L.udp({}, new Uint8Array(64).fill(byte))));

/** A view that was kept, a copy made in time, and what both were then. */
interface Kept {
  name: string;
  view: Uint8Array;
  copy: Uint8Array;
}

function keep(name: string, view: Uint8Array): Kept {
  return { name, view, copy: new Uint8Array(view) };
}

describe.each(BUILDS)('views, %s', (build) => {
  it('of a function handler are poisoned by later traffic, copies are not', async () => {
    await using datapath = await openDatapath({ build, upcallFrames: 64 });
    const port = datapath.ports.add('a');
    const kept: Kept[] = [];
    await datapath.onUpcall((upcall) => {
      if (kept.length === 0) kept.push(keep('packet', upcall.packet), keep('flatKey', upcall.flatKey));
      return undefined;
    });
    const first = frame(1);
    datapath.process(port, [first]);
    expect(kept[0].copy).toEqual(first);
    for (let i = 0; i < 10; i++)
      datapath.process(
        port,
        Array.from({ length: 30 }, () => frame(0xee)),
      );
    for (const { name, view, copy } of kept)
      expect(Buffer.compare(view, copy), `the kept ${name} has changed`).not.toBe(0);
    expect(kept[0].copy).toEqual(first);
    expect(kept[1].copy[C.KEY_IPV4_SRC + 1]).toBe(1);
  });

  it('of a batch are refused afterwards, and poisoned when kept', async () => {
    await using datapath = await openDatapath({ build, upcallFrames: 64 });
    const port = datapath.ports.add('a');
    const userspace = attribute(2, concat(attribute(1, le32(OWN_PORT_ID)), attribute(2, L.filler(24, 1))));
    datapath.flows.put('in_port(1)', userspace);
    const kept: Kept[] = [];
    let old: UpcallBatch | undefined;
    await datapath.onUpcall({
      name: 'keeper',
      handle(batch) {
        if (old !== undefined) return;
        old = batch;
        kept.push(keep('key', batch.key(0)), keep('packet', batch.packet(0)), keep('message', batch.message(0)));
        kept.push(keep('userdata', batch.userdata(0)!));
      },
    });
    datapath.process(port, [frame(1)]);
    expect(() => old!.packet(0)).toThrow(RangeError);
    datapath.flows.flush();
    datapath.flows.put(
      'in_port(1)',
      attribute(2, concat(attribute(1, le32(OWN_PORT_ID)), attribute(2, L.filler(24, 99)))),
    );
    for (let i = 0; i < 10; i++)
      datapath.process(
        port,
        Array.from({ length: 30 }, () => frame(0xee)),
      );
    for (const { name, view, copy } of kept)
      expect(Buffer.compare(view, copy), `the kept ${name} has changed`).not.toBe(0);
    expect(kept[3].copy).toEqual(L.filler(24, 1));
  });

  it('are not what a memory port receives: those are copies', async () => {
    await using datapath = await openDatapath({ build });
    const [a, b] = ['a', 'b'].map((name) => datapath.ports.add(name, { slots: 4 }));
    datapath.flows.put('in_port(1)', '2');
    datapath.process(a, [frame(1), frame(2)]);
    const received = b.receive();
    for (let i = 0; i < 10; i++) {
      datapath.process(a, [frame(0xee), frame(0xdd)]);
      b.receive();
    }
    expect(received).toEqual([frame(1), frame(2)]);
    expect(received.every(({ buffer }) => buffer instanceof ArrayBuffer)).toBe(true);
  });

  it('are what drain gives, until the sink has returned', async () => {
    await using datapath = await openDatapath({ build });
    const [a, b] = ['a', 'b'].map((name) => datapath.ports.add(name, { slots: 4 }));
    datapath.flows.put('in_port(1)', '2');
    datapath.process(a, [frame(1)]);
    const kept: Kept[] = [];
    expect(b.drain((data) => kept.push(keep('frame', data)))).toBe(1);
    expect(kept[0].view.buffer).toBeInstanceOf(SharedArrayBuffer);
    expect(kept[0].copy).toEqual(frame(1));
    for (let i = 0; i < 4; i++) {
      datapath.process(a, [frame(0xee)]);
      b.receive();
    }
    expect(kept[0].view).toEqual(kept[0].view.map((_, i) => frame(0xee)[i]));
    expect(kept[0].copy).toEqual(frame(1));
  });

  it('are not what flows are read as, and what is sent may be used again at once', async () => {
    await using datapath = await openDatapath({ build });
    const [a, b] = ['a', 'b'].map((name) => datapath.ports.add(name));
    datapath.flows.put('in_port(1)', '2');
    const flow = datapath.flows.get('in_port(1)')!;
    const before = [flow.key, flow.mask, flow.actionBytes].map((bytes) => bytes.slice());
    const buffer = frame(1);
    a.send(buffer);
    buffer.fill(0);
    datapath.poll();
    expect(b.receive()).toEqual([frame(1)]);
    datapath.flows.put('in_port(1)', '3,3,3');
    datapath.flows.flush();
    for (let i = 0; i < 50; i++) datapath.flows.put(`in_port(${i})`, `${i},${i}`);
    expect([flow.key, flow.mask, flow.actionBytes]).toEqual(before);
    expect(flow.stats.packets).toBe(0);
    const list = encodeList();
    datapath.flows.put('in_port(60)', list);
    list.fill(0);
    expect(datapath.flows.get('in_port(60)')!.actionBytes).toEqual(encodeList());
  });
});

function encodeList(): Uint8Array {
  return attribute(1, le32(5));
}
