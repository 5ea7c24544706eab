/*
 * AssemblyScript as TypeScript tools see it. A decorator on a function (`@inline export function f`) is valid
 * AssemblyScript and a syntax error in TypeScript, so the linter works on a copy of assembly/ in which leading
 * decorators stand in block comments. Lines stay lines, so what the linter reports is where it
 * says.
 */
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { inRoot, listFiles } from './files.mjs';

const decorators = /^([ \t]*)((?:@\w+(?:\([^)\n]*\))?[ \t]*)+)/gm;
const decorator = /@\w+(?:\([^)\n]*\))?/g;
const hidden = /\/\*(@\w+(?:\([^)\n]*\))?)\*\//g;

/** Leading decorators become comments. */
export function hideDecorators(source) {
  return source.replace(decorators, (_, indent, words) => indent + words.replace(decorator, '/*$&*/'));
}

/** The comments made by hideDecorators become decorators again. */
export function showDecorators(source) {
  return source.replace(hidden, '$1');
}

/**
 * Copies assembly/ with hidden decorators to build/lint/assembly, beside a copy of biome.json.
 * Returns the folder to run biome in and `writeBack`, which stores what a tool changed in the copy.
 */
export function mirrorAssembly() {
  const folder = inRoot('build', 'lint');
  rmSync(folder, { recursive: true, force: true });
  const files = listFiles('assembly', (file) => file.endsWith('.ts'));
  const copies = new Map();
  for (const file of files) {
    const copy = path.join(folder, file);
    copies.set(copy, file);
    mkdirSync(path.dirname(copy), { recursive: true });
    writeFileSync(copy, hideDecorators(readFileSync(inRoot(file), 'utf8')));
  }
  writeFileSync(path.join(folder, 'biome.json'), readFileSync(inRoot('biome.json'), 'utf8'));
  return { folder, writeBack: () => copies.forEach(storeChanged) };
}

function storeChanged(file, copy) {
  const source = showDecorators(readFileSync(copy, 'utf8'));
  if (source !== readFileSync(inRoot(file), 'utf8')) writeFileSync(inRoot(file), source);
}
