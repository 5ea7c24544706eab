/*
 * A worker thread of the shim's tests: adopts a shared socket and does one thing with it. It posts 'ready' before and what came of it after.
 */
import { createRequire } from 'node:module';
import { parentPort, workerData } from 'node:worker_threads';

const { addonFile, handle, what } = workerData;
const { NetlinkSocket } = createRequire(import.meta.url)(addonFile);
const socket = NetlinkSocket.adopt(handle);
if (typeof socket === 'number') throw new Error(`adopt: errno ${-socket}`);
const view = new Uint8Array(new SharedArrayBuffer(4096));
const rows = new Int32Array(8);
const receive = (timeoutMs) => socket.receive(view, 0, view.length, 1, rows, timeoutMs);

const acts = {
  /** Blocks until something ends it. */
  receive: () => receive(-1),
  wait: () => socket.wait(-1),
  /** Receives numbers until the socket is closed, and says which. */
  collect() {
    const numbers = [];
    for (;;) {
      const count = receive(-1);
      if (count !== 1) return { count, numbers };
      numbers.push(new DataView(view.buffer).getUint32(0, true));
    }
  },
  /** Never ends by itself: it is there to be terminated. */
  watch() {
    socket.watch(() => receive(0));
    return new Promise(() => {});
  },
  /** Is called back and never returns. */
  spin() {
    socket.watch(() => {
      for (;;) receive(0);
    });
    return new Promise(() => {});
  },
  throw() {
    socket.watch(() => {
      throw new Error('from the callback');
    });
    return new Promise(() => {});
  },
  /** Ends when the event loop says that the socket was closed. */
  watchClosed() {
    return new Promise((resolve) => {
      socket.watch(() => {
        const count = receive(0);
        if (count < 0) socket.close();
        if (count < 0) resolve(count);
      });
    });
  },
  close() {
    socket.close();
    return 0;
  },
};

parentPort.postMessage('ready');
parentPort.postMessage(await acts[what]());
