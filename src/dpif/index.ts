/*
 * The public names of wasm-datapath/dpif. provider.ts is the place to begin reading.
 */
import './system/register.ts';
import './netdev/register.ts';

export { DatapathError, type DatapathErrorCode } from '../errors.ts';
export { Dpif, type DpifOpenOptions } from './dpif.ts';
export { FlowDump } from './flow-dump.ts';
export { type DpifLog, type DpifLogLevel, setDpifLog } from './log.ts';
export type {
  DpifProvider,
  FlowDumpOptions,
  FlowDumpThread,
  ProviderDatapath,
  ProviderFlowDump,
  PurgeCallback,
  RecvOptions,
  UpcallCallback,
  UpcallVerdict,
  Walk,
} from './provider.ts';
export { findProvider, parseDatapathName, providerTypes, registerProvider, unregisterProvider } from './registry.ts';
export * from './types.ts';
export type { UpcallEvent, UpcallService, UpcallServiceOptions } from './upcall-service.ts';
