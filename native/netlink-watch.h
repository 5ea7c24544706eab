/*
 * Readiness on the event loop: calls back while a descriptor has something to read or an error to tell. Between uv_poll of the thread's loop
 * and netlink-object.cc.
 *
 * Ownership. Start makes it and Close ends it; the memory goes when libuv has let go of the handles. The descriptors are not its own, and
 *   stay open until Close has returned.
 * Threads. That of the loop. A loop cannot end with a live handle, so whoever starts a watch closes it in the clean-up hook.
 */
#pragma once

#include <uv.h>

namespace wdp {

class Watch {
 public:
  using Ready = void (*)(void* context);

  /** Watches `fd`, and `wakeFd` (-1 none) for one call only, as an event counter that was raised stays so. 0, or -errno. */
  static int Start(uv_loop_t* loop, int fd, int wakeFd, Ready ready, void* context, Watch** watch);
  int WatchWake(int wakeFd);
  /** No call comes after this. */
  void Close();
  /** Whether it keeps the loop running. */
  void KeepLoop(bool keep);

 private:
  Watch(Ready ready, void* context) : ready_(ready), context_(context) {}
  static void OnReadable(uv_poll_t* handle, int status, int events);
  static void OnWake(uv_poll_t* handle, int status, int events);
  static void OnClosed(uv_handle_t* handle);

  uv_poll_t poll_ = {};
  uv_poll_t wake_ = {};
  bool hasWake_ = false;
  int handles_ = 0;
  Ready ready_;
  void* context_;
};

}  // namespace wdp
