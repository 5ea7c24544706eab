/*
 * A peer in user space for the tests of the shim: it takes what was sent to it and answers only what the test says, when the test says so.
 */
import * as N from '../../src/native/netlink.ts';
import * as K from '../../src/netlink/constants.ts';
import { type Header, header, message, openSocket } from './netlink-shim.ts';

const EAGAIN = 11;

export class Peer {
  readonly socket: N.NativeNetlinkSocket;
  readonly client: N.NativeNetlinkSocket;

  constructor(options: { receiveBufferSize?: number } = {}) {
    this.socket = openSocket({ protocol: K.NETLINK_USERSOCK, peer: -1, ...options });
    this.client = openSocket({ protocol: K.NETLINK_USERSOCK, peer: this.socket.portId });
  }

  /** The requests of every datagram that has come, datagram by datagram. */
  take(): Header[][] {
    const taken: Header[][] = [];
    const view = new Uint8Array(1 << 18);
    const rows = new Int32Array(N.RECEIVE_ROW_WORDS);
    for (;;) {
      const count = this.socket.receive(view, 0, view.length, 1, rows, 0);
      if (count === 0) return taken;
      if (count < 0) throw new Error(`receive: errno ${-count}`);
      const requests: Header[] = [];
      const size = rows[N.RECEIVE_SIZE] ?? 0;
      for (let at = 0; at < size; at += ((requests.at(-1)?.size ?? 0) + 3) & ~3) requests.push(header(view, at));
      taken.push(requests);
    }
  }

  /** Sends messages as one datagram; false when the client has no room. */
  answer(...messages: Uint8Array[]): boolean {
    const bytes = Buffer.concat(messages);
    const error = this.socket.send(bytes, 0, bytes.length, 0, this.client.portId);
    if (error !== 0 && error !== -EAGAIN) throw new Error(`send: errno ${-error}`);
    return error === 0;
  }

  acknowledge(seq: number, errno = 0): boolean {
    return this.answer(acknowledgement(seq, errno));
  }
}

/** NLMSG_ERROR with an errno (0 an acknowledgement) and the header of a request of that number. */
export function acknowledgement(seq: number, errno = 0): Uint8Array {
  const payload = new Uint8Array(20);
  new DataView(payload.buffer).setInt32(0, -errno, true);
  payload.set(message({ type: K.NLMSG_MIN_TYPE, seq }), 4);
  return message({ type: K.NLMSG_ERROR, seq, payload });
}

export function reply(seq: number, text: string): Uint8Array {
  return message({ type: 100, flags: K.NLM_F_MULTI, seq, payload: new TextEncoder().encode(text) });
}

export function done(seq: number, errno = 0): Uint8Array {
  const payload = new Uint8Array(4);
  new DataView(payload.buffer).setInt32(0, -errno, true);
  return message({ type: K.NLMSG_DONE, flags: K.NLM_F_MULTI, seq, payload });
}
