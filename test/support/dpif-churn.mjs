/*
 * Two programs that change one datapath at the same time: each puts and deletes flows and ports of a small set that both have, and writes down every answer; then
 * the answers of both together must add up to what is there. Used by dpif-programs.mjs (the kernel's datapath) and dpif-worker.mjs (ours). For tests only.
 *
 * An actor carries out { what, which } and resolves with undefined, or with { errno, text } of what was refused; `table` is what it sees in the end.
 */
import assert from 'node:assert/strict';

/** Flows, ports and datapaths that both programs know, by number. */
export const FLOWS = 6;
const KINDS = [
  ...Array(8).fill('put'),
  ...Array(8).fill('del'),
  ...['get', 'modify', 'dump'],
  ...Array(4).fill('portAdd'),
  ...Array(4).fill('portDel'),
];
const EEXIST = 17;
const [ENOENT, EFAULT, EBUSY, ENODEV] = [2, 14, 16, 19];
/** What may be answered but success, and the words for it. */
const REFUSALS = {
  put: { [EEXIST]: /there is such a flow already|File exists/ },
  del: { [ENOENT]: /there is no such flow|No such file or directory/ },
  get: { [ENOENT]: /there is no such flow|No such file or directory/ },
  modify: { [ENOENT]: /there is no such flow|No such file or directory/ },
  dump: {},
  portAdd: {
    [EBUSY]: /in use|is taken|Device or resource busy/,
    [EEXIST]: /there is a (device of that name|port \S+) already|File exists/,
  },
  portDel: {
    [ENODEV]: /there is no such device|No such device/,
    [ENOENT]: /no port named \S+ \(No such file or directory\)/,
  },
};

/** The device went between two steps of ours, and between two of the kernel's. */
const BETWEEN = { [ENODEV]: /there is no such device/, [EFAULT]: /the device went away while it was added/ };

/** Numbers from 0 to 1 that follow from a seed. */
function random(seed) {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

/** What one of the programs does; `ports`: how many ports both know. */
export async function churn(actor, { seed, steps, ports }) {
  const next = random(seed);
  const pick = (count) => Math.floor(next() * count);
  const log = [];
  for (let step = 0; step < steps; step++) {
    const what = KINDS[pick(KINDS.length)];
    const which = pick(what.startsWith('port') ? ports : FLOWS);
    log.push({ what, which, refused: await actor[what](which) });
    if (pick(4) === 0) await actor.giveWay?.();
  }
  return log;
}

/** Successes that made a thing, less those that took it away. */
function balance(log, adding, taking, which) {
  const count = (what) => log.filter((each) => each.what === what && each.which === which && !each.refused).length;
  return count(adding) - count(taking);
}

/**
 * Holds the logs of the programs, and the tables that each of them sees in the end, against each other. Returns what was seen, in words. Ports from `exact` on have
 * devices that are made before them and go after them, in steps of their own: the other program may take the device away in between.
 */
export function judge(logs, tables, ports, exact = ports) {
  const all = logs.flat();
  for (const { what, which, refused } of all) {
    if (refused === undefined) continue;
    const between = what === 'portAdd' && which >= exact ? BETWEEN : {};
    const words = between[refused.errno] ?? REFUSALS[what][refused.errno];
    assert.ok(words !== undefined, `${what} ${which}: errno ${refused.errno}, ${refused.text}`);
    assert.match(refused.text, words);
  }
  for (const table of tables.slice(1)) assert.deepEqual(table, tables[0]);
  const [{ flows, ports: portsLeft }] = tables;
  const things = [
    ...Array.from({ length: FLOWS }, (_, i) => ['put', 'del', i, flows.includes(i)]),
    ...Array.from({ length: exact }, (_, i) => ['portAdd', 'portDel', i, portsLeft.includes(i)]),
  ];
  let crossed = 0;
  for (const [adding, taking, which, isThere] of things) {
    assert.equal(balance(all, adding, taking, which), Number(isThere), `${adding} ${which}`);
    if (logs.some((log) => ![0, 1].includes(balance(log, adding, taking, which)))) crossed++;
  }
  // something that the one made the other took away, of flows and of ports, or they did not meet at all
  assert.ok(crossed > 0, 'the programs did not meet');
  const refused = all.filter((each) => each.refused).length;
  assert.ok(refused > 0 && refused < all.length);
  return `${all.length} answers, ${refused} refused, ${crossed} things taken away by the other`;
}

/** An actor that has a Dpif. `portOf` is the request and the number of a port. */
export function dpifActor(dpif, { key, actions, CREATE, MODIFY }, portOf) {
  const trying = (work) => {
    try {
      work();
      return undefined;
    } catch (error) {
      if (error.errno === undefined) throw error;
      return { errno: error.errno, text: error.message };
    }
  };
  return {
    put: (i) => trying(() => dpif.flowPut({ flags: CREATE, key: key(i), actions })),
    modify: (i) => trying(() => dpif.flowPut({ flags: MODIFY, key: key(i), actions })),
    del: (i) => trying(() => dpif.flowDel({ key: key(i) })),
    get: (i) => trying(() => dpif.flowGet({ key: key(i) })),
    dump: () => trying(() => [...dpif.flowDump()]),
    portAdd: (i) => trying(() => dpif.portAdd(...portOf(i))),
    portDel: (i) => trying(() => dpif.portDel(portOf(i)[1])),
    giveWay: () => new Promise((resolve) => setImmediate(resolve)),
    table: (ports) => ({
      flows: numbersOf(FLOWS, (i) => trying(() => dpif.flowGet({ key: key(i) })) === undefined),
      ports: numbersOf(ports, (i) => dpif.portQueryByNumber(portOf(i)[1]) !== undefined),
      all: [[...dpif.flowDump()].length, [...dpif.ports()].map(({ portNo, name }) => `${portNo} ${name}`).sort()],
    }),
  };
}

export function numbersOf(count, is) {
  return Array.from({ length: count }, (_, i) => i).filter(is);
}
