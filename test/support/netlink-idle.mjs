/*
 * Ends by itself: an idle socket, one that was awaited, one in the pool and a dump left half-way must not keep the process alive. An
 * awaited one must: the notification that it waits for comes from a socket whose timer does not.
 */
import { NetlinkSocket, netlinkPool } from '../../dist/src/netlink/index.js';

const NETLINK_USERSOCK = 2;
const GROUP = 17;
const idle = NetlinkSocket.open(NETLINK_USERSOCK, { peer: -1 });
const pool = netlinkPool(0);
pool.give(pool.take());
const getLinks = new Uint8Array(32);
new DataView(getLinks.buffer).setUint16(4, 18, true);
pool.dump(getLinks).next();

idle.join(GROUP);
const sender = NetlinkSocket.open(NETLINK_USERSOCK, { peer: -1 });
setTimeout(() => sender.send(new Uint8Array(16), { to: 0, groups: 1 << (GROUP - 1) }), 50).unref();
await idle.readable();
process.stdout.write('awaited, ');
idle.drain();
process.on('exit', () => process.stdout.write('idle\n'));
