/*
 * Reading arguments: the checks of arguments.h.
 */
#include "arguments.h"

#include <cmath>
#include <string>
#include <utility>

namespace wdp {

/** Notes a mistake. Nothing is thrown over what a property's getter has thrown already. */
bool Arguments::IsFirst() { return std::exchange(ok_, false) && !info_.Env().IsExceptionPending(); }

void Arguments::TypeMistake(const char* name, const char* what) {
  if (IsFirst()) {
    const std::string text = std::string(operation_) + ": " + name + " must be " + what;
    Napi::TypeError::New(info_.Env(), text).ThrowAsJavaScriptException();
  }
}

void Arguments::RangeMistake(const char* name, const char* what) {
  if (IsFirst()) {
    const std::string text = std::string(operation_) + ": " + name + " " + what;
    Napi::RangeError::New(info_.Env(), text).ThrowAsJavaScriptException();
  }
}

int64_t Arguments::Integer(napi_value value, const char* name, int64_t min, int64_t max) {
  double number = 0;
  if (napi_get_value_double(info_.Env(), value, &number) != napi_ok) {
    TypeMistake(name, "a number");
    return min;
  }
  if (!(number >= static_cast<double>(min) && number <= static_cast<double>(max)) || std::floor(number) != number) {
    const std::string range = "must be a whole number from " + std::to_string(min) + " to " + std::to_string(max);
    RangeMistake(name, range.c_str());
    return min;
  }
  return static_cast<int64_t>(number);
}

int64_t Arguments::IntegerOr(napi_value value, const char* name, int64_t min, int64_t max, int64_t fallback) {
  napi_valuetype type;
  if (napi_typeof(info_.Env(), value, &type) == napi_ok && type == napi_undefined) return fallback;
  return Integer(value, name, min, max);
}

double Arguments::Timeout(size_t index) {
  double timeoutMs = 0;
  if (napi_get_value_double(info_.Env(), info_[index], &timeoutMs) != napi_ok) {
    TypeMistake("timeoutMs", "a number");
  } else if (std::isnan(timeoutMs)) {
    RangeMistake("timeoutMs", "is not a number of milliseconds");
  }
  constexpr double kForever = 1e12;
  return timeoutMs < kForever ? timeoutMs : -1;
}

bool Arguments::Boolean(size_t index, const char* name) {
  bool value = false;
  if (napi_get_value_bool(info_.Env(), info_[index], &value) != napi_ok) TypeMistake(name, "a boolean");
  return value;
}

napi_value Arguments::Function(size_t index, const char* name) {
  if (!info_[index].IsFunction()) TypeMistake(name, "a function");
  return info_[index];
}

Napi::Object Arguments::Object(size_t index, const char* name) {
  if (info_[index].IsObject()) return info_[index].As<Napi::Object>();
  TypeMistake(name, "an object");
  return Napi::Object::New(info_.Env());
}

void Arguments::Inside(size_t offset, size_t size, size_t length) {
  if (offset > length || size > length - offset) RangeMistake("what was asked for", "is not inside of the view");
}

void Arguments::Aligned(uint64_t value, uint64_t alignment, const char* name) {
  if (value % alignment != 0) RangeMistake(name, ("must be aligned to " + std::to_string(alignment)).c_str());
}

}  // namespace wdp
