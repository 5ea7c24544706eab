/*
 * CPU affinity of the calling thread: a poller stays on its CPU, so that its caches stay warm; and its urgency: who takes over from a dead one does not wait for a CPU.
 *
 * The list of CPUs is read on the calling thread before anything is changed; a bad entry changes nothing.
 */
#include <sched.h>

#include <cerrno>
#include <cmath>

#include "addon.h"
#include "arguments.h"

namespace wdp {
namespace {

/** Adds one CPU to the set; false when no such CPU number can exist. */
bool AddCpu(double cpu, cpu_set_t* set) {
  if (!(cpu >= 0 && cpu < CPU_SETSIZE) || std::floor(cpu) != cpu) return false;
  CPU_SET(static_cast<unsigned>(cpu), set);
  return true;
}

/** Fills the set from an Int32Array or an array of numbers; false when it is neither or holds anything else. */
bool ReadCpus(const Napi::Value& value, cpu_set_t* set) {
  CPU_ZERO(set);
  if (value.IsTypedArray() && value.As<Napi::TypedArray>().TypedArrayType() == napi_int32_array) {
    const auto cpus = value.As<Napi::Int32Array>();
    const int32_t* data = cpus.Data();
    for (size_t i = 0; i < cpus.ElementLength(); i++) {
      if (!AddCpu(data[i], set)) return false;
    }
    return true;
  }
  if (!value.IsArray()) return false;
  const auto cpus = value.As<Napi::Array>();
  for (uint32_t i = 0; i < cpus.Length(); i++) {
    const Napi::Value cpu = cpus[i];
    if (!cpu.IsNumber() || !AddCpu(cpu.As<Napi::Number>().DoubleValue(), set)) return false;
  }
  return true;
}

}  // namespace

Napi::Value SetAffinity(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  cpu_set_t set;
  if (info.Length() < 1 || !ReadCpus(info[0], &set)) {
    Napi::TypeError::New(env, "setAffinity: cpus must be an Int32Array or an array of CPU numbers from 0 to 1023")
        .ThrowAsJavaScriptException();
    return env.Undefined();
  }
  const int error = sched_setaffinity(0, sizeof(set), &set) == 0 ? 0 : errno;
  return Napi::Number::New(env, error);
}

Napi::Value SetUrgent(const Napi::CallbackInfo& info) {
  Arguments args(info, "setUrgent");
  const bool on = args.Boolean(0, "on");
  if (!args.ok()) return info.Env().Undefined();
  const int policy = on ? SCHED_RR | SCHED_RESET_ON_FORK : SCHED_OTHER | SCHED_RESET_ON_FORK;
  const sched_param param = {on ? sched_get_priority_min(SCHED_RR) : 0};
  return Napi::Number::New(info.Env(), sched_setscheduler(0, policy, &param) == 0 ? 0 : errno);
}

}  // namespace wdp
