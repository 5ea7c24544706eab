/*
 * The public names of the pcap folder: reading pcap and pcapng, writing pcap.
 */

export { PcapError, type PcapErrorCode, type PcapPlace } from './error.ts';
export {
  LINKTYPE_ETHERNET,
  type PcapFormat,
  type PcapReadOptions,
  type PcapRecord,
  RECORD_SIZE_MAX,
} from './format.ts';
export { PcapReader, parsePcap, readPcap } from './reader.ts';
export { encodePcap, type PcapWriteOptions, PcapWriter } from './writer.ts';
