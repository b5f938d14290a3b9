# SPDX-License-Identifier: MPL-2.0
"""keep_awake_ms: what an orchestrator and an actor ask of the kernel; a file stands for the
device."""

import os
import struct
import unittest.mock

import harness
from harness import wait_for

SPIN, ANY = 0, 2000000000


class Awake(harness.System):

    def device(self, name):
        path = self.dir / name
        path.touch()
        return path

    def asked(self, path):
        data = path.read_bytes()
        return list(struct.unpack(f"={len(data) // 4}i", data))

    def at_rest(self, path):
        asked = self.asked(path)
        return (not asked or asked[-1] == ANY) and [len(asked)]

    def test_processors_are_kept_awake_while_events_come_and_then_let_go(self):
        device, of_actor = self.device("latency"), self.device("actor-latency")
        with unittest.mock.patch.dict(os.environ, BATON_TEST_CPU_LATENCY=str(device)):
            self.start_orchestrator(keep_awake_ms="50 ms")
        self.start_probe("worker", ["jobs.new"], options=["--keep-awake", "50"],
                         environment={"BATON_TEST_CPU_LATENCY": str(of_actor)})
        wait_for("it has joined", lambda: self.actor_status("worker"))
        before, = wait_for("nothing is to be done", lambda: self.at_rest(device))
        self.assertEqual(self.asked(of_actor), [], "nothing has come yet")
        self.publish("jobs.new", [{"key": "a", "n": 1}])
        self.wait_settled("worker", 1)
        for path, first in ((device, before), (of_actor, 0)):
            wait_for(f"{path.name} is let go", lambda: len(self.asked(path)) > first and
                     self.at_rest(path))
            asked = self.asked(path)
            self.assertEqual(asked, [SPIN, ANY] * (len(asked) // 2))

    def test_by_default_nothing_is_asked_for(self):
        device = self.device("latency")
        with unittest.mock.patch.dict(os.environ, BATON_TEST_CPU_LATENCY=str(device)):
            self.start_orchestrator()
            self.start_probe("worker", ["jobs.new"])
        self.publish("jobs.new", [{"key": "a", "n": 1}])
        self.stop(self.orchestrator)
        self.assertEqual(self.asked(device), [])

    def test_without_the_device_there_is_a_warning_and_events_flow(self):
        with unittest.mock.patch.dict(os.environ, BATON_TEST_CPU_LATENCY=str(self.dir / "none")):
            self.start_orchestrator(keep_awake_ms="50 ms")
        self.publish("jobs.new", [{"key": "a", "n": 1}])
        self.assertEqual(len(self.read("jobs.new")), 1)
        self.assertIn("processors may sleep between events",
                      (self.dir / "orchestrator.err").read_text())


if __name__ == "__main__":
    harness.main()
