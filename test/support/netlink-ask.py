"""
Asks the kernel: one message a line in hex comes in (its sequence number is written here), all messages of the answer go out, in hex, one line each.

  python3 netlink-ask.py PROTOCOL

An answer ends with NLMSG_ERROR or NLMSG_DONE. Extended acknowledgements are asked for, and capped.
"""
import socket
import struct
import sys

SOL_NETLINK, NETLINK_CAP_ACK, NETLINK_EXT_ACK = 270, 10, 11
NLMSG_ERROR, NLMSG_DONE = 2, 3

link = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, int(sys.argv[1]))
link.setsockopt(SOL_NETLINK, NETLINK_CAP_ACK, 1)
link.setsockopt(SOL_NETLINK, NETLINK_EXT_ACK, 1)
link.bind((0, 0))
link.settimeout(10)

for seq, line in enumerate(sys.stdin, 1):
    message = bytearray.fromhex(line.strip())
    struct.pack_into("<I", message, 8, seq)
    link.send(message)
    answer, done = b"", False
    while not done:
        data = link.recv(1 << 20)
        at = 0
        while len(data) - at >= 16:
            size, kind, _, number = struct.unpack_from("<IHHI", data, at)
            part = data[at : at + size]
            if number == seq:
                answer += part + bytes(-len(part) % 4)
                done = done or kind in (NLMSG_ERROR, NLMSG_DONE)
            at += (size + 3) // 4 * 4
    print(answer.hex())
