/*
 * The main job: `wdp run` without ports. A LAN of a few hosts around the learning switch, from captures of what each host sent; it needs no root and no
 * network device. What each host would have received is written to out/.
 *
 * Before it: run-settings.ts asks for the ports. After it: run-session.ts shows the picture and the hints. Main thread.
 */
import { existsSync, mkdirSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { DatapathError } from '../errors.ts';
import { packageRoot } from '../native/package-root.ts';
import type { PortSetting } from './run-settings.ts';

/** Written to, in the current folder. */
const OUT_FOLDER = 'out';
/** examples/captures/README.md says who they are. */
const ROLES: Readonly<Record<string, string>> = {
  'host-a': 'the client',
  'host-b': 'the peer',
  'host-c': 'the router',
};
const COLUMN = 26;
const INDENT = '  ';

/** One pcap port for each shipped capture of a host; makes the folder they write to. Throws DatapathError ERR_CONFIG. */
export function demoPorts(): PortSetting[] {
  const folder = path.join(packageRoot(), 'examples', 'captures');
  const files = existsSync(folder) ? readdirSync(folder).filter((file) => /^host-.*\.pcap$/.test(file)) : [];
  const fail = (message: string): Error => new DatapathError('ERR_CONFIG', message);
  if (files.length === 0) {
    throw fail(
      `no captures to replay in ${folder}: they come with the repository; give ports of your own with --port (wdp run --help)`,
    );
  }
  try {
    mkdirSync(OUT_FOLDER, { recursive: true });
  } catch (cause) {
    throw fail(
      `cannot make the folder ${path.resolve(OUT_FOLDER)}: ${(cause as Error).message}; run where you may write, or give --port`,
    );
  }
  return files.sort().map((file) => {
    const name = path.basename(file, '.pcap');
    const rx = path.relative('', path.join(folder, file));
    return { name, type: 'pcap', options: { rx, tx: path.join(OUT_FOLDER, file) }, fail };
  });
}

/** The hosts around the switch, as text. */
export function demoPicture(
  ports: readonly PortSetting[],
  what: { name: string; handler: string; workers: number },
): string {
  const columns = (cell: (port: PortSetting) => string): string =>
    `${INDENT}${ports.map((port) => cell(port).padEnd(COLUMN)).join('')}`.trimEnd();
  const inside = [
    ` datapath ${what.name}, WebAssembly on ${threads(what.workers)}: forwards what has a flow`,
    ` handler ${what.handler}: decides the rest and installs flows`,
  ];
  const width = Math.max(COLUMN * ports.length - 4, ...inside.map((line) => line.length + 1));
  const wire = ports.map((_, i) => `-${i + 1}`.padEnd(COLUMN, '-')).join('');
  return [
    columns(({ name }) => (ROLES[name] === undefined ? name : `${name}, ${ROLES[name]}`)),
    columns(({ options }) => ` sends ${path.basename(String(options.rx))}`),
    columns(({ options }) => ` gets  ${options.tx}`),
    columns(() => '  |'),
    `${INDENT}+${wire.slice(0, width).padEnd(width, '-')}+`,
    ...inside.map((line) => `${INDENT}|${line.padEnd(width)}|`),
    `${INDENT}+${'-'.repeat(width)}+`,
  ].join('\n');
}

function threads(workers: number): string {
  if (workers === 0) return 'the main thread';
  return workers === 1 ? '1 worker thread' : `${workers} worker threads`;
}

/** What to look at afterwards, and what to try next. */
export function demoHints(ports: readonly PortSetting[]): string {
  const file = String(ports[Math.min(1, ports.length - 1)].options.tx);
  return [
    `What each host received: ${ports.map(({ options }) => options.tx).join(', ')}. To look at it:`,
    `  tcpdump -n -e -r ${file}`,
    `  npx wdp parse-pcap ${file}`,
    'To try next: a switch with rules of yours, and as fast as it goes:',
    '  npm start -- --handler static:examples/rules/firewall.txt',
    '  npm start -- --port gen,type=generator,flows=1000 --port sink,type=null --handler flood --for 5',
  ].join('\n');
}
