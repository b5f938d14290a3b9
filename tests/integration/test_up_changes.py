#!/usr/bin/python3
# SPDX-License-Identifier: MPL-2.0
"""`baton up` while things change: restart, reload, parked instances, hangs, upgrades mid-stream,
and how soon the orchestrator hears of a death.

usage: test_up_changes.py (BATON_BIN: folder of the programs; BATON_PROBE: the actor for tests)
"""
import fcntl
import json
import os
import re
import signal
import subprocess
import termios
import time
import unittest

from up_case import BATON, PROBE, SLEEPER, UpCase, actor
from waiting import DEADLINE_S, wait_for


class Changes(UpCase):

    # ---- restart

    def test_restart_replaces_each_instance(self):
        up = self.up(self.conf(self.probe("p", "jobs", instances=2)))
        before = self.wait_ready("orchestrator-1", "p-1", "p-2")
        done = self.restart("p")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(done.stdout.splitlines()[-1], "p: 2 of 2 replaced")
        after = self.instances()
        self.assertEqual(set(after), set(before))
        self.assertEqual(after["orchestrator-1"], before["orchestrator-1"])
        for name in ("p-1", "p-2"):
            self.assertNotEqual(after[name], before[name])
        log = self.heard()
        self.assertLess(log.index("p-1 stopped, exit code 0"), log.index("p-2 is being replaced"))
        self.assertEqual(len(re.findall("p-1 is ready", log)), 2)
        self.assertEqual(self.restart("nobody").returncode, 1)
        self.assertEqual(self.restart("a b").returncode, 2)
        self.assertEqual(self.restart().returncode, 2)
        self.assertEqual(self.restart("--json", "orchestrator").returncode, 0)
        self.assertNotEqual(self.instances()["orchestrator-1"], before["orchestrator-1"])
        self.assertEqual(self.end(up), 0)
        self.assertEqual(self.restart("p").returncode, 69)

    def test_restart_mid_stream_loses_repeats_and_disorders_nothing(self):
        """G3 and G6: through a rolling restart of an actor that is busy all the time."""
        up = self.up(self.conf(self.probe("p", "jobs", instances=3)))
        before = self.wait_ready("p-1", "p-2", "p-3")
        stream = self.stream("jobs", 1500, 40, 600)
        wait_for("it is busy", lambda: self.handled("p") > 100)
        done = self.restart("p")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.finish(stream)
        wait_for("all is handled", lambda: self.handled("p") == 1500)
        notes = self.notes("p")
        self.check_once_in_order(notes)
        pids = {note["pid"] for note in notes}
        self.assertTrue(pids & set(before.values()), "the old ones worked")
        self.assertTrue(pids & set(self.instances().values()), "the new ones worked")
        self.assertEqual(self.end(up), 0)

    def test_a_build_for_other_topics_takes_over_mid_stream(self):
        """The new build leaves one topic out and has another one. What was published before its
        first instance joined is handled as the old build would have, and what came then as the new
        one does; of the topic that both have nothing is lost or repeated."""
        up = self.up(self.conf(self.probe("p", "gone", "old", instances=3)))
        self.wait_ready("p-1", "p-2", "p-3")
        streams = [self.stream(topic, 1500, 40, 300) for topic in ("gone", "old", "new")]
        wait_for("it is busy", lambda: self.handled("p") > 100)
        self.conf(self.probe("p", "old", "new", instances=3))
        done = self.command("reload")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("1 replaced", done.stdout)
        self.wait_heard("actor p has new patterns")
        self.wait_heard("p: every instance is replaced")
        for stream in streams:
            self.finish(stream)
        status = json.loads(self.baton("status", "--json").stdout)["actors"][0]
        cut = status["former_until"]
        published = [json.loads(line) for line in self.baton("read").stdout.splitlines()]

        def events(topic):
            return {event["offset"] for event in published if event["type"] == topic}

        def handled(topic):
            return {note["offset"] for note in self.notes("p")
                    if note["what"] == "end" and note["topic"] == topic}

        def given_up():
            """What the old instances had no time for when they were told to stop."""
            lines = self.baton("read", "--topic", "$dead.p").stdout.splitlines()
            return {int(json.loads(line)["deadoffset"]) for line in lines}
        gone, old, new = events("gone"), events("old"), events("new")
        self.assertEqual((len(gone), len(old), len(new)), (1500, 1500, 1500))
        before, after = {o for o in gone if o < cut}, {o for o in new if o >= cut}
        self.assertGreater(min(len(before), len(after)), 10)
        wait_for("all is handled", lambda: handled("old") == old and
                 handled("new") == after and handled("gone") | given_up() == before)
        self.assertEqual(handled("gone") & given_up(), set())
        self.check_once_in_order(self.notes("p"))
        self.assertEqual(self.end(up), 0)

    def test_a_build_that_does_not_work_replaces_one_instance(self):
        good = self.probe("p", "jobs", instances=2)
        up = self.up(self.conf(good))
        before = self.wait_ready("p-1", "p-2")
        self.conf(actor("p", "false", instances=2, intensity="1 in 60s"))
        self.assertEqual(self.command("reload").returncode, 0)
        parked = self.wait_state("p-1", "parked")
        self.assertEqual(parked["reason"], "ended: exit code 1 (2 times in 60 s)")
        self.assertIn("p-1 ended: exit code 1 (2 times in 60 s); parked", self.heard())
        self.assertEqual(self.instances()["p-2"], before["p-2"])
        listed = self.scale().stdout
        self.assertRegex(listed, r"p-1 .* parked +no .*ended: exit code 1")
        self.assertEqual(self.restart("p").returncode, 1)
        self.conf(good)
        self.assertEqual(self.command("reload").returncode, 0)
        wait_for("both are as they were", lambda: all(
            self.listed().get(name, {}).get("ready") and self.listed()[name]["current"]
            for name in ("p-1", "p-2")))
        self.assertEqual(self.end(up), 0)

    # ---- reload

    def test_reload_changes_what_is_different(self):
        both = actor("stays", SLEEPER) + actor("goes", SLEEPER) + actor(
            "changes", SLEEPER, environment={"EXTRA": "one"})
        up = self.up(self.conf(both))
        before = self.wait_instances("stays-1", "goes-1", "changes-1")
        self.conf(actor("stays", SLEEPER) + actor("comes", SLEEPER) + actor(
            "changes", SLEEPER, environment={"EXTRA": "two"}, instances=2))
        up.send_signal(signal.SIGHUP)
        self.wait_heard(r"up\.conf: 1 added, 1 removed, 1 replaced, 1 scaled, 2 unchanged")
        self.wait_heard(r"^changes-1 +\| hello changes-1 .* two$")
        self.wait_heard(r"^changes-2 +\| hello changes-2 .* two$")
        after = self.wait_instances("stays-1", "comes-1", "changes-1", "changes-2")
        self.assertEqual(after["stays-1"], before["stays-1"])
        self.assertEqual(after["orchestrator-1"], before["orchestrator-1"])
        self.assertIn("goes-1 stopped", self.heard())
        self.assertEqual(self.end(up), 0)

    def test_a_wrong_file_changes_nothing(self):
        fine = actor("a", SLEEPER)
        conf = self.conf(fine)
        up = self.up(conf)
        before = self.wait_instances("a-1")
        self.conf(fine + actor("b", SLEEPER, instancs=2))
        done = self.command("reload")
        self.assertEqual(done.returncode, 1)
        self.assertIn(f"{conf}:12: unknown property 'instancs'", done.stderr)
        up.send_signal(signal.SIGHUP)
        self.wait_heard("nothing has changed: .*unknown property 'instancs'")
        for text, why in ((conf.read_text().replace("127.0.0.1:*", "127.0.0.1:7799"), "endpoint"),
                          (conf.read_text().replace(str(self.data), "/nowhere"), "data_dir")):
            conf.write_text(text.replace("instancs", "instances"))
            done = self.command("reload")
            self.assertEqual(done.returncode, 1)
            self.assertIn(f"{why} cannot change while it runs", done.stderr)
            self.conf(fine + actor("b", SLEEPER, instancs=2))
        self.assertEqual(self.wait_instances("a-1"), before)
        conf.unlink()
        self.assertIn("up.conf", self.command("reload").stderr)
        self.assertEqual(self.wait_instances("a-1"), before)
        self.assertEqual(self.end(up), 0)

    def test_reload_restarts_the_orchestrator_for_its_own_properties(self):
        conf = self.conf(actor("a", SLEEPER))
        up = self.up(conf)
        before = self.wait_instances("a-1")
        self.wait_heard("orchestrator is ready")
        endpoint = self.endpoint()
        done = self.baton("publish", "jobs", stdin='{"n":1}\n')
        self.assertEqual(done.returncode, 0, done.stderr)
        conf.write_text(conf.read_text().replace("    segment_bytes = 1MiB\n",
                                                 "    segment_bytes = 2MiB\n"))
        done = self.command("reload")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("the orchestrator restarts", done.stdout)
        wait_for("another orchestrator", lambda: self.instances().get(
            "orchestrator-1", before["orchestrator-1"]) != before["orchestrator-1"])
        self.assertEqual(self.endpoint(), endpoint)
        self.assertIn("2MiB", (self.data / "orchestrator.conf").read_text())
        done = self.baton("read", "--timeout", "60")
        self.assertEqual(len(done.stdout.splitlines()), 1, done.stderr)
        self.assertEqual(self.instances()["a-1"], before["a-1"])
        self.assertEqual(self.end(up), 0)

    def test_without_its_terminal_it_stops(self):
        """A hang-up means reload to a daemon, and goodbye to who was started from a terminal."""
        conf = self.conf(actor("a", SLEEPER))
        master, slave = os.openpty()
        with open(self.log, "ab") as log:
            up = subprocess.Popen([BATON, "up", str(conf)], stdin=slave, stdout=log, stderr=log,
                                  start_new_session=True,
                                  preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))
        self.addCleanup(up.wait)
        self.addCleanup(up.kill)
        os.close(slave)
        self.wait_instances("a-1")
        os.close(master)
        self.assertEqual(up.wait(timeout=DEADLINE_S), 0)
        self.assertIn("the terminal has gone", self.heard())

    # ---- restart as data

    def test_what_keeps_ending_is_parked_and_the_rest_goes_on(self):
        up = self.up(self.conf(
            actor("bad", "sh -c 'echo try; exit 7'", intensity="2 in 60s") +
            actor("good", SLEEPER)))
        parked = self.wait_state("bad-1", "parked")
        self.assertEqual(parked["reason"], "ended: exit code 7 (3 times in 60 s)")
        self.assertEqual(self.wait_state("good-1", "running")["restarts"], 0)
        self.assertEqual(len(re.findall(r"\| try", self.heard())), 3)
        self.assertEqual(self.scale("bad", 1).returncode, 0)
        wait_for("it has tried again", lambda: len(re.findall(r"\| try", self.heard())) == 6)
        self.wait_state("bad-1", "parked")
        self.assertEqual(self.end(up), 0)

    def test_what_is_not_to_be_restarted_is_not(self):
        up = self.up(self.conf(
            actor("once", "sh -c 'echo ran; exit 3'", restart="temporary") +
            actor("job", "sh -c 'echo ran; exit 0'", restart="transient") +
            actor("try", "sh -c 'test -e $MARK && exit 0; touch $MARK; exit 1'",
                  restart="transient", environment={"MARK": self.dir / "mark"})))
        self.assertEqual(self.wait_state("once-1", "done")["reason"], "ended: exit code 3")
        self.assertEqual(self.wait_state("job-1", "done")["restarts"], 0)
        self.assertEqual(self.wait_state("try-1", "done")["restarts"], 1)
        self.assertEqual(self.restart("job").returncode, 0)
        wait_for("it ran again", lambda: len(re.findall(r"^job-1 +\| ran", self.heard(),
                                                        re.MULTILINE)) == 2)
        self.assertEqual(self.end(up), 0)

    # ---- health

    def test_the_listing_says_what_instances_say(self):
        up = self.up(self.conf(self.probe("p", "jobs")))
        self.wait_ready("p-1", "orchestrator-1")
        wait_for("a status", lambda: "partitions" in self.listed()["p-1"]["status"])
        self.assertIn("serving at tcp://", self.listed()["orchestrator-1"]["status"])
        self.assertRegex(self.scale().stdout, r"p-1 .* running +yes .* partitions")
        self.assertEqual(self.end(up), 0)

    def test_an_instance_that_hangs_is_replaced(self):
        """SIGSTOP: alive by its pid, and yet nobody is at home."""
        up = self.up(self.conf(self.probe("p", "jobs", watchdog="3s")))
        before = self.wait_ready("p-1")
        wait_for("it was watched", lambda: "partitions" in self.listed()["p-1"]["status"])
        os.kill(before["p-1"], signal.SIGSTOP)
        wait_for("another one", lambda: self.instances().get("p-1", before["p-1"]) !=
                 before["p-1"])
        self.assertIn("p-1 was not heard for 3.0 s (watchdog); killed", self.heard())
        self.assertIn("p-1 ended: watchdog, not heard for 3.0 s; again in", self.heard())
        self.wait_ready("p-1")
        self.assertEqual(self.end(up), 0)

    # ---- deaths are told

    def move(self, name, pids, kill):
        """Two instances; one of them is in an event that takes long, with another event of the key
        behind it. It is killed; how long until the other one has the key, in seconds."""
        keys = [f"k{i}" for i in range(40)]
        self.baton("publish", "jobs", "--key-field", "k", "--timeout", "60",
                   stdin="".join(f'{{"k":"{key}","n":0}}\n' for key in keys))
        wait_for("all are handled", lambda: self.handled(name) >= len(keys))
        owner = {note["key"]: note["pid"] for note in self.notes(name)}
        victim = pids[0]
        key = next(key for key in keys if owner[key] == victim)
        self.baton("publish", "jobs", "--key", key,
                   stdin='{"n":1,"do":"sleep","ms":300000}\n')
        wait_for("it is in the event", lambda: any(
            note["pid"] == victim and note["n"] == 1 for note in self.notes(name)))
        start = time.monotonic()
        kill(victim)
        while not any(note["pid"] == pids[1] and note["n"] == 1 for note in self.notes(name)):
            self.assertLess(time.monotonic() - start, DEADLINE_S)
            time.sleep(0.001)
        return time.monotonic() - start

    def test_partitions_move_at_once_when_a_supervised_instance_dies(self):
        """Far below the session timeout, which is a minute here."""
        path = self.conf(self.probe("p", "jobs", instances=2, restart="temporary",
                                    stop_timeout="1s"))
        path.write_text(path.read_text().replace(
            "    segment_bytes = 1MiB\n", "    segment_bytes = 1MiB\n"
            "    session_timeout_ms = 60s\n    reconnect_grace_ms = 60s\n"))
        up = self.up(path)
        pids = self.wait_ready("p-1", "p-2")
        took = self.move("p", [pids["p-1"], pids["p-2"]],
                         lambda pid: os.kill(pid, signal.SIGKILL))
        print(f"a supervised instance died: its partitions moved within {took * 1000:.0f} ms")
        self.assertLess(took, 20)
        self.assertEqual(self.end(up), 0)

    def test_partitions_move_after_the_session_timeout_otherwise(self):
        """The instances are started by hand; nobody tells of the death."""
        path = self.conf("")
        path.write_text(path.read_text().replace(
            "    segment_bytes = 1MiB\n", "    segment_bytes = 1MiB\n"
            "    heartbeat_ms = 500ms\n    session_timeout_ms = 3s\n    reconnect_grace_ms = 1s\n"))
        up = self.up(path)
        self.wait_ready("orchestrator-1")
        processes = []
        for name in ("one", "two"):
            processes.append(subprocess.Popen(
                [PROBE, "--name", "p", "--instance", name, "--connect", self.endpoint(), "--",
                 "--log", str(self.dir / "p.log"), "--on", "jobs"], stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
            self.addCleanup(processes[-1].wait)
            self.addCleanup(processes[-1].kill)

        def shared():
            text = self.baton("status", "--json").stdout
            instances = [instance for found in json.loads(text)["actors"]
                         for instance in found.get("instances", [])] if text else []
            return len(instances) == 2 and all(
                instance["partitions"] == 16 for instance in instances)
        wait_for("both have their half", shared)
        took = self.move("p", [process.pid for process in processes],
                         lambda pid: processes[0].kill())
        print(f"an unsupervised instance died: its partitions moved within {took:.1f} s, "
              "with a session timeout of 3 s")
        self.assertEqual(self.end(up), 0)


if __name__ == "__main__":
    unittest.main(verbosity=2)
