/*
 * What one recvmmsg needs: where each datagram goes and where it came from. One MessageVector and one Scratch a thread, reused by every call
 * of every socket of the thread, so that receiving allocates nothing.
 */
#pragma once

#include <linux/netlink.h>
#include <sys/socket.h>

#include <cstddef>
#include <cstdint>

namespace wdp {

/** Datagrams that one system call takes at most. */
constexpr int kReceiveMax = 64;

/** Where a datagram came from. Credentials are -1 where they were not asked for. */
struct Origin {
  uint32_t portId = 0;
  uint32_t group = 0;
  int32_t nsid = -1;
  int32_t pid = -1;
  int32_t uid = -1;
  int32_t gid = -1;
};

class MessageVector {
 public:
  /** The i-th datagram goes into `data`, what is longer into `tail`. Asking for its origin costs the kernel a tenth of a small message. */
  void Aim(int i, void* data, size_t size, void* tail = nullptr, size_t tailSize = 0, bool withOrigin = true);
  /** The size that the i-th datagram had, whatever fitted. */
  size_t Size(int i) const { return headers_[i].msg_len; }
  bool IsTruncated(int i) const { return (headers_[i].msg_hdr.msg_flags & MSG_TRUNC) != 0; }
  /** Without having been asked for it is the kernel, by unicast. */
  Origin OriginOf(int i) const;
  mmsghdr* headers() { return headers_; }

 private:
  struct Control {
    alignas(cmsghdr) char bytes[CMSG_SPACE(sizeof(nl_pktinfo)) + CMSG_SPACE(sizeof(int)) + CMSG_SPACE(sizeof(ucred))];
  };
  mmsghdr headers_[kReceiveMax];
  iovec parts_[kReceiveMax][2];
  sockaddr_nl senders_[kReceiveMax];
  Control controls_[kReceiveMax];
};

/**
 * Room for kReceiveMax datagrams of any size. What is short stays in heads that lie side by side and warm; what is longer runs on into a tail of
 * its own, memory that is only reserved until a datagram needs it.
 */
class Scratch {
 public:
  static constexpr size_t kHeadSize = 512;
  /** The kernel's own messages end at 64 KiB. */
  static constexpr size_t kTailSize = 128 * 1024;

  Scratch() = default;
  ~Scratch();
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;

  /** 0, or -ENOMEM: call it before anything else. */
  int Reserve();
  MessageVector& vector() { return vector_; }
  uint8_t* Tail(int i) { return tails_ + i * kTailSize; }
  void Aim(int i, bool withOrigin) { vector_.Aim(i, heads_[i], kHeadSize, Tail(i) + kHeadSize, kTailSize - kHeadSize, withOrigin); }
  /** What there is of the i-th datagram, in one piece. */
  const uint8_t* Bytes(int i, size_t* size);

 private:
  MessageVector vector_;
  alignas(64) uint8_t heads_[kReceiveMax][kHeadSize];
  uint8_t* tails_ = nullptr;
};

}  // namespace wdp
