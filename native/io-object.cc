/*
 * The glue of PacketSocket, XdpSocket, XdpProgram, TapQueue and Pump. io-object.h has the rules.
 */
#include "io-object.h"

#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "arguments.h"
#include "io-layout.h"

namespace wdp {
namespace {

constexpr int64_t kSizeMax = INT64_C(1) << 33;
constexpr int64_t kBufferMax = INT64_C(1) << 30;

Napi::Value OpenWake(const Napi::CallbackInfo& info) { return Napi::Number::New(info.Env(), Pump::OpenCounter()); }

Napi::Value Wake(const Napi::CallbackInfo& info) {
  Arguments args(info, "wake");
  const int64_t fd = args.Integer(info[0], "fd", 0, INT32_MAX);
  return args.ok() ? Napi::Number::New(info.Env(), Pump::Wake(static_cast<int>(fd))) : info.Env().Undefined();
}

Napi::Value AwaitWake(const Napi::CallbackInfo& info) {
  Arguments args(info, "awaitWake");
  const int64_t fd = args.Integer(info[0], "fd", 0, INT32_MAX);
  const int64_t timeoutMs = args.Integer(info[1], "timeoutMs", 0, INT32_MAX);
  if (!args.ok()) return info.Env().Undefined();
  return Napi::Number::New(info.Env(), Pump::AwaitCounter(static_cast<int>(fd), static_cast<int>(timeoutMs)));
}

Napi::Value CloseWake(const Napi::CallbackInfo& info) {
  Arguments args(info, "closeWake");
  const int64_t fd = args.Integer(info[0], "fd", 0, INT32_MAX);
  if (!args.ok()) return info.Env().Undefined();
  return Napi::Number::New(info.Env(), close(static_cast<int>(fd)) < 0 ? -errno : 0);
}

int IntegerOf(Arguments* args, const Napi::Object& object, const char* name, int64_t min, int64_t max, int64_t fallback) {
  return static_cast<int>(args->IntegerOr(object.Get(name), name, min, max, fallback));
}

PacketOptions OptionsOf(Arguments* args, const Napi::Object& object) {
  PacketOptions options;
  options.ifindex = IntegerOf(args, object, "ifindex", 1, INT32_MAX, -1);
  options.reserve = IntegerOf(args, object, "reserve", 0, 65536, 0);
  options.receives = IntegerOf(args, object, "receives", 0, 1, 1) != 0;
  options.promiscuous = IntegerOf(args, object, "promiscuous", 0, 1, 0) != 0;
  options.fanoutGroup = IntegerOf(args, object, "fanoutGroup", -1, 65535, -1);
  options.fanoutMode = IntegerOf(args, object, "fanoutMode", 0, 65535, 0);
  options.receiveBufferSize = IntegerOf(args, object, "receiveBufferSize", 0, kBufferMax, 0);
  options.sendBufferSize = IntegerOf(args, object, "sendBufferSize", 0, kBufferMax, 0);
  options.blockSize = static_cast<uint32_t>(IntegerOf(args, object, "blockSize", 0, INT32_MAX, 0));
  options.blockCount = static_cast<uint32_t>(IntegerOf(args, object, "blockCount", 0, INT32_MAX, 0));
  options.frameSize = static_cast<uint32_t>(IntegerOf(args, object, "frameSize", 0, INT32_MAX, 0));
  return options;
}

}  // namespace

// ------------------------------------------------------------------------------------------------ PacketSocket

void PacketObject::Define(Napi::Env env, Napi::Object exports) {
  exports.Set("PacketSocket", DefineClass(env, "PacketSocket",
                                          {
                                              InstanceMethod("open", &PacketObject::Open),
                                              InstanceMethod("counts", &PacketObject::Counts),
                                              InstanceMethod("close", &PacketObject::Close),
                                              InstanceAccessor("fd", &PacketObject::Fd, nullptr),
                                              InstanceAccessor("operation", &PacketObject::Operation, nullptr),
                                              InstanceAccessor("fanoutGroup", &PacketObject::FanoutGroup, nullptr),
                                          }));
}

Napi::Value PacketObject::Open(Info info) {
  Arguments args(info, "open");
  const Napi::Object object = args.Object(0, "options");
  if (!args.ok()) return info.Env().Undefined();
  const PacketOptions options = OptionsOf(&args, object);
  const View<uint8_t> view = args.Bytes(1, "view");
  const int64_t offset = args.Integer(info[2], "offset", 0, kSizeMax);
  args.Inside(offset, static_cast<size_t>(options.blockSize) * options.blockCount, view.length);
  if (options.blockCount > 0) {
    args.Aligned(reinterpret_cast<uintptr_t>(view.data) + offset, sysconf(_SC_PAGESIZE), "offset");
    args.Integer(object.Get("frameSize"), "frameSize", 1, options.blockSize);
  }
  if (!args.ok()) return info.Env().Undefined();
  const int error = socket_.Open(options, view.data + offset);
  if (error == 0) view_ = Napi::Reference<Napi::Value>::New(info[1], 1);
  return Napi::Number::New(info.Env(), error);
}

Napi::Value PacketObject::Counts(Info info) {
  const PacketCounts counts = socket_.Counts();
  Napi::Object object = Napi::Object::New(info.Env());
  object.Set("packets", static_cast<double>(counts.packets));
  object.Set("drops", static_cast<double>(counts.drops));
  return object;
}

Napi::Value PacketObject::FanoutGroup(Info info) { return Napi::Number::New(info.Env(), socket_.FanoutGroup()); }

// ------------------------------------------------------------------------------------------------ XdpSocket

namespace {

XdpOptions XdpOptionsOf(Arguments* args, const Napi::Object& object) {
  constexpr int64_t kEntriesMax = 1 << 20;
  const auto size = [&](const char* name, int64_t min) { return static_cast<uint32_t>(IntegerOf(args, object, name, min, kEntriesMax, min)); };
  XdpOptions options;
  options.ifindex = IntegerOf(args, object, "ifindex", 1, INT32_MAX, -1);
  options.queue = IntegerOf(args, object, "queue", 0, UINT16_MAX, 0);
  options.flags = IntegerOf(args, object, "flags", 0, UINT16_MAX, 0);
  options.frameSize = size("frameSize", 2048);
  options.frameCount = size("frameCount", 1);
  options.fillSize = size("fillSize", 1);
  options.completionSize = size("completionSize", 1);
  options.rxSize = size("rxSize", 0);
  options.txSize = size("txSize", 1);
  options.sendBufferSize = IntegerOf(args, object, "sendBufferSize", 0, kBufferMax, 0);
  return options;
}

/** Page-aligned room of `size` bytes in the view, whose offset is the property `name`. */
uint8_t* PlaceOf(Arguments* args, const Napi::Object& object, const char* name, size_t size, const View<uint8_t>& view) {
  const int64_t offset = args->IntegerOr(object.Get(name), name, 0, kSizeMax, 0);
  args->Inside(offset, size, view.length);
  args->Aligned(reinterpret_cast<uintptr_t>(view.data) + offset, sysconf(_SC_PAGESIZE), name);
  return view.data + offset;
}

}  // namespace

void XdpObject::Define(Napi::Env env, Napi::Object exports) {
  exports.Set("XdpSocket", DefineClass(env, "XdpSocket",
                                       {
                                           InstanceMethod("open", &XdpObject::Open),
                                           InstanceMethod("ring", &XdpObject::Ring),
                                           InstanceMethod("drops", &XdpObject::Drops),
                                           InstanceMethod("close", &XdpObject::Close),
                                           InstanceAccessor("fd", &XdpObject::Fd, nullptr),
                                           InstanceAccessor("isZeroCopy", &XdpObject::IsZeroCopy, nullptr),
                                           InstanceAccessor("operation", &XdpObject::Operation, nullptr),
                                       }));
}

Napi::Value XdpObject::Open(Info info) {
  Arguments args(info, "open");
  const Napi::Object object = args.Object(0, "options");
  if (!args.ok()) return info.Env().Undefined();
  const XdpOptions options = XdpOptionsOf(&args, object);
  const View<uint8_t> view = args.Bytes(1, "view");
  const Napi::Object at = args.Object(2, "places");
  if (!args.ok()) return info.Env().Undefined();
  const auto ring = [](uint32_t entries, size_t entrySize) { return entries == 0 ? 0 : XdpSocket::kRingHead + entries * entrySize; };
  XdpPlaces places;
  places.umem = PlaceOf(&args, at, "umem", static_cast<size_t>(options.frameSize) * options.frameCount, view);
  places.fill = PlaceOf(&args, at, "fill", ring(options.fillSize, sizeof(uint64_t)), view);
  places.completion = PlaceOf(&args, at, "completion", ring(options.completionSize, sizeof(uint64_t)), view);
  places.rx = PlaceOf(&args, at, "rx", ring(options.rxSize, layout::XDP_DESC_SIZEOF), view);
  places.tx = PlaceOf(&args, at, "tx", ring(options.txSize, layout::XDP_DESC_SIZEOF), view);
  if (!args.ok()) return info.Env().Undefined();
  const int error = socket_.Open(options, places);
  if (error == 0) view_ = Napi::Reference<Napi::Value>::New(info[1], 1);
  return Napi::Number::New(info.Env(), error);
}

Napi::Value XdpObject::Ring(Info info) {
  Arguments args(info, "ring");
  const int64_t index = args.Integer(info[0], "index", 0, 3);
  if (!args.ok()) return info.Env().Undefined();
  const XdpRing& ring = socket_.ring(static_cast<int>(index));
  Napi::Object object = Napi::Object::New(info.Env());
  object.Set("producer", ring.producer);
  object.Set("consumer", ring.consumer);
  object.Set("flags", ring.flags);
  object.Set("entries", ring.entries);
  return object;
}

Napi::Value XdpObject::Drops(Info info) { return Napi::Number::New(info.Env(), static_cast<double>(socket_.Drops())); }

Napi::Value XdpObject::IsZeroCopy(Info info) { return Napi::Boolean::New(info.Env(), socket_.isZeroCopy()); }

// ------------------------------------------------------------------------------------------------ XdpProgram

void XdpProgramObject::Define(Napi::Env env, Napi::Object exports) {
  exports.Set("XdpProgram", DefineClass(env, "XdpProgram",
                                        {
                                            InstanceMethod("open", &XdpProgramObject::Open),
                                            InstanceMethod("setSocket", &XdpProgramObject::SetSocket),
                                            InstanceMethod("close", &XdpProgramObject::Close),
                                            InstanceAccessor("operation", &XdpProgramObject::Operation, nullptr),
                                        }));
}

namespace {

/** What the program of a port knows of hot flows; `factors` holds a word for each of the key's. */
HotOptions HotOptionsOf(Arguments* args, const Napi::CallbackInfo& info) {
  HotOptions hot;
  const Napi::Object object = args->Object(3, "hot");
  const View<uint8_t> factors = args->Bytes(4, "factors");
  if (!args->ok()) return hot;
  args->Inside(0, sizeof(hot.factors), factors.length);
  hot.values = IntegerOf(args, object, "values", 0, INT32_MAX, -1);
  hot.devices = IntegerOf(args, object, "devices", 0, INT32_MAX, -1);
  hot.pairBits = static_cast<uint32_t>(IntegerOf(args, object, "pairBits", 1, 20, 0));
  hot.recordCount = static_cast<uint32_t>(IntegerOf(args, object, "recordCount", 1, 1 << 20, 0));
  hot.portNo = static_cast<uint32_t>(IntegerOf(args, object, "portNo", 0, INT32_MAX, 0));
  hot.isSoft = info[3].As<Napi::Object>().Get("isSoft").ToBoolean();
  if (args->ok()) memcpy(hot.factors, factors.data, sizeof(hot.factors));
  return hot;
}

}  // namespace

Napi::Value XdpProgramObject::Open(Info info) {
  Arguments args(info, "open");
  const int64_t ifindex = args.Integer(info[0], "ifindex", 1, INT32_MAX);
  const int64_t mode = args.Integer(info[1], "mode", 0, INT32_MAX);
  const int64_t queueCount = args.Integer(info[2], "queueCount", 1, UINT16_MAX);
  if (!args.ok()) return info.Env().Undefined();
  HotOptions hot;
  const bool isHot = !info[3].IsUndefined();
  if (isHot) hot = HotOptionsOf(&args, info);
  if (!args.ok()) return info.Env().Undefined();
  const int error =
      socket_.Open(static_cast<int>(ifindex), static_cast<uint32_t>(mode), static_cast<uint32_t>(queueCount), isHot ? &hot : nullptr);
  return Napi::Number::New(info.Env(), error);
}

Napi::Value XdpProgramObject::SetSocket(Info info) {
  Arguments args(info, "setSocket");
  const int64_t queue = args.Integer(info[0], "queue", 0, UINT16_MAX);
  const int64_t socket = args.Integer(info[1], "socket", 0, INT32_MAX);
  if (!args.ok()) return info.Env().Undefined();
  return Napi::Number::New(info.Env(), socket_.SetSocket(static_cast<uint32_t>(queue), static_cast<int>(socket)));
}

// ------------------------------------------------------------------------------------------------ HotFlows

void HotObject::Define(Napi::Env env, Napi::Object exports) {
  exports.Set("HotFlows", DefineClass(env, "HotFlows",
                                      {
                                          InstanceMethod("open", &HotObject::Open),
                                          InstanceMethod("setDevice", &HotObject::SetDevice),
                                          InstanceMethod("clearDevice", &HotObject::ClearDevice),
                                          InstanceMethod("close", &HotObject::Close),
                                          InstanceAccessor("values", &HotObject::Values, nullptr),
                                          InstanceAccessor("devices", &HotObject::Devices, nullptr),
                                          InstanceAccessor("operation", &HotObject::Operation, nullptr),
                                      }));
}

Napi::Value HotObject::Open(Info info) {
  Arguments args(info, "open");
  const View<uint8_t> view = args.Bytes(0, "view");
  const int64_t offset = args.Integer(info[1], "offset", 0, kSizeMax);
  const int64_t size = args.Integer(info[2], "size", 1, INT32_MAX);
  const int64_t portCount = args.Integer(info[3], "portCount", 1, UINT16_MAX);
  if (!args.ok()) return info.Env().Undefined();
  args.Inside(offset, static_cast<size_t>(size), view.length);
  args.Aligned(reinterpret_cast<uintptr_t>(view.data) + offset, sysconf(_SC_PAGESIZE), "offset");
  if (!args.ok()) return info.Env().Undefined();
  const int error = socket_.Open(view.data + offset, static_cast<size_t>(size), static_cast<uint32_t>(portCount));
  if (error == 0) view_ = Napi::Reference<Napi::Value>::New(info[0], 1);
  return Napi::Number::New(info.Env(), error);
}

Napi::Value HotObject::SetDevice(Info info) {
  Arguments args(info, "setDevice");
  const int64_t portNo = args.Integer(info[0], "portNo", 0, UINT16_MAX);
  const int64_t ifindex = args.Integer(info[1], "ifindex", 1, INT32_MAX);
  if (!args.ok()) return info.Env().Undefined();
  return Napi::Number::New(info.Env(), socket_.SetDevice(static_cast<uint32_t>(portNo), static_cast<uint32_t>(ifindex)));
}

Napi::Value HotObject::ClearDevice(Info info) {
  Arguments args(info, "clearDevice");
  const int64_t portNo = args.Integer(info[0], "portNo", 0, UINT16_MAX);
  if (args.ok()) socket_.ClearDevice(static_cast<uint32_t>(portNo));
  return info.Env().Undefined();
}

// ------------------------------------------------------------------------------------------------ TapQueue

void TapObject::Define(Napi::Env env, Napi::Object exports) {
  exports.Set("TapQueue", DefineClass(env, "TapQueue",
                                      {
                                          InstanceMethod("open", &TapObject::Open),
                                          InstanceMethod("close", &TapObject::Close),
                                          InstanceAccessor("fd", &TapObject::Fd, nullptr),
                                          InstanceAccessor("name", &TapObject::Name, nullptr),
                                          InstanceAccessor("operation", &TapObject::Operation, nullptr),
                                      }));
}

Napi::Value TapObject::Open(Info info) {
  Arguments args(info, "open");
  const bool isMany = args.Boolean(1, "isMany");
  if (args.ok() && !info[0].IsString()) Napi::TypeError::New(info.Env(), "open: name must be a string").ThrowAsJavaScriptException();
  if (!args.ok() || !info[0].IsString()) return info.Env().Undefined();
  return Napi::Number::New(info.Env(), socket_.Open(info[0].As<Napi::String>().Utf8Value(), isMany));
}

Napi::Value TapObject::Name(Info info) { return Napi::String::New(info.Env(), socket_.name()); }

// ------------------------------------------------------------------------------------------------ Pump

void PumpObject::Define(Napi::Env env, Napi::Object exports) {
  exports.Set("Pump", DefineClass(env, "Pump",
                                  {
                                      InstanceMethod("kick", &PumpObject::Kick),
                                  }));
  exports.Set("openWake", Napi::Function::New(env, OpenWake, "openWake"));
  exports.Set("wake", Napi::Function::New(env, Wake, "wake"));
  exports.Set("awaitWake", Napi::Function::New(env, AwaitWake, "awaitWake"));
  exports.Set("closeWake", Napi::Function::New(env, CloseWake, "closeWake"));
}

PumpObject::PumpObject(Info info) : Napi::ObjectWrap<PumpObject>(info) {
  Arguments args(info, "Pump");
  const View<uint8_t> view = args.Bytes(0, "memory");
  if (!args.ok()) return;
  pump_ = std::make_unique<Pump>(view.data, view.length);
  view_ = Napi::Reference<Napi::Value>::New(info[0], 1);
}

Napi::Value PumpObject::Kick(Info info) {
  Arguments args(info, "kick");
  const int64_t list = args.Integer(info[0], "list", 0, UINT32_MAX);
  const int64_t count = args.Integer(info[1], "count", 0, UINT16_MAX);
  if (!args.ok()) return info.Env().Undefined();
  return Napi::Number::New(info.Env(), pump_->Kick(static_cast<uint32_t>(list), static_cast<uint32_t>(count)));
}

}  // namespace wdp
