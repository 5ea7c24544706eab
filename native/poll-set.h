/*
 * Many Netlink sockets received from by one: epoll says which have something, and each is served in turn. Before it: poll-set-object.cc; after it: the
 * kernel. The sockets themselves are others' (netlink-socket.h); they are known here by their descriptors.
 *
 * Concepts. A turn of a socket ends after kTurn datagrams, and the next call goes on behind the last turn, so a socket with thousands of datagrams delays
 *   the others by one turn. When a socket's queue was full the kernel says so once, before what is queued: that is a row of its own.
 * Ownership. The set owns its epoll descriptor. Who closes a socket removes it first.
 * Threads. An object belongs to one thread. Several sets, in several threads, may watch the same sockets: EPOLLEXCLUSIVE wakes one of them.
 */
#pragma once

#include <sys/epoll.h>

#include <cstddef>
#include <cstdint>

#include "fd.h"
#include "netlink-socket.h"
#include "netlink-vector.h"

namespace wdp {

class PollSet {
 public:
  /** Where one datagram goes: what is longer than `size` runs on into the tail. Offsets count from the beginning of the view. */
  struct Slot {
    uint32_t offset;
    uint32_t size;
    uint32_t tail;
    uint32_t tailSize;
  };
  /** What came: of a datagram its slot and its size, of an overrun slot -1. */
  struct Row {
    int32_t slot;
    int32_t size;
    int32_t tag;
    int32_t truncated;
  };

  /** Idempotent; 0, or -errno. */
  int Open();
  void Close() { epoll_.Reset(); }
  int fd() const { return epoll_.get(); }
  /** `tag` stands in the rows of this socket. */
  int Add(int fd, int32_t tag);
  int Remove(int fd);
  /** Fills up to `slotCount` slots and `rowCount` rows; never waits. How many rows, or -errno when there was nothing but an error. */
  int Receive(uint8_t* bytes, const Slot* slots, int slotCount, Row* rows, int rowCount, MessageVector* vector);
  /** 1 there is something, 0 the deadline came first, or -errno. */
  int Wait(const Deadline& deadline);

 private:
  static constexpr int kReadyMax = 64;
  /** Datagrams that a socket gives before it is another's turn. */
  static constexpr int kTurn = 4;

  /** Where a call stands. */
  struct Progress {
    const Slot* slots;
    int slotCount;
    int filled;
    Row* rows;
    int rowCount;
    int written;
    bool full() const { return filled == slotCount || written == rowCount; }
  };
  bool Refill();
  int Turn(const epoll_event& event, uint8_t* bytes, Progress* progress, MessageVector* vector);

  Fd epoll_;
  epoll_event ready_[kReadyMax];
  int readyCount_ = 0;
  int next_ = 0;
};

}  // namespace wdp
