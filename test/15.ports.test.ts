/*
 * Ports: what each kind receives and transmits, replay modes, and what bad specifications get.
 */
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { Datapath, encodePcap, flood, readPcap } from '../src/index.ts';
import { classTuple, flowTuple, parseSizes, shuffled, sizeOf, udpFrame } from '../src/ports/frames.ts';
import { commonTimeline } from '../src/ports/pcap.ts';
import { parsePortSpec } from '../src/ports/registry.ts';
import { verifyChecksums } from './support/verify-checksums.ts';

const folder = mkdtempSync(path.join(tmpdir(), 'wdp-ports-'));
const open: Datapath[] = [];

afterEach(async () => {
  for (const datapath of open.splice(0)) await datapath.close();
});

async function datapath(workers = 0): Promise<Datapath> {
  const made = await Datapath.open({ flows: 4096, workers });
  open.push(made);
  return made;
}

function capture(name: string, frames: readonly { data: Uint8Array; timeNs: bigint }[]): string {
  const file = path.join(folder, name);
  writeFileSync(file, encodePcap(frames.map((frame) => ({ ...frame, wireSize: frame.data.length }))));
  return file;
}

const numbered = (count: number, stepNs = 0n): { data: Uint8Array; timeNs: bigint }[] =>
  Array.from({ length: count }, (_, i) => ({
    data: udpFrame(flowTuple(i), 60 + i),
    timeNs: 1_000_000_000n + BigInt(i) * stepNs,
  }));

/** Polls until every replay has ended and everything queued is written. */
async function runOut(made: Datapath): Promise<void> {
  for (let idle = 0; idle < 3; ) {
    idle = made.poll() === 0 && made.exhausted ? idle + 1 : 0;
    if (idle === 0) await new Promise(setImmediate);
  }
}

describe('memory', () => {
  it('hands frames over as they are, whatever their size', async () => {
    const made = await datapath();
    const a = made.ports.add('a', { frameSize: 9000, slots: 64 });
    const b = made.ports.add('b', { frameSize: 9000, slots: 64 });
    await made.onUpcall(flood());
    const frames = [14, 60, 64, 65, 1514, 9000].map((size) => Uint8Array.from({ length: size }, (_, i) => i & 255));
    made.process(a, frames);
    expect(b.receive()).toEqual(frames);
    expect(a.stats()).toMatchObject({
      rxPackets: 6,
      rxBytes: frames.reduce((sum, frame) => sum + frame.length, 0),
      txPackets: 0,
    });
    expect(b.stats()).toMatchObject({ txPackets: 6, rxPackets: 0 });
  });

  it('refuses a frame longer than it takes, and says when its ring is full', async () => {
    const made = await datapath();
    const a = made.ports.add('a', { slots: 8, frameSize: 128 });
    expect(() => a.send(new Uint8Array(4000))).toThrow(RangeError);
    const results = Array.from({ length: 9 }, () => a.send(udpFrame(flowTuple(1))));
    expect(results).toEqual([...Array(8).fill(true), false]);
  });

  it('counts what a full or short transmit ring does not take', async () => {
    const made = await datapath();
    const a = made.ports.add('a', { slots: 64, frameSize: 2048 });
    made.ports.add('b', { slots: 8, frameSize: 256 });
    await made.onUpcall(flood());
    made.process(
      a,
      numbered(20).map((frame) => frame.data),
    );
    made.process(a, [new Uint8Array(1000).fill(2)]);
    const { drops } = made.stats();
    expect(drops.txFull).toBe(12);
    expect(drops.txLong).toBe(1);
  });
});

describe('pcap', () => {
  it('replays a capture and writes what comes out, byte for byte', async () => {
    const made = await datapath();
    const frames = numbered(500);
    const rx = capture('in.pcap', frames);
    const tx = path.join(folder, 'out.pcap');
    await made.ports.addType('in', 'pcap', { rx, speed: 'max' });
    await made.ports.addType('out', 'pcap', { tx });
    await made.onUpcall(flood());
    await runOut(made);
    await made.close();
    expect(readPcap(readFileSync(tx)).records.map((record) => [...record.data])).toEqual(
      frames.map((frame) => [...frame.data]),
    );
  });

  it('loses nothing when the writer is slower than the replay', async () => {
    const made = await datapath();
    const frames = numbered(1000);
    const rx = capture('many.pcap', frames);
    const tx = path.join(folder, 'many-out.pcap');
    await made.ports.addType('in', 'pcap', { rx, speed: 'max', loop: 20 });
    await made.ports.addType('out', 'pcap', { tx });
    await made.onUpcall(flood());
    await runOut(made);
    await made.close();
    expect(readPcap(readFileSync(tx)).records.length).toBe(20_000);
    expect(made.stats().drops.txFull).toBe(0);
  });

  it('keeps the recorded distances on a common clock', async () => {
    const made = await datapath();
    const step = 20_000_000n;
    const early = capture('early.pcap', numbered(5, step));
    const late = capture(
      'late.pcap',
      numbered(5, step).map((frame) => ({ ...frame, timeNs: frame.timeNs + step / 2n })),
    );
    const timeline = await commonTimeline([early, late]);
    expect(timeline).toEqual({ originNs: 1_000_000_000n, spanNs: step * 4n + step / 2n });
    const tx = path.join(folder, 'timed.pcap');
    await made.ports.addType('early', 'pcap', { rx: early, timeline });
    await made.ports.addType('late', 'pcap', { rx: late, timeline });
    await made.ports.addType('out', 'pcap', { tx });
    await made.onUpcall(({ inPort }) => ({ actions: '3', install: inPort < 0 }));
    await runOut(made);
    await made.close();
    const times = readPcap(readFileSync(tx)).records.map((record) => record.timeNs);
    expect(times.length).toBe(10);
    // frames go out in recorded order, none before its time
    for (let i = 1; i < times.length; i++) expect(times[i]).toBeGreaterThanOrEqual(times[i - 1]);
    expect(times[9] - times[0]).toBeGreaterThanOrEqual(timeline.spanNs - 2_000_000n);
  });

  it('a frame that is longer than any frame may be is dropped by name, and its neighbours go on', async () => {
    const made = await datapath();
    const frames = [60, 70_000, 65_535, 262_144, 61].map((size) => ({
      data: new Uint8Array(size).fill(2),
      timeNs: 1_000_000_000n,
    }));
    await made.ports.addType('in', 'pcap', { rx: capture('long.pcap', frames), speed: 'max' });
    const out = made.ports.add('out', { frameSize: 65_535, slots: 8 });
    await made.onUpcall(() => ({ actions: '2' }));
    await runOut(made);
    expect(made.stats().drops).toMatchObject({ rxLong: 2, upcallTooLong: 1 });
    expect(out.receive().map((frame) => frame.length)).toEqual([60, 61]);
    const { received, misses, drops, hits } = made.stats();
    expect(received).toBe(hits.emc + hits.megaflow + misses + drops.rxLong);
  });

  it('an empty capture is a port that has nothing to say', async () => {
    const made = await datapath();
    const port = await made.ports.addType('none', 'pcap', { rx: capture('none.pcap', []), speed: 'max' });
    expect(port.exhausted).toBe(true);
    expect(made.poll()).toBe(0);
  });
});

describe('generator', () => {
  it('makes each flow once a round, with right checksums', async () => {
    const made = await datapath();
    await made.ports.addSpec('gen,type=generator,flows=200,size=60-1514,seed=7,loop=2');
    const out = made.ports.add('out', { slots: 1024 });
    await made.onUpcall(() => ({ actions: '2' }));
    await runOut(made);
    const frames = out.receive();
    expect(frames.length).toBe(400);
    expect(made.flows.count).toBe(200);
    for (const frame of frames) expect(verifyChecksums(frame)).toBe(true);
    expect(frames.slice(0, 200)).toEqual(frames.slice(200));
  });

  it('keeps its rate', async () => {
    const made = await datapath();
    await made.ports.addSpec('gen,type=generator,flows=10,rate=1000,loop=20');
    made.ports.add('out');
    await made.onUpcall(flood());
    const start = performance.now();
    await runOut(made);
    expect(performance.now() - start).toBeGreaterThan(190); // 200 frames, 1,000 a second
    expect(made.stats().received).toBe(200);
  });

  it('frames, sizes and order follow from the seed', () => {
    expect(shuffled(1000, 3)).toEqual(shuffled(1000, 3));
    expect(shuffled(1000, 3)).not.toEqual(shuffled(1000, 4));
    expect([...shuffled(1000, 3)].sort((a, b) => a - b)).toEqual(Array.from({ length: 1000 }, (_, i) => i));
    const mix = Array.from({ length: 12_000 }, (_, i) => sizeOf(parseSizes('imix'), i, 1));
    expect([...new Set(mix)].sort((a, b) => a - b)).toEqual([60, 590, 1514]);
    for (const size of [60, 61, 999, 1514]) expect(verifyChecksums(udpFrame(classTuple(5, 20), size))).toBe(true);
    for (const wrong of ['59', '60-', 'x', '100-60', '70000']) expect(() => parseSizes(wrong)).toThrow(RangeError);
  });
});

describe('bad specifications', () => {
  it.each([
    ['x,type=nothing', 'ERR_PORT_TYPE', 'no port type "nothing"; there are memory, pcap, generator, null'],
    ['x,type=null,a=1', 'ERR_PORT_OPTION', 'type null has no option "a"; it takes none'],
    ['x,type=generator,flow=1', 'ERR_PORT_OPTION', 'type generator has no option "flow"'],
    ['x,type=generator,flows=0', 'ERR_PORT_OPTION', 'option flows'],
    ['x,type=generator,size=5', 'ERR_PORT_OPTION', 'size must be'],
    ['x,type=pcap,speed=slow,rx=y', 'ERR_PORT_OPTION', 'option speed'],
    [',type=null', 'ERR_PORT_OPTION', 'a port needs a name'],
    ['x,null', 'ERR_PORT_OPTION', '"null" is not key=value'],
  ])('%s', async (spec, code, message) => {
    const made = await datapath();
    await expect(made.ports.addSpec(spec)).rejects.toMatchObject({ code, message: expect.stringContaining(message) });
  });

  it('missing and damaged captures keep their own error', async () => {
    const made = await datapath();
    await expect(made.ports.addType('a', 'pcap', { rx: '/does/not/exist' })).rejects.toMatchObject({
      code: 'ERR_PCAP_FILE',
    });
    const damaged = path.join(folder, 'damaged.pcap');
    writeFileSync(damaged, 'no capture at all, just text');
    await expect(made.ports.addType('b', 'pcap', { rx: damaged })).rejects.toMatchObject({ code: 'ERR_PCAP_MAGIC' });
    expect([...made.ports].length).toBe(0);
  });

  it('names and numbers are taken once', async () => {
    const made = await datapath();
    made.ports.add('a', { portNo: 5 });
    expect(() => made.ports.add('a')).toThrow('there is a port a already');
    expect(() => made.ports.add('b', { portNo: 5 })).toThrow('port number 5 is taken');
    expect(() => made.ports.add('c', { portNo: 1024 })).toThrow(RangeError);
    await expect(made.ports.remove('zz')).rejects.toMatchObject({ code: 'ERR_NO_SUCH_PORT' });
    expect(made.ports.add('d').portNo).toBe(1);
  });

  it('parses a SPEC', () => {
    expect(parsePortSpec('eth1,type=pcap,rx=a=b.pcap')).toEqual({
      name: 'eth1',
      type: 'pcap',
      options: { rx: 'a=b.pcap' },
    });
    expect(parsePortSpec('m')).toEqual({ name: 'm', type: 'interface', options: {} });
  });
});
