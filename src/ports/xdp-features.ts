/*
 * What an interface can do with XDP, as the kernel tells it (the generic Netlink family `netdev`, Linux 6.3). Before it: ports that other ports' XDP programs are to
 * send frames out of. After it: src/netlink/. Threads: any.
 */
import { DatapathError } from '../errors.ts';
import { AttributeBuilder } from '../netlink/attributes.ts';
import { MessageBuffer } from '../netlink/buffer.ts';
import * as K from '../netlink/constants.ts';
import { lookupFamily, lookupGroup } from '../netlink/generic.ts';
import { beginGenericMessage, endMessage, MessageCursor } from '../netlink/message.ts';
import { type Subscription, subscribe } from '../netlink/multicast.ts';
import { transact } from '../netlink/pool.ts';

const FAMILY = 'netdev';
const GROUP = 'mgmt';
const VERSION = 1;
const NETDEV_CMD_DEV_GET = 1;
const NETDEV_A_DEV_IFINDEX = 1;
const NETDEV_A_DEV_XDP_FEATURES = 3;
const GENL_HEADER_SIZE = 4;
/** NETDEV_XDP_ACT_NDO_XMIT: it takes frames that XDP programs redirect to it. */
const NDO_XMIT = 4n;

/** The interface takes frames that XDP programs of others send to it. False also where the kernel does not say. */
export function takesXdpFrames(ifindex: number): boolean {
  try {
    const buffer = new MessageBuffer();
    const start = beginGenericMessage(buffer, lookupFamily(FAMILY).id, NETDEV_CMD_DEV_GET, VERSION, K.NLM_F_REQUEST);
    new AttributeBuilder(buffer).u32(NETDEV_A_DEV_IFINDEX, ifindex).finish();
    endMessage(buffer, start);
    const operation = `XDP features of interface ${ifindex}`;
    const cursor = new MessageCursor(transact(K.NETLINK_GENERIC, buffer.bytes, { operation }));
    if (!cursor.next()) return false;
    const attributes = cursor.attributes(GENL_HEADER_SIZE);
    while (attributes.next())
      if (attributes.type === NETDEV_A_DEV_XDP_FEATURES) return (attributes.u64() & NDO_XMIT) !== 0n;
    return false;
  } catch (error) {
    if (error instanceof DatapathError) return false;
    throw error;
  }
}

/** Notifications of such changes; undefined where there are none. */
export function subscribeFeatures(): Subscription | undefined {
  try {
    return subscribe(K.NETLINK_GENERIC, [lookupGroup(FAMILY, GROUP)]);
  } catch (error) {
    if (error instanceof DatapathError) return undefined;
    throw error;
  }
}
