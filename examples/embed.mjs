/*
 * Embedding: a datapath inside a program, without threads. Three hosts on a learning switch; what each of them gets.
 *
 *   node examples/embed.mjs
 */
import { Datapath, learning, udpFrame } from 'wasm-datapath';

const datapath = await Datapath.open({ flows: 1024 });
const hosts = ['ann', 'bob', 'cid'].map((name) => datapath.ports.add(name));
await datapath.onUpcall(learning());

/** A frame from host `from` to host `to` (their numbers; the MAC address ends in it). */
function frame(from, to) {
  const bytes = udpFrame({ src: `10.0.0.${from}`, dst: `10.0.0.${to}`, srcPort: 1024, dstPort: 7 });
  bytes[5] = to;
  bytes[11] = from;
  return bytes;
}

function send(from, to) {
  datapath.process(hosts[from - 1], [frame(from, to)]);
  const got = hosts.filter((host) => host.receive().length > 0).map((host) => host.name);
  console.log(`${hosts[from - 1].name} -> ${hosts[to - 1].name}: received by ${got.join(' and ')}`);
}

send(1, 2); // nobody knows bob yet: flooded
send(2, 1); // ann has spoken: to her alone
send(1, 2); // and now bob is known too
for await (const flow of datapath.flows) console.log(flow.format(performance.now()));
await datapath.close();
