/*
 * Every export of the datapath, in the order in which it is used. Addresses are u32; statuses are 0 or a negative errno unless a function says
 * otherwise. No code here.
 */

// a datapath and its workers
export { create } from './control';
export { attach, detach, recoverWorker } from './memory/worker';
export { enter, leave } from './memory/epoch';
export { allocateBlock, releaseBlock, retireBlock } from './control';

// ports
export { initRing, pushFrame, ringSize } from './io/ring';
export { closePort, moveQueue, openPort } from './io/port';
export { prepareSleep, settle } from './io/queue';
export { checkXsk, fillXdp } from './io/afxdp';
export { coolPort, setHotFlows } from './io/hot-flows';

// packets
export { poll } from './pipeline';
export { extractKey, sparePacket } from './control';
export { checkTuple, parseMatch, parseMetadata } from './netlink/key-get';
export { putKey } from './netlink/key-put';
export { execute } from './actions/execute';

// flows
export { dropActionList, dropMask, findExact, findFlow, holdActionList, holdMask } from './control';
export { flushFlows, nextFlow, putFlow, readMatch, removeFlowAt, removeWhere, sweepFlows } from './flow/table';
export { sortSubtables } from './control';
export { validateActions } from './actions/validate';
export { actionFault } from './actions/validate-state';
export { canonicalActions } from './actions/canonical';

// bonds and meters
export { deleteBond, readBond, setBond } from './actions/bond';
export { deleteMeter, readMeter, setMeter } from './actions/meter';

// messages
export { closeSocket, openSocket } from './kernel/socket';
export { addDevice, removeDevice } from './kernel/devices';
export { handleMessages } from './kernel/dispatch';
export { continueDump } from './kernel/dump';

// upcalls
export { answer, answerTaken, executeFrame } from './upcall/answer';
export { dropTaken, give, outstanding, purge, ringOf, take } from './upcall/consume';
export { answerByRules, decide, decideTaken } from './upcall/rules';
export { importSlots, importUpcalls } from './upcall/import';
export { exportExecute, exportFlow, settleTaken } from './upcall/export';
export { setRules } from './control';

// samples
export { setSampleRings } from './control';

// statistics
export { sumCounters, sumFlow, sumPort } from './flow/stats';

// proof
export { check } from './check';
