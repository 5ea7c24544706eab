#!/usr/bin/env node
/*
 * flow-files: `wdp add-flows`, `dump-flows` and `del-flows` beside ovs-dpctl's, of the same file on the same datapath of the kernel in the virtual machine
 * (test/kernel-vm/boot), in turn, each a process of its own. Its processor is emulated, so only ratios count, and what a program costs to start counts for more
 * than elsewhere: `node -e 0` and `wdp show` are there for that.
 *
 *   bench/flow-files.mjs [--flows N] [--rounds R] [--instructions] [--json]
 *
 * Every flow of the file must be dumped, by both, or it fails. Printed are milliseconds, the fastest round; with --instructions millions of instructions, which
 * do not depend on what else this machine does, but leave out that it translates code that is new, of which JavaScript has more. Needs the built package, qemu
 * and ovs-dpctl.
 */
import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const { values } = parseArgs({
  options: {
    flows: { type: 'string', default: '20000' },
    rounds: { type: 'string', default: '2' },
    instructions: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
    guest: { type: 'boolean', default: false },
  },
});
const [flows, rounds] = [values.flows, values.rounds].map(Number);
if (!(flows > 0 && flows <= 65536 && rounds > 0)) {
  process.stderr.write('flow-files: --flows takes 1 to 65536, --rounds a number above 0\n');
  process.exit(2);
}
const self = fileURLToPath(import.meta.url);

/** In the virtual machine: runs everything, and prints the fastest times as JSON. */
function measure() {
  const line = (i) =>
    `recirc_id(0),in_port(1),eth(src=02:00:00:00:00:01,dst=02:00:00:00:00:02),eth_type(0x0800),` +
    `ipv4(src=10.0.${i >> 8}.${i & 255},dst=10.1.0.1,proto=6,tos=0,ttl=64,frag=no),tcp(src=1024,dst=80),tcp_flags(0x2/0x2) 2\n`;
  writeFileSync('flows', Array.from({ length: flows }, (_, i) => line(i)).join(''));
  const best = {};
  const run = (name, program, words) => {
    const start = performance.now();
    const { status, stdout, stderr } = spawnSync(program, words, { encoding: 'utf8', maxBuffer: 1 << 28 });
    if (status !== 0) throw new Error(`${program} ${words.join(' ')}: ${stderr}`);
    best[name] = Math.round(Math.min(best[name] ?? Number.POSITIVE_INFINITY, performance.now() - start));
    return stdout;
  };
  const programs = { ovs: ['ovs-dpctl'], wdp: [process.execPath, 'package/dist/src/cli/main.cjs'] };
  run('veth', 'ip', ['link', 'add', 'v1', 'type', 'veth', 'peer', 'name', 'w1']);
  run('datapath', 'ovs-dpctl', ['add-dp', 'dp0', 'v1']);
  for (let round = 0; round < rounds; round++) {
    run('node', process.execPath, ['-e', '0']);
    for (const [name, [program, ...first]] of Object.entries(programs)) {
      const command = (...words) => run(`${name}.${words[0]}`, program, [...first, ...words]);
      command('show');
      command('add-flows', 'dp0', 'flows');
      const dumped = command('dump-flows', 'dp0').split('\n').length - 1;
      if (dumped !== flows) throw new Error(`${name}: ${dumped} flows of ${flows}`);
      command('del-flows', 'dp0');
    }
  }
  console.log(JSON.stringify(best));
}

/** Here: boots the machine with the built package and this file. */
function boot() {
  const root = path.dirname(path.dirname(self));
  const folder = mkdtempSync(path.join(os.tmpdir(), 'flow-files-'));
  try {
    const guest = path.join(folder, 'package');
    const { dependencies } = JSON.parse(readFileSync(path.join(root, 'package.json'), 'utf8'));
    const parts = ['package.json', 'dist', 'build/Release/wdp_native.node', 'build/datapath.release.wasm'];
    mkdirSync(guest);
    for (const part of [...parts, ...Object.keys(dependencies).map((name) => `node_modules/${name}`)])
      cpSync(path.join(root, part), path.join(guest, part), { recursive: true });
    const programs = ['node', 'ovs-dpctl', 'ip'].flatMap((program) => ['--program', program]);
    const command = `node ${path.basename(self)} --guest --flows ${flows} --rounds ${rounds}`;
    const words = ['--copy', guest, '--copy', self, ...programs, '--', command];
    const env = { ...process.env, KERNEL_VM_TIMEOUT: '900', KERNEL_VM_ICOUNT: values.instructions ? '1' : '' };
    const { status, stdout, stderr } = spawnSync(path.join(root, 'test/kernel-vm/boot'), words, {
      encoding: 'utf8',
      env,
    });
    if (status !== 0) throw new Error(`${stdout}${stderr}`);
    return JSON.parse(stdout.trimEnd().split('\n').at(-1));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function report() {
  const best = boot();
  const unit = values.instructions ? 'millions' : 'ms';
  const { machine } = await import('../dist/src/bench/machine.js');
  if (values.json)
    return console.log(
      JSON.stringify({ bench: 'flow-files', flows, [unit]: best, machine: machine(), node: process.version }),
    );
  console.log(`${`command, ${unit}`.padEnd(18)}${'ovs-dpctl'.padStart(10)}${'wdp'.padStart(10)}${'ratio'.padStart(8)}`);
  for (const command of ['show', 'add-flows', 'dump-flows', 'del-flows']) {
    const [theirs, ours] = [best[`ovs.${command}`], best[`wdp.${command}`]];
    const ratio = (theirs / ours).toFixed(2);
    console.log(`${command.padEnd(18)}${String(theirs).padStart(10)}${String(ours).padStart(10)}${ratio.padStart(8)}`);
  }
  console.log(`node -e 0${String(best.node).padStart(29)}`);
}

if (values.guest) measure();
else await report();
