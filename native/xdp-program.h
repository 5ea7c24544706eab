/*
 * XdpProgram: the XDP program of an interface that hands each frame to the AF_XDP socket of the queue it came by, and lets the host have it where there
 * is none. With hot flows it looks through them first, and sends what it finds there out of another interface (hot-flows.h).
 *
 * Concepts. The program is attached by a link, whose descriptor is all that holds it there: it goes with the process, however that ends.
 * Ownership. The object owns program, map and link. Threads. One at a time.
 */
#pragma once

#include <cstdint>

#include "fd.h"
#include "hot-flows.h"

namespace wdp {

class XdpProgram {
 public:
  /**
   * Loads it and attaches it to the interface; `mode` is XDP_FLAGS_SKB_MODE or XDP_FLAGS_DRV_MODE; `hot` null: there are none. 0 or -errno, then `operation`
   * was refused.
   */
  int Open(int ifindex, uint32_t mode, uint32_t queueCount, const HotOptions* hot);
  /** Frames of `queue` go to the AF_XDP socket `socket` from now on. 0 or -errno. */
  int SetSocket(uint32_t queue, int socket);
  void Close();

  const char* operation() const { return operation_; }

 private:
  int Load(const HotOptions* hot);

  Fd map_;
  Fd program_;
  Fd link_;
  const char* operation_ = "";
};

}  // namespace wdp
