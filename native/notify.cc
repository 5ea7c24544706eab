/*
 * One datagram to a socket of the file system or the abstract name space, which Node has no means to send: what a service tells systemd (sd_notify(3)).
 * Any thread; nothing is kept.
 */
#include <sys/socket.h>
#include <sys/un.h>

#include <cerrno>
#include <cstddef>
#include <cstring>
#include <string>

#include "addon.h"

namespace wdp {
namespace {

int Send(const std::string& path, const std::string& text) {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() > sizeof(address.sun_path)) return -EINVAL;
  std::memcpy(address.sun_path, path.data(), path.size());
  if (path[0] == '@') address.sun_path[0] = '\0';
  const Fd fd(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!fd.valid()) return -errno;
  const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size());
  const auto* const to = reinterpret_cast<const sockaddr*>(&address);
  return sendto(fd.get(), text.data(), text.size(), MSG_NOSIGNAL, to, size) < 0 ? -errno : 0;
}

}  // namespace

Napi::Value Notify(const Napi::CallbackInfo& info) {
  if (info.Length() < 2 || !info[0].IsString() || !info[1].IsString()) {
    Napi::TypeError::New(info.Env(), "notify: path and text must be strings").ThrowAsJavaScriptException();
    return info.Env().Undefined();
  }
  const std::string path = info[0].As<Napi::String>().Utf8Value();
  const std::string text = info[1].As<Napi::String>().Utf8Value();
  return Napi::Number::New(info.Env(), Send(path, text));
}

}  // namespace wdp
