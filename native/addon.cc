/*
 * The addon's names, given to JavaScript when a thread loads it. addon.h says what each one does.
 */
#include "addon.h"

#include <unistd.h>

namespace wdp {

Fd::~Fd() {
  if (fd_ >= 0) close(fd_);
}

static Napi::Object Init(Napi::Env env, Napi::Object exports) {
  exports.Set("setAffinity", Napi::Function::New(env, SetAffinity, "setAffinity"));
  exports.Set("capabilities", Napi::Function::New(env, Capabilities, "capabilities"));
  exports.Set("probe", Napi::Function::New(env, Probe, "probe"));
  return exports;
}

NODE_API_MODULE(wdp_native, Init)

}  // namespace wdp
