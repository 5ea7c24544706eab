/*
 * One request on the serving side: which family, which operation, may the sender, are the attributes right, and then the handler.
 *
 * Before it: the peer, with one message of a datagram. After it: the handler, and the peer, which sends the answer. The order of the checks and the
 * errno of each are those of the kernel's netlink_rcv_skb and genl_rcv_msg, so that the same wrong request gets the same answer:
 *
 *   no NLM_F_REQUEST, or a type below NLMSG_MIN_TYPE     nothing is done; acknowledged when NLM_F_ACK is set
 *   no such family                                       ENOENT
 *   shorter than its headers                             EINVAL
 *   a reserved field or flag that is not zero            EINVAL (commands from `reservedFrom` on)
 *   no such command, or no `do` (`dump`) in it           EOPNOTSUPP
 *   `admin` and the sender is none                       EPERM
 *   a second dump of one socket                          EBUSY
 *   attributes against the policy                        the errno and words of the kernel's validation
 *
 * An acknowledgement comes when it was asked for, a refusal always. A dump has neither, its NLMSG_DONE says the errno. A refusal does not
 * keep the other messages of its datagram from being handled.
 */
import { constants } from 'node:os';
import * as K from '../constants.ts';
import { acknowledgement, type Outcome } from './acknowledge.ts';
import { checkAttributes } from './checked-attributes.ts';
import { Dump, dumpFlags } from './dump.ts';
import type { Family, Operation, ParsedRequest } from './family.ts';
import { isFailure, outcomeOf } from './outcome.ts';
import type { Peer, RequestDatagram, RequestMessage } from './peer.ts';
import type { FamilyRegistry, RegisteredFamily } from './registry.ts';
import { Reply } from './reply.ts';

const { ENOENT, EINVAL, EOPNOTSUPP, EPERM, EBUSY } = constants.errno;
const HEADERS_SIZE = K.NLMSG_HDRLEN + K.GENL_HDRLEN;
const GENL_RESERVED = K.NLMSG_HDRLEN + 2;
const FLAGS_WITH_MEANING = K.NLM_F_REQUEST | K.NLM_F_ACK | K.NLM_F_ECHO;

export interface DispatcherOptions {
  readonly registry: FamilyRegistry;
  isAdministrator(datagram: RequestDatagram): boolean;
  /** Sends a notification to all subscribers of a group but `except`; returns how many got it. */
  notifyGroup(group: number, bytes: Uint8Array<ArrayBufferLike>, except: Peer | undefined): number;
  /** A handler threw what is no refusal. */
  onFailure(error: unknown, request: ParsedRequest<unknown>): void;
}

/** A request with what was found out about it. */
interface Found {
  readonly peer: Peer;
  readonly message: Uint8Array;
  readonly registered: RegisteredFamily;
  readonly operation: Operation<unknown>;
  readonly request: ParsedRequest<unknown>;
  /** What the extended acknowledgement says when nobody says anything else. */
  readonly warning: string | undefined;
}

export class Dispatcher {
  readonly #options: DispatcherOptions;
  /** Requests handled, and those refused among them. */
  requests = 0;
  refused = 0;

  constructor(options: DispatcherOptions) {
    this.#options = options;
  }

  dispatch(peer: Peer, { datagram, bytes }: RequestMessage): void | Promise<void> {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const type = view.getUint16(K.NLMSG_TYPE, true);
    const flags = view.getUint16(K.NLMSG_FLAGS, true);
    if ((flags & K.NLM_F_REQUEST) === 0 || type < K.NLMSG_MIN_TYPE) {
      return this.#conclude(peer, bytes, { errno: 0 });
    }
    this.requests++;
    const found = this.#found(peer, datagram, bytes, view);
    if ('errno' in found) return this.#conclude(peer, bytes, found);
    if ((flags & K.NLM_F_DUMP) === K.NLM_F_DUMP) return this.#startDump(found);
    return this.#do(found);
  }

  /** An embedder's isAdministrator may throw: then nobody is one, and the client gets EIO. */
  #found(peer: Peer, datagram: RequestDatagram, message: Uint8Array, view: DataView): Found | Outcome {
    try {
      return this.#find(peer, datagram, message, view);
    } catch (error) {
      return outcomeOf(error);
    }
  }

  /** The operation that is asked for, and the request as its handler gets it; or why not. */
  #find(peer: Peer, datagram: RequestDatagram, message: Uint8Array, view: DataView): Found | Outcome {
    const registered = this.#options.registry.byId(view.getUint16(K.NLMSG_TYPE, true));
    if (registered === undefined) return { errno: ENOENT };
    const { family } = registered;
    if (message.length < HEADERS_SIZE + family.headerSize) return { errno: EINVAL };
    const reserved = checkReserved(family, view);
    if (reserved !== undefined) return reserved;
    const flags = view.getUint16(K.NLMSG_FLAGS, true);
    const isDump = (flags & K.NLM_F_DUMP) === K.NLM_F_DUMP;
    const command = message[K.NLMSG_HDRLEN];
    const operation = family.ops.get(command);
    if (operation === undefined || (isDump ? operation.dump : operation.do) === undefined) return { errno: EOPNOTSUPP };
    if (operation.flags?.admin === true && !this.#options.isAdministrator(datagram)) return { errno: EPERM };
    if (isDump && peer.dumpRunning) return { errno: EBUSY };
    const attributesOffset = HEADERS_SIZE + family.headerSize;
    const attributes = checkAttributes(operation, message, attributesOffset, isDump);
    if (attributes.refusal !== undefined) return attributes.refusal;
    const request: ParsedRequest<unknown> = {
      command,
      version: message[K.NLMSG_HDRLEN + 1],
      flags,
      seq: view.getUint32(K.NLMSG_SEQ, true),
      echo: (flags & K.NLM_F_ECHO) !== 0,
      sender: datagram.sender,
      header: message.subarray(HEADERS_SIZE, attributesOffset),
      attributes: attributes.values,
      message,
      attributesOffset,
    };
    return { peer, message, registered, operation, request, warning: attributes.warning };
  }

  #do(found: Found): void | Promise<void> {
    const { peer, registered, operation, request } = found;
    const reply = new Reply(registered, request.seq, peer.portId);
    try {
      const pending = operation.do?.(request, reply);
      if (!(pending instanceof Promise)) return this.#answer(found, reply);
      return pending.then(() => this.#answer(found, reply)).catch((error) => this.#refuse(found, error));
    } catch (error) {
      this.#refuse(found, error);
    }
  }

  #answer({ peer, message, request, warning }: Found, reply: Reply): void {
    for (const part of reply.parts) {
      const bytes = reply.bytes(part);
      if (part.group !== undefined) this.#options.notifyGroup(part.group, bytes, request.echo ? peer : undefined);
      if (part.group === undefined || request.echo) peer.send(bytes);
    }
    this.#conclude(peer, message, { errno: 0, message: reply.warning ?? warning });
  }

  #startDump(found: Found): void {
    const { peer, registered, operation, request } = found;
    try {
      const flags = dumpFlags(operation);
      const reply = new Reply(registered, request.seq, peer.portId, flags);
      const steps = operation.dump?.(request, reply) ?? [];
      const iterator = Symbol.asyncIterator in steps ? steps[Symbol.asyncIterator]() : steps[Symbol.iterator]();
      const failed = (error: unknown): Outcome => this.#outcomeOf(error, request);
      peer.startDump(new Dump(peer, reply, request.seq, iterator, flags, failed), registered.id);
    } catch (error) {
      this.#refuse(found, error);
    }
  }

  #refuse({ peer, message, request, warning }: Found, error: unknown): void {
    const outcome = this.#outcomeOf(error, request);
    this.#conclude(peer, message, { ...outcome, message: outcome.message ?? warning });
  }

  #conclude(peer: Peer, message: Uint8Array, outcome: Outcome): void {
    if (outcome.errno !== 0) this.refused++;
    const asked = (message[K.NLMSG_FLAGS] & K.NLM_F_ACK) !== 0;
    if (asked || outcome.errno !== 0) peer.send(acknowledgement(message, peer.portId, outcome, peer));
  }

  #outcomeOf(error: unknown, request: ParsedRequest<unknown>): Outcome {
    if (isFailure(error)) this.#options.onFailure(error, request);
    return outcomeOf(error);
  }
}

function checkReserved(family: Family, view: DataView): Outcome | undefined {
  if (view.getUint8(K.NLMSG_HDRLEN) < family.reservedFrom) return undefined;
  if (view.getUint16(GENL_RESERVED, true) !== 0) {
    return { errno: EINVAL, message: 'genlmsghdr.reserved field is not 0' };
  }
  let flags = view.getUint16(K.NLMSG_FLAGS, true);
  if ((flags & K.NLM_F_DUMP) === K.NLM_F_DUMP) flags &= ~K.NLM_F_DUMP;
  if ((flags & ~FLAGS_WITH_MEANING) === 0) return undefined;
  return { errno: EINVAL, message: 'ambiguous or reserved bits set in nlmsg_flags' };
}
