/*
 * PacketSocket: an AF_PACKET socket on one interface, with its receive ring mapped over memory that the caller names. Before it: the host,
 * which set that memory aside. After it: assembly/io/afpacket.ts drives the ring, native/pump.cc sends.
 *
 * Concepts. TPACKET_V2, because it hands over frame by frame; every frame has a struct virtio_net_hdr in front of it; frames that are longer
 * than the ring's are queued whole; what goes out of the interface, ourselves included, is not received.
 * Ownership. The object owns the descriptor and what is mapped; closing puts ordinary memory back where the ring was. The caller closes only
 * when no thread looks at the ring any more.
 * Threads. One at a time; other threads may use the descriptor.
 */
#pragma once

#include <cstddef>
#include <cstdint>

#include "fd.h"

namespace wdp {

struct PacketOptions {
  int ifindex = 0;
  /** False: the socket only sends. */
  bool receives = true;
  /** Bytes between the header of a frame and what the kernel puts there: more headroom. */
  int reserve = 0;
  bool promiscuous = false;
  /** PACKET_FANOUT: id of the group and PACKET_FANOUT_* of how packets are spread; -1 none. */
  int fanoutGroup = -1;
  int fanoutMode = 0;
  int receiveBufferSize = 0;
  int sendBufferSize = 0;
  /** The ring; no blocks: none, packets wait in the socket. */
  uint32_t blockSize = 0;
  uint32_t blockCount = 0;
  uint32_t frameSize = 0;
};

struct PacketCounts {
  uint64_t packets = 0;
  /** Lost by the kernel, because the ring or the socket was full. */
  uint64_t drops = 0;
};

class PacketSocket {
 public:
  PacketSocket() = default;
  ~PacketSocket() { Close(); }
  PacketSocket(const PacketSocket&) = delete;
  PacketSocket& operator=(const PacketSocket&) = delete;

  /** Opens and begins to receive, with the ring at `address` (page-aligned) if there is to be one. 0 or -errno, then `operation` was refused. */
  int Open(const PacketOptions& options, void* address);
  /** Counts since it was opened. */
  PacketCounts Counts();
  void Close();

  /** Id of its fanout group, or -errno. */
  int FanoutGroup() const;

  int fd() const { return fd_.get(); }
  const char* operation() const { return operation_; }

 private:
  int Configure(const PacketOptions& options);
  int Set(int option, const char* name, const void* value, size_t size);
  int MapRing(const PacketOptions& options, void* address);
  int Bind(const PacketOptions& options);

  Fd fd_;
  void* ring_ = nullptr;
  size_t ringSize_ = 0;
  PacketCounts counts_;
  const char* operation_ = "";
};

}  // namespace wdp
