#!/usr/bin/python3
# SPDX-License-Identifier: MPL-2.0
"""`baton up` and `baton scale`: real processes, killed, scaled and stopped.

usage: test_up.py (BATON_BIN: folder of the programs; BATON_PROBE: the actor for tests)
"""
import json
import os
import re
import signal
import subprocess
import unittest

from up_case import BATON, PROBE, SLEEPER, UpCase, children
from waiting import DEADLINE_S, runs, wait_for


class Up(UpCase):

    def test_wrong_files_are_refused(self):
        conf = self.conf(f'    a\n        comand = "{SLEEPER}"\n')
        for arguments in (["up", str(conf)], ["up", "--check", str(conf)]):
            done = subprocess.run([BATON, *arguments], capture_output=True, text=True,
                                  timeout=DEADLINE_S)
            self.assertEqual(done.returncode, 2)
            self.assertIn(f"{conf}:9: unknown property 'comand'", done.stderr)
        self.assertFalse(self.data.exists())
        fine = self.conf(f'    a\n        command = "{SLEEPER}"\n')
        done = subprocess.run([BATON, "up", "--check", str(fine)], capture_output=True,
                              timeout=DEADLINE_S)
        self.assertEqual(done.returncode, 0, done.stderr)
        done = subprocess.run([BATON, "up", str(self.dir / "missing.conf")], capture_output=True,
                              text=True, timeout=DEADLINE_S)
        self.assertEqual(done.returncode, 2)
        self.assertIn("missing.conf", done.stderr)

    def test_instances_know_who_they_are(self):
        up = self.up(self.conf(f'    a\n        command = "{SLEEPER}"\n        instances = 2\n'
                               "        environment\n            EXTRA = more\n"))
        self.wait_instances("a-1", "a-2")
        for slot in (1, 2):
            self.wait_heard(rf"^a-{slot} +\| hello a-{slot} {re.escape(self.endpoint())} more$")
        self.assertEqual(self.end(up), 0)

    def test_killed_instances_come_back_under_their_name(self):
        up = self.up(self.conf(f'    a\n        command = "{SLEEPER}"\n        instances = 2\n'))
        before = self.wait_instances("a-1", "a-2")
        os.kill(before["a-2"], signal.SIGKILL)
        after = wait_for("a-2 again", lambda: self.instances().get("a-2", before["a-2"]) !=
                         before["a-2"] and self.instances())
        self.assertEqual(after["a-1"], before["a-1"])
        self.assertIn("a-2 ended: signal 9", self.heard())
        self.assertEqual(self.end(up), 0)

    def test_a_killed_orchestrator_comes_back_at_its_endpoint(self):
        up = self.up(self.conf(""))
        before = self.wait_instances()
        self.wait_heard("orchestrator is ready")
        done = self.baton("publish", "a.b", stdin='{"n":1}\n')
        self.assertEqual(done.returncode, 0, done.stderr)
        os.kill(before["orchestrator-1"], signal.SIGKILL)
        wait_for("another orchestrator",
                 lambda: self.instances().get("orchestrator-1", before["orchestrator-1"]) !=
                 before["orchestrator-1"])
        done = self.baton("publish", "a.b", "--timeout", "60", stdin='{"n":2}\n')
        self.assertEqual(done.returncode, 0, done.stderr)
        done = self.baton("read")
        self.assertEqual([json.loads(line)["data"]["n"] for line in done.stdout.splitlines()],
                         [1, 2])
        self.assertEqual(self.end(up), 0)

    def test_scales(self):
        up = self.up(self.conf(f'    a\n        command = "{SLEEPER}"\n'))
        first = self.wait_instances("a-1")
        done = self.scale("a", 3)
        self.assertEqual((done.returncode, done.stdout), (0, "a: 1 -> 3\n"))
        self.wait_instances("a-1", "a-2", "a-3")
        self.assertEqual(self.scale("a", 1).returncode, 0)
        self.assertEqual(self.wait_instances("a-1")["a-1"], first["a-1"])
        for arguments, code in ((("nobody", 1), 1), (("orchestrator", 2), 1),
                                (("orchestrator", 0), 1), (("a", 256), 1), (("a", 257), 2),
                                (("a", "x"), 2), (("a",), 2), (("a", "-1"), 2)):
            self.assertEqual(self.scale(*arguments).returncode, code, arguments)
        self.assertEqual(self.scale("a", 0).returncode, 0)
        self.wait_instances()
        listed = self.scale()
        self.assertIn("orchestrator-1", listed.stdout)
        self.assertNotIn("a-1", listed.stdout)
        self.assertEqual(self.end(up), 0)
        self.assertEqual(self.scale("a", 1).returncode, 69)

    def test_ctrl_c_leaves_nothing_behind(self):
        up = self.up(self.conf(f'    a\n        command = "{SLEEPER}"\n        instances = 2\n'
                               f'    b\n        command = "{SLEEPER}"\n'))
        pids = list(self.wait_instances("a-1", "a-2", "b-1").values())
        for slot in ("a-1", "a-2", "b-1"):
            self.wait_heard(rf"^{re.escape(slot)} +\| hello")
        for pid in list(pids):
            pids += children(pid)
        self.assertGreaterEqual(len(pids), 7)
        self.assertEqual(self.end(up, signal.SIGINT), 0)
        self.assertEqual([pid for pid in pids if runs(pid)], [])
        self.assertFalse((self.data / "supervisor.sock").exists())
        log = self.heard()
        self.assertLess(log.index("b-1 stopped"), log.index("a-1 stopped"))
        self.assertLess(log.index("a-2 stopped"), log.index("orchestrator-1 stopped"))

    def test_a_second_ctrl_c_kills(self):
        deaf = "sh -c 'trap : TERM; echo deaf; while :; do sleep 1; done'"
        up = self.up(self.conf(f'    a\n        command = "{deaf}"\n'
                               "        stop_timeout = 1h\n"))
        self.wait_heard(r"\| deaf")
        pids = self.wait_instances("a-1")
        up.send_signal(signal.SIGINT)
        self.wait_heard("stopping; once more to kill")
        self.assertEqual(self.end(up, signal.SIGINT), 0)
        self.assertFalse(runs(pids["a-1"]))

    def test_what_does_not_stop_in_time_is_killed(self):
        deaf = "sh -c 'trap : TERM; echo deaf; while :; do sleep 1; done'"
        up = self.up(self.conf(f'    a\n        command = "{deaf}"\n'
                               "        stop_timeout = 200ms\n"))
        self.wait_heard(r"\| deaf")
        pids = self.wait_instances("a-1")
        self.assertEqual(self.end(up), 0)
        self.assertIn("a-1 did not stop within 0.2 s; killed", self.heard())
        self.assertFalse(runs(pids["a-1"]))

    def test_its_own_death_takes_all_with_it(self):
        """SIGKILL: also what its instances have started ends, a shell's sleep here."""
        up = self.up(self.conf(f'    a\n        command = "{PROBE} -- --on x.y"\n'
                               f'    b\n        command = "{SLEEPER}"\n        instances = 2\n'))
        instances = self.wait_instances("a-1", "b-1", "b-2")
        shells = instances["b-1"], instances["b-2"]
        wait_for("each shell has a child", lambda: all(map(children, shells)))
        pids = [*instances.values(), *children(shells[0]), *children(shells[1])]
        up.kill()
        up.wait()
        wait_for("all have ended", lambda: not any(runs(pid) for pid in pids))
        again = self.up(self.conf(f'    a\n        command = "{PROBE} -- --on x.y"\n'))
        self.wait_instances("a-1")
        self.assertEqual(self.end(again), 0)

    def test_one_for_a_data_directory(self):
        up = self.up(self.conf(""))
        self.wait_instances()
        done = subprocess.run([BATON, "up", str(self.conf("", name="b.conf"))],
                              capture_output=True, text=True, timeout=DEADLINE_S)
        self.assertEqual(done.returncode, 1)
        self.assertIn("LOCKED", done.stderr)
        self.assertEqual(self.end(up), 0)

    def test_an_endpoint_that_is_taken_is_refused(self):
        up = self.up(self.conf(""))
        self.wait_instances()
        self.wait_heard("orchestrator is ready")
        taken, self.data = self.endpoint(), self.dir / "other"
        conf = self.conf(f'    a\n        command = "{SLEEPER}"\n', endpoint=taken)
        done = subprocess.run([BATON, "up", str(conf)], capture_output=True, text=True,
                              timeout=DEADLINE_S)
        self.assertEqual(done.returncode, 1)
        self.assertIn("ADDRESS", done.stderr)
        self.assertNotIn("hello", done.stdout)
        self.assertEqual(self.end(up), 0)

    def test_an_orchestrator_that_cannot_start_is_not_waited_for(self):
        self.data.mkdir()
        (self.data / "journal").write_text("not a folder")
        done = subprocess.run([BATON, "up", str(self.conf(f'    a\n        command = "{SLEEPER}"'
                                                          "\n"))],
                              capture_output=True, text=True, timeout=DEADLINE_S)
        self.assertEqual(done.returncode, 1)
        self.assertIn("ended before it was ready", done.stderr)
        self.assertNotIn("hello", done.stdout)

    def test_with_log_json_every_line_is_an_object(self):
        up = self.up(self.conf('    a\n        command = "echo a plain line"\n'), "--log", "json")
        self.wait_heard("a plain line")
        self.wait_heard("orchestrator is ready")
        self.assertEqual(self.end(up), 0)
        lines = [json.loads(line) for line in self.heard().splitlines()]
        self.assertIn({"instance": "a-1", "text": "a plain line"}, lines)
        of_orchestrator = [line for line in lines if line.get("instance") == "orchestrator-1"]
        self.assertTrue(any("entry" in line for line in of_orchestrator))

    def test_actors_drain(self):
        """SIGTERM: the event in hand is finished and settled, and is not handled again."""
        note = self.dir / "probe.log"
        up = self.up(self.conf(f'    p\n        command = "{PROBE} --name p -- --log {note} '
                               '--on jobs"\n'))
        self.wait_instances("p-1")
        self.wait_heard("orchestrator is ready")
        done = self.baton("publish", "jobs", stdin='{"n":1,"do":"sleep","ms":300}\n')
        self.assertEqual(done.returncode, 0, done.stderr)
        wait_for("the handler has begun", lambda: note.exists() and "begin" in note.read_text())
        self.assertEqual(self.end(up), 0)
        self.assertIn("p-1 stopped, exit code 0", self.heard())
        self.assertEqual([line.split()[0] for line in note.read_text().splitlines()],
                         ["begin", "end"])
        up = self.up(self.conf(f'    p\n        command = "{PROBE} --name p -- --log {note} '
                               '--on jobs"\n'))
        self.wait_instances("p-1")
        self.baton("publish", "jobs", "--timeout", "60", stdin='{"n":2}\n')
        wait_for("the second one is handled", lambda: note.read_text().count("end") == 2)
        self.assertNotIn(" 1 2\n", note.read_text())
        self.assertEqual(note.read_text().count("begin"), 2)
        self.assertEqual(self.end(up), 0)


if __name__ == "__main__":
    unittest.main(verbosity=2)
