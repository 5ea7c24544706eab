"""
Netlink attributes by python3's struct, for comparison: one JSON object a line comes in, one goes out.

  {"build": [[kind, type, value], ...]}  ->  {"hex": "..."}        value of a nest: such a list; of bytes: hex; of integers: decimal text
  {"walk": "hex"}                        ->  {"attributes": [[type, flags, offset, "hex"], ...], "rest": bytes left over}
  {"messages": "hex"}                    ->  {"messages": [[offset, size, type, flags, seq, pid], ...], "rest": bytes left over}
"""
import json
import struct
import sys

FORMATS = {
    "u8": "<B", "u16": "<H", "u32": "<I", "u64": "<Q", "s8": "<b", "s16": "<h", "s32": "<i", "s64": "<q",
    "be16": ">H", "be32": ">I", "be64": ">Q",
}


def padded(data):
    return data + bytes(-len(data) % 4)


def attribute(kind, number, value):
    if kind == "nest":
        payload, number = build(value), number | 0x8000
    elif kind == "flag":
        payload = b""
    elif kind == "string":
        payload = value.encode() + b"\0"
    elif kind == "binary":
        payload = bytes.fromhex(value)
    elif kind == "bitfield32":
        payload = struct.pack("<II", *value)
    elif kind in ("uint", "sint"):
        bits, value = (32 if kind == "uint" else 31), int(value)
        small = (0 if kind == "uint" else -(2**bits)) <= value < 2**bits
        payload = struct.pack("<" + ("I" if small else "Q") if kind == "uint" else "<" + ("i" if small else "q"), value)
    else:
        payload = struct.pack(FORMATS[kind], int(value))
    return padded(struct.pack("<HH", 4 + len(payload), number) + payload)


def build(rows):
    return b"".join(attribute(*row) for row in rows)


def walk(data):
    found, at = [], 0
    while len(data) - at >= 4:
        size, number = struct.unpack_from("<HH", data, at)
        if size < 4 or size > len(data) - at:
            break
        found.append([number & 0x3FFF, number >> 14, at, data[at + 4 : at + size].hex()])
        at += (size + 3) // 4 * 4
    return {"attributes": found, "rest": max(0, len(data) - at)}


def messages(data):
    found, at = [], 0
    while len(data) - at >= 16:
        size, number, flags, seq, pid = struct.unpack_from("<IHHII", data, at)
        if size < 16 or size > len(data) - at:
            break
        found.append([at, size, number, flags, seq, pid])
        at += (size + 3) // 4 * 4
    return {"messages": found, "rest": max(0, len(data) - at)}


for line in sys.stdin:
    question = json.loads(line)
    if "build" in question:
        answer = {"hex": build(question["build"]).hex()}
    elif "walk" in question:
        answer = walk(bytes.fromhex(question["walk"]))
    else:
        answer = messages(bytes.fromhex(question["messages"]))
    print(json.dumps(answer))
