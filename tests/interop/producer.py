# SPDX-License-Identifier: MPL-2.0
"""A producer in Python, from framework/docs/protocol.md alone.

    producer.py ENDPOINT TOPIC... < lines of "KEY JSON"   one receipted event each, batched by 100;
                                                          topics take turns, in mixed sections
"""
import json, os, sys, time
import msgpack, zmq

HELLO, PUBLISH, RECEIPT, ERROR = 0x01, 0x02, 0x82, 0xFF


class Producer:
    def __init__(self, endpoint, source):
        self.id = int.from_bytes(os.urandom(8), "big") | 1
        self.sequence = self.request = self.count = 0
        self.source, self.endpoint, self.socket = source, endpoint, None
        self.connect()

    def connect(self):
        if self.socket:
            self.socket.close(linger=0)
        self.socket = zmq.Context.instance().socket(zmq.DEALER)
        self.socket.connect(self.endpoint)
        self.greet()

    def greet(self):
        reply = self.ask(HELLO, [1, self.source, self.id])
        if reply is None:
            return self.connect()
        self.partitions, self.wait_ms = reply[2], 2 * reply[4] + 2000

    def ask(self, kind, fields, payloads=()):
        """Type and fields of the reply, or None: nobody answered in time."""
        self.request += 1
        head = b"BT\x01" + bytes([kind]) + msgpack.packb([self.request, *fields])
        self.socket.send_multipart([head, *payloads])
        while self.socket.poll(getattr(self, "wait_ms", 3000)):
            head, *_ = self.socket.recv_multipart()
            reply = msgpack.unpackb(head[4:])
            if reply[0] == self.request:
                return [head[3], *reply[1:]]
        return None

    def partition(self, key):
        h = 14695981039346656037
        for byte in key.encode():
            h = (h ^ byte) * 1099511628211 % (1 << 64)
        return (h ^ (h >> 32)) % self.partitions

    def publish(self, topics, events):
        """events: (key, data) pairs; of several topics each has the next. Returns the offset of
        the first one."""
        topics = [topics] if isinstance(topics, str) else topics
        sections, mixed = {}, len(topics) > 1
        for key, data in events:
            self.count += 1
            id = f"{self.id:016x}-{self.count}"
            topic = [topics[self.count % len(topics)]] if mixed else []
            event = msgpack.packb([id, key, 0, msgpack.packb(data), None, *topic])
            sections.setdefault(self.partition(key), []).append(event)
        common = msgpack.packb(["", self.source, time.time_ns() // 1000, "", ""])
        heads = [["" if mixed else topics[0], partition, len(rows)]
                 for partition, rows in sections.items()]
        payloads = [common + b"".join(rows) for rows in sections.values()]
        while True:  # again as it was, until there is a receipt
            reply = self.ask(PUBLISH, [self.id, self.sequence + 1, heads], payloads)
            if reply and reply[0] == RECEIPT:
                self.sequence += 1
                return reply[2]
            if reply and reply[0] == ERROR and not reply[2]:
                raise RuntimeError(f"{reply[3]}: {reply[4]}")
            time.sleep(0.1)
            self.connect()


if __name__ == "__main__":
    producer = Producer(sys.argv[1], "/interop/python")
    rows = [line.split(" ", 1) for line in sys.stdin if line.strip()]
    for at in range(0, len(rows), 100):
        producer.publish(sys.argv[2:], [(key, json.loads(text)) for key, text in rows[at:at + 100]])
    print(len(rows))
