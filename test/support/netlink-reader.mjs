/*
 * A thread that adopts a socket and receives until that fails; posts 'adopted', then the numbers of the notifications it got, and the error's code.
 */
import { parentPort, workerData } from 'node:worker_threads';
import { NetlinkSocket } from '../../dist/src/netlink/index.js';

const socket = NetlinkSocket.adopt(workerData);
const numbers = [];
parentPort.postMessage('adopted');
try {
  for (;;) {
    const datagram = socket.receive({ timeoutMs: -1 });
    if (datagram !== undefined) numbers.push(datagram.bytes[16]);
  }
} catch (error) {
  parentPort.postMessage({ numbers, code: error.code });
}
