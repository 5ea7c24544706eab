/*
 * The public names of wasm-datapath.
 */
export { Ageing } from './datapath/ageing.ts';
export { Datapath } from './datapath/datapath.ts';
export { type FlatMatch, Flow, type FlowPutOptions, Flows, type FlowStats, type MatchInput } from './datapath/flows.ts';
export type { ActionsHandle, ActionsInput, MaskHandle } from './datapath/handles.ts';
export { Bonds } from './datapath/bonds.ts';
export { type MeterBand, type MeterConfig, Meters, type MeterStats } from './datapath/meters.ts';
export type { DatapathEvent, DatapathOptions } from './datapath/options.ts';
export { decodeSample, type Sample } from './datapath/sample.ts';
export type { SampleListener, SampleOptions } from './datapath/samples.ts';
export { DROP_NAMES, type DatapathStats, type DropName, type PortStats } from './datapath/stats.ts';
export { DatapathError, type DatapathErrorCode } from './errors.ts';
export * from './odp/index.ts';
export * from './pcap/index.ts';
export { type UdpTuple, udpFrame } from './ports/frames.ts';
export { MemoryPort, type MemoryPortOptions } from './ports/memory.ts';
export type { PcapPortOptions } from './ports/pcap.ts';
export { Port } from './ports/port.ts';
export type { Ports } from './ports/ports.ts';
export { composePacket } from './trace/compose.ts';
export { type ChecksumState, describeLayers, type Layer, type LayerName } from './trace/layers.ts';
export { formatTrace, layerText } from './trace/text.ts';
export { traceKey, type TraceOptions, tracePacket } from './trace/trace.ts';
export type { PacketView, PassedOver, Pass, Step, Trace, TraceResult } from './trace/types.ts';
export { UpcallBatch } from './upcall/batch.ts';
export type { UpcallHandler, UpcallHost, UpcallPort } from './upcall/handler.ts';
export type { Upcall, UpcallFunction, Verdict } from './upcall/per-packet.ts';
export { drop, flood } from './upcall/flood.ts';
export { learning, type LearningOptions } from './upcall/learning.ts';
export { makeHandler } from './upcall/registry.ts';
export type { Rule } from './upcall/rule-table.ts';
export { parseRules, readRules, staticFile, staticRules } from './upcall/static.ts';
