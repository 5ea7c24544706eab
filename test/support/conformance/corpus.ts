/*
 * Every scenario there is, by where it comes from.
 */
import { datapathScenarios } from './datapath-cases.ts';
import { flowScenarios } from './flow-cases.ts';
import { matrixScenarios } from './matrices.ts';
import { meterScenarios } from './meter-cases.ts';
import { packetScenarios } from './packet-cases.ts';
import { randomScenarios } from './random.ts';
import { recordedScenarios } from './recorded.ts';
import type { Scenario } from './scenario.ts';

export interface RandomSize {
  seed: number;
  /** Sequences, and steps in each. */
  count: number;
  length: number;
}

export function allScenarios({ seed, count, length }: RandomSize): Record<string, Scenario[]> {
  return {
    'requests bent in every part': matrixScenarios(),
    'datapaths and ports': datapathScenarios(),
    flows: flowScenarios(),
    packets: packetScenarios(),
    meters: meterScenarios(),
    'recorded sessions': recordedScenarios(),
    'random sequences': randomScenarios(seed, count, length),
  };
}
