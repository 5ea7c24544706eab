#!/usr/bin/env node
/*
 * odp: what one key costs between its forms: text, attributes, flat, typed. The key is that of a typical flow put: recirc_id, in_port, eth,
 * eth_type, vlan, encap, eth_type, ipv4, tcp, tcp_flags, ten attributes; exact, and as a match with every field under its whole mask. The last rows
 * are the decoder of the WASM kernel, which a flow put by message meets, called from here.
 *
 *   bench/odp.mjs [--count N] [--repeat R] [--only PATTERN] [--json]
 *
 * Each row is R rounds of N calls over 64 keys that differ in address and port; printed are the fastest round and the median, in processor
 * time (user and system, garbage collection included) a call. Needs the built package (npm run build).
 */
import { parseArgs } from 'node:util';

const KEYS = 64;

/** The ten attributes of key `index`. */
function keyText(index) {
  const host = index.toString(16).padStart(2, '0');
  const inner = [
    'eth_type(0x0800)',
    `ipv4(src=10.1.2.${index},dst=192.168.${index}.7,proto=6,tos=0,ttl=64,frag=no)`,
    `tcp(src=${40000 + index},dst=443)`,
    'tcp_flags(psh|ack)',
  ];
  return `recirc_id(0),in_port(${index + 1}),eth(src=02:00:00:00:01:${host},dst=02:00:00:00:02:${host}),eth_type(0x8100),vlan(vid=${100 + index},pcp=0),encap(${inner})`;
}

/** Each row takes one key in all its forms and gives a number that follows from the result. */
function rowsOf(odp) {
  const listSum = (bytes) => bytes.length + bytes[bytes.length - 6];
  const flatSum = (bytes) => bytes[0] + bytes.length;
  return {
    formatKey: ({ flat }) => odp.formatKey(flat).length,
    parseKey: ({ text }) => flatSum(odp.parseKey(text)),
    formatMatch: ({ match }) => odp.formatMatch(match.key, match.mask).length,
    parseMatch: ({ matchText }) => flatSum(odp.parseMatch(matchText).mask),
    'formatKeyAttributes, key': ({ list }) => odp.formatKeyAttributes(list).length,
    'formatKeyAttributes, key and mask': ({ lists }) => odp.formatKeyAttributes(lists.key, lists.mask).length,
    parseKeyAttributes: ({ text }) => listSum(odp.parseKeyAttributes(text).key),
    encodeKeyAttributes: ({ flat }) => listSum(odp.encodeKeyAttributes(flat)),
    decodeKeyAttributes: ({ list }) => flatSum(odp.decodeKeyAttributes(list).key),
    encodeMatchAttributes: ({ match }) => listSum(odp.encodeMatchAttributes(match).mask),
    decodeMatchAttributes: ({ lists }) => flatSum(odp.decodeMatchAttributes(lists.key, lists.mask).mask),
    'encodeKey (typed)': ({ typed }) => flatSum(odp.encodeKey(typed)),
    'decodeKey (typed)': ({ flat }) => odp.decodeKey(flat).tcp.src,
    'encodeMatch (typed)': ({ typedMatch }) => flatSum(odp.encodeMatch(typedMatch).mask),
    'decodeMatch (typed)': ({ match }) => odp.decodeMatch(match.key, match.mask).tcp.src,
    flowUfid: ({ list }) => odp.flowUfid(list)[3],
  };
}

/** The same in WASM; the lists lie in the memory of `datapath`. */
function wasmRowsOf({ memory }, C, forms) {
  const place = (bytes) => {
    const at = memory.allocate(bytes.length, 'a list');
    memory.bytes.set(bytes, at);
    return at;
  };
  const [key, mask, match] = [C.KEY_SIZE, C.KEY_SIZE, C.MATCH_SIZEOF].map((size) => memory.allocate(size, 'a key'));
  for (const form of forms) form.at = { key: place(form.lists.key), mask: place(form.lists.mask) };
  const { wasm, bytes } = memory;
  const sum = (status) => status + bytes[key + C.KEY_TP_SRC + 1] + bytes[mask + C.KEY_TP_DST];
  return {
    'WASM: key and mask': ({ at, lists }) =>
      sum(wasm.parseMatch(at.key, lists.key.length, at.mask, lists.mask.length, key, mask, match)),
    'WASM: key, matched whole': ({ at, lists }) =>
      sum(wasm.parseMatch(at.key, lists.key.length, 0, 0, key, mask, match)),
  };
}

/** The string as it comes out of a file or a socket: in one piece. */
function flatString(text) {
  return Buffer.from(text).toString('latin1');
}

/** A key in every form. */
function formsOf(odp, index) {
  const text = flatString(keyText(index));
  const flat = odp.parseKey(text);
  const match = odp.parseMatch(text);
  return {
    text,
    flat,
    match,
    matchText: flatString(odp.formatMatch(match.key, match.mask)),
    list: odp.encodeKeyAttributes(flat),
    lists: odp.encodeMatchAttributes(match),
    typed: odp.decodeKey(flat),
    typedMatch: odp.decodeMatch(match.key, match.mask),
  };
}

/** Nanoseconds of processor time a call, of each round, the fastest first. */
function measure(call, forms, count, repeat) {
  let checksum = 0;
  const rounds = [];
  for (let round = 0; round <= repeat; round++) {
    const start = process.cpuUsage();
    for (let i = 0; i < count; i++) checksum = (Math.imul(checksum, 31) + call(forms[i % KEYS])) >>> 0;
    const { user, system } = process.cpuUsage(start);
    // The first round is for the compiler.
    if (round > 0) rounds.push(((user + system) * 1000) / count);
  }
  return { rounds: rounds.sort((a, b) => a - b), checksum };
}

const { values } = parseArgs({
  options: {
    count: { type: 'string', default: '20000' },
    repeat: { type: 'string', default: '15' },
    only: { type: 'string', default: '' },
    json: { type: 'boolean', default: false },
  },
});
const [count, repeat] = [values.count, values.repeat].map(Number);
if (!(count > 0 && repeat > 0)) {
  process.stderr.write('odp: --count and --repeat take numbers above 0\n');
  process.exit(2);
}
const odp = await import('../dist/src/odp/index.js');
const forms = Array.from({ length: KEYS }, (_, index) => formsOf(odp, index));
const [{ Datapath }, C] = await Promise.all([import('../dist/src/index.js'), import('../dist/assembly/constants.js')]);
const datapath = await Datapath.open({ flows: KEYS });
const rows = [];
for (const [name, call] of Object.entries({ ...rowsOf(odp), ...wasmRowsOf(datapath, C, forms) })) {
  if (!new RegExp(values.only).test(name)) continue;
  const { rounds, checksum } = measure(call, forms, count, repeat);
  rows.push({ name, nsMin: Math.round(rounds[0]), nsMedian: Math.round(rounds[repeat >> 1]), checksum });
}
await datapath.close();
if (values.json) {
  const { machine } = await import('../dist/src/bench/machine.js');
  process.stdout.write(
    `${JSON.stringify({ bench: 'odp', count, repeat, rows, machine: machine(), node: process.version })}\n`,
  );
} else {
  for (const { name, nsMin, nsMedian, checksum } of rows)
    console.log(
      `${name.padEnd(36)}${String(nsMin).padStart(7)} ns${String(nsMedian).padStart(7)} ns   checksum ${checksum}`,
    );
}
