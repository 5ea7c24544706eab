/*
 * Where received datagrams go and where they came from. netlink-vector.h has the rules.
 */
#include "netlink-vector.h"

#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace wdp {
namespace {

template <typename T>
T Payload(const cmsghdr* control) {
  T value;
  std::memcpy(&value, CMSG_DATA(control), sizeof(value));
  return value;
}

}  // namespace

void MessageVector::Aim(int i, void* data, size_t size, void* tail, size_t tailSize, bool withOrigin) {
  parts_[i][0] = {data, size};
  parts_[i][1] = {tail, tailSize};
  msghdr& header = headers_[i].msg_hdr;
  senders_[i].nl_pid = 0;
  header.msg_name = withOrigin ? &senders_[i] : nullptr;
  header.msg_namelen = withOrigin ? sizeof(senders_[i]) : 0;
  header.msg_iov = parts_[i];
  header.msg_iovlen = tail != nullptr ? 2 : 1;
  header.msg_control = withOrigin ? controls_[i].bytes : nullptr;
  header.msg_controllen = withOrigin ? sizeof(controls_[i].bytes) : 0;
  header.msg_flags = 0;
}

Origin MessageVector::OriginOf(int i) const {
  Origin origin;
  origin.portId = senders_[i].nl_pid;
  msghdr header = headers_[i].msg_hdr;
  for (cmsghdr* control = CMSG_FIRSTHDR(&header); control != nullptr; control = CMSG_NXTHDR(&header, control)) {
    if (control->cmsg_level == SOL_NETLINK && control->cmsg_type == NETLINK_PKTINFO) {
      origin.group = Payload<nl_pktinfo>(control).group;
    } else if (control->cmsg_level == SOL_NETLINK && control->cmsg_type == NETLINK_LISTEN_ALL_NSID) {
      origin.nsid = Payload<int>(control);
    } else if (control->cmsg_level == SOL_SOCKET && control->cmsg_type == SCM_CREDENTIALS) {
      const ucred credentials = Payload<ucred>(control);
      origin.pid = credentials.pid;
      origin.uid = static_cast<int32_t>(credentials.uid);
      origin.gid = static_cast<int32_t>(credentials.gid);
    }
  }
  return origin;
}

Scratch::~Scratch() {
  if (tails_ != nullptr) munmap(tails_, kReceiveMax * kTailSize);
}

int Scratch::Reserve() {
  if (tails_ != nullptr) return 0;
  const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
  void* const address = mmap(nullptr, kReceiveMax * kTailSize, PROT_READ | PROT_WRITE, flags, -1, 0);
  if (address == MAP_FAILED) return -ENOMEM;
  tails_ = static_cast<uint8_t*>(address);
  return 0;
}

const uint8_t* Scratch::Bytes(int i, size_t* size) {
  *size = std::min(vector_.Size(i), kTailSize);
  if (*size <= kHeadSize) return heads_[i];
  std::memcpy(Tail(i), heads_[i], kHeadSize);
  return Tail(i);
}

}  // namespace wdp
