# SPDX-License-Identifier: MPL-2.0
"""Real processes for the system tests: an orchestrator, probe actors, the baton command.

Everything lives in a folder of its own and talks over ipc endpoints in it, so that tests may run
side by side. Whatever a test started is ended, by pid, when the test ends. Waiting is for
conditions, with a deadline that is far beyond what a slow machine needs; no test passes because
time has passed.
"""

import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from waiting import DEADLINE_S, wait_for  # noqa: E402

BIN = pathlib.Path(os.environ["BATON_BIN"])
PROBE = os.environ["BATON_PROBE"]


class System(unittest.TestCase):
    """A test with an orchestrator in a folder of its own."""

    OPTIONS = {}
    MAIN = ""

    def setUp(self):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="baton-system-"))
        self.endpoint = f"ipc://{self.dir}/requests"
        self.processes = []
        self.orchestrator = None
        self.addCleanup(self.clean)

    def clean(self):
        for process in reversed(self.processes):
            if process.poll() is None:
                process.kill()
            process.wait()
        result = self._outcome.result
        failed = any(test is self for test, _ in result.failures + result.errors)
        if failed:
            for log in sorted(self.dir.glob("*.err")):
                print(f"--- {log.name} (last lines)")
                print("\n".join(log.read_text(errors="replace").splitlines()[-25:]))
        shutil.rmtree(self.dir, ignore_errors=True)

    # ---- processes

    def start(self, name, arguments, environment=None, **options):
        log = open(self.dir / f"{name}.err", "ab")
        process = subprocess.Popen([str(a) for a in arguments], stdout=options.pop("stdout", log),
                                   stderr=log, stdin=subprocess.DEVNULL,
                                   env={**os.environ, **(environment or {})}, **options)
        log.close()
        self.processes.append(process)
        return process

    def write_conf(self, **options):
        merged = {"data_dir": str(self.dir / "data"), "endpoint": self.endpoint,
                  "fanout_endpoint": f"ipc://{self.dir}/fanout", "segment_bytes": "4 MiB",
                  "disk_reserve_bytes": "1 MiB", **self.OPTIONS, **options}
        text = "orchestrator\n" + "".join(f'    {k} = "{v}"\n' for k, v in merged.items())
        path = self.dir / "orchestrator.conf"
        path.write_text(text)
        return path

    def start_orchestrator(self, wait=True, **options):
        conf = self.write_conf(**options)
        self.orchestrator = self.start("orchestrator", [BIN / "baton", "orchestrator", conf])
        if wait:
            wait_for("the orchestrator answers", lambda: self.status() is not None)
        return self.orchestrator

    def start_probe(self, actor, patterns, instance=None, log=None, options=(), environment=None):
        instance = instance or f"{actor}-1"
        log = log or self.dir / f"{actor}.log"
        arguments = [PROBE, "--connect", self.endpoint, "--name", actor, "--instance", instance,
                     "--backoff-min", "20", "--backoff-max", "200", *options, "--", "--log", log]
        for pattern in patterns:
            arguments += ["--on", pattern]
        return self.start(instance, arguments,
                          {"BATON_INSTANCE": instance, **(environment or {})})

    def kill(self, process):
        process.kill()
        process.wait()

    def stop(self, process, expect=0):
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(timeout=DEADLINE_S), expect)

    # ---- the baton command

    def baton(self, *arguments, stdin=None, check=True, timeout=DEADLINE_S):
        done = subprocess.run([str(BIN / "baton"), *[str(a) for a in arguments]],
                              input=stdin, capture_output=True, text=True, timeout=timeout,
                              env={**os.environ, "BATON_CONNECT": self.endpoint})
        if check:
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return done

    def publish(self, topic, events, key_field="key"):
        """events: dicts with a "key"."""
        text = "".join(json.dumps(event) + "\n" for event in events)
        return self.baton("publish", topic, "--key-field", key_field, stdin=text)

    def read(self, *topics):
        arguments = [a for topic in topics for a in ("--topic", topic)]

        def answered():
            """An orchestrator that is slow to answer (69) has not said no."""
            done = self.baton("read", "--from", "beginning", *arguments, check=False)
            return done.returncode != 69 and done
        done = wait_for("the journal is read", answered)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return [json.loads(line) for line in done.stdout.splitlines()]

    def status(self):
        done = self.baton("status", "--json", check=False)
        if done.returncode != 0:
            return None
        return json.loads(done.stdout)

    def actor_status(self, name):
        status = self.status()
        for actor in (status or {}).get("actors", []):
            if actor["name"] == name:
                return actor
        return None

    def wait_settled(self, name, events, **extra):
        """Until the actor has settled that many events and nothing is left."""
        def settled():
            actor = self.actor_status(name)
            return actor and actor["lag"] == 0 and \
                actor["settled"] + actor["died"] >= events and actor
        return wait_for(f"{name} has settled {events} events", settled, **extra)

    # ---- what the probes wrote down

    def log(self, actor):
        path = self.dir / f"{actor}.log"
        if not path.exists():
            return []
        rows = []
        for line in path.read_text().splitlines():
            what, instance, pid, offset, topic, key, n, attempt = line.rstrip(" ").split(" ")
            rows.append({"what": what, "instance": instance, "pid": int(pid), "offset": int(offset),
                         "topic": topic, "key": key, "n": int(n), "attempt": int(attempt)})
        return rows

    def assert_ordered(self, rows):
        """G3: within a key no event begins before the one ahead of it has ended once. An event may
        be handled again (at least once), so only first beginnings count."""
        ended, begun, wrong = {}, {}, []
        for row in rows:
            key, n = row["key"], row["n"]
            if row["what"] == "begin":
                if n not in begun.setdefault(key, set()):
                    begun[key].add(n)
                    if n > 1 and n - 1 not in ended.get(key, set()):
                        wrong.append((key, n, row["instance"]))
            else:
                ended.setdefault(key, set()).add(n)
        self.assertEqual(wrong, [], "handled before the event ahead of it")

    def assert_all_handled(self, rows, keys, per_key):
        ended = {(r["key"], r["n"]) for r in rows if r["what"] == "end"}
        missing = [(k, n) for k in keys for n in range(1, per_key + 1) if (k, n) not in ended]
        self.assertEqual(missing, [], "never handled")

    def assert_emitted_once(self, topic, events):
        """G5: exactly one emitted event for each handled one."""
        causes = [event["data"]["cause"] for event in self.read(topic)]
        self.assertEqual(len(causes), len(set(causes)), "emitted twice")
        self.assertEqual(len(causes), events, "emitted events")


def load(keys, per_key, **fields):
    """per_key events for each key, interleaved, numbered from 1 within the key."""
    return [{"key": key, "n": n, **fields} for n in range(1, per_key + 1) for key in keys]


def main():
    unittest.main(verbosity=2)
