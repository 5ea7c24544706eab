/*
 * npm run fuzz -- [netlink|odp|keys|quick] [--seed N] [--count N]: the fuzz targets of Netlink, actions or keys with more cases than the tests have.
 *
 * netlink runs test/11.netlink-fuzz.test.ts: `count` cases a target in WASM, a third as many in both languages. A finding is printed with its
 * seed and case, and its bytes belong into test/corpus/netlink-attributes/. The longest run so far, without a finding: `--seed 20261121 --count
 * 27000000`, 81 million cases in WASM (27 million each of cursor with builder, policy, messages), 27 million in both languages, and 3 million
 * parsed, encoded and parsed again.
 *
 * odp runs test/33.action-fuzz.test.ts: `count` texts and as many attribute lists. A finding belongs into test/corpus/actions/. The longest run
 * so far: `odp --seed 20261121 --count 400000`, all texts without a finding, attributes up to the finding in case 242626, gre-over-ipv6.json.
 *
 * keys runs test/35.key-fuzz.test.ts: `count` texts and as many attribute lists. A finding belongs into test/corpus/odp-keys/. The longest run
 * so far: `keys --seed 20261121 --count 200000`, all lists without a finding, three texts with a Geneve size under a mask, which text does not keep.
 *
 * quick runs test/35.quick-fuzz.test.ts: `count` action texts, action lists, key texts and key lists, one small change a case. FUZZ_TARGET, a
 * part of a name, chooses among them. The longest run so far: seeds 101 to 110 with `--count 1000000` each, 40 million cases, without a finding
 * (those of 200,000 cases with seed 1 before it are mended).
 */
import { parseArgs } from 'node:util';
import { runNode } from '../../scripts/child.mjs';
import { inRoot } from '../../scripts/files.mjs';

const TESTS = {
  netlink: 'test/11.netlink-fuzz',
  odp: 'test/33.action-fuzz',
  keys: 'test/35.key-fuzz',
  quick: 'test/35.quick-fuzz',
};

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    seed: { type: 'string', default: String(Math.floor(Math.random() * 2 ** 31)) },
    count: { type: 'string', default: '10000000' },
  },
});
for (const [name, text] of Object.entries(values)) {
  if (!/^\d{1,10}$/.test(text) || Number(text) >= 2 ** 32) {
    process.stderr.write(`fuzz: --${name} takes a number below 2^32, not ${text}\n`);
    process.exit(2);
  }
}
const [target = 'netlink', ...rest] = positionals;
if (!Object.hasOwn(TESTS, target) || rest.length > 0) {
  process.stderr.write(`fuzz: ${Object.keys(TESTS).join(' or ')}, not ${positionals.join(' ')}\n`);
  process.exit(2);
}
process.env.SEED = values.seed;
process.env.FUZZ_COUNT = values.count;
process.stdout.write(`fuzz: ${target} --seed ${values.seed} --count ${values.count}\n`);
const vitest = inRoot('node_modules/vitest/vitest.mjs');
process.exitCode = (await runNode(vitest, ['run', TESTS[target], '--testTimeout', '0'])).status;
