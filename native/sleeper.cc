/*
 * The sleep of a thread that polls, and the round after it. sleeper.h has the rules.
 */
#include "sleeper.h"

#include <poll.h>

#include <algorithm>
#include <ctime>

#include "arguments.h"

namespace wdp {
namespace {

using namespace layout;

/** Batches of the round: as many as it has to take. */
constexpr uint32_t kBreaths = 64;
constexpr int64_t kNsPerSecond = 1000000000;
constexpr int64_t kNsPerMs = 1000000;
/** CLOCK_REALTIME is ahead of CLOCK_MONOTONIC by at most so much: the year 2255. */
constexpr int64_t kOffsetMaxUs = INT64_C(1) << 53;

}  // namespace

void SleeperObject::Define(Napi::Env env, Napi::Object exports) {
  exports.Set("Sleeper", DefineClass(env, "Sleeper",
                                     {
                                         InstanceMethod("sleep", &SleeperObject::Sleep),
                                         InstanceMethod("watch", &SleeperObject::Watch),
                                         InstanceMethod("arm", &SleeperObject::Arm),
                                         InstanceMethod("disarm", &SleeperObject::Disarm),
                                         InstanceMethod("close", &SleeperObject::Close),
                                     }));
}

SleeperObject::SleeperObject(Info info) : Napi::ObjectWrap<SleeperObject>(info) {
  Arguments args(info, "Sleeper");
  const View<uint8_t> view = args.Bytes(0, "memory");
  const int64_t area = args.Integer(info[1], "area", 0, UINT32_MAX);
  const napi_value poll = args.Function(2, "poll");
  const int64_t offsetUs = args.Integer(info[3], "realtimeOffsetUs", -kOffsetMaxUs, kOffsetMaxUs);
  if (!args.ok()) return;
  args.Inside(area, WORKER_CONTROL_SIZE, view.length);
  args.Aligned(area, sizeof(uint64_t), "area");
  if (!args.ok()) return;
  pump_ = std::make_unique<Pump>(view.data, view.length);
  area_ = reinterpret_cast<uint32_t*>(view.data + area);
  realtimeOffsetNs_ = offsetUs * 1000;
  poll_ = Napi::Persistent(Napi::Function(info.Env(), poll));
  view_ = Napi::Reference<Napi::Value>::New(info[0], 1);
}

// ------------------------------------------------------------------------------------------------ a round

/** As src/wasm/clock.ts does. */
void SleeperObject::TellTime() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  const int64_t ns = now.tv_sec * kNsPerSecond + now.tv_nsec;
  *reinterpret_cast<int64_t*>(&word(WORKER_TIME_NS)) = ns + realtimeOffsetNs_;
  *reinterpret_cast<int64_t*>(&word(WORKER_TIME_MS)) = ns / kNsPerMs;
}

/** A trap is left pending. */
napi_status SleeperObject::Round(napi_env env, napi_value* received) {
  TellTime();
  napi_value breaths;
  napi_value self;
  napi_create_uint32(env, kBreaths, &breaths);
  napi_get_undefined(env, &self);
  const napi_status status = napi_call_function(env, self, poll_.Value(), 1, &breaths, received);
  if (status == napi_ok && word(WORKER_TOUCHED) > 0) pump_->Kick(word(WORKER_TOUCHED_LIST), word(WORKER_TOUCHED));
  return status;
}

void SleeperObject::IsAwake() { __atomic_store_n(&word(WORKER_SLEEPING), 0, __ATOMIC_SEQ_CST); }

// ------------------------------------------------------------------------------------------------ of a poller

Napi::Value SleeperObject::Sleep(Info info) {
  Arguments args(info, "sleep");
  const int64_t limitUs = args.Integer(info[0], "limitUs", 0, INT32_MAX);
  if (!args.ok()) return info.Env().Undefined();
  const Waiting on = waiting();
  const int ready = pump_->Sleep(on.set, on.count, limitUs);
  IsAwake();
  napi_value received;
  if (ready <= 0) return Napi::Number::New(info.Env(), 0);
  return Round(info.Env(), &received) == napi_ok ? Napi::Value(info.Env(), received) : Napi::Value();
}

// ------------------------------------------------------------------------------------------- of the owner thread

Napi::Value SleeperObject::Watch(Info info) {
  Arguments args(info, "watch");
  const napi_value callback = args.Function(0, "callback");
  if (!args.ok()) return info.Env().Undefined();
  const int error = set_.Open();
  if (error < 0) return Napi::Number::New(info.Env(), error);
  ready_.KeepLoop(false);
  return Napi::Number::New(info.Env(), ready_.Start(info.Env(), set_.fd(), -1, info.This(), callback, OnReady, this));
}

Napi::Value SleeperObject::Arm(Info info) {
  const Waiting on = waiting();
  const auto* const first = reinterpret_cast<const pollfd*>(pump_->WordsAt(on.set, on.count * sizeof(pollfd)));
  std::vector<int> fds;
  for (uint32_t i = 0; first != nullptr && i < on.count; i++) fds.push_back(first[i].fd);
  WatchOnly(fds);
  isArmed_ = true;
  return info.Env().Undefined();
}

void SleeperObject::WatchOnly(const std::vector<int>& fds) {
  for (const int fd : watched_) {
    if (std::find(fds.begin(), fds.end(), fd) == fds.end()) set_.Remove(fd);
  }
  for (const int fd : fds) set_.Add(fd, 0);
  watched_ = fds;
}

/** Takes the first round, and says what JavaScript is to hear of it: packets, and what was thrown. */
int SleeperObject::OnReady(void* context, napi_env env, napi_value* arguments) {
  auto* const self = static_cast<SleeperObject*>(context);
  if (!self->isArmed_) return -1;
  self->isArmed_ = false;
  self->IsAwake();
  const napi_status status = self->Round(env, &arguments[0]);
  const Waiting on = self->waiting();
  // what woke it and is no packet, a count of the event counter or an error, is taken away
  self->pump_->Sleep(on.set, on.count, 0);
  if (status == napi_ok) return 1;
  if (napi_get_and_clear_last_exception(env, &arguments[1]) != napi_ok || !IsThreadWanted(env)) return -1;
  return napi_create_uint32(env, 0, &arguments[0]) == napi_ok ? 2 : -1;
}

Napi::Value SleeperObject::Disarm(Info info) {
  isArmed_ = false;
  IsAwake();
  return info.Env().Undefined();
}

Napi::Value SleeperObject::Close(Info info) {
  isArmed_ = false;
  ready_.Stop();
  set_.Close();
  watched_.clear();
  return info.Env().Undefined();
}

}  // namespace wdp
