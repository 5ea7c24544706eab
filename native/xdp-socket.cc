/*
 * AF_XDP sockets. xdp-socket.h has the rules.
 */
#include "xdp-socket.h"

#include <linux/if_xdp.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstddef>

#include "io-layout.h"

namespace wdp {
namespace {

#ifndef AF_XDP
constexpr int AF_XDP = 44;
#endif
#ifndef SOL_XDP
constexpr int SOL_XDP = 283;
#endif
/** XDP_MAX_TX_SKB_BUDGET, Linux 6.17: frames that one call sends in copy mode; 32 before. */
constexpr int kMaxTxBudget = 9;

static_assert(offsetof(xdp_desc, addr) == layout::XDP_DESC_ADDR && offsetof(xdp_desc, len) == layout::XDP_DESC_LEN);
static_assert(offsetof(xdp_desc, options) == layout::XDP_DESC_OPTIONS && sizeof(xdp_desc) == layout::XDP_DESC_SIZEOF);
static_assert(XDP_RING_NEED_WAKEUP == layout::XDP_RING_NEED_WAKEUP_FLAG);

}  // namespace

int XdpSocket::Open(const XdpOptions& options, const XdpPlaces& places) {
  Close();
  operation_ = "socket(AF_XDP)";
  fd_.Reset(socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0));
  if (!fd_.valid()) return -errno;
  int error = Configure(options, places);
  if (error == 0) error = MapRings(options, places);
  if (error == 0) error = Bind(options);
  if (error < 0) Close();
  return error;
}

int XdpSocket::Set(int option, const char* name, const void* value, size_t size) {
  operation_ = name;
  return setsockopt(fd_.get(), SOL_XDP, option, value, static_cast<socklen_t>(size)) < 0 ? -errno : 0;
}

int XdpSocket::Configure(const XdpOptions& options, const XdpPlaces& places) {
  xdp_umem_reg umem = {};
  umem.addr = reinterpret_cast<uint64_t>(places.umem);
  umem.len = static_cast<uint64_t>(options.frameSize) * options.frameCount;
  umem.chunk_size = options.frameSize;
  int error = Set(XDP_UMEM_REG, "XDP_UMEM_REG", &umem, sizeof(umem));
  if (error == 0) error = Set(XDP_UMEM_FILL_RING, "XDP_UMEM_FILL_RING", &options.fillSize, sizeof(options.fillSize));
  if (error == 0) error = Set(XDP_UMEM_COMPLETION_RING, "XDP_UMEM_COMPLETION_RING", &options.completionSize, sizeof(options.completionSize));
  if (error == 0 && options.rxSize > 0) error = Set(XDP_RX_RING, "XDP_RX_RING", &options.rxSize, sizeof(options.rxSize));
  if (error == 0) error = Set(XDP_TX_RING, "XDP_TX_RING", &options.txSize, sizeof(options.txSize));
  if (error < 0) return error;
  const int size = options.sendBufferSize;
  if (size > 0 && setsockopt(fd_.get(), SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size)) < 0)
    setsockopt(fd_.get(), SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
  const int budget = static_cast<int>(options.txSize);
  setsockopt(fd_.get(), SOL_XDP, kMaxTxBudget, &budget, sizeof(budget));
  return 0;
}

int XdpSocket::MapRings(const XdpOptions& options, const XdpPlaces& places) {
  operation_ = "XDP_MMAP_OFFSETS";
  xdp_mmap_offsets offsets = {};
  socklen_t size = sizeof(offsets);
  if (getsockopt(fd_.get(), SOL_XDP, XDP_MMAP_OFFSETS, &offsets, &size) < 0) return -errno;
  // the shorter answer of Linux before 5.4 has no flags, without which the kernel cannot say that it wants to be woken
  if (size != sizeof(offsets)) return -EOPNOTSUPP;
  const struct {
    const xdp_ring_offset& offset;
    uint32_t entries;
    uint32_t entrySize;
    uint8_t* address;
    off_t page;
  } wanted[4] = {{offsets.fr, options.fillSize, sizeof(uint64_t), places.fill, static_cast<off_t>(XDP_UMEM_PGOFF_FILL_RING)},
                 {offsets.cr, options.completionSize, sizeof(uint64_t), places.completion, static_cast<off_t>(XDP_UMEM_PGOFF_COMPLETION_RING)},
                 {offsets.rx, options.rxSize, sizeof(xdp_desc), places.rx, XDP_PGOFF_RX_RING},
                 {offsets.tx, options.txSize, sizeof(xdp_desc), places.tx, XDP_PGOFF_TX_RING}};
  for (int i = 0; i < 4; i++) {
    const auto& ring = wanted[i];
    if (ring.entries == 0) continue;
    operation_ = "mmap";
    if (ring.offset.desc > kRingHead) return -E2BIG;
    const size_t bytes = ring.offset.desc + static_cast<size_t>(ring.entries) * ring.entrySize;
    if (mmap(ring.address, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd_.get(), ring.page) == MAP_FAILED) return -errno;
    mapped_[i] = {ring.address, bytes};
    rings_[i] = {static_cast<uint32_t>(ring.offset.producer), static_cast<uint32_t>(ring.offset.consumer), static_cast<uint32_t>(ring.offset.flags),
                 static_cast<uint32_t>(ring.offset.desc)};
  }
  return 0;
}

int XdpSocket::Bind(const XdpOptions& options) {
  operation_ = "bind";
  sockaddr_xdp address = {};
  address.sxdp_family = AF_XDP;
  address.sxdp_flags = static_cast<uint16_t>(options.flags);
  address.sxdp_ifindex = static_cast<uint32_t>(options.ifindex);
  address.sxdp_queue_id = static_cast<uint32_t>(options.queue);
  if (bind(fd_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) < 0) return -errno;
  xdp_options answer = {};
  socklen_t size = sizeof(answer);
  isZeroCopy_ = getsockopt(fd_.get(), SOL_XDP, XDP_OPTIONS, &answer, &size) == 0 && (answer.flags & XDP_OPTIONS_ZEROCOPY) != 0;
  return 0;
}

uint64_t XdpSocket::Drops() const {
  xdp_statistics counts = {};
  socklen_t size = sizeof(counts);
  if (!fd_.valid() || getsockopt(fd_.get(), SOL_XDP, XDP_STATISTICS, &counts, &size) < 0) return 0;
  return counts.rx_dropped + counts.rx_ring_full + counts.rx_invalid_descs;
}

void XdpSocket::Close() {
  for (auto& ring : mapped_) {
    if (ring.address == nullptr) continue;
    mmap(ring.address, ring.size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    ring.address = nullptr;
  }
  fd_.Reset();
}

}  // namespace wdp
