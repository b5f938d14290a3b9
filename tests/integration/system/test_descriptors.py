# SPDX-License-Identifier: MPL-2.0
"""More connections than an orchestrator has file descriptors: those that are there are served, the
others are refused until some leave, and the journal goes on.

Nothing leaves 127.0.0.1; connections and bytes are counted.
"""

import os
import pathlib
import resource
import sys
import threading
import time

import harness
import zmtp
from harness import wait_for

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "interop"))
from producer import Producer  # noqa: E402

DESCRIPTORS = 160
CROWD = 200  # connections to each of the two sockets
SEGMENTS = 6  # that are filled meanwhile
NOTICE_S = 60  # it is said once in this time
DATA = "x" * 60000


class Service(threading.Thread):
    """A producer that was there before the crowd: receipt after receipt."""

    def __init__(self, endpoint):
        super().__init__(daemon=True)
        self.stopping, self.sent, self.failed = threading.Event(), 0, None
        self.producer = Producer(endpoint, "/tests/early")

    def run(self):
        try:
            while not self.stopping.wait(0.01):
                self.producer.publish("jobs.new", [("k", {"n": self.sent + 1, "data": DATA})])
                self.sent += 1
        except Exception as error:  # shown by the test's thread
            self.failed = error
        self.producer.socket.close(linger=0)

    def close(self):
        self.stopping.set()
        self.join(timeout=harness.DEADLINE_S)


class Descriptors(harness.System):
    OPTIONS = {"endpoint": "tcp://127.0.0.1:*", "fanout_endpoint": "tcp://127.0.0.1:*",
               "segment_bytes": "1 MiB"}

    def setUp(self):
        super().setUp()
        self.crowd = []  # (where to, connection)
        self.addCleanup(self.disperse)

    def disperse(self):
        for _, peer in self.crowd:
            peer.close()
        self.crowd = []

    def start_with_limit(self):
        self.orchestrator = self.start(
            "orchestrator", [harness.BIN / "baton", "orchestrator", self.write_conf()],
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE,
                                                  (DESCRIPTORS, DESCRIPTORS)))
        self.endpoint = wait_for("the endpoint is printed", lambda: next(
            (line for line in self.said().splitlines() if line.startswith("tcp://")), None))
        greeter = Producer(self.endpoint, "/tests/greeter")
        self.fanout = wait_for("the greeter is welcomed",
                               lambda: greeter.ask(1, [1, "/tests/greeter", 1]))[9]
        greeter.socket.close(linger=0)

    def said(self):
        return (self.dir / "orchestrator.err").read_text()

    def newest_segment(self):
        return max(path.name for path in (self.dir / "data" / "journal").glob("*.seg"))

    def join_crowd(self, where):
        peer = zmtp.dial(where)
        zmtp.send_some(peer, zmtp.hello("SUB" if where == self.fanout else "DEALER"))
        peer.setblocking(False)
        self.crowd.append((where, peer))

    def hung_up(self):
        """Takes those out of the crowd whose connection was closed; where they had been."""
        gone = []
        for where, peer in self.crowd:
            try:
                closed = not peer.recv(65536)
            except BlockingIOError:
                continue
            except OSError:
                closed = True
            if closed:
                peer.close()
                gone.append((where, peer))
        self.crowd = [one for one in self.crowd if one not in gone]
        return [where for where, _ in gone]

    def test_a_crowd_is_refused_and_the_journal_goes_on(self):
        began = time.monotonic()
        self.start_with_limit()
        self.start_probe("worker", ["jobs.new"])
        wait_for("the worker is there",
                 lambda: (self.actor_status("worker") or {}).get("instances"))
        service = Service(self.endpoint)
        service.start()
        self.addCleanup(service.close)
        for where in (self.endpoint, self.fanout) * CROWD:
            self.join_crowd(where)
        refused = 0

        def only_so_many_are_left():
            nonlocal refused
            refused += len(self.hung_up())
            return len(self.crowd) < DESCRIPTORS
        wait_for("those that there is no descriptor for are refused", only_so_many_are_left)
        self.assertGreater(refused, 2 * CROWD - DESCRIPTORS)
        self.assertIn("the file descriptors run out", self.said())
        self.assertIn(f"limit of the process is {DESCRIPTORS} ", self.said())

        # They come again and again, while segments fill.
        handled, segment, filled = len(self.log("worker")), self.newest_segment(), 0

        def the_journal_goes_on():
            nonlocal segment, filled
            self.assertIsNone(self.orchestrator.poll(), "it stays up")
            for where in self.hung_up():
                self.join_crowd(where)
            while len(self.crowd) < 2 * CROWD:
                self.join_crowd(self.endpoint)
            self.assertLessEqual(len(os.listdir(f"/proc/{self.orchestrator.pid}/fd")), DESCRIPTORS)
            if self.newest_segment() != segment:
                segment, filled = self.newest_segment(), filled + 1
            return filled >= SEGMENTS and len(self.log("worker")) > handled
        wait_for("receipts go on over segments", the_journal_goes_on)
        notices = 1 + (time.monotonic() - began) // NOTICE_S
        self.assertLessEqual(self.said().count("the file descriptors run out"), notices,
                             "not for each one")

        self.disperse()
        wait_for("it lets in who comes now", lambda: self.status() is not None)
        service.close()
        self.assertFalse(service.is_alive(), "the last one has its receipt")
        if service.failed:
            raise service.failed
        self.wait_settled("worker", service.sent)
        self.assert_all_handled(self.log("worker"), ["k"], service.sent)
        self.stop(self.orchestrator)


if __name__ == "__main__":
    harness.main()
