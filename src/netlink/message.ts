/*
 * Netlink messages: writing their headers into a MessageBuffer, and walking the messages of a datagram.
 *
 * A message is nlmsghdr (16 bytes: size, type, flags, sequence, port id), in generic Netlink genlmsghdr (4 bytes: command, version) and perhaps
 * a header of the family, then attributes. A datagram holds messages one after the other, each at a multiple of four.
 *
 * Before it: whoever makes a request; a socket that received a datagram. After it: attributes.ts. The sequence number and the port id are the
 * socket's to write. Ownership: the cursor reads the caller's bytes and copies nothing unless it says so. Threads: whoever has the object.
 */
import { DatapathError } from '../errors.ts';
import type { ByteView } from '../native/netlink.ts';
import { AttributeCursor } from './attributes.ts';
import type { MessageBuffer } from './buffer.ts';
import * as K from './constants.ts';

/** Largest errno of the kernel (MAX_ERRNO). */
const ERRNO_MAX = 4095;
/** What an error message is taken for that holds no errno. */
const EPROTO = 71;
/** struct nlmsgerr without what follows the request's header. */
const NLMSGERR_SIZE = 4 + K.NLMSG_HDRLEN;

/** Begins a message behind the content of `buffer`. Returns where; keep it for endMessage. */
export function beginMessage(buffer: MessageBuffer, type: number, flags: number): number {
  buffer.align();
  const start = buffer.put(K.NLMSG_HDRLEN);
  if (start < 0) return -1;
  buffer.setU32(start + K.NLMSG_LEN, K.NLMSG_HDRLEN);
  buffer.setU16(start + K.NLMSG_TYPE, type);
  buffer.setU16(start + K.NLMSG_FLAGS, flags);
  return start;
}

/** The same with genlmsghdr. A family's own header, if it has one, is the caller's to put next. */
export function beginGenericMessage(
  buffer: MessageBuffer,
  family: number,
  command: number,
  version: number,
  flags: number,
): number {
  const start = beginMessage(buffer, family, flags);
  const header = buffer.put(K.GENL_HDRLEN);
  if (header < 0) return -1;
  buffer.setU8(header, command);
  buffer.setU8(header + 1, version);
  return start;
}

/** Writes the size of the message begun at `start`. Throws what went wrong since (ERR_NETLINK_TOO_LARGE). Returns the size. */
export function endMessage(buffer: MessageBuffer, start: number): number {
  buffer.check();
  const size = buffer.size - start;
  buffer.setU32(start + K.NLMSG_LEN, size);
  return size;
}

/** What the kernel says about a request beyond its errno (enum nlmsgerr_attrs). */
export interface ExtendedAck {
  message?: string;
  /** Of the attribute at fault, from the start of the request. */
  offset?: number;
  /** Type of an attribute that is missing, and the offset of the nest that it is missing in. */
  missingType?: number;
  missingNest?: number;
  /** What the family gives with a success. */
  cookie?: Uint8Array<ArrayBuffer>;
  /** The policy of the attribute at fault, as attributes NL_POLICY_TYPE_ATTR_*; kernelRule of policy-dump.ts reads it. */
  policy?: Uint8Array<ArrayBuffer>;
}

export class MessageCursor {
  /** Why the walk ended early: a message that says it has another size than it can have (ERR_NETLINK_MALFORMED). */
  error: DatapathError | undefined;
  readonly bytes: ByteView;
  private readonly end: number;
  private at = 0;
  private following: number;
  private messageSize = 0;

  /** Walks the messages in `bytes` from `offset`, `size` bytes of them: one datagram. */
  constructor(bytes: ByteView, offset = 0, size = bytes.length - offset) {
    if (offset < 0 || size < 0 || offset + size > bytes.length)
      throw new RangeError('the messages lie outside of the bytes');
    this.bytes = bytes;
    this.following = offset;
    this.end = offset + size;
  }

  /** Goes to the next message. False at the end of the datagram and from the first error on. */
  next(): boolean {
    const at = this.following;
    const rest = this.end - at;
    if (this.error !== undefined || rest <= 0) return false;
    if (rest < K.NLMSG_HDRLEN) return this.malformed(at, `${rest} bytes left over after messages`);
    const size = this.read32(at + K.NLMSG_LEN);
    if (size < K.NLMSG_HDRLEN || size > rest)
      return this.malformed(at, `a message of ${size} bytes, ${rest} are there`);
    this.at = at;
    this.messageSize = size;
    this.following = at + ((size + 3) & ~3);
    return true;
  }

  /** What was not walked yet, and goes to its end; undefined when there is nothing left. A view. */
  rest(): ByteView | undefined {
    const at = this.following;
    if (this.error !== undefined || at >= this.end) return undefined;
    this.following = this.end;
    return this.bytes.subarray(at, this.end);
  }

  /** Throws the error that ended the walk. */
  check(): void {
    if (this.error !== undefined) throw this.error;
  }

  /** Where the message begins in `bytes`. */
  get offset(): number {
    return this.at;
  }

  /** nlmsg_len: bytes of the message, headers included. */
  get size(): number {
    return this.messageSize;
  }

  get type(): number {
    return this.read16(this.at + K.NLMSG_TYPE);
  }

  get flags(): number {
    return this.read16(this.at + K.NLMSG_FLAGS);
  }

  get seq(): number {
    return this.read32(this.at + K.NLMSG_SEQ);
  }

  get portId(): number {
    return this.read32(this.at + K.NLMSG_PID);
  }

  /** Where in `bytes` that begins which follows nlmsghdr. */
  get payloadOffset(): number {
    return this.at + K.NLMSG_HDRLEN;
  }

  get payloadSize(): number {
    return this.messageSize - K.NLMSG_HDRLEN;
  }

  /** Of a generic Netlink message; 0 when it is too short to have one. */
  get command(): number {
    return this.payloadSize < K.GENL_HDRLEN ? 0 : this.bytes[this.payloadOffset];
  }

  get version(): number {
    return this.payloadSize < K.GENL_HDRLEN ? 0 : this.bytes[this.payloadOffset + 1];
  }

  get isError(): boolean {
    return this.type === K.NLMSG_ERROR;
  }

  get isDone(): boolean {
    return this.type === K.NLMSG_DONE;
  }

  /** A copy of the message, headers included. */
  message(): Uint8Array<ArrayBuffer> {
    return new Uint8Array(this.bytes.subarray(this.at, this.at + this.messageSize));
  }

  /**
   * The attributes behind nlmsghdr and `headerSize` more bytes (GENL_HDRLEN and the family's header, or the family's alone outside of generic
   * Netlink). Offsets count from the start of the message. A message too short for its header has an error instead of attributes.
   */
  attributes(headerSize = 0): AttributeCursor {
    const skipped = (headerSize + 3) & ~3;
    const size = Math.max(0, this.payloadSize - skipped);
    const cursor = new AttributeCursor(
      this.bytes,
      this.payloadOffset + Math.min(skipped, this.payloadSize),
      size,
      this.at,
    );
    if (this.payloadSize < headerSize) {
      this.malformed(this.at, `a message of ${this.messageSize} bytes is shorter than its headers`);
      cursor.error = this.error;
    }
    return cursor;
  }

  /**
   * The errno in NLMSG_ERROR (0: an acknowledgement) or NLMSG_DONE, positive; 0 for other messages. One that cannot be read, or that no kernel
   * would give, is EPROTO and never a success.
   */
  errno(): number {
    if (!this.isError && !this.isDone) return 0;
    if (this.payloadSize < 4) return this.isDone && this.payloadSize === 0 ? 0 : EPROTO;
    const errno = 0 - (this.read32(this.payloadOffset) | 0);
    return errno >= 0 && errno <= ERRNO_MAX ? errno : EPROTO;
  }

  /** What came with NLMSG_ERROR or NLMSG_DONE; empty when there was nothing or it is malformed. */
  extendedAck(): ExtendedAck {
    const ack: ExtendedAck = {};
    const skipped = this.extendedAckOffset();
    if (skipped > this.payloadSize) return ack;
    const cursor = new AttributeCursor(this.bytes, this.payloadOffset + skipped, this.payloadSize - skipped, this.at);
    while (cursor.next()) {
      if (cursor.type === K.NLMSGERR_ATTR_MSG) ack.message = cursor.string();
      else if (cursor.type === K.NLMSGERR_ATTR_OFFS) ack.offset = cursor.u32();
      else if (cursor.type === K.NLMSGERR_ATTR_COOKIE) ack.cookie = cursor.bytes();
      else if (cursor.type === K.NLMSGERR_ATTR_POLICY) ack.policy = cursor.bytes();
      else if (cursor.type === K.NLMSGERR_ATTR_MISS_TYPE) ack.missingType = cursor.u32();
      else if (cursor.type === K.NLMSGERR_ATTR_MISS_NEST) ack.missingNest = cursor.u32();
    }
    return cursor.error === undefined ? ack : {};
  }

  /** Bytes of the payload before the attributes of the extended acknowledgement; more than there are when there is none. */
  private extendedAckOffset(): number {
    if ((this.flags & K.NLM_F_ACK_TLVS) === 0) return Number.POSITIVE_INFINITY;
    if (this.isDone) return 4;
    if (!this.isError || this.payloadSize < NLMSGERR_SIZE) return Number.POSITIVE_INFINITY;
    if ((this.flags & K.NLM_F_CAPPED) !== 0) return NLMSGERR_SIZE;
    const requestSize = this.read32(this.payloadOffset + 4);
    return 4 + Math.max(K.NLMSG_HDRLEN, Math.ceil(requestSize / 4) * 4);
  }

  private read16(at: number): number {
    return this.bytes[at] | (this.bytes[at + 1] << 8);
  }

  private read32(at: number): number {
    const { bytes } = this;
    return (bytes[at] | (bytes[at + 1] << 8) | (bytes[at + 2] << 16) | (bytes[at + 3] << 24)) >>> 0;
  }

  private malformed(at: number, problem: string): false {
    this.error ??= new DatapathError('ERR_NETLINK_MALFORMED', `at offset ${at}: ${problem}`);
    return false;
  }
}
