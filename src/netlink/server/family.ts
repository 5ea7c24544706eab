/*
 * What a generic Netlink family is to the server that offers it: a table of operations, as the kernel's genl_family and genl_ops.
 *
 * Before it: whoever offers a family. After it: FamilyServer, which gives it an id, checks requests as the table says and calls the handlers.
 *
 *     const switches = defineFamily({
 *       name: 'switches',
 *       groups: { events: {} },
 *       ops: {
 *         [GET]: { policy: switchPolicy, do: get, *dump(request, reply) { for (const it of all) { write(reply, it); yield; } } },
 *         [SET]: { policy: switchPolicy, flags: { admin: true }, do(request, reply) { rename(request.attributes.name); } },
 *       },
 *     });
 *
 * Handlers. `do` returns, or a promise of it; requests of one socket are handled in their order, one at a time. It refuses by throwing a
 * DatapathError with an errno (`refuse` makes one); anything else that it throws is a failure of the server: the client gets EIO, and the server
 * counts and reports it. What it wrote before it threw is not sent. `dump` returns an iterator: each step writes one or more messages, and
 * steps are taken only as fast as the reader reads. What it throws before it returns the iterator refuses the request, what the iterator
 * throws is the errno of NLMSG_DONE.
 *
 * Threads: the server's.
 */
import type { DatapathError } from '../../errors.ts';
import type { AttributeBuilder } from '../attributes.ts';
import { GENL_NAMSIZ } from '../constants.ts';
import { netlinkError } from '../errors.ts';
import type { Policy } from '../policy.ts';
import type { Sender } from './credentials.ts';

/** How strictly attributes are checked: `strict` refuses unknown types and trailing bytes (NL_VALIDATE_STRICT), `liberal` lets them pass. */
export type Strictness = 'strict' | 'liberal';

/** A request whose header, permission and attributes were checked. */
export interface ParsedRequest<T> {
  readonly command: number;
  readonly version: number;
  /** nlmsg_flags */
  readonly flags: number;
  readonly seq: number;
  /** NLM_F_ECHO: the client wants to see the notification that its request causes. ReplyBuilder.notify heeds it. */
  readonly echo: boolean;
  readonly sender: Sender;
  /** The family's own header, `headerSize` bytes. */
  readonly header: Uint8Array;
  /** By the policy; without one, nothing. */
  readonly attributes: T;
  /** The whole message. It is the request's own copy and may be kept. */
  readonly message: Uint8Array;
  /** Where the attributes begin in `message`. */
  readonly attributesOffset: number;
}

/** Writes the attributes of one message. */
export type WriteAttributes = (attributes: AttributeBuilder) => void;

export interface ReplyBuilder {
  /** Adds a message to the answer, with the family's own header (default: zeros). */
  message(command: number, write?: WriteAttributes, header?: Uint8Array): this;
  /**
   * Tells the subscribers of the family's group, the requester excepted unless it is one of them and did not ask for an echo; with NLM_F_ECHO
   * the requester gets it as a part of its answer (genl_notify). Sent when the handler has returned.
   */
  notify(group: string, command: number, write?: WriteAttributes, header?: Uint8Array): this;
  /** A warning that goes with the acknowledgement (NLMSGERR_ATTR_MSG). */
  warn(text: string): this;
}

export interface Operation<T> {
  readonly policy?: Policy<T>;
  readonly flags?: {
    /** Only for administrators (GENL_ADMIN_PERM); see credentials.ts. */
    readonly admin?: boolean;
  };
  /** Default 'strict'. */
  readonly validate?: Strictness;
  /** The same for dump requests; default as `validate`. 'none' leaves the attributes of a dump alone (GENL_DONT_VALIDATE_DUMP). */
  readonly validateDump?: Strictness | 'none';
  do?(request: ParsedRequest<T>, reply: ReplyBuilder): void | Promise<void>;
  dump?(request: ParsedRequest<T>, reply: ReplyBuilder): Iterable<unknown> | AsyncIterable<unknown>;
  /** Changes whenever what is dumped changes: a dump during which it does is marked (NLM_F_DUMP_INTR). */
  generation?(): number;
}

export interface GroupDefinition {
  /** Only administrators may subscribe (GENL_MCAST_CAP_NET_ADMIN). */
  readonly admin?: boolean;
}

export interface FamilyDefinition<T> {
  /** At most 15 bytes. */
  readonly name: string;
  /** Default 1. As in the kernel it is only told, not checked. */
  readonly version?: number;
  /** Bytes of the header between genlmsghdr and the attributes, a multiple of 4; default 0. */
  readonly headerSize?: number;
  /** Highest attribute type, as told to clients; default: the highest of the policies. */
  readonly maxAttribute?: number;
  /** By command, 0 to 255. */
  readonly ops: { readonly [K in keyof T]: Operation<T[K]> };
  readonly groups?: { readonly [name: string]: GroupDefinition };
  /**
   * Commands from this one on refuse a reserved field in genlmsghdr and flags other than REQUEST, ACK, ECHO and DUMP (the kernel's
   * resv_start_op). Default: all do; 256: none.
   */
  readonly reservedFrom?: number;
}

/** Made by defineFamily. */
export interface Family {
  readonly name: string;
  readonly version: number;
  readonly headerSize: number;
  readonly maxAttribute: number;
  readonly ops: ReadonlyMap<number, Operation<unknown>>;
  readonly groups: ReadonlyMap<string, GroupDefinition>;
  readonly reservedFrom: number;
}

/** Checks the table; TypeError or RangeError says what is wrong with it. */
export function defineFamily<T extends Record<number, unknown>>(definition: FamilyDefinition<T>): Family {
  const { name, version = 1, headerSize = 0, reservedFrom = 0 } = definition;
  const groups = new Map(Object.entries(definition.groups ?? {}));
  for (const text of [name, ...groups.keys()]) {
    const size = Buffer.byteLength(text);
    if (size === 0 || size >= GENL_NAMSIZ || text.includes('\0'))
      throw new RangeError(`"${text}": a name has 1 to ${GENL_NAMSIZ - 1} bytes`);
  }
  if (headerSize % 4 !== 0 || headerSize < 0)
    throw new RangeError(`family ${name}: headerSize must be a multiple of 4`);
  const ops = new Map<number, Operation<unknown>>();
  let maxAttribute = definition.maxAttribute ?? 0;
  for (const [key, operation] of Object.entries<Operation<unknown>>(definition.ops)) {
    const command = Number(key);
    if (!Number.isInteger(command) || command < 0 || command > 255)
      throw new RangeError(`family ${name}: command ${key} is not 0 to 255`);
    if (operation.do === undefined && operation.dump === undefined)
      throw new TypeError(`family ${name}: command ${key} has neither do nor dump`);
    if (definition.maxAttribute === undefined) maxAttribute = Math.max(maxAttribute, operation.policy?.maxType ?? 0);
    ops.set(command, operation);
  }
  return { name, version, headerSize, maxAttribute, ops, groups, reservedFrom };
}

/** What a handler throws to refuse a request: the errno (positive) and what the extended acknowledgement says. */
export function refuse(errno: number, message?: string, attributeOffset?: number): DatapathError {
  return netlinkError(errno, 'request', { message, offset: attributeOffset });
}
