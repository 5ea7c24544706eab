/*
 * The request at hand: what dispatch.ts found out about it, for the handlers of the families.
 *
 *     if (attr(OVS_DP_ATTR_NAME) == 0) return -EINVAL;
 *     const features = attrU32(OVS_DP_ATTR_USER_FEATURES);      // 0 when the attribute is not there
 *
 * Ownership: the request's bytes are the host's, the table of attributes is the socket's. Threads: globals, so each instance has its own request.
 */
import { SOCKET_ATTRS, SOCKET_PORT_ID, SOCKET_SCRATCH } from '../constants';
import { attrPayload } from '../netlink/attribute';
import { messageDpIfindex, messageFlags, messageSeq } from '../netlink/header';

/** The socket that sent it. */
export let socket: usize = 0;
export let portId: u32 = 0;
/** Address of its nlmsghdr. */
export let request: usize = 0;
export let family: u32 = 0;

export function useSocket(address: usize): void {
  socket = address;
  portId = load<u32>(address, SOCKET_PORT_ID);
}

export function useRequest(message: usize, id: u32): void {
  request = message;
  family = id;
}

/** A dump goes on: its request is gone, its family is not. */
export function useFamily(id: u32): void {
  family = id;
}

@inline
export function requestFlags(): u32 {
  return messageFlags(request);
}

@inline
export function requestSeq(): u32 {
  return messageSeq(request);
}

@inline
export function requestIfindex(): i32 {
  return messageDpIfindex(request);
}

/** SOCKET_SCRATCH_SIZE bytes to work in, until the handler returns. */
@inline
export function scratch(): usize {
  return socket + SOCKET_SCRATCH;
}

/** Address of the attribute of this type, 0 when there is none. */
@inline
export function attr(type: u32): usize {
  return load<u32>(socket + SOCKET_ATTRS + (type << 2));
}

/** Value of an attribute that the policy says is a u32; 0 when there is none. */
@inline
export function attrU32(type: u32): u32 {
  const a = attr(type);
  return a == 0 ? 0 : load<u32>(attrPayload(a));
}
