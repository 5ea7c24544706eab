"""A scripted peer over NETLINK_USERSOCK, for tests: what a kernel rarely does, on demand.

Opens a socket, prints {"port": N} and obeys commands, one JSON object a line on stdin, each answered by one line on stdout:

  {"cmd": "rules", "rules": [...], "order": [...]}  how to answer from now on, see below; forgets the log
  {"cmd": "log"}                                    the requests since then: [{"seq", "pid", "type", "flags", "size", "datagram", "payload"}]
  {"cmd": "forge", "to": P, "do": [...], "seq": S}  carries out actions from another socket, as if answering request S of port P; errno or 0
  {"cmd": "cast", "group": G, "count": N, "size": B, "type": T}   multicasts N messages with sequence 0 and payloads that begin with their number
  {"cmd": "exit"}

A rule is {"times": N, "type": T, "do": [actions]}; a request is answered by the first rule for its type that has times left, in the end by an
acknowledgement. "order" gives the order in which the requests of one datagram are answered. Actions:

  {"ack": errno, "text": T, "offs": N, "capped": bool, "seq": delta}    NLMSG_ERROR, with an extended acknowledgement when there is a text
  {"msg": type, "payload": hex | "echo", "fill": size, "flags": F, "seq": delta, "length": lie}
  {"done": errno, "flags": F, "text": T}            NLMSG_DONE
  {"replay": hex}                                   recorded messages, sequence and port id set right
  {"raw": hex}                                      a datagram as it is
  {"pack": [actions]}                               several in one datagram
  {"cut": bytes, "of": action}                      only the first bytes of its datagram
  {"sleep": ms}, {"drop": 1}, {"exit": 1}
"""
import json
import os
import select
import socket
import struct
import sys
import time

NLMSG_NOOP, NLMSG_ERROR, NLMSG_DONE = 1, 2, 3
NLM_F_MULTI, NLM_F_CAPPED, NLM_F_ACK_TLVS = 2, 0x100, 0x200
HEADER = struct.Struct("=IHHII")


def padded(data):
    return data + b"\0" * (-len(data) % 4)


def message(kind, flags, request, payload, action):
    seq = (request["seq"] + action.get("seq", 0)) & 0xFFFFFFFF
    size = action.get("length", HEADER.size + len(payload))
    return padded(HEADER.pack(size, kind, flags, seq, request["pid"]) + payload)


def attribute(kind, payload):
    return padded(struct.pack("=HH", 4 + len(payload), kind) + payload)


def extended(action):
    found = b""
    if "text" in action:
        found += attribute(1, action["text"].encode() + b"\0")
    if "offs" in action:
        found += attribute(2, struct.pack("=I", action["offs"]))
    return found


def build(action, request):
    """The bytes of one action's datagram."""
    if "pack" in action:
        return b"".join(build(part, request) for part in action["pack"])
    if "cut" in action:
        return build(action["of"], request)[: action["cut"]]
    if "raw" in action:
        return bytes.fromhex(action["raw"])
    if "ack" in action:
        more = extended(action)
        flags = (NLM_F_ACK_TLVS if more else 0) | (NLM_F_CAPPED if action.get("capped") else 0)
        echo = request["bytes"][: HEADER.size] if action.get("capped") or not action["ack"] else padded(request["bytes"])
        return message(NLMSG_ERROR, flags, request, struct.pack("=i", -action["ack"]) + echo + more, action)
    if "done" in action:
        more = extended(action)
        flags = action.get("flags", 0) | NLM_F_MULTI | (NLM_F_ACK_TLVS if more else 0)
        return message(NLMSG_DONE, flags, request, struct.pack("=i", -action["done"]) + more, action)
    if "replay" in action:
        data, at = bytearray.fromhex(action["replay"]), 0
        while at + HEADER.size <= len(data):
            struct.pack_into("=II", data, at + 8, request["seq"], request["pid"])
            at += (struct.unpack_from("=I", data, at)[0] + 3) & ~3
        return bytes(data)
    payload = action.get("payload", "")
    payload = request["bytes"][HEADER.size :] if payload == "echo" else bytes.fromhex(payload)
    payload += bytes(max(0, action.get("fill", 0) - len(payload)))
    return message(action["msg"], action.get("flags", 0), request, payload, action)


class Peer:
    def __init__(self, port):
        self.socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 2)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        self.socket.bind((port, 0))
        self.rules, self.order, self.requests, self.datagrams = [], None, [], 0

    def perform(self, actions, request, to, out):
        for action in actions:
            if "sleep" in action:
                time.sleep(action["sleep"] / 1000)
            elif "exit" in action:
                os._exit(0)
            elif "drop" not in action:
                out.sendto(build(action, request), (to, 0))

    def receive(self):
        data, (sender, _) = self.socket.recvfrom(1 << 20)
        found, at = [], 0
        while at + HEADER.size <= len(data):
            size, kind, flags, seq, pid = HEADER.unpack_from(data, at)
            if kind != NLMSG_NOOP:
                found.append({"bytes": data[at : at + size], "seq": seq, "pid": pid, "type": kind, "flags": flags})
            at += (size + 3) & ~3
        if not found:
            return
        self.datagrams += 1
        # Actions are chosen in the order of the requests, and carried out in the order asked for.
        chosen = [(request, self.choose(request)) for request in found]
        for request in found:
            request["datagram"] = self.datagrams
        self.requests += found
        for index in [i for i in self.order or range(len(chosen)) if i < len(chosen)]:
            request, actions = chosen[index]
            try:
                self.perform(actions, request, sender, self.socket)
            except ConnectionRefusedError:
                pass  # who asked is gone

    def choose(self, request):
        for rule in self.rules:
            if rule.get("times", 1 << 60) > 0 and rule.get("type", request["type"]) == request["type"]:
                rule["times"] = rule.get("times", 1 << 60) - 1
                return rule["do"]
        return [{"ack": 0}]

    def cast(self, command):
        out = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 2)
        out.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        for number in range(command.get("count", 1)):
            payload = struct.pack("=I", number) + bytes(max(0, command.get("size", 4) - 4))
            data = HEADER.pack(HEADER.size + len(payload), command.get("type", 100), 0, 0, 0) + payload
            try:
                out.sendto(data, (0, 1 << (command["group"] - 1)))
            except ConnectionRefusedError:
                pass  # nobody listens

    def command(self, command):
        kind = command["cmd"]
        if kind == "rules":
            self.rules, self.order, self.requests = command.get("rules", []), command.get("order"), []
        elif kind == "log":
            names = ("seq", "pid", "type", "flags", "datagram")
            rows = [{**{n: r[n] for n in names}, "size": len(r["bytes"]), "payload": r["bytes"][16:80].hex()} for r in self.requests]
            return rows
        elif kind == "forge":
            out = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 2)
            request = {"seq": command["seq"], "pid": command["to"], "bytes": bytes(HEADER.size)}
            try:
                self.perform(command["do"], request, command["to"], out)
            except OSError as error:
                return error.errno
        elif kind == "cast":
            self.cast(command)
        elif kind == "exit":
            sys.exit(0)
        return 0


def main():
    peer = Peer(int(sys.argv[1]) if len(sys.argv) > 1 else 0)
    print(json.dumps({"port": peer.socket.getsockname()[0]}), flush=True)
    while True:
        for ready in select.select([peer.socket, sys.stdin], [], [])[0]:
            if ready is peer.socket:
                peer.receive()
                continue
            line = sys.stdin.readline()
            if not line:
                return
            print(json.dumps({"answer": peer.command(json.loads(line))}), flush=True)


main()
