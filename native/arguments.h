/*
 * Reading the arguments of a call from JavaScript. Keeps the first mistake and goes quiet: check `ok()` once, before anything happens.
 *
 * A view is taken as a typed array and never by its buffer: that works over SharedArrayBuffer and the memory of a WebAssembly module in
 * every Node. Its pointer is good until the call returns. A wrong type is a TypeError, a number out of range a RangeError.
 */
#pragma once

#include <napi.h>

#include <cstddef>
#include <cstdint>

namespace wdp {

template <typename T>
struct View {
  T* data = nullptr;
  size_t length = 0;
};

class Arguments {
 public:
  Arguments(const Napi::CallbackInfo& info, const char* operation) : info_(info), operation_(operation) {}

  bool ok() const { return ok_; }
  View<uint8_t> Bytes(size_t index, const char* name) { return TypedArray<uint8_t>(index, napi_uint8_array, name, "a Uint8Array"); }
  View<int32_t> Words(size_t index, const char* name) { return TypedArray<int32_t>(index, napi_int32_array, name, "an Int32Array"); }
  /** A whole number from `min` to `max`. */
  int64_t Integer(napi_value value, const char* name, int64_t min, int64_t max);
  /** The same; `fallback` where it is undefined. */
  int64_t IntegerOr(napi_value value, const char* name, int64_t min, int64_t max, int64_t fallback);
  /** Milliseconds, not necessarily whole. */
  double Timeout(size_t index);
  bool Boolean(size_t index, const char* name);
  napi_value Function(size_t index, const char* name);
  Napi::Object Object(size_t index, const char* name);
  /** `size` bytes at `offset` must be inside of a view of `length`. */
  void Inside(size_t offset, size_t size, size_t length);
  /** An address or a size that must be a multiple. */
  void Aligned(uint64_t value, uint64_t alignment, const char* name);

 private:
  template <typename T>
  View<T> TypedArray(size_t index, napi_typedarray_type wanted, const char* name, const char* what) {
    napi_typedarray_type type;
    View<T> view;
    void* data = nullptr;
    const napi_status status =
        napi_get_typedarray_info(info_.Env(), info_[index], &type, &view.length, &data, nullptr, nullptr);
    if (status != napi_ok || type != wanted) {
      TypeMistake(name, what);
      return {};
    }
    view.data = static_cast<T*>(data);
    return view;
  }
  bool IsFirst();
  void TypeMistake(const char* name, const char* what);
  void RangeMistake(const char* name, const char* what);

  const Napi::CallbackInfo& info_;
  const char* operation_;
  bool ok_ = true;
};

}  // namespace wdp
