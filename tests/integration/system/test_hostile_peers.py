# SPDX-License-Identifier: MPL-2.0
"""Peers that mean harm, on both sockets, below the protocol: raw TCP and ZMTP. Meanwhile an
ordinary producer and an ordinary actor keep their service, and the orchestrator's memory stays
bounded.

Nothing leaves 127.0.0.1; connections and bytes are counted. The seed is printed; BATON_TEST_SEED=N
runs the same again.
"""

import os
import pathlib
import random
import sys
import threading
import time

import msgpack

import harness
import zmtp
from harness import wait_for

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "interop"))
from producer import Producer  # noqa: E402

KEYS = [f"customer-{i}" for i in range(8)]
# Memory that peers may make the orchestrator use above what it used in peace, by what they do. Each
# connection costs libzmq its buffers (8 KiB to read, 8 KiB to write) and its objects.
MIB = 1024 * 1024
GROWTH_BYTES = {"bytes": 48 * MIB, "connections": 48 * MIB, "subscriptions": 64 * MIB,
                "stalled": 320 * MIB}  # 256 MiB of answers (unsent.h), and what is around them


class Service(threading.Thread):
    """An ordinary producer: batch after batch, each with its receipt, until told to stop."""

    def __init__(self, endpoint):
        super().__init__(daemon=True)  # it would wait for an orchestrator that is gone for ever
        self.endpoint, self.stopping, self.sent, self.slowest_s, self.failed = \
            endpoint, threading.Event(), 0, 0.0, None

    def run(self):
        try:
            producer = Producer(self.endpoint, "/tests/ordinary")
            while not self.stopping.wait(0.01):
                began = time.monotonic()
                producer.publish("jobs.new", [(k, {"n": self.sent + 1}) for k in KEYS])
                self.slowest_s = max(self.slowest_s, time.monotonic() - began)
                self.sent += 1
        except Exception as error:  # shown by the test's thread
            self.failed = error


class Memory(threading.Thread):
    """The highest VmRSS of a process while this runs."""

    def __init__(self, pid):
        super().__init__()
        self.path, self.stopping = pathlib.Path(f"/proc/{pid}/status"), threading.Event()
        self.before = self.highest = self.now()

    def now(self):
        for line in self.path.read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
        return 0

    def run(self):
        while not self.stopping.wait(0.02):
            self.highest = max(self.highest, self.now())


class HostilePeers(harness.System):
    OPTIONS = {"endpoint": "tcp://127.0.0.1:*", "fanout_endpoint": "tcp://127.0.0.1:*"}

    def setUp(self):
        super().setUp()
        seed = int(os.environ.get("BATON_TEST_SEED", random.SystemRandom().randrange(1 << 32)))
        print(f"BATON_TEST_SEED={seed}", flush=True)
        self.chance = random.Random(seed)
        self.peers = []
        self.addCleanup(lambda: [peer.close() for peer in self.peers])
        self.start_orchestrator(wait=False)
        log = self.dir / "orchestrator.err"
        self.endpoint = wait_for("the endpoint is printed", lambda: next(
            (line for line in log.read_text().splitlines() if line.startswith("tcp://")), None))
        greeter = Producer(self.endpoint, "/tests/greeter")
        self.fanout = wait_for("the greeter is welcomed",
                               lambda: greeter.ask(1, [1, "/tests/greeter", 1]))[9]
        self.start_probe("worker", ["jobs.new"])
        self.service = Service(self.endpoint)
        self.service.start()
        self.addCleanup(self.service.stopping.set)
        self.more_service(200)
        self.memory = Memory(self.orchestrator.pid)
        self.memory.start()
        self.addCleanup(self.memory.join)
        self.addCleanup(self.memory.stopping.set)

    # ---- what must stay true

    def handled(self):
        return sum(1 for row in self.log("worker") if row["what"] == "end")

    def more_service(self, events=400):
        """The ordinary actor handles that many more events, all of them published from now on."""
        until = self.handled() + events
        wait_for(f"{events} more events are handled", lambda: self.handled() >= until)

    def finish(self, kind):
        self.service.stopping.set()
        self.service.join(timeout=harness.DEADLINE_S)
        self.assertFalse(self.service.is_alive(), "the last batch has its receipt")
        if self.service.failed:
            raise self.service.failed
        self.memory.stopping.set()
        self.memory.join()
        grown = self.memory.highest - self.memory.before
        print(f"  {kind}: memory +{grown / MIB:.1f} MiB (at most {GROWTH_BYTES[kind] / MIB:.0f}), "
              f"slowest receipt {self.service.slowest_s:.3f} s, {self.service.sent} batches",
              flush=True)
        self.assertIsNone(self.orchestrator.poll(), "the orchestrator goes on")
        self.wait_settled("worker", self.service.sent * len(KEYS))
        rows = self.log("worker")
        self.assert_all_handled(rows, KEYS, self.service.sent)
        self.assert_ordered(rows)
        self.assertEqual(len(self.read("jobs.new")), self.service.sent * len(KEYS))
        #  A sanitizer keeps what was freed, and red zones around the rest: that is not ours.
        if not os.environ.get("BATON_SANITIZED"):
            self.assertLess(grown, GROWTH_BYTES[kind])

    # ---- peers

    def dial(self, endpoint, **options):
        peer = zmtp.dial(endpoint, **options)
        self.peers.append(peer)
        return peer

    def meet(self, endpoint, kind, **options):
        """A connection that has shaken hands. The other side gives that 3 s: where this one was
        slower, being hung up on is right, and it comes again."""
        def attempt():
            peer = zmtp.dial(endpoint, **options)
            try:
                zmtp.shake_hands(peer, kind)
            except OSError:
                peer.close()
                return None
            self.peers.append(peer)
            return peer
        return wait_for(f"hands are shaken with {endpoint}", attempt)

    def drop(self, peer):
        self.peers.remove(peer)
        if self.chance.random() < 0.5:
            zmtp.reset(peer)
        else:
            peer.close()

    def mutated(self, data):
        data = bytearray(data)
        for _ in range(self.chance.randint(1, 8)):
            at = self.chance.randrange(len(data))
            what = self.chance.random()
            if what < 0.6:
                data[at] = self.chance.randrange(256)
            elif what < 0.8:
                del data[at:at + self.chance.randint(1, 8)]
            else:
                data[at:at] = self.chance.randbytes(self.chance.randint(1, 8))
            if not data:
                break
        return bytes(data)

    def talk_nonsense(self, endpoint, kind, plausible):
        """From noise to nearly right."""
        level = self.chance.randrange(6)
        noise = self.chance.randbytes(self.chance.randint(1, 2000))
        if level == 0:
            said = noise
        elif level == 1:
            said = self.mutated(zmtp.greeting()) + self.mutated(zmtp.ready(kind))
        elif level == 2:
            said = zmtp.greeting() + self.mutated(zmtp.ready(kind)) + plausible
        else:
            said = noise if level == 3 else self.mutated(plausible)
        zmtp.send_some(self.dial(endpoint) if level < 3 else self.meet(endpoint, kind), said)

    @staticmethod
    def request(kind, fields):
        return zmtp.message(b"BT\x01" + bytes([kind]) + msgpack.packb(fields))

    def join_and_more(self):
        """A conversation that would be right but for the mutation. Of an actor of its own: whoever
        joins under a name with other patterns is a new build of that actor, and takes over."""
        return self.request(1, [1, 2, "stranger", 77]) + \
            self.request(3, [2, "stranger", "stranger-x", 77, ["jobs.new"], 0, 0,
                             [5, 1, 1, 1]]) + \
            self.request(7, [3, 0]) + self.request(10, [4, 0, 65536, 0, 0, []]) + \
            self.request(9, [5])

    # ---- the tests

    def test_random_and_mutated_bytes(self):
        subscribe = b"".join(zmtp.message(b"\x01" + bytes([p]) + b"jobs") for p in range(20))
        for _ in range(300):
            for endpoint, kind, plausible in ((self.endpoint, "DEALER", self.join_and_more()),
                                              (self.fanout, "SUB", subscribe)):
                self.talk_nonsense(endpoint, kind, plausible)
                if len(self.peers) > 60:
                    self.drop(self.chance.choice(self.peers))
        self.more_service()
        self.finish("bytes")

    def test_sizes_that_are_lies(self):
        for size in (1 << 24, 1 << 31, 1 << 32, (1 << 63) - 1, 1 << 63, (1 << 64) - 1):
            for flags in (zmtp.LONG, zmtp.LONG | zmtp.MORE, zmtp.LONG | zmtp.COMMAND):
                for endpoint, kind in ((self.endpoint, "DEALER"), (self.fanout, "SUB")):
                    peer = self.meet(endpoint, kind)
                    zmtp.send_some(peer, bytes([flags]) + size.to_bytes(8, "big") + bytes(4096))
        self.more_service()
        self.finish("bytes")

    def test_half_open_connections_are_closed(self):
        for endpoint in (self.endpoint, self.fanout):
            for _ in range(150):
                peer = self.dial(endpoint)
                # Nothing, or not all that has to be said first.
                said = zmtp.hello("DEALER")[:self.chance.choice([0, 0, 1, 10, 12, 64, 70])]
                zmtp.send_some(peer, said)
        self.more_service()
        still = [p for p in self.peers if not zmtp.hung_up(p, harness.DEADLINE_S)]
        self.assertEqual(still, [], "connections that never said who they are")
        self.finish("connections")

    def test_floods_of_connections(self):
        for _ in range(10):
            flood = [self.dial(endpoint) for endpoint in (self.endpoint, self.fanout)
                     for _ in range(40)]
            for peer in flood:
                if self.chance.random() < 0.5:
                    zmtp.send_some(peer, zmtp.hello("DEALER"))
            for peer in flood:
                self.drop(peer)
        self.more_service()
        self.finish("connections")

    def test_floods_of_subscriptions(self):
        for number in range(4):
            peer = self.meet(self.fanout, "SUB")
            subscriptions = [b"\x01" + self.chance.randbytes(self.chance.randint(1, 24))
                             for _ in range(5000)]
            for at in range(0, len(subscriptions), 500):
                wanted = b"".join(zmtp.message(s) for s in subscriptions[at:at + 500])
                zmtp.send_some(peer, wanted, timeout_s=harness.DEADLINE_S)
            # Cancels some, cancels what it never had, and asks for one that is too long.
            for s in subscriptions[:1000]:
                zmtp.send_some(peer, zmtp.message(b"\x00" + s), timeout_s=harness.DEADLINE_S)
            zmtp.send_some(peer, zmtp.message(b"\x00never"), timeout_s=harness.DEADLINE_S)
            if number % 2:
                zmtp.send_some(peer, zmtp.message(b"\x01" + bytes(100000)),
                               timeout_s=harness.DEADLINE_S)
                self.assertTrue(zmtp.hung_up(peer, harness.DEADLINE_S), "a subscription too long")
        self.more_service()
        self.finish("subscriptions")

    def test_readers_that_never_read(self):
        filler, big = Producer(self.endpoint, "/tests/filler"), "x" * 60000
        for _ in range(20):
            filler.publish("small.one", [(f"f{i}", {"n": i, "x": "x" * 400}) for i in range(100)])
            filler.publish("big.one", [("f", {"n": 1, "big": big})])
        # Each asks for hundreds of MiB: of small events, or of large ones.
        for number in range(40):
            topic = ["small.one", "big.one"][number % 2]
            read = b"".join(self.request(10, [n, 0, 1 << 20, 0, 0, [topic]]) for n in range(2, 402))
            peer = self.meet(self.endpoint, "DEALER", receive_bytes=4096)
            zmtp.send_some(peer, self.request(1, [1, 3, "x", 1]) + read)
            peer = self.meet(self.fanout, "SUB", receive_bytes=4096)
            zmtp.send_some(peer, zmtp.message(b"\x01"))
        for _ in range(20):
            filler.publish("big.one", [(f"f{i}", {"n": i, "big": big}) for i in range(4)])
        self.more_service()
        self.finish("stalled")


if __name__ == "__main__":
    harness.main()
