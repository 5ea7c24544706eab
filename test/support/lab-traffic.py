"""Traffic of a host in the lab (lab.mjs), one task a run; each prints `ready` or, at its end, one JSON object.

    tcp-serve ADDRESS PORT COUNT          accepts COUNT connections, reads each to its end, answers with the digest of what it read
    tcp-send ADDRESS PORT BYTES           sends so much, in pieces of many sizes; tells whether the digest that comes back is right
    udp-echo ADDRESS PORT                 sends every datagram back until it is killed
    udp-ask ADDRESS PORT COUNT LOW HIGH   datagrams of random sizes, one after the other; tells how many came back as they were
    raw-send INTERFACE COUNT HEX...       frames as they are
    vnet-send INTERFACE                   frames, each behind its struct virtio_net_hdr: hexadecimal lines on stdin
    raw-listen INTERFACE MARK COUNT       frames that hold the hexadecimal MARK, as they were on the wire, tags included; killed, those that came until then
"""
import hashlib
import json
import random
import signal
import socket
import struct
import sys
import time

SOL_PACKET, PACKET_AUXDATA, PACKET_VNET_HDR, PACKET_IGNORE_OUTGOING = 263, 8, 15, 23
ETH_P_ALL = 3
SO_RCVBUFFORCE = 33
TP_STATUS_VLAN_VALID, TP_STATUS_VLAN_TPID_VALID = 16, 64
TIMEOUT_S = 300
# a frame that an interface has counted is heard after so long at the latest
LATE_S = 10


def family(address):
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def tell(**values):
    print(json.dumps(values), flush=True)


def digest_of(stream):
    digest, size = hashlib.sha256(), 0
    while data := stream.recv(1 << 18):
        digest.update(data)
        size += len(data)
    return digest.hexdigest(), size


def tcp_serve(address, port, count):
    server = socket.socket(family(address), socket.SOCK_STREAM)
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    server.bind((address, int(port)))
    server.listen(16)
    print("ready", flush=True)
    for _ in range(int(count)):
        stream, _peer = server.accept()
        stream.settimeout(TIMEOUT_S)
        digest, _size = digest_of(stream)
        stream.sendall(digest.encode())
        stream.close()


def tcp_send(address, port, size):
    rng = random.Random(1)
    block = rng.randbytes(1 << 20)
    digest, left = hashlib.sha256(), int(size)
    stream = socket.create_connection((address, int(port)), timeout=TIMEOUT_S)
    while left > 0:
        piece = block[: min(left, rng.choice([1, 100, 1448, 5000, 65536, 1 << 20]))]
        stream.sendall(piece)
        digest.update(piece)
        left -= len(piece)
    stream.shutdown(socket.SHUT_WR)
    answer = b""
    while data := stream.recv(4096):
        answer += data
    tell(bytes=int(size), whole=answer.decode() == digest.hexdigest())


def udp_echo(address, port):
    echo = socket.socket(family(address), socket.SOCK_DGRAM)
    echo.bind((address, int(port)))
    print("ready", flush=True)
    while True:
        data, peer = echo.recvfrom(65536)
        echo.sendto(data, peer)


def udp_ask(address, port, count, low, high):
    rng = random.Random(2)
    ask = socket.socket(family(address), socket.SOCK_DGRAM)
    ask.settimeout(TIMEOUT_S)
    ask.connect((address, int(port)))
    right = 0
    for _ in range(int(count)):
        data = rng.randbytes(rng.randint(int(low), int(high)))
        ask.send(data)
        try:
            right += ask.recv(65536) == data
        except TimeoutError:
            break
    tell(asked=int(count), right=right)


def raw_socket(interface, protocol):
    raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    raw.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
    raw.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
    raw.bind((interface, protocol))
    return raw


def raw_send(interface, count, *frames):
    raw = raw_socket(interface, 0)
    for _ in range(int(count)):
        for frame in frames:
            raw.send(bytes.fromhex(frame))
    tell(sent=int(count) * len(frames))


def vnet_send(interface):
    raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    raw.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
    raw.bind((interface, 0))
    refused = []
    for index, line in enumerate(sys.stdin):
        try:
            raw.send(bytes.fromhex(line))
        except OSError as error:
            refused.append([index, error.errno])
    tell(refused=refused)


def as_on_the_wire(data, ancillary):
    """The frame with the tag that the kernel took out of it."""
    for level, kind, aux in ancillary:
        if level != SOL_PACKET or kind != PACKET_AUXDATA:
            continue
        status, _len, _snaplen, _mac, _net, tci, tpid = struct.unpack("=IIIHHHH", aux[:20])
        if status & TP_STATUS_VLAN_VALID:
            tpid = tpid if status & TP_STATUS_VLAN_TPID_VALID else 0x8100
            return data[:12] + struct.pack("!HH", tpid, tci) + data[12:]
    return data


def received(interface):
    """Packets that the interface has counted."""
    with open("/proc/net/dev", encoding="ascii") as lines:
        return next(int(line.split()[2]) for line in lines if line.split()[0] == f"{interface}:")


def raw_listen(interface, mark, count):
    before, heard, last = received(interface), 0, None
    raw = raw_socket(interface, ETH_P_ALL)
    raw.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 1 << 28)
    raw.settimeout(0.1)

    def end(*_):
        nonlocal last
        last = received(interface) - before

    signal.signal(signal.SIGTERM, end)
    print("ready", flush=True)
    frames, spoken = [], time.monotonic()
    while len(frames) < int(count) and (last is None or heard < last):
        try:
            data, ancillary, _flags, _peer = raw.recvmsg(65536, 256)
        except TimeoutError:
            if time.monotonic() - spoken > (TIMEOUT_S if last is None else LATE_S):
                break
            continue
        heard, spoken = heard + 1, time.monotonic()
        frame = as_on_the_wire(data, ancillary)
        if bytes.fromhex(mark) in frame:
            frames.append(frame.hex())
    tell(frames=frames)


TASKS = {
    "tcp-serve": tcp_serve,
    "tcp-send": tcp_send,
    "udp-echo": udp_echo,
    "udp-ask": udp_ask,
    "raw-send": raw_send,
    "vnet-send": vnet_send,
    "raw-listen": raw_listen,
}
TASKS[sys.argv[1]](*sys.argv[2:])
