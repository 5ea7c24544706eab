/*
 * Effective capabilities of the calling thread, by capget(2). glibc has no wrapper for it, so it is called by number.
 */
#include <linux/capability.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "addon.h"

namespace wdp {
namespace {

struct Name {
  const char* name;
  unsigned bit;
};

constexpr unsigned kCapBpf = 39;  // CAP_BPF, Linux 5.8: older headers lack the name

constexpr Name kNames[] = {
    {"netAdmin", CAP_NET_ADMIN}, {"netRaw", CAP_NET_RAW},   {"ipcLock", CAP_IPC_LOCK},
    {"sysAdmin", CAP_SYS_ADMIN}, {"sysNice", CAP_SYS_NICE}, {"bpf", kCapBpf},
};

}  // namespace

Napi::Value Capabilities(const Napi::CallbackInfo& info) {
  __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {};
  const bool known = syscall(SYS_capget, &header, data) == 0;
  Napi::Object result = Napi::Object::New(info.Env());
  for (const Name& entry : kNames) {
    const bool effective = known && (data[entry.bit / 32].effective >> (entry.bit % 32) & 1) != 0;
    result.Set(entry.name, effective);
  }
  return result;
}

}  // namespace wdp
