/*
 * A learning switch on either provider: the kernel's datapath, or one in this program. The handler is the same; only the name says where the packets go.
 *
 *   node examples/dpif/learning-switch.ts system@sw eth1 eth2        openvswitch.ko forwards
 *   node examples/dpif/learning-switch.ts netdev@sw eth1 eth2        this program forwards, by AF_PACKET
 *   npm run example -- dpif/learning-switch ...                      any Node.js; `--for SECONDS` ends it by itself
 *
 * Needs CAP_NET_ADMIN, and CAP_NET_RAW for netdev. What is learnt is printed when the switch ends (Ctrl-C), with the flows that it has then.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { formatActions, formatKeyAttributes, learning } from 'wasm-datapath';
import { Dpif } from 'wasm-datapath/dpif';

const { values, positionals } = parseArgs({ allowPositionals: true, options: { for: { type: 'string' } } });
const [name, ...ports] = positionals;
if (name === undefined || ports.length === 0) {
  console.error('usage: learning-switch [TYPE@]NAME INTERFACE... [--for SECONDS]');
  process.exit(2);
}

const stop = new AbortController();
process.once('SIGINT', () => stop.abort());

const dpif = Dpif.createAndOpen(name);
try {
  for (const port of ports) if (!dpif.portExists(port)) dpif.portAdd({ name: port });
  await dpif.onUpcall(learning(), { onEvent: (event) => console.error(event) });
  console.log(`${dpif.fullName} switches ${ports.join(', ')}`);
  const seconds = values.for === undefined ? 2_000_000 : Number(values.for);
  await sleep(seconds * 1000, undefined, { signal: stop.signal }).catch(() => undefined);
  for await (const { key, mask, actions, stats } of dpif.flowDump()) {
    const match = formatKeyAttributes(key ?? new Uint8Array(0), mask);
    console.log(`${match}, packets:${stats.packets}, actions:${formatActions(actions ?? new Uint8Array(0))}`);
  }
  const { hits, missed, lost } = dpif.stats();
  console.log(`${hits} packets by flows, ${missed} by the handler, ${lost} lost`);
} finally {
  await dpif.onUpcall(undefined);
  dpif.destroy();
  dpif.close();
}
