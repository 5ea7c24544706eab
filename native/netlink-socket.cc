/*
 * The life of a Netlink socket: opened, configured, shared, sent to, waited on, closed. netlink-socket.h has the rules.
 */
#include "netlink-socket.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>

namespace wdp {
namespace {

constexpr int64_t kNsPerMs = 1000000;
constexpr int64_t kNsPerS = 1000000000;
/** How soon a blocked thread notices that it is being terminated. */
constexpr int64_t kSliceNs = 100 * kNsPerMs;
/** The kernel never says when the receiver of a datagram has room again (POLLOUT is always there), so a full one is asked again. */
constexpr int64_t kSendPauseMinNs = 20000;
constexpr int64_t kSendPauseMaxNs = kNsPerMs;
/** netlink_sendmsg refuses what is longer than the send buffer less this. */
constexpr int kSendBufferReserve = 32;

int64_t NowNs() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * kNsPerS + now.tv_nsec;
}

int GetOption(int fd, int option) {
  int value = 0;
  socklen_t size = sizeof(value);
  return getsockopt(fd, SOL_SOCKET, option, &value, &size) == 0 ? value : -errno;
}

sockaddr_nl Address(uint32_t portId, uint32_t groups = 0) {
  sockaddr_nl address = {};
  address.nl_family = AF_NETLINK;
  address.nl_pid = portId;
  address.nl_groups = groups;
  return address;
}

/** An event counter has no file type; anything that Close should not write to has one. */
bool MayBeEventCounter(int fd) {
  struct stat status;
  return fstat(fd, &status) == 0 && (status.st_mode & S_IFMT) == 0;
}

}  // namespace

Deadline::Deadline(double timeoutMs, Question isWanted, void* context)
    : isWanted_(isWanted),
      context_(context),
      forever_(timeoutMs < 0),
      endNs_(timeoutMs > 0 ? NowNs() + static_cast<int64_t>(timeoutMs * kNsPerMs) : 0) {}

bool Deadline::Expired() const { return !forever_ && (endNs_ == 0 || NowNs() >= endNs_); }

timespec Deadline::Slice(int64_t limitNs) const {
  int64_t ns = limitNs;
  if (!forever_) ns = endNs_ == 0 ? 0 : std::clamp<int64_t>(endNs_ - NowNs(), 0, limitNs);
  return {ns / kNsPerS, ns % kNsPerS};
}

int Socket::Open(const Options& options) {
  fd_.Reset(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, options.protocol));
  if (!fd_.valid()) return -errno;
  const int error = Configure(options);
  if (error < 0) fd_.Reset();
  return error;
}

int Socket::Configure(const Options& options) {
  protocol_ = options.protocol;
  peer_ = options.peer;
  const int error = SetReceiveBuffer(options.receiveBufferSize);
  if (error < 0) return error;
  const sockaddr_nl own = Address(options.portId);
  if (bind(fd(), reinterpret_cast<const sockaddr*>(&own), sizeof(own)) < 0) return -errno;
  if (peer_ != kNotConnected) {
    const sockaddr_nl peer = Address(static_cast<uint32_t>(peer_));
    if (connect(fd(), reinterpret_cast<const sockaddr*>(&peer), sizeof(peer)) < 0) return -errno;
  }
  return ReadBack();
}

/** Learns what the kernel made of it: own port id and the sizes of the buffers. */
int Socket::ReadBack() {
  sockaddr_nl own = {};
  socklen_t size = sizeof(own);
  if (getsockname(fd(), reinterpret_cast<sockaddr*>(&own), &size) < 0) return -errno;
  portId_ = own.nl_pid;
  const int receiveSize = GetOption(fd(), SO_RCVBUF);
  const int sendSize = GetOption(fd(), SO_SNDBUF);
  if (receiveSize < 0 || sendSize < 0) return std::min(receiveSize, sendSize);
  receiveBufferSize_ = receiveSize;
  sendSizeMax_ = sendSize - kSendBufferReserve;
  return 0;
}

int Socket::Adopt(const Handle& handle) {
  const int domain = GetOption(handle.fd, SO_DOMAIN);
  if (domain < 0) return domain;
  if (domain != AF_NETLINK || GetOption(handle.fd, SO_PROTOCOL) != handle.protocol) return -EINVAL;
  if (!MayBeEventCounter(handle.wakeFd)) return -EINVAL;
  fd_.Reset(handle.fd);
  wake_.Reset(handle.wakeFd);
  protocol_ = handle.protocol;
  peer_ = handle.peer;
  hearsOthers_ = true;
  const int error = ReadBack();
  if (error < 0) {
    fd_.Release();
    wake_.Release();
  }
  return error;
}

int Socket::Share(Handle* handle) {
  if (closed()) return -EBADF;
  if (!wake_.valid()) wake_.Reset(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!wake_.valid()) return -errno;
  Fd fd(fcntl(fd_.get(), F_DUPFD_CLOEXEC, 0));
  if (!fd.valid()) return -errno;
  Fd wake(fcntl(wake_.get(), F_DUPFD_CLOEXEC, 0));
  if (!wake.valid()) return -errno;
  hearsOthers_ = true;
  *handle = {fd.Release(), wake.Release(), protocol_, portId_, peer_};
  return 0;
}

void Socket::Close(bool wake) {
  if (closed()) return;
  UnmapRing();
  if (wake && wake_.valid()) eventfd_write(wake_.get(), 1);
  fd_.Reset();
  wake_.Reset();
  stash_.clear();
}

int Socket::SetOption(int level, int option, int value) {
  if (closed()) return -EBADF;
  if (level == SOL_NETLINK && option == NETLINK_ADD_MEMBERSHIP) {
    // Only who joins groups is told with each datagram which it was: others need not pay for the copy.
    const int error = SetOption(SOL_NETLINK, NETLINK_PKTINFO, 1);
    if (error < 0) return error;
    hearsOthers_ = true;
  }
  return setsockopt(fd(), level, option, &value, sizeof(value)) == 0 ? 0 : -errno;
}

int Socket::SetReceiveBuffer(int size) {
  int error = SetOption(SOL_SOCKET, SO_RCVBUFFORCE, size);
  if (error == -EPERM) error = SetOption(SOL_SOCKET, SO_RCVBUF, size);
  if (error < 0) return error;
  const int granted = GetOption(fd(), SO_RCVBUF);
  if (granted >= 0) receiveBufferSize_ = granted;
  return granted;
}

uint32_t Socket::NextSequence(uint32_t count) {
  if (count > kSequenceEnd - nextSequence_) nextSequence_ = 1;
  return nextSequence_;
}

int Socket::TrySend(const void* bytes, size_t size, const sockaddr_nl* to) {
  const auto* address = reinterpret_cast<const sockaddr*>(to);
  ssize_t sent;
  do {
    sent = sendto(fd(), bytes, size, MSG_DONTWAIT, address, to != nullptr ? sizeof(*to) : 0);
  } while (sent < 0 && errno == EINTR);
  // What goes to groups also goes to the port id, 0 the kernel, and a protocol without a kernel side refuses that copy alone.
  const bool groupsHaveIt = sent < 0 && errno == ECONNREFUSED && to != nullptr && to->nl_groups != 0 && to->nl_pid == 0;
  if (sent < 0 && !groupsHaveIt) return -errno;
  statistics_.sent++;
  return 0;
}

int Socket::Send(const void* bytes, size_t size, const sockaddr_nl* to, const Deadline& deadline) {
  if (closed()) return -EBADF;
  for (int64_t pauseNs = kSendPauseMinNs;; pauseNs = std::min(2 * pauseNs, kSendPauseMaxNs)) {
    const int error = TrySend(bytes, size, to);
    if (error != -EAGAIN && error != -ENOBUFS) return error;
    const int slept = Pause(pauseNs, deadline);
    if (slept <= 0) return slept < 0 ? slept : error;
  }
}

int Socket::Pause(int64_t pauseNs, const Deadline& deadline) {
  if (deadline.Expired()) return 0;
  pollfd wake = {wakeFd(), POLLIN, 0};
  const timespec slice = deadline.Slice(pauseNs);
  const int count = ppoll(&wake, 1, &slice, nullptr);
  if (count > 0 || !deadline.IsWanted()) return -ECANCELED;
  return 1;
}

bool Socket::IsCancelled() const {
  if (!wake_.valid()) return false;
  pollfd wake = {wakeFd(), POLLIN, 0};
  return poll(&wake, 1, 0) > 0;
}

int Socket::Wait(const Deadline& deadline) {
  if (closed()) return -EBADF;
  for (;;) {
    pollfd fds[2] = {{fd(), POLLIN, 0}, {wakeFd(), POLLIN, 0}};
    const timespec slice = stash_.empty() ? deadline.Slice(kSliceNs) : timespec{};
    const int count = ppoll(fds, wake_.valid() ? 2 : 1, &slice, nullptr);
    if (count < 0 && errno != EINTR) return -errno;
    if (count > 0 && fds[1].revents != 0) return -ECANCELED;
    if (count > 0 || !stash_.empty()) return 1;
    if (deadline.Expired()) return 0;
    if (!deadline.IsWanted()) return -ECANCELED;
  }
}

}  // namespace wdp
