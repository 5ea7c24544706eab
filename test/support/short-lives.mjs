/*
 * Datapaths that are closed while their second thread, which stands by, is still loading, at every millisecond of that. Prints "ok".
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { Datapath } from '../../dist/src/index.js';

for (let i = 0; i < 60; i++) {
  const datapath = await Datapath.open({ workers: 1 });
  await datapath.start();
  await sleep(i % 20);
  await datapath.close();
}
process.stdout.write('ok\n');
