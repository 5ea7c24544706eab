/*
 * The public names of wasm-datapath/netlink. socket.ts is the place to begin reading.
 */

export { DatapathError, type DatapathErrorCode } from '../errors.ts';
export type { NativeSocketHandle } from '../native/netlink.ts';
export * from './attributes.ts';
export * from './buffer.ts';
export * from './constants.ts';
export type { Datagram } from './datagram.ts';
export { Dump, type DumpHandle, type DumpOptions } from './dump.ts';
export { netlinkError, systemError } from './errors.ts';
export {
  clearFamilies,
  dumpFamilies,
  type GenericFamily,
  type GenericOperation,
  lookupFamily,
  lookupFamilyAsync,
  lookupGroup,
  lookupGroupAsync,
} from './generic.ts';
export * from './message.ts';
export {
  type Notification,
  type Overrun,
  type SubscribeOptions,
  type Subscription,
  type SubscriptionItem,
  subscribe,
} from './multicast.ts';
export { setPeerOptions } from './peer-options.ts';
export * from './policy.ts';
export { type KernelPolicies, kernelRule, PolicyDump } from './policy-dump.ts';
export { policyTableSize, writePolicyTable } from './policy-table.ts';
export * from './policy-validate.ts';
export { encodeAttributes, parseAttributes } from './policy-values.ts';
export { dump, NetlinkPool, netlinkPool, transact, transactMany } from './pool.ts';
export {
  type Resync,
  type Resynchronised,
  type ResyncItem,
  type ResyncOptions,
  resync,
  type TableChange,
} from './resync.ts';
export * from './rings.ts';
export { isAdministrator, type Sender } from './server/credentials.ts';
export {
  defineFamily,
  type Family,
  type FamilyDefinition,
  type GroupDefinition,
  type Operation,
  type ParsedRequest,
  type ReplyBuilder,
  refuse,
  type Strictness,
  type WriteAttributes,
} from './server/family.ts';
export { PacketQueue } from './server/packets.ts';
export { FamilyServer, type FamilyServerOptions, type FamilyServerStatistics } from './server/server.ts';
export { NetlinkSocket } from './socket.ts';
export type {
  NetlinkSocketOptions,
  NetlinkStatistics,
  ReceiveOptions,
  SendOptions,
} from './socket-options.ts';
export {
  type TransactAsyncOptions,
  TransactionBatch,
  type TransactionBatchOptions,
  type TransactOneOptions,
  type TransactOptions,
} from './transaction.ts';
