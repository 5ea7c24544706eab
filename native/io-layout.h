/*
 * The words of queues and workers that the shim reads and writes: assembly/constants.ts once more, where each is explained. test/19.queue-layout.test.ts holds the two
 * against each other, name by name.
 */
#pragma once

#include <cstdint>

namespace wdp {
namespace layout {

constexpr uint32_t QUEUE_KIND = 0;
constexpr uint32_t QUEUE_FD = 4;
constexpr uint32_t QUEUE_KIND_PACKET_RX = 1;
constexpr uint32_t QUEUE_KIND_PACKET_TX = 2;
constexpr uint32_t QUEUE_KIND_TAP_RX = 3;
constexpr uint32_t QUEUE_KIND_TAP_TX = 4;
constexpr uint32_t QUEUE_KIND_XDP_RX = 5;
constexpr uint32_t QUEUE_KIND_XDP_TX = 6;

constexpr uint32_t WORKER_SLEEPING = 28;
constexpr uint32_t WORKER_POLL_COUNT = 36;
constexpr uint32_t WORKER_POLL_SET = 40;
constexpr uint32_t WORKER_TOUCHED_LIST = 44;
constexpr uint32_t WORKER_TIME_NS = 72;
constexpr uint32_t WORKER_TIME_MS = 80;
constexpr uint32_t WORKER_TOUCHED = 108;
constexpr uint32_t WORKER_CONTROL_SIZE = 1024;

constexpr uint32_t RXQ_FLAGS = 24;
constexpr uint32_t RXQ_RING = 28;
constexpr uint32_t RXQ_RING_END = 32;
constexpr uint32_t RXQ_FRAME_SIZE = 36;
constexpr uint32_t RXQ_FILL = 52;
constexpr uint32_t RXQ_FETCH_WANTED = 76;
constexpr uint32_t RXQ_FETCHED = 80;
constexpr uint32_t RXQ_FETCH_BUFFERS = 88;
constexpr uint32_t RXQ_ERRNO = 92;
constexpr uint32_t RXQ_FETCH_SIZES = 96;
constexpr uint32_t RXQ_SIZEOF = 128;
constexpr uint32_t RXQ_FETCH_MAX = 8;
constexpr uint32_t RXQ_FETCH_STRIDE = 65856;
constexpr uint32_t RXQ_FETCH_FRAME = 192;
constexpr uint32_t RXQ_FLAG_COPYING = 1;

constexpr uint32_t XTQ_SOCKET = 16;
constexpr uint32_t XTQ_ERRNO = 28;
constexpr uint32_t XTQ_SIZEOF = 64;
constexpr uint32_t XSK_SIZEOF = 384;
constexpr uint32_t XSK_RING_FILL = 128;
constexpr uint32_t XSK_RING_TX = 224;
constexpr uint32_t XRING_PRODUCER = 0;
constexpr uint32_t XRING_CONSUMER = 4;
constexpr uint32_t XRING_FLAGS = 8;
constexpr uint32_t XRING_POSITION = 20;
constexpr uint32_t XDP_RING_NEED_WAKEUP_FLAG = 1;
constexpr uint32_t XDP_DESC_SIZEOF = 16;
constexpr uint32_t XDP_DESC_ADDR = 0;
constexpr uint32_t XDP_DESC_LEN = 8;
constexpr uint32_t XDP_DESC_OPTIONS = 12;

constexpr uint32_t HOT_KEY_WORDS = 6;
constexpr uint32_t HOT_ENTRY_SIZEOF = 64;
constexpr uint32_t HOT_ENTRY_HEAD = 0;
constexpr uint32_t HOT_ENTRY_KEY = 8;
constexpr uint32_t HOT_PAIR_SIZEOF = 128;
constexpr uint32_t HOT_RECORD_SIZEOF = 64;
constexpr uint32_t HOT_RECORD_GENERATION = 0;
constexpr uint32_t HOT_RECORD_PORT = 4;
constexpr uint32_t HOT_RECORD_SIZE_MAX = 8;
constexpr uint32_t HOT_RECORD_PACKETS = 16;
constexpr uint32_t HOT_RECORD_BYTES = 24;
constexpr uint32_t HOT_RECORD_USED_NS = 32;

constexpr uint32_t TP2_STATUS = 0;
constexpr uint32_t TP2_LEN = 4;
constexpr uint32_t TP2_SNAPLEN = 8;
constexpr uint32_t TP2_MAC = 12;
constexpr uint32_t TP2_NET = 14;
constexpr uint32_t TP2_SEC = 16;
constexpr uint32_t TP2_NSEC = 20;
constexpr uint32_t TP2_VLAN_TCI = 24;
constexpr uint32_t TP2_VLAN_TPID = 26;
constexpr uint32_t TP2_SIZEOF = 32;

constexpr uint32_t VNET_SIZEOF = 10;

constexpr uint32_t TXQ_COUNT = 16;
constexpr uint32_t TXQ_KICKED = 20;
constexpr uint32_t TXQ_REFUSED = 24;
constexpr uint32_t TXQ_ENTRIES = 64;
constexpr uint32_t TXQ_SIZEOF = 4160;
constexpr uint32_t TXQ_ENTRIES_MAX = 256;
constexpr uint32_t TXQ_ENTRY_SIZEOF = 16;
constexpr uint32_t TXQ_ENTRY_ADDRESS = 0;
constexpr uint32_t TXQ_ENTRY_SIZE = 4;
constexpr uint32_t TXQ_ENTRY_ERRNO = 12;

}  // namespace layout
}  // namespace wdp
