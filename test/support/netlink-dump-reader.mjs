/*
 * A thread that adopts a dump and reads it to its end, with a buffer of its own; posts the first payload byte of each entry, and how it
 * ended.
 */
import { parentPort, workerData } from 'node:worker_threads';
import { Dump } from '../../dist/src/netlink/index.js';

const dump = Dump.adopt(workerData);
const buffer = new Uint8Array(4096);
const marks = [];
let code = 'end';
try {
  for (let cursor = dump.receiveNext(buffer); cursor !== undefined; cursor = dump.receiveNext(buffer)) {
    while (cursor.next()) marks.push(buffer[cursor.payloadOffset]);
  }
} catch (error) {
  code = error.code;
}
parentPort.postMessage({ marks, code });
