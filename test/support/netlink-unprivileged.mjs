/*
 * What a process without any capability is told, as JSON. Runs the built package, in a process of its own.
 */
import { NetlinkSocket } from '../../dist/src/netlink/index.js';

const attempt = (call) => {
  try {
    call();
    return 'ok';
  } catch (error) {
    return [error.code, error.errno];
  }
};

/** RTM_DELLINK of a link that is not there: refused for want of privilege before anything else. */
const deleteLink = new Uint8Array(32);
new DataView(deleteLink.buffer).setUint16(4, 17, true);
new DataView(deleteLink.buffer).setInt32(20, 0x7ffffff0, true);
const getLinks = new Uint8Array(32);
new DataView(getLinks.buffer).setUint16(4, 18, true);

const NETLINK_ROUTE = 0;
const NETLINK_NETFILTER = 12;
const route = NetlinkSocket.open(NETLINK_ROUTE);
process.stdout.write(
  JSON.stringify({
    transact: attempt(() => route.transact(deleteLink)),
    join: attempt(() => NetlinkSocket.open(NETLINK_NETFILTER).join(1)),
    listenAllNamespaces: attempt(() => NetlinkSocket.open(NETLINK_ROUTE, { listenAllNamespaces: true })),
    read: attempt(() => [...route.dump(getLinks)]),
  }),
);
