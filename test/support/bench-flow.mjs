/*
 * `bench netlink --op flow` without the command line, for a guest that has the built package but not its dependencies:
 *   node bench-flow.mjs FOLDER-OF-THE-PACKAGE
 */
import path from 'node:path';
import { pathToFileURL } from 'node:url';

const { runNetlink } = await import(pathToFileURL(path.resolve(process.argv[2], 'dist/src/bench/netlink.js')).href);
const report = runNetlink({ op: 'flow', count: 2000, batch: 50, confirm: 'each', repeat: 2, reference: false });
console.log(JSON.stringify(report));
