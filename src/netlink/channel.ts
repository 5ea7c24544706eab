/*
 * Channel: one kernel socket with its options set, and asynchronous waiting on it. Before it: NetlinkSocket and Dump, which pass channels
 * to one another whole (a dump keeps the channel it runs on when its socket goes on with a fresh one). After it: the addon.
 *
 * Ownership: whoever holds a channel closes it; it holds no bytes. Threads: the one that opened or adopted it.
 * What can be lost: nothing here; `native` tells of overruns.
 */

import { DatapathError } from '../errors.ts';
import { nativeAddon, nativeUnavailableReason } from '../native/load.ts';
import type { NativeNetlinkSocket, NativeNetlinkSocketClass, NativeSocketHandle } from '../native/netlink.ts';
import {
  NETLINK_CAP_ACK,
  NETLINK_EXT_ACK,
  NETLINK_GET_STRICT_CHK,
  NETLINK_LISTEN_ALL_NSID,
  NETLINK_ROUTE,
  NLMSG_HDRLEN,
  NLMSG_NOOP,
} from './constants.ts';
import { closedError, EAGAIN, EINVAL, ENOPROTOOPT, noSuchGroupError, systemError } from './errors.ts';

export interface ChannelOptions {
  readonly protocol: number;
  readonly portId: number;
  readonly peer: number;
  readonly receiveBufferSize: number;
  readonly extendedAck: boolean;
  readonly cappedAck: boolean;
  readonly strictDump: boolean;
  readonly listenAllNamespaces: boolean;
  readonly passCredentials: boolean;
}

/** A user-space peer that exits is not reported by the kernel; after this much silence it is asked whether it is there. */
export const PROBE_MS = 1000;
/** Nor is a user-space peer's full queue that has room again: asynchronous work looks at least this often. */
export const RETRY_MS = 20;

/** NLMSG_NOOP is to be ignored by whoever gets it, but it can be sent only to a socket that is there. */
const PROBE = new Uint8Array(NLMSG_HDRLEN);
PROBE[0] = NLMSG_HDRLEN;
PROBE[4] = NLMSG_NOOP;

interface Waiter {
  settle(readable: boolean): void;
  fail(error: Error): void;
}

export class Channel {
  readonly native: NativeNetlinkSocket;
  readonly options: ChannelOptions;
  private readonly waiters = new Set<Waiter>();

  private constructor(native: NativeNetlinkSocket, options: ChannelOptions) {
    this.native = native;
    this.options = options;
  }

  static open(options: ChannelOptions): Channel {
    const { protocol, portId, peer, receiveBufferSize } = options;
    const native = addonClass().open({ protocol, portId, peer, receiveBufferSize });
    if (typeof native === 'number') throw systemError(-native, `netlink open, protocol ${protocol}`);
    native.setSequence(firstSequence());
    const channel = new Channel(native, options);
    try {
      channel.setOptions();
    } catch (error) {
      channel.close();
      throw error;
    }
    return channel;
  }

  static adopt(handle: NativeSocketHandle, options: ChannelOptions): Channel {
    const native = addonClass().adopt(handle);
    if (typeof native === 'number') throw systemError(-native, 'netlink adopt');
    return new Channel(native, options);
  }

  private setOptions(): void {
    const { extendedAck, cappedAck, strictDump, listenAllNamespaces, passCredentials, protocol } = this.options;
    // Old kernels lack these three; everything works without them, only with less to read in an error.
    if (extendedAck) this.setOption(NETLINK_EXT_ACK, true);
    if (cappedAck) this.setOption(NETLINK_CAP_ACK, true);
    if (strictDump && protocol === NETLINK_ROUTE) this.setOption(NETLINK_GET_STRICT_CHK, true);
    if (listenAllNamespaces) this.setOption(NETLINK_LISTEN_ALL_NSID, false);
    if (passCredentials) {
      const result = this.native.passCredentials(true);
      if (result < 0) throw systemError(-result, 'netlink pass credentials');
    }
  }

  private setOption(option: number, mayLack: boolean): void {
    const result = this.native.setOption(option, 1);
    if (result < 0 && !(mayLack && result === -ENOPROTOOPT)) throw systemError(-result, `netlink option ${option}`);
  }

  /** Another one with the same options, but for those given. */
  clone(changes: Partial<ChannelOptions> = {}): Channel {
    return Channel.open({ ...this.options, ...changes });
  }

  get closed(): boolean {
    return this.native.closed;
  }

  /** Whether something waits to be received, an overrun included. */
  get unread(): boolean {
    return this.native.peekSize() !== -EAGAIN;
  }

  /** Port id whose messages are answers: of an unconnected socket it is the kernel's. */
  get answerer(): number {
    return Math.max(this.options.peer, 0);
  }

  /** A handle of the same socket for another thread. */
  share(): NativeSocketHandle {
    const handle = this.native.share();
    if (typeof handle === 'number') throw systemError(-handle, 'netlink share');
    return handle;
  }

  /** NETLINK_ADD_MEMBERSHIP or NETLINK_DROP_MEMBERSHIP. */
  setMembership(option: number, group: number, operation: string): void {
    if (!Number.isInteger(group) || group < 1) throw new RangeError(`group ${group}: groups count from 1`);
    const result = this.native.setOption(option, group);
    if (result === -EINVAL) throw noSuchGroupError(group, operation);
    if (result < 0) throw systemError(-result, `${operation} ${group}`);
  }

  /** 0 when the peer is there or cannot be asked, a positive errno when it is gone. */
  probe(): number {
    if (this.options.peer <= 0) return 0;
    const result = this.native.send(PROBE, 0, PROBE.length, 0);
    return result === -EAGAIN || result >= 0 ? 0 : -result;
  }

  /**
   * Resolves with true when there is something to receive, with false after `timeoutMs` (-1: never) or when `signal` is aborted. Rejects
   * when the channel is closed meanwhile. While somebody waits the process stays alive.
   */
  readable(timeoutMs: number, signal?: AbortSignal): Promise<boolean> {
    if (this.closed) return Promise.reject(closedError('netlink wait'));
    if (signal?.aborted) return Promise.resolve(false);
    return new Promise((resolve, reject) => {
      const cleanup = (): void => {
        this.waiters.delete(waiter);
        clearTimeout(timer);
        signal?.removeEventListener('abort', giveUp);
        if (this.waiters.size === 0 && !this.closed) this.native.unwatch();
      };
      const waiter: Waiter = {
        settle: (readable) => {
          cleanup();
          resolve(readable);
        },
        fail: (error) => {
          cleanup();
          reject(error);
        },
      };
      const giveUp = (): void => waiter.settle(false);
      const timer = timeoutMs < 0 ? undefined : setTimeout(giveUp, timeoutMs);
      signal?.addEventListener('abort', giveUp, { once: true });
      this.addWaiter(waiter);
    });
  }

  private addWaiter(waiter: Waiter): void {
    this.waiters.add(waiter);
    if (this.waiters.size > 1) return;
    const result = this.native.watch(() => {
      for (const one of [...this.waiters]) one.settle(true);
    });
    if (result < 0) waiter.fail(systemError(-result, 'netlink wait'));
  }

  /** Idempotent. Who waits is told. */
  close(): void {
    this.native.close();
    for (const waiter of [...this.waiters]) waiter.fail(closedError('netlink wait'));
  }
}

/**
 * Anywhere in the range: port ids are used again at once, and what a peer still sends to a socket that is gone must not pass for an answer
 * to the one that has its port id now.
 */
function firstSequence(): number {
  return 1 + Math.floor(Math.random() * 2 ** 30);
}

function addonClass(): NativeNetlinkSocketClass {
  const addon = nativeAddon();
  if (addon !== undefined) return addon.NetlinkSocket;
  const reason = nativeUnavailableReason() ?? 'not loaded';
  throw new DatapathError('ERR_NATIVE_UNAVAILABLE', `Netlink needs the native addon: ${reason} (npm run doctor)`, {
    operation: 'netlink open',
  });
}
