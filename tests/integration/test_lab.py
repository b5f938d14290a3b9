#!/usr/bin/python3
# SPDX-License-Identifier: MPL-2.0
"""`baton lab`: drills with real processes, on loopback and in network namespaces where they are
allowed; what it refuses, and what stays behind.

usage: test_lab.py [TEST...] (BATON_BIN: folder of the programs)
"""
import contextlib
import json
import os
import pathlib
import re
import signal
import subprocess
import tempfile
import time
import unittest

from waiting import DEADLINE_S, runs, wait_for

BATON = str(pathlib.Path(os.environ["BATON_BIN"]) / "baton")
NEED_LINKS = ("host-cut-off", "disk-full")

SYSTEM = """
    orchestrator
        partitions = 6
        segment_bytes = 1MiB
        disk_reserve_bytes = 1MiB
    restart_backoff_max = 300ms
    actors
        payment
            command = "baton lab worker --name payment --max-attempts 50 -- --on orders --emit paid"
            instances = 2
        shipping
            command = "baton lab worker --name shipping --max-attempts 50 -- --on paid --emit sent"
"""
DRILL = """drill
    hosts = 2
system""" + SYSTEM + """
load
    orders
        topic = orders
        keys = 10
        rate = 200
        count = 300
effects
    payment = "orders -> paid"
    shipping = "paid -> sent"
expect
    dead = 0
    events = 300
"""


class Lab(unittest.TestCase):

    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="baton-lab-test-")
        self.addCleanup(folder.cleanup)
        self.dir = pathlib.Path(folder.name)
        self.labs = self.dir / "labs"
        self.labs.mkdir()
        # Labs are found in TMPDIR: those of other people are not this test's business.
        self.environment = {k: v for k, v in os.environ.items() if k != "BATON_LAB"}
        self.environment["TMPDIR"] = str(self.labs)

    def write(self, text, name="drill.conf"):
        path = self.dir / name
        path.write_text(text)
        return path

    def baton(self, *words):
        return subprocess.run([BATON, *map(str, words)], stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=DEADLINE_S * 3,
                              env=self.environment)

    def lab(self, *words):
        return self.baton("lab", *words)

    def start(self, *words):
        output = open(self.dir / "output", "ab")
        self.addCleanup(output.close)
        process = subprocess.Popen([BATON, "lab", *map(str, words)], stdin=subprocess.DEVNULL,
                                   stdout=output, stderr=output, env=self.environment)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        return process

    def heard(self):
        return (self.dir / "output").read_text()

    def run_drill(self, path, *words):
        """The verdict of a drill, the exit code, and what it printed."""
        done = self.lab("run", path, "--json", *words)
        self.assertIn(done.returncode, (0, 1), done.stderr)
        verdict = json.loads(done.stdout) if done.stdout else None
        return verdict, done.returncode, done.stderr

    def pids(self, *words):
        """Of all processes of a lab that takes orders."""
        done = self.lab("status", "--json", *words)
        status = json.loads(done.stdout) if done.returncode == 0 else {"part": ""}
        if status["part"] != "running":
            return []
        return [process["pid"] for host in status["hosts"] for process in host["processes"]]

    def wait_running(self, count, *words):
        return wait_for(f"{count} processes run", lambda: len(self.pids(*words)) == count and
                        self.pids(*words))

    # ---- verdicts

    def test_a_run_on_loopback_passes_and_says_so(self):
        verdict, code, text = self.run_drill(self.write(DRILL), "--loopback", "--seed", 7)
        self.assertEqual(code, 0, text)
        self.assertIn("no partition, slow, lossy or fill-disk", text)
        self.assertEqual((verdict["passed"], verdict["judged"]), (True, True))
        self.assertEqual(verdict["seed"], "7")
        self.assertEqual(verdict["events"], 300)
        self.assertEqual(verdict["journal"], 900)
        for figure in ("lost", "duplicated", "out_of_order", "double_effects", "dead_letters"):
            self.assertEqual(verdict[figure], 0, figure)
        self.assertEqual(verdict["last_effect"]["before"]["count"], 300)
        self.assertEqual([a["name"] for a in verdict["actors"]], ["payment", "shipping"])
        self.assertEqual([a["settled"] for a in verdict["actors"]], [300, 300])
        self.assertEqual(os.listdir(self.labs), [])

    def test_kills_are_survived_and_counted(self):
        steps = "steps\n    200ms = \"kill payment\"\n    400ms = \"kill orchestrator\"\n" \
            "    600ms = \"kill --random\"\n    700ms = \"pause payment for 300ms\"\n"
        verdict, code, text = self.run_drill(self.write(DRILL + steps), "--loopback")
        self.assertEqual(code, 0, text)
        self.assertEqual(verdict["troubles"], {"kill": 3, "pause": 1})
        self.assertGreater(verdict["outage_ms"], 0)

    def test_a_broken_promise_is_a_failure(self):
        """Shipping emits something else than it was declared to: every order lacks an effect."""
        drill = DRILL.replace("--emit sent", "--emit elsewhere")
        verdict, code, text = self.run_drill(self.write(drill), "--loopback")
        self.assertEqual((code, verdict["passed"], verdict["lost"]), (1, False, 300))
        self.assertIn("FAILED: a guarantee is broken", text)
        kept = re.search(r"^kept: (\S+)", text, re.MULTILINE).group(1)
        self.assertTrue((pathlib.Path(kept) / "host1.log").exists())
        self.assertEqual(self.lab("clean").stdout, "1 removed\n")
        self.assertEqual(os.listdir(self.labs), [])

    def test_a_missed_expectation_is_a_failure(self):
        drill = DRILL.replace("dead = 0", "dead = 3")
        verdict, code, text = self.run_drill(self.write(drill), "--loopback")
        self.assertEqual((code, verdict["passed"], verdict["judged"]), (1, False, True))
        self.assertIn("0 dead letters, expected were 3 to 3", verdict["findings"])
        self.assertIn("FAILED: not as expected", text)

    def test_a_step_that_is_not_possible_is_a_failure(self):
        steps = "steps\n    100ms = \"partition host2 for 100ms\"\n    200ms = \"fill-disk\"\n"
        verdict, code, text = self.run_drill(self.write(DRILL + steps), "--loopback")
        self.assertEqual(code, 1)
        self.assertEqual(len(verdict["findings"]), 2)
        self.assertEqual(verdict["troubles"], {})

    def test_an_actor_that_never_comes_is_named(self):
        drill = DRILL.replace("--name shipping", "--name stranger") \
            .replace("    hosts = 2\n", "    hosts = 2\n    start = 2s\n", 1)
        verdict, code, text = self.run_drill(self.write(drill), "--loopback")
        self.assertEqual((code, verdict["judged"]), (1, False))
        self.assertIn("no verdict: shipping did not register within 2 s", text)

    # ---- what is refused

    def test_wrong_drills_are_refused_with_their_line(self):
        for old, new, line, what in (
                ("rate = 200", "rate = fast", 20, "rate = fast"),
                ("rate = 200", "speed = 200", 20, "unknown property 'speed'"),
                ("topic = orders", "topic = orders.*", 18, "is not a topic"),
                ("instances = 2", "instance = 2", 12, "unknown property 'instance'"),
                ("instances = 2", "host = a.b", 12, "host 'a.b'"),
                ("partitions = 6", "partitions = 0", 5, "partitions"),
                ("hosts = 2\n", "hosts = 200\n", 2, "hosts = 200"),
                ("orders -> paid", "orders paid", 23, "PATTERN -> TOPIC"),
                ("dead = 0", "dead = few", 26, "dead = few"),
                ("effects\n", "effect\n", 22, "unknown section 'effect'")):
            path = self.write(DRILL.replace(old, new))
            done = self.lab("run", path)
            self.assertEqual(done.returncode, 2, (new, done.stderr))
            self.assertIn(f"{path}:{line}: ", done.stderr, new)
            self.assertIn(what, done.stderr)
        for text, what in ((DRILL.replace("load\n", "#\n", 1), ""),
                           (DRILL.replace("instances = 2", "host = host3"),
                            "it names hosts up to 'host3': 3 are needed, not 2"),
                           (DRILL + "steps\n    1s = \"kil payment\"\n", "'kil' is no order"),
                           (DRILL + "steps\n    1s = \"kill nobody\"\n",
                            "there is no 'nobody' in this system"),
                           (DRILL + "steps\n    1s = \"heal host3\"\n", "no 'host3'"),
                           (DRILL + "steps\n    soon = \"kill payment\"\n", "'soon'"),
                           (DRILL + "steps\n    2s = \"heal all\"\n    1s = \"heal all\"\n",
                            "earlier"),
                           ("drill\n    hosts = 1\n", "a section 'system' is needed")):
            done = self.lab("run", self.write(text))
            self.assertEqual(done.returncode, 2, done.stderr)
            self.assertIn(what, done.stderr)
        self.assertEqual(os.listdir(self.labs), [])

    def test_wrong_words_are_refused(self):
        for words, code in (((), 2), (("kil", "x"), 2), (("run",), 2), (("run", "a", "b"), 2),
                            (("run", "no-such-drill"), 2), (("up", "no-such-file"), 2),
                            (("kill",), 2), (("kill", "a", "--for", "ever"), 2),
                            (("run", "flash-sale", "--scale", "0"), 2),
                            (("run", "flash-sale", "--hosts", "33"), 2), (("exec",), 2),
                            (("kill", "a"), 69), (("status",), 69), (("down",), 69),
                            (("exec", "true"), 69), (("status", "--lab", "x"), 69),
                            (("worker",), 2), (("worker", "--", "--on", "a..b"), 2),
                            (("worker", "--", "--on", "a", "--provider", "x"), 2),
                            (("clean",), 0), (("list",), 0), (("--help",), 0),
                            (("kill", "--help"), 0)):
            self.assertEqual(self.lab(*words).returncode, code, words)

    # ---- a lab that is asked

    def test_orders_to_a_running_lab(self):
        system = "\n".join(line[4:] for line in SYSTEM.splitlines())
        up = self.start("up", self.write(system), "--hosts", 2, "--loopback")
        self.wait_running(6)
        before = set(self.pids())
        done = self.lab("kill", "payment-1.host2")
        while "still starting" in done.stderr:
            time.sleep(0.05)
            done = self.lab("kill", "payment-1.host2")
        self.assertEqual(done.returncode, 0, done.stderr)
        pid = int(re.fullmatch(r"killed payment-1\.host2 \(pid (\d+)\)\n", done.stdout).group(1))
        self.assertIn(pid, before)
        wait_for("another payment-1.host2",
                 lambda: len(self.pids()) == 6 and pid not in self.pids())
        self.assertEqual(self.lab("burst", "orders", "--rate", 100, "--for", "1s").returncode, 0)
        self.assertEqual(self.lab("pause", "shipping", "--for", "1h").returncode, 0)
        self.assertEqual(self.lab("resume", "shipping").returncode, 0)
        self.assertEqual(self.lab("resume", "shipping").returncode, 1)
        self.assertEqual(self.lab("scale", "payment", 4).returncode, 0)
        self.wait_running(8)
        self.assertIn("not possible", self.lab("partition", "host2").stderr)
        read = self.lab("exec", "--", BATON, "read", "--topic", "orders", "--json")
        self.assertEqual(read.returncode, 0, read.stderr)
        self.assertIn('"type":"orders"', read.stdout)
        self.assertEqual(self.lab("down").returncode, 0)
        self.assertEqual(up.wait(timeout=DEADLINE_S), 0, self.heard())
        self.assertEqual(os.listdir(self.labs), [])

    def test_two_labs_do_not_meet(self):
        # The least that a system may say: sections without anything in them.
        system = self.write("orchestrator\nactors\n    payment\n        command = "
                            '"baton lab worker --name payment -- --on orders"\n')
        labs = [self.start("up", system, "--loopback") for _ in range(2)]
        names = wait_for("two labs", lambda: len(os.listdir(self.labs)) == 2 and
                         [name.rpartition("-")[2] for name in os.listdir(self.labs)])
        for name in names:
            self.wait_running(3, "--lab", name)
        done = self.lab("kill", "payment")
        self.assertEqual(done.returncode, 2)
        for name in names:
            self.assertIn(name, done.stderr)
            self.assertEqual(self.lab("down", "--lab", name).returncode, 0)
        self.assertEqual([lab.wait(timeout=DEADLINE_S) for lab in labs], [0, 0], self.heard())

    # ---- ends

    def long_run(self, *words):
        drill = self.write(DRILL.replace("count = 300", "for = 1h"))
        run = self.start("run", drill, *words)
        self.wait_running(6)
        wait_for("the load", lambda: "the load begins" in self.heard())
        return run, self.pids()

    def test_ctrl_c_in_the_middle(self):
        run, pids = self.long_run("--loopback")
        run.send_signal(signal.SIGINT)
        self.assertEqual(run.wait(timeout=DEADLINE_S), 130)
        self.assertIn("no verdict: interrupted", self.heard())
        self.assertEqual([pid for pid in pids if runs(pid)], [])
        self.assertEqual(os.listdir(self.labs), [])

    def test_kill_9_takes_all_with_it(self):
        run, pids = self.long_run()
        run.kill()
        run.wait()
        wait_for("all have ended", lambda: not any(runs(pid) for pid in pids))
        with contextlib.suppress(FileNotFoundError):
            self.assertNotIn(str(self.labs), pathlib.Path("/proc/mounts").read_text())
        self.assertEqual(len(os.listdir(self.labs)), 1)
        # The next lab removes what that one has left.
        _, code, text = self.run_drill(self.write(DRILL), "--loopback")
        self.assertEqual(code, 0, text)
        self.assertEqual(os.listdir(self.labs), [])

    # ---- the drills that come with it

    def test_shipped_drills(self):
        listed = json.loads(self.lab("list", "--json").stdout)
        self.assertEqual(len(listed), 9)
        for drill in listed:
            name = drill["name"]
            with self.subTest(drill=name):
                verdict, code, text = self.run_drill(name, "--scale", 0.08, "--lenient",
                                                     "--seed", 1)
                if "all hosts are on loopback" in text and name in NEED_LINKS:
                    print(f"{name}: skipped, no network namespaces here")
                    continue
                if verdict is None and "a small disk at" in text:
                    print(f"{name}: skipped, no mounts here: {text}")
                    continue
                self.assertEqual(code, 0, f"{text}\n{verdict and verdict['findings']}")
                self.assertTrue(verdict["troubles"], name)


if __name__ == "__main__":
    unittest.main(verbosity=2)
