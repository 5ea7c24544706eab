/*
 * The system calls of a thread that polls. pump.h has the rules.
 */
#include "pump.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <ctime>

#include "io-layout.h"

namespace wdp {
namespace {

using namespace layout;

/** Where the shim puts a frame that it receives itself: behind the header, with headroom. */
constexpr uint32_t kFillMac = 192;

/** The frames that a device refuses while it is down (EIO) or detached (EBADFD) are told as those of a socket. */
int TellTap(int error) { return error == EIO || error == EBADFD ? ENETDOWN : error; }

/** With this answer the frames behind it would be refused too. */
bool IsFinal(int error) {
  return error == EAGAIN || error == ENETDOWN || error == ENXIO || error == ENODEV || error == EBADF || error == ENOTSOCK;
}

uint32_t& WordOf(uint32_t* words, uint32_t offset) { return words[offset / 4]; }

}  // namespace

Pump::Pump(uint8_t* memory, size_t size) : memory_(memory), size_(size) {
  std::memset(messages_, 0, sizeof(messages_));
  for (uint32_t i = 0; i < kBatch; i++) {
    messages_[i].msg_hdr.msg_iov = &vectors_[i];
    messages_[i].msg_hdr.msg_iovlen = 1;
  }
}

uint32_t* Pump::WordsAt(uint32_t address, size_t size) {
  if (address % 4 != 0 || size > size_ || address > size_ - size) return nullptr;
  return reinterpret_cast<uint32_t*>(memory_ + address);
}

uint32_t Pump::Kick(uint32_t list, uint32_t count) {
  uint32_t* const queues = WordsAt(list, static_cast<size_t>(count) * 4);
  if (queues == nullptr) return 0;
  uint32_t refused = 0;
  // first what goes out: it may lie in buffers that are received into afterwards; and plain frames before those that had to take the other way
  for (uint32_t i = 0; i < count; i++) SendXdp(queues[i]);
  for (uint32_t i = 0; i < count; i++) refused += Send(queues[i]);
  for (uint32_t i = 0; i < count; i++) Receive(queues[i]);
  return refused;
}

// ------------------------------------------------------------------------------------------------ send

uint32_t Pump::Send(uint32_t queue) {
  uint32_t* const words = WordsAt(queue, TXQ_SIZEOF);
  if (words == nullptr) return 0;
  const uint32_t kind = WordOf(words, QUEUE_KIND);
  if (kind != QUEUE_KIND_PACKET_TX && kind != QUEUE_KIND_TAP_TX) return 0;
  const uint32_t n = std::min(WordOf(words, TXQ_COUNT), TXQ_ENTRIES_MAX);
  const int fd = static_cast<int>(WordOf(words, QUEUE_FD));
  const auto entryAt = [&](uint32_t i) { return &words[(TXQ_ENTRIES + i * TXQ_ENTRY_SIZEOF) / 4]; };
  // what a worker that died had kicked and not settled is not sent twice
  uint32_t refused = WordOf(words, TXQ_REFUSED);
  uint32_t done = std::min(WordOf(words, TXQ_KICKED), n);
  bool hasRetried = false;
  while (done < n) {
    const uint32_t aimed = AimSend(entryAt(done), std::min(n - done, kBatch));
    const int sent = aimed == 0 ? -1 : kind == QUEUE_KIND_TAP_TX ? WriteMany(fd, aimed) : sendmmsg(fd, messages_, aimed, MSG_DONTWAIT);
    if (sent > 0) {
      done += static_cast<uint32_t>(sent);
      continue;
    }
    const int error = aimed == 0 ? EFAULT : errno;
    if (error == EINTR) continue;
    // an interface that was down and came up again leaves its error in the socket: the question takes it away
    if (error == ENETDOWN && !hasRetried) {
      hasRetried = true;
      continue;
    }
    const uint32_t last = IsFinal(error) ? n : done + 1;
    for (; done < last; done++, refused++) entryAt(done)[TXQ_ENTRY_ERRNO / 4] = static_cast<uint32_t>(error);
  }
  WordOf(words, TXQ_KICKED) = n;
  WordOf(words, TXQ_REFUSED) = refused;
  return refused;
}

/** Aims the messages at frames, up to the first that is not in the memory. */
uint32_t Pump::AimSend(const uint32_t* entries, uint32_t count) {
  for (uint32_t i = 0; i < count; i++, entries += TXQ_ENTRY_SIZEOF / 4) {
    const uint32_t address = entries[TXQ_ENTRY_ADDRESS / 4];
    const uint32_t size = entries[TXQ_ENTRY_SIZE / 4];
    if (size > size_ || address > size_ - size) return i;
    vectors_[i] = {memory_ + address, size};
    messages_[i].msg_hdr.msg_control = nullptr;
    messages_[i].msg_hdr.msg_controllen = 0;
  }
  return count;
}

/**
 * Publishes what was written into the transmit ring, and has the kernel send it. A call sends as many as the kernel's budget allows; without progress
 * the rest waits for the next kick. For an interface that is down the publication is taken back, which the kernel has not seen: XTQ_ERRNO.
 */
void Pump::SendXdp(uint32_t queue) {
  uint32_t* const words = WordsAt(queue, XTQ_SIZEOF);
  if (words == nullptr || WordOf(words, QUEUE_KIND) != QUEUE_KIND_XDP_TX) return;
  const uint32_t* const xsk = WordsAt(WordOf(words, XTQ_SOCKET), XSK_SIZEOF);
  if (xsk == nullptr) return;
  const uint32_t* const ring = xsk + XSK_RING_TX / 4;
  uint32_t* const producer = WordsAt(ring[XRING_PRODUCER / 4], 4);
  const uint32_t* const consumer = WordsAt(ring[XRING_CONSUMER / 4], 4);
  const uint32_t* const flags = WordsAt(ring[XRING_FLAGS / 4], 4);
  if (producer == nullptr || consumer == nullptr || flags == nullptr) return;
  const uint32_t before = *producer;
  const uint32_t position = ring[XRING_POSITION / 4];
  uint32_t sent = __atomic_load_n(consumer, __ATOMIC_ACQUIRE);
  const bool isFresh = sent == before;
  __atomic_store_n(producer, position, __ATOMIC_RELEASE);
  while (sent != position && (__atomic_load_n(flags, __ATOMIC_ACQUIRE) & XDP_RING_NEED_WAKEUP_FLAG) != 0) {
    const int error = sendto(static_cast<int>(WordOf(words, QUEUE_FD)), nullptr, 0, MSG_DONTWAIT, nullptr, 0) < 0 ? errno : 0;
    if (isFresh && (error == ENETDOWN || error == ENXIO)) {
      *producer = before;
      WordOf(words, XTQ_ERRNO) = static_cast<uint32_t>(error);
      return;
    }
    const uint32_t now = __atomic_load_n(consumer, __ATOMIC_ACQUIRE);
    if (now == sent) return;
    sent = now;
  }
}

/** Wakes the kernel when it waits for free frames to receive into. */
void Pump::WakeXdp(const uint32_t* xsk) {
  const uint32_t* const flags = WordsAt(xsk[(XSK_RING_FILL + XRING_FLAGS) / 4], 4);
  if (flags == nullptr || (__atomic_load_n(flags, __ATOMIC_ACQUIRE) & XDP_RING_NEED_WAKEUP_FLAG) == 0) return;
  recvfrom(static_cast<int>(xsk[QUEUE_FD / 4]), nullptr, 0, MSG_DONTWAIT, nullptr, nullptr);
}

/** Writes frames to a TAP device. Returns how many, or -1 when not even the first. */
int Pump::WriteMany(int fd, uint32_t count) {
  for (uint32_t i = 0; i < count; i++) {
    if (write(fd, vectors_[i].iov_base, vectors_[i].iov_len) >= 0) continue;
    if (i > 0) return static_cast<int>(i);
    errno = TellTap(errno);
    return -1;
  }
  return static_cast<int>(count);
}

// ------------------------------------------------------------------------------------------------ receive

void Pump::Receive(uint32_t queue) {
  uint32_t* const words = WordsAt(queue, RXQ_SIZEOF);
  if (words == nullptr) return;
  const uint32_t kind = WordOf(words, QUEUE_KIND);
  if (kind == QUEUE_KIND_XDP_RX && WordsAt(queue, XSK_SIZEOF) != nullptr) return WakeXdp(words);
  if (kind != QUEUE_KIND_PACKET_RX && kind != QUEUE_KIND_TAP_RX) return;
  if (WordOf(words, RXQ_FETCH_WANTED) != 0) Fetch(words);
  if ((WordOf(words, RXQ_FLAGS) & RXQ_FLAG_COPYING) != 0) Fill(words);
}

void Pump::AimReceive(uint32_t index, uint8_t* data, size_t size) {
  vectors_[index] = {data, size};
  messages_[index].msg_hdr.msg_control = control_[index];
  messages_[index].msg_hdr.msg_controllen = sizeof(control_[index]);
}

/** Receives the frames that were too long for the ring. One that does not come has size 0. */
void Pump::Fetch(uint32_t* words) {
  const uint32_t wanted = std::min(WordOf(words, RXQ_FETCH_WANTED), RXQ_FETCH_MAX);
  const uint32_t buffers = WordOf(words, RXQ_FETCH_BUFFERS);
  uint8_t* const room = reinterpret_cast<uint8_t*>(WordsAt(buffers, RXQ_FETCH_MAX * RXQ_FETCH_STRIDE));
  constexpr uint32_t kBegin = RXQ_FETCH_FRAME - VNET_SIZEOF;
  int received = 0;
  if (room != nullptr) {
    for (uint32_t i = 0; i < wanted; i++) AimReceive(i, room + i * RXQ_FETCH_STRIDE + kBegin, RXQ_FETCH_STRIDE - kBegin);
    received = recvmmsg(static_cast<int>(WordOf(words, QUEUE_FD)), messages_, wanted, MSG_DONTWAIT | MSG_TRUNC, nullptr);
  }
  for (uint32_t i = 0; i < wanted; i++) {
    const bool isThere = static_cast<int>(i) < received && messages_[i].msg_len >= VNET_SIZEOF;
    WordOf(words, RXQ_FETCH_SIZES + i * 4) = isThere ? messages_[i].msg_len - VNET_SIZEOF : 0;
  }
  WordOf(words, RXQ_FETCHED) = wanted;
  WordOf(words, RXQ_FETCH_WANTED) = 0;
}

/** Receives into the frames of a ring that is no kernel's, as the kernel would. */
void Pump::Fill(uint32_t* words) {
  const uint32_t ring = WordOf(words, RXQ_RING);
  const uint32_t end = WordOf(words, RXQ_RING_END);
  const uint32_t frameSize = WordOf(words, RXQ_FRAME_SIZE);
  uint32_t fill = WordOf(words, RXQ_FILL);
  if (end < ring || WordsAt(ring, end - ring) == nullptr || frameSize <= kFillMac || end - ring < frameSize) return;
  uint8_t* frames[kBatch];
  uint32_t usable = 0;
  for (; usable < kBatch; usable++) {
    if (fill < ring || fill % 4 != 0 || fill > end - frameSize) fill = ring;
    uint8_t* const frame = memory_ + fill;
    if (__atomic_load_n(reinterpret_cast<uint32_t*>(frame), __ATOMIC_ACQUIRE) != TP_STATUS_KERNEL) break;
    AimReceive(usable, frame + kFillMac - VNET_SIZEOF, frameSize - kFillMac + VNET_SIZEOF);
    frames[usable] = frame;
    fill += frameSize;
  }
  if (usable == 0) return;
  const int fd = static_cast<int>(WordOf(words, QUEUE_FD));
  const bool isTap = WordOf(words, QUEUE_KIND) == QUEUE_KIND_TAP_RX;
  const int received = isTap ? ReadMany(fd, usable) : recvmmsg(fd, messages_, usable, MSG_DONTWAIT | MSG_TRUNC, nullptr);
  // a TAP device that was removed: its descriptor would be ready for ever
  if (received < 0 && errno == EBADFD) WordOf(words, RXQ_ERRNO) = EBADFD;
  if (received <= 0) return;
  timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  for (int i = 0; i < received; i++) Publish(frames[i], static_cast<uint32_t>(i), now);
  WordOf(words, RXQ_FILL) = static_cast<uint32_t>(frames[received - 1] - memory_) + frameSize;
}

/** Reads frames from a TAP device. Returns how many, or -1 when not even the first. */
int Pump::ReadMany(int fd, uint32_t count) {
  for (uint32_t i = 0; i < count; i++) {
    const ssize_t size = read(fd, vectors_[i].iov_base, vectors_[i].iov_len);
    if (size < 0) return i > 0 ? static_cast<int>(i) : -1;
    messages_[i].msg_len = static_cast<unsigned>(size);
    messages_[i].msg_hdr.msg_controllen = 0;
  }
  return static_cast<int>(count);
}

/** Writes the header of a frame that was received; the status comes last. */
void Pump::Publish(uint8_t* frame, uint32_t index, const timespec& now) {
  const uint32_t length = messages_[index].msg_len < VNET_SIZEOF ? 0 : messages_[index].msg_len - VNET_SIZEOF;
  auto* const header = reinterpret_cast<tpacket2_hdr*>(frame);
  tpacket_auxdata aux = {};
  for (cmsghdr* c = CMSG_FIRSTHDR(&messages_[index].msg_hdr); c != nullptr; c = CMSG_NXTHDR(&messages_[index].msg_hdr, c)) {
    if (c->cmsg_level == SOL_PACKET && c->cmsg_type == PACKET_AUXDATA) std::memcpy(&aux, CMSG_DATA(c), sizeof(aux));
  }
  header->tp_len = length;
  header->tp_snaplen = std::min<uint32_t>(length, static_cast<uint32_t>(vectors_[index].iov_len) - VNET_SIZEOF);
  header->tp_mac = kFillMac;
  header->tp_net = kFillMac;
  header->tp_sec = static_cast<uint32_t>(now.tv_sec);
  header->tp_nsec = static_cast<uint32_t>(now.tv_nsec);
  header->tp_vlan_tci = aux.tp_vlan_tci;
  header->tp_vlan_tpid = aux.tp_vlan_tpid;
  const uint32_t tag = aux.tp_status & (TP_STATUS_VLAN_VALID | TP_STATUS_VLAN_TPID_VALID);
  __atomic_store_n(&header->tp_status, TP_STATUS_USER | tag, __ATOMIC_RELEASE);
}

// ------------------------------------------------------------------------------------------------ sleep

int Pump::Sleep(uint32_t set, uint32_t count, int64_t timeoutUs) {
  auto* const fds = reinterpret_cast<pollfd*>(WordsAt(set, static_cast<size_t>(count) * sizeof(pollfd)));
  if (fds == nullptr) return -EFAULT;
  const timespec timeout = {timeoutUs / 1000000, timeoutUs % 1000000 * 1000};
  const int ready = ppoll(fds, count, &timeout, nullptr);
  if (ready <= 0) return ready < 0 ? -errno : 0;
  uint64_t events;
  if ((fds[0].revents & POLLIN) != 0 && read(fds[0].fd, &events, sizeof(events)) < 0 && errno != EAGAIN) return -errno;
  for (uint32_t i = 1; i < count; i++) {
    // an interface that went down leaves an error in its socket, which would be news for ever: the question takes it away
    int error;
    socklen_t size = sizeof(error);
    if ((fds[i].revents & POLLERR) != 0) getsockopt(fds[i].fd, SOL_SOCKET, SO_ERROR, &error, &size);
  }
  return ready;
}

int Pump::OpenCounter() {
  const int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  return fd < 0 ? -errno : fd;
}

int Pump::AwaitCounter(int fd, int timeoutMs) {
  pollfd one = {fd, POLLIN, 0};
  const int ready = poll(&one, 1, timeoutMs);
  if (ready <= 0) return ready < 0 ? -errno : 0;
  uint64_t events;
  // EAGAIN: another thread that waits for it was faster
  return read(fd, &events, sizeof(events)) < 0 && errno != EAGAIN ? -errno : 1;
}

int Pump::Wake(int fd) {
  const uint64_t one = 1;
  // EAGAIN: the counter is as high as it goes, so somebody is awake already
  return write(fd, &one, sizeof(one)) < 0 && errno != EAGAIN ? -errno : 0;
}

}  // namespace wdp
