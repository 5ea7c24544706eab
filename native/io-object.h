/*
 * PacketSocket, XdpSocket, XdpProgram, TapQueue and Pump as JavaScript sees them: arguments checked, then handed to packet-socket.h, xdp-socket.h,
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

class PacketObject : public Napi::ObjectWrap<PacketObject> {
 public:
  static void Define(Napi::Env env, Napi::Object exports);
  explicit PacketObject(const Napi::CallbackInfo& info);

 private:
  using Info = const Napi::CallbackInfo&;

  Napi::Value Open(Info info);
  Napi::Value Counts(Info info);
  Napi::Value Close(Info info);
  Napi::Value Fd(Info info);
  Napi::Value Operation(Info info);
  Napi::Value FanoutGroup(Info info);

  PacketSocket socket_;
  Napi::Reference<Napi::Value> view_;
};

class XdpObject : public Napi::ObjectWrap<XdpObject> {
 public:
  static void Define(Napi::Env env, Napi::Object exports);
  explicit XdpObject(const Napi::CallbackInfo& info) : Napi::ObjectWrap<XdpObject>(info) {}

 private:
  using Info = const Napi::CallbackInfo&;

  Napi::Value Open(Info info);
  Napi::Value Ring(Info info);
  Napi::Value Drops(Info info);
  Napi::Value Close(Info info);
  Napi::Value Fd(Info info);
  Napi::Value IsZeroCopy(Info info);
  Napi::Value Operation(Info info);

  XdpSocket socket_;
  Napi::Reference<Napi::Value> view_;
};

class XdpProgramObject : public Napi::ObjectWrap<XdpProgramObject> {
 public:
  static void Define(Napi::Env env, Napi::Object exports);
  explicit XdpProgramObject(const Napi::CallbackInfo& info) : Napi::ObjectWrap<XdpProgramObject>(info) {}

 private:
  using Info = const Napi::CallbackInfo&;

  Napi::Value Open(Info info);
  Napi::Value SetSocket(Info info);
  Napi::Value Close(Info info);
  Napi::Value Operation(Info info);

  XdpProgram program_;
};

class TapObject : public Napi::ObjectWrap<TapObject> {
 public:
  static void Define(Napi::Env env, Napi::Object exports);
  explicit TapObject(const Napi::CallbackInfo& info) : Napi::ObjectWrap<TapObject>(info) {}

 private:
  using Info = const Napi::CallbackInfo&;

  Napi::Value Open(Info info);
  Napi::Value Close(Info info);
  Napi::Value Fd(Info info);
  Napi::Value Name(Info info);
  Napi::Value Operation(Info info);

  TapQueue queue_;
};

class PumpObject : public Napi::ObjectWrap<PumpObject> {
 public:
  static void Define(Napi::Env env, Napi::Object exports);
  explicit PumpObject(const Napi::CallbackInfo& info);

 private:
  using Info = const Napi::CallbackInfo&;

  Napi::Value Kick(Info info);
  Napi::Value Sleep(Info info);

  std::unique_ptr<Pump> pump_;
  Napi::Reference<Napi::Value> view_;
};

}  // namespace wdp
