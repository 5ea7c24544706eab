/*
 * Receiving from many sockets in turn. poll-set.h has the rules.
 */
#include "poll-set.h"

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>

namespace wdp {
namespace {

/** How long one wait may be, so that a thread that is being terminated notices. */
constexpr int64_t kSliceNs = 100 * 1000 * 1000;

/** epoll's user data: the descriptor to receive from, and the tag. */
uint64_t Pack(int fd, int32_t tag) { return static_cast<uint64_t>(static_cast<uint32_t>(tag)) << 32 | static_cast<uint32_t>(fd); }
int FdOf(const epoll_event& event) { return static_cast<int>(event.data.u64 & UINT32_MAX); }
int32_t TagOf(const epoll_event& event) { return static_cast<int32_t>(event.data.u64 >> 32); }

}  // namespace

int PollSet::Open() {
  if (!epoll_.valid()) epoll_.Reset(epoll_create1(EPOLL_CLOEXEC));
  return epoll_.valid() ? 0 : -errno;
}

int PollSet::Add(int fd, int32_t tag) {
  const int error = Open();
  if (error < 0) return error;
  epoll_event event = {};
  event.events = EPOLLIN | EPOLLEXCLUSIVE;
  event.data.u64 = Pack(fd, tag);
  return epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) < 0 ? -errno : 0;
}

/** Also what epoll said of it and was not served yet: its descriptor may be another's soon. */
int PollSet::Remove(int fd) {
  if (!epoll_.valid()) return -EBADF;
  epoll_event* const end = std::remove_if(ready_ + next_, ready_ + readyCount_, [&](const epoll_event& event) { return FdOf(event) == fd; });
  readyCount_ = static_cast<int>(end - ready_);
  return epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr) < 0 ? -errno : 0;
}

int PollSet::Receive(uint8_t* bytes, const Slot* slots, int slotCount, Row* rows, int rowCount, MessageVector* vector) {
  if (!epoll_.valid()) return -EBADF;
  Progress progress = {slots, slotCount, 0, rows, rowCount, 0};
  while (!progress.full()) {
    if (next_ == readyCount_ && !Refill()) break;
    const int error = Turn(ready_[next_++], bytes, &progress, vector);
    if (error < 0) return progress.written > 0 ? progress.written : error;
  }
  return progress.written;
}

/** Level-triggered: whoever has something left is told again, behind the others. */
bool PollSet::Refill() {
  int count;
  do {
    count = epoll_wait(epoll_.get(), ready_, kReadyMax, 0);
  } while (count < 0 && errno == EINTR);
  next_ = 0;
  readyCount_ = std::max(count, 0);
  return readyCount_ > 0;
}

int PollSet::Turn(const epoll_event& event, uint8_t* bytes, Progress* progress, MessageVector* vector) {
  const int room = std::min({kTurn, progress->slotCount - progress->filled, progress->rowCount - progress->written});
  for (int i = 0; i < room; i++) {
    const Slot& slot = progress->slots[progress->filled + i];
    uint8_t* const tail = slot.tailSize > 0 ? bytes + slot.tail : nullptr;
    vector->Aim(i, bytes + slot.offset, slot.size, tail, slot.tailSize, false);
  }
  int received;
  do {
    received = recvmmsg(FdOf(event), vector->headers(), room, MSG_DONTWAIT | MSG_TRUNC, nullptr);
  } while (received < 0 && errno == EINTR);
  if (received < 0 && errno == ENOBUFS) {
    progress->rows[progress->written++] = {-1, 0, TagOf(event), 0};
    return 0;
  }
  if (received < 0) return errno == EAGAIN ? 0 : -errno;
  for (int i = 0; i < received; i++) {
    progress->rows[progress->written++] = {progress->filled++, static_cast<int32_t>(vector->Size(i)), TagOf(event), vector->IsTruncated(i)};
  }
  return 0;
}

int PollSet::Wait(const Deadline& deadline) {
  if (!epoll_.valid()) return -EBADF;
  if (next_ != readyCount_) return 1;
  for (;;) {
    const timespec slice = deadline.Slice(kSliceNs);
    const int timeoutMs = static_cast<int>(slice.tv_sec * 1000 + (slice.tv_nsec + 999999) / 1000000);
    const int count = epoll_wait(epoll_.get(), ready_, kReadyMax, timeoutMs);
    if (count < 0 && errno != EINTR) return -errno;
    next_ = 0;
    readyCount_ = std::max(count, 0);
    if (count > 0) return 1;
    if (!deadline.IsWanted()) return -ECANCELED;
    if (deadline.Expired()) return 0;
  }
}

}  // namespace wdp
