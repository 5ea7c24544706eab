/*
 * The two families that every server has: nlctrl, by which clients look up the others, and netlink_sockopt, for what a client would tell the
 * kernel by setsockopt. Defined like any other family. Before it: FamilyServer. After it: the registry and the peers.
 *
 * nlctrl: CTRL_CMD_GETFAMILY by id or name, and as a dump; its group `notify` tells of families that come and go. Layouts are the kernel's.
 *
 * netlink_sockopt: the kernel keeps multicast on NETLINK_USERSOCK for privileged processes, and does not tell a server which options its client's
 * socket has. So the client sends what it would have called: SETSOCKOPT with OPTION and VALUE (both u32), setsockopt(SOL_NETLINK, option, &value)
 * as a message; a library that wraps setsockopt can translate one into the other. NETLINK_ADD_MEMBERSHIP and NETLINK_DROP_MEMBERSHIP (a
 * group's id; notifications then come by unicast, from the server's port), NETLINK_CAP_ACK and NETLINK_EXT_ACK. It is in force for the socket
 * that sent it, until that is closed.
 */
import { constants } from 'node:os';
import type { AttributeBuilder } from '../attributes.ts';
import * as K from '../constants.ts';
import { definePolicy } from '../policy.ts';
import type { Sender } from './credentials.ts';
import { defineFamily, type Family, type Operation, refuse, type WriteAttributes } from './family.ts';
import type { FamilyRegistry, RegisteredFamily } from './registry.ts';

const { EINVAL, ENOENT } = constants.errno;

/** Commands and attributes of netlink_sockopt. */
export const SOCKOPT_FAMILY = 'netlink_sockopt';
export const SOCKOPT_CMD_SET = 1;
export const SOCKOPT_ATTR_OPTION = 1;
export const SOCKOPT_ATTR_VALUE = 2;

const NLCTRL_VERSION = 2;

const familyPolicy = definePolicy({
  id: { type: K.CTRL_ATTR_FAMILY_ID, kind: 'u16' },
  name: { type: K.CTRL_ATTR_FAMILY_NAME, kind: 'nulString', sizeMax: K.GENL_NAMSIZ - 1 },
});

/** nlctrl over the families of `registry`. */
export function controlFamily(registry: FamilyRegistry): Family {
  return defineFamily({
    name: 'nlctrl',
    version: NLCTRL_VERSION,
    maxAttribute: 0,
    reservedFrom: K.CTRL_CMD_GETPOLICY + 1,
    groups: { notify: {} },
    ops: {
      [K.CTRL_CMD_GETFAMILY]: {
        policy: familyPolicy,
        validate: 'liberal',
        validateDump: 'none',
        do({ attributes: { id, name } }, reply) {
          if (id === undefined && name === undefined) throw refuse(EINVAL);
          const registered = name !== undefined ? registry.byName(name) : registry.byId(id ?? 0);
          if (registered === undefined) throw refuse(ENOENT);
          reply.message(K.CTRL_CMD_NEWFAMILY, describeFamily(registered));
        },
        *dump(_request, reply) {
          for (const registered of registry.all()) {
            yield reply.message(K.CTRL_CMD_NEWFAMILY, describeFamily(registered));
          }
        },
      },
    },
  });
}

/** Attributes of a family as in CTRL_CMD_NEWFAMILY. Nests without NLA_F_NESTED, as nlctrl's are. */
export function describeFamily({ id, family, groups }: RegisteredFamily): WriteAttributes {
  return (attributes) => {
    attributes.string(K.CTRL_ATTR_FAMILY_NAME, family.name).u16(K.CTRL_ATTR_FAMILY_ID, id);
    attributes.u32(K.CTRL_ATTR_VERSION, family.version).u32(K.CTRL_ATTR_HDRSIZE, family.headerSize);
    attributes.u32(K.CTRL_ATTR_MAXATTR, family.maxAttribute);
    const ops = [...family.ops].sort(([one], [other]) => one - other);
    writeList(attributes, K.CTRL_ATTR_OPS, ops, ([command, operation]) => {
      attributes.u32(K.CTRL_ATTR_OP_ID, command).u32(K.CTRL_ATTR_OP_FLAGS, operationFlags(operation));
    });
    writeGroups(attributes, [...groups]);
  };
}

/** Attributes of a single group as in CTRL_CMD_NEWMCAST_GRP. */
export function describeGroup({ id, family }: RegisteredFamily, name: string, group: number): WriteAttributes {
  return (attributes) => {
    attributes.string(K.CTRL_ATTR_FAMILY_NAME, family.name).u16(K.CTRL_ATTR_FAMILY_ID, id);
    writeGroups(attributes, [[name, group]]);
  };
}

function writeGroups(attributes: AttributeBuilder, groups: readonly (readonly [string, number])[]): void {
  writeList(attributes, K.CTRL_ATTR_MCAST_GROUPS, groups, ([name, id]) => {
    attributes.u32(K.CTRL_ATTR_MCAST_GRP_ID, id).string(K.CTRL_ATTR_MCAST_GRP_NAME, name);
  });
}

/** A nest of nests that are numbered from 1; nothing for an empty list. */
function writeList<T>(attributes: AttributeBuilder, type: number, items: readonly T[], write: (item: T) => void): void {
  if (items.length === 0) return;
  const list = attributes.nestStart(type, 0);
  for (const [index, item] of items.entries()) attributes.nest(index + 1, () => write(item), 0);
  attributes.nestEnd(list);
}

function operationFlags(operation: Operation<unknown>): number {
  let flags = operation.flags?.admin === true ? K.GENL_ADMIN_PERM : 0;
  if (operation.do !== undefined) flags |= K.GENL_CMD_CAP_DO;
  if (operation.dump !== undefined) flags |= K.GENL_CMD_CAP_DUMP;
  if (operation.policy !== undefined) flags |= K.GENL_CMD_CAP_HASPOL;
  return flags;
}

/** Carries out one option for the socket that asked; throws what refuses it. */
export type SetOption = (sender: Sender, option: number, value: number) => void;

const sockoptPolicy = definePolicy({
  option: { type: SOCKOPT_ATTR_OPTION, kind: 'u32', required: true },
  value: { type: SOCKOPT_ATTR_VALUE, kind: 'u32', required: true },
});

export function sockoptFamily(setOption: SetOption): Family {
  return defineFamily({
    name: SOCKOPT_FAMILY,
    ops: {
      [SOCKOPT_CMD_SET]: {
        policy: sockoptPolicy,
        do({ attributes: { option, value }, sender }) {
          setOption(sender, option, value);
        },
      },
    },
  });
}
