/*
 * TAP devices. tap.h has the rules.
 */
#include "tap.h"

#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <sys/ioctl.h>

#include <cerrno>
#include <cstring>

#include "io-layout.h"

namespace wdp {
namespace {

constexpr unsigned kOffloads = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN;
constexpr unsigned kUso = 0x20 | 0x40;  // TUN_F_USO4 and TUN_F_USO6, Linux 6.2: older headers lack the names

}  // namespace

int TapQueue::Open(const std::string& name, bool isMany) {
  operation_ = "/dev/net/tun";
  fd_.Reset(open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC));
  if (!fd_.valid()) return -errno;
  const int error = Configure(name, isMany);
  if (error < 0) Close();
  return error;
}

int TapQueue::Configure(const std::string& name, bool isMany) {
  operation_ = "TUNSETIFF";
  ifreq request = {};
  if (name.size() >= sizeof(request.ifr_name)) return -ENAMETOOLONG;
  std::memcpy(request.ifr_name, name.data(), name.size());
  request.ifr_flags = static_cast<short>(IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | (isMany ? IFF_MULTI_QUEUE : 0));
  if (ioctl(fd_.get(), TUNSETIFF, &request) < 0) return -errno;
  name_ = request.ifr_name;
  operation_ = "TUNSETVNETHDRSZ";
  int size = layout::VNET_SIZEOF;
  if (ioctl(fd_.get(), TUNSETVNETHDRSZ, &size) < 0) return -errno;
  operation_ = "TUNSETOFFLOAD";
  if (ioctl(fd_.get(), TUNSETOFFLOAD, kOffloads | kUso) < 0 && ioctl(fd_.get(), TUNSETOFFLOAD, kOffloads) < 0) return -errno;
  return 0;
}

}  // namespace wdp
