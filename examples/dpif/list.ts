/*
 * The datapaths that there are, with their ports and flows, on either provider: the kernel's, and those of this program.
 *
 *   node examples/dpif/list.ts [NAME...]      Node.js 22.18 or later
 *   npm run example -- dpif/list [NAME...]    any
 *
 * A NAME is [TYPE@]NAME, as `wdp dump-dps` prints it; without one all are listed. `netdev` datapaths live in the program that made them, so this one makes a
 * small one first. The kernel's can be looked at without privilege where openvswitch.ko is loaded.
 */
import { Datapath, formatActions, formatKeyAttributes } from 'wasm-datapath';
import { DatapathError, Dpif } from 'wasm-datapath/dpif';

await using demo = await Datapath.open({ name: 'demo' });
demo.ports.add('ann');
demo.ports.add('bob');
demo.flows.put('in_port(1)', '2');
demo.flows.put('in_port(2)', '1');

const names = process.argv.slice(2);
for (const name of names.length > 0 ? names : all()) show(name);

function all(): string[] {
  return Dpif.types().flatMap((type) => {
    try {
      return Dpif.enumerate(type).map((name) => `${type}@${name}`);
    } catch (error) {
      if (!(error instanceof DatapathError)) throw error;
      console.log(`${type}: ${error.message}`);
      return [];
    }
  });
}

function show(name: string): void {
  using dpif = Dpif.open(name);
  const { hits, missed, lost, flows } = dpif.stats();
  console.log(`${dpif.fullName}: ${flows} flows; ${hits} hits, ${missed} misses, ${lost} lost`);
  for (const { portNo, name, type } of dpif.ports()) {
    const { rxPackets, txPackets } = dpif.portStats(portNo);
    console.log(`  port ${portNo}: ${name} (${type}), ${rxPackets} packets in, ${txPackets} out`);
  }
  for (const { key, mask, actions, stats } of dpif.flowDump()) {
    const match = formatKeyAttributes(key ?? new Uint8Array(0), mask);
    console.log(`  ${match}, packets:${stats.packets}, actions:${formatActions(actions ?? new Uint8Array(0))}`);
  }
}
