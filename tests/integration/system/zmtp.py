# SPDX-License-Identifier: MPL-2.0
"""ZMTP 3.0 by hand, for peers that do what no ZeroMQ library lets them do: bytes over TCP."""

import socket
import struct

MORE, LONG, COMMAND = 1, 2, 4


def greeting():
    return b"\xff" + bytes(8) + b"\x7f\x03\x00" + b"NULL".ljust(20, b"\0") + bytes(32)


def frame(body, flags=0):
    if len(body) > 255:
        return struct.pack(">BQ", flags | LONG, len(body)) + body
    return struct.pack(">BB", flags, len(body)) + body


def ready(kind):
    name, value = b"Socket-Type", kind.encode()
    return frame(b"\x05READY" + struct.pack(">B", len(name)) + name +
                 struct.pack(">I", len(value)) + value, COMMAND)


def message(*frames):
    return b"".join(frame(f, MORE) for f in frames[:-1]) + frame(frames[-1])


def hello(kind):
    """All that a peer says before its first message, which has to wait for the other's READY."""
    return greeting() + ready(kind)


def shake_hands(peer, kind):
    """Until messages may be sent."""
    peer.sendall(hello(kind))
    heard = b""
    while len(heard) < 66 or len(heard) < 66 + heard[65]:
        more = peer.recv(4096)
        if not more:
            raise ConnectionError("closed while shaking hands")
        heard += more


def dial(endpoint, receive_bytes=None, timeout_s=20):
    """A connected TCP socket; receive_bytes: a small window, for those who do not read."""
    host, port = endpoint.removeprefix("tcp://").rsplit(":", 1)
    peer = socket.socket()
    if receive_bytes:
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
    peer.settimeout(timeout_s)
    peer.connect((host, int(port)))
    return peer


def reset(peer):
    """Closes without a farewell."""
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    peer.close()


def send_some(peer, data, timeout_s=0.2):
    """As much as the other side takes; False when it has hung up or takes no more."""
    peer.settimeout(timeout_s)
    try:
        peer.sendall(data)
        return True
    except OSError:
        return False


def hung_up(peer, timeout_s):
    """True when the other side closes within timeout_s; what it says until then is dropped."""
    peer.settimeout(timeout_s)
    try:
        while peer.recv(65536):
            pass
        return True
    except socket.timeout:
        return False
    except OSError:
        return True
