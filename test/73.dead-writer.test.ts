/*
 * A writer that dies inside its section: what it left half done is repaired, by the host that learns of its death, or by the owner thread that
 * waits for the lock meanwhile.
 */
import { describe, expect, it } from 'vitest';
import * as C from '../assembly/constants.ts';
import { Datapath, staticRules } from '../src/index.ts';
import { parseRules } from '../src/upcall/static.ts';

const SLOT = 1;
const FLOWS = 600;

async function withFlows(): Promise<Datapath> {
  const datapath = await Datapath.open({ flows: 4096, workers: 1, build: 'debug' });
  for (let i = 0; i < FLOWS; i++) datapath.flows.put(matchOf(i), `${1 + (i % 3)}`);
  for (let i = 0; i < 40; i++) datapath.flows.delete(matchOf(i));
  return datapath;
}

const matchOf = (i: number): string =>
  `in_port(1),eth_type(0x0800),ipv4(src=10.0.${i >> 8}.${i & 255},proto=${i % 2 === 0 ? 17 : 6},frag=no)`;

/** Flow slots that are flows, first to last. */
function liveSlots(datapath: Datapath): number[] {
  const { memory } = datapath;
  const base = memory.superblock(C.SB_FLOWS);
  const all = Array.from({ length: memory.superblock(C.SB_FLOW_FRESH) }, (_, i) => base + i * C.FLOW_SIZEOF);
  return all.filter((flow) => memory.u32(flow + C.FLOW_SUBTABLE) !== 0);
}

/** The bucket and way in which a flow stands. */
function placeOf(datapath: Datapath, flow: number): { bucket: number; way: number } {
  const { memory } = datapath;
  const table = memory.u32(memory.u32(flow + C.FLOW_SUBTABLE) + C.SUBTABLE_TABLE);
  const first = table - (table & 63);
  for (let bucket = first; bucket < first + (C.BUCKET_SIZEOF << (table & 63)); bucket += C.BUCKET_SIZEOF) {
    for (let way = 0; way < C.BUCKET_WAYS; way++) {
      if (memory.bytes[bucket + way] !== 0 && memory.u32(bucket + C.BUCKET_REFS + way * 4) === flow)
        return { bucket, way };
    }
  }
  throw new Error('the flow is in no bucket');
}

/** The states that a death between two stores can leave behind. */
const halfDone: Record<string, (datapath: Datapath) => void> = {
  'nothing but the lock': () => {},
  'a flow that was not hung up yet': (datapath) => {
    const { bucket, way } = placeOf(datapath, liveSlots(datapath)[5]);
    datapath.memory.bytes[bucket + way] = 0;
  },
  'a flow that is gone and still in its table': (datapath) => {
    datapath.memory.setU32(liveSlots(datapath)[7] + C.FLOW_SUBTABLE, 0);
  },
  'counts that were not brought up to date': (datapath) => {
    const { memory } = datapath;
    const subtable = memory.u32(liveSlots(datapath)[0] + C.FLOW_SUBTABLE);
    memory.setU32(subtable + C.SUBTABLE_FLOWS, memory.u32(subtable + C.SUBTABLE_FLOWS) + 1);
    memory.setU32(C.SUPERBLOCK + C.SB_FLOW_COUNT, 1);
  },
  'marks of spilled entries that were not restored': (datapath) => {
    for (const flow of liveSlots(datapath))
      datapath.memory.bytes[placeOf(datapath, flow).bucket + C.BUCKET_SPILLED] = 0;
  },
  'queues whose ends are stale': (datapath) => {
    datapath.memory.setU32(C.SUPERBLOCK + C.SB_FLOW_RETIRED_TAIL, datapath.memory.superblock(C.SB_FLOWS));
    datapath.memory.setU32(C.SUPERBLOCK + C.SB_RETIRED_TAIL, 0);
    datapath.memory.setU32(C.SUPERBLOCK + C.SB_FLOW_FREE, 0);
  },
};

describe('a dead writer', () => {
  for (const [what, damage] of Object.entries(halfDone)) {
    it(`leaves ${what}: repaired, every whole flow is there`, async () => {
      const datapath = await withFlows();
      damage(datapath);
      const whole = liveSlots(datapath).length - (what.includes('not hung up') ? 1 : 0);
      datapath.memory.setU32(C.SUPERBLOCK + C.SB_WRITER, (77 << 8) | (SLOT + 1));
      datapath.memory.wasm.recoverWorker(SLOT);
      expect(datapath.memory.superblock(C.SB_WRITER)).toBe(0);
      expect(datapath.check()).toBe(0);
      expect(datapath.flows.count).toBe(whole);
      for (let i = 0; i < FLOWS; i++) datapath.flows.put(matchOf(i), '5');
      expect(datapath.flows.count).toBe(FLOWS);
      expect(datapath.flows.flush()).toBe(FLOWS);
      expect(datapath.check()).toBe(0);
      await datapath.close();
    });
  }

  it('does not hold up the owner thread for ever', async () => {
    const datapath = await withFlows();
    datapath.memory.setU32(C.SUPERBLOCK + C.SB_WRITER, (5 << 8) | (SLOT + 1));
    expect(datapath.flows.delete(matchOf(100))).toBe(true); // waits, takes the lock over, repairs
    expect(datapath.check()).toBe(0);
    await datapath.close();
  });

  it('killed again and again while it installs flows by rules', async () => {
    const datapath = await Datapath.open({ flows: 2048, workers: 1, idleTimeoutMs: 0 });
    await datapath.ports.addSpec('g,type=generator,flows=20000');
    await datapath.ports.addSpec('n,type=null');
    const rules = parseRules(
      'eth_type(0x0800),ipv4(src=10.0.0.0/255.255.255.255,frag=no) actions:2\npriority=0 actions:2',
      'rules',
    );
    await datapath.onUpcall(staticRules(rules));
    await datapath.start();
    const state = datapath.memory.workerArea(SLOT) + C.WORKER_STATE;
    const until = async (done: () => boolean): Promise<void> => {
      while (!done()) await new Promise((resolve) => setTimeout(resolve, 2));
    };
    for (let kill = 1; kill <= 12; kill++) {
      await until(() => datapath.memory.u32(state) === C.WORKER_POLLING);
      for (let i = 0; i < 3; i++) {
        datapath.flows.flush();
        await new Promise((resolve) => setTimeout(resolve, 2));
      }
      await datapath.pool?.kill(SLOT);
      await until(() => datapath.stats().workersLost === kill);
    }
    await datapath.stop();
    expect(datapath.check()).toBe(0);
    const before = datapath.stats();
    expect(before.received).toBe(
      before.hits.emc + before.hits.megaflow + before.misses + before.drops.rxShort + before.drops.workerLost,
    );
    await datapath.close();
    expect(datapath.stats().upcallsPending).toBe(0);
  });
});
