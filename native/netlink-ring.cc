/*
 * Memory-mapped rings: frames of struct nl_mmap_hdr that a consumer reads without a system call. Before it: the kernel, which fills them
 * itself where it still can (Linux 3.10 to 4.5); elsewhere FillRing does, frame by frame as the kernel did. After it: whoever reads the ring.
 *
 * Ownership. A frame belongs to the shim while it is UNUSED and to the consumer while it is VALID or COPY; the store that hands it over
 *   releases what was written before.
 * Threads. One producer (that of the Socket) and one consumer, which may be another thread.
 */
#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "netlink-socket.h"

namespace wdp {
namespace {

nl_mmap_hdr* HeaderOf(uint8_t* frame) { return reinterpret_cast<nl_mmap_hdr*>(frame); }

bool IsUnused(uint8_t* frame) {
  return __atomic_load_n(&HeaderOf(frame)->nm_status, __ATOMIC_ACQUIRE) == NL_MMAP_STATUS_UNUSED;
}

}  // namespace

int Socket::FillRing(const Frames& frames, uint32_t start, uint32_t count, Scratch* scratch) {
  if (closed()) return -EBADF;
  if (IsCancelled()) return -ECANCELED;
  const int error = scratch->Reserve();
  if (error < 0) return error;
  const size_t room = frames.frameSize - NL_MMAP_HDRLEN;
  const auto frameAt = [&](uint32_t i) { return frames.begin + (start + i) % frames.frameCount * frames.frameSize; };
  const int wanted = static_cast<int>(std::min({count, frames.frameCount, static_cast<uint32_t>(kReceiveMax)}));
  int usable = 0;
  while (usable < wanted && IsUnused(frameAt(usable))) {
    scratch->vector().Aim(usable, frameAt(usable) + NL_MMAP_HDRLEN, room, scratch->Tail(usable), Scratch::kTailSize);
    usable++;
  }
  if (usable == 0) return 0;
  const int received = TryReceive(&scratch->vector(), usable);
  for (int i = 0; i < received; i++) PublishFrame(frameAt(i), room, scratch, i);
  return received;
}

/** Describes the datagram in its frame; what the frame is too small for waits, whole, for the next Receive. */
void Socket::PublishFrame(uint8_t* frame, size_t room, Scratch* scratch, int i) {
  nl_mmap_hdr* const header = HeaderOf(frame);
  const Origin origin = scratch->vector().OriginOf(i);
  const size_t size = scratch->vector().Size(i);
  header->nm_len = static_cast<uint32_t>(size);
  header->nm_group = origin.group;
  header->nm_pid = static_cast<uint32_t>(origin.pid);
  header->nm_uid = static_cast<uint32_t>(origin.uid);
  header->nm_gid = static_cast<uint32_t>(origin.gid);
  const bool fits = size <= room;
  if (!fits) {
    const uint8_t* const head = frame + NL_MMAP_HDRLEN;
    const uint8_t* const tail = scratch->Tail(i);
    Stashed datagram = {origin, size, {head, head + room}};
    datagram.bytes.insert(datagram.bytes.end(), tail, tail + std::min(size - room, Scratch::kTailSize));
    stash_.push_back(std::move(datagram));
  }
  __atomic_store_n(&header->nm_status, fits ? NL_MMAP_STATUS_VALID : NL_MMAP_STATUS_COPY, __ATOMIC_RELEASE);
}

int Socket::MapRing(int option, void* address, const nl_mmap_req& request) {
  if (closed()) return -EBADF;
  if (ring_ != nullptr) return -EBUSY;
  if (setsockopt(fd(), SOL_NETLINK, option, &request, sizeof(request)) < 0) return -errno;
  const size_t size = static_cast<size_t>(request.nm_block_size) * request.nm_block_nr;
  if (mmap(address, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd(), 0) == MAP_FAILED) {
    const int error = errno;
    const nl_mmap_req none = {};
    setsockopt(fd(), SOL_NETLINK, option, &none, sizeof(none));
    return -error;
  }
  ring_ = address;
  ringSize_ = size;
  return 0;
}

void Socket::UnmapRing() {
  if (ring_ == nullptr) return;
  mmap(ring_, ringSize_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
  ring_ = nullptr;
}

}  // namespace wdp
