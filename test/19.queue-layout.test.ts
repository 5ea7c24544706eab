/*
 * The words of queues that the shim reads and writes (native/io-layout.h), and of the kernel's structures, which its compiler holds against
 * their headers, are those of assembly/constants.ts.
 */
import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import * as C from '../assembly/constants.ts';

const header = readFileSync(new URL('../native/io-layout.h', import.meta.url), 'utf8');
const words = [...header.matchAll(/^constexpr uint32_t (\w+) = (\d+);$/gm)].map(([, name, value]) => [
  name,
  Number(value),
]);

it('the shim knows the words of queues as the datapath does', () => {
  expect(words.length).toBe(header.match(/constexpr/g)!.length);
  expect(words.length).toBeGreaterThan(20);
  const named: Readonly<Record<string, number>> = { ...C };
  expect(words).toEqual(words.map(([name]) => [name, named[name]]));
});
