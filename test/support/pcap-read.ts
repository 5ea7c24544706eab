/*
 * Reading a whole capture file for a comparison: the records with their bytes copied.
 */
import { PcapReader, type PcapRecord } from '../../src/pcap/index.ts';

export function plain(records: readonly PcapRecord[]): PcapRecord[] {
  return records.map(({ timeNs, wireSize, data }) => ({ timeNs, wireSize, data: Uint8Array.from(data) }));
}

export async function readFilePlain(path: string): Promise<PcapRecord[]> {
  const records: PcapRecord[] = [];
  for await (const record of await PcapReader.open(path)) records.push(record);
  return plain(records);
}
