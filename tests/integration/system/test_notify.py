# SPDX-License-Identifier: MPL-2.0
"""What a supervisor that speaks sd_notify(3)'s protocol hears from an orchestrator and an actor."""

import re
import socket

import harness
from harness import BIN, DEADLINE_S, wait_for

WATCHDOG_S = 2.0


class Notify(harness.System):

    def setUp(self):
        super().setUp()
        self.heard = []
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(self.socket.close)
        self.socket.bind(str(self.dir / "notify"))
        self.socket.settimeout(0.05)
        self.environment = {"NOTIFY_SOCKET": str(self.dir / "notify"),
                            "WATCHDOG_USEC": str(int(WATCHDOG_S * 1000000))}

    def listen(self):
        """Takes what has come; everything that was ever heard."""
        try:
            while True:
                self.heard += self.socket.recv(4096).decode().splitlines()
        except TimeoutError:
            return self.heard

    def wait_heard(self, pattern, times=1):
        wait_for(f"{pattern} in {self.heard}",
                 lambda: len([h for h in self.listen() if re.fullmatch(pattern, h)]) >= times)

    def count(self, line):
        return self.heard.count(line)

    def probe(self, *options):
        return self.start_probe("probe", ["t"], options=options, environment=self.environment)

    # ---- tests

    def test_orchestrator(self):
        process = self.start("orchestrator", [BIN / "baton", "orchestrator", self.write_conf()],
                             self.environment)
        self.wait_heard("READY=1")
        self.assertIsNotNone(self.status())  # ready means that it answers
        self.wait_heard("STATUS=serving at " + re.escape(self.endpoint))
        self.wait_heard("WATCHDOG=1", times=3)
        self.assertEqual(self.count("STOPPING=1"), 0)
        self.stop(process)
        self.listen()
        self.assertEqual((self.count("READY=1"), self.count("STOPPING=1")), (1, 1))

    def test_orchestrator_that_cannot_serve_is_not_ready(self):
        (self.dir / "data").write_text("no folder")
        process = self.start("orchestrator", [BIN / "baton", "orchestrator", self.write_conf()],
                             self.environment)
        self.assertEqual(process.wait(timeout=DEADLINE_S), 1)
        self.assertEqual(self.listen(), [])

    def test_actor(self):
        process = self.probe()
        self.wait_heard("STATUS=waiting for the orchestrator at " + re.escape(self.endpoint))
        self.wait_heard("WATCHDOG=1", times=3)  # that nobody answers is not its fault
        self.assertEqual(self.count("READY=1"), 0)
        self.start_orchestrator()
        self.wait_heard("READY=1")
        self.publish("t", harness.load("abc", 2))
        self.wait_heard("STATUS=32 partitions, 6 handled, 0 retried, 0 rejected")
        self.stop(process)
        self.listen()
        self.assertEqual((self.count("READY=1"), self.count("STOPPING=1")), (1, 1))

    def test_actor_with_a_hung_handler_is_not_alive(self):
        self.start_orchestrator()
        process = self.probe("--handler-deadline", "3000")
        self.wait_heard("WATCHDOG=1", times=2)
        self.publish("t", [{"key": "k", "n": 1, "do": "hang", "ms": int(1000 * DEADLINE_S)}])
        # Heard all the time: a full queue would lose the last words.
        wait_for("its end", lambda: self.listen() and process.poll() is not None)
        self.assertEqual(process.returncode, 70)
        heard = self.listen()
        late = [at for at, line in enumerate(heard) if line.endswith("is past its deadline")]
        self.assertEqual(len(late), 1, heard)
        self.assertNotIn("WATCHDOG=1", heard[late[0]:])

    def test_a_wrong_address_is_said_and_changes_nothing(self):
        self.start_orchestrator()
        self.environment = {"NOTIFY_SOCKET": "vsock:2:1234"}
        process = self.probe()
        self.publish("t", harness.load("a", 1))
        self.wait_settled("probe", 1)
        self.stop(process)
        self.assertIn("NOTIFY_SOCKET is neither", (self.dir / "probe-1.err").read_text())


if __name__ == "__main__":
    harness.main()
