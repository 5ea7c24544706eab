/*
 * Transactions: the loop that sends, reads and waits, and the sending half. netlink-transact.h has the concepts, netlink-replies.cc the
 * receiving half.
 */
#include "netlink-transact.h"

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstring>

namespace wdp {
namespace {

constexpr size_t kBatchSizeDefault = 32 * 1024;
constexpr int kBatchCountMax = 128;
constexpr int kReplyBudget = 4096;
/** A peer whose receive buffer is full is asked again after this, and twice as long each time up to the other. */
constexpr int64_t kPauseMinNs = 20000;
constexpr int64_t kPauseMaxNs = 1000000;

nlmsghdr ReadHeader(const uint8_t* bytes) {
  nlmsghdr header;
  std::memcpy(&header, bytes, sizeof(header));
  return header;
}

}  // namespace

/** The number of requests in the region, or -errno when one of them is not what it says. */
int Transactions::Count(const Memory& memory) const {
  Cursor cursor = {};
  while (cursor.offset < size_) {
    const size_t offset = cursor.offset;
    if (cursor.index == INT_MAX || !Step(memory, &cursor)) return -EINVAL;
    if (ReadHeader(memory.requests + offset).nlmsg_len > socket_.sendSizeMax()) return -EMSGSIZE;
  }
  return static_cast<int>(cursor.index);
}

int Transactions::Begin(const Memory& memory, const Limits& limits) {
  if (socket_.closed()) return -EBADF;
  if (active_) return -EBUSY;
  if (socket_.peer() == Socket::kNotConnected) return -ENOTCONN;
  size_ = memory.requestsSize;
  const int count = Count(memory);
  if (count < 0) return count;
  if (static_cast<size_t>(count) > memory.rowCount) return -ENOSPC;
  for (int i = 0; i < count; i++) memory.rows[i] = {EINPROGRESS, 0, 0, 0};
  const int countDefault = std::clamp(socket_.receiveBufferSize() / kReplyBudget, 1, kBatchCountMax);
  confirm_ = limits.confirm;
  batchSize_ = std::min(limits.batchSize != 0 ? limits.batchSize : kBatchSizeDefault, socket_.sendSizeMax());
  batchCount_ = limits.batchCount != 0 ? limits.batchCount : static_cast<uint32_t>(countDefault);
  count_ = left_ = static_cast<uint32_t>(count);
  repliesUsed_ = 0;
  next_ = {};
  flightCount_ = 0;
  overrun_ = false;
  progress_ = true;
  attempts_ = 0;
  pauseNs_ = kPauseMinNs;
  active_ = count > 0;
  return count;
}

int Transactions::Continue(const Memory& memory, Scratch* scratch, const Deadline& deadline) {
  if (!active_) return socket_.closed() ? -EBADF : 0;
  if (memory.rowCount < count_ || memory.requestsSize < size_ || memory.repliesSize < repliesUsed_) return -EINVAL;
  const int error = scratch->Reserve();
  if (error < 0) return error;
  if (socket_.closed()) return End(memory, -EBADF);
  if (socket_.IsCancelled()) return End(memory, -ECANCELED);
  while (left_ > 0) {
    const int sent = SendMore(memory);
    if (sent < 0 && sent != -EAGAIN) {
      TakeQueued(memory, scratch);
      return End(memory, sent);
    }
    const int received = flightCount_ > 0 ? TakeReplies(memory, scratch) : 0;
    if (received > 0) continue;
    if (received == -ENOBUFS) {
      overrun_ = true;
      if (socket_.peer() == 0) continue;
      socket_.Drain();
    } else if (received < 0) {
      return End(memory, received);
    }
    if (overrun_) {
      Resend(memory);
      continue;
    }
    const int ready = WaitForMore(deadline);
    if (ready == 0) return -EAGAIN;
    if (ready < 0) return End(memory, ready);
  }
  return End(memory, 0);
}

/** What a peer answered before it went away still counts. */
void Transactions::TakeQueued(const Memory& memory, Scratch* scratch) {
  for (int received = 1; flightCount_ > 0 && (received > 0 || received == -ENOBUFS);) received = TakeReplies(memory, scratch);
}

void Transactions::Cancel(const Memory& memory) {
  if (active_ && memory.rowCount >= count_) End(memory, -ECANCELED);
  active_ = false;
}

/** All that are left get this error. */
int Transactions::End(const Memory& memory, int error) {
  for (uint32_t i = 0; left_ > 0 && i < count_; i++) {
    if (IsOpen(memory, i)) memory.rows[i] = {-error, 0, 0, memory.rows[i].flags};
  }
  active_ = false;
  return error;
}

/** With nothing on its way it is the peer that has no room, and the kernel does not say when it has. */
int Transactions::WaitForMore(const Deadline& deadline) {
  if (flightCount_ > 0) return socket_.Wait(deadline);
  const int slept = socket_.Pause(pauseNs_, deadline);
  pauseNs_ = std::min(2 * pauseNs_, kPauseMaxNs);
  return slept;
}

bool Transactions::IsOpen(const Memory& memory, uint32_t index) const { return memory.rows[index].error == EINPROGRESS; }

/** To the next request; false when the length of this one is impossible. */
bool Transactions::Step(const Memory& memory, Cursor* cursor) const {
  const size_t rest = size_ - cursor->offset;
  if (rest < sizeof(nlmsghdr)) return false;
  const uint32_t length = ReadHeader(memory.requests + cursor->offset).nlmsg_len;
  if (length < sizeof(nlmsghdr) || length > rest) return false;
  cursor->offset += std::min<size_t>(NLMSG_ALIGN(static_cast<size_t>(length)), rest);
  cursor->index++;
  return true;
}

/** Sends as many flights as may be on their way: 0, -EAGAIN when the peer has no room, or what is fatal. */
int Transactions::SendMore(const Memory& memory) {
  const int flightMax = socket_.peer() == 0 ? 1 : kFlightMax;
  while (flightCount_ < flightMax && next_.index < count_) {
    Flight* const flight = &flights_[flightCount_];
    Cursor end;
    const int gathered = Gather(memory, flight, &end);
    if (gathered < 0) return gathered;
    if (flight->count > 0) {
      const size_t size = end.offset - flight->begin.offset;
      const int error = socket_.TrySend(memory.requests + flight->begin.offset, size, nullptr);
      if (error == -EAGAIN || error == -ENOBUFS) return -EAGAIN;
      if (error < 0) return error;
      socket_.TakeSequence(flight->count);
      wanted_ += confirm_ == kConfirmLast ? 1 : flight->count;
      flightCount_++;
      pauseNs_ = kPauseMinNs;
    }
    next_ = end;
  }
  return 0;
}

/** The next run of undecided requests, stamped in place. 0 or -EINVAL when the caller's bytes changed. */
int Transactions::Gather(const Memory& memory, Flight* flight, Cursor* end) const {
  Cursor at = next_;
  while (at.index < count_ && !IsOpen(memory, at.index)) {
    if (!Step(memory, &at)) return -EINVAL;
  }
  const uint32_t sequence = socket_.NextSequence(std::max(1u, std::min(batchCount_, count_ - at.index)));
  *flight = {at, 0, sequence, 0, at.index};
  uint8_t* last = nullptr;
  while (at.index < count_ && flight->count < batchCount_ && IsOpen(memory, at.index)) {
    Cursor after = at;
    if (!Step(memory, &after)) return -EINVAL;
    if (flight->count > 0 && after.offset - flight->begin.offset > batchSize_) break;
    last = memory.requests + at.offset;
    Stamp(last, sequence + flight->count, confirm_ != kConfirmLast);
    flight->count++;
    at = after;
  }
  if (last != nullptr) Stamp(last, sequence + flight->count - 1, true);
  flight->left = flight->count;
  *end = at;
  return 0;
}

void Transactions::Stamp(uint8_t* request, uint32_t sequence, bool acknowledge) const {
  nlmsghdr header = ReadHeader(request);
  header.nlmsg_flags = static_cast<uint16_t>((header.nlmsg_flags & ~NLM_F_ACK) | NLM_F_REQUEST | (acknowledge ? NLM_F_ACK : 0));
  header.nlmsg_seq = sequence;
  header.nlmsg_pid = socket_.portId();
  constexpr size_t kLengthAndType = offsetof(nlmsghdr, nlmsg_flags);
  std::memcpy(request + kLengthAndType, reinterpret_cast<const uint8_t*>(&header) + kLengthAndType, sizeof(header) - kLengthAndType);
}

/** What is on its way and undecided is taken back, to be sent again; too often in vain, and it is given up. */
void Transactions::Resend(const Memory& memory) {
  attempts_ = progress_ ? 0 : attempts_ + 1;
  progress_ = false;
  overrun_ = false;
  const bool isGivenUp = attempts_ >= kAttemptsMax;
  if (flightCount_ > 0) next_ = flights_[0].begin;
  for (int f = flightCount_ - 1; f >= 0; f--) {
    Flight* const flight = &flights_[f];
    for (uint32_t i = flight->begin.index + flight->count; i-- > flight->begin.index;) {
      if (!IsOpen(memory, i)) continue;
      TransactionRow* const row = &memory.rows[i];
      Drop(row);
      if (isGivenUp) {
        DecideOne(memory, flight, i, ENOBUFS);
        continue;
      }
      row->flags |= kResent;
      socket_.statistics().resent++;
    }
  }
  flightCount_ = 0;
  wanted_ = 0;
  batchCount_ = std::max(1u, batchCount_ / 2);
}

}  // namespace wdp
