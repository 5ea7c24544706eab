/*
 * Sleeper: the sleep of a thread that polls a worker slot, and the round that follows when something has come: the time is told, the module's `poll` is called, and what
 * it touched is kicked, with no JavaScript in between, which a thread that slept has cold. Before it: `prepareSleep` in the module, which says what is waited for.
 * After it: JavaScript, for everything else.
 *
 * Concepts. A poller waits inside of `sleep`. The owner thread waits in its event loop: `arm` says that it does, and the first readiness after that calls back, once,
 * with the packets that the round received, or with what it threw. Readiness that nobody is armed for is passed over.
 * Ownership. The object keeps the memory and `poll` alive, and itself while it is watched; close, or the end of the thread, ends that.
 * Threads. The one that has the slot; another may write to the slot's event counter.
 */
#pragma once

#include <napi.h>

#include <memory>
#include <vector>

#include "io-layout.h"
#include "poll-set.h"
#include "pump.h"
#include "ready-callback.h"

namespace wdp {

class SleeperObject : public Napi::ObjectWrap<SleeperObject> {
 public:
  static void Define(Napi::Env env, Napi::Object exports);
  explicit SleeperObject(const Napi::CallbackInfo& info);

 private:
  using Info = const Napi::CallbackInfo&;

  /** What `prepareSleep` wrote. */
  struct Waiting {
    uint32_t set = 0;
    uint32_t count = 0;
  };

  Napi::Value Sleep(Info info);
  Napi::Value Watch(Info info);
  Napi::Value Arm(Info info);
  Napi::Value Disarm(Info info);
  Napi::Value Close(Info info);

  Waiting waiting() const { return {word(layout::WORKER_POLL_SET), word(layout::WORKER_POLL_COUNT)}; }
  uint32_t& word(uint32_t offset) const { return area_[offset / 4]; }
  void WatchOnly(const std::vector<int>& fds);
  void IsAwake();
  void TellTime();
  napi_status Round(napi_env env, napi_value* received);
  static int OnReady(void* self, napi_env env, napi_value* arguments);

  std::unique_ptr<Pump> pump_;
  Napi::Reference<Napi::Value> view_;
  Napi::FunctionReference poll_;
  uint32_t* area_ = nullptr;
  int64_t realtimeOffsetNs_ = 0;
  PollSet set_;
  ReadyCallback ready_;
  /** Descriptors in the set; one that was closed meanwhile is not, and is added again if its number is. */
  std::vector<int> watched_;
  bool isArmed_ = false;
};

}  // namespace wdp
