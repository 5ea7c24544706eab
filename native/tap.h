/*
 * TapQueue: one queue of a TAP device, which is made when its first queue is opened and goes with the last. Before it: the host. After it:
 * native/pump.cc reads and writes frames, each behind a struct virtio_net_hdr.
 *
 * Concepts. The host's stack leaves checksums and segmentation to us (TUNSETOFFLOAD), and we to it.
 * Ownership. The object owns its descriptor. Threads. One at a time; other threads may use the descriptor.
 */
#pragma once

#include <string>

#include "fd.h"

namespace wdp {

class TapQueue {
 public:
  /** Opens a queue of the device `name` (at most 15 bytes; `%d` in it is replaced by a number), one of several if `isMany`. 0 or -errno. */
  int Open(const std::string& name, bool isMany);
  void Close() { fd_.Reset(); }

  int fd() const { return fd_.get(); }
  const std::string& name() const { return name_; }
  const char* operation() const { return operation_; }

 private:
  int Configure(const std::string& name, bool isMany);

  Fd fd_;
  std::string name_;
  const char* operation_ = "";
};

}  // namespace wdp
