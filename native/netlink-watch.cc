/*
 * Readiness on the event loop, by uv_poll. netlink-watch.h has the rules.
 */
#include "netlink-watch.h"

namespace wdp {

int Watch::Start(uv_loop_t* loop, int fd, int wakeFd, Ready ready, void* context, Watch** watch) {
  auto* made = new Watch(ready, context);
  int error = uv_poll_init(loop, &made->poll_, fd);
  if (error < 0) {
    delete made;
    return error;
  }
  made->handles_ = 1;
  made->poll_.data = made;
  error = uv_poll_start(&made->poll_, UV_READABLE, OnReadable);
  if (error == 0 && wakeFd >= 0) error = made->WatchWake(wakeFd);
  if (error < 0) {
    made->Close();
    return error;
  }
  *watch = made;
  return 0;
}

int Watch::WatchWake(int wakeFd) {
  if (hasWake_) return 0;
  const int error = uv_poll_init(poll_.loop, &wake_, wakeFd);
  if (error < 0) return error;
  hasWake_ = true;
  handles_++;
  wake_.data = this;
  uv_unref(reinterpret_cast<uv_handle_t*>(&wake_));
  return uv_poll_start(&wake_, UV_READABLE, OnWake);
}

void Watch::Close() {
  uv_close(reinterpret_cast<uv_handle_t*>(&poll_), OnClosed);
  if (hasWake_) uv_close(reinterpret_cast<uv_handle_t*>(&wake_), OnClosed);
}

void Watch::KeepLoop(bool keep) {
  auto* handle = reinterpret_cast<uv_handle_t*>(&poll_);
  if (keep) {
    uv_ref(handle);
  } else {
    uv_unref(handle);
  }
}

void Watch::OnReadable(uv_poll_t* handle, int status, int /* events */) {
  auto* self = static_cast<Watch*>(handle->data);
  // libuv ends a poll when the socket has an error to tell, which is an overrun here: the next receive takes it.
  if (status < 0) uv_poll_start(handle, UV_READABLE, OnReadable);
  self->ready_(self->context_);
}

void Watch::OnWake(uv_poll_t* handle, int /* status */, int /* events */) {
  auto* self = static_cast<Watch*>(handle->data);
  uv_poll_stop(handle);
  self->ready_(self->context_);
}

void Watch::OnClosed(uv_handle_t* handle) {
  auto* self = static_cast<Watch*>(handle->data);
  if (--self->handles_ == 0) delete self;
}

}  // namespace wdp
