/*
 * Transactions, the receiving half: datagrams of the peer taken apart into messages, each matched with its row by its sequence number,
 * replies stored side by side. netlink-transact.h has the concepts.
 */
#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstring>

#include "netlink-transact.h"

namespace wdp {
namespace {

constexpr size_t kMinErrorSize = NLMSG_HDRLEN + sizeof(int32_t);

/** The errno that NLMSG_ERROR or NLMSG_DONE carries, 0 none. */
int ErrorOf(const nlmsghdr& header, const uint8_t* bytes, size_t size) {
  if (size < kMinErrorSize) return header.nlmsg_type == NLMSG_DONE ? 0 : EPROTO;
  int32_t value;
  std::memcpy(&value, bytes + NLMSG_HDRLEN, sizeof(value));
  if (header.nlmsg_type == NLMSG_DONE) return value < 0 && value != INT_MIN ? -value : 0;
  if (value > 0 || value == INT_MIN) return EPROTO;
  // EINPROGRESS is what an undecided row says.
  return value == -EINPROGRESS ? EALREADY : -value;
}

}  // namespace

/** One system call and what it brought: how many datagrams, or -errno. */
int Transactions::TakeReplies(const Memory& memory, Scratch* scratch) {
  const int count = static_cast<int>(std::clamp<uint32_t>(wanted_, 1, kReceiveMax));
  for (int i = 0; i < count; i++) scratch->Aim(i, socket_.hearsOthers());
  const int received = socket_.TryReceive(&scratch->vector(), count);
  if (received <= 0) return received;
  for (int i = 0; i < received; i++) {
    const Origin origin = scratch->vector().OriginOf(i);
    if (origin.portId != static_cast<uint32_t>(socket_.peer()) || origin.group != 0) {
      socket_.statistics().foreign++;
      continue;
    }
    size_t size;
    const uint8_t* const bytes = scratch->Bytes(i, &size);
    ReadDatagram(memory, bytes, size, !scratch->vector().IsTruncated(i));
  }
  Retire();
  return received;
}

void Transactions::ReadDatagram(const Memory& memory, const uint8_t* bytes, size_t size, bool isWhole) {
  if (!isWhole) socket_.statistics().truncated++;
  for (size_t at = 0; at < size;) {
    const size_t there = size - at;
    nlmsghdr header = {};
    if (there >= sizeof(header)) std::memcpy(&header, bytes + at, sizeof(header));
    const bool isPossible = header.nlmsg_len >= sizeof(header) && (header.nlmsg_len <= there || !isWhole);
    if (!isPossible) {
      socket_.statistics().malformed++;
      return;
    }
    ReadMessage(memory, header, bytes + at, std::min<size_t>(there, header.nlmsg_len));
    at += std::min<size_t>(NLMSG_ALIGN(static_cast<size_t>(header.nlmsg_len)), there);
  }
}

/** `size` is less than the message's length only when its datagram was cut in the middle of it. */
void Transactions::ReadMessage(const Memory& memory, const nlmsghdr& header, const uint8_t* bytes, size_t size) {
  Flight* flight = flights_;
  Flight* const end = flights_ + flightCount_;
  while (flight < end && header.nlmsg_seq - flight->sequence >= flight->count) flight++;
  const uint32_t index = flight < end ? flight->begin.index + (header.nlmsg_seq - flight->sequence) : 0;
  // A notification that the request of another socket caused carries that request's number, and the other's port id.
  const bool isOurs = socket_.peer() != 0 || header.nlmsg_pid == 0 || header.nlmsg_pid == socket_.portId();
  if (flight == end || !isOurs || !IsOpen(memory, index)) {
    socket_.statistics().stale++;
    return;
  }
  TransactionRow* const row = &memory.rows[index];
  const bool isError = header.nlmsg_type == NLMSG_ERROR;
  if (isError || header.nlmsg_type == NLMSG_DONE) {
    const int error = ErrorOf(header, bytes, size);
    if (isError && error != 0) {
      Drop(row);
      Store(memory, row, bytes, header.nlmsg_len, size);
    }
    Decide(memory, flight, index, error);
  } else if (header.nlmsg_type != NLMSG_NOOP && header.nlmsg_type != NLMSG_OVERRUN) {
    Store(memory, row, bytes, header.nlmsg_len, size);
  }
}

/**
 * Appends a message of `size` bytes, of which `there` are here, to the reply of a row. What does not fit takes the whole reply away again, and
 * the row counts what it would have needed.
 */
void Transactions::Store(const Memory& memory, TransactionRow* row, const uint8_t* bytes, size_t size, size_t there) {
  const size_t aligned = NLMSG_ALIGN(size);
  const bool isLast = row->size == 0 || row->offset + static_cast<size_t>(row->size) == repliesUsed_;
  // Another transaction's reply came in between: what there is of this one moves to the end.
  const size_t before = isLast ? 0 : row->size;
  const bool isSound = row->size == 0 || (row->offset <= repliesUsed_ && row->size <= repliesUsed_ - row->offset);
  const bool fits = aligned <= memory.repliesSize && before + aligned <= memory.repliesSize - repliesUsed_;
  if ((row->flags & kOverflow) != 0 || !isSound || !fits || there < size) {
    const uint32_t needed = row->size + static_cast<uint32_t>(aligned);
    if ((row->flags & kOverflow) == 0) Drop(row);
    row->size = needed;
    row->flags |= kOverflow;
    return;
  }
  uint8_t* const at = memory.replies + repliesUsed_;
  if (before > 0) std::memcpy(at, memory.replies + row->offset, before);
  std::memcpy(at + before, bytes, size);
  std::memset(at + before + size, 0, aligned - size);
  if (row->size == 0 || before > 0) row->offset = static_cast<uint32_t>(repliesUsed_);
  row->size += static_cast<uint32_t>(aligned);
  repliesUsed_ += before + aligned;
}

/** Forgets what came of a reply; the room is used again when it was the last one. */
void Transactions::Drop(TransactionRow* row) {
  const bool isStored = row->size > 0 && (row->flags & kOverflow) == 0;
  if (isStored && row->offset + static_cast<size_t>(row->size) == repliesUsed_) repliesUsed_ = row->offset;
  row->offset = row->size = 0;
  row->flags &= ~kOverflow;
}

void Transactions::Decide(const Memory& memory, Flight* flight, uint32_t index, int error) {
  if (confirm_ == kConfirmLast) {
    for (; flight->low < index; flight->low++) {
      if (IsOpen(memory, flight->low)) DecideOne(memory, flight, flight->low, 0);
    }
  }
  DecideOne(memory, flight, index, error);
}

void Transactions::DecideOne(const Memory& memory, Flight* flight, uint32_t index, int error) {
  memory.rows[index].error = error;
  flight->left--;
  left_--;
  progress_ = true;
}

/** Forgets the flights that are decided. */
void Transactions::Retire() {
  Flight* const end = std::remove_if(flights_, flights_ + flightCount_, [](const Flight& flight) { return flight.left == 0; });
  flightCount_ = static_cast<int>(end - flights_);
  wanted_ = 0;
  for (const Flight* flight = flights_; flight < end; flight++) wanted_ += flight->left;
}

}  // namespace wdp
