/*
 * HotFlows: what XDP programs look through before a frame goes to a socket. A BPF array of one value, pairs of entries and behind them records, that is mapped
 * into the datapath's memory, where assembly/io/hot-flows.ts writes it; and a DEVMAP, port number -> interface.
 * EmitHotLookup is the part of a port's program that reads them.
 *
 * Ownership. The object owns both maps and the mapping; programs keep the maps themselves. Threads. One at a time.
 */
#pragma once

#include <cstddef>
#include <cstdint>

#include "bpf.h"
#include "fd.h"

namespace wdp {

/** What a program of a port has to know. */
struct HotOptions {
  int values = -1;
  int devices = -1;
  uint32_t pairBits = 0;
  uint32_t recordCount = 0;
  uint32_t portNo = 0;
  /** Checksums may be still to be made: such frames go to the socket. */
  bool isSoft = false;
  uint64_t factors[6] = {};
};

class HotFlows {
 public:
  ~HotFlows() { Close(); }

  /** Makes both maps, for ports below `portCount`, and maps the array over `size` bytes at `place`. 0 or -errno, then `operation` was refused. */
  int Open(uint8_t* place, size_t size, uint32_t portCount);
  /** Frames for the port go out by this interface. 0 or -errno. */
  int SetDevice(uint32_t portNo, uint32_t ifindex);
  /** Frames for the port go out by none. */
  void ClearDevice(uint32_t portNo);
  /** Puts ordinary memory where the array was. */
  void Close();

  int values() const { return values_.get(); }
  int devices() const { return devices_.get(); }
  const char* operation() const { return operation_; }

 private:
  Fd values_;
  Fd devices_;
  uint8_t* place_ = nullptr;
  size_t size_ = 0;
  const char* operation_ = "";
};

/**
 * Emits: if the frame of the context in r1 and r6 is one of a hot flow, sends it where that goes, counts it and returns XDP_REDIRECT; else goes to `pass`, with r6 as
 * it was.
 */
void EmitHotLookup(BpfCode* code, const HotOptions& options, BpfCode::Label* pass);

}  // namespace wdp
