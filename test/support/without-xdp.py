"""
Runs a program as on a kernel without AF_XDP: socket(AF_XDP, ...) is refused with EAFNOSUPPORT, by a seccomp filter that the program inherits.

    without-xdp.py PROGRAM ARGS...
"""
import ctypes
import os
import platform
import struct
import sys

AF_XDP = 44
EAFNOSUPPORT = 97
# AUDIT_ARCH_* and the number of socket(2)
ARCHITECTURE, NR_SOCKET = {"x86_64": (0xC000003E, 41), "aarch64": (0xC00000B7, 198)}[platform.machine()]
PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS, SECCOMP_MODE_FILTER = 22, 38, 2
LOAD, JUMP_EQUAL, RETURN = 0x20, 0x15, 0x06
RET_ALLOW, RET_ERRNO = 0x7FFF0000, 0x00050000


def step(code, value, then=0, otherwise=0):
    return struct.pack("HBBI", code, then, otherwise, value)


# struct seccomp_data: nr 0, arch 4, args from 16 on
FILTER = b"".join(
    [
        step(LOAD, 4),
        step(JUMP_EQUAL, ARCHITECTURE, 0, 4),
        step(LOAD, 0),
        step(JUMP_EQUAL, NR_SOCKET, 0, 2),
        step(LOAD, 16),
        step(JUMP_EQUAL, AF_XDP, 1, 0),
        step(RETURN, RET_ALLOW),
        step(RETURN, RET_ERRNO | EAFNOSUPPORT),
    ]
)


class Program(ctypes.Structure):
    _fields_ = [("len", ctypes.c_ushort), ("filter", ctypes.c_void_p)]


steps = ctypes.create_string_buffer(FILTER)
program = Program(len(FILTER) // 8, ctypes.cast(steps, ctypes.c_void_p))
libc = ctypes.CDLL(None, use_errno=True)
for arguments in [(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), (PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(program), 0, 0)]:
    if libc.prctl(*arguments) != 0:
        sys.exit(os.strerror(ctypes.get_errno()))
os.execv(sys.argv[1], sys.argv[1:])
