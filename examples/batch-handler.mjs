/*
 * A handler in its fast form: batches of upcalls as views over the ring, answered with handles that were made beforehand.
 * It is a module for `wdp run` as well:
 *
 *   npm start -- --port g,type=generator,flows=5000,rate=20000 --port n,type=null --for 3 --handler module:examples/batch-handler.mjs
 */
import { fieldsMask } from 'wasm-datapath';

export default function () {
  let output;
  let mask;
  return {
    name: 'even-odd',
    attach(datapath) {
      output = datapath.actions('2');
      mask = datapath.mask(fieldsMask(['inPort', 'recircId', 'ethType', 'vlan', 'ipv4Src']));
    },
    /** Forwards the frames of even source addresses, one flow an address, and drops the odd ones one by one. */
    handle(batch) {
      for (let i = 0; i < batch.count; i++) {
        const lastOctet = batch.packet(i)[29];
        if (lastOctet % 2 === 0) batch.answer(i, output, mask);
        else batch.drop(i);
      }
    },
    close() {
      output.release();
      mask.release();
    },
  };
}
