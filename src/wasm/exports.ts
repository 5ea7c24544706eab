/*
 * What the module exports, typed. The names and the order are those of assembly/index.ts, where each is explained; addresses come back
 * signed and are made unsigned by whoever reads them (`>>> 0`).
 */

export interface DatapathExports {
  create(
    flows: number,
    workers: number,
    emcEntries: number,
    upcallFrames: number,
    arenaSize: number,
    seed: bigint,
    dpIfindex: number,
  ): number;
  attach(worker: number): number;
  detach(): void;
  recoverWorker(worker: number): number;
  enter(): void;
  leave(): void;
  allocateBlock(size: number): number;
  releaseBlock(block: number): void;
  retireBlock(block: number): void;

  initRing(ring: number, slots: number, frameSize: number): void;
  pushFrame(ring: number, data: number, size: number, wireSize: number, timeNs: bigint): number;
  ringSize(slots: number, frameSize: number): number;
  closePort(portNo: number): number;
  moveQueue(portNo: number, index: number, worker: number): number;
  openPort(
    portNo: number,
    rxKind: number,
    rx: number,
    txKind: number,
    txRings: number,
    worker: number,
    flags: number,
  ): number;

  prepareSleep(): number;
  settle(): void;
  checkXsk(xsk: number): number;
  coolPort(portNo: number): void;
  setHotFlows(block: number): void;
  fillXdp(xsk: number, count: number): void;

  poll(breaths: number): number;
  extractKey(data: number, size: number, inPort: number): number;
  sparePacket(): number;
  putKey(at: number, limit: number, key: number, mask: number): number;
  parseMatch(
    keyAttrs: number,
    keySize: number,
    maskAttrs: number,
    maskSize: number,
    key: number,
    mask: number,
    match: number,
  ): number;
  parseMetadata(attrs: number, size: number, key: number, match: number): number;
  checkTuple(key: number, match: number): number;
  execute(packet: number, attrs: number, size: number): void;

  dropActionList(actions: number): void;
  dropMask(subtable: number): void;
  findExact(key: number, mask: number): number;
  findFlow(key: number): number;
  holdActionList(attrs: number, size: number, key: number, mask: number): number;
  holdMask(mask: number): number;
  flushFlows(): number;
  nextFlow(index: number): number;
  putFlow(key: number, subtable: number, actions: number, flags: number, idleMs: number, hardMs: number): number;
  readMatch(flow: number, key: number, mask: number): number;
  removeFlowAt(flow: number): number;
  removeWhere(key: number, mask: number, scratch: number): number;
  sweepFlows(first: number, slots: number, nowMs: bigint, idleMs: number, hardMs: number, all: number): number;
  sortSubtables(): void;
  validateActions(attrs: number, size: number, key: number, mask: number): number;
  actionFault(): number;
  canonicalActions(attrs: number, size: number, at: number, limit: number): number;

  deleteBond(id: number): number;
  readBond(id: number, out: number): number;
  setBond(id: number, ports: number): number;

  deleteMeter(id: number): number;
  readMeter(id: number, out: number): number;
  setMeter(id: number, kbps: number, bands: number, count: number): number;

  openSocket(portId: number, flags: number): number;
  closeSocket(socket: number): void;
  addDevice(name: number, ifindex: number, kind: number): number;
  removeDevice(name: number, out: number, limit: number): number;
  handleMessages(socket: number, datagram: number, size: number, out: number, limit: number): number;
  continueDump(socket: number, out: number, limit: number): number;

  answer(worker: number, frame: number, idleMs: number, hardMs: number): number;
  answerTaken(worker: number, count: number, idleMs: number, hardMs: number): number;
  executeFrame(frame: number, attrs: number, size: number): void;
  dropTaken(worker: number, count: number, reason: number): void;
  give(worker: number, frame: number): void;
  outstanding(worker: number): number;
  purge(worker: number): number;
  ringOf(worker: number): number;
  take(worker: number, max: number): number;
  answerByRules(worker: number, max: number): number;
  decide(rules: number, key: number): number;
  decideTaken(worker: number, count: number): void;
  setRules(rules: number): void;
  importSlots(worker: number, max: number, out: number): number;
  importUpcalls(
    worker: number,
    rows: number,
    rowCount: number,
    family: number,
    dpIfindex: number,
    work: number,
  ): number;
  exportExecute(frame: number, at: number, limit: number, family: number, dpIfindex: number): number;
  exportFlow(frame: number, at: number, limit: number, family: number, dpIfindex: number, work: number): number;
  settleTaken(worker: number, count: number): void;

  setSampleRings(rings: number): void;

  sumCounters(out: number): void;
  sumFlow(flow: number, out: number): void;
  sumPort(port: number, out: number): void;

  check(): number;
}
