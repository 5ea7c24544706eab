/*
 * Every structure of assembly/constants.ts with the sizes of its fields, which the constants only say in comments.
 */
import * as C from '../../assembly/constants.ts';

export interface FieldTable {
  /** Bytes of the structure. */
  size: number;
  /** Offset of its first field when something else stands before. */
  from?: number;
  fields: Record<string, { at: number; size: number }>;
}

type Name = keyof typeof C;

/** Value of a constant by its name. */
export const constantNamed: Readonly<Record<string, number>> = { ...C };

/** Fields by size: `{ 4: ['KEY_IN_PORT'] }`. */
function table(size: number, bySize: Record<number, Name[]>, from = 0): FieldTable {
  const fields: FieldTable['fields'] = {};
  for (const [bytes, names] of Object.entries(bySize)) {
    for (const name of names) fields[name] = { at: constantNamed[name], size: Number(bytes) };
  }
  return { size, from, fields };
}

/** Named places that share their bytes with another field on purpose. */
export const SHARED_FIELDS: ReadonlyMap<Name, Name> = new Map([
  ['KEY_ND_SLL', 'KEY_ARP_SHA'],
  ['KEY_ND_TLL', 'KEY_ARP_THA'],
]);

export const STRUCTURES: Record<string, FieldTable> = {
  KEY: table(C.KEY_SIZE, {
    1: [
      ...(['KEY_IP_PROTO', 'KEY_IP_TOS', 'KEY_IP_TTL', 'KEY_IP_FRAG', 'KEY_MPLS_COUNT', 'KEY_FLAGS'] as const),
      ...(['KEY_CT_ORIG_PROTO', 'KEY_NSH_FLAGS', 'KEY_NSH_TTL', 'KEY_NSH_MDTYPE', 'KEY_NSH_NP'] as const),
      ...(['KEY_ND_OPTIONS_TYPE', 'KEY_TUN_TOS', 'KEY_TUN_TTL', 'KEY_TUN_PROTO', 'KEY_TUN_OPTS_SIZE'] as const),
      ...(['KEY_TUN_ERSPAN_VER', 'KEY_TUN_GTPU_FLAGS', 'KEY_TUN_GTPU_MSGTYPE'] as const),
    ],
    2: [
      ...(['KEY_ETH_TYPE', 'KEY_VLAN_TCI', 'KEY_TP_SRC', 'KEY_TP_DST', 'KEY_TCP_FLAGS', 'KEY_VLAN_TPID'] as const),
      ...(['KEY_CVLAN_TCI', 'KEY_CVLAN_TPID', 'KEY_IPV6_EXTHDRS', 'KEY_CT_ZONE', 'KEY_CT_ORIG_TP_SRC'] as const),
      ...(['KEY_CT_ORIG_TP_DST', 'KEY_TUN_FLAGS', 'KEY_TUN_TP_SRC', 'KEY_TUN_TP_DST'] as const),
    ],
    4: [
      ...(['KEY_IN_PORT', 'KEY_RECIRC_ID', 'KEY_IPV4_SRC', 'KEY_IPV4_DST', 'KEY_IPV6_LABEL', 'KEY_MPLS_LSE0'] as const),
      ...([
        'KEY_MPLS_LSE1',
        'KEY_MPLS_LSE2',
        'KEY_SKB_PRIORITY',
        'KEY_SKB_MARK',
        'KEY_DP_HASH',
        'KEY_CT_MARK',
      ] as const),
      ...(['KEY_CT_STATE', 'KEY_PACKET_TYPE', 'KEY_NSH_PATH_HDR', 'KEY_ND_RESERVED', 'KEY_TUN_GBP'] as const),
      'KEY_TUN_LABEL',
    ],
    6: ['KEY_ETH_DST', 'KEY_ETH_SRC', 'KEY_ARP_SHA', 'KEY_ARP_THA'],
    8: ['KEY_TUN_ID'],
    12: ['KEY_TUN_ERSPAN'],
    16: [
      ...(['KEY_IPV6_SRC', 'KEY_IPV6_DST', 'KEY_ND_TARGET', 'KEY_CT_LABELS', 'KEY_CT_ORIG_SRC'] as const),
      ...(['KEY_CT_ORIG_DST', 'KEY_NSH_CONTEXT', 'KEY_TUN_SRC', 'KEY_TUN_DST'] as const),
    ],
    256: ['KEY_TUN_OPTS'],
  }),
  PACKET: table(C.PACKET_SIZEOF, {
    2: ['PACKET_L3', 'PACKET_L4', 'PACKET_MPLS', 'PACKET_FLAGS'],
    4: [
      ...(['PACKET_DATA', 'PACKET_SIZE', 'PACKET_HEAD', 'PACKET_TAIL', 'PACKET_KEY', 'PACKET_IN_PORT'] as const),
      ...(['PACKET_HASH', 'PACKET_SCRATCH', 'PACKET_FLOW', 'PACKET_WIRE_SIZE'] as const),
      ...(['PACKET_CUT', 'PACKET_RECIRC_ID'] as const),
    ],
    8: ['PACKET_TIME_NS'],
  }),
  SUPERBLOCK: table(C.SUPERBLOCK_SIZE, {
    4: [
      ...([
        'SB_MAGIC',
        'SB_FLOWS_CAPACITY',
        'SB_WORKERS',
        'SB_EMC_ENTRIES',
        'SB_UPCALL_FRAMES',
        'SB_ARENA_SIZE',
      ] as const),
      ...(['SB_DP_IFINDEX', 'SB_OPTIONS', 'SB_HASH_SECRETS', 'SB_PORTS', 'SB_SUBTABLES'] as const),
      ...(['SB_MASK_INDEX', 'SB_ACTION_INDEX', 'SB_WORKER_AREAS', 'SB_FLOWS', 'SB_FLOWS_COLD', 'SB_ARENA'] as const),
      ...(['SB_END', 'SB_WORKER_AREA_SIZE', 'SB_WRITER', 'SB_EPOCH', 'SB_UPCALL_BELL', 'SB_FLOW_COUNT'] as const),
      ...(['SB_FLOW_FREE', 'SB_FLOW_FRESH', 'SB_SUBTABLE_COUNT', 'SB_SUBTABLE_FREE', 'SB_SUBTABLE_FRESH'] as const),
      ...([
        'SB_SUBTABLE_ORDER_REF',
        'SB_RETIRED_HEAD',
        'SB_RETIRED_TAIL',
        'SB_RETIRED_COUNT',
        'SB_ARENA_NEXT',
      ] as const),
      ...(['SB_ARENA_USED', 'SB_FLOW_RETIRED_HEAD', 'SB_FLOW_RETIRED_TAIL', 'SB_FLOW_RETIRED_COUNT'] as const),
      ...([
        'SB_ACTION_COUNT',
        'SB_RULES',
        'SB_WORKERS_LOST',
        'SB_PORT_COUNT',
        'SB_PACKET_FAMILY',
        'SB_METERS',
        'SB_UFID_TABLE',
        'SB_UFID_COUNT',
        'SB_SAMPLE_RINGS',
        'SB_BONDS',
        'SB_SOCKETS',
        'SB_HOT',
      ] as const),
      ...(['SB_VPORTS', 'SB_DEVICES', 'SB_POLICIES', 'SB_DOOR', 'SB_DP_EXISTS', 'SB_DP_FEATURES'] as const),
      ...(['SB_DP_MASKS_CACHE_SIZE', 'SB_DP_PORT_IDS', 'SB_DP_LISTENERS', 'SB_IFINDEX_NEXT'] as const),
    ],
    8: ['SB_TIME_MS'],
    40: ['SB_DP_BASE'],
    416: ['SB_FREE_LISTS'],
  }),
  VPORT: table(C.VPORT_SIZEOF, {
    4: ['VPORT_TYPE', 'VPORT_IFINDEX', 'VPORT_PORT_IDS', 'VPORT_DEVICE'],
    16: ['VPORT_NAME'],
    64: ['VPORT_BASE'],
  }),
  DEVICE: table(C.DEVICE_SIZEOF, { 4: ['DEVICE_IFINDEX', 'DEVICE_KIND', 'DEVICE_VPORT'], 16: ['DEVICE_NAME'] }),
  SOCKET: table(C.SOCKET_SIZEOF, {
    4: [
      'SOCKET_PORT_ID',
      'SOCKET_FLAGS',
      'SOCKET_NEXT',
      'SOCKET_DUMP',
      'SOCKET_DUMP_SEQ',
      'SOCKET_DUMP_IFINDEX',
      'SOCKET_LINK',
    ],
    16: ['SOCKET_DUMP_ARGS'],
    128: ['SOCKET_ATTRS'],
    3840: ['SOCKET_SCRATCH'],
  }),
  WORKER: table(C.WORKER_CONTROL_SIZE, {
    4: [
      ...([
        'WORKER_STATE',
        'WORKER_STOP',
        'WORKER_IN_FLIGHT',
        'WORKER_GENERATION',
        'WORKER_SABOTAGE',
        'WORKER_BATCH',
        'WORKER_WAKE',
        'WORKER_SLEEPING',
        'WORKER_TURNS',
        'WORKER_POLL_COUNT',
        'WORKER_POLL_SET',
        'WORKER_TOUCHED_LIST',
        'WORKER_THREAD',
        'WORKER_RECEIVER',
        'WORKER_TOUCHED',
      ] as const),
      ...(['WORKER_EPOCH', 'WORKER_EMC_RELUCTANCE', 'WORKER_RX_NEXT', 'WORKER_RX_COUNT'] as const),
    ],
    8: ['WORKER_BUSY_NS', 'WORKER_TIME_NS', 'WORKER_TIME_MS', 'WORKER_RANDOM'],
    128: ['WORKER_COUNTERS'],
    36: ['WORKER_DEFERRED_RATES'],
    136: ['WORKER_EXPLICIT_DROPS'],
    200: ['WORKER_DROPS'],
  }),
  METER: table(C.METER_BANDS, {
    4: ['METER_LOCK', 'METER_KBPS', 'METER_BAND_COUNT', 'METER_DELTA_MAX_MS', 'METER_TOLD'],
    8: ['METER_USED_MS', 'METER_PACKETS', 'METER_BYTES'],
  }),
  BOND: table(C.BOND_SIZEOF, { 4: ['BOND_NEXT', 'BOND_ID'], 1024: ['BOND_PORTS'], 2048: ['BOND_BYTES'] }),
  METER_BAND: table(C.METER_BAND_SIZEOF, {
    4: ['METER_BAND_RATE', 'METER_BAND_BURST'],
    8: ['METER_BAND_BUCKET', 'METER_BAND_PACKETS', 'METER_BAND_BYTES'],
  }),
  PORT: table(C.PORT_SIZEOF, {
    4: [
      'PORT_STATE',
      'PORT_RX_KIND',
      'PORT_RX',
      'PORT_TX_KIND',
      'PORT_WORKER',
      'PORT_FLAGS',
      'PORT_TX_RINGS',
      'PORT_HOT_SIZE',
    ],
  }),
  HOT: table(C.HOT_SIZEOF, {
    4: ['HOT_PAIRS', 'HOT_PAIR_BITS', 'HOT_RECORDS', 'HOT_RECORD_COUNT'],
    48: ['HOT_FACTORS'],
  }),
  HOT_ENTRY: table(C.HOT_ENTRY_SIZEOF, { 4: ['HOT_ENTRY_DEAD_MS'], 8: ['HOT_ENTRY_HEAD'], 48: ['HOT_ENTRY_KEY'] }),
  HOT_RECORD: table(C.HOT_RECORD_SIZEOF, {
    4: ['HOT_RECORD_GENERATION', 'HOT_RECORD_PORT', 'HOT_RECORD_SIZE_MAX', 'HOT_RECORD_IN_PORT'],
    8: [
      ...(['HOT_RECORD_PACKETS', 'HOT_RECORD_BYTES', 'HOT_RECORD_USED_NS'] as const),
      ...(['HOT_RECORD_FOLDED_PACKETS', 'HOT_RECORD_FOLDED_BYTES'] as const),
    ],
  }),
  PORT_ROW: table(C.PORT_ROW_SIZEOF, {
    8: [
      ...(['PORT_ROW_RX_PACKETS', 'PORT_ROW_RX_BYTES', 'PORT_ROW_RX_DROPPED', 'PORT_ROW_TX_PACKETS'] as const),
      ...(['PORT_ROW_TX_BYTES', 'PORT_ROW_TX_DROPPED', 'PORT_ROW_UPCALLS', 'PORT_ROW_UPCALLS_LOST'] as const),
    ],
  }),
  OFFLOAD: table(C.OFFLOAD_SIZEOF, {
    1: ['OFFLOAD_GSO_TYPE'],
    2: ['OFFLOAD_CSUM_OFFSET', 'OFFLOAD_GSO_SIZE'],
    4: ['OFFLOAD_COVERED', 'OFFLOAD_NETWORK'],
  }),
  QUEUE: table(C.RXQ_WORKER, { 4: ['QUEUE_KIND', 'QUEUE_FD', 'QUEUE_PORT', 'QUEUE_TOUCHED'] }),
  QUEUE_TABLE: table(C.QUEUE_TABLE_SIZEOF, { 4: ['QUEUE_TABLE_COUNT'], 64: ['QUEUE_TABLE_REFS'] }),
  RXQ: table(
    C.RXQ_SIZEOF,
    {
      4: [
        ...(['RXQ_WORKER', 'RXQ_OWNER', 'RXQ_FLAGS', 'RXQ_RING', 'RXQ_RING_END', 'RXQ_FRAME_SIZE'] as const),
        ...(['RXQ_NEXT', 'RXQ_HELD', 'RXQ_HELD_FIRST', 'RXQ_FILL', 'RXQ_FETCH_WANTED', 'RXQ_FETCHED'] as const),
        ...(['RXQ_FETCH_TAKEN', 'RXQ_FETCH_BUFFERS', 'RXQ_ERRNO'] as const),
      ],
      8: ['RXQ_PACKETS'],
      32: ['RXQ_FETCH_SIZES'],
    },
    C.RXQ_WORKER,
  ),
  TXQ: table(
    C.TXQ_SIZEOF,
    {
      4: ['TXQ_COUNT', 'TXQ_KICKED', 'TXQ_REFUSED', 'TXQ_BUFFER', 'TXQ_BUFFER_SIZE', 'TXQ_BUFFER_USED'],
      4096: ['TXQ_ENTRIES'],
    },
    C.TXQ_COUNT,
  ),
  TXQ_ENTRY: table(C.TXQ_ENTRY_SIZEOF, {
    4: ['TXQ_ENTRY_ADDRESS', 'TXQ_ENTRY_SIZE', 'TXQ_ENTRY_FRAME_SIZE', 'TXQ_ENTRY_ERRNO'],
  }),
  XSK: table(
    C.XSK_SIZEOF,
    {
      4: [
        ...([
          'XSK_UMEM',
          'XSK_FRAME_SIZE',
          'XSK_FRAMES',
          'XSK_STATES',
          'XSK_FREE',
          'XSK_FREE_COUNT',
          'XSK_HELD',
        ] as const),
        'XSK_ERRNO',
      ],
      32: ['XSK_RING_FILL', 'XSK_RING_COMPLETION', 'XSK_RING_RX', 'XSK_RING_TX'],
      128: ['XSK_HELD_LIST'],
    },
    C.RXQ_FLAGS + 4,
  ),
  XRING: table(C.XSK_RING_SIZEOF, {
    4: ['XRING_PRODUCER', 'XRING_CONSUMER', 'XRING_FLAGS', 'XRING_ENTRIES', 'XRING_MASK', 'XRING_POSITION'],
  }),
  XDP_DESC: table(C.XDP_DESC_SIZEOF, { 4: ['XDP_DESC_LEN', 'XDP_DESC_OPTIONS'], 8: ['XDP_DESC_ADDR'] }),
  XTQ: table(C.XTQ_SIZEOF, { 4: ['XTQ_SOCKET', 'XTQ_OTHER', 'XTQ_FRAME_MAX', 'XTQ_ERRNO'] }, C.XTQ_SOCKET),
  TPACKET2_HDR: table(C.TP2_SIZEOF, {
    2: ['TP2_MAC', 'TP2_NET', 'TP2_VLAN_TCI', 'TP2_VLAN_TPID'],
    4: ['TP2_STATUS', 'TP2_LEN', 'TP2_SNAPLEN', 'TP2_SEC', 'TP2_NSEC'],
  }),
  VIRTIO_NET_HDR: table(C.VNET_SIZEOF, {
    1: ['VNET_FLAGS', 'VNET_GSO_TYPE'],
    2: ['VNET_HDR_LEN', 'VNET_GSO_SIZE', 'VNET_CSUM_START', 'VNET_CSUM_OFFSET'],
  }),
  RING: table(C.RING_DATA, { 4: ['RING_SLOTS', 'RING_STRIDE', 'RING_PRODUCER', 'RING_CONSUMER'] }),
  SLOT: table(C.SLOT_FRAME - C.HEADROOM, { 4: ['SLOT_SIZE', 'SLOT_WIRE_SIZE', 'SLOT_IN_PORT'], 8: ['SLOT_TIME_NS'] }),
  REPLAY: table(C.REPLAY_SIZEOF, {
    4: ['REPLAY_COUNT', 'REPLAY_NEXT', 'REPLAY_LOOPS', 'REPLAY_MODE', 'REPLAY_DESCRIPTORS', 'REPLAY_DONE'],
    8: ['REPLAY_START_NS', 'REPLAY_ORIGIN_NS', 'REPLAY_PERIOD_NS', 'REPLAY_INTERVAL_NS'],
  }),
  REPLAY_DESCRIPTOR: table(C.REPLAY_DESCRIPTOR_SIZEOF, {
    4: ['REPLAY_FRAME', 'REPLAY_FRAME_SIZE', 'REPLAY_FRAME_WIRE_SIZE'],
    8: ['REPLAY_FRAME_TIME_NS'],
  }),
  FLOW: table(C.FLOW_SIZEOF, {
    4: ['FLOW_SUBTABLE', 'FLOW_ACTIONS', 'FLOW_KEY_MORE', 'FLOW_HASH'],
    48: ['FLOW_KEY'],
  }),
  FLOW_COLD: table(C.FLOW_COLD_SIZEOF, {
    4: [
      ...(['FLOW_COLD_NEXT', 'FLOW_COLD_EPOCH', 'FLOW_COLD_IDLE_MS', 'FLOW_COLD_HARD_MS'] as const),
      ...(['FLOW_COLD_SERIAL', 'FLOW_COLD_BASE'] as const),
    ],
    8: ['FLOW_COLD_CREATED_MS'],
    24: ['FLOW_COLD_NAME'],
  }),
  NAME: table(C.NAME_SIZEOF, { 4: ['NAME_KIND', 'NAME_KEY'], 16: ['NAME_UFID'] }),
  REST: table(C.REST_FIRST, { 16: ['REST_WORDS'] }),
  BASE: table(C.BASE_SIZEOF, { 8: ['BASE_PACKETS', 'BASE_BYTES'] }),
  FLOW_ROW: table(C.FLOW_ROW_SIZEOF, {
    2: ['FLOW_ROW_TCP_FLAGS'],
    8: ['FLOW_ROW_PACKETS', 'FLOW_ROW_BYTES', 'FLOW_ROW_USED_MS'],
  }),
  SUBTABLE: table(C.SUBTABLE_SIZEOF, {
    4: [
      ...(['SUBTABLE_TABLE', 'SUBTABLE_LIST', 'SUBTABLE_LIST_COUNT', 'SUBTABLE_FLOWS', 'SUBTABLE_REFS'] as const),
      ...(['SUBTABLE_HASH', 'SUBTABLE_NEXT', 'SUBTABLE_INDEX'] as const),
    ],
    48: ['SUBTABLE_MASK'],
  }),
  WORD: table(C.WORD_SIZEOF, { 4: ['WORD_OFFSET'], 8: ['WORD_MASK', 'WORD_SECRET'] }),
  ACTIONS: table(C.ACTIONS_ATTRS, {
    4: ['ACTIONS_REFS', 'ACTIONS_SIZE', 'ACTIONS_KIND', 'ACTIONS_PORT', 'ACTIONS_HASH', 'ACTIONS_NEXT'],
  }),
  BUCKET: table(C.BUCKET_SIZEOF, { 1: ['BUCKET_HAND', 'BUCKET_SPILLED'], 48: ['BUCKET_REFS'] }, C.BUCKET_WAYS),
  NL_MMAP_HDR: table(C.NL_MMAP_HDRLEN, {
    4: ['NL_MMAP_STATUS', 'NL_MMAP_LEN', 'NL_MMAP_GROUP', 'NL_MMAP_PID', 'NL_MMAP_UID', 'NL_MMAP_GID'],
  }),
  UPCALL_FRAME: table(
    C.UPCALL_FRAME_SIZE,
    {
      4: [
        ...(['UPCALL_IN_PORT', 'UPCALL_COMMAND', 'UPCALL_PACKET', 'UPCALL_PACKET_SIZE', 'UPCALL_WORKER'] as const),
        ...(['UPCALL_NEXT', 'UPCALL_MESSAGE', 'UPCALL_WIRE_SIZE', 'UPCALL_COPY', 'UPCALL_ANSWER_MASK'] as const),
        ...(['UPCALL_ANSWER_ACTIONS', 'UPCALL_USERDATA', 'UPCALL_PORT_ID'] as const),
      ],
      8: ['UPCALL_TIME_NS', 'UPCALL_OFFSETS'],
      576: ['UPCALL_KEY'],
    },
    C.NL_MMAP_HDRLEN + C.UPCALL_MESSAGE_SIZE_MAX,
  ),
  UPCALL_HEAD: table(C.UPCALL_HEAD_SIZE, {
    4: ['UPCALL_PRODUCED', 'UPCALL_SCANNED', 'UPCALL_PORT_NEXT', 'UPCALL_HELD', 'UPCALL_GIVEN'],
    32: ['UPCALL_COPY_BUSY'],
    128: ['UPCALL_PORTS_QUEUED'],
    256: ['UPCALL_LIST'],
  }),
  UPCALL_PORT: table(C.UPCALL_PORT_SIZEOF, {
    4: ['UPCALL_PORT_PRODUCED', 'UPCALL_PORT_GIVEN', 'UPCALL_PORT_HEAD', 'UPCALL_PORT_TAIL'],
  }),
  RULE: table(C.RULE_SIZEOF, { 4: ['RULE_MEGAFLOW', 'RULE_IDLE_MS', 'RULE_HARD_MS'], 8: ['RULE_HITS'] }, C.FLOW_SIZEOF),
};

/** Constants with these beginnings are offsets, and each stands in a table above or is listed here as none. */
export const OFFSET_PREFIXES: readonly string[] = [
  'KEY_',
  'PACKET_',
  'SB_',
  'FLOW_',
  'SUBTABLE_',
  'WORKER_',
  'BUCKET_',
  'UPCALL_',
  'RULE_',
  'OFFLOAD_',
  'QUEUE_',
  'RXQ_',
  'TXQ_',
  'TP2_',
  'XRING_',
];
const NO_OFFSETS =
  /_(SIZE|SIZEOF|WORDS|MAX|CHUNKS|FLAG_\w+|KIND_\w+|STRIDE|FETCH_FRAME|SHARE|WAYS|FREE|ATTACHED|POLLING|TRAPPED|ORPHANED)$|^KEY_FLAG_|^PACKET_FLAG_|^UPCALL_PORT_SHARE$/;

/** Offsets of the constants file that no table knows. */
export function unknownOffsets(): string[] {
  const known = new Set(Object.values(STRUCTURES).flatMap(({ fields }) => Object.keys(fields)));
  const names = Object.keys(C) as Name[];
  const offsets = names.filter(
    (name) => OFFSET_PREFIXES.some((prefix) => name.startsWith(prefix)) && !NO_OFFSETS.test(name),
  );
  return offsets.filter((name) => !known.has(name) && !SHARED_FIELDS.has(name) && name !== 'UPCALL_COPY_CHUNK_SIZE');
}
