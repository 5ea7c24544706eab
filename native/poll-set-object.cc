/*
 * PollSet as JavaScript sees it: the glue. poll-set-object.h has the rules.
 */
#include "poll-set-object.h"

#include <cerrno>

#include "arguments.h"
#include "netlink-object.h"

namespace wdp {
namespace {

constexpr size_t kSlotWords = sizeof(PollSet::Slot) / sizeof(int32_t);
constexpr size_t kRowWords = sizeof(PollSet::Row) / sizeof(int32_t);

}  // namespace

void PollSetObject::Define(Napi::Env env, Napi::Object exports) {
  const Napi::Function constructor = DefineClass(env, "PollSet",
                                                 {
                                                     InstanceMethod("add", &PollSetObject::Add),
                                                     InstanceMethod("remove", &PollSetObject::Remove),
                                                     InstanceMethod("receive", &PollSetObject::Receive),
                                                     InstanceMethod("wait", &PollSetObject::Wait),
                                                     InstanceMethod("watch", &PollSetObject::Watch),
                                                     InstanceMethod("unwatch", &PollSetObject::Unwatch),
                                                     InstanceMethod("ref", &PollSetObject::Ref_),
                                                     InstanceMethod("unref", &PollSetObject::Unref_),
                                                     InstanceMethod("close", &PollSetObject::Close),
                                                 });
  exports.Set("PollSet", constructor);
}

Napi::Value PollSetObject::Add(Info info) {
  Arguments args(info, "add");
  const int64_t fd = args.Integer(info[0], "fd", 0, INT32_MAX);
  const int64_t tag = args.Integer(info[1], "tag", 0, INT32_MAX);
  if (!args.ok()) return Env().Undefined();
  return Number(set_.Add(static_cast<int>(fd), static_cast<int32_t>(tag)));
}

Napi::Value PollSetObject::Remove(Info info) {
  Arguments args(info, "remove");
  const int64_t fd = args.Integer(info[0], "fd", 0, INT32_MAX);
  if (!args.ok()) return Env().Undefined();
  return Number(set_.Remove(static_cast<int>(fd)));
}

Napi::Value PollSetObject::Receive(Info info) {
  Arguments args(info, "receive");
  const View<uint8_t> view = args.Bytes(0, "view");
  const View<int32_t> slots = args.Words(1, "slots");
  const int64_t count = args.Integer(info[2], "count", 0, kReceiveMax);
  const View<int32_t> rows = args.Words(3, "rows");
  args.Inside(0, count * kSlotWords, slots.length);
  const auto* const first = reinterpret_cast<const PollSet::Slot*>(slots.data);
  for (int64_t i = 0; args.ok() && i < count; i++) {
    args.Inside(first[i].offset, first[i].size, view.length);
    args.Inside(first[i].tail, first[i].tailSize, view.length);
  }
  if (!args.ok()) return Env().Undefined();
  MessageVector* const vector = &Env().GetInstanceData<NetlinkClass>()->scratch.vector();
  const int rowCount = static_cast<int>(rows.length / kRowWords);
  return Number(set_.Receive(view.data, first, static_cast<int>(count), reinterpret_cast<PollSet::Row*>(rows.data), rowCount, vector));
}

Napi::Value PollSetObject::Wait(Info info) {
  Arguments args(info, "wait");
  const double timeoutMs = args.Timeout(0);
  if (!args.ok()) return Env().Undefined();
  return Number(set_.Wait(Deadline(timeoutMs, IsThreadWanted, static_cast<napi_env>(Env()))));
}

Napi::Value PollSetObject::Watch(Info info) {
  Arguments args(info, "watch");
  const napi_value callback = args.Function(0, "callback");
  if (!args.ok()) return Env().Undefined();
  const int error = set_.Open();
  if (error < 0) return Number(error);
  return Number(ready_.Start(Env(), set_.fd(), -1, info.This(), callback));
}

Napi::Value PollSetObject::Unwatch(Info) {
  ready_.Stop();
  return Env().Undefined();
}

Napi::Value PollSetObject::Ref_(Info) {
  ready_.KeepLoop(true);
  return Env().Undefined();
}

Napi::Value PollSetObject::Unref_(Info) {
  ready_.KeepLoop(false);
  return Env().Undefined();
}

Napi::Value PollSetObject::Close(Info) {
  ready_.Stop();
  set_.Close();
  return Env().Undefined();
}

}  // namespace wdp
