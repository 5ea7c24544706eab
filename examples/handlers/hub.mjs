/*
 * A hub, as a handler that is given batches: every packet goes to all other ports, and one flow for each port says so from then on.
 *
 *   npm start -- --handler module:examples/handlers/hub.mjs
 *
 * Masks and action lists are held once, so an answer is two numbers.
 */
import { fieldsMask } from 'wasm-datapath';

export default function hub() {
  let datapath;
  let mask;
  const floods = new Map();

  function floodFrom(inPort) {
    if (!floods.has(inPort)) {
      const others = [...datapath.ports].filter((port) => port.portNo !== inPort);
      floods.set(inPort, datapath.actions(others.map((port) => ({ type: 'output', port: port.portNo }))));
    }
    return floods.get(inPort);
  }

  return {
    name: 'hub',
    attach(attached) {
      datapath = attached;
      mask = datapath.mask(fieldsMask(['inPort']));
    },
    portsChanged() {
      for (const actions of floods.values()) actions.release();
      floods.clear();
      datapath.flows.flush();
    },
    handle(batch) {
      for (let i = 0; i < batch.count; i++) batch.answer(i, floodFrom(batch.inPort(i)), mask);
    },
  };
}
