/*
 * Receiving: datagrams with where they came from, into memory of the caller. Before it: the kernel's queue, and what a ring frame was too
 * small for, which comes first; after it: rows that src/native/netlink.ts describes.
 *
 * What can be lost. A datagram longer than its slot is cut, and its row says so with the size it had. When the kernel's queue was full it
 * says ENOBUFS once, before what is queued; nothing that is queued is lost by that. The kernel passes no descriptors over Netlink.
 */
#include <algorithm>
#include <cerrno>
#include <cstring>

#include "netlink-socket.h"

namespace wdp {
namespace {

constexpr int kRowWords = 8;
constexpr int32_t kRowTruncated = 1;

void WriteRow(int32_t* row, size_t offset, size_t size, bool truncated, const Origin& origin) {
  row[0] = static_cast<int32_t>(offset);
  row[1] = static_cast<int32_t>(size);
  row[2] = truncated ? kRowTruncated : 0;
  row[3] = static_cast<int32_t>(origin.portId);
  row[4] = static_cast<int32_t>(origin.group);
  row[5] = origin.nsid;
  row[6] = origin.pid;
  row[7] = origin.uid;
}

}  // namespace

int Socket::TryReceive(MessageVector* vector, int count) {
  int received;
  do {
    received = recvmmsg(fd(), vector->headers(), count, MSG_DONTWAIT | MSG_TRUNC | MSG_CMSG_CLOEXEC, nullptr);
  } while (received < 0 && errno == EINTR);
  if (received < 0 && errno == EAGAIN) return 0;
  if (received < 0) {
    if (errno == ENOBUFS) statistics_.overruns++;
    return -errno;
  }
  statistics_.received += received;
  return received;
}

int Socket::Receive(uint8_t* bytes, size_t offset, size_t slotSize, int count, int32_t* rows, MessageVector* vector,
                    const Deadline& deadline) {
  if (closed()) return -EBADF;
  if (IsCancelled()) return -ECANCELED;
  if (!stash_.empty()) return ReceiveStashed(bytes, offset, slotSize, count, rows);
  count = std::min(count, kReceiveMax);
  for (;;) {
    for (int i = 0; i < count; i++) vector->Aim(i, bytes + offset + i * slotSize, slotSize);
    const int received = TryReceive(vector, count);
    for (int i = 0; i < received; i++) {
      const bool truncated = vector->IsTruncated(i);
      if (truncated) statistics_.truncated++;
      WriteRow(rows + i * kRowWords, offset + i * slotSize, vector->Size(i), truncated, vector->OriginOf(i));
    }
    if (received != 0 || deadline.Expired()) return received;
    const int ready = Wait(deadline);
    if (ready <= 0) return ready;
  }
}

int Socket::ReceiveStashed(uint8_t* bytes, size_t offset, size_t slotSize, int count, int32_t* rows) {
  int taken = 0;
  for (; taken < count && !stash_.empty(); taken++) {
    const Stashed& datagram = stash_.front();
    const size_t at = offset + taken * slotSize;
    const size_t fits = std::min(slotSize, datagram.bytes.size());
    std::memcpy(bytes + at, datagram.bytes.data(), fits);
    const bool truncated = fits < datagram.size;
    if (truncated) statistics_.truncated++;
    WriteRow(rows + taken * kRowWords, at, datagram.size, truncated, datagram.origin);
    stash_.pop_front();
  }
  return taken;
}

int Socket::PeekSize() {
  if (closed()) return -EBADF;
  if (!stash_.empty()) return static_cast<int>(stash_.front().size);
  ssize_t size;
  do {
    size = recv(fd(), nullptr, 0, MSG_PEEK | MSG_TRUNC | MSG_DONTWAIT);
  } while (size < 0 && errno == EINTR);
  if (size < 0 && errno == ENOBUFS) statistics_.overruns++;
  return size < 0 ? -errno : static_cast<int>(size);
}

int Socket::Drain() {
  if (closed()) return -EBADF;
  int discarded = static_cast<int>(stash_.size());
  stash_.clear();
  for (int64_t room = receiveBufferSize_; room > 0;) {
    uint8_t byte;
    const ssize_t size = recv(fd(), &byte, sizeof(byte), MSG_TRUNC | MSG_DONTWAIT);
    if (size < 0 && errno == ENOBUFS) statistics_.overruns++;
    if (size < 0 && errno != ENOBUFS && errno != EINTR) return errno == EAGAIN ? discarded : -errno;
    if (size < 0) continue;
    discarded++;
    room -= std::max<int64_t>(size, 1);
  }
  return discarded;
}

}  // namespace wdp
