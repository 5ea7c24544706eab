"""Records the kernel's replies to a few requests, as test/corpus/netlink/*.json. It fills the calling network namespace first, so give it a private one:

  unshare -n python3 test/support/record-netlink.py test/corpus/netlink
"""
import json
import os
import socket
import struct
import subprocess
import sys

REQUEST, ACK, ROOT_MATCH = 1, 4, 0x300
EXT_ACK, CAP_ACK, STRICT = 11, 10, 12

SETUP = """
link set lo up
link add d0 type veth peer name d1
link set d1 up
link set d0 up
addr add 192.0.2.1/24 dev d0
addr add 2001:db8::1/64 dev d0 nodad
neigh add 192.0.2.9 lladdr 02:00:00:00:00:09 dev d0
"""


def message(kind, flags, payload):
    return struct.pack("=IHHII", 16 + len(payload), kind, flags, 1, 0) + payload


def listed(*args):
    """How many entries `ip` lists."""
    rows = json.loads(subprocess.run(["ip", "-j", *args], check=True, capture_output=True).stdout)
    return sum(len(row["addr_info"]) for row in rows) if args[0] == "addr" else len(rows)


def record(folder, name, protocol, request, capped, text, count=None):
    sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, protocol)
    sock.setsockopt(270, EXT_ACK, 1)
    if capped:
        sock.setsockopt(270, CAP_ACK, 1)
    if protocol == 0:
        sock.setsockopt(270, STRICT, 1)
    sock.settimeout(1)
    sock.sendto(request, (0, 0))
    datagrams = []
    while True:
        data = sock.recv(1 << 17)
        datagrams.append(data.hex())
        kinds, at = [], 0
        while at < len(data):
            size, kind = struct.unpack_from("=IH", data, at)
            kinds.append(kind)
            at += (size + 3) & ~3
        if kinds[-1] in (2, 3):
            break
    about = {"request": request.hex(), "kernel": os.uname().release.split("-")[0], "text": text, "count": count, "datagrams": datagrams}
    with open(os.path.join(folder, name + ".json"), "w") as file:
        json.dump(about, file, indent=1)
        file.write("\n")


def main(folder):
    for line in SETUP.strip().splitlines():
        subprocess.run(["ip", *line.split()], check=True)
    link = lambda index: struct.pack("=BBHiII", 0, 0, 0, index, 0, 0)
    record(folder, "getlink", 0, message(18, REQUEST | ACK, link(1)), True, "the loopback link", 1)
    record(folder, "getlink-enodev", 0, message(18, REQUEST | ACK, link(999)), True, "no such link: capped")
    record(folder, "getlink-enodev-whole", 0, message(18, REQUEST | ACK, link(999)), False, "no such link: the request comes back")
    bad = message(18, REQUEST | ACK, link(1) + struct.pack("=HHI", 8, 0x3D, 1))
    record(folder, "getlink-attribute", 0, bad, True, "an attribute that does not belong there")
    record(folder, "getlink-attribute-whole", 0, bad, False, "the same, and the request comes back")
    record(folder, "dump-links", 0, message(18, REQUEST | ACK | ROOT_MATCH, link(0)), True, "all links", listed("link"))
    record(folder, "dump-addresses", 0, message(22, REQUEST | ACK | ROOT_MATCH, bytes(8)), True, "all addresses", listed("addr"))
    record(folder, "dump-neighbours", 0, message(30, REQUEST | ACK | ROOT_MATCH, bytes(12)), True, "all neighbours", listed("neigh", "show", "nud", "all"))
    record(folder, "dump-refused", 0, message(22, REQUEST | ACK | ROOT_MATCH, bytes(8) + struct.pack("=HHI", 8, 5, 1)), True, "a strict dump refused")
    genl = struct.pack("=BBH", 3, 1, 0)
    name = lambda text: struct.pack("=HH", 4 + len(text) + 1, 2) + text + b"\0" * (1 + -(len(text) + 1) % 4)
    record(folder, "getfamily", 16, message(16, REQUEST | ACK, genl + name(b"nlctrl")), True, "the family of families", 1)
    record(folder, "getfamily-enoent", 16, message(16, REQUEST | ACK, genl + name(b"no_such")), True, "no such family")
    record(folder, "dump-families", 16, message(16, REQUEST | ACK | ROOT_MATCH, genl), True, "all families")


main(sys.argv[1])
