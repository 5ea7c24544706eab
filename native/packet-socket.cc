/*
 * An AF_PACKET socket and its ring. packet-socket.h has the rules.
 */
#include "packet-socket.h"

#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstddef>

#include "io-layout.h"

namespace wdp {
namespace {

// the datapath reads these structures by offset
static_assert(offsetof(tpacket2_hdr, tp_status) == layout::TP2_STATUS && offsetof(tpacket2_hdr, tp_len) == layout::TP2_LEN);
static_assert(offsetof(tpacket2_hdr, tp_snaplen) == layout::TP2_SNAPLEN && offsetof(tpacket2_hdr, tp_mac) == layout::TP2_MAC);
static_assert(offsetof(tpacket2_hdr, tp_net) == layout::TP2_NET && offsetof(tpacket2_hdr, tp_sec) == layout::TP2_SEC);
static_assert(offsetof(tpacket2_hdr, tp_nsec) == layout::TP2_NSEC && offsetof(tpacket2_hdr, tp_vlan_tci) == layout::TP2_VLAN_TCI);
static_assert(offsetof(tpacket2_hdr, tp_vlan_tpid) == layout::TP2_VLAN_TPID && sizeof(tpacket2_hdr) == layout::TP2_SIZEOF);

#ifndef PACKET_IGNORE_OUTGOING
constexpr int PACKET_IGNORE_OUTGOING = 23;  // Linux 4.20
#endif

/** Any size: how long a frame may be that is queued whole when the ring's frames are too small. */
constexpr int kCopyThreshold = 1 << 16;

}  // namespace

int PacketSocket::Open(const PacketOptions& options, void* address) {
  Close();
  operation_ = "socket";
  // protocol 0: nothing arrives before the ring stands and bind names the protocol
  fd_.Reset(socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0));
  if (!fd_.valid()) return -errno;
  int error = Configure(options);
  if (error == 0 && options.blockCount > 0) error = MapRing(options, address);
  if (error == 0) error = Bind(options);
  if (error < 0) Close();
  return error;
}

int PacketSocket::Set(int option, const char* name, const void* value, size_t size) {
  operation_ = name;
  return setsockopt(fd_.get(), SOL_PACKET, option, value, static_cast<socklen_t>(size)) < 0 ? -errno : 0;
}

/** What must stand before the ring does. */
int PacketSocket::Configure(const PacketOptions& options) {
  const int on = 1;
  const int version = TPACKET_V2;
  const bool hasRing = options.blockCount > 0;
  int error = Set(PACKET_VNET_HDR, "PACKET_VNET_HDR", &on, sizeof(on));
  if (error == 0) error = Set(PACKET_IGNORE_OUTGOING, "PACKET_IGNORE_OUTGOING", &on, sizeof(on));
  if (error == 0 && hasRing) error = Set(PACKET_VERSION, "PACKET_VERSION", &version, sizeof(version));
  if (error == 0 && hasRing) error = Set(PACKET_RESERVE, "PACKET_RESERVE", &options.reserve, sizeof(options.reserve));
  if (error == 0 && hasRing) error = Set(PACKET_COPY_THRESH, "PACKET_COPY_THRESH", &kCopyThreshold, sizeof(kCopyThreshold));
  // without a ring the tag that the kernel takes out comes in a control message
  if (error == 0 && !hasRing) error = Set(PACKET_AUXDATA, "PACKET_AUXDATA", &on, sizeof(on));
  if (error < 0) return error;
  // past the limits of the system where that is allowed; what is granted otherwise is enough to work
  const auto force = [this](int forced, int plain, int size) {
    if (size > 0 && setsockopt(fd_.get(), SOL_SOCKET, forced, &size, sizeof(size)) < 0)
      setsockopt(fd_.get(), SOL_SOCKET, plain, &size, sizeof(size));
  };
  force(SO_RCVBUFFORCE, SO_RCVBUF, options.receiveBufferSize);
  force(SO_SNDBUFFORCE, SO_SNDBUF, options.sendBufferSize);
  return 0;
}

int PacketSocket::MapRing(const PacketOptions& options, void* address) {
  const uint32_t frames = options.blockSize / options.frameSize * options.blockCount;
  const tpacket_req request = {options.blockSize, options.blockCount, options.frameSize, frames};
  const int error = Set(PACKET_RX_RING, "PACKET_RX_RING", &request, sizeof(request));
  if (error < 0) return error;
  operation_ = "mmap";
  const size_t size = static_cast<size_t>(options.blockSize) * options.blockCount;
  if (mmap(address, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd_.get(), 0) == MAP_FAILED) return -errno;
  ring_ = address;
  ringSize_ = size;
  return 0;
}

int PacketSocket::Bind(const PacketOptions& options) {
  operation_ = "bind";
  sockaddr_ll address = {};
  address.sll_family = AF_PACKET;
  address.sll_protocol = options.receives ? htons(ETH_P_ALL) : 0;
  address.sll_ifindex = options.ifindex;
  if (bind(fd_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) < 0) return -errno;
  int error = 0;
  if (options.promiscuous) {
    packet_mreq membership = {};
    membership.mr_ifindex = options.ifindex;
    membership.mr_type = PACKET_MR_PROMISC;
    error = Set(PACKET_ADD_MEMBERSHIP, "PACKET_ADD_MEMBERSHIP", &membership, sizeof(membership));
  }
  if (error == 0 && options.fanoutGroup >= 0) {
    const int fanout = options.fanoutGroup | options.fanoutMode << 16;
    error = Set(PACKET_FANOUT, "PACKET_FANOUT", &fanout, sizeof(fanout));
  }
  return error;
}

PacketCounts PacketSocket::Counts() {
  tpacket_stats recent = {};
  socklen_t size = sizeof(recent);
  // the kernel counts from the last question on
  if (fd_.valid() && getsockopt(fd_.get(), SOL_PACKET, PACKET_STATISTICS, &recent, &size) == 0) {
    counts_.packets += recent.tp_packets;
    counts_.drops += recent.tp_drops;
  }
  return counts_;
}

int PacketSocket::FanoutGroup() const {
  int fanout = 0;
  socklen_t size = sizeof(fanout);
  if (getsockopt(fd_.get(), SOL_PACKET, PACKET_FANOUT, &fanout, &size) < 0) return -errno;
  return fanout & 0xffff;
}

void PacketSocket::Close() {
  if (ring_ != nullptr) {
    mmap(ring_, ringSize_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    ring_ = nullptr;
  }
  fd_.Reset();
}

}  // namespace wdp
