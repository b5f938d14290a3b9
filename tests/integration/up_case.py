# SPDX-License-Identifier: MPL-2.0
"""What the tests of `baton up` share: a folder, a file, a running `baton up`, and looks at it.

BATON_BIN: folder of the programs; BATON_PROBE: the actor for tests.
"""
import contextlib
import json
import os
import pathlib
import re
import signal
import subprocess
import tempfile
import unittest

from waiting import DEADLINE_S, wait_for

BATON = str(pathlib.Path(os.environ["BATON_BIN"]) / "baton")
PROBE = os.environ["BATON_PROBE"]

#  Says its name and where to connect to, and then waits, in a process of its own.
SLEEPER = "sh -c 'echo hello $BATON_INSTANCE $BATON_CONNECT $EXTRA; sleep 1000; echo over'"


def children(pid):
    found = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(child) for child in found]


def actor(name, command, **properties):
    """The lines of one actor in FILE; `environment` is a dictionary."""
    text = f'    {name}\n        command = "{command}"\n'
    for key, value in properties.items():
        if key == "environment":
            text += "        environment\n" + "".join(
                f"            {variable} = {setting}\n" for variable, setting in value.items())
        else:
            text += f"        {key} = {value}\n"
    return text


class UpCase(unittest.TestCase):

    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="baton-up-")
        self.addCleanup(folder.cleanup)
        self.dir = pathlib.Path(folder.name)
        self.data = self.dir / "data"
        self.log = self.dir / "up.log"
        self.pids = set()
        self.addCleanup(self.kill_strays)

    def kill_strays(self):
        """Of a test that failed: what `baton up` had started, by the ids that it told."""
        for pid in self.pids:
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                if str(self.dir) in pathlib.Path(f"/proc/{pid}/environ").read_text():
                    os.kill(pid, signal.SIGKILL)

    # ---- tools

    def conf(self, actors, top="restart_backoff_max = 300ms\n", endpoint="tcp://127.0.0.1:*",
             name="up.conf"):
        text = top + f"orchestrator\n    data_dir = {self.data}\n    endpoint = {endpoint}\n" \
            "    disk_reserve_bytes = 1MiB\n    segment_bytes = 1MiB\n"
        if actors:
            text += "actors\n" + actors
        path = self.dir / name
        path.write_text(text)
        return path

    def up(self, conf, *options):
        with open(self.log, "ab") as log:
            process = subprocess.Popen([BATON, "up", *options, str(conf)], stdin=subprocess.DEVNULL,
                                       stdout=log, stderr=log,
                                       env={**os.environ, "BATON_TEST_DIR": str(self.dir)})
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        return process

    def heard(self):
        return self.log.read_text() if self.log.exists() else ""

    def wait_heard(self, pattern):
        wait_for(f"{pattern} in {self.heard()}",
                 lambda: re.search(pattern, self.heard(), re.MULTILINE))

    def scale(self, *arguments):
        return subprocess.run([BATON, "scale", "--data-dir", str(self.data),
                               *map(str, arguments)], stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=DEADLINE_S)

    def instances(self):
        """instance -> pid of those that run."""
        done = self.scale("--json")
        if done.returncode:
            return {}
        found = {instance["instance"]: instance["pid"]
                 for service in json.loads(done.stdout)["services"]
                 for instance in service["instances"] if instance["state"] == "running"}
        self.pids.update(found.values())
        return found

    def wait_instances(self, *names):
        wanted = {"orchestrator-1", *names}
        return wait_for(f"{wanted} run", lambda: set(self.instances()) == wanted and
                        self.instances())

    def endpoint(self):
        text = (self.data / "orchestrator.conf").read_text()
        return re.search(r'endpoint = "([^"]+)"', text).group(1)

    def baton(self, *arguments, stdin=""):
        return subprocess.run([BATON, *arguments, "--connect", self.endpoint()], input=stdin,
                              capture_output=True, text=True, timeout=DEADLINE_S)

    def end(self, process, number=signal.SIGTERM):
        process.send_signal(number)
        return process.wait(timeout=DEADLINE_S)

    def command(self, *arguments):
        return subprocess.run([BATON, *arguments, "--data-dir", str(self.data)],
                              stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              timeout=DEADLINE_S)

    def restart(self, *arguments):
        return self.command("restart", *arguments)

    def listed(self):
        """instance -> what the supervisor says of it."""
        done = self.scale("--json")
        if done.returncode:
            return {}
        found = {instance["instance"]: instance
                 for service in json.loads(done.stdout)["services"]
                 for instance in service["instances"]}
        self.pids.update(instance["pid"] for instance in found.values() if instance["pid"])
        return found

    def wait_state(self, name, state):
        return wait_for(f"{name} is {state}", lambda: self.listed().get(name, {}).get("state") ==
                        state and self.listed()[name])

    def wait_ready(self, *names):
        wait_for(f"{names} are ready", lambda: all(
            self.listed().get(name, {}).get("ready") for name in names))
        return self.instances()

    def probe(self, name, *patterns, **properties):
        on = " ".join(f"--on {pattern}" for pattern in patterns)
        return actor(name, f"{PROBE} --name {name} -- --log {self.dir / name}.log {on}",
                     **properties)

    def notes(self, name):
        """What an actor's handlers have written down, in the order in which it was."""
        path = self.dir / f"{name}.log"
        if not path.exists():
            return []
        found = []
        for line in path.read_text().splitlines():
            what, instance, pid, offset, topic, key, n, attempt = line.split()
            found.append({"what": what, "instance": instance, "pid": int(pid),
                          "offset": int(offset), "topic": topic, "key": key, "n": int(n),
                          "attempt": int(attempt)})
        return found

    def handled(self, name):
        return sum(note["what"] == "end" for note in self.notes(name))

    def stream(self, topic, count, keys, rate):
        """Publishes in the background: event i has key i % keys and number i // keys."""
        lines = "".join(json.dumps({"k": f"k{i % keys}", "n": i // keys, "do": "sleep", "ms": 2})
                        + "\n" for i in range(count))
        source = self.dir / f"{topic}.jsonl"
        source.write_text(lines)
        process = subprocess.Popen([BATON, "publish", topic, str(source), "--key-field", "k",
                                    "--rate", str(rate), "--connect", self.endpoint()],
                                   stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                   stderr=subprocess.PIPE, text=True)
        self.addCleanup(process.wait)
        self.addCleanup(process.stderr.close)
        self.addCleanup(process.kill)
        return process

    def finish(self, stream):
        self.assertEqual(stream.wait(timeout=DEADLINE_S), 0, stream.stderr.read())

    def check_once_in_order(self, notes):
        """Each event handled once, at the first attempt, and the keys' events one at a time."""
        in_hand, last = {}, {}
        seen = set()
        for note in notes:
            where = (note["topic"], note["key"])
            self.assertEqual(note["attempt"], 1, note)
            if note["what"] == "begin":
                self.assertNotIn(note["key"], in_hand, note)
                self.assertNotIn(note["offset"], seen, f"again: {note}")
                self.assertGreater(note["n"], last.get(where, -1), f"out of order: {note}")
                in_hand[note["key"]] = note["offset"]
                last[where] = note["n"]
                seen.add(note["offset"])
            else:
                self.assertEqual(in_hand.pop(note["key"], None), note["offset"], note)
        self.assertEqual(in_hand, {})
