/*
 * The native addon: the system calls that neither Node nor WASM can make, and nothing else. No parsing, no policy, no
 * state: each function asks the kernel once and answers with plain numbers.
 *
 * Threads: context-aware and free of globals, so every worker thread loads its own instance; each function concerns the
 * calling thread or the whole host, as its comment says.
 * Errors: what the kernel refuses comes back as an errno value in the result (0: done). Arguments of the wrong type are
 * a programmer's mistake and throw TypeError.
 */
#pragma once

#include <napi.h>

#include "fd.h"

namespace wdp {

/** setAffinity(cpus: Int32Array | number[]): number. Pins the calling thread to these CPUs; returns 0 or an errno. */
Napi::Value SetAffinity(const Napi::CallbackInfo& info);

/**
 * setUrgent(on: boolean): number. Has the calling thread run before all ordinary ones (SCHED_RR, its lowest priority), or as one of them again; threads that
 * it makes are ordinary. Returns 0 or an errno: EPERM without CAP_SYS_NICE.
 */
Napi::Value SetUrgent(const Napi::CallbackInfo& info);

/** capabilities(): { netAdmin, netRaw, ipcLock, sysAdmin, sysNice, bpf }. What the calling thread may do now. */
Napi::Value Capabilities(const Napi::CallbackInfo& info);

/** probe(): what the kernel offers to this process; each answer is { available, errno }. */
Napi::Value Probe(const Napi::CallbackInfo& info);

/** notify(path, text): number. One datagram to a unix socket (`@` begins an abstract name); 0 or -errno. */
Napi::Value Notify(const Napi::CallbackInfo& info);

}  // namespace wdp
