/*
 * A run, from opening the datapath to the summary: ports, handler, status, the end (all replayed, time over, or interrupted), and the account.
 *
 * Concepts. The end comes in three steps: the pollers stop, what they left is answered, the datapath closes (files are written to their ends and
 * what nobody answered is counted). Statistics of ports are read before the last step, those of the datapath after it.
 * Before it: run.ts with the settings. After it: status.ts, status-summary.ts. Threads: main; workers are inside the datapath.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Control } from '../control/control.ts';
import { Datapath } from '../datapath/datapath.ts';
import type { DatapathEvent } from '../datapath/options.ts';
import { DatapathError, type DatapathErrorCode } from '../errors.ts';
import { Log } from '../log.ts';
import type { Port } from '../ports/port.ts';
import { makeHandler } from '../upcall/registry.ts';
import { EXIT_DONE, EXIT_FAILED, EXIT_INTERRUPTED, oneLine } from './failure.ts';
import { demoHints, demoPicture } from './run-demo.ts';
import type { PortSetting, RunSettings } from './run-settings.ts';
import { Service } from './service.ts';
import { colorsFor, type Output, portStatus, StatusReporter } from './status.ts';
import { account, type RunResult, summaryJson, summaryText } from './status-summary.ts';

/** How often the end is looked for, while replays can bring it about; else nothing but the time or an interrupt does. */
const WATCH_MS = 20;
const NO_WATCH_MS = 3_600_000;
/** How long handlers that answer later are waited for at the end, over their own time limit. */
const ANSWER_GRACE_MS = 500;
/** Events of one kind are told so often at most. */
const EVENT_INTERVAL_MS = 1000;

export interface RunOutputs {
  out: Output;
  err: Output;
}

/** Runs until the end and prints the summary. `interrupt` ends it early. Returns the exit status; throws what cannot be opened. */
export async function runSession(settings: RunSettings, outputs: RunOutputs, interrupt: AbortSignal): Promise<number> {
  const events = new EventLines();
  const exit = new AbortController();
  await using datapath = await Datapath.open({ ...settings.datapath, onEvent: (event) => events.tell(event) });
  for (const port of settings.ports) await addPort(datapath, port);
  await datapath.onUpcall(await makeHandler(settings.handler));
  await using control = await openControl(settings.control, datapath, events.log, exit);
  const replaying = replayingPorts(datapath);
  if (!settings.json) outputs.err.write(`${introduction(settings, datapath, replaying)}\n`);

  const spanMs = settings.forMs ?? settings.spanMs;
  const status = new StatusReporter({ datapath, json: settings.json, spanMs, ...outputs });
  events.say = (text) => status.say(text);
  const startMs = performance.now();
  const service = new Service();
  try {
    await datapath.start();
    service.ready(datapath);
    status.start();
    await untilEnd(datapath, replaying, settings.forMs, AbortSignal.any([interrupt, exit.signal]));
    service.stopping();
    await datapath.stop();
  } finally {
    service.close();
    status.stop();
  }
  const seconds = (performance.now() - startMs) / 1000;
  await awaitAnswers(datapath);
  const ports = portStatus(datapath);
  const flowsLeft = datapath.stats().flows;
  await control?.close();
  await datapath.close();
  const result: RunResult = {
    name: datapath.name,
    handler: settings.handler,
    seconds,
    interrupted: interrupt.aborted,
    stats: { ...datapath.stats(), flows: flowsLeft },
    flowsExpired: datapath.ageing.expired,
    ports,
  };
  return report(result, settings, outputs);
}

/** The control socket, if one is wanted. Its command `exit` ends the run as if everything were done. */
async function openControl(
  path: string | undefined,
  datapath: Datapath,
  log: Log,
  exit: AbortController,
): Promise<Control | undefined> {
  if (path === undefined) return undefined;
  const { Control } = await import('../control/control.ts');
  return Control.open({ path, datapath, log, exit: () => exit.abort() });
}

async function addPort(datapath: Datapath, port: PortSetting): Promise<void> {
  try {
    await datapath.ports.addType(port.name, port.type, port.options);
  } catch (error) {
    const codes: DatapathErrorCode[] = ['ERR_PORT_TYPE', 'ERR_PORT_OPTION', 'ERR_PORT_EXISTS'];
    throw error instanceof DatapathError && codes.includes(error.code) ? port.fail(error.message) : error;
  }
}

/** What is about to run: the picture of the demo, otherwise the list of ports and how the run will end. */
function introduction(settings: RunSettings, datapath: Datapath, replaying: readonly Port[]): string {
  const { name, workers } = settings.datapath;
  const what = { name, handler: settings.handler, workers };
  if (settings.isDemo) return `${demoPicture(settings.ports, what)}\n`;
  const ports = [...datapath.ports].map((port) => `  port ${port.portNo}: ${port.name}, ${port.type}${describe(port)}`);
  const head = `datapath ${name}: handler ${settings.handler}, ${workers === 1 ? '1 worker' : `${workers} workers`}`;
  const idle =
    replaying.length > 0 ? [] : ['no port receives anything: name an interface, or give one rx=FILE or type=generator'];
  const control = settings.control === undefined ? [] : [`control socket ${settings.control}`];
  return [`${head}, ${endText(settings.forMs, replaying)}`, ...ports, ...control, ...idle].join('\n');
}

function endText(forMs: number | undefined, replaying: readonly Port[]): string {
  if (forMs !== undefined) return `ends after ${forMs / 1000} s`;
  return endsByItself(replaying) ? 'ends when all is replayed, or with ctrl-C' : 'ends with ctrl-C';
}

/** All of the ports come to an end, and there is one. */
function endsByItself(replaying: readonly Port[]): boolean {
  return replaying.length > 0 && !replaying.some((port) => port.isLive);
}

function describe(port: Port): string {
  const text = port.describe();
  return text === '' ? '' : `, ${text}`;
}

/** Before the start: ports that have something to deliver. Memory ports are for embedding programs, and none is there. */
function replayingPorts(datapath: Datapath): Port[] {
  return [...datapath.ports].filter((port) => port.type !== 'memory' && !port.exhausted);
}

/** Resolves when everything is replayed and answered, the time is over, or `interrupt` says so. */
async function untilEnd(
  datapath: Datapath,
  replaying: readonly Port[],
  forMs: number | undefined,
  interrupt: AbortSignal,
): Promise<void> {
  const deadline = performance.now() + (forMs ?? Number.POSITIVE_INFINITY);
  const pauseMs = endsByItself(replaying) ? WATCH_MS : NO_WATCH_MS;
  let receivedBefore = -1;
  while (!interrupt.aborted && performance.now() < deadline) {
    const restMs = Math.max(1, deadline - performance.now());
    await sleep(Math.min(pauseMs, restMs), undefined, { signal: interrupt }).catch(() => {});
    if (!endsByItself(replaying) || !replaying.every((port) => port.exhausted)) continue;
    // a replay is over before its last batch is counted: two equal readings say that it is
    const { received, upcallsPending } = datapath.stats();
    if (received === receivedBefore && upcallsPending === 0) return;
    receivedBefore = received;
  }
}

/** Gives handlers that answer later the time to answer what the pollers left. */
async function awaitAnswers(datapath: Datapath): Promise<void> {
  const deadline = performance.now() + datapath.options.upcallTimeoutMs + ANSWER_GRACE_MS;
  while (datapath.stats().upcallsPending > 0 && datapath.handler !== undefined && performance.now() < deadline) {
    datapath.poll();
    await sleep(1);
  }
}

function report(result: RunResult, settings: RunSettings, { out, err }: RunOutputs): number {
  const { wrong } = account(result);
  if (settings.json) out.write(`${summaryJson(result)}\n`);
  else {
    err.write('\n');
    out.write(`${summaryText(result, colorsFor(out).bold)}\n`);
  }
  if (settings.isDemo && !settings.json) err.write(`\n${demoHints(settings.ports)}\n`);
  if (wrong !== undefined) {
    err.write(
      `wdp: the account does not add up: ${wrong}; this is a fault of wasm-datapath, please report it with the summary\n`,
    );
    return EXIT_FAILED;
  }
  return result.interrupted ? EXIT_INTERRUPTED : EXIT_DONE;
}

/** Tells events as lines of chatter, each kind once a second at most and with the number of those passed over. */
class EventLines {
  say: (text: string) => void = () => {};
  /** What the log lets through; `vlog/set` of the control socket changes that. */
  readonly log = new Log((line) => this.say(`wdp: ${line}`));
  readonly #told = new Map<DatapathEvent['type'], { timeMs: number; passedOver: number }>();

  tell(event: DatapathEvent): void {
    const now = performance.now();
    const last = this.#told.get(event.type);
    if (last !== undefined && now - last.timeMs < EVENT_INTERVAL_MS) {
      last.passedOver += 1;
      return;
    }
    const more = last === undefined || last.passedOver === 0 ? '' : ` (and ${last.passedOver} more like it)`;
    this.#told.set(event.type, { timeMs: now, passedOver: 0 });
    this.log.log('datapath', 'warn', `${eventText(event)}${more}`);
  }
}

function eventText(event: DatapathEvent): string {
  const reason = (error: unknown): string => oneLine(error instanceof Error ? error.message : String(error));
  switch (event.type) {
    case 'worker-lost':
      return `worker ${event.worker} was lost with ${event.packetsLost} packets and is replaced: ${reason(event.reason)}`;
    case 'handler-error':
      return `the handler failed, its packets are dropped (upcallError): ${reason(event.reason)}`;
    case 'handler-timeout':
      return `the handler did not answer in time, ${event.upcalls} packets are dropped (upcallTimeout)`;
    case 'sample-error':
      return `the listener of samples failed: ${reason(event.reason)}`;
    case 'flow-put-failed':
      return `a flow was not installed: errno ${event.errno}`;
    case 'port-failed':
      return `port ${event.name} was added and could not be opened: ${reason(event.reason)}`;
    case 'queue-not-pinned':
      return `queue ${event.queue} of port ${event.port} is not pinned: no worker that polls has core ${event.core}`;
    case 'all-isolated':
      return 'queues are pinned to every worker that polls: those that are not pinned go to all of them';
  }
}
