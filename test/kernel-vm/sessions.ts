/*
 * Recorded sessions: real programs of Open vSwitch at work on the real kernel, in ./boot with record.c loaded into them, written down as
 * scenarios that any kernel can be asked to play.
 *
 * For tests only. Before it: the scripts in sessions/. After it: test/corpus/messages/, by test/support/conformance/recorded.ts. Port ids of the
 * programs become those of SOCKETS; families and datapaths become names; a packet that went up is a frame that came in; a message that was
 * sent over and over, as statistics are, is kept a few times.
 */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import type { ByteView } from '../../src/native/netlink.ts';
import { attributesOf } from '../support/conformance/canonical.ts';
import {
  FAMILIES,
  type Family,
  KEY,
  PACKET,
  PACKET_ATTR,
  VPORT,
  VPORT_ATTR,
  VPORT_TYPE,
} from '../support/conformance/openvswitch.ts';
import type { RecordedMessage, RecordedStep } from '../support/conformance/recorded.ts';
import { SOCKETS } from '../support/conformance/scenario.ts';
import { BOOT, run } from './kernel.ts';

const SENT = 0;
const RECORD_HEAD_SIZE = 12;
const HEADERS_SIZE = 24;
const GENL_ID_CTRL = 16;
const CTRL_ATTR_FAMILY_ID = 1;
const CTRL_ATTR_FAMILY_NAME = 2;
/** Times that the same message is kept. */
const REPEATED_MAX = 3;
const FAMILY_NAMES = ['ovs_datapath', 'ovs_vport', 'ovs_flow', 'ovs_packet', 'ovs_meter', 'ovs_ct_limit'];
const UPCALL_PIDS = [SOCKETS.upcalls1.portId, SOCKETS.upcalls2.portId, SOCKETS.upcalls3.portId];

export interface Session {
  script: string;
  programs: string[];
  /** Files beside the script. */
  files: Record<string, string>;
}

/** Runs a session; resolves to what record.c wrote. */
export async function record({ script, programs, files }: Session): Promise<Buffer> {
  const folder = await mkdtemp(path.join(os.tmpdir(), 'kernel-session-'));
  const at = (name: string) => path.join(folder, name);
  const source = (name: string) => path.join(import.meta.dirname, name);
  const warnings = ['-std=gnu11', '-O2', '-Wall', '-Wextra', '-Werror'];
  try {
    await run('gcc', [...warnings, '-static', '-o', at('tap'), source('tap.c')]);
    await run('gcc', [...warnings, '-shared', '-fPIC', '-o', at('record.so'), source('record.c')]);
    for (const [name, text] of Object.entries(files)) await writeFile(at(name), text);
    const names = ['tap', 'record.so', ...Object.keys(files)];
    const copies = [...names.map(at), source(`sessions/${script}`)].flatMap((file) => ['--copy', file]);
    const wanted = programs.flatMap((program) => ['--program', program]);
    await run(BOOT, [...copies, ...wanted, '--out', folder, '--', `sh ${script}`]);
    return await readFile(at('records'));
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

interface RecordedDatagram {
  direction: number;
  portId: number;
  messages: Buffer[];
}

function datagrams(records: Buffer): RecordedDatagram[] {
  const found: RecordedDatagram[] = [];
  for (let start = 0; start < records.length; ) {
    const end = start + RECORD_HEAD_SIZE + records.readUInt32LE(start + 4);
    const messages: Buffer[] = [];
    for (let at = start + RECORD_HEAD_SIZE; at + 16 <= end; ) {
      const size = records.readUInt32LE(at);
      messages.push(records.subarray(at, at + size));
      at += (size + 3) & ~3;
    }
    found.push({ direction: records.readUInt32LE(start), portId: records.readUInt32LE(start + 8), messages });
    start = end;
  }
  return found;
}

const cString = (bytes: ByteView) => Buffer.from(bytes).toString('latin1').replace(/\0.*$/s, '');

/** The first payload of each type, from `start` on. */
function payloads(message: Buffer, start: number, end = message.length): Map<number, Buffer> {
  const found = new Map<number, Buffer>();
  for (const [type, from, to] of attributesOf(message, start, end)) found.set(type, message.subarray(from, to));
  return found;
}

/** Turns records into steps. It learns ids and names from what the kernel answered, before and after. */
class Converter {
  private readonly families = new Map<number, Family>();
  private readonly names = new Map<number, string>();
  /** Names of ports by datapath and number. */
  private readonly ports = new Map<string, string>();
  private readonly portIds = new Map<number, number>();
  private readonly taps = new Set<string>();
  private readonly repeated = new Map<string, number>();
  readonly steps: RecordedStep[] = [];

  convert(records: Buffer): RecordedStep[] {
    const all = datagrams(records);
    for (const { direction, portId, messages } of all) {
      for (const message of messages) if (direction !== SENT) this.learn(message, portId);
    }
    for (const { direction, messages } of all) {
      if (direction === SENT) this.sent(messages);
      else for (const message of messages) this.received(message);
    }
    return this.steps;
  }

  private familyOf(message: Buffer): Family | undefined {
    return this.families.get(message.readUInt16LE(4));
  }

  private learn(message: Buffer, portId: number): void {
    if (message.readUInt16LE(4) === GENL_ID_CTRL) {
      const attributes = payloads(message, 20);
      const index = FAMILY_NAMES.indexOf(cString(attributes.get(CTRL_ATTR_FAMILY_NAME) ?? Buffer.alloc(0)));
      const id = attributes.get(CTRL_ATTR_FAMILY_ID)?.readUInt16LE();
      if (index >= 0 && id !== undefined) this.families.set(id, FAMILIES[index]!);
      return;
    }
    const family = this.familyOf(message);
    if (family === undefined) return;
    const attributes = payloads(message, HEADERS_SIZE);
    const ifindex = message.readUInt32LE(20);
    if (family === 'datapath') this.names.set(ifindex, cString(attributes.get(1) ?? Buffer.alloc(0)));
    if (family === 'vport') {
      const number = attributes.get(VPORT_ATTR.PORT_NO)?.readUInt32LE();
      this.ports.set(`${ifindex} ${number}`, cString(attributes.get(VPORT_ATTR.NAME) ?? Buffer.alloc(0)));
    }
    if (family === 'packet' && !this.portIds.has(portId)) {
      this.portIds.set(portId, UPCALL_PIDS[this.portIds.size % UPCALL_PIDS.length]!);
    }
  }

  private sent(messages: Buffer[]): void {
    const kept: RecordedMessage[] = [];
    for (const message of messages) {
      const family = this.familyOf(message);
      if (family === undefined) continue;
      const converted: RecordedMessage = {
        family,
        command: message[16]!,
        version: message[17]!,
        flags: message.readUInt16LE(6),
        dp: this.names.get(message.readUInt32LE(20)) ?? message.readInt32LE(20),
        attributes: this.ownPortIds(message.subarray(HEADERS_SIZE)),
      };
      const text = JSON.stringify(converted);
      const times = (this.repeated.get(text) ?? 0) + 1;
      this.repeated.set(text, times);
      if (times > REPEATED_MAX) continue;
      this.makeDevice(message, family);
      kept.push(converted);
    }
    if (kept.length > 0) this.steps.push({ do: 'send', messages: kept });
  }

  /** A port of a device needs the device. */
  private makeDevice(message: Buffer, family: Family): void {
    if (family !== 'vport' || message[16] !== VPORT.NEW) return;
    const attributes = payloads(message, HEADERS_SIZE);
    const name = cString(attributes.get(VPORT_ATTR.NAME) ?? Buffer.alloc(0));
    if (attributes.get(VPORT_ATTR.TYPE)?.readUInt32LE() !== VPORT_TYPE.NETDEV || this.taps.has(name)) return;
    if (![...this.ports.values()].includes(name)) return;
    this.taps.add(name);
    this.steps.push({ do: 'device', name });
  }

  private ownPortIds(attributes: Buffer): Uint8Array {
    const own = Buffer.from(attributes);
    for (let at = 0; at + 4 <= own.length; at += 4) {
      const portId = this.portIds.get(own.readUInt32LE(at));
      if (portId !== undefined) own.writeUInt32LE(portId, at);
    }
    return new Uint8Array(own);
  }

  /** A packet of a device went up for the first time. */
  private received(message: Buffer): void {
    if (this.familyOf(message) !== 'packet' || message[16] !== PACKET.MISS) return;
    const attributes = payloads(message, HEADERS_SIZE);
    const key = attributes.get(PACKET_ATTR.KEY)!;
    const fields = payloads(key, 0);
    if (fields.get(KEY.RECIRC_ID)?.readUInt32LE() !== 0) return;
    const name = this.ports.get(`${message.readUInt32LE(20)} ${fields.get(KEY.IN_PORT)?.readUInt32LE()}`);
    const data = attributes.get(PACKET_ATTR.PACKET)!;
    if (name !== undefined && this.taps.has(name))
      this.steps.push({ do: 'frame', device: name, data: new Uint8Array(data) });
  }
}

export function stepsOf(records: Buffer): RecordedStep[] {
  return new Converter().convert(records);
}
