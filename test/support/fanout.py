"""What the kernel's symmetric hash tells apart: frames go over a veth pair to a PACKET_FANOUT_HASH group, which chooses by it.

Run as root in a network namespace of its own. Reads {"frames": [hex], "members": N} from stdin; prints a list: which member got each frame.
The hash (__skb_get_hash_symmetric, keyed anew at each boot) is the one that the symmetric HASH action of newer openvswitch.ko takes.
"""
import json
import select
import socket
import subprocess
import sys

SOL_PACKET = 263
PACKET_FANOUT = 18
PACKET_FANOUT_HASH = 0
GROUP = 1
ETH_P_ALL = 3
TIMEOUT_S = 10


def ip(*words):
    subprocess.run(["ip", *words], check=True)


def member(interface):
    opened = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
    opened.bind((interface, 0))
    opened.setsockopt(SOL_PACKET, PACKET_FANOUT, GROUP | PACKET_FANOUT_HASH << 16)
    return opened


def main():
    order = json.load(sys.stdin)
    for name in ("all", "default"):
        with open(f"/proc/sys/net/ipv6/conf/{name}/disable_ipv6", "w", encoding="ascii") as switch:
            switch.write("1")
    ip("link", "add", "from", "type", "veth", "peer", "name", "to")
    ip("link", "set", "to", "up")
    ip("link", "set", "from", "up")
    members = [member("to") for _ in range(order["members"])]
    poll = select.epoll()
    numbers = {}
    for number, one in enumerate(members):
        poll.register(one, select.EPOLLIN)
        numbers[one.fileno()] = number
    sender = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    sender.bind(("from", 0))
    chosen = []
    for text in order["frames"]:
        frame = bytes.fromhex(text)
        sender.send(frame)
        ready = poll.poll(TIMEOUT_S)
        if len(ready) != 1:
            sys.exit(f"frame {len(chosen)} came to {len(ready)} members")
        number = numbers[ready[0][0]]
        received = members[number].recv(65536)
        if received[:12] != frame[:12] or received[-20:] != frame[-20:]:  # between them is a tag that the kernel took out
            sys.exit(f"frame {len(chosen)} came as {received.hex()}")
        chosen.append(number)
    print(json.dumps(chosen))


main()
