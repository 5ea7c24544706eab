/*
 * PacketSocket, XdpSocket, XdpProgram, HotFlows, TapQueue and Pump as JavaScript sees them: arguments checked, then handed to packet-socket.h, xdp-socket.h,
 * xdp-program.h, tap.h and pump.h. src/native/io.ts describes every method.
 *
 * Ownership. An object with a view keeps the view's memory alive. A socket is closed by close, by the garbage collector, or with its thread.
 * Threads. Each thread that loads the addon has classes of its own; no globals.
 */
#pragma once

#include <napi.h>

#include <memory>

#include "packet-socket.h"
#include "pump.h"
#include "tap.h"
#include "xdp-program.h"
#include "xdp-socket.h"

namespace wdp {

/** What objects over descriptors have in common, `Fd` for those with one. `view_` keeps the memory alive that the kernel has a part of. */
template <typename Self, typename Socket>
class DescriptorObject : public Napi::ObjectWrap<Self> {
 public:
  explicit DescriptorObject(const Napi::CallbackInfo& info) : Napi::ObjectWrap<Self>(info) {}

  Napi::Value Close(const Napi::CallbackInfo& info) {
    socket_.Close();
    view_.Reset();
    return info.Env().Undefined();
  }
  Napi::Value Fd(const Napi::CallbackInfo& info) { return Napi::Number::New(info.Env(), socket_.fd()); }
  Napi::Value Operation(const Napi::CallbackInfo& info) { return Napi::String::New(info.Env(), socket_.operation()); }

 protected:
  Socket socket_;
  Napi::Reference<Napi::Value> view_;
};

class PacketObject : public DescriptorObject<PacketObject, PacketSocket> {
 public:
  static void Define(Napi::Env env, Napi::Object exports);
  using DescriptorObject::DescriptorObject;

 private:
  using Info = const Napi::CallbackInfo&;

  Napi::Value Open(Info info);
  Napi::Value Counts(Info info);
  Napi::Value FanoutGroup(Info info);
};

class XdpObject : public DescriptorObject<XdpObject, XdpSocket> {
 public:
  static void Define(Napi::Env env, Napi::Object exports);
  using DescriptorObject::DescriptorObject;

 private:
  using Info = const Napi::CallbackInfo&;

  Napi::Value Open(Info info);
  Napi::Value Ring(Info info);
  Napi::Value Drops(Info info);
  Napi::Value IsZeroCopy(Info info);
};

class XdpProgramObject : public DescriptorObject<XdpProgramObject, XdpProgram> {
 public:
  static void Define(Napi::Env env, Napi::Object exports);
  using DescriptorObject::DescriptorObject;

 private:
  using Info = const Napi::CallbackInfo&;

  Napi::Value Open(Info info);
  Napi::Value SetSocket(Info info);
};

class HotObject : public DescriptorObject<HotObject, HotFlows> {
 public:
  static void Define(Napi::Env env, Napi::Object exports);
  using DescriptorObject::DescriptorObject;

 private:
  using Info = const Napi::CallbackInfo&;

  Napi::Value Open(Info info);
  Napi::Value SetDevice(Info info);
  Napi::Value ClearDevice(Info info);
  Napi::Value Values(Info info) { return Napi::Number::New(info.Env(), socket_.values()); }
  Napi::Value Devices(Info info) { return Napi::Number::New(info.Env(), socket_.devices()); }
};

class TapObject : public DescriptorObject<TapObject, TapQueue> {
 public:
  static void Define(Napi::Env env, Napi::Object exports);
  using DescriptorObject::DescriptorObject;

 private:
  using Info = const Napi::CallbackInfo&;

  Napi::Value Open(Info info);
  Napi::Value Name(Info info);
};

class PumpObject : public Napi::ObjectWrap<PumpObject> {
 public:
  static void Define(Napi::Env env, Napi::Object exports);
  explicit PumpObject(const Napi::CallbackInfo& info);

 private:
  using Info = const Napi::CallbackInfo&;

  Napi::Value Kick(Info info);

  std::unique_ptr<Pump> pump_;
  Napi::Reference<Napi::Value> view_;
};

}  // namespace wdp
