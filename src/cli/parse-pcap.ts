/*
 * wdp parse-pcap: the flow key of each packet of a capture file, one line a packet, in the text of ovs-dpctl.
 *
 * Before it: the command line (main.ts), which prints a PcapError as one line and ends with status 1. The file is read in
 * batches and each batch is written as one piece, waiting while the reader of the output is slow; so neither the file nor
 * the output need to fit into memory. A damaged file gives the lines of the packets before the damage. Main thread.
 */
import { once } from 'node:events';
import * as C from '../../assembly/constants.ts';
import { decodeKey } from '../odp/key.ts';
import { formatKey } from '../odp/key-text.ts';
import type { FlowKey } from '../odp/types.ts';
import { PcapReader, type PcapRecord } from '../pcap/index.ts';
import { type KeyExtractor, openKeyExtractor } from './key-extractor.ts';

export interface ParsePcapOptions {
  /** One JSON object a packet (ParsedPacket) instead of its text. */
  readonly json?: boolean;
  /** Takes the keys; by default a small instance of the datapath's module. */
  readonly extractor?: KeyExtractor;
}

/** What `--json` prints for each packet. */
export interface ParsedPacket {
  /** From 0. */
  index: number;
  /** Nanoseconds since 1970, in decimal digits: more than a JSON number holds exactly. */
  timeNs: string;
  /** Bytes on the wire. */
  size: number;
  /** Absent when the datapath would not take the frame. */
  key?: FlowKey;
  /** The key in the text of ovs-dpctl, or `drop(rx-short)`, `drop(rx-long)`. */
  text: string;
}

/** A capture knows no ports. */
const IN_PORT = 0;

/** Prints the key of each packet of `file` to `out`. Throws PcapError when the file cannot be read to its end. */
export async function parsePcap(file: string, options: ParsePcapOptions, out: NodeJS.WritableStream): Promise<void> {
  const reader = await PcapReader.open(file);
  const extractor = options.extractor ?? openKeyExtractor();
  let index = 0;
  for await (const batch of reader.batches()) {
    let text = '';
    for (const record of batch) {
      const line = options.json ? jsonLine(extractor, index, record) : textOf(extractor, record);
      text += `${line}\n`;
      index += 1;
    }
    if (!out.write(text)) await once(out, 'drain');
  }
}

function textOf(extractor: KeyExtractor, record: PcapRecord): string {
  const flat = extractor.extractKey(record.data, IN_PORT);
  return flat === undefined ? dropText(record.data) : formatKey(flat);
}

function jsonLine(extractor: KeyExtractor, index: number, record: PcapRecord): string {
  const packet: ParsedPacket = { index, timeNs: String(record.timeNs), size: record.wireSize, text: '' };
  const flat = extractor.extractKey(record.data, IN_PORT);
  if (flat !== undefined) packet.key = decodeKey(flat);
  packet.text = flat === undefined ? dropText(record.data) : formatKey(flat);
  return JSON.stringify(packet, (_name, value: unknown) => (typeof value === 'bigint' ? String(value) : value));
}

function dropText(frame: Uint8Array): string {
  return frame.length > C.FRAME_SIZE_MAX ? 'drop(rx-long)' : 'drop(rx-short)';
}
