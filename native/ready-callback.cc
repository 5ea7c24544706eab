/*
 * From a readable descriptor to JavaScript. ready-callback.h has the rules.
 */
#include "ready-callback.h"

#include <cerrno>

namespace wdp {

bool IsThreadWanted(void* env) {
  napi_value value;
  bool same;
  auto* const e = static_cast<napi_env>(env);
  return napi_get_undefined(e, &value) == napi_ok && napi_strict_equals(e, value, value, &same) == napi_ok;
}

int ReadyCallback::Start(Napi::Env env, int fd, int wakeFd, napi_value object, napi_value callback, Before before, void* context) {
  Stop();
  uv_loop_t* loop = nullptr;
  if (napi_get_uv_event_loop(env, &loop) != napi_ok) return -ENOSYS;
  const int error = Watch::Start(loop, fd, wakeFd, OnReady, this, &watch_);
  if (error < 0) return error;
  watch_->KeepLoop(keepLoop_);
  env_ = env;
  before_ = before;
  context_ = context;
  object_ = Napi::Persistent(Napi::Object(env, object));
  callback_ = Napi::Persistent(Napi::Function(env, callback));
  napi_add_env_cleanup_hook(env, OnThreadEnd, this);
  return 0;
}

void ReadyCallback::Stop() {
  if (watch_ == nullptr) return;
  watch_->Close();
  watch_ = nullptr;
  callback_.Reset();
  object_.Reset();
  napi_remove_env_cleanup_hook(env_, OnThreadEnd, this);
}

void ReadyCallback::WatchWake(int wakeFd) {
  if (watch_ != nullptr) watch_->WatchWake(wakeFd);
}

void ReadyCallback::KeepLoop(bool keep) {
  keepLoop_ = keep;
  if (watch_ != nullptr) watch_->KeepLoop(keep);
}

/** The handles must be gone before the loop is; the object itself goes with the environment. */
void ReadyCallback::OnThreadEnd(void* self) {
  auto* const ready = static_cast<ReadyCallback*>(self);
  ready->watch_->Close();
  ready->watch_ = nullptr;
  ready->callback_.Reset();
  ready->object_.Reset();
}

/**
 * Calls back into JavaScript from the event loop; what it throws is uncaught, as from a timer. Plain Node-API, because a callback that was
 * terminated leaves something behind that is no error, and the wrappers end the process over it.
 */
void ReadyCallback::OnReady(void* self) {
  auto* const ready = static_cast<ReadyCallback*>(self);
  const Napi::Env env = ready->env_;
  const Napi::HandleScope scope(env);
  napi_value arguments[kArgumentsMax];
  const int count = ready->before_ == nullptr ? 0 : ready->before_(ready->context_, env, arguments);
  if (count < 0) return;
  const napi_value object = ready->object_.Value();
  const napi_value callback = ready->callback_.Value();
  if (napi_make_callback(env, nullptr, object, callback, static_cast<size_t>(count), arguments, nullptr) != napi_pending_exception) return;
  napi_value thrown;
  const bool isTaken = napi_get_and_clear_last_exception(env, &thrown) == napi_ok;
  if (isTaken && IsThreadWanted(static_cast<napi_env>(env))) napi_fatal_exception(env, thrown);
}

}  // namespace wdp
