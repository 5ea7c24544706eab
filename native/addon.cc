/*
 * The addon's names, given to JavaScript when a thread loads it. addon.h says what each one does.
 */
#include "addon.h"
#include "io-object.h"
#include "lifeline.h"
#include "netlink-object.h"
#include "poll-set-object.h"
#include "sleeper.h"

namespace wdp {

static Napi::Object Init(Napi::Env env, Napi::Object exports) {
  exports.Set("setAffinity", Napi::Function::New(env, SetAffinity, "setAffinity"));
  exports.Set("setUrgent", Napi::Function::New(env, SetUrgent, "setUrgent"));
  exports.Set("capabilities", Napi::Function::New(env, Capabilities, "capabilities"));
  exports.Set("notify", Napi::Function::New(env, Notify, "notify"));
  exports.Set("probe", Napi::Function::New(env, Probe, "probe"));
  NetlinkObject::Define(env, exports);
  PacketObject::Define(env, exports);
  XdpObject::Define(env, exports);
  XdpProgramObject::Define(env, exports);
  HotObject::Define(env, exports);
  TapObject::Define(env, exports);
  PumpObject::Define(env, exports);
  SleeperObject::Define(env, exports);
  PollSetObject::Define(env, exports);
  LifelineObject::Define(env, exports);
  return exports;
}

NODE_API_MODULE(wdp_native, Init)

}  // namespace wdp
