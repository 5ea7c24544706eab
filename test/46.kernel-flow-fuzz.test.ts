/*
 * Whatever is sent: random flows, whole and bent (those of test 63), as NEW, SET, GET and DEL by UFIDs and keys that meet, and as the metadata and
 * lists of EXECUTE on random frames. Nothing traps, every invariant holds, and a dump has as many flows as there are. SEED sets the seed, FUZZ the
 * number of messages of each kind.
 */
import { describe, expect, it } from 'vitest';
import { NLM_F_CREATE, NLM_F_ECHO } from '../src/netlink/index.ts';
import { attribute, concat } from './support/action-list.ts';
import { BUILDS, openDatapath, SEED, stepsOf } from './support/datapath.ts';
import { foreignFlows, limitFlows, type NamedFlow, randomFlows } from './support/flow-cases.ts';
import { FLOW, FlowSocket } from './support/flow-requests.ts';
import { Random } from './support/frame-generator.ts';
import { PacketSocket } from './support/packet-socket.ts';

const FUZZ = Number(process.env.FUZZ ?? 8_000);
const COMMANDS = [FLOW.NEW, FLOW.NEW, FLOW.NEW, FLOW.GET, FLOW.SET, FLOW.DEL];
const TYPES = [
  [0x08, 0x00, 0x45],
  [0x86, 0xdd, 0x60],
  [0x88, 0x47],
  [0x81, 0x00],
  [0x89, 0x4f],
  [0x08, 0x06],
];
const FRAME_SIZE_MIN = 15;

function randomRequest(random: Random, flow: NamedFlow) {
  return {
    ufid: random.oneIn(3) ? random.bytes(1 + random.below(17)).map((byte) => byte & 1) : undefined,
    ufidFlags: random.oneIn(4) ? random.below(16) : undefined,
    key: random.oneIn(20) ? undefined : flow.key,
    mask: flow.mask,
    actions: random.oneIn(10) ? undefined : flow.actions,
    clear: random.oneIn(3),
  };
}

describe.each(BUILDS)('messages about anything, %s', (build) => {
  const steps = stepsOf(build, FUZZ);

  it(`leave the flow table whole, ${steps} flows, SEED=${SEED}`, async () => {
    await using datapath = await openDatapath({ build, flows: 512 });
    const client = new FlowSocket(datapath);
    const random = new Random(SEED);
    const errnos = new Set<number>();
    const flows = [...randomFlows(SEED, steps, 'all'), ...foreignFlows(SEED, steps / 10), ...limitFlows()];
    for (const [index, flow] of flows.entries()) {
      const flags = random.pick([NLM_F_ECHO, NLM_F_ECHO | NLM_F_CREATE, 0]);
      errnos.add(client.ask(random.pick(COMMANDS), randomRequest(random, flow), flags).errno);
      if (index % 500 !== 0) continue;
      expect(datapath.check()).toBe(0);
      expect(client.dump(4096).length).toBe(datapath.flows.count);
    }
    expect(errnos.size).toBeGreaterThan(3);
  });

  it(`execute or are refused, ${steps} packets, SEED=${SEED}`, async () => {
    await using socket = await PacketSocket.open({ build });
    const random = new Random(SEED);
    let executed = 0;
    for (const flow of randomFlows(SEED + 1, steps, 'all')) {
      const frame = random.bytes(FRAME_SIZE_MIN + random.below(120));
      if (random.oneIn(2)) frame.set(random.pick(TYPES), 12);
      const list = concat(attribute(1, frame), attribute(2, flow.key), attribute(3, flow.actions));
      executed += socket.execute(list).errno === 0 ? 1 : 0;
    }
    expect(executed).toBeGreaterThan(0);
    expect(socket.datapath.check()).toBe(0);
  });
});
