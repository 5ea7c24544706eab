/*
 * The real ovs-dpctl on the real kernel: what it sends for flows that it is given as text, and what it prints for flows that the kernel
 * has, beside the Netlink messages themselves.
 *
 * For tests only. Runs ./boot (a virtual machine, some five seconds) and in it ovs-dpctl with record.c loaded into it; flows
 * that ovs-dpctl has no text for get there as attributes, by transact.c.
 */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { BOOT, type KernelRequest, packRequests, run } from './kernel.ts';

/** nlmsghdr, genlmsghdr, ovs_header. */
const HEADERS_SIZE = 24;
/** Direction, size and port id of a record of record.c. */
const RECORD_HEAD_SIZE = 12;
const FLOW_CMD_NEW = 1;
/** What the kernel answers a dump with. */
const FLOW_CMD_GET = 3;
const CTRL_ATTR_FAMILY_ID = 1;

export interface DpctlTalk {
  /** Attributes of each OVS_FLOW_CMD_NEW that ovs-dpctl sent, in the order of the texts that it could read. */
  sent: Uint8Array[];
  /** Attributes of each flow that the kernel has in the end, and the line that ovs-dpctl prints for it. */
  dumped: { flow: Uint8Array; line: string }[];
}

/** Gives ovs-dpctl these lines of `add-flows`, the kernel those requests, and then has ovs-dpctl dump what there is. */
export async function kernelDpctl(lines: readonly string[], requests: readonly KernelRequest[]): Promise<DpctlTalk> {
  const folder = await mkdtemp(path.join(os.tmpdir(), 'kernel-dpctl-'));
  const at = (name: string) => path.join(folder, name);
  const source = (name: string) => path.join(import.meta.dirname, name);
  const warnings = ['-std=gnu11', '-O2', '-Wall', '-Wextra', '-Werror'];
  try {
    await run('gcc', [...warnings, '-static', '-o', at('transact'), source('transact.c')]);
    await run('gcc', [...warnings, '-shared', '-fPIC', '-o', at('record.so'), source('record.c')]);
    await writeFile(at('flows'), lines.map((line) => `${line}\n`).join(''));
    await writeFile(at('requests'), packRequests(requests));
    const script = [
      './transact requests out/results',
      'RECORD=out/add LD_PRELOAD=./record.so ovs-dpctl -voff add-flows oracle flows 2> out/refused',
      'RECORD=out/dump LD_PRELOAD=./record.so ovs-dpctl -voff dump-flows oracle > out/lines',
    ];
    const copies = ['transact', 'record.so', 'flows', 'requests'].flatMap((name) => ['--copy', at(name)]);
    const args = [...copies, '--program', 'ovs-dpctl', '--out', folder, '--', script.join(' && ')];
    await run(BOOT, args);
    const [add, dump] = await Promise.all([readFile(at('add')), readFile(at('dump'))]);
    const printed = (await readFile(at('lines'), 'utf8')).split('\n').slice(0, -1);
    const flows = flowsIn(dump, 1, FLOW_CMD_GET);
    if (flows.length !== printed.length) throw new Error(`${flows.length} flows dumped, ${printed.length} printed`);
    const dumped = flows.map((flow, index) => ({ flow, line: printed[index] }));
    return { sent: flowsIn(add, 0, FLOW_CMD_NEW), dumped };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** The messages that went in one direction; a record may hold several. */
function messages(records: Buffer, direction: 0 | 1): Buffer[] {
  const found: Buffer[] = [];
  for (let start = 0; start < records.length; ) {
    const end = start + RECORD_HEAD_SIZE + records.readUInt32LE(start + 4);
    for (let at = start + RECORD_HEAD_SIZE; records.readUInt32LE(start) === direction && at < end; ) {
      const size = records.readUInt32LE(at);
      found.push(records.subarray(at, at + size));
      at += (size + 3) & ~3;
    }
    start = end;
  }
  return found;
}

/** The attributes of every message about a flow with this command. */
function flowsIn(records: Buffer, direction: 0 | 1, command: number): Uint8Array[] {
  const family = familyId(records, 'ovs_flow');
  return messages(records, direction)
    .filter((message) => message.readUInt16LE(4) === family && message[16] === command)
    .map((message) => new Uint8Array(message.subarray(HEADERS_SIZE)));
}

/** The id that the kernel gave the family; it stands behind the name in the kernel's answer. */
function familyId(records: Buffer, name: string): number {
  const header = Buffer.from([6, 0, CTRL_ATTR_FAMILY_ID, 0]);
  for (const message of messages(records, 1)) {
    const at = message.indexOf(`${name}\0`, 0, 'latin1');
    if (at > 0) return message.readUInt16LE(message.indexOf(header, at) + 4);
  }
  throw new Error(`nobody asked for the family ${name}`);
}
