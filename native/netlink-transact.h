/*
 * Transactions: many requests to one peer, each with its errno and its reply. Before it: a region of whole requests side by side; after it: a
 * row for each request and a region of replies, as src/native/netlink.ts describes them.
 *
 * Concepts. A *flight* is one datagram of consecutive requests that is on its way: its sequence numbers are consecutive, so that a reply finds
 *   its row by a subtraction. Towards the kernel there is one flight at a time, because the kernel has answered when the send returns; a peer
 *   in user space gets up to kFlightMax, so that it works on one while the next is under way.
 *   A transaction is decided by its acknowledgement, its error or its NLMSG_DONE, never by the silence of the socket. With CONFIRM_LAST only
 *   the last of a flight asks for an acknowledgement, and an answer to one request decides those before it, as the kernel answers in order.
 *
 * How large a flight is. Bytes: 32 KiB. Requests: the receive buffer with 4 KiB for each, at most 128; an acknowledgement is charged with
 *   about 1 KiB, so that there is room for some replies, too.
 *
 * What can be lost. The kernel drops replies when the receive buffer is full and says ENOBUFS once. What it queued before it dropped is good
 *   and is read; then what is still undecided is sent again with new sequence numbers in flights of half as many. A peer in user space may
 *   still be answering, so there everything that is queued is discarded first. Late replies to the old numbers are stale.
 *   A request may therefore be carried out twice. Whatever brings nothing kAttemptsMax times gets ENOBUFS.
 *
 * Ownership. The caller's memory is used during a call only, and may be written by other threads meanwhile: every length in it is checked
 *   again where it is used. Nothing is allocated.
 * Threads. That of the Socket.
 */
#pragma once

#include <cstddef>
#include <cstdint>

#include "netlink-socket.h"

namespace wdp {

/** What a transaction row says; words of an Int32Array. */
struct TransactionRow {
  int32_t error;
  uint32_t offset;
  uint32_t size;
  uint32_t flags;
};
static_assert(sizeof(TransactionRow) == 16, "four words");

class Transactions {
 public:
  static constexpr uint32_t kOverflow = 1;
  static constexpr uint32_t kResent = 2;
  static constexpr int kConfirmLast = 1;

  struct Memory {
    uint8_t* requests;
    size_t requestsSize;
    uint8_t* replies;
    size_t repliesSize;
    TransactionRow* rows;
    size_t rowCount;
  };
  struct Limits {
    int confirm;
    size_t batchSize;
    uint32_t batchCount;
  };

  explicit Transactions(Socket* socket) : socket_(*socket) {}
  /** The number of requests, or -errno. `memory.replies` is not used yet. */
  int Begin(const Memory& memory, const Limits& limits);
  int Continue(const Memory& memory, Scratch* scratch, const Deadline& deadline);
  void Cancel(const Memory& memory);

 private:
  static constexpr int kFlightMax = 4;
  static constexpr int kAttemptsMax = 8;

  struct Cursor {
    uint32_t index;
    size_t offset;
  };
  struct Flight {
    Cursor begin;
    uint32_t count;
    uint32_t sequence;
    uint32_t left;
    /** Requests before this one are decided; kept with CONFIRM_LAST. */
    uint32_t low;
  };

  int Count(const Memory& memory) const;
  bool Step(const Memory& memory, Cursor* cursor) const;
  bool IsOpen(const Memory& memory, uint32_t index) const;
  int SendMore(const Memory& memory);
  int Gather(const Memory& memory, Flight* flight, Cursor* end) const;
  void Stamp(uint8_t* request, uint32_t sequence, bool acknowledge) const;
  int TakeReplies(const Memory& memory, Scratch* scratch);
  void TakeQueued(const Memory& memory, Scratch* scratch);
  void ReadDatagram(const Memory& memory, const uint8_t* bytes, size_t size, bool isWhole);
  void ReadMessage(const Memory& memory, const nlmsghdr& header, const uint8_t* bytes, size_t size);
  void Store(const Memory& memory, TransactionRow* row, const uint8_t* bytes, size_t size, size_t there);
  void Drop(TransactionRow* row);
  void Decide(const Memory& memory, Flight* flight, uint32_t index, int error);
  void DecideOne(const Memory& memory, Flight* flight, uint32_t index, int error);
  void Retire();
  void Resend(const Memory& memory);
  int End(const Memory& memory, int error);
  int WaitForMore(const Deadline& deadline);

  Socket& socket_;
  bool active_ = false;
  int confirm_ = 0;
  size_t batchSize_ = 0;
  uint32_t batchCount_ = 0;
  uint32_t count_ = 0;
  uint32_t left_ = 0;
  size_t size_ = 0;
  size_t repliesUsed_ = 0;
  Cursor next_ = {};
  Flight flights_[kFlightMax] = {};
  int flightCount_ = 0;
  /** Datagrams that the next system call should ask for. */
  uint32_t wanted_ = 0;
  bool overrun_ = false;
  bool progress_ = false;
  int attempts_ = 0;
  int64_t pauseNs_ = 0;
};

}  // namespace wdp
