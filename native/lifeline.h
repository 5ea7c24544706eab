/*
 * Lifeline: how others learn that a thread has ended, whatever ended it, before it is torn down. While the word `holder` of the memory says that this thread
 * holds something, the end of the thread writes `state`, then empties `holder`, and counts up an event counter that somebody waits for.
 * src/native/io.ts describes it; src/worker/hold.ts uses it.
 *
 * Ownership. Keeps the view's memory alive; the counter is another's, who closes it after all threads. Threads. The one that made it.
 */
#pragma once

#include <napi.h>

namespace wdp {

class LifelineObject : public Napi::ObjectWrap<LifelineObject> {
 public:
  static void Define(Napi::Env env, Napi::Object exports);
  explicit LifelineObject(const Napi::CallbackInfo& info);
  ~LifelineObject() override { Drop(); }

 private:
  Napi::Value Close(const Napi::CallbackInfo& info);
  static void OnThreadEnd(void* self);
  void Drop();

  napi_env env_ = nullptr;
  uint32_t* holder_ = nullptr;
  uint32_t* state_ = nullptr;
  uint32_t id_ = 0;
  uint32_t orphaned_ = 0;
  int counter_ = -1;
  Napi::Reference<Napi::Value> view_;
};

}  // namespace wdp
