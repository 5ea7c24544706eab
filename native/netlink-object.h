/*
 * NetlinkSocket, the class that JavaScript sees: arguments checked, then handed to Socket (netlink-socket.h) and Transactions
 * (netlink-transact.h), answered with a number. src/native/netlink.ts describes every method.
 *
 * Ownership. The object owns its socket: close, or the garbage collector, or the end of the thread closes it. While it is watched it is kept
 *   alive. What receiving needs of scratch memory is one a thread, in NetlinkClass.
 * Threads. Each thread that loads the addon has a class of its own, found through the instance data of its environment; no globals.
 */
#pragma once

#include <napi.h>

#include "arguments.h"
#include "netlink-socket.h"
#include "netlink-transact.h"
#include "ready-callback.h"

namespace wdp {

/** What a thread has of this class. */
struct NetlinkClass {
  Napi::FunctionReference constructor;
  Scratch scratch;
  /** Set while open or adopt make an object: nobody else may. */
  bool isMaking = false;
};

class NetlinkObject : public Napi::ObjectWrap<NetlinkObject> {
 public:
  static void Define(Napi::Env env, Napi::Object exports);
  explicit NetlinkObject(const Napi::CallbackInfo& info);

 private:
  using Info = const Napi::CallbackInfo&;

  static Napi::Value Open(Info info);
  static Napi::Value Adopt(Info info);
  Napi::Value Fd(Info info);
  Napi::Value PortId(Info info);
  Napi::Value Protocol(Info info);
  Napi::Value Peer(Info info);
  Napi::Value ReceiveBufferSize(Info info);
  Napi::Value Closed(Info info);

  Napi::Value SetOption(Info info);
  Napi::Value PassCredentials(Info info);
  Napi::Value SetReceiveBuffer(Info info);
  Napi::Value AllocateSequence(Info info);
  Napi::Value SetSequence(Info info);
  Napi::Value Send(Info info);
  Napi::Value Receive(Info info);
  Napi::Value PeekSize(Info info);
  Napi::Value Drain(Info info);
  Napi::Value Wait(Info info);
  Napi::Value Watch_(Info info);
  Napi::Value Unwatch(Info info);
  Napi::Value Ref_(Info info);
  Napi::Value Unref_(Info info);
  Napi::Value BeginTransactions(Info info);
  Napi::Value ContinueTransactions(Info info);
  Napi::Value CancelTransactions(Info info);
  Napi::Value FillRing(Info info);
  Napi::Value MapRing(Info info);
  Napi::Value UnmapRings(Info info);
  Napi::Value Share(Info info);
  Napi::Value Statistics(Info info);
  Napi::Value Close(Info info);

  Napi::Value Number(double value) { return Napi::Number::New(Env(), value); }
  Deadline DeadlineOf(double timeoutMs);

  Socket socket_;
  Transactions transactions_;
  ReadyCallback ready_;
  /** The view that a kernel ring is mapped over. */
  Napi::Reference<Napi::Value> ringView_;
};

}  // namespace wdp
