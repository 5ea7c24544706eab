/*
 * Tidy: what a formatter does not see. Runs as a part of `npm run lint` and prints `file:line: complaint`.
 *
 * Over every text file that git knows or would add:
 * - files have at most 400 lines, unless the list below gives a reason;
 * - no postponed work left as a comment: it belongs in an issue;
 * - no type that switches the checker off, also in AssemblyScript, which biome does not type-check;
 * - no path that exists on one developer's machine only;
 * - no trailing blanks, no carriage returns, and a newline at the end.
 */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { run } from './child.mjs';
import { inRoot, listFiles } from './files.mjs';

const linesMax = 400;

/** Files that may be longer, each with the reason that a reader would accept. */
const longFiles = new Map([
  ['assembly/constants.ts', 'one table of numbers that both compilers read; splitting it would hide collisions'],
  ['package-lock.json', 'written by npm'],
  ['test/kernel-vm/keydump.c', 'one program for a guest without libraries: Netlink, tap and files in plain C'],
]);

const textFile = /\.(ts|mjs|js|cc|h|c|json|md|gyp|sh|yml)$|^\.ci\/run$|(^|\/)[a-z-]+$/;
const codeFile = /\.(ts|mjs|js|cc|h|c)$/;
const notOurs = /^(LICENSE|package-lock\.json)$|^test\/corpus\/|^examples\/captures\/.*\.(pcap|pcapng)$/;

const postponed = new RegExp(`\\b(TO${'DO'}|FIX${'ME'}|XX${'X'}|HA${'CK'})\\b`);
const anyType = /[:<,|&]\s*any\b\s*[;,)=>|&[\]]|\bas any\b|\bas unknown as any\b/;
const machinePath = /(?<![\w.$}])\/(?:work|home\/\w+|root|Users\/\w+)\/[\w.]/;

/** The complaints about one file's text: [line, complaint] pairs. */
export function complaints(file, text) {
  const found = [];
  const lines = text.split('\n');
  if (lines.at(-1) !== '') found.push([lines.length, 'no newline at the end of the file']);
  if (codeFile.test(file) && lines.length - 1 > linesMax && !longFiles.has(file)) {
    found.push([
      lines.length - 1,
      `${lines.length - 1} lines; ${linesMax} are allowed (scripts/tidy.mjs has the exceptions)`,
    ]);
  }
  for (const [index, line] of lines.entries()) {
    if (postponed.test(line)) found.push([index + 1, 'postponed work: open an issue instead']);
    if (/\.(ts|mts)$/.test(file) && anyType.test(line) && !/^\s*(\*|\/\/)/.test(line))
      found.push([index + 1, 'the type any']);
    if (machinePath.test(line)) found.push([index + 1, 'a path of one machine']);
    if (/[ \t\r]$/.test(line)) found.push([index + 1, 'blanks at the end of the line']);
  }
  return found;
}

/** Files of the checkout: git's list where there is git, otherwise the folders that hold sources. */
async function checkoutFiles() {
  const args = ['ls-files', '--cached', '--others', '--exclude-standard', '-z'];
  const { status, output } = await run('git', args, { capture: true });
  if (status === 0) return output.split('\0').filter(Boolean);
  const folders = ['assembly', 'src', 'native', 'test', 'bench', 'scripts', 'examples', 'docs', '.ci'];
  return folders.flatMap((folder) => listFiles(folder));
}

/** Checks the whole checkout. Returns the complaints as lines ready to print. */
export async function tidy() {
  const lines = [];
  for (const file of await checkoutFiles()) {
    if (!textFile.test(file) || notOurs.test(file)) continue;
    for (const [line, complaint] of complaints(file, readIfThere(file))) lines.push(`${file}:${line}: ${complaint}`);
  }
  return lines;
}

/** '' plus newline for a file that git still lists but that is gone from the folder. */
function readIfThere(file) {
  try {
    const content = readFileSync(inRoot(path.normalize(file)));
    return content.includes(0) ? '\n' : content.toString('utf8');
  } catch (error) {
    if (error.code === 'ENOENT' || error.code === 'EISDIR') return '\n';
    throw error;
  }
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) {
  const lines = await tidy();
  for (const line of lines) process.stdout.write(`${line}\n`);
  process.exitCode = lines.length > 0 ? 1 : 0;
}
