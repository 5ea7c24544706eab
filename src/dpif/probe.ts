/*
 * What a datapath can do, found out by asking it for it: the questions of ofproto-dpif, `check_*`. Before it: whoever decides by it what to ask of a datapath. After it: Dpif.
 *
 * Two kinds of questions. A flow that nobody needs is put, read back and deleted: refused with EINVAL (or EOVERFLOW, for lists that are too deep) the
 * datapath does not know its key or its actions. Or a packet that nobody misses is executed with actions that send it nowhere. Both say that they are
 * probes, so that nobody logs their errors. Flows of a probe that was interrupted are replaced. Threads: the datapath's.
 */
import { type Action, encodeActions, flowUfid, parseActions, parseKeyAttributes } from '../odp/index.ts';
import type { Dpif } from './dpif.ts';
import { EINVAL, EOVERFLOW } from './errors.ts';
import { DPIF_FP_CREATE, DPIF_FP_MODIFY, DPIF_FP_PROBE, type FlowDel, type FlowGet, type FlowPut } from './types.ts';

/** By the names of `ovs-appctl dpif/show-dp-features`, shortened. */
export interface DatapathCapabilities {
  maskedSet: boolean;
  tnlPushPop: boolean;
  ufid: boolean;
  trunc: boolean;
  clone: boolean;
  /** How deep SAMPLE may nest. */
  sampleNesting: number;
  ctEventmask: boolean;
  ctClear: boolean;
  /** Highest algorithm of HASH. */
  maxHashAlg: number;
  checkPktLen: boolean;
  ctTimeout: boolean;
  explicitDrop: boolean;
  lbOutput: boolean;
  addMpls: boolean;
  psample: boolean;
  maxVlanHeaders: number;
  maxMplsDepth: number;
  recirc: boolean;
  ctState: boolean;
  ctZone: boolean;
  ctMark: boolean;
  ctLabel: boolean;
  ctStateNat: boolean;
  ctOrigTuple: boolean;
  ctOrigTuple6: boolean;
  ndExtensions: boolean;
}

const ETHERNET = 'in_port(0),eth(src=00:00:00:00:00:00,dst=00:00:00:00:00:00)';
const PLAIN = `${ETHERNET},eth_type(0x1234)`;
const IPV4_HEADER = 'eth_type(0x0800),ipv4(src=0.0.0.0,dst=0.0.0.0,proto=0,tos=0,ttl=0,frag=no)';
const IPV4 = `${ETHERNET},${IPV4_HEADER}`;
const IPV6 = `${ETHERNET},eth_type(0x86dd),ipv6(src=::,dst=::,label=0,proto=0,tclass=0,hlimit=0,frag=no)`;
const TAG = 'vlan(vid=1,pcp=0)';
const MPLS_ENTRY = 'label=0,tc=0,ttl=0,bos';
const VLANS_MAX = 2;
const MPLS_MAX = 3;
/** SAMPLE inside of SAMPLE: from what Open vSwitch itself needs to more than the kernel takes. */
const NESTING_MIN = 3;
const NESTING_MAX = 10;
/** ct_state: new; tracked and source NAT. */
const CS_NEW = 0x01;
const CS_TRACKED_SRC_NAT = 0xa0;
const HASH_SYM_L4 = 1;
const PSAMPLE_COOKIE_SIZE = 16;

/** Whether the datapath takes a flow of this key (text of `ovs-dpctl`) and these actions; `withUfid`: and gives it back under its UFID. */
export function probeFlow(dpif: Dpif, keyText: string, actions: readonly Action[] = [], withUfid = false): boolean {
  const { key } = parseKeyAttributes(keyText);
  const ufid = withUfid ? flowUfid(key) : undefined;
  const name = ufid === undefined ? { key } : { key, ufid };
  const flags = DPIF_FP_CREATE | DPIF_FP_MODIFY | DPIF_FP_PROBE;
  const put: FlowPut = { type: 'flow_put', flags, actions: encodeActions(actions), ...name };
  dpif.operate([put]);
  if (put.error !== undefined) {
    if (put.error.errno !== EINVAL && put.error.errno !== EOVERFLOW) throw put.error;
    return false;
  }
  const get: FlowGet = { type: 'flow_get', ...name };
  const del: FlowDel = { type: 'flow_del', ...name };
  dpif.operate([get, del]);
  if (get.error !== undefined || get.flow === undefined) return false;
  return ufid === undefined || Buffer.compare(get.flow.ufid ?? new Uint8Array(0), ufid) === 0;
}

/** Whether the datapath executes these actions on a packet of this key. */
export function probeExecute(dpif: Dpif, actions: readonly Action[], packet: Uint8Array = plainFrame()): boolean {
  const { key } = parseKeyAttributes('in_port(0)');
  const op = { type: 'execute', packet, key, actions: encodeActions(actions), probe: true } as const;
  const ops = [{ ...op, error: undefined }];
  dpif.operate(ops);
  return ops[0].error === undefined;
}

/** All that is asked; about forty questions. Throws what no datapath should answer to a question (ERR_NETLINK_PERMISSION, ERR_NO_SUCH_DATAPATH). */
export function probeCapabilities(dpif: Dpif): DatapathCapabilities {
  const takes = (key: string, ...actions: Action[]): boolean => probeFlow(dpif, key, actions);
  const executes = (...actions: Action[]): boolean => probeExecute(dpif, actions);
  const executesUdp = (...actions: Action[]): boolean => probeExecute(dpif, actions, udpFrame());
  const isUserspace = dpif.type === 'netdev';
  return {
    recirc: takes(`recirc_id(1),dp_hash(1),${PLAIN}`),
    maxVlanHeaders: highest(1, VLANS_MAX, (n) => takes(tagged(n))),
    maxMplsDepth: highest(1, MPLS_MAX, (n) =>
      takes(
        `${ETHERNET},eth_type(0x8847),mpls(${Array.from({ length: n }, (_, i) => `${MPLS_ENTRY}=${i === n - 1 ? 1 : 0}`).join(',')})`,
      ),
    ),
    maskedSet: executes(...parseActions('set(eth(src=53:53:53:53:53:53/7f:7f:7f:7f:7f:7f))')),
    trunc: executes({ type: 'trunc', maxSize: 15 }, { type: 'output', port: 0 }),
    ufid: probeFlow(dpif, PLAIN, [], true),
    // Kernels have other actions at these numbers, so they are not asked.
    tnlPushPop: isUserspace && takes(PLAIN, { type: 'tunnelPop', port: 1 }),
    lbOutput: isUserspace && takes(PLAIN, { type: 'lbOutput', bondId: 1 }),
    clone: executes({ type: 'clone', actions: [] }),
    sampleNesting:
      NESTING_MIN + highest(0, NESTING_MAX - NESTING_MIN, (n) => takes(PLAIN, nestedSample(NESTING_MIN + n))),
    ctEventmask: executesUdp({ type: 'ct', eventMask: 0xffffffff }),
    ctClear: takes(PLAIN, { type: 'ctClear' }),
    maxHashAlg: takes(PLAIN, { type: 'hash', algorithm: HASH_SYM_L4, basis: 0 }) ? HASH_SYM_L4 : 0,
    checkPktLen: takes(PLAIN, { type: 'checkPktLen', size: 100, greater: [], lessEqual: [] }),
    ctTimeout: executesUdp({ type: 'ct', timeout: 'ovs_test_tp' }),
    explicitDrop: takes(PLAIN, { type: 'drop', reason: 0 }),
    addMpls: takes(PLAIN, { type: 'addMpls', ethType: 0x8847, label: 0, tc: 0, ttl: 64, bos: 1 }),
    psample: takes(PLAIN, { type: 'psample', group: 10, cookie: new Uint8Array(PSAMPLE_COOKIE_SIZE) }),
    ctState: takes(`ct_state(${CS_NEW}),${IPV4}`),
    ctZone: takes(`ct_zone(1),${IPV4}`),
    ctMark: takes(`ct_mark(1),${IPV4}`),
    ctLabel: takes(`ct_label(0x1),${IPV4}`),
    ctStateNat: takes(`ct_state(${CS_TRACKED_SRC_NAT}),${IPV4}`),
    ctOrigTuple: takes(`ct_tuple4(src=0.0.0.0,dst=0.0.0.0,proto=1,tp_src=0,tp_dst=0),${IPV4}`),
    ctOrigTuple6: takes(`ct_tuple6(src=::,dst=::,proto=1,tp_src=0,tp_dst=0),${IPV6}`),
    ndExtensions: executes(...parseActions('set(nd_ext(nd_reserved=0x1/0x1,nd_options_type=1))')),
  };
}

/** The highest number from `first` to `last` that is taken as all before it are; 0 when the first is not. */
function highest(first: number, last: number, takes: (n: number) => boolean): number {
  let n = first;
  while (n <= last && takes(n)) n++;
  return n === first ? 0 : n - 1;
}

function tagged(n: number): string {
  const inner = n === 1 ? IPV4_HEADER : `eth_type(0x8100),${TAG},encap(${IPV4_HEADER})`;
  return `${ETHERNET},eth_type(0x8100),${TAG},encap(${inner})`;
}

function nestedSample(depth: number): Action {
  const actions: Action[] = depth === 1 ? [] : [nestedSample(depth - 1)];
  return { type: 'sample', probability: 0xffffffff, actions };
}

function plainFrame(): Uint8Array {
  return Uint8Array.of(...Array(12).fill(0), 0x12, 0x34);
}

/** UDP over IPv4 in its smallest form. */
function udpFrame(): Uint8Array {
  const ipv4 = [0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2];
  return Uint8Array.of(...Array(12).fill(0), 0x08, 0x00, ...ipv4, 0, 1, 0, 2, 0, 8, 0, 0);
}
