/*
 * A JavaScript function that is called from the event loop while a descriptor has something to read: Watch (netlink-watch.h) with the callback and the
 * object that it belongs to. Before it: the classes that JavaScript sees; after it: Watch.
 *
 * Ownership. While it watches it keeps the object and the function alive. Stop, or the end of the thread, ends that.
 * Threads. That of the environment.
 */
#pragma once

#include <napi.h>

#include "netlink-watch.h"

namespace wdp {

/** Whether the thread may still run JavaScript; not once it is being terminated. `env` is a napi_env. */
bool IsThreadWanted(void* env);

class ReadyCallback {
 public:
  ReadyCallback() = default;
  ~ReadyCallback() { Stop(); }
  ReadyCallback(const ReadyCallback&) = delete;
  ReadyCallback& operator=(const ReadyCallback&) = delete;

  static constexpr int kArgumentsMax = 2;
  /** What is done before the callback is called. Returns how many arguments it gets, -1: it is not called. Nothing may be left pending. */
  using Before = int (*)(void* context, napi_env env, napi_value* arguments);

  /** Calls `callback` on `object` while `fd` is readable; replaces what was watched before. `wakeFd` (-1 none) is as in Watch. 0, or -errno. */
  int Start(Napi::Env env, int fd, int wakeFd, napi_value object, napi_value callback, Before before = nullptr, void* context = nullptr);
  /** Idempotent. */
  void Stop();
  void WatchWake(int wakeFd);
  /** Whether it keeps the loop running, now and when it watches again. */
  void KeepLoop(bool keep);

 private:
  static void OnReady(void* self);
  static void OnThreadEnd(void* self);

  Watch* watch_ = nullptr;
  bool keepLoop_ = true;
  napi_env env_ = nullptr;
  Before before_ = nullptr;
  void* context_ = nullptr;
  Napi::ObjectReference object_;
  Napi::FunctionReference callback_;
};

}  // namespace wdp
