/*
 * PollSet, the class that JavaScript sees: arguments checked, then handed to PollSet (poll-set.h), answered with a number. src/native/poll-set.ts
 * describes every method.
 *
 * Ownership. The object owns its set: close, the garbage collector or the end of the thread closes it; while it is watched it is kept alive.
 * Threads. As NetlinkObject, whose scratch memory it receives with.
 */
#pragma once

#include <napi.h>

#include "netlink-socket.h"
#include "poll-set.h"
#include "ready-callback.h"

namespace wdp {

class PollSetObject : public Napi::ObjectWrap<PollSetObject> {
 public:
  static void Define(Napi::Env env, Napi::Object exports);
  explicit PollSetObject(const Napi::CallbackInfo& info) : Napi::ObjectWrap<PollSetObject>(info) {}

 private:
  using Info = const Napi::CallbackInfo&;

  Napi::Value Add(Info info);
  Napi::Value Remove(Info info);
  Napi::Value Receive(Info info);
  Napi::Value Wait(Info info);
  Napi::Value Watch(Info info);
  Napi::Value Unwatch(Info info);
  Napi::Value Ref_(Info info);
  Napi::Value Unref_(Info info);
  Napi::Value Close(Info info);

  Napi::Value Number(double value) { return Napi::Number::New(Env(), value); }

  PollSet set_;
  ReadyCallback ready_;
};

}  // namespace wdp
