/*
 * NetlinkSocket as JavaScript sees it: the glue. netlink-object.h has the rules.
 */
#include "netlink-object.h"

#include <algorithm>
#include <cerrno>

namespace wdp {
namespace {

constexpr int64_t kPortIdMax = UINT32_MAX;
constexpr int64_t kSizeMax = INT64_C(1) << 33;
constexpr int kReceiveRowWords = 8;
constexpr int kReceiveBufferDefault = 1 << 20;

/** A closed one; empty in a thread that is being terminated. */
Napi::Object Make(Napi::Env env) {
  auto* const data = env.GetInstanceData<NetlinkClass>();
  data->isMaking = true;
  const Napi::Object object = data->constructor.New({});
  data->isMaking = false;
  return object;
}

Scratch* ScratchOf(Napi::Env env) { return &env.GetInstanceData<NetlinkClass>()->scratch; }

/** The rows of a view of words. */
Transactions::Memory MemoryOf(const View<uint8_t>& requests, size_t requestsSize, const View<uint8_t>& replies, const View<int32_t>& rows) {
  constexpr size_t kRowWords = sizeof(TransactionRow) / sizeof(int32_t);
  auto* const begin = reinterpret_cast<TransactionRow*>(rows.data);
  return {requests.data, requestsSize, replies.data, replies.length, begin, rows.length / kRowWords};
}

}  // namespace

void NetlinkObject::Define(Napi::Env env, Napi::Object exports) {
  auto* const data = new NetlinkClass();
  env.SetInstanceData(data);
  const Napi::Function constructor = DefineClass(
      env, "NetlinkSocket",
      {
          StaticMethod("open", &NetlinkObject::Open),
          StaticMethod("adopt", &NetlinkObject::Adopt),
          InstanceAccessor("fd", &NetlinkObject::Fd, nullptr),
          InstanceAccessor("portId", &NetlinkObject::PortId, nullptr),
          InstanceAccessor("protocol", &NetlinkObject::Protocol, nullptr),
          InstanceAccessor("peer", &NetlinkObject::Peer, nullptr),
          InstanceAccessor("receiveBufferSize", &NetlinkObject::ReceiveBufferSize, nullptr),
          InstanceAccessor("closed", &NetlinkObject::Closed, nullptr),
          InstanceMethod("setOption", &NetlinkObject::SetOption),
          InstanceMethod("passCredentials", &NetlinkObject::PassCredentials),
          InstanceMethod("setReceiveBuffer", &NetlinkObject::SetReceiveBuffer),
          InstanceMethod("allocateSequence", &NetlinkObject::AllocateSequence),
          InstanceMethod("setSequence", &NetlinkObject::SetSequence),
          InstanceMethod("send", &NetlinkObject::Send),
          InstanceMethod("receive", &NetlinkObject::Receive),
          InstanceMethod("peekSize", &NetlinkObject::PeekSize),
          InstanceMethod("drain", &NetlinkObject::Drain),
          InstanceMethod("wait", &NetlinkObject::Wait),
          InstanceMethod("watch", &NetlinkObject::Watch_),
          InstanceMethod("unwatch", &NetlinkObject::Unwatch),
          InstanceMethod("ref", &NetlinkObject::Ref_),
          InstanceMethod("unref", &NetlinkObject::Unref_),
          InstanceMethod("beginTransactions", &NetlinkObject::BeginTransactions),
          InstanceMethod("continueTransactions", &NetlinkObject::ContinueTransactions),
          InstanceMethod("cancelTransactions", &NetlinkObject::CancelTransactions),
          InstanceMethod("fillRing", &NetlinkObject::FillRing),
          InstanceMethod("mapRing", &NetlinkObject::MapRing),
          InstanceMethod("unmapRings", &NetlinkObject::UnmapRings),
          InstanceMethod("share", &NetlinkObject::Share),
          InstanceMethod("statistics", &NetlinkObject::Statistics),
          InstanceMethod("close", &NetlinkObject::Close),
      });
  data->constructor = Napi::Persistent(constructor);
  exports.Set("NetlinkSocket", constructor);
}

NetlinkObject::NetlinkObject(Info info) : Napi::ObjectWrap<NetlinkObject>(info), transactions_(&socket_) {
  if (info.Env().GetInstanceData<NetlinkClass>()->isMaking) return;
  Napi::TypeError::New(info.Env(), "NetlinkSocket: use NetlinkSocket.open or adopt").ThrowAsJavaScriptException();
}

Napi::Value NetlinkObject::Open(Info info) {
  Arguments args(info, "open");
  const Napi::Object options = args.Object(0, "options");
  if (!args.ok()) return info.Env().Undefined();
  const int64_t protocol = args.Integer(options.Get("protocol"), "protocol", 0, INT32_MAX);
  const int64_t portId = args.IntegerOr(options.Get("portId"), "portId", 0, kPortIdMax, 0);
  const int64_t peer = args.IntegerOr(options.Get("peer"), "peer", Socket::kNotConnected, kPortIdMax, 0);
  const int64_t size =
      args.IntegerOr(options.Get("receiveBufferSize"), "receiveBufferSize", 1, INT32_MAX / 2, kReceiveBufferDefault);
  if (!args.ok()) return info.Env().Undefined();
  const Napi::Object object = Make(info.Env());
  if (object.IsEmpty()) return info.Env().Undefined();
  const int error = Unwrap(object)->socket_.Open(
      {static_cast<int>(protocol), static_cast<uint32_t>(portId), peer, static_cast<int>(size)});
  if (error < 0) return Napi::Number::New(info.Env(), error);
  return object;
}

Napi::Value NetlinkObject::Adopt(Info info) {
  Arguments args(info, "adopt");
  const Napi::Object handle = args.Object(0, "handle");
  if (!args.ok()) return info.Env().Undefined();
  const int64_t fd = args.Integer(handle.Get("fd"), "fd", 0, INT32_MAX);
  const int64_t wakeFd = args.Integer(handle.Get("wakeFd"), "wakeFd", 0, INT32_MAX);
  const int64_t protocol = args.Integer(handle.Get("protocol"), "protocol", 0, INT32_MAX);
  const int64_t portId = args.Integer(handle.Get("portId"), "portId", 0, kPortIdMax);
  const int64_t peer = args.Integer(handle.Get("peer"), "peer", Socket::kNotConnected, kPortIdMax);
  if (!args.ok()) return info.Env().Undefined();
  const Napi::Object object = Make(info.Env());
  if (object.IsEmpty()) return info.Env().Undefined();
  const int error = Unwrap(object)->socket_.Adopt({static_cast<int>(fd), static_cast<int>(wakeFd),
                                                   static_cast<int>(protocol), static_cast<uint32_t>(portId), peer});
  if (error < 0) return Napi::Number::New(info.Env(), error);
  return object;
}

Napi::Value NetlinkObject::Fd(Info) { return Number(socket_.fd()); }
Napi::Value NetlinkObject::PortId(Info) { return Number(socket_.portId()); }
Napi::Value NetlinkObject::Protocol(Info) { return Number(socket_.protocol()); }
Napi::Value NetlinkObject::Peer(Info) { return Number(static_cast<double>(socket_.peer())); }
Napi::Value NetlinkObject::ReceiveBufferSize(Info) { return Number(socket_.receiveBufferSize()); }
Napi::Value NetlinkObject::Closed(Info) { return Napi::Boolean::New(Env(), socket_.closed()); }

Deadline NetlinkObject::DeadlineOf(double timeoutMs) { return Deadline(timeoutMs, IsThreadWanted, static_cast<napi_env>(Env())); }

Napi::Value NetlinkObject::SetOption(Info info) {
  Arguments args(info, "setOption");
  const int64_t option = args.Integer(info[0], "option", 0, INT32_MAX);
  const int64_t value = args.Integer(info[1], "value", INT32_MIN, kPortIdMax);
  if (!args.ok()) return Env().Undefined();
  return Number(socket_.SetOption(SOL_NETLINK, static_cast<int>(option), static_cast<int>(value)));
}

Napi::Value NetlinkObject::PassCredentials(Info info) {
  Arguments args(info, "passCredentials");
  const bool on = args.Boolean(0, "on");
  if (!args.ok()) return Env().Undefined();
  return Number(socket_.SetOption(SOL_SOCKET, SO_PASSCRED, on ? 1 : 0));
}

Napi::Value NetlinkObject::SetReceiveBuffer(Info info) {
  Arguments args(info, "setReceiveBuffer");
  const int64_t size = args.Integer(info[0], "size", 1, INT32_MAX / 2);
  if (!args.ok()) return Env().Undefined();
  return Number(socket_.SetReceiveBuffer(static_cast<int>(size)));
}

Napi::Value NetlinkObject::AllocateSequence(Info info) {
  Arguments args(info, "allocateSequence");
  const auto count = static_cast<uint32_t>(args.Integer(info[0], "count", 1, Socket::kSequenceEnd - 1));
  if (!args.ok()) return Env().Undefined();
  const uint32_t first = socket_.NextSequence(count);
  socket_.TakeSequence(count);
  return Number(first);
}

Napi::Value NetlinkObject::SetSequence(Info info) {
  Arguments args(info, "setSequence");
  const int64_t next = args.Integer(info[0], "next", 1, Socket::kSequenceEnd - 1);
  if (args.ok()) socket_.SetSequence(static_cast<uint32_t>(next));
  return Env().Undefined();
}

Napi::Value NetlinkObject::Send(Info info) {
  Arguments args(info, "send");
  const View<uint8_t> view = args.Bytes(0, "view");
  const int64_t offset = args.Integer(info[1], "offset", 0, kSizeMax);
  const int64_t size = args.Integer(info[2], "size", 0, kSizeMax);
  const double timeoutMs = args.Timeout(3);
  const int64_t portId = args.IntegerOr(info[4], "portId", 0, kPortIdMax, 0);
  const int64_t groups = args.IntegerOr(info[5], "groups", 0, kPortIdMax, 0);
  args.Inside(offset, size, view.length);
  if (!args.ok()) return Env().Undefined();
  sockaddr_nl to = {};
  to.nl_family = AF_NETLINK;
  to.nl_pid = static_cast<uint32_t>(portId);
  to.nl_groups = static_cast<uint32_t>(groups);
  const bool isAddressed = !info[4].IsUndefined() || !info[5].IsUndefined();
  return Number(socket_.Send(view.data + offset, size, isAddressed ? &to : nullptr, DeadlineOf(timeoutMs)));
}

Napi::Value NetlinkObject::Receive(Info info) {
  Arguments args(info, "receive");
  const View<uint8_t> view = args.Bytes(0, "view");
  const int64_t offset = args.Integer(info[1], "offset", 0, kSizeMax);
  const int64_t slotSize = args.Integer(info[2], "slotSize", 0, INT32_MAX);
  const int64_t count = args.Integer(info[3], "count", 1, INT32_MAX);
  const View<int32_t> rows = args.Words(4, "rows");
  const double timeoutMs = args.Timeout(5);
  const int64_t taken = std::min<int64_t>(count, kReceiveMax);
  args.Inside(offset, slotSize * taken, view.length);
  args.Inside(0, taken * kReceiveRowWords, rows.length);
  if (!args.ok()) return Env().Undefined();
  MessageVector* const vector = &ScratchOf(Env())->vector();
  return Number(socket_.Receive(view.data, offset, slotSize, static_cast<int>(taken), rows.data, vector, DeadlineOf(timeoutMs)));
}

Napi::Value NetlinkObject::PeekSize(Info) { return Number(socket_.PeekSize()); }

Napi::Value NetlinkObject::Drain(Info) { return Number(socket_.Drain()); }

Napi::Value NetlinkObject::Wait(Info info) {
  Arguments args(info, "wait");
  const double timeoutMs = args.Timeout(0);
  if (!args.ok()) return Env().Undefined();
  return Number(socket_.Wait(DeadlineOf(timeoutMs)));
}

Napi::Value NetlinkObject::Watch_(Info info) {
  Arguments args(info, "watch");
  const napi_value callback = args.Function(0, "callback");
  if (!args.ok()) return Env().Undefined();
  if (socket_.closed()) return Number(-EBADF);
  return Number(ready_.Start(Env(), socket_.fd(), socket_.wakeFd(), info.This(), callback));
}

Napi::Value NetlinkObject::Unwatch(Info) {
  ready_.Stop();
  return Env().Undefined();
}

Napi::Value NetlinkObject::Ref_(Info) {
  ready_.KeepLoop(true);
  return Env().Undefined();
}

Napi::Value NetlinkObject::Unref_(Info) {
  ready_.KeepLoop(false);
  return Env().Undefined();
}

Napi::Value NetlinkObject::BeginTransactions(Info info) {
  Arguments args(info, "beginTransactions");
  const View<uint8_t> requests = args.Bytes(0, "requests");
  const int64_t size = args.Integer(info[1], "size", 0, UINT32_MAX);
  const View<int32_t> rows = args.Words(2, "rows");
  const int64_t confirm = args.Integer(info[3], "confirm", 0, Transactions::kConfirmLast);
  const int64_t batchSize = args.Integer(info[4], "batchSize", 0, UINT32_MAX);
  const int64_t batchCount = args.Integer(info[5], "batchCount", 0, INT32_MAX);
  args.Inside(0, size, requests.length);
  if (!args.ok()) return Env().Undefined();
  const Transactions::Limits limits = {static_cast<int>(confirm), static_cast<size_t>(batchSize), static_cast<uint32_t>(batchCount)};
  return Number(transactions_.Begin(MemoryOf(requests, size, {}, rows), limits));
}

Napi::Value NetlinkObject::ContinueTransactions(Info info) {
  Arguments args(info, "continueTransactions");
  const View<uint8_t> requests = args.Bytes(0, "requests");
  const View<uint8_t> replies = args.Bytes(1, "replies");
  const View<int32_t> rows = args.Words(2, "rows");
  const double timeoutMs = args.Timeout(3);
  if (!args.ok()) return Env().Undefined();
  const Transactions::Memory memory = MemoryOf(requests, requests.length, replies, rows);
  return Number(transactions_.Continue(memory, ScratchOf(Env()), DeadlineOf(timeoutMs)));
}

Napi::Value NetlinkObject::CancelTransactions(Info info) {
  Arguments args(info, "cancelTransactions");
  const View<int32_t> rows = args.Words(0, "rows");
  if (args.ok()) transactions_.Cancel(MemoryOf({}, 0, {}, rows));
  return Env().Undefined();
}

Napi::Value NetlinkObject::FillRing(Info info) {
  Arguments args(info, "fillRing");
  const View<uint8_t> view = args.Bytes(0, "view");
  const int64_t offset = args.Integer(info[1], "offset", 0, kSizeMax);
  const int64_t frameSize = args.Integer(info[2], "frameSize", Socket::kFrameSizeMin, INT32_MAX);
  const int64_t frameCount = args.Integer(info[3], "frameCount", 1, INT32_MAX);
  const int64_t start = args.Integer(info[4], "start", 0, std::max<int64_t>(frameCount - 1, 0));
  const int64_t count = args.Integer(info[5], "count", 1, INT32_MAX);
  args.Inside(offset, frameSize * frameCount, view.length);
  args.Aligned(reinterpret_cast<uintptr_t>(view.data) + offset, NL_MMAP_MSG_ALIGNMENT, "offset");
  args.Aligned(frameSize, NL_MMAP_MSG_ALIGNMENT, "frameSize");
  if (!args.ok()) return Env().Undefined();
  const Socket::Frames frames = {view.data + offset, static_cast<size_t>(frameSize), static_cast<uint32_t>(frameCount)};
  return Number(socket_.FillRing(frames, static_cast<uint32_t>(start), static_cast<uint32_t>(count), ScratchOf(Env())));
}

Napi::Value NetlinkObject::MapRing(Info info) {
  Arguments args(info, "mapRing");
  const int64_t option = args.Integer(info[0], "option", NETLINK_RX_RING, NETLINK_TX_RING);
  const View<uint8_t> view = args.Bytes(1, "view");
  const int64_t offset = args.Integer(info[2], "offset", 0, kSizeMax);
  const auto blockSize = static_cast<uint32_t>(args.Integer(info[3], "blockSize", 1, INT32_MAX));
  const auto blockCount = static_cast<uint32_t>(args.Integer(info[4], "blockCount", 1, INT32_MAX));
  const auto frameSize = static_cast<uint32_t>(args.Integer(info[5], "frameSize", 1, blockSize));
  args.Inside(offset, static_cast<size_t>(blockSize) * blockCount, view.length);
  args.Aligned(reinterpret_cast<uintptr_t>(view.data) + offset, sysconf(_SC_PAGESIZE), "offset");
  if (!args.ok()) return Env().Undefined();
  const nl_mmap_req request = {blockSize, blockCount, frameSize, blockSize / frameSize * blockCount};
  const int error = socket_.MapRing(static_cast<int>(option), view.data + offset, request);
  if (error == 0) ringView_ = Napi::Reference<Napi::Value>::New(info[1], 1);
  return Number(error);
}

Napi::Value NetlinkObject::UnmapRings(Info) {
  socket_.UnmapRing();
  ringView_.Reset();
  return Env().Undefined();
}

/** An adopter may close the socket, so from now on a watch looks at the event counter, too. */
Napi::Value NetlinkObject::Share(Info) {
  Socket::Handle handle;
  const int error = socket_.Share(&handle);
  if (error < 0) return Number(error);
  ready_.WatchWake(socket_.wakeFd());
  Napi::Object object = Napi::Object::New(Env());
  object.Set("fd", handle.fd);
  object.Set("wakeFd", handle.wakeFd);
  object.Set("protocol", handle.protocol);
  object.Set("portId", handle.portId);
  object.Set("peer", static_cast<double>(handle.peer));
  return object;
}

Napi::Value NetlinkObject::Statistics(Info) {
  const wdp::Statistics& counts = socket_.statistics();
  const struct {
    const char* name;
    uint64_t count;
  } entries[] = {{"sent", counts.sent},           {"received", counts.received}, {"overruns", counts.overruns},
                 {"truncated", counts.truncated}, {"foreign", counts.foreign},   {"stale", counts.stale},
                 {"malformed", counts.malformed}, {"resent", counts.resent}};
  Napi::Object object = Napi::Object::New(Env());
  for (const auto& entry : entries) object.Set(entry.name, static_cast<double>(entry.count));
  return object;
}

Napi::Value NetlinkObject::Close(Info) {
  ready_.Stop();
  socket_.Close(true);
  ringView_.Reset();
  return Env().Undefined();
}

}  // namespace wdp
