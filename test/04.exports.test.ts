/*
 * The module's edges: what it imports and exports, by name, and who on the host may touch its memory. A change here is a change of the
 * contract between the two sides and must be made in both, and in this list.
 */
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { packageRoot } from '../src/native/package-root.ts';
import { loadModule } from '../src/wasm/load.ts';
import { BUILDS, openDatapath } from './support/datapath.ts';

const EXPORTS = [
  ...['create', 'attach', 'detach', 'recoverWorker', 'enter', 'leave', 'allocateBlock', 'releaseBlock', 'retireBlock'],
  ...['initRing', 'pushFrame', 'ringSize', 'closePort', 'moveQueue', 'openPort'],
  ...['prepareSleep', 'settle', 'checkXsk', 'fillXdp', 'coolPort', 'setHotFlows'],
  ...['poll', 'extractKey', 'sparePacket', 'putKey', 'parseMatch', 'parseMetadata', 'checkTuple', 'execute'],
  ...['dropActionList', 'dropMask', 'findExact', 'findFlow', 'holdActionList', 'holdMask'],
  ...['flushFlows', 'nextFlow', 'putFlow', 'readMatch', 'removeFlowAt', 'removeWhere', 'sweepFlows'],
  ...['sortSubtables', 'validateActions', 'actionFault', 'canonicalActions', 'deleteMeter', 'readMeter', 'setMeter'],
  ...['deleteBond', 'readBond', 'setBond'],
  ...['openSocket', 'closeSocket', 'addDevice', 'removeDevice', 'handleMessages', 'continueDump'],
  ...['answer', 'answerTaken', 'executeFrame', 'dropTaken', 'give', 'outstanding', 'purge', 'ringOf', 'take'],
  ...['importSlots', 'importUpcalls', 'exportFlow', 'exportExecute', 'settleTaken', 'decideTaken'],
  ...['answerByRules', 'decide', 'setRules', 'setSampleRings', 'sumCounters', 'sumFlow', 'sumPort', 'check'],
];

/** Every TypeScript file of the host, relative to the repository. */
function hostFiles(folder = 'src'): string[] {
  return readdirSync(path.join(packageRoot(), folder), { withFileTypes: true }).flatMap((entry) => {
    const name = `${folder}/${entry.name}`;
    if (entry.isDirectory()) return hostFiles(name);
    return name.endsWith('.ts') ? [name] : [];
  });
}

/** The text of a file without its comments. */
function codeOf(file: string): string {
  const text = readFileSync(path.join(packageRoot(), file), 'utf8');
  return text.replace(/\/\*[\s\S]*?\*\//g, '').replace(/^\s*\/\/.*$/gm, '');
}

describe.each(BUILDS)('the module, %s', (build) => {
  it('imports its memory and nothing else', () => {
    expect(WebAssembly.Module.imports(loadModule(build))).toEqual([{ module: 'env', name: 'memory', kind: 'memory' }]);
  });

  it('exports this list', () => {
    const exported = WebAssembly.Module.exports(loadModule(build));
    const functions = exported.filter(({ kind }) => kind === 'function').map(({ name }) => name);
    expect([...functions].sort()).toEqual([...EXPORTS].sort());
    expect(exported.filter(({ kind }) => kind !== 'function').map(({ name }) => name)).toEqual(['memory']);
  });

  it('has functions that take as many arguments as their types say', async () => {
    await using datapath = await openDatapath({ build });
    const body = codeOf('src/wasm/exports.ts');
    for (const [, name, parameters] of body.matchAll(/^ {2}(\w+)\(([^)]*)\):/gm)) {
      const count = parameters.split(',').filter((parameter) => parameter.trim() !== '').length;
      const exported: unknown = datapath.memory.wasm[name as 'poll'];
      expect([name, (exported as { length: number }).length]).toEqual([name, count]);
    }
  });
});

describe('the host', () => {
  it('types exactly what is exported', () => {
    const names = [...codeOf('src/wasm/exports.ts').matchAll(/^ {2}(\w+)\(/gm)].map(([, name]) => name);
    expect([...names].sort()).toEqual([...EXPORTS].sort());
  });

  it('touches memory.buffer in one module only', () => {
    const touching = hostFiles().filter(
      (file) => /\.buffer\b|\{\s*buffer\s*\}/.test(codeOf(file)) && /memory/i.test(codeOf(file)),
    );
    const wasm = touching.filter((file) => /\bmemory\.buffer\b|\{\s*buffer\s*\}\s*=\s*memory/.test(codeOf(file)));
    expect(wasm).toEqual(['src/wasm/memory.ts']);
  });

  it('instantiates the module in one place only', () => {
    expect(hostFiles().filter((file) => /new WebAssembly\.Instance\b/.test(codeOf(file)))).toEqual([
      'src/wasm/load.ts',
    ]);
  });
});
