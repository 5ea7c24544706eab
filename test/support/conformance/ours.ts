/*
 * Scenarios on the WASM kernel: the counterpart of kernel-vm/replay.ts.
 */
import type { WasmBuild } from '../../../src/wasm/load.ts';
import type { Observation, Observed } from './observation.ts';
import type { Scenario, Step } from './scenario.ts';
import { WasmKernel } from './wasm-kernel.ts';

function perform(kernel: WasmKernel, step: Step): void {
  switch (step.do) {
    case 'send':
    case 'post':
      kernel.send(step.from, step.datagram);
      kernel.hold(step.from, step.do === 'post');
      break;
    case 'frame':
      kernel.receive(step.device, step.data);
      break;
    case 'device':
      kernel.addDevice(step.name);
      break;
    case 'remove':
      kernel.removeDevice(step.name);
      break;
    case 'join':
      kernel.join(step.socket, step.family);
      break;
    case 'leave':
      kernel.leave(step.socket, step.family);
      break;
    case 'close':
      kernel.close(step.socket);
      break;
  }
}

function play(build: WasmBuild, { steps }: Scenario): Observation[] {
  const kernel = new WasmKernel(build);
  const observations = steps.map((step): Observation => {
    perform(kernel, step);
    const messages = kernel.received();
    return { messages, frames: kernel.transmitted(), links: kernel.links.splice(0), failure: 0 };
  });
  kernel.check();
  return observations;
}

/** What our kernel did in each step of each scenario. */
export function replayOnOurs(build: WasmBuild, scenarios: readonly Scenario[]): Observed {
  const { families } = new WasmKernel(build);
  return { families, observations: scenarios.map((scenario) => play(build, scenario)) };
}
