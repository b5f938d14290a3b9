# SPDX-License-Identifier: MPL-2.0
"""`baton up` without a terminal: detached, stopped by `baton down`, read with `baton logs`, watched
by a service manager."""

import fcntl
import json
import os
import re
import signal
import socket
import subprocess

import harness
from harness import BIN, DEADLINE_S, PROBE, wait_for

TALKER = "sh -c 'echo one from $BATON_INSTANCE; echo two; exec sleep 1000'"


class Background(harness.System):

    def setUp(self):
        super().setUp()
        self.data = self.dir / "data"
        self.addCleanup(self.down)

    def conf(self, actors, top=""):
        """actors: name -> properties, or a command."""
        text = top + f"orchestrator\n    data_dir = {self.data}\n" \
            f"    endpoint = \"{self.endpoint}\"\n" \
            f"    fanout_endpoint = \"ipc://{self.dir}/fan\"\n" \
            "    segment_bytes = 1MiB\n    disk_reserve_bytes = 1MiB\nactors\n"
        for name, properties in actors.items():
            if isinstance(properties, str):
                properties = {"command": properties}
            text += f"    {name}\n" + "".join(f'        {k} = "{v}"\n'
                                              for k, v in properties.items())
        path = self.dir / "up.conf"
        path.write_text(text)
        return path

    def detach(self, actors, *options, top=""):
        return self.baton("up", "--detach", *options, self.conf(actors, top), check=False)

    def down(self):
        return self.baton("down", "--data-dir", self.data, check=False)

    def logs(self, *arguments):
        return self.baton("logs", "--data-dir", self.data, *arguments).stdout.splitlines()

    def log_text(self, name):
        path = self.data / "logs" / f"{name}.log"
        return path.read_text() if path.exists() else ""

    def wait_logged(self, name, text):
        wait_for(f"{text} in the log of {name}", lambda: text in self.log_text(name))

    def assert_nothing_runs(self):
        self.assertEqual(self.down().returncode, 69)
        with open(self.data / "supervisor.lock") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        self.assertEqual(self.baton("status", "--timeout", "1", check=False).returncode, 69)

    # ---- detach and down

    def test_detached_it_is_ready_when_it_returns(self):
        done = self.detach({"probe": f"{PROBE} --name probe -- --on t", "talker": TALKER})
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(done.stderr, "")
        pid = int(re.fullmatch(r"ready, pid (\d+); baton down .*\n", done.stdout).group(1))
        # Ready: the actor has joined.
        self.assertEqual(self.actor_status("probe")["instances"][0]["name"], "probe-1")
        self.assertEqual(os.getsid(pid), pid)
        self.assertEqual(os.readlink(f"/proc/{pid}/fd/0"), "/dev/null")
        self.assertIn("everything is ready: 3 instances", self.log_text("up"))
        self.publish("t", harness.load("abc", 3))
        self.wait_settled("probe", 9)
        self.assertEqual(self.down().returncode, 0)
        self.assert_nothing_runs()
        wait_for("its end", lambda: not os.path.exists(f"/proc/{pid}/fd/0"))
        self.assertIn("orchestrator-1 stopped, exit code 0", self.log_text("up"))

    def test_an_actor_that_keeps_ending_is_the_reason(self):
        done = self.detach({"a": {"command": "sh -c 'echo no luck today; exit 3'",
                                  "intensity": "1 in 60s"}})
        self.assertEqual((done.returncode, done.stdout), (1, ""), done.stderr)
        self.assertRegex(done.stderr, r"a-1 +\| no luck today")
        self.assertRegex(done.stderr, r"a-1 keeps ending \(.*exit code 3.*\); giving up")
        self.assert_nothing_runs()

    def test_an_orchestrator_that_cannot_start_is_the_reason(self):
        (self.data / "journal").parent.mkdir()
        (self.data / "journal").write_text("no folder")
        done = self.detach({"talker": TALKER})
        self.assertEqual(done.returncode, 1)
        self.assertIn("orchestrator-1 | baton orchestrator: ", done.stderr)
        self.assert_nothing_runs()

    def test_what_is_wrong_before_is_said_at_once(self):
        done = self.detach({"a": "/no/such/program"})
        self.assertEqual(done.returncode, 2)
        self.assertIn("there is no such program", done.stderr)
        self.assertFalse(self.data.exists())

    def test_a_second_one_is_refused_and_the_first_goes_on(self):
        self.assertEqual(self.detach({"talker": TALKER}).returncode, 0)
        before = self.log_text("up")
        done = self.detach({"talker": TALKER})
        self.assertEqual(done.returncode, 1)
        self.assertIn("LOCKED", done.stderr)
        self.assertEqual(self.log_text("up"), before)
        self.assertEqual(self.down().returncode, 0)

    def test_what_is_not_ready_in_time_is_stopped(self):
        # It speaks sd_notify's protocol, and never says that it is ready.
        done = self.detach({"probe": f"{PROBE} --connect ipc://{self.dir}/none --name probe "
                                     "-- --on t"}, "--wait", "3")
        self.assertEqual(done.returncode, 1)
        self.assertIn("not everything was ready within 3 s: probe-1 is not (waiting for the "
                      f"orchestrator at ipc://{self.dir}/none); stopped", done.stderr)
        self.assert_nothing_runs()

    def test_interrupted_while_it_waits(self):
        conf = self.conf({"probe": f"{PROBE} --connect ipc://{self.dir}/none --name probe "
                                   "-- --on t"})
        process = self.start("parent", [BIN / "baton", "up", "--detach", "--wait", "1000", conf])
        self.wait_logged("up", "probe-1 started")
        process.send_signal(signal.SIGINT)
        self.assertEqual(process.wait(timeout=DEADLINE_S), 130)
        self.assert_nothing_runs()

    # ---- logs

    def test_logs(self):
        # After its end, too; and what was there before is kept.
        for round_ in (1, 2):
            self.assertEqual(self.detach({"talker": {"command": TALKER, "instances": 2},
                                          "other": TALKER}).returncode, 0)
            self.assertEqual(self.down().returncode, 0)
            lines = self.logs("talker")
            self.assertEqual(len(lines), 4 * round_, lines)
        for line in lines:
            self.assertRegex(line, r"^talker-[12] \| \d{4}-\d\d-\d\dT[\d:.]{12}Z (one from "
                                   r"talker-[12]|two)$")
        times = [line.split()[2] for line in lines]
        self.assertEqual(times, sorted(times))
        self.assertEqual(self.logs("-n", "3", "talker"), lines[-3:])
        self.assertEqual(self.logs("-n", "0", "talker"), [])
        self.assertEqual(len(self.logs("talker-2", "other")), 2 * 2 + 2 * 2)
        entry = json.loads(self.logs("--json", "-n", "1", "other")[0])
        self.assertEqual((entry["instance"], entry["text"]), ("other-1", "two"))
        everything = self.logs()
        self.assertTrue(any(line.startswith("up ") for line in everything))
        self.assertTrue(any(line.startswith("orchestrator-1 ") for line in everything))
        done = self.baton("logs", "--data-dir", self.data, "nobody", check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn("there are no logs of 'nobody'", done.stderr)
        self.assertNotIn("waiting", done.stderr)
        done = self.baton("logs", "--data-dir", self.dir / "none", check=False)
        self.assertEqual(done.returncode, 1)

    def test_what_has_printed_nothing_yet_is_followed(self):
        go = self.dir / "go"
        script = f"until [ -e {go} ]; do sleep 0.05; done; echo at last; exec sleep 1000"
        (self.dir / "quiet.sh").write_text(script)
        self.assertEqual(self.detach({"quiet": f"sh {self.dir}/quiet.sh"}).returncode, 0)
        follower = subprocess.Popen(
            [BIN / "baton", "logs", "--follow", "--data-dir", self.data, "quiet"], text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.addCleanup(follower.communicate)
        self.addCleanup(follower.kill)
        self.assertIn("no logs of 'quiet' yet; waiting", follower.stderr.readline())
        go.touch()
        self.assertRegex(follower.stdout.readline(), r"^quiet-1 \| .* at last\n$")

    def test_follows_over_rotations_and_stays_within_bounds(self):
        count, bytes_max = 4000, 256 * 1024
        script = "i=0; while [ $i -lt %d ]; do i=$((i+1)); echo line $i %s; " \
            "[ $((i %% 50)) = 0 ] && sleep 0.05; done; exec sleep 1000" % (count, "x" * 80)
        (self.dir / "talk.sh").write_text(script)
        done = self.detach({"talker": f"sh {self.dir}/talk.sh"},
                           top=f"log_bytes_max = {bytes_max}\n")
        self.assertEqual(done.returncode, 0, done.stderr)
        path = self.dir / "followed"
        with open(path, "wb") as out:
            follower = self.start("follower", [BIN / "baton", "logs", "--follow", "--data-dir",
                                               self.data, "talker"], stdout=out)
        wait_for("the last line", lambda: f"line {count} " in path.read_text())
        follower.terminate()
        follower.wait()
        numbers = [int(n) for n in re.findall(r" line (\d+) ", path.read_text())]
        self.assertEqual(numbers, list(range(1, count + 1)))
        files = list((self.data / "logs").glob("talker-1.log*"))
        self.assertEqual(len(files), 4)
        self.assertLessEqual(sum(file.stat().st_size for file in files), bytes_max)
        # The oldest lines have gone, the newest are there, in order.
        kept = [int(n) for n in re.findall(r" line (\d+) ", "\n".join(self.logs("talker")))]
        self.assertEqual(kept, list(range(kept[0], count + 1)))
        self.assertGreater(kept[0], 1)

    def test_logs_that_cannot_be_kept_stop_nothing(self):
        self.data.mkdir()
        (self.data / "logs").write_text("no folder")
        up = self.start("up", [BIN / "baton", "up", self.conf({"talker": TALKER})])
        wait_for("it runs", lambda: "talker-1       | two" in (self.dir / "up.err").read_text())
        self.assertEqual((self.dir / "up.err").read_text().count("is not kept"), 1)
        self.stop(up)

    def test_no_logs_are_kept_if_none_are_wanted(self):
        up = self.start("up", [BIN / "baton", "up",
                               self.conf({"talker": TALKER}, top="log_bytes_max = 0\n")])
        wait_for("it runs", lambda: "talker-1       | two" in (self.dir / "up.err").read_text())
        self.stop(up)
        self.assertFalse((self.data / "logs").exists())

    # ---- a service manager

    def managed(self, actors):
        """`baton up` and the function that tells what a service manager has heard."""
        heard = []
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(sock.close)
        sock.bind(str(self.dir / "notify"))
        sock.settimeout(0.05)

        def listen():
            try:
                while True:
                    heard.extend(sock.recv(4096).decode().splitlines())
            except TimeoutError:
                return heard

        up = self.start("up", [BIN / "baton", "up", self.conf(actors)],
                        {"NOTIFY_SOCKET": str(self.dir / "notify"), "WATCHDOG_USEC": "2000000"})
        return up, listen

    def test_a_service_manager_hears_how_it_is(self):
        up, listen = self.managed({"probe": f"sh -c 'while [ ! -e {self.dir}/go ]; do sleep 0.05; "
                                            f"done; exec {PROBE} --name probe -- --on t'"})
        wait_for("the watchdog", lambda: listen().count("WATCHDOG=1") >= 2)
        (self.dir / "go").touch()
        wait_for("it is ready", lambda: "READY=1" in listen())
        wait_for("its status", lambda: "STATUS=2 of 2 instances ready" in listen())
        self.stop(up)
        heard = listen()
        self.assertEqual((heard.count("READY=1"), heard.count("STOPPING=1")), (1, 1))

    def test_what_keeps_ending_does_not_keep_the_rest_from_being_ready(self):
        up, listen = self.managed({"a": {"command": "false", "intensity": "1 in 60s"},
                                   "talker": TALKER})
        wait_for("it is ready", lambda: "READY=1" in listen())
        wait_for("its status",
                 lambda: "STATUS=2 of 3 instances ready; parked: a-1" in listen())
        self.stop(up)


if __name__ == "__main__":
    harness.main()
