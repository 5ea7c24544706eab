/*
 * What netlink-suite.mjs is made of: the programs to compare with, requests and what is in their answers. Travels with it into the virtual machine.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { pathToFileURL } from 'node:url';

/** The library, from the path on the command line. */
export const netlink = await import(pathToFileURL(process.argv[2]).href);
const { AttributeBuilder, beginMessage, endMessage, MessageBuffer, NetlinkSocket, NLM_F_REQUEST } = netlink;

export const ip = (...args) => execFileSync('ip', args, { encoding: 'utf8', maxBuffer: 64 << 20, stdio: 'pipe' });
/** Many commands in one process: in the virtual machine each process takes a while. */
export const ipBatch = (lines) =>
  execFileSync('ip', ['-batch', '-'], { input: `${lines.join('\n')}\n`, stdio: 'pipe' });
export const numbers = (count) => Array.from({ length: count }, (_, i) => i);
export const ipJson = (...args) => JSON.parse(ip('-j', ...args) || '[]');

const opened = [];
/** A socket that is closed after the check. */
export function open(protocol, options) {
  const socket = NetlinkSocket.open(protocol, options);
  opened.push(socket);
  return socket;
}

export function message(type, flags, header, attributes = () => {}) {
  const buffer = new MessageBuffer();
  const start = beginMessage(buffer, type, NLM_F_REQUEST | flags);
  buffer.append(header);
  const builder = new AttributeBuilder(buffer);
  attributes(builder);
  builder.finish();
  endMessage(buffer, start);
  return buffer.bytes.slice();
}

/** The attributes behind a family's header, by their types: payloads as copies. */
export function attributesOf(cursor, headerSize) {
  const found = new Map();
  const attributes = cursor.attributes(headerSize);
  while (attributes.next()) found.set(attributes.type, attributes.bytes());
  attributes.check();
  return found;
}

export const u32 = (bytes, at = 0) => new DataView(bytes.buffer, bytes.byteOffset).getUint32(at, true);
export const text = (bytes) => Buffer.from(bytes).toString('latin1').replace(/\0.*$/s, '');
export const hex = (bytes) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join(':');
export const ipv4 = (bytes) => bytes.join('.');
export const ipv6 = (bytes) => {
  const groups = Array.from({ length: 8 }, (_, i) => ((bytes[2 * i] << 8) | bytes[2 * i + 1]).toString(16));
  return new URL(`http://[${groups.join(':')}]`).hostname.slice(1, -1);
};
export const address = (bytes) => (bytes.length === 4 ? ipv4(bytes) : ipv6(bytes));

/** Runs a dump; `each` gets the cursor at every message and returns what is kept of it. */
export function dumpAll(protocol, request, each) {
  const socket = open(protocol);
  const dump = socket.dump(request);
  const kept = [];
  for (let entry = dump.next(); entry !== undefined; entry = dump.next()) kept.push(each(entry));
  assert.equal(dump.interrupted, false);
  return kept;
}

export const ifinfomsg = () => new Uint8Array(16);
export const payload = (cursor, size) => cursor.bytes.slice(cursor.payloadOffset, cursor.payloadOffset + size);
export const byKey = (list, key) => [...list].sort((a, b) => (key(a) < key(b) ? -1 : 1));

/** The kernel's connections as others tell them: source, destination, protocol, ports. */
export function connections() {
  if (existsSync('/proc/net/nf_conntrack')) {
    const line = /^\S+\s+\d+ \S+\s+(\d+) .*?src=(\S+) dst=(\S+) sport=(\d+) dport=(\d+)/gm;
    return [...readFileSync('/proc/net/nf_conntrack', 'utf8').matchAll(line)].map(
      ([, proto, src, dst, sport, dport]) => `${src} ${dst} ${proto} ${sport} ${dport}`,
    );
  }
  execFileSync('ovs-dpctl', ['add-dp', 'suite'], { stdio: 'pipe' });
  const text = execFileSync('ovs-dpctl', ['dump-conntrack', 'suite'], { encoding: 'utf8' });
  execFileSync('ovs-dpctl', ['del-dp', 'suite']);
  return [...text.matchAll(/^udp,orig=\(src=([^,]+),dst=([^,]+),sport=(\d+),dport=(\d+)\)/gm)].map(
    ([, src, dst, sport, dport]) => `${src} ${dst} 17 ${sport} ${dport}`,
  );
}

export function hasProgram(name) {
  return ['/usr/sbin', '/sbin', '/usr/bin', '/bin'].some((folder) => existsSync(`${folder}/${name}`));
}

/** Closes the sockets that `open` made. */
export function closeSockets() {
  for (const socket of opened.splice(0)) socket.close();
}
