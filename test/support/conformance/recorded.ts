/*
 * Recorded sessions as text, one step a line: what test/corpus/messages/ holds. `#` begins a comment.
 *
 *   device NAME
 *   frame NAME HEX
 *   send FAMILY COMMAND FLAGS VERSION DATAPATH ATTRIBUTES    a message; DATAPATH is a name or a number, ATTRIBUTES are hexadecimal or `-`
 *   and FAMILY ...                                           another message in the same datagram
 */
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { FAMILIES, type Family } from './openvswitch.ts';
import { request, type Scenario, type Step, together } from './scenario.ts';

export interface RecordedMessage {
  family: Family;
  command: number;
  flags: number;
  version: number;
  dp: string | number;
  attributes: Uint8Array;
}

export type RecordedStep =
  | { do: 'device'; name: string }
  | { do: 'frame'; device: string; data: Uint8Array }
  | { do: 'send'; messages: RecordedMessage[] };

const FOLDER = path.join(import.meta.dirname, '../../corpus/messages');

const hex = (bytes: Uint8Array) => (bytes.length === 0 ? '-' : Buffer.from(bytes).toString('hex'));
const bytesOf = (text: string) => new Uint8Array(Buffer.from(text === '-' ? '' : text, 'hex'));

function lineOf({ family, command, flags, version, dp, attributes }: RecordedMessage): string {
  return [family, command, `0x${flags.toString(16)}`, version, dp, hex(attributes)].join(' ');
}

export function formatSteps(steps: readonly RecordedStep[]): string {
  const lines = steps.flatMap((step) => {
    if (step.do === 'device') return [`device ${step.name}`];
    if (step.do === 'frame') return [`frame ${step.device} ${hex(step.data)}`];
    return step.messages.map((message, index) => `${index === 0 ? 'send' : 'and'} ${lineOf(message)}`);
  });
  return lines.map((line) => `${line}\n`).join('');
}

function parseMessage(words: string[]): RecordedMessage {
  const [family, command, flags, version, dp, attributes] = words as [Family, string, string, string, string, string];
  if (!FAMILIES.includes(family)) throw new Error(`no family ${family}`);
  const name = /^-?\d+$/.test(dp) ? Number(dp) : dp;
  return {
    ...{ family, command: Number(command), flags: Number(flags), version: Number(version), dp: name },
    attributes: bytesOf(attributes),
  };
}

export function parseSteps(text: string): RecordedStep[] {
  const steps: RecordedStep[] = [];
  for (const line of text.split('\n')) {
    const [word, ...rest] = line.split(' ');
    const last = steps.at(-1);
    if (word === 'device') steps.push({ do: 'device', name: rest[0]! });
    else if (word === 'frame') steps.push({ do: 'frame', device: rest[0]!, data: bytesOf(rest[1]!) });
    else if (word === 'send') steps.push({ do: 'send', messages: [parseMessage(rest)] });
    else if (word === 'and' && last?.do === 'send') last.messages.push(parseMessage(rest));
    else if (word !== '' && !line.startsWith('#')) throw new Error(`no such step: ${line}`);
  }
  return steps;
}

function scenarioOf(name: string, steps: RecordedStep[]): Scenario {
  let seq = 0;
  const played = steps.map((step): Step => {
    if (step.do !== 'send') return step;
    const messages = step.messages.map((message) => {
      seq++;
      return request({ ...message, seq });
    });
    return { do: 'send', from: 'admin', datagram: messages.length === 1 ? messages[0]! : together(...messages) };
  });
  return { name, steps: played, isStateful: true };
}

export function recordedScenarios(): Scenario[] {
  return readdirSync(FOLDER).map((file) =>
    scenarioOf(file.replace(/\.txt$/, ''), parseSteps(readFileSync(path.join(FOLDER, file), 'utf8'))),
  );
}
