/*
 * What a thread leaves behind for others. lifeline.h has the rules.
 */
#include "lifeline.h"

#include "arguments.h"
#include "pump.h"

namespace wdp {

void LifelineObject::Define(Napi::Env env, Napi::Object exports) {
  exports.Set("Lifeline", DefineClass(env, "Lifeline", {InstanceMethod("close", &LifelineObject::Close)}));
}

LifelineObject::LifelineObject(const Napi::CallbackInfo& info) : Napi::ObjectWrap<LifelineObject>(info) {
  Arguments args(info, "Lifeline");
  const View<uint8_t> view = args.Bytes(0, "memory");
  const int64_t holder = args.Integer(info[1], "holder", 0, UINT32_MAX);
  const int64_t id = args.Integer(info[2], "id", 1, UINT32_MAX);
  const int64_t state = args.Integer(info[3], "state", 0, UINT32_MAX);
  const int64_t orphaned = args.Integer(info[4], "orphaned", 0, UINT32_MAX);
  const int64_t counter = args.Integer(info[5], "counter", 0, INT32_MAX);
  for (const int64_t address : {holder, state}) {
    args.Inside(address, sizeof(uint32_t), view.length);
    args.Aligned(address, sizeof(uint32_t), "address");
  }
  if (!args.ok()) return;
  holder_ = reinterpret_cast<uint32_t*>(view.data + holder);
  state_ = reinterpret_cast<uint32_t*>(view.data + state);
  id_ = static_cast<uint32_t>(id);
  orphaned_ = static_cast<uint32_t>(orphaned);
  counter_ = static_cast<int>(counter);
  view_ = Napi::Reference<Napi::Value>::New(info[0], 1);
  env_ = info.Env();
  napi_add_env_cleanup_hook(env_, OnThreadEnd, this);
}

/** Hooks run in the reverse order of their making, so this one before the objects of the thread go. */
void LifelineObject::OnThreadEnd(void* self) {
  auto* const line = static_cast<LifelineObject*>(self);
  line->env_ = nullptr;
  if (__atomic_load_n(line->holder_, __ATOMIC_ACQUIRE) != line->id_) return;
  __atomic_store_n(line->state_, line->orphaned_, __ATOMIC_SEQ_CST);
  __atomic_store_n(line->holder_, 0, __ATOMIC_SEQ_CST);
  Pump::Wake(line->counter_);
}

void LifelineObject::Drop() {
  if (env_ != nullptr) napi_remove_env_cleanup_hook(env_, OnThreadEnd, this);
  env_ = nullptr;
}

Napi::Value LifelineObject::Close(const Napi::CallbackInfo& info) {
  Drop();
  view_.Reset();
  return info.Env().Undefined();
}

}  // namespace wdp
