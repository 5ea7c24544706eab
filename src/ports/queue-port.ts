/*
 * What ports on kernel rings have in common: queues in the arena, a receive queue for each of several workers, a transmit queue a worker, and
 * the order in which they are taken back. Before it: one file a kind (afpacket.ts, tap.ts). After it: assembly/io/queue.ts.
 *
 * Ownership. Blocks and descriptors are the port's until `release`, which waits for the workers first. Threads: the owner thread.
 */
import { getSystemErrorName } from 'node:util';
import { DatapathError } from '../errors.ts';
import { type NativeAddon, nativeAddon, nativeUnavailableReason } from '../native/load.ts';
import { quiesce } from '../worker/wake.ts';
import { Port, type PortContext } from './port.ts';
import { QueueBlocks } from './queues.ts';

export abstract class QueuePort extends Port {
  protected readonly blocks: QueueBlocks;
  /** What is being taken back now. */
  #detaching: Promise<void> | undefined;
  #released = false;

  constructor(context: PortContext) {
    super(context);
    this.blocks = new QueueBlocks(context.memory, `port ${context.name}`);
  }

  /** Runs what opens the queues and the descriptor; when it throws, nothing is left behind. */
  protected opening(work: () => void): void {
    try {
      work();
    } catch (error) {
      this.closeDescriptors();
      this.blocks.release();
      throw error;
    }
  }

  protected abstract closeDescriptors(): void;

  override get isLive(): boolean {
    return true;
  }

  /** Queues go to the pollers in turn, beginning with the port's own. */
  protected workerOf(index: number): number {
    const { worker, pollers } = this.context;
    return worker === 0 ? 0 : ((worker - 1 + index) % Math.max(pollers(), 1)) + 1;
  }

  /** Closes the port's descriptor in memory, and when no worker has its queues in hand any more, everything behind it. */
  protected detach(): void {
    this.context.memory.wasm.closePort(this.portNo);
    this.#detaching ??= this.#takeBack().finally(() => {
      this.#detaching = undefined;
    });
  }

  /** Runs `work` at once, or when what is being taken back is back; never for a port that is released. */
  protected whenDetached(work: () => void): void {
    if (this.#detaching === undefined) work();
    else void this.#detaching.then(() => (this.#released ? undefined : work()));
  }

  async #takeBack(): Promise<void> {
    await quiesce(this.context.memory, this.context.workerSlots);
    this.closeDescriptors();
    this.blocks.release();
  }

  override async release(): Promise<void> {
    this.#released = true;
    await (this.#detaching ?? this.#takeBack());
  }
}

/** The addon, without which there are no ports on interfaces. Throws ERR_NATIVE_UNAVAILABLE. */
export function requireAddon(port: string): NativeAddon {
  const addon = nativeAddon();
  if (addon !== undefined) return addon;
  const reason = nativeUnavailableReason();
  throw new DatapathError('ERR_NATIVE_UNAVAILABLE', `port ${port} needs the native addon: ${reason} (npm run doctor)`, {
    operation: 'port add',
  });
}

/** What the kernel refused, and what mends it. */
export function refusal(port: string, operation: string, errno: number, capabilities: string): DatapathError {
  const name = getSystemErrorName(-errno);
  const details = { errno, operation: 'port add' };
  if (name === 'EPERM' || name === 'EACCES') {
    const setcap = `sudo setcap cap_net_admin,cap_net_raw+ep ${process.execPath}`;
    const mend = `${setcap}, or run as root, or as examples/systemd/wasm-datapath.service does`;
    const message = `port ${port}: ${operation} needs ${capabilities}: ${mend}`;
    return new DatapathError('ERR_PORT_PERMISSION', message, details);
  }
  const message = `port ${port}: ${operation} was refused: ${name}${mendOf(operation, name)}`;
  return new DatapathError('ERR_PORT_SYSTEM', message, details);
}

/** What mends a refusal that is no matter of permission; nothing when that is not known. */
function mendOf(operation: string, name: string): string {
  if (operation.startsWith('socket(AF_XDP)') && name === 'EAFNOSUPPORT')
    return ': this kernel has no AF_XDP: use type=afpacket';
  if (operation.startsWith('XDP_UMEM_REG') && name === 'ENOBUFS')
    return ': its frames are more memory than may be locked: ulimit -l unlimited, CAP_IPC_LOCK, or type=afpacket';
  return '';
}
