/*
 * One question to nlctrl, and its answer as an object. Before it: generic.ts, which keeps answers. After it: a transaction with the kernel, or with a
 * server in user space.
 */
import { DatapathError } from '../errors.ts';
import { AttributeBuilder, type AttributeCursor } from './attributes.ts';
import { MessageBuffer } from './buffer.ts';
import * as K from './constants.ts';
import { beginGenericMessage, endMessage, MessageCursor } from './message.ts';
import { familyModule } from './modules.ts';
import { dump, transact } from './pool.ts';
import { NetlinkSocket } from './socket.ts';

/** What a family offers under one command. */
export interface GenericOperation {
  readonly command: number;
  /** GENL_ADMIN_PERM, GENL_CMD_CAP_DO and so on. */
  readonly flags: number;
}

export interface GenericFamily {
  /** nlmsg_type of its messages. */
  readonly id: number;
  readonly name: string;
  readonly version: number;
  /** Bytes between genlmsghdr and the attributes. */
  readonly headerSize: number;
  readonly maxAttribute: number;
  /** By command. */
  readonly ops: ReadonlyMap<number, GenericOperation>;
  /** Ids of the multicast groups, by name. */
  readonly groups: ReadonlyMap<string, number>;
}

const NLCTRL_VERSION = 2;
const ENOENT = 2;

/** The kernel's family of that name. Throws ERR_NETLINK_NO_SUCH_FAMILY. */
export function askKernel(name: string): GenericFamily {
  const operation = `lookup of family ${name}`;
  try {
    return only(parseFamilies(transact(K.NETLINK_GENERIC, familyRequest(name), { operation })), operation);
  } catch (error) {
    throw missing(error, `no generic Netlink family ${name}: ${moduleAdvice(name)}`);
  }
}

/** All families of the kernel. */
export function dumpFamilies(): GenericFamily[] {
  const families: GenericFamily[] = [];
  for (const message of dump(K.NETLINK_GENERIC, familyRequest(undefined), {
    operation: 'dump of families',
    retry: 3,
  })) {
    families.push(parseFamily(message));
  }
  return families;
}

/** The family of a server in user space, named by its port id. */
export async function askPeer(name: string, peer: number): Promise<GenericFamily> {
  const operation = `lookup of family ${name} at port id ${peer}`;
  using socket = NetlinkSocket.open(K.NETLINK_USERSOCK, { peer });
  try {
    return only(parseFamilies(await socket.transactAsync(familyRequest(name), { operation })), operation);
  } catch (error) {
    throw missing(error, `the server at port id ${peer} has no family ${name}`);
  }
}

/** Parses CTRL_CMD_NEWFAMILY and the like. Throws ERR_NETLINK_MALFORMED. */
export function parseFamily(message: MessageCursor): GenericFamily {
  const family = { id: 0, name: '', version: 0, headerSize: 0, maxAttribute: 0 };
  const ops = new Map<number, GenericOperation>();
  const groups = new Map<string, number>();
  const attributes = message.attributes(K.GENL_HDRLEN);
  while (attributes.next()) {
    if (attributes.type === K.CTRL_ATTR_FAMILY_ID) family.id = attributes.u16();
    else if (attributes.type === K.CTRL_ATTR_FAMILY_NAME) family.name = attributes.string();
    else if (attributes.type === K.CTRL_ATTR_VERSION) family.version = attributes.u32();
    else if (attributes.type === K.CTRL_ATTR_HDRSIZE) family.headerSize = attributes.u32();
    else if (attributes.type === K.CTRL_ATTR_MAXATTR) family.maxAttribute = attributes.u32();
    else if (attributes.type === K.CTRL_ATTR_OPS) parseOperations(attributes.nested(), ops);
    else if (attributes.type === K.CTRL_ATTR_MCAST_GROUPS) parseGroups(attributes.nested(), groups);
  }
  attributes.check();
  return { ...family, ops, groups };
}

function parseFamilies(bytes: Uint8Array): GenericFamily[] {
  const families: GenericFamily[] = [];
  const cursor = new MessageCursor(bytes);
  while (cursor.next()) if (cursor.type === K.GENL_ID_CTRL) families.push(parseFamily(cursor));
  cursor.check();
  return families;
}

function parseOperations(list: AttributeCursor, ops: Map<number, GenericOperation>): void {
  while (list.next()) {
    let command = 0;
    let flags = 0;
    for (const inner = list.nested(); inner.next(); ) {
      if (inner.type === K.CTRL_ATTR_OP_ID) command = inner.u32();
      else if (inner.type === K.CTRL_ATTR_OP_FLAGS) flags = inner.u32();
    }
    ops.set(command, { command, flags });
  }
}

function parseGroups(list: AttributeCursor, groups: Map<string, number>): void {
  while (list.next()) {
    let name = '';
    let id = 0;
    for (const inner = list.nested(); inner.next(); ) {
      if (inner.type === K.CTRL_ATTR_MCAST_GRP_NAME) name = inner.string();
      else if (inner.type === K.CTRL_ATTR_MCAST_GRP_ID) id = inner.u32();
    }
    groups.set(name, id);
  }
}

function familyRequest(name: string | undefined): Uint8Array<ArrayBufferLike> {
  const buffer = new MessageBuffer();
  const start = beginGenericMessage(buffer, K.GENL_ID_CTRL, K.CTRL_CMD_GETFAMILY, NLCTRL_VERSION, K.NLM_F_REQUEST);
  if (name !== undefined) new AttributeBuilder(buffer).string(K.CTRL_ATTR_FAMILY_NAME, name).finish();
  endMessage(buffer, start);
  return buffer.bytes;
}

function only(families: readonly GenericFamily[], operation: string): GenericFamily {
  if (families.length === 1 && families[0].id !== 0) return families[0];
  throw new DatapathError('ERR_NETLINK_MALFORMED', `${operation}: the answer holds no family`, { operation });
}

function missing(error: unknown, message: string): unknown {
  if (!(error instanceof DatapathError) || error.errno !== ENOENT) return error;
  const { operation } = error;
  return new DatapathError('ERR_NETLINK_NO_SUCH_FAMILY', message, { errno: ENOENT, operation, cause: error });
}

function moduleAdvice(name: string): string {
  const module = familyModule(name);
  if (module === undefined) return 'the kernel module that offers it is not loaded, or there is none';
  return `the kernel module ${module} is not loaded (modprobe ${module})`;
}
