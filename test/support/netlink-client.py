"""A Netlink client that nobody here wrote a library for: plain sockets, driven by lines of JSON on standard input, one line of JSON each back.

  {"do": "open", "protocol": 2, "peer": 77, "buffer": 4096, "options": [[11, 1]], "uid": 1000}   -> {"port": ...}
  {"do": "send", "hex": "..."}                                                                   -> {"errno": 0}
  {"do": "receive", "timeout": 0.5}                                                              -> {"hex": "..."} or {"errno": 11}
  {"do": "close"}                                                                                -> {}
"""
import errno
import json
import os
import socket
import sys

AF_NETLINK, SOL_NETLINK = 16, 270
sock = None


def open_socket(command):
    global sock
    if 'uid' in command:
        os.setresuid(command['uid'], command['uid'], command['uid'])
    sock = socket.socket(AF_NETLINK, socket.SOCK_RAW, command['protocol'])
    if 'buffer' in command:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, command['buffer'])
    for option, value in command.get('options', []):
        sock.setsockopt(SOL_NETLINK, option, value)
    sock.bind((0, 0))
    sock.connect((command['peer'], 0))
    return {'port': sock.getsockname()[0]}


def receive(command):
    sock.settimeout(command['timeout'])
    try:
        return {'hex': sock.recv(1 << 20).hex()}
    except socket.timeout:
        return {'errno': errno.EAGAIN}


def run(command):
    if command['do'] == 'open':
        return open_socket(command)
    if command['do'] == 'send':
        sock.settimeout(5)
        sock.send(bytes.fromhex(command['hex']))
        return {'errno': 0}
    if command['do'] == 'receive':
        return receive(command)
    sock.close()
    return {}


for line in sys.stdin:
    try:
        answer = run(json.loads(line))
    except OSError as error:
        answer = {'errno': error.errno}
    print(json.dumps(answer), flush=True)
