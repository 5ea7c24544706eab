/*
 * XdpSocket: an AF_XDP socket on one queue of an interface. Its UMEM is memory that the caller names, and its rings are mapped over memory that the
 * caller names. Before it: the host, which set that memory aside. After it: assembly/io/afxdp.ts drives the rings, native/pump.cc wakes the kernel.
 *
 * Ownership. The object owns the descriptor and what is mapped; closing puts ordinary memory back where the rings were, and the kernel lets go of the
 * UMEM. The caller closes only when no thread looks at any of it any more.
 * Threads. One at a time; other threads may use the descriptor.
 */
#pragma once

#include <cstddef>
#include <cstdint>

#include "fd.h"

namespace wdp {

struct XdpOptions {
  int ifindex = 0;
  int queue = 0;
  /** XDP_COPY, XDP_ZEROCOPY, XDP_USE_NEED_WAKEUP. */
  int flags = 0;
  uint32_t frameSize = 0;
  uint32_t frameCount = 0;
  /** Entries of the rings, powers of two; 0 entries of a receive ring: the socket only sends. */
  uint32_t fillSize = 0;
  uint32_t completionSize = 0;
  uint32_t rxSize = 0;
  uint32_t txSize = 0;
  int sendBufferSize = 0;
};

/** Where the parts of a ring are, from its start. */
struct XdpRing {
  uint32_t producer = 0;
  uint32_t consumer = 0;
  uint32_t flags = 0;
  uint32_t entries = 0;
};

/** Memory for UMEM and rings; page-aligned. */
struct XdpPlaces {
  uint8_t* umem = nullptr;
  uint8_t* fill = nullptr;
  uint8_t* completion = nullptr;
  uint8_t* rx = nullptr;
  uint8_t* tx = nullptr;
};

class XdpSocket {
 public:
  /** Bytes in front of the entries of a ring, at most. */
  static constexpr uint32_t kRingHead = 4096;

  XdpSocket() = default;
  ~XdpSocket() { Close(); }
  XdpSocket(const XdpSocket&) = delete;
  XdpSocket& operator=(const XdpSocket&) = delete;

  /** Opens and binds it. 0 or -errno, then `operation` was refused. */
  int Open(const XdpOptions& options, const XdpPlaces& places);
  /** Frames lost by the kernel: no free frame, receive ring full, and the like. */
  uint64_t Drops() const;
  void Close();

  int fd() const { return fd_.get(); }
  const char* operation() const { return operation_; }
  /** Fill, completion, receive, transmit. */
  const XdpRing& ring(int index) const { return rings_[index]; }
  bool isZeroCopy() const { return isZeroCopy_; }

 private:
  int Configure(const XdpOptions& options, const XdpPlaces& places);
  int Set(int option, const char* name, const void* value, size_t size);
  int MapRings(const XdpOptions& options, const XdpPlaces& places);
  int Bind(const XdpOptions& options);

  Fd fd_;
  XdpRing rings_[4];
  struct {
    void* address = nullptr;
    size_t size = 0;
  } mapped_[4];
  bool isZeroCopy_ = false;
  const char* operation_ = "";
};

}  // namespace wdp
