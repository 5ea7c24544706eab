/*
 * Kinds of ports by name, with the options that each takes in a SPEC of the command line: `NAME[,type=KIND][,key=value]...`.
 * Before it: `wdp run --port`, configuration files. After it: the kind's own file.
 */
import * as v from 'valibot';
import { DatapathError } from '../errors.ts';
import { AfPacketPort } from './afpacket.ts';
import { AfXdpPort } from './afxdp.ts';
import { openBest } from './best.ts';
import { GeneratorPort } from './generator.ts';
import { MemoryPort } from './memory.ts';
import { PcapPort } from './pcap.ts';
import { NullPort, type Port, type PortContext } from './port.ts';
import { InternalPort, TapPort } from './tap.ts';
import { VethPort } from './veth.ts';

export interface PortSpec {
  name: string;
  type: string;
  options: Record<string, string>;
}

interface PortKind {
  readonly options: v.GenericSchema<unknown, object>;
  readonly keys: readonly string[];
  open(context: PortContext, options: object): Port | Promise<Port>;
}

const textOrNumber = v.union([v.number(), v.string()]);
const integer = v.pipe(
  textOrNumber,
  v.transform(Number),
  v.integer('must be an integer'),
  v.minValue(0, 'must be 0 or more'),
);
const generatedFlows = v.pipe(
  integer,
  v.minValue(1, 'must be 1 or more'),
  v.maxValue(16777216, 'must be 16777216 at most'),
);
const onOrOff = v.pipe(
  v.union([v.boolean(), v.picklist(['on', 'off'])], 'must be on or off'),
  v.transform((value) => value === true || value === 'on'),
);
const sending = v.picklist(['auto', 'xdp', 'socket'], 'must be auto, xdp or socket');
const speed = oneOf(['recorded', 'max']);
const rate = oneOf(['max']);

const tapOptions = {
  interface: v.optional(v.string()),
  queues: v.optional(integer),
  mac: v.optional(
    v.pipe(v.string(), v.regex(/^([0-9a-f]{2}:){5}[0-9a-f]{2}$/i, 'must be six bytes xx:xx:xx:xx:xx:xx')),
  ),
  mtu: v.optional(integer),
  up: v.optional(onOrOff),
};

/** One of the words, or a number of packets a second. */
function oneOf<T extends string>(words: readonly T[]) {
  const message = `must be ${words.join(', ')}, or packets a second`;
  return v.union([v.picklist(words), v.pipe(textOrNumber, v.transform(Number), v.minValue(1, message))], message);
}

function kind<T extends v.ObjectEntries>(
  entries: T,
  open: (context: PortContext, options: v.InferOutput<v.StrictObjectSchema<T, undefined>>) => Port | Promise<Port>,
): PortKind {
  const options = v.strictObject(entries) as unknown as v.GenericSchema<unknown, object>;
  return { options, keys: Object.keys(entries), open: open as PortKind['open'] };
}

/** The kinds, in the order in which `wdp run --help` lists them. */
export const PORT_KINDS: ReadonlyMap<string, PortKind> = new Map([
  [
    'memory',
    kind(
      { slots: v.optional(integer), frameSize: v.optional(integer) },
      (context, options) => new MemoryPort(context, options),
    ),
  ],
  [
    'pcap',
    kind(
      {
        rx: v.optional(v.string()),
        tx: v.optional(v.string()),
        speed: v.optional(speed),
        loop: v.optional(integer),
        timeline: v.optional(v.object({ originNs: v.bigint(), spanNs: v.bigint() })),
      },
      (context, options) => PcapPort.open(context, options),
    ),
  ],
  [
    'generator',
    kind(
      {
        flows: v.optional(generatedFlows),
        size: v.optional(v.string()),
        rate: v.optional(rate),
        loop: v.optional(integer),
        seed: v.optional(integer),
        first: v.optional(integer),
      },
      (context, options) => new GeneratorPort(context, options),
    ),
  ],
  ['null', kind({}, (context) => new NullPort(context))],
  ['interface', kind({ interface: v.optional(v.string()), queues: v.optional(integer) }, openBest)],
  [
    'afpacket',
    kind(
      {
        interface: v.optional(v.string()),
        queues: v.optional(integer),
        frames: v.optional(integer),
        promiscuous: v.optional(onOrOff),
        tx: v.optional(sending),
        ring: v.optional(v.picklist(['mapped', 'copied'], 'must be mapped or copied')),
      },
      (context, options) => new AfPacketPort(context, options),
    ),
  ],
  [
    'afxdp',
    kind(
      {
        interface: v.optional(v.string()),
        queues: v.optional(integer),
        frames: v.optional(integer),
        mode: v.optional(
          v.picklist(['auto', 'zerocopy', 'native', 'generic'], 'must be auto, zerocopy, native or generic'),
        ),
        offload: v.optional(onOrOff),
      },
      (context, options) => new AfXdpPort(context, options),
    ),
  ],
  ['tap', kind(tapOptions, (context, options) => new TapPort(context, options))],
  ['internal', kind(tapOptions, (context, options) => new InternalPort(context, options))],
  [
    'veth',
    kind(
      {
        peer: v.string(),
        pid: v.optional(integer),
        queues: v.optional(integer),
        frames: v.optional(integer),
        promiscuous: v.optional(onOrOff),
        tx: v.optional(sending),
      },
      (context, options) => VethPort.open(context, options),
    ),
  ],
]);

/** Parses `NAME[,type=KIND][,key=value]...`; without a type it is the interface of that name. Throws ERR_PORT_OPTION. */
export function parsePortSpec(text: string): PortSpec {
  const [name, ...rest] = text.split(',');
  const options: Record<string, string> = {};
  for (const item of rest) {
    const at = item.indexOf('=');
    if (at <= 0) throw new DatapathError('ERR_PORT_OPTION', `port "${text}": "${item}" is not key=value`);
    options[item.slice(0, at)] = item.slice(at + 1);
  }
  if (name === '') throw new DatapathError('ERR_PORT_OPTION', `port "${text}": a port needs a name`);
  const { type = 'interface', ...others } = options;
  return { name, type, options: others };
}

/** Checks a port's type and options without opening anything; the options come back converted. Throws ERR_PORT_TYPE, ERR_PORT_OPTION. */
export function checkPort(name: string, type: string, options: object): object {
  const found = PORT_KINDS.get(type);
  if (found === undefined) {
    const kinds = [...PORT_KINDS.keys()].join(', ');
    throw new DatapathError('ERR_PORT_TYPE', `port ${name}: no port type "${type}"; there are ${kinds}`);
  }
  const parsed = v.safeParse(found.options, options);
  if (!parsed.success) throw optionError(name, type, found, parsed.issues[0]);
  return parsed.output;
}

/** Opens the driver of a port whose type and options are checked. Throws what the kind throws. */
export function openDriver(context: PortContext, type: string, options: object): Port | Promise<Port> {
  return PORT_KINDS.get(type)!.open(context, options);
}

/** What a kind threw: a RangeError of its options is ERR_PORT_OPTION. */
export function optionFault(name: string, error: unknown): unknown {
  if (!(error instanceof RangeError)) return error;
  return new DatapathError('ERR_PORT_OPTION', `port ${name}: ${error.message}`, { cause: error });
}

function optionError(name: string, type: string, found: PortKind, issue: v.BaseIssue<unknown>): DatapathError {
  const key = v.getDotPath(issue) ?? '';
  const known = found.keys.length === 0 ? 'it takes none' : `it takes ${found.keys.join(', ')}`;
  const what = found.keys.includes(key)
    ? `option ${key} ${issue.message}`
    : `type ${type} has no option "${key}"; ${known}`;
  return new DatapathError('ERR_PORT_OPTION', `port ${name}: ${what}`);
}
