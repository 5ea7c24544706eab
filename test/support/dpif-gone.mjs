/*
 * Datapaths are deleted while a handler has upcalls of them: it answers at once; or later, when its ring is full and nothing is received any more; or its rules answer, without
 * JavaScript. Prints the events of each as JSON, when the event loop has nothing left to do. For dpif-switch.mjs.
 *
 *   node dpif-gone.mjs FOLDER-OF-THE-BUILT-PACKAGE
 */
import { writeFileSync } from 'node:fs';
import { create, dpctl, flood, odp, until, upcall } from './dpif-suite-tools.mjs';

/** More than a ring has room for, in sockets that have room for them. */
const UPCALLS = 2000;
const FRAMES = 1024;
const OPTIONS = { dispatch: 'per-vport', receiveBufferSize: 16 << 20, timeoutMs: 600_000 };

/** A handler that forwards to port 2, after `first`. */
function forwarding(first) {
  let host;
  const answer = (batch) => {
    for (let i = 0; i < batch.count; i++) batch.answer(i, host.actions('2'), host.mask(odp.exactMask(batch.key(i))));
  };
  return {
    name: 'forwarding',
    attach(attached) {
      host = attached;
    },
    handle(batch) {
      const ready = first();
      return ready === undefined ? answer(batch) : ready.then(() => answer(batch));
    },
  };
}

async function eventsOf(makeHandler, meanwhile = () => {}) {
  const dpif = create('gone', 'qa', 'qb');
  const events = [];
  await dpif.onUpcall(await makeHandler(dpif), { ...OPTIONS, onEvent: (event) => events.push(event) });
  flood(dpif, 1, UPCALLS, dpif.portGetPid(1));
  meanwhile();
  await until(() => events.length > 0);
  await new Promise(setImmediate);
  return events;
}

const remove = () => dpctl('del-dp', 'gone');
async function isFull(dpif) {
  await until(() => dpif.upcallStats().received >= FRAMES);
  await new Promise(setImmediate);
}

writeFileSync('gone-rules', 'actions:2\n');
const events = [
  await eventsOf(() => forwarding(() => void remove())),
  await eventsOf((dpif) => forwarding(() => isFull(dpif).then(remove))),
  await eventsOf(() => upcall.makeHandler('static:gone-rules'), remove),
];
process.once('beforeExit', () => console.log(JSON.stringify(events)));
