/*
 * Numbered frames of a few flows, sent as fast as can be through a datapath of two workers, between which the queues of the first interface change all the time.
 * Prints what came out of order and what was counted on all sides, as JSON.
 *
 *     unshare -n node lab-order.mjs afpacket[,OPTION...] | afxdp[,OPTION...] SECONDS
 *     node lab-order.mjs send                  the sending host's program
 *     node lab-order.mjs receive               the other's
 *
 * A wire keeps what it is given in its order only when one thread takes it off: the second one has a single queue, polled in one place (NAPI, by GRO).
 */
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { Datapath } from '../../dist/src/index.js';
import { flowTuple, udpFrame } from '../../dist/src/ports/frames.js';
import { Lab, told } from './lab.mjs';
import { datapathByFlows, drained, hostWithQueues, portAccounts } from './lab-exercise.mjs';

const QUEUES = 4;
const FLOWS = 8;
const SIZE = 60;
/** Flow and number stand in the last bytes of a frame: two of them, and four. */
const FLOW_AT = SIZE - 6;
const NUMBER_AT = SIZE - 4;
const BURST = 64;
const PAUSE_MS = 2;
const MARK = 0x5eed;
/** So often queues move at least, however long that takes. */
const MOVES_MIN = 30;

/** A datapath of one port on eth0 and one in memory, on this thread. */
async function endOfWire(from, to, options) {
  const datapath = await Datapath.open({ idleTimeoutMs: 0 });
  await datapath.ports.addType('eth0', 'afpacket', options, { portNo: 1 });
  const inside = datapath.ports.add('inside', { portNo: 2, slots: 8192, frameSize: 128 });
  datapath.flows.put(`in_port(${from})`, String(to));
  return { datapath, inside };
}

async function untilInputEnds(turn) {
  let ended = false;
  process.stdin.resume();
  once(process.stdin, 'end').then(() => {
    ended = true;
  });
  process.stdout.write('ready\n');
  while (!ended) {
    for (let i = 0; i < 50; i++) turn();
    await new Promise(setImmediate);
  }
}

async function send() {
  const { datapath, inside } = await endOfWire(2, 1, { tx: 'socket' });
  const frames = Array.from({ length: FLOWS }, (_, flow) => {
    const frame = udpFrame(flowTuple(flow), SIZE);
    const view = new DataView(frame.buffer, frame.byteOffset);
    view.setUint16(40, 0); // no checksum: the numbers change
    view.setUint16(FLOW_AT, MARK + flow);
    return { frame, view, number: 0 };
  });
  let next = 0;
  await untilInputEnds(() => {
    for (let i = 0; i < BURST; i++) {
      const one = frames[next];
      one.view.setUint32(NUMBER_AT, one.number);
      if (!inside.send(one.frame)) break;
      one.number++;
      next = (next + 1) % FLOWS;
    }
    datapath.poll();
  });
  await datapath.close();
  process.stdout.write(`${JSON.stringify({ sent: frames.map(({ number }) => number) })}\n`);
}

async function receive() {
  const { datapath, inside } = await endOfWire(1, 2, { frames: 32768 });
  const flows = Array.from({ length: FLOWS }, () => ({ count: 0, last: -1, late: [] }));
  const take = (data) => {
    const view = new DataView(data.buffer, data.byteOffset, data.length);
    const flow = data.length >= SIZE ? flows[view.getUint16(FLOW_AT) - MARK] : undefined;
    if (flow === undefined) return;
    const number = view.getUint32(NUMBER_AT);
    flow.count++;
    if (number <= flow.last) flow.late.push([flow.last, number]);
    flow.last = Math.max(flow.last, number);
  };
  await untilInputEnds(() => {
    datapath.poll();
    inside.drain(take);
  });
  const { kernelDrops } = datapath.ports.get('eth0');
  await datapath.close();
  const late = flows.flatMap((flow) => flow.late.slice(0, 5));
  const [counts, lateCount] = [flows.map(({ count }) => count), flows.reduce((sum, flow) => sum + flow.late.length, 0)];
  process.stdout.write(`${JSON.stringify({ counts, lateCount, late, kernelDrops })}\n`);
}

/** Two hosts; the wire of the first one has several queues. */
function hostsOf(lab) {
  return [1, 2].map((n) => {
    const host = hostWithQueues(lab, n, n === 1 ? QUEUES : 1);
    if (n === 2) lab.run(host, 'ethtool', '-K', 'eth0', 'gro', 'on');
    return host;
  });
}

async function main(backend, seconds) {
  const lab = new Lab();
  const [from, to] = hostsOf(lab);
  const datapath = await datapathByFlows(lab, backend, { workers: 2 });
  const program = new URL(import.meta.url).pathname;
  const receiver = lab.start(to, process.execPath, program, 'receive');
  await receiver.printed('ready');
  const sender = lab.start(from, process.execPath, program, 'send');
  await sender.printed('ready');
  const begin = performance.now();
  let moves = 0;
  while (performance.now() < begin + seconds * 1000 || moves < MOVES_MIN) {
    for (const { port, queue, worker } of datapath.queues.list()) {
      if (port !== 'h1') continue;
      await datapath.queues.move(port, queue, 3 - worker);
      moves++;
    }
    await sleep(PAUSE_MS);
  }
  sender.child.stdin.end();
  const { sent } = told(await sender.ended);
  await drained(lab, datapath);
  receiver.child.stdin.end();
  const received = told(await receiver.ended);
  await datapath.stop();
  const ports = portAccounts(lab, datapath);
  const [stats, check] = [datapath.stats(), datapath.check()];
  await datapath.close();
  lab.close();
  process.stdout.write(`${JSON.stringify({ moves, sent, received, ports, stats, check })}\n`);
}

const [, , what, seconds] = process.argv;
const programs = { send, receive };
await (programs[what]?.() ?? main(what, Number(seconds)));
