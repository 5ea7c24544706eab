{
  "targets": [
    {
      "target_name": "wdp_native",
      "sources": [
        "native/addon.cc",
        "native/affinity.cc",
        "native/arguments.cc",
        "native/bpf.cc",
        "native/capabilities.cc",
        "native/hot-flows.cc",
        "native/io-object.cc",
        "native/lifeline.cc",
        "native/netlink-object.cc",
        "native/netlink-receive.cc",
        "native/netlink-replies.cc",
        "native/netlink-ring.cc",
        "native/netlink-socket.cc",
        "native/netlink-transact.cc",
        "native/netlink-vector.cc",
        "native/netlink-watch.cc",
        "native/notify.cc",
        "native/packet-socket.cc",
        "native/poll-set.cc",
        "native/poll-set-object.cc",
        "native/probe.cc",
        "native/pump.cc",
        "native/sleeper.cc",
        "native/tap.cc",
        "native/xdp-program.cc",
        "native/xdp-socket.cc",
        "native/ready-callback.cc"
      ],
      "defines": [
        "NAPI_VERSION=8",
        "NAPI_DISABLE_CPP_EXCEPTIONS",
        "NODE_API_SWALLOW_UNTHROWABLE_EXCEPTIONS",
        "NODE_ADDON_API_DISABLE_DEPRECATED"
      ],
      "cflags_cc!": ["-std=gnu++14", "-std=gnu++17", "-std=gnu++20", "-fexceptions"],
      "cflags_cc": [
        "-std=c++17",
        "-fno-exceptions",
        "-fvisibility=hidden",
        "-Wall",
        "-Wextra",
        "-Werror",
        "-isystem <!(node -p \"require('path').dirname(require.resolve('node-addon-api/package.json'))\")"
      ]
    }
  ]
}
