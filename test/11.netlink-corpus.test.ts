/*
 * The corpus of attributes and messages that once broke something, or belong to the list of bad input: both languages say the same to each, and
 * whatever is parsed has lost nothing. A file holds `why` and the bytes as hex.
 */
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import * as C from '../assembly/constants.ts';
import { AttributeCursor } from '../src/netlink/attributes.ts';
import { MessageCursor } from '../src/netlink/message.ts';
import { parseAttributes } from '../src/netlink/policy-values.ts';
import { everyKind } from './fuzz/netlink-policies.ts';
import { type Build, judgeAll, type NetlinkWasm, openBuilds } from './fuzz/netlink-wasm.ts';
import { walkOurs } from './support/netlink-oracle.ts';

const MODES = [C.NL_VALIDATE_LIBERAL, C.NL_VALIDATE_TRAILING, C.NL_VALIDATE_STRICT];

let wasm: Record<Build, NetlinkWasm>;
beforeAll(async () => {
  wasm = await openBuilds();
});

interface Finding {
  why: string;
  hex: string;
}

const CORPUS = path.join(import.meta.dirname, 'corpus/netlink-attributes');
const findings = readdirSync(CORPUS).map((file): [string, Finding] => [
  file,
  JSON.parse(readFileSync(path.join(CORPUS, file), 'utf8')) as Finding,
]);

describe('the corpus', () => {
  it.each(findings)('%s: %o', (_file, { hex }) => {
    const bytes = new Uint8Array(Buffer.from(hex, 'hex'));
    const policy = everyKind();
    for (const mode of MODES) judgeAll(wasm, policy, bytes, mode);
    const outer = walkOurs(new AttributeCursor(bytes), bytes.length).attributes.map(([type]) => type);
    const messages = new MessageCursor(bytes);
    while (messages.next()) messages.extendedAck();
    try {
      const values = parseAttributes(policy, bytes);
      const known = outer.filter((type) => policy.rows[type] !== undefined);
      expect(Object.keys(values).length - 1).toBe(new Set(known).size);
    } catch (error) {
      expect(error).toMatchObject({ code: 'ERR_NETLINK_MALFORMED' });
    }
  });
});
