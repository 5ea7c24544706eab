/*
 * Messages about flows while a worker installs flows by rules and hits them: what messages put stays and is dumped once, whatever the worker does
 * meanwhile; counts that are cleared never fall below zero; and in the end everything is whole and accounted for. ROUNDS sets how long it goes on.
 */
import { describe, expect, it } from 'vitest';
import { staticRules } from '../src/index.ts';
import { NLM_F_CREATE } from '../src/netlink/index.ts';
import { parseRules } from '../src/upcall/static.ts';
import { attribute, concat, le32 } from './support/action-list.ts';
import { BUILDS, expectAccounted, openDatapath } from './support/datapath.ts';
import { FLOW, FlowSocket } from './support/flow-requests.ts';

const ROUNDS = Number(process.env.ROUNDS ?? 60);
const OWN = 50;
const FLOWS = 3000;
const OMIT_ALL = 7;
/** More than can be counted here, and less than a difference below zero. */
const COUNT_MAX = 2 ** 48;

const ufidOf = (number: number): Uint8Array => new Uint8Array(16).fill(number + 1);
const keyOf = (number: number): Uint8Array =>
  concat(attribute(3, le32(9)), attribute(4, [2, 0, 0, 0, 0, number, 2, 0, 0, 0, 0, 9]), attribute(6, [0x12, 0x34]));
const ACTIONS = attribute(1, le32(2));

describe.each(BUILDS)('flows by messages beside a worker, %s', (build) => {
  it('stay, are dumped once and count right', async () => {
    await using datapath = await openDatapath({ build, workers: 1, flows: FLOWS + OWN + 64 });
    await datapath.ports.addSpec(`g,type=generator,flows=${FLOWS}`);
    await datapath.ports.addSpec('n,type=null');
    await datapath.onUpcall(staticRules(parseRules('eth_type(0x0800),ipv4(frag=no) actions:2', 'rules')));
    const client = new FlowSocket(datapath);
    const other = new FlowSocket(datapath);
    for (let i = 0; i < OWN; i++)
      expect(client.ask(FLOW.NEW, { ufid: ufidOf(i), key: keyOf(i), actions: ACTIONS }, NLM_F_CREATE).errno).toBe(0);
    await datapath.start();
    const names = new Set(Array.from({ length: OWN }, (_, i) => String(ufidOf(i))));
    for (let round = 0; round < ROUNDS; round++) {
      const shown = client.dump(1 << 14, round % 2 === 0 ? OMIT_ALL : 0, () => {
        const [{ ufid } = { ufid: undefined }] = other
          .dump(4096, OMIT_ALL)
          .filter((flow) => !names.has(String(flow.ufid)));
        if (ufid === undefined) return;
        const before = other.ask(FLOW.GET, { ufid });
        other.ask(FLOW.SET, { ufid, clear: true });
        const after = other.ask(FLOW.GET, { ufid });
        for (const { packets, bytes } of [...before.flows, ...after.flows])
          expect(packets + bytes).toBeLessThan(COUNT_MAX);
        if (round % 3 === 0) other.ask(FLOW.DEL, { ufid });
      });
      const own = shown.filter(({ ufid }) => names.has(String(ufid)));
      expect(own.length).toBe(OWN);
      expect(new Set(shown.map(({ ufid }) => String(ufid))).size).toBe(shown.length);
      if (round % 10 === 9) await new Promise((resolve) => setTimeout(resolve, 5));
    }
    await datapath.stop();
    expect(datapath.check()).toBe(0);
    expectAccounted(datapath.stats());
    expect(datapath.stats().installed).toBeGreaterThan(0);
  });
});
