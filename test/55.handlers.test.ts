/*
 * The built-in handlers, through memory ports on the calling thread: who gets which frame, and which flows are left behind.
 */
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import {
  Datapath,
  drop,
  flood,
  learning,
  type MemoryPort,
  makeHandler,
  staticRules,
  type UpcallHandler,
} from '../src/index.ts';
import { type FlowTuple, flowTuple, udpFrame } from '../src/ports/frames.ts';
import { LearningHandler } from '../src/upcall/learning.ts';
import { parseRules } from '../src/upcall/static.ts';

const open: Datapath[] = [];

afterEach(async () => {
  for (const datapath of open.splice(0)) await datapath.close();
});

async function lan(handler: UpcallHandler, ports = 3): Promise<{ datapath: Datapath; hosts: MemoryPort[] }> {
  const datapath = await Datapath.open({ flows: 4096, idleTimeoutMs: 0 });
  open.push(datapath);
  const hosts = Array.from({ length: ports }, (_, i) => datapath.ports.add(`p${i + 1}`));
  await datapath.onUpcall(handler);
  return { datapath, hosts };
}

/** A frame from host `from` to host `to` (0: broadcast), optionally tagged. */
function frame(from: number, to: number, vlan?: number): Uint8Array {
  const bytes = udpFrame(flowTuple(from));
  bytes.set(to === 0 ? [255, 255, 255, 255, 255, 255] : [2, 0, 0, 0, 0, to], 0);
  bytes.set([2, 0, 0, 0, 0, from], 6);
  if (vlan === undefined) return bytes;
  const tagged = new Uint8Array(bytes.length + 4);
  tagged.set(bytes.subarray(0, 12));
  tagged.set([0x81, 0x00, vlan >> 8, vlan & 255], 12);
  tagged.set(bytes.subarray(12), 16);
  return tagged;
}

/** Sends on port `from` and tells how many frames each port got. */
function send(datapath: Datapath, hosts: MemoryPort[], from: number, ...frames: Uint8Array[]): number[] {
  datapath.process(hosts[from - 1], frames);
  return hosts.map((host) => host.receive().length);
}

function accountedFor(datapath: Datapath): void {
  const s = datapath.stats();
  expect(s.received).toBe(s.hits.emc + s.hits.megaflow + s.misses + s.drops.rxShort + s.drops.workerLost);
  expect(s.upcallsPending).toBe(0);
  expect(datapath.check()).toBe(0);
}

describe('learning', () => {
  it('floods the unknown, learns sources, and sends to the known', async () => {
    const { datapath, hosts } = await lan(learning());
    expect(send(datapath, hosts, 1, frame(1, 2))).toEqual([0, 1, 1]);
    expect(datapath.flows.count).toBe(0); // the unknown is flooded without a flow
    expect(send(datapath, hosts, 2, frame(2, 1))).toEqual([1, 0, 0]);
    expect(send(datapath, hosts, 1, frame(1, 2), frame(1, 2))).toEqual([0, 2, 0]);
    expect(datapath.flows.count).toBe(2);
    accountedFor(datapath);
  });

  it('floods groups by a flow and never forwards reserved addresses', async () => {
    const { datapath, hosts } = await lan(learning());
    expect(send(datapath, hosts, 1, frame(1, 0), frame(1, 0))).toEqual([0, 2, 2]);
    expect(datapath.stats()).toMatchObject({ misses: 2, answered: 2, installed: 1, flows: 1 });
    const bpdu = frame(1, 0);
    bpdu.set([0x01, 0x80, 0xc2, 0, 0, 0]);
    expect(send(datapath, hosts, 1, bpdu)).toEqual([0, 0, 0]);
    expect(datapath.stats().drops.flow).toBe(1);
    accountedFor(datapath);
  });

  it('drops what is for the port it came from', async () => {
    const { datapath, hosts } = await lan(learning());
    send(datapath, hosts, 1, frame(1, 0), frame(2, 0));
    expect(send(datapath, hosts, 1, frame(1, 2))).toEqual([0, 0, 0]);
    accountedFor(datapath);
  });

  it('follows an address that moves to another port', async () => {
    const { datapath, hosts } = await lan(learning());
    send(datapath, hosts, 2, frame(2, 0));
    expect(send(datapath, hosts, 1, frame(1, 2), frame(1, 2))).toEqual([0, 2, 0]);
    send(datapath, hosts, 3, frame(2, 0)); // host 2 speaks from port 3 now
    expect(send(datapath, hosts, 1, frame(1, 2))).toEqual([0, 0, 1]);
    accountedFor(datapath);
  });

  it('keeps VLANs apart', async () => {
    const { datapath, hosts } = await lan(learning());
    send(datapath, hosts, 2, frame(2, 0, 10));
    expect(send(datapath, hosts, 1, frame(1, 2, 20))).toEqual([0, 1, 1]); // unknown in VLAN 20
    expect(send(datapath, hosts, 1, frame(1, 2, 10))).toEqual([0, 1, 0]);
    accountedFor(datapath);
  });

  it('forgets addresses after their age, and learns no more than its limit', async () => {
    const handler = new LearningHandler({ ageMs: 1000, addressesMax: 2 });
    const { datapath, hosts } = await lan(handler);
    send(datapath, hosts, 1, frame(1, 0), frame(2, 0), frame(3, 0));
    expect(handler.size).toBe(2);
    handler.tick(performance.now() + Number(process.hrtime.bigint() / 1000000n) + 5000);
    expect(handler.size).toBe(0);
  });

  it('floods to new ports and forgets removed ones', async () => {
    const handler = new LearningHandler();
    const { datapath, hosts } = await lan(handler, 2);
    expect(send(datapath, hosts, 1, frame(1, 0))).toEqual([0, 1]);
    const third = datapath.ports.add('p3');
    expect(send(datapath, [...hosts, third], 1, frame(1, 0))).toEqual([0, 1, 1]);
    await datapath.ports.remove('p3');
    expect(send(datapath, hosts, 1, frame(1, 0))).toEqual([0, 1]);
    expect(datapath.stats().drops.noPort).toBe(0);
  });
});

describe('flood and drop', () => {
  it('flood sends everything to all other ports with one flow a port', async () => {
    const { datapath, hosts } = await lan(flood());
    expect(send(datapath, hosts, 2, frame(2, 1), frame(2, 3))).toEqual([2, 0, 2]);
    expect(datapath.flows.count).toBe(1);
    accountedFor(datapath);
  });

  it('drop counts every packet as dropped by its flow', async () => {
    const { datapath, hosts } = await lan(drop());
    expect(send(datapath, hosts, 1, frame(1, 2), frame(1, 2), frame(1, 3))).toEqual([0, 0, 0]);
    expect(datapath.stats().drops.flow).toBe(3);
    accountedFor(datapath);
  });
});

describe('static rules', () => {
  const rules = `
    # web goes to 2, the rest of 10/8 to 3, all else nowhere
    priority=200 eth_type(0x0800),ipv4(dst=11.0.0.0/255.0.0.0,proto=17,frag=no),udp(dst=80) actions:2
    priority=100,idle=5s eth_type(0x0800),ipv4(dst=11.0.0.0/255.0.0.0) actions:3
    priority=1 actions:drop`;
  const to = (dstPort: number, dst = 0x0b000001): Uint8Array =>
    udpFrame({ ...flowTuple(1), dst, dstPort } satisfies FlowTuple);

  it('the first rule by priority decides, and its flow catches nothing of another rule', async () => {
    const { datapath, hosts } = await lan(staticRules(parseRules(rules, 'rules')));
    expect(send(datapath, hosts, 1, to(53))).toEqual([0, 0, 1]);
    expect(send(datapath, hosts, 1, to(80), to(80))).toEqual([0, 2, 0]);
    expect(send(datapath, hosts, 1, to(53), to(54))).toEqual([0, 0, 2]);
    expect(send(datapath, hosts, 1, to(80, 0x0c000001))).toEqual([0, 0, 0]);
    accountedFor(datapath);
  });

  it('what no rule covers is dropped by a flow', async () => {
    const { datapath, hosts } = await lan(staticRules(parseRules('in_port(2) actions:1', 'rules')));
    expect(send(datapath, hosts, 1, to(1), to(2))).toEqual([0, 0, 0]);
    expect(datapath.flows.count).toBe(1);
    expect(datapath.stats().drops.flow).toBe(2);
    accountedFor(datapath);
  });

  it.each([
    ['priority=x actions:1', 'rules:1: priority=x'],
    ['\nin_port(1)', 'rules:2: no "actions:"'],
    ['idle=5 actions:1', 'rules:1: idle=5'],
    ['in_prt(1) actions:1', 'rules:1: '],
    ['in_port(1) actions:outpt', 'rules:1: '],
  ])('%j names file, line and mend', (text, message) => {
    expect(() => parseRules(text, 'rules')).toThrow(message);
  });
});

describe('by name', () => {
  const folder = mkdtempSync(path.join(tmpdir(), 'wdp-handlers-'));
  const file = (name: string, text: string): string => {
    const full = path.join(folder, name);
    writeFileSync(full, text);
    return full;
  };

  it('makes every form', async () => {
    for (const spec of ['learning', 'drop', 'flood']) expect((await makeHandler(spec)).name).toBe(spec);
    expect((await makeHandler(`static:${file('r', 'actions:1')}`)).name).toContain('static:');
    const object = file(
      'o.mjs',
      'export default { handle(batch) { for (let i = 0; i < batch.count; i++) batch.drop(i); } };',
    );
    expect((await makeHandler(`module:${object}`)).name).toContain('module:');
    const one = file(
      'p.mjs',
      'export const perPacket = true; export default ({ inPort }) => ({ actions: String(3 - inPort) });',
    );
    const { datapath, hosts } = await lan(await makeHandler(`module:${one}`), 2);
    expect(send(datapath, hosts, 1, frame(1, 2))).toEqual([0, 1]);
  });

  it.each([
    ['nothing', 'no handler "nothing"'],
    ['static:', 'no handler "static:"'],
    ['static:/does/not/exist', 'cannot read the rules'],
    ['module:/does/not/exist.mjs', 'cannot load the handler'],
  ])('%s is a typed error', async (spec, message) => {
    await expect(makeHandler(spec)).rejects.toThrow(message);
    await expect(makeHandler(spec)).rejects.toMatchObject({ code: 'ERR_HANDLER' });
  });

  it('a module without a handler says what it must export', async () => {
    await expect(makeHandler(`module:${file('n.mjs', 'export default 5;')}`)).rejects.toThrow('exports no handler');
  });
});
