# SPDX-License-Identifier: MPL-2.0
"""Trouble around an orchestrator: its data directory, its disk, its permissions, its absence."""

import os
import signal
import subprocess
import threading
import unittest

import msgpack
import zmq

import harness
from harness import BIN, load, wait_for


HELLO, READ, WELCOME, EVENTS, ERROR = 0x01, 0x0a, 0x81, 0x84, 0xff


class Unreadable(threading.Thread):
    """Stands for an orchestrator with one event whose disk cannot be read, a number of times."""

    def __init__(self, refusals):
        super().__init__()
        self.refusals, self.reads, self.stopping = refusals, 0, threading.Event()
        self.socket = zmq.Context.instance().socket(zmq.ROUTER)
        self.endpoint = f"tcp://127.0.0.1:{self.socket.bind_to_random_port('tcp://127.0.0.1')}"

    def answer(self, kind):
        if kind == HELLO:
            return WELCOME, [1, 32, 1, 1000, 10000, 1 << 20, 1 << 20, 0, ""]
        self.reads += 1
        if self.reads <= self.refusals:
            return ERROR, [68, True, "UNREADABLE", "segment 1: Input/output error", 0]
        return EVENTS, [0, 1, True, []]

    def run(self):
        while not self.stopping.is_set():
            if not self.socket.poll(50):
                continue
            peer, head, *_ = self.socket.recv_multipart()
            kind, fields = self.answer(head[3])
            head = head[:3] + bytes([kind]) + msgpack.packb([msgpack.unpackb(head[4:])[0], *fields])
            self.socket.send_multipart([peer, head])
        self.socket.close(linger=0)

    def close(self):
        self.stopping.set()
        self.join()


class Trouble(harness.System):

    def refused(self, name):
        """Starts a second process on self's configuration; returns what it printed."""
        process = self.start(name, [BIN / "baton", "orchestrator", self.dir / "orchestrator.conf"])
        self.assertNotEqual(process.wait(timeout=harness.DEADLINE_S), 0)
        return (self.dir / f"{name}.err").read_text()

    def test_two_processes_on_one_data_directory(self):
        self.start_orchestrator()
        self.assertIn("LOCKED", self.refused("second"))
        self.publish("jobs.new", load(["a"], 1))

    def test_a_data_directory_from_a_newer_version(self):
        self.start_orchestrator()
        self.stop(self.orchestrator)
        marker = self.dir / "data" / "FORMAT"
        text = marker.read_text()
        digits = "".join(c for c in text if c.isdigit())
        self.assertTrue(digits)
        marker.write_text(text.replace(digits, str(int(digits) + 1), 1))
        self.assertIn("FORMAT", self.refused("newer"))

    @unittest.skipUnless(os.geteuid() == 0, "needs root, to become somebody else")
    def test_no_permission(self):
        self.write_conf()
        (self.dir / "data").mkdir(mode=0o700)
        os.chmod(self.dir, 0o755)
        process = self.start("nobody", ["setpriv", "--reuid=65534", "--regid=65534",
                                        "--clear-groups", BIN / "baton", "orchestrator",
                                        self.dir / "orchestrator.conf"])
        self.assertNotEqual(process.wait(timeout=harness.DEADLINE_S), 0)
        self.assertIn("PERMISSION", (self.dir / "nobody.err").read_text())

    @unittest.skipUnless(os.geteuid() == 0, "needs root, to mount a small disk")
    def test_a_full_disk_refuses_by_name_and_goes_on_when_there_is_room(self):
        disk = self.dir / "data"
        disk.mkdir()
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(disk)])
        if mounted.returncode != 0:
            self.skipTest("no mounts here")
        self.addCleanup(subprocess.run, ["umount", "-l", str(disk)])
        self.start_orchestrator(segment_bytes="1 MiB", disk_reserve_bytes="4 MiB")
        filler = disk / "filler"
        free = os.statvfs(disk)
        filler.write_bytes(b"\0" * (free.f_bavail * free.f_frsize - 2 * 1024 * 1024))
        waiting = subprocess.Popen(
            [str(BIN / "baton"), "publish", "jobs.new", "--key", "a", "--connect", self.endpoint],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.processes.append(waiting)
        waiting.stdin.write('{"n": 1}\n')
        waiting.stdin.close()
        waiting.stdin = None
        wait_for("the orchestrator says so", lambda: "disk_reserve_bytes" in (
            self.dir / "orchestrator.err").read_text())
        self.assertIsNone(self.orchestrator.poll())
        self.assertIsNotNone(self.status(), "it still answers")
        filler.unlink()
        self.assertEqual(waiting.wait(timeout=harness.DEADLINE_S), 0, "it went on by itself")
        waiting.stdout.close()
        waiting.stderr.close()
        self.assertEqual(len(self.read("jobs.new")), 1)

    def unreadable(self, refusals):
        fake = Unreadable(refusals)
        fake.start()
        self.addCleanup(fake.close)
        self.endpoint = fake.endpoint
        return fake

    def test_a_read_is_tried_again_while_the_disk_cannot_be_read(self):
        fake = self.unreadable(3)
        self.baton("read", "--from", "beginning", "--timeout", 60)
        self.assertEqual(fake.reads, 4)

    def test_a_read_gives_up_when_its_time_is_over(self):
        fake = self.unreadable(1 << 30)
        done = self.baton("read", "--from", "beginning", "--timeout", 1, check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn("segment 1: Input/output error", done.stderr)
        self.assertGreater(fake.reads, 1)

    def test_an_unreachable_orchestrator_is_said_clearly(self):
        self.write_conf()
        done = self.baton("status", check=False)
        self.assertEqual(done.returncode, 69)
        self.assertIn(self.endpoint, done.stderr)
        worker = self.start_probe("worker", ["jobs.new"], options=["--connect-timeout", "300"])
        self.assertEqual(worker.wait(timeout=harness.DEADLINE_S), 69)
        self.assertIn(self.endpoint, (self.dir / "worker-1.err").read_text())

    def test_an_actor_that_starts_first_waits_for_the_orchestrator(self):
        self.start_probe("worker", ["jobs.new"])
        self.start_orchestrator()
        self.publish("jobs.new", load(["a"], 3))
        self.wait_settled("worker", 3)

    def test_two_processes_of_one_instance_name(self):
        self.start_orchestrator()
        first = self.start_probe("worker", ["jobs.new"], instance="worker-1")
        wait_for("it has joined", lambda: (self.actor_status("worker") or {}).get("instances"))
        self.start_probe("worker", ["jobs.new"], instance="worker-1")
        self.assertEqual(first.wait(timeout=harness.DEADLINE_S), 75, "the older one is fenced")
        self.publish("jobs.new", load(["a"], 3))
        self.wait_settled("worker", 3)

    def test_paused_instance_that_wakes_up_late_changes_nothing(self):
        self.start_orchestrator(session_timeout_ms=1500, reconnect_grace_ms=300, heartbeat_ms=200)
        first = self.start_probe("worker", ["jobs.new"], instance="worker-1")
        events = load(["a", "b", "c"], 30, do="sleep", ms=20, emit="jobs.done")
        self.publish("jobs.new", events)
        wait_for("it works", lambda: len(self.log("worker")) > 10)
        first.send_signal(signal.SIGSTOP)
        self.start_probe("worker", ["jobs.new"], instance="worker-2")
        self.wait_settled("worker", 90)
        first.send_signal(signal.SIGCONT)
        self.publish("jobs.more", load(["a"], 1))
        wait_for("the late one has joined again", lambda: len(
            (self.actor_status("worker") or {"instances": []})["instances"]) == 2)
        self.assert_emitted_once("jobs.done", 90)
        self.assertEqual(self.actor_status("worker")["died"], 0)


if __name__ == "__main__":
    harness.main()
