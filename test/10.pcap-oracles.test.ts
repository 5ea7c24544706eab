/*
 * Capture files beside other programs: tshark and tcpdump see what our reader sees in the shipped captures and read what
 * our writer writes; editcap's conversions are read, or refused by name. Also the folder of captures itself.
 */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { encodePcap, PcapReader, type PcapRecord, readPcap } from '../src/pcap/index.ts';
import { readFilePlain } from './support/pcap-read.ts';
import { requireProgram } from './support/require.ts';

const capturesFolder = new URL('../examples/captures/', import.meta.url).pathname;
const captures = readdirSync(capturesFolder).filter((name) => name.endsWith('.pcap'));
const folder = mkdtempSync(join(tmpdir(), 'pcap-test-'));
afterAll(() => rmSync(folder, { recursive: true }));

describe('the shipped captures', () => {
  test('every file is listed in the README with its number of packets', () => {
    const readme = readFileSync(join(capturesFolder, 'README.md'), 'utf8');
    const listed = [...readme.matchAll(/^\| (\S+\.pcap) \| (\d+) \|/gm)].map(([, name, count]) => [
      name,
      Number(count),
    ]);
    const counted = captures.map((name) => [
      name,
      readPcap(new Uint8Array(readFileSync(join(capturesFolder, name)))).records.length,
    ]);
    expect(listed.sort()).toEqual(counted.sort());
  });

  test('together they stay below 400 kB', () => {
    expect(captures.reduce((sum, name) => sum + statSync(join(capturesFolder, name)).size, 0)).toBeLessThan(400_000);
  });
});

describe('beside other programs', () => {
  const tsharkMissing = requireProgram('tshark');
  const editcapMissing = requireProgram('editcap');
  const tcpdumpMissing = requireProgram('tcpdump');

  /** Time and size on the wire of each packet, as tshark sees them. */
  function tsharkView(path: string): string[] {
    const fields = ['-T', 'fields', '-e', 'frame.time_epoch', '-e', 'frame.len', '-e', 'frame.cap_len'];
    return run('tshark', ['-r', path, ...fields])
      .trim()
      .split('\n');
  }

  function ourTsharkView(records: readonly PcapRecord[]): string[] {
    return records.map(({ timeNs, wireSize, data }) => {
      const digits = String(timeNs).padStart(19, '0');
      return `${digits.slice(0, -9)}.${digits.slice(-9)}\t${wireSize}\t${data.length}`;
    });
  }

  /** The bytes of each packet in hexadecimal, as tcpdump sees them. */
  function tcpdumpView(path: string): string[] {
    const frames: string[] = [];
    for (const line of run('tcpdump', ['-r', path, '-n', '-t', '-xx']).split('\n')) {
      const found = /^\t0x([0-9a-f]+): {2}([0-9a-f ]+)$/.exec(line);
      if (found === null) continue;
      if (Number.parseInt(found[1], 16) === 0) frames.push('');
      frames[frames.length - 1] += found[2].replaceAll(' ', '');
    }
    return frames;
  }

  function ourTcpdumpView(records: readonly PcapRecord[]): string[] {
    return records.map(({ data }) => Buffer.from(data).toString('hex'));
  }

  function run(program: string, args: string[]): string {
    return execFileSync(program, args, { encoding: 'utf8', maxBuffer: 1 << 28, stdio: ['ignore', 'pipe', 'ignore'] });
  }

  test('tshark and tcpdump see the same packets in every shipped capture', async (context) => {
    const missing = tsharkMissing ?? tcpdumpMissing;
    if (missing !== undefined) context.skip(missing);
    for (const name of captures) {
      const path = join(capturesFolder, name);
      const records = await readFilePlain(path);
      expect(ourTsharkView(records), name).toEqual(tsharkView(path));
      expect(ourTcpdumpView(records), name).toEqual(tcpdumpView(path));
    }
  });

  test('editcap converts a capture into every format that it writes', async (context) => {
    if (editcapMissing !== undefined) context.skip(editcapMissing);
    const source = join(capturesFolder, 'host-a.pcap');
    const inNs = await readFilePlain(source);
    const inUs = inNs.map((record) => ({ ...record, timeNs: record.timeNs - (record.timeNs % 1000n) }));
    const readable = { pcap: inUs, nsecpcap: inNs, pcapng: inNs };
    for (const [format, expected] of Object.entries(readable)) {
      const path = join(folder, `editcap.${format}`);
      execFileSync('editcap', ['-F', format, source, path], { stdio: 'ignore' });
      expect(await readFilePlain(path), format).toEqual(expected);
    }
    const refused = {
      modpcap: /'modified' pcap/,
      suse6_3pcap: /'modified' pcap/,
      snoop: /snoop/,
      netmon2: /not a pcap/,
    };
    for (const [format, text] of Object.entries(refused)) {
      const path = join(folder, `editcap.${format}`);
      execFileSync('editcap', ['-F', format, source, path], { stdio: 'ignore' });
      await expect(PcapReader.open(path), format).rejects.toMatchObject({ code: 'ERR_PCAP_MAGIC', message: text });
    }
    for (const format of ['nokiapcap', 'rh6_1pcap']) {
      const path = join(folder, `editcap.${format}`);
      execFileSync('editcap', ['-F', format, source, path], { stdio: 'ignore' });
      await expect(readFilePlain(path), format).rejects.toMatchObject({ code: 'ERR_PCAP_RECORD' });
    }
  });

  test('a capture cut by editcap -s keeps the sizes on the wire', async (context) => {
    if (editcapMissing !== undefined) context.skip(editcapMissing);
    const source = join(capturesFolder, 'http.pcap');
    const path = join(folder, 'cut.pcapng');
    execFileSync('editcap', ['-F', 'pcapng', '-s', '60', source, path], { stdio: 'ignore' });
    const expected = (await readFilePlain(source)).map((record) => ({ ...record, data: record.data.slice(0, 60) }));
    expect(await readFilePlain(path)).toEqual(expected);
  });

  for (const precision of ['ns', 'us'] as const) {
    test(`tshark and tcpdump read what the writer writes, in ${precision}`, async (context) => {
      const missing = tsharkMissing ?? tcpdumpMissing;
      if (missing !== undefined) context.skip(missing);
      const path = join(folder, `oracle-${precision}.pcap`);
      const source = await readFilePlain(join(capturesFolder, 'host-b.pcap'));
      writeFileSync(path, encodePcap(source, { precision }));
      expect(ourTsharkView(await readFilePlain(path))).toEqual(tsharkView(path));
      expect(tcpdumpView(path)).toEqual(ourTcpdumpView(source));
    });
  }
});
