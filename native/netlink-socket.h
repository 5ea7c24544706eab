/*
 * A Netlink socket without JavaScript: opened or taken over from another thread, sent to, received from, waited on, closed.
 * Before it: netlink-object.cc, which checks arguments; after it: the kernel. netlink-transact.cc and netlink-ring.cc stand on it.
 *
 * Ownership. A Socket owns its descriptors and what rings left behind for `Receive`; bytes belong to the caller and are touched only
 *   during the call.
 * Threads. An object belongs to one thread. Several threads use one kernel socket through objects of their own (Share, Adopt), which have
 *   the descriptor of an event counter in common: who closes raises it for good, and from then on every call that receives or waits answers
 *   -ECANCELED in every thread.
 * Errors. 0 or more is done, negative is -errno; nothing throws.
 */
#pragma once

#include <linux/netlink.h>
#include <sys/socket.h>
#include <time.h>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <vector>

#include "fd.h"
#include "netlink-vector.h"

namespace wdp {

/** How long a call may wait, and whether its thread is still wanted: a worker that is being terminated is told so within a slice. */
class Deadline {
 public:
  using Question = bool (*)(void* context);
  /** `timeoutMs` 0: not at all; negative: as long as it takes. */
  Deadline(double timeoutMs, Question isWanted, void* context);
  bool Expired() const;
  /** What may be waited in one piece: at most `limitNs`. */
  timespec Slice(int64_t limitNs) const;
  bool IsWanted() const { return isWanted_(context_); }

 private:
  Question isWanted_;
  void* context_;
  bool forever_;
  int64_t endNs_;
};

struct Statistics {
  uint64_t sent = 0;
  uint64_t received = 0;
  uint64_t overruns = 0;
  uint64_t truncated = 0;
  uint64_t foreign = 0;
  uint64_t stale = 0;
  uint64_t malformed = 0;
  uint64_t resent = 0;
};

class Socket {
 public:
  static constexpr int64_t kNotConnected = -1;
  /** Sequence numbers are 1 to 2^31 - 1: they fit a signed word, and 0 is what notifications carry. */
  static constexpr uint32_t kSequenceEnd = 1u << 31;

  struct Options {
    int protocol;
    uint32_t portId;
    int64_t peer;
    int receiveBufferSize;
  };
  struct Handle {
    int fd;
    int wakeFd;
    int protocol;
    uint32_t portId;
    int64_t peer;
  };

  Socket() = default;
  ~Socket() { Close(false); }
  Socket(const Socket&) = delete;
  Socket& operator=(const Socket&) = delete;

  int Open(const Options& options);
  /** Takes the descriptors over when it answers 0, and leaves them alone when not. */
  int Adopt(const Handle& handle);
  /** Descriptors for another thread: they are the caller's until adopted. */
  int Share(Handle* handle);
  /** Idempotent. With `wake` whoever else has the socket is told. */
  void Close(bool wake);

  int fd() const { return fd_.get(); }
  int wakeFd() const { return wake_.get(); }
  bool closed() const { return !fd_.valid(); }
  int protocol() const { return protocol_; }
  uint32_t portId() const { return portId_; }
  int64_t peer() const { return peer_; }
  /** Whether anybody but the kernel can put a datagram into this socket: not when it is connected to the kernel and in no group. */
  bool hearsOthers() const { return hearsOthers_ || peer_ != 0; }
  int receiveBufferSize() const { return receiveBufferSize_; }
  /** What one datagram may have at most: the kernel takes 32 bytes less than the send buffer. */
  size_t sendSizeMax() const { return sendSizeMax_; }
  Statistics& statistics() { return statistics_; }

  int SetOption(int level, int option, int value);
  int SetReceiveBuffer(int size);

  /** The first of `count` numbers in a row; they are taken by TakeSequence with as many as were used. */
  uint32_t NextSequence(uint32_t count);
  void TakeSequence(uint32_t count) { nextSequence_ += count; }
  void SetSequence(uint32_t next) { nextSequence_ = next; }

  int Send(const void* bytes, size_t size, const sockaddr_nl* to, const Deadline& deadline);
  /** One attempt, which never waits. */
  int TrySend(const void* bytes, size_t size, const sockaddr_nl* to);
  /** Sleeps for `pauseNs` or until the deadline. 1 after the pause, 0 at the deadline, or -ECANCELED. */
  int Pause(int64_t pauseNs, const Deadline& deadline);

  /** Rows as src/native/netlink.ts describes them; slot i is at `bytes + offset + i * slotSize`. */
  int Receive(uint8_t* bytes, size_t offset, size_t slotSize, int count, int32_t* rows, MessageVector* vector, const Deadline& deadline);
  /** One recvmmsg, which never waits: how many, 0 none, or -errno. */
  int TryReceive(MessageVector* vector, int count);
  int PeekSize();
  int Drain();
  /** 1 there is something, 0 the deadline came first, or -errno. */
  int Wait(const Deadline& deadline);
  /** Whether another thread closed the socket. */
  bool IsCancelled() const;

  /** A frame that holds an nlmsghdr. */
  static constexpr size_t kFrameSizeMin = NL_MMAP_HDRLEN + NLMSG_HDRLEN;
  struct Frames {
    uint8_t* begin;
    size_t frameSize;
    uint32_t frameCount;
  };
  int FillRing(const Frames& frames, uint32_t start, uint32_t count, Scratch* scratch);
  int MapRing(int option, void* address, const nl_mmap_req& request);
  void UnmapRing();

 private:
  /** A datagram that was too long for its frame. `bytes` holds what there is of `size`. */
  struct Stashed {
    Origin origin;
    size_t size;
    std::vector<uint8_t> bytes;
  };

  int Configure(const Options& options);
  int ReadBack();
  int ReceiveStashed(uint8_t* bytes, size_t offset, size_t slotSize, int count, int32_t* rows);
  void PublishFrame(uint8_t* frame, size_t room, Scratch* scratch, int i);

  Fd fd_;
  Fd wake_;
  int protocol_ = 0;
  uint32_t portId_ = 0;
  int64_t peer_ = 0;
  /** Another holder may have joined a group, too. */
  bool hearsOthers_ = false;
  int receiveBufferSize_ = 0;
  size_t sendSizeMax_ = 0;
  uint32_t nextSequence_ = 1;
  Statistics statistics_;
  std::deque<Stashed> stash_;
  void* ring_ = nullptr;
  size_t ringSize_ = 0;
};

}  // namespace wdp
