/*
 * The documents keep up with the code: error codes and drop names have their rows in docs/errors.md, and what a document links to is there.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { DROP_NAMES } from '../src/datapath/stats.ts';

const ROOT = path.join(import.meta.dirname, '..');
const text = (file: string): string => readFileSync(path.join(ROOT, file), 'utf8');
const matches = (content: string, pattern: RegExp): string[] =>
  [...new Set(Array.from(content.matchAll(pattern), (match) => match[1]!))].sort();

describe('docs/errors.md', () => {
  it('has the codes of DatapathError, and no others', () => {
    const codes = matches(text('src/errors.ts').split('export interface')[0]!, /'(ERR_[A-Z_]+)'/g);
    expect(codes.length).toBeGreaterThan(30);
    expect(matches(text('docs/errors.md'), /`(ERR_[A-Z_]+[A-Z])`/g)).toEqual(codes);
  });

  it('has the names of drops, and no others', () => {
    const [, drops] = text('docs/errors.md').split('## Drops');
    expect(matches(drops!, /^\| `(\w+)` \|/gm)).toEqual([...DROP_NAMES].sort());
  });
});

/** Links within the repository: those of a web page and of a mail are not looked at. */
const LINK = /\]\((?!https?:|mailto:)([^)#]*)(#[^)]*)?\)/g;

/** What a heading is called in a link, by GitHub's rules for plain ones. */
function anchor(heading: string): string {
  return `#${heading
    .trim()
    .toLowerCase()
    .replace(/[^\w\- ]/g, '')
    .replaceAll(' ', '-')}`;
}

const DOCUMENTS = [
  ...readdirSync(ROOT).filter((name) => name.endsWith('.md')),
  ...['docs', 'bench', 'examples', 'test'].flatMap((folder) =>
    (readdirSync(path.join(ROOT, folder), { recursive: true }) as string[])
      .filter((name) => name.endsWith('.md'))
      .map((name) => path.join(folder, name)),
  ),
];

describe.each(DOCUMENTS)('%s', (document) => {
  it('links to what is there', () => {
    const content = text(document);
    const broken = Array.from(content.matchAll(LINK)).flatMap(([, file, fragment]) => {
      const target = file === '' ? document : path.join(path.dirname(document), file!);
      if (!existsSync(path.join(ROOT, target))) return [target];
      if (fragment === undefined || !target.endsWith('.md')) return [];
      return matches(text(target), /^#+ (.*)$/gm)
        .map(anchor)
        .includes(fragment)
        ? []
        : [`${target}${fragment}`];
    });
    expect(broken).toEqual([]);
  });
});
