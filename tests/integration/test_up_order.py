#!/usr/bin/python3
# SPDX-License-Identifier: MPL-2.0
"""`restart_order = start-first`: of an actor with one instance nobody notices that it is replaced,
and a build that does not work replaces nobody. It prints how long an actor paused, in both orders.

usage: test_up_order.py (BATON_BIN: folder of the programs; BATON_PROBE: the actor for tests)
"""
import json
import os
import re
import signal
import threading
import time
import unittest

from up_case import PROBE, SLEEPER, UpCase, actor
from waiting import DEADLINE_S, wait_for

FIRST = "start-first"


class Pulse:
    """Watches a file grow; the longest time in which it did not."""

    def __init__(self, path):
        self.path = path
        self.longest = 0.0
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.watch)
        self.thread.start()

    def watch(self):
        size, since = os.stat(self.path).st_size, time.monotonic()
        while not self.over.wait(0.001):
            now_size, now = os.stat(self.path).st_size, time.monotonic()
            self.longest = max(self.longest, now - since)
            if now_size != size:
                size, since = now_size, now

    def end(self):
        self.over.set()
        self.thread.join()
        return self.longest


class Order(UpCase):

    def wait_replaced(self, *names):
        """Only these run, and none of them is to be replaced any more."""
        def replaced():
            listed = self.listed()
            listed.pop("orchestrator-1", None)
            return set(listed) == set(names) and all(
                its["ready"] and its["current"] for its in listed.values()) and listed
        return wait_for(f"{names} are the new ones", replaced)

    # ---- under load

    def restart_one_at_work(self, order):
        """Two restarts of one instance that takes half a second to start, with more work before it
        than it can do in that time. The longest pause, in seconds."""
        command = f"sh -c 'sleep 0.5; exec {PROBE} --name p -- --log {self.dir}/p.log --on jobs'"
        up = self.up(self.conf(actor("p", command, restart_order=order)))
        first = self.wait_ready("p-1")["p-1"]
        self.finish(self.stream("jobs", 3000, 40, 100000))
        wait_for("it is busy", lambda: self.handled("p") > 100)
        pulse = Pulse(self.dir / "p.log")
        self.addCleanup(pulse.end)
        for _ in range(2):
            done = self.restart("p")
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertEqual(done.stdout, "p: 1 of 1 replaced\n")
        last = self.instances()["p-1"]
        self.baton("publish", "jobs", "--key-field", "k", stdin="".join(
            f'{{"k":"k{key}","n":{3000 // 40}}}\n' for key in range(40)))
        wait_for("the last one is at work", lambda: any(
            note["pid"] == last for note in self.notes("p")))
        longest = pulse.end()
        wait_for("all is handled", lambda: self.handled("p") == 3040)
        notes = self.notes("p")
        self.check_once_in_order(notes)
        self.assertEqual(notes[0]["pid"], first)
        self.assertEqual(self.end(up), 0)
        print(f"one instance at work, which takes 0.5 s to start, replaced twice, {order}: the "
              f"actor's longest pause was {longest * 1000:.0f} ms")

    def test_one_instance_at_work(self):
        self.restart_one_at_work(FIRST)
        steps = ["p-1 is being replaced: p-2 starts first", "p-2 started", "p-2 is ready",
                 "p-1 is stopped: p-2 is ready", "p-1 stopped, exit code 0",
                 "p: every instance is replaced", "p-2 is being replaced: p-1 starts first",
                 "p-2 is stopped: p-1 is ready", "p-2 stopped, exit code 0"]
        at = 0
        for step in steps:
            at = self.heard().find(step, at)
            self.assertGreaterEqual(at, 0, f"{step}, or not in this order")

    def test_one_instance_at_work_stop_first(self):
        """What start-first is for: the same pauses for as long as a start takes."""
        self.restart_one_at_work("stop-first")
        self.assertNotIn("p-2 started", self.heard())

    def test_three_instances_mid_stream(self):
        up = self.up(self.conf(self.probe("p", "jobs", instances=3, restart_order=FIRST)))
        before = self.wait_ready("p-1", "p-2", "p-3")
        stream = self.stream("jobs", 1500, 40, 500)
        wait_for("it is busy", lambda: self.handled("p") > 100)
        done = self.restart("p")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(done.stdout.splitlines()[-1], "p: 3 of 3 replaced")
        self.assertEqual(set(self.instances()), {"orchestrator-1", "p-1", "p-2", "p-4"})
        self.finish(stream)
        wait_for("all is handled", lambda: self.handled("p") == 1500)
        notes = self.notes("p")
        self.check_once_in_order(notes)
        self.assertTrue({note["pid"] for note in notes} & set(before.values()), "the old ones")
        # Fewer: the highest number goes.
        self.assertEqual(self.scale("p", 2).returncode, 0)
        self.wait_replaced("p-1", "p-2")
        self.assertEqual(self.end(up), 0)

    def test_a_build_for_other_topics_takes_over(self):
        """The only instance of the old build goes on until the new one has joined."""
        up = self.up(self.conf(self.probe("p", "old", restart_order=FIRST)))
        self.wait_ready("p-1")
        streams = [self.stream("old", 800, 40, 160), self.stream("new", 800, 40, 160)]
        wait_for("it is busy", lambda: self.handled("p") > 50)
        self.conf(self.probe("p", "old", "new", restart_order=FIRST))
        done = self.command("reload")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.wait_replaced("p-2")
        last = {"k": "last", "n": 0}
        for topic in ("old", "new"):
            self.baton("publish", topic, "--key-field", "k", stdin=json.dumps(last) + "\n")
        for stream in streams:
            self.finish(stream)

        def handled(topic):
            return [note for note in self.notes("p") if note["what"] == "end" and
                    note["topic"] == topic]
        wait_for("all of the old topic, and the end of the new one, is handled", lambda: len(
            handled("old")) == 801 and any(note["key"] == "last" for note in handled("new")))
        wait_for("nothing is left", lambda: json.loads(self.baton(
            "status", "--json").stdout)["actors"][0]["lag"] == 0)
        self.check_once_in_order(self.notes("p"))
        self.assertEqual(self.end(up), 0)

    def test_an_elastic_actor_is_replaced_while_it_grows(self):
        up = self.up(self.conf(self.probe("p", "jobs", instances="1..4", target_lag=50,
                                          restart_order=FIRST)))
        self.wait_ready("p-1")
        self.finish(self.stream("jobs", 3000, 60, 100000))
        done = self.restart("p")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.wait_heard(r"p scaled from \d to 4: ")
        done = self.restart("p")
        self.assertEqual(done.returncode, 0, done.stderr)
        wait_for("all is handled", lambda: self.handled("p") == 3000)
        self.check_once_in_order(self.notes("p"))
        self.assertEqual(self.end(up), 0)

    # ---- what does not work

    def test_a_build_that_does_not_work_replaces_nobody(self):
        good = self.probe("p", "jobs", restart_order=FIRST)
        up = self.up(self.conf(good))
        before = self.wait_ready("p-1")
        self.conf(actor("p", "false", intensity="1 in 60s", restart_order=FIRST))
        self.assertEqual(self.command("reload").returncode, 0)
        parked = self.wait_state("p-2", "parked")
        self.assertEqual(parked["reason"], "ended: exit code 1 (2 times in 60 s)")
        self.assertEqual(self.instances()["p-1"], before["p-1"])
        done = self.restart("p")
        self.assertEqual(done.returncode, 1)
        self.assertEqual(done.stderr, "baton restart: p-2 is parked: ended: exit code 1 (2 times "
                         "in 60 s); the others go on\n")
        self.assertEqual(self.instances()["p-1"], before["p-1"])
        self.baton("publish", "jobs", "--key-field", "k", stdin='{"k":"a","n":0}\n')
        wait_for("it is at work", lambda: self.handled("p") == 1)
        self.conf(good)
        self.assertEqual(self.command("reload").returncode, 0)
        self.wait_replaced("p-2")
        self.assertEqual(self.end(up), 0)

    def test_one_that_is_never_ready_is_waited_for_and_all_stops_meanwhile(self):
        up = self.up(self.conf(self.probe("p", "jobs", restart_order=FIRST)))
        before = self.wait_ready("p-1")
        self.conf(actor("p", SLEEPER, restart_order=FIRST))  # never says that it is ready
        self.assertEqual(self.command("reload").returncode, 0)
        self.wait_heard(r"^p-2 +\| hello p-2 ")
        done = self.restart("p", "--timeout", "1")
        self.assertEqual((done.returncode, done.stdout), (1, ""))
        self.assertEqual(done.stderr, "baton restart: 0 of 1 replaced within 1 s; it goes on\n")
        self.assertEqual(self.instances()["p-1"], before["p-1"])
        self.wait_heard("p-2 is being replaced")  # by the restart: a successor that is no use
        wait_for("it has come again", lambda: len(re.findall(
            r"^p-2 +\| hello p-2 ", self.heard(), re.MULTILINE)) == 2)
        pids = set(self.instances().values())
        self.assertEqual(self.command("down").returncode, 0)
        self.assertEqual(up.wait(timeout=DEADLINE_S), 0)
        self.assertEqual([pid for pid in pids if os.path.exists(f"/proc/{pid}")], [])

    # ---- what is said of it

    def test_the_listing_and_the_logs_name_both(self):
        up = self.up(self.conf(actor("a", SLEEPER, restart_order=FIRST) + actor("b", SLEEPER)))
        self.wait_instances("a-1", "b-1")
        orders = {service["name"]: service["restart_order"]
                  for service in json.loads(self.scale("--json").stdout)["services"]}
        self.assertEqual(orders, {"orchestrator": "stop-first", "a": FIRST, "b": "stop-first"})
        self.assertEqual(self.restart("a").returncode, 0)
        self.wait_replaced("a-2", "b-1")
        self.assertRegex(self.command("logs", "a").stdout, r"(?s)hello a-1 .*hello a-2 ")
        up.send_signal(signal.SIGHUP)
        self.wait_heard("0 added, 0 removed, 0 replaced, 0 scaled, 3 unchanged")
        self.wait_replaced("a-2", "b-1")
        self.assertEqual(self.end(up), 0)


if __name__ == "__main__":
    unittest.main(verbosity=2)
