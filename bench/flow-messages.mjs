#!/usr/bin/env node
/*
 * flow-messages: flows put, dumped and removed by messages to the WASM kernel, a second: the messages are written before, copied into the datapath's memory
 * a datagram at a time and handled there; answers are counted. What a client does to write requests and read flows is not in it, unless it is asked for:
 * with `--by dpif` the same flows are operations of a Dpif, and dumped flows are its records, all of whose parts are looked at.
 *
 *   bench/flow-messages.mjs [--flows N] [--masks M] [--batch B] [--name ufid|key] [--by message|dpif] [--rounds R] [--json]
 *
 * A flow is that of a typical put: ten attributes of key and mask, a UFID or none, one output; `--masks` spreads them over masks that differ in the
 * length of an address prefix. Every flow put must be dumped and must be gone in the end, or the benchmark fails. Printed are the median round and the
 * fastest, by the processor time of this process. Needs the built package (npm run build).
 */
import { parseArgs } from 'node:util';

const { values } = parseArgs({
  options: {
    flows: { type: 'string', default: '100000' },
    masks: { type: 'string', default: '1' },
    batch: { type: 'string', default: '64' },
    name: { type: 'string', default: 'ufid' },
    by: { type: 'string', default: 'message' },
    rounds: { type: 'string', default: '5' },
    json: { type: 'boolean', default: false },
  },
});
const [flows, masks, batch, rounds] = [values.flows, values.masks, values.batch, values.rounds].map(Number);
const areNumbers = flows > 0 && masks > 0 && masks <= 24 && batch > 0 && rounds > 0;
if (!(areNumbers && ['ufid', 'key'].includes(values.name) && ['message', 'dpif'].includes(values.by))) {
  process.stderr.write(
    'flow-messages: --flows, --masks (24 at most), --batch and --rounds take numbers above 0, --name ufid or key, --by message or dpif\n',
  );
  process.exit(2);
}

const C = await import('../dist/assembly/constants.js');
const { FAMILY_DATAPATH, FAMILY_FLOW } = await import('../dist/assembly/kernel/families.js');
const OVS = await import('../dist/assembly/netlink/openvswitch.js');
const { DPIF_FP_CREATE, Dpif } = await import('../dist/src/dpif/index.js');
const { Datapath } = await import('../dist/src/index.js');
const { encodeKeyAttributes, encodeMatchAttributes, parseKey, parseMatch } = await import('../dist/src/odp/index.js');

const [NLM_F_REQUEST, NLM_F_ACK, NLM_F_DUMP, NLM_F_CREATE] = [1, 4, 0x300, 0x400];
const ROOM = 1 << 20;
const IFINDEX = 7;

const attribute = (type, payload) => {
  const bytes = Buffer.alloc((4 + payload.length + 3) & ~3);
  bytes.writeUInt16LE(4 + payload.length, 0);
  bytes.writeUInt16LE(type, 2);
  bytes.set(payload, 4);
  return bytes;
};
const u32 = (value) => new Uint8Array(Uint32Array.of(value).buffer);

function message(family, version, command, flags, ifindex, attributes) {
  const head = Buffer.alloc(24);
  const body = Buffer.concat(attributes);
  head.writeUInt32LE(24 + body.length, 0);
  head.writeUInt16LE(family, 4);
  head.writeUInt16LE(NLM_F_REQUEST | flags, 6);
  head.writeUInt8(command, 16);
  head.writeUInt8(version, 17);
  head.writeInt32LE(ifindex, 20);
  return Buffer.concat([head, body]);
}

const ACTIONS = attribute(OVS.OVS_ACTION_ATTR_OUTPUT, u32(2));
const headers = (a, mask) =>
  `recirc_id(0),in_port(1),eth(src=02:00:00:00:01:01,dst=02:00:00:00:02:02),eth_type(0x0800),ipv4(src=${a}${mask},dst=192.168.7.7,proto=6,tos=0,ttl=64,frag=no),tcp(src=40000,dst=443),tcp_flags(psh|ack)`;
/** Where the key of a flow has its source address: the attribute IPV4 is found once, the rest of the message is the same for all. */
const IPV4 = 7;

function ipv4At(list) {
  for (let at = 0; at < list.length; at += (list.readUInt16LE(at) + 3) & ~3)
    if (list.readUInt16LE(at + 2) === IPV4) return at + 4;
  throw new Error('no IPV4 in the key');
}

/** Every flow in its turn: `visit` gets key, mask and UFID as attributes; key and UFID are the same bytes each time. */
function eachFlow(visit) {
  const kinds = Array.from({ length: masks }, (_, i) => {
    const prefix = i === 0 ? '' : `/255.255.255.${256 - (1 << (i % 8))}`;
    return Buffer.from(encodeMatchAttributes(parseMatch(headers('10.0.0.0', prefix))).mask);
  });
  const key = Buffer.from(encodeKeyAttributes(parseKey(headers('10.0.0.0', ''))));
  const source = ipv4At(key);
  const ufid = Buffer.alloc(16);
  for (let i = 0; i < flows; i++) {
    key.writeUInt32BE(0x0a000000 + (i << (masks > 1 ? 8 : 0)), source);
    ufid.writeUInt32LE((i * 2654435761) % 4294967296, 0);
    ufid.writeUInt32LE(i, 4);
    visit(key, kinds[i % masks], values.name === 'ufid' ? ufid : undefined);
  }
}

/** One list of `batch` things after the other. */
function* batches(list) {
  for (let first = 0; first < list.length; first += batch) yield list.slice(first, first + batch);
}

/** By messages: a datagram a batch. */
function messageDriver(client) {
  const put = [];
  const remove = [];
  eachFlow((key, mask, ufid) => {
    const keyAttribute = attribute(OVS.OVS_FLOW_ATTR_KEY, key);
    const name = ufid ? [attribute(OVS.OVS_FLOW_ATTR_UFID, ufid)] : [];
    const actions = attribute(OVS.OVS_FLOW_ATTR_ACTIONS, ACTIONS);
    const parts = [...name, keyAttribute, attribute(OVS.OVS_FLOW_ATTR_MASK, mask), actions];
    put.push(message(FAMILY_FLOW, 1, OVS.OVS_FLOW_CMD_NEW, NLM_F_CREATE | NLM_F_ACK, IFINDEX, parts));
    remove.push(message(FAMILY_FLOW, 1, OVS.OVS_FLOW_CMD_DEL, NLM_F_ACK, IFINDEX, ufid ? name : [keyAttribute]));
  });
  const datagrams = (list) => Array.from(batches(list), (part) => Buffer.concat(part));
  const sendAll = (list) => list.reduce((sum, datagram) => sum + client.send(datagram), 0);
  const lists = { put: datagrams(put), remove: datagrams(remove) };
  return {
    put: () => sendAll(lists.put),
    dump: () => client.dump(0),
    dumpTerse: () => client.dump(7),
    remove: () => sendAll(lists.remove),
  };
}

/** By operations of a Dpif, and records that it makes. */
function dpifDriver(dpif) {
  const puts = [];
  const removals = [];
  eachFlow((sharedKey, mask, sharedUfid) => {
    const key = new Uint8Array(sharedKey);
    const name = sharedUfid && { ufid: new Uint8Array(sharedUfid) };
    puts.push({ type: 'flow_put', flags: DPIF_FP_CREATE, key, mask: new Uint8Array(mask), actions: ACTIONS, ...name });
    removals.push({ type: 'flow_del', ...(name ?? { key }) });
  });
  const operate = (ops) => {
    let done = 0;
    for (const part of batches(ops)) {
      dpif.operate(part);
      for (const { error } of part) if (error === undefined) done++;
    }
    return done;
  };
  const dump = (options) => {
    let count = 0;
    let size = 0;
    for (const { key, mask, actions, ufid, stats } of dpif.flowDump(options)) {
      size += (key?.length ?? 0) + (mask?.length ?? 0) + (actions?.length ?? 0) + (ufid?.length ?? 0);
      if (stats.packets === 0n) count++;
    }
    return size > 0 ? count : 0;
  };
  return {
    put: () => operate(puts),
    dump: () => dump({}),
    dumpTerse: () => dump({ terse: true }),
    remove: () => operate(removals),
  };
}

class Client {
  constructor(datapath) {
    this.memory = datapath.memory;
    this.socket = this.memory.wasm.openSocket(1, C.SOCKET_ADMIN) >>> 0;
    this.in = this.memory.allocate(ROOM, 'requests');
    this.out = this.memory.allocate(ROOM, 'answers');
    this.refused = 0;
  }

  /** Handles one datagram; returns how many messages came back. */
  send(datagram) {
    const { memory, in: start, out } = this;
    memory.bytes.set(datagram, start);
    const end = start + datagram.length;
    let count = 0;
    for (let at = start; at < end; at = memory.u32(this.socket + C.SOCKET_NEXT)) {
      count += this.count(memory.wasm.handleMessages(this.socket, at, end - at, out, out + ROOM) >>> 0);
    }
    return count;
  }

  count(end) {
    const { memory } = this;
    let count = 0;
    for (let at = this.out; at < end; at += C.NL_MMAP_HDRLEN + ((memory.u32(at + C.NL_MMAP_LEN) + 3) & ~3)) {
      const type = memory.u32(at + C.NL_MMAP_HDRLEN + 4) & 0xffff;
      if (type === 2 && memory.u32(at + C.NL_MMAP_HDRLEN + 16) !== 0) this.refused++;
      count++;
    }
    return count;
  }

  /** Dumps all flows; returns how many, each message walked over and given to `look`. */
  dump(ufidFlags, look = () => {}) {
    const { memory, out } = this;
    const flags = ufidFlags === 0 ? [] : [attribute(OVS.OVS_FLOW_ATTR_UFID_FLAGS, u32(ufidFlags))];
    const request = message(FAMILY_FLOW, 1, OVS.OVS_FLOW_CMD_GET, NLM_F_DUMP, IFINDEX, flags);
    memory.bytes.set(request, this.in);
    let end = memory.wasm.handleMessages(this.socket, this.in, request.length, out, out + ROOM) >>> 0;
    let count = 0;
    for (;;) {
      const size = memory.u32(out + C.NL_MMAP_LEN);
      const first = out + C.NL_MMAP_HDRLEN;
      for (let at = first; at < first + size; at += (memory.u32(at) + 3) & ~3) {
        if ((memory.u32(at + 4) & 0xffff) !== FAMILY_FLOW) continue;
        look(at, memory.u32(at));
        count++;
      }
      if (memory.u32(this.socket + C.SOCKET_DUMP) === 0) return count;
      end = memory.wasm.continueDump(this.socket, out, out + ROOM) >>> 0;
      if (end === out) return count;
    }
  }
}

const datapath = await Datapath.open({
  flows: flows + 64,
  idleTimeoutMs: 0,
  dpIfindex: IFINDEX,
  arenaSize: (256 << 20) + flows * 256,
});
const client = new Client(datapath);
const attributes = [
  attribute(OVS.OVS_DP_ATTR_NAME, Buffer.from('dp0\0')),
  attribute(OVS.OVS_DP_ATTR_UPCALL_PID, u32(1)),
];
client.send(message(FAMILY_DATAPATH, 2, OVS.OVS_DP_CMD_NEW, NLM_F_ACK, 0, attributes));
client.refused = 0;
const driver = values.by === 'dpif' ? dpifDriver(Dpif.open(`netdev@${datapath.name}`)) : messageDriver(client);

/** Of all that is dumped, in whatever order. */
function checksumOfFlows() {
  let sum = 0;
  client.dump(0, (at, size) => {
    let hash = 0;
    for (let word = at + 24; word < at + size; word += 4) hash = (Math.imul(hash, 31) + client.memory.u32(word)) >>> 0;
    sum = (sum + hash) >>> 0;
  });
  return sum.toString(16);
}

const rates = { puts: [], dumped: [], dumpedTerse: [], removed: [] };
function timed(name, run, wanted) {
  const start = process.cpuUsage();
  const count = run();
  const { user, system } = process.cpuUsage(start);
  const seconds = (user + system) / 1e6;
  if (count !== wanted || client.refused !== 0)
    throw new Error(`${name}: ${count} of ${wanted}, ${client.refused} refused`);
  rates[name].push(count / seconds);
}
let bytesPerFlow = 0;
let checksum = '';
for (let round = 0; round <= rounds; round++) {
  const before = datapath.memory.superblock(C.SB_ARENA_USED);
  timed('puts', driver.put, flows);
  bytesPerFlow = (datapath.memory.superblock(C.SB_ARENA_USED) - before) / flows;
  if (round === 0) checksum = checksumOfFlows();
  timed('dumped', driver.dump, flows);
  timed('dumpedTerse', driver.dumpTerse, flows);
  timed('removed', driver.remove, flows);
  if (round === 0) for (const list of Object.values(rates)) list.length = 0; // for the compiler
}
if (datapath.check() !== 0 || datapath.flows.count !== 0) throw new Error('flows are left, or an invariant is broken');
const { machine } = await import('../dist/src/bench/machine.js');
const result = {
  bench: 'flow-messages',
  flows,
  masks,
  batch,
  name: values.name,
  by: values.by,
  bytesInArena: Math.round(bytesPerFlow),
  checksum,
};
for (const [name, list] of Object.entries(rates)) {
  list.sort((a, b) => a - b);
  result[name] = Math.round(list[list.length >> 1]);
  result[`${name}Max`] = Math.round(list.at(-1));
}
await datapath.close();
if (values.json) console.log(JSON.stringify({ ...result, machine: machine(), node: process.version }));
else
  for (const [name, value] of Object.entries(result))
    console.log(`${name.padEnd(16)}${typeof value === 'number' ? value.toLocaleString('en') : value}`);
