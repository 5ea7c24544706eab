/*
 * An upcall handler at work on a datapath of a dpif, whatever its kind: what it is started with, what it tells, how it ends. Before it: Dpif.onUpcall. After it:
 * system/upcall-host.ts, netdev/.
 */
import type { DatapathEvent } from '../datapath/options.ts';
import type { DatapathError } from '../errors.ts';
import type { RecvOptions } from './provider.ts';

export interface UpcallServiceOptions extends RecvOptions {
  /** Rings that upcalls come in by, each served in its turn; default: what the datapath wants (see numberHandlersRequired), else one. */
  handlers?: number;
  /** A handler that has not answered after so long has lost its batch, ms. Default 1,000. */
  timeoutMs?: number;
  /** Timeouts of flows that its answers install, where the handler has none of its own; 0: never. Default 10,000 and 0. */
  idleTimeoutMs?: number;
  hardTimeoutMs?: number;
  /** Called when something happens that no caller waits for. Default: silent. */
  onEvent?: (event: UpcallEvent) => void;
}

export type UpcallEvent =
  | DatapathEvent
  /** The datapath refused to execute an answer's actions on its packet. */
  | { type: 'execute-failed'; worker: number; errno: number; error: DatapathError }
  /** Upcalls were lost because the handler was too slow: of a port, or of all ports of some CPUs. */
  | { type: 'upcalls-lost'; portNo: number | undefined }
  /** The datapath was deleted by somebody else; the service has ended. */
  | { type: 'datapath-gone' }
  /** The service has ended by an error. */
  | { type: 'upcalls-failed'; reason: unknown };

export interface UpcallService {
  /** Stops it; what the handler installed stays. Idempotent. */
  close(): Promise<void>;
}

export const UPCALL_TIMEOUT_MS = 1000;
export const IDLE_TIMEOUT_MS = 10_000;
