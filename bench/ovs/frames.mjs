#!/usr/bin/env node
/*
 * frames: writes the traffic of one workload (a pcap file) and the OpenFlow rules that go with it.
 *
 * First step of the peer benchmark: `run` calls it, Open vSwitch's pcap port replays the file and ovs-ofctl loads the
 * rules. README.md describes the frames byte by byte, so that another program can make the very same ones; nothing
 * here is random. Files are written in chunks, so a million frames need no million buffers.
 *
 *   frames.mjs flows N        PCAP [RULES]    N flows, one rule each on the source address
 *   frames.mjs wide N         PCAP [RULES]    the frames of `flows`, one rule for all
 *   frames.mjs sub S N        PCAP [RULES]    N flows over S masks, frame i in class i % S
 *   frames.mjs tse A B C      PCAP [RULES]    A*B*C frames, every one of which needs a mask of its own
 *   --part K/M                                only the frames of part K (from 0) of M: one file a port
 */
import { closeSync, openSync, writeSync } from 'node:fs';

const FRAME_SIZE = 60;
const RECORD_SIZE = 16 + FRAME_SIZE;
const CHUNK_FRAMES = 4096;
const CHUNK_RULES = 4096;
const ETH_SIZE = 14;
const IP_SIZE = 20;
const UDP_SIZE = FRAME_SIZE - ETH_SIZE - IP_SIZE;
const FLOWS_MAX = 1 << 24;
/** The class of a `sub` frame is a bit of the destination address, below its first octet. */
const SUBTABLES_MAX = 24;

const ETHER_DST = [0x02, 0, 0, 0, 0, 0x02];
const ETHER_SRC = [0x02, 0, 0, 0, 0, 0x01];
const SRC_BASE = 0x0a000000;
const DST_HOST = 0x0b000001;
const DST_BASE = 0x0b000000;
const PORT_DST = 4789;

/** What `tse` rules allow; the frames differ from it at a chosen bit of each of the three fields. */
const TSE_SRC = 0x0a000001;
const TSE_PORT_SRC = 12345;
const TSE_PORT_DST = 80;

/** @typedef {{ src: number, dst: number, sport: number, dport: number }} Tuple */
/** @typedef {{ count: number, tuple: (i: number) => Tuple, rules: () => Generator<string> }} Workload */

/** Ones-complement sum of 16-bit words, folded; `sum` is what came before. */
function checksum(buffer, from, to, sum) {
  for (let at = from; at < to; at += 2) sum += buffer.readUInt16BE(at);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}

/** Writes the 60 bytes of one UDP frame at `at`. */
function writeFrame(buffer, at, { src, dst, sport, dport }) {
  buffer.fill(0, at, at + FRAME_SIZE);
  buffer.set(ETHER_DST, at);
  buffer.set(ETHER_SRC, at + 6);
  buffer.writeUInt16BE(0x0800, at + 12);

  const ip = at + ETH_SIZE;
  buffer[ip] = 0x45;
  buffer.writeUInt16BE(IP_SIZE + UDP_SIZE, ip + 2);
  buffer[ip + 8] = 64;
  buffer[ip + 9] = 17;
  buffer.writeUInt32BE(src >>> 0, ip + 12);
  buffer.writeUInt32BE(dst >>> 0, ip + 16);
  buffer.writeUInt16BE(checksum(buffer, ip, ip + IP_SIZE, 0), ip + 10);

  const udp = ip + IP_SIZE;
  buffer.writeUInt16BE(sport, udp);
  buffer.writeUInt16BE(dport, udp + 2);
  buffer.writeUInt16BE(UDP_SIZE, udp + 4);
  const pseudo = 17 + UDP_SIZE;
  // The addresses (the last 8 bytes of the IP header) stand before the datagram, so one sum covers both.
  buffer.writeUInt16BE(checksum(buffer, ip + 12, udp + UDP_SIZE, pseudo) || 0xffff, udp + 6);
}

function address(value) {
  return [24, 16, 8, 0].map((shift) => (value >>> shift) & 255).join('.');
}

/** @returns {Tuple} */
function flowTuple(i) {
  return { src: SRC_BASE + (i & 0xffffff), dst: DST_HOST, sport: 1024 + (i % 60000), dport: PORT_DST };
}

/** @returns {Workload} */
function flows(count) {
  return {
    count,
    tuple: flowTuple,
    *rules() {
      for (let i = 0; i < count; i++) yield `priority=10,udp,nw_src=${address(flowTuple(i).src)},actions=output:2`;
    },
  };
}

/** @returns {Workload} */
function wide(count) {
  return {
    count,
    tuple: flowTuple,
    *rules() {
      yield `priority=10,udp,tp_dst=${PORT_DST},actions=output:2`;
    },
  };
}

/**
 * Class s has bit s of the destination as its lowest one bit, and its rules look at bits 0..s: the masks are nested, so
 * whatever a lookup has examined before it finds class s is inside the mask of class s, and there are S megaflow masks.
 * @returns {Workload}
 */
function sub(subtables, count) {
  const tuple = (i) => ({ ...flowTuple(i), dst: DST_BASE + 2 ** (i % subtables) });
  return {
    count,
    tuple,
    *rules() {
      for (let i = 0; i < count; i++) {
        const s = i % subtables;
        const dst = `${address(2 ** s)}/${address(2 ** (s + 1) - 1)}`;
        yield `priority=${100 - s},udp,nw_src=${address(tuple(i).src)},nw_dst=${dst},actions=output:2`;
      }
    },
  };
}

/**
 * A tuple-space explosion: three rules allow one value each of three fields, and a frame that first differs from the
 * allowed value at bit a, b and c of them (counted from the most significant) needs prefixes of a+1, b+1 and c+1 bits.
 * @returns {Workload}
 */
function tse(addressBits, sourceBits, destinationBits) {
  const differ = (value, width, bit) => value ^ (2 ** (width - 1 - bit));
  return {
    count: addressBits * sourceBits * destinationBits,
    tuple(i) {
      const a = i % addressBits;
      const b = Math.floor(i / addressBits) % sourceBits;
      const c = Math.floor(i / addressBits / sourceBits);
      return {
        src: differ(TSE_SRC, 32, a) >>> 0,
        dst: DST_HOST,
        sport: differ(TSE_PORT_SRC, 16, b),
        dport: differ(TSE_PORT_DST, 16, c),
      };
    },
    *rules() {
      yield `priority=30,udp,tp_dst=${TSE_PORT_DST},actions=output:2`;
      yield `priority=20,udp,nw_src=${address(TSE_SRC)},actions=output:2`;
      yield `priority=10,udp,tp_src=${TSE_PORT_SRC},actions=output:2`;
      yield 'priority=1,actions=output:2';
    },
  };
}

/** Collects what `next` yields into pieces of `size` and writes them to a new file. */
function writePieces(path, head, size, pieces) {
  const fd = openSync(path, 'w');
  try {
    if (head) writeSync(fd, head);
    for (const piece of pieces(size)) writeSync(fd, piece);
  } finally {
    closeSync(fd);
  }
}

/** Classic pcap, little-endian, microseconds, Ethernet. */
function pcapHeader() {
  const header = Buffer.alloc(24);
  header.writeUInt32LE(0xa1b2c3d4, 0);
  header.writeUInt16LE(2, 4);
  header.writeUInt16LE(4, 6);
  header.writeUInt32LE(65535, 16);
  header.writeUInt32LE(1, 20);
  return header;
}

function writePcap(path, workload, first, end) {
  writePieces(path, pcapHeader(), CHUNK_FRAMES, function* (size) {
    const buffer = Buffer.alloc(size * RECORD_SIZE);
    for (let from = first; from < end; from += size) {
      const to = Math.min(from + size, end);
      for (let i = from; i < to; i++) {
        const at = (i - from) * RECORD_SIZE;
        buffer.writeUInt32LE(FRAME_SIZE, at + 8);
        buffer.writeUInt32LE(FRAME_SIZE, at + 12);
        writeFrame(buffer, at + 16, workload.tuple(i));
      }
      yield buffer.subarray(0, (to - from) * RECORD_SIZE);
    }
  });
}

function writeRules(path, workload) {
  writePieces(path, undefined, CHUNK_RULES, function* (size) {
    let lines = [];
    for (const rule of workload.rules()) {
      lines.push(rule);
      if (lines.length === size) {
        yield `${lines.join('\n')}\n`;
        lines = [];
      }
    }
    if (lines.length > 0) yield `${lines.join('\n')}\n`;
  });
}

function whole(text, name, max) {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1 || value > max) {
    throw new RangeError(`${name} must be a whole number from 1 to ${max}, got '${text}'`);
  }
  return value;
}

const KINDS = {
  flows: { arity: 1, make: ([n]) => flows(whole(n, 'N', FLOWS_MAX)) },
  wide: { arity: 1, make: ([n]) => wide(whole(n, 'N', FLOWS_MAX)) },
  sub: { arity: 2, make: ([s, n]) => sub(whole(s, 'S', SUBTABLES_MAX), whole(n, 'N', FLOWS_MAX)) },
  tse: { arity: 3, make: ([a, b, c]) => tse(whole(a, 'A', 32), whole(b, 'B', 16), whole(c, 'C', 16)) },
};

/** Takes `--part K/M` out of the arguments. */
function takePart(args) {
  const at = args.indexOf('--part');
  if (at < 0) return [0, 1];
  const [, text = ''] = args.splice(at, 2);
  const [part, parts] = text.split('/');
  return [whole(Number(part) + 1, 'K + 1', Number(parts)) - 1, whole(parts, 'M', 64)];
}

function main(args) {
  const [part, parts] = takePart(args);
  const [kind = '', ...rest] = args;
  const entry = Object.hasOwn(KINDS, kind) ? KINDS[kind] : undefined;
  if (!entry || rest.length < entry.arity + 1 || rest.length > entry.arity + 2) {
    throw new Error('usage: frames.mjs (flows N | wide N | sub S N | tse A B C) PCAP [RULES] [--part K/M]');
  }
  const workload = entry.make(rest);
  const [pcap, rules] = rest.slice(entry.arity);
  const cut = (k) => Math.floor((workload.count * k) / parts);
  writePcap(pcap, workload, cut(part), cut(part + 1));
  if (rules) writeRules(rules, workload);
}

try {
  main(process.argv.slice(2));
} catch (error) {
  console.error(`frames: ${error.message}`);
  process.exit(2);
}
