/*
 * Files: listing, fingerprints, stamps and the build lock that the steps of setup.mjs share.
 *
 * A step is fresh when its stamp (build/.stamps/NAME) holds the fingerprint of its inputs and its outputs are there.
 * Fingerprints are of names and contents, never of times: git writes times as it likes. Node built-ins only, because
 * these scripts run before node_modules exists.
 */
import { createHash } from 'node:crypto';
import { existsSync, linkSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

/** The root of the checkout. Every path below is relative to it. */
export const root = fileURLToPath(new URL('..', import.meta.url));

const stampFolder = path.join(root, 'build', '.stamps');
const lockFile = path.join(stampFolder, 'lock');
/** A lock older than this is taken over even when a process of that id lives: the id has been used again. */
const lockAgeMaxMs = 15 * 60_000;
const lockPollMs = 200;

/** The absolute path of a file of the checkout. */
export function inRoot(...parts) {
  return path.join(root, ...parts);
}

/** Every file at or below `entry` that `keep` accepts, as sorted paths relative to the root with forward slashes. */
export function listFiles(entry, keep = () => true) {
  const absolute = inRoot(entry);
  if (!existsSync(absolute)) return [];
  if (!statSync(absolute).isDirectory()) return [entry];
  const found = [];
  for (const item of readdirSync(absolute, { withFileTypes: true })) {
    const child = `${entry}/${item.name}`;
    if (item.isDirectory()) found.push(...listFiles(child, keep));
    else if (keep(child)) found.push(child);
  }
  return found.sort();
}

/** One hash over the names and contents of the files and over `words` (versions, platform). */
export function fingerprint(files, words = []) {
  const hash = createHash('sha256');
  for (const word of words) hash.update(`${word}\0`);
  for (const file of files) {
    const content = existsSync(inRoot(file)) ? readFileSync(inRoot(file)) : Buffer.alloc(0);
    hash.update(`${file}\0${content.length}\0`).update(content);
  }
  return hash.digest('hex');
}

/** What the stamp holds, '' when there is none. */
export function readStamp(name) {
  const file = path.join(stampFolder, name);
  return existsSync(file) ? readFileSync(file, 'utf8') : '';
}

/** Writes the stamp, or removes it when `value` is ''. */
export function writeStamp(name, value) {
  const file = path.join(stampFolder, name);
  mkdirSync(stampFolder, { recursive: true });
  if (value === '') rmSync(file, { force: true });
  else writeFileSync(file, value);
}

/** Runs `work` while no other setup runs in this checkout. A lock left behind by a dead process is taken over. */
export async function withBuildLock(log, work) {
  mkdirSync(stampFolder, { recursive: true });
  const claim = `${lockFile}.${process.pid}`;
  writeFileSync(claim, String(process.pid));
  const release = () => rmSync(lockFile, { force: true });
  try {
    let said = false;
    while (!tryLink(claim)) {
      if (!ownerAlive()) release();
      else {
        if (!said) log('waiting for another build in this folder');
        said = true;
        await sleep(lockPollMs);
      }
    }
  } finally {
    rmSync(claim, { force: true });
  }
  process.once('exit', release);
  try {
    return await work();
  } finally {
    process.off('exit', release);
    release();
  }
}

function tryLink(claim) {
  try {
    linkSync(claim, lockFile);
    return true;
  } catch (error) {
    if (error.code === 'EEXIST') return false;
    throw error;
  }
}

function ownerAlive() {
  try {
    if (Date.now() - statSync(lockFile).mtimeMs > lockAgeMaxMs) return false;
    process.kill(Number(readFileSync(lockFile, 'utf8')), 0);
    return true;
  } catch (error) {
    return error.code === 'EPERM';
  }
}
