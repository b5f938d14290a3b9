# SPDX-License-Identifier: MPL-2.0
"""An actor in Python, from framework/docs/protocol.md alone: FETCH and SETTLE, no fan-out.
actor.py ENDPOINT NAME PATTERN TOPIC     emits {"seen": id, "n": n} to TOPIC, until SIGTERM"""
import io, os, signal, sys, time, msgpack, zmq

HELLO, JOIN, FETCH, SETTLE, HEARTBEAT, LEAVE, ERROR = 1, 3, 4, 5, 7, 8, 0xFF
POLICY = [5, 100, 30000, 30000]  # attempts, backoffs and handler deadline in milliseconds

class Actor:
    def __init__(self, endpoint, name, pattern):
        self.endpoint, self.name, self.pattern = endpoint, name, pattern
        self.incarnation, self.request, self.socket = int.from_bytes(os.urandom(8), "big"), 0, None

    def ask(self, kind, *fields, payloads=()):
        self.request += 1
        head = b"BT\x01" + bytes([kind]) + msgpack.packb([self.request, *fields])
        self.socket.send_multipart([head, *payloads])
        while self.socket.poll(4000):
            head, *frames = self.socket.recv_multipart()
            request, *reply = msgpack.unpackb(head[4:])
            if request == self.request and head[3] != ERROR:
                return *reply, frames
            if request == self.request:
                raise RuntimeError(reply[2])
        raise RuntimeError("TIMEOUT")

    def join(self):
        self.socket and self.socket.close(linger=0)
        self.socket, self.owned = zmq.Context.instance().socket(zmq.DEALER), {}
        self.socket.connect(self.endpoint)
        self.journal = self.ask(HELLO, 2, self.name, self.incarnation)[0]
        _, _, self.version, _, _, assignments, _ = self.ask(
            JOIN, self.name, f"py-{os.getpid()}", self.incarnation, [self.pattern], 1, 0, POLICY)
        self.take(assignments)

    def take(self, assignments):
        was, self.owned = self.owned, {}  # partition: (generation, floor)
        for partition, generation, revoked, floor, *_ in assignments:
            if partition in was and was[partition][0] == generation:
                floor = was[partition][1]
            self.owned[partition] = (generation, floor)
            if revoked:
                self.ask(SETTLE, [[partition, *self.owned.pop(partition), 0, [], [], [], True]], [])

    def turn(self, handle):
        self.version, _, _, assignments, _ = self.ask(HEARTBEAT, self.version, 0)
        assignments is None or self.take(assignments)
        if not self.owned: return time.sleep(0.05)
        wanted, handled, emitted = [[p, *known] for p, known in self.owned.items()], {}, {}
        _, upto, _, sections, frames = self.ask(FETCH, 500, 1 << 20, wanted, [])
        for (topic, p, _, base), payload in zip(sections, frames):
            (prefix, *_), *events = msgpack.Unpacker(io.BytesIO(payload))
            start = max(base, self.owned[p][1])
            for offset, (id, key, _, data, _) in enumerate(events[start - base:], start):
                id = f"{prefix}-{id}" if isinstance(id, int) else id
                out, result = handle(id, topic, key, msgpack.unpackb(data))
                id = f"{self.name}-{self.journal:016x}-{offset}-0"
                emitted.setdefault((out, p), []).append(
                    msgpack.packb([id, key, 0, msgpack.packb(result), None]))
                handled[p] = handled.get(p, 0) + 1
        common = msgpack.packb(["", f"/actors/{self.name}", time.time_ns() // 1000, "", ""])
        if handled:  # what was emitted goes out with the acknowledgement
            self.ask(SETTLE, [[p, self.owned[p][0], upto, n, [], [], [], False]
                              for p, n in handled.items()],
                     [[out, p, len(rows)] for (out, p), rows in emitted.items()],
                     payloads=[common + b"".join(rows) for rows in emitted.values()])
        self.owned = {p: (known, max(floor, upto)) for p, (known, floor) in self.owned.items()}

if __name__ == "__main__":
    stopping, actor = [], Actor(*sys.argv[1:4])
    signal.signal(signal.SIGTERM, lambda *_: stopping.append(True))
    while not stopping:
        try:
            actor.join() if not actor.socket else actor.turn(
                lambda id, topic, key, data: (sys.argv[4], {"seen": id, "n": data["n"]}))
        except RuntimeError:  # NO_SESSION, a stale generation, no answer: all is said again
            time.sleep(0.1)
            actor.join()
    actor.ask(LEAVE, 0, 0, 2**64 - 1)  # nobody is blamed, no offset
