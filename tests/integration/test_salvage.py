#!/usr/bin/python3
# SPDX-License-Identifier: MPL-2.0
"""`baton journal salvage`: damaged data directories, and orchestrators on what was saved of them.

usage: test_salvage.py (BATON_BIN: folder of the programs; BATON_PROBE: the actor for tests)
"""
import collections
import hashlib
import json
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import unittest

from waiting import DEADLINE_S, wait_for

BATON = str(pathlib.Path(os.environ["BATON_BIN"]) / "baton")
PROBE = os.environ["BATON_PROBE"]
FRAME_BYTES = 72
DONE, LOST, USAGE, NOT_DONE = 0, 1, 2, 3


def fingerprint(folder):
    return {str(path.relative_to(folder)):
            (path.stat().st_mtime_ns, hashlib.sha256(path.read_bytes()).digest())
            for path in sorted(folder.rglob("*")) if path.is_file()}


class Salvage(unittest.TestCase):

    def setUp(self):
        self.folder = tempfile.TemporaryDirectory(prefix="baton-salvage-")
        self.addCleanup(self.folder.cleanup)
        self.dir = pathlib.Path(self.folder.name)
        self.data, self.out = self.dir / "data", self.dir / "out"
        self.segment = self.data / "journal" / "00000000000000000001.seg"

    def start(self, *arguments, endpoint=None, stdout=subprocess.DEVNULL):
        with open(self.dir / "stderr", "ab") as log:
            process = subprocess.Popen(
                [str(argument) for argument in arguments], stdout=stdout, stderr=log, text=True,
                env={**os.environ, "BATON_CONNECT": endpoint or ""})
        self.addCleanup(process.communicate)
        self.addCleanup(process.kill)
        return process

    def orchestrator(self, data):
        conf = self.dir / "a.conf"
        conf.write_text(f'orchestrator\n    data_dir = "{data}"\n    segment_bytes = 1MiB\n'
                        '    endpoint = "tcp://127.0.0.1:*"\n    disk_reserve_bytes = 1MiB\n')
        process = self.start(BATON, "orchestrator", conf, stdout=subprocess.PIPE)
        endpoint = process.stdout.readline().strip()
        self.assertTrue(endpoint, (self.dir / "stderr").read_text())
        return process, endpoint

    def run_baton(self, *arguments, endpoint="", code=DONE, text_in=""):
        done = subprocess.run([BATON, *map(str, arguments)], input=text_in, capture_output=True,
                              text=True, timeout=DEADLINE_S,
                              env={**os.environ, "BATON_CONNECT": endpoint})
        self.assertEqual(done.returncode, code, f"{arguments}\n{done.stdout}{done.stderr}")
        return done.stdout

    def publish(self, endpoint, topic, lines):
        text = "".join(json.dumps(line) + "\n" for line in lines)
        self.run_baton("publish", topic, "--key-field", "k", endpoint=endpoint, text_in=text)

    def probe(self, endpoint):
        return self.start(PROBE, "--name", "probe", "--instance", "probe-1", "--backoff-min", "20",
                          "--max-attempts", "3", "--", "--log", self.dir / "handled", "--on",
                          "jobs.*", endpoint=endpoint)

    def await_actor(self, endpoint, **wanted):
        def look():
            status = json.loads(self.run_baton("status", "--json", endpoint=endpoint))
            return any(all(actor[name] == value for name, value in wanted.items())
                       for actor in status["actors"])
        wait_for(f"an actor with {wanted}", look)

    def handled(self):
        return collections.Counter(
            int(line.split()[3]) for line in (self.dir / "handled").read_text().splitlines()
            if line.startswith("end"))

    def make(self, number=signal.SIGTERM):
        """A life with everything in it that the state knows of."""
        process, endpoint = self.orchestrator(self.data)
        probe = self.probe(endpoint)
        self.await_actor(endpoint, name="probe")
        for n in range(4):
            self.publish(endpoint, f"jobs.{n}", [{"k": f"k{i % 5}", "n": i} for i in range(20)])
        self.publish(endpoint, "jobs.bad", [{"k": "bad", "n": n, "do": "reject"} for n in range(3)])
        self.publish(endpoint, "jobs.again",
                     [{"k": "again", "n": n, "do": "retry", "times": 1} for n in range(3)])
        self.publish(endpoint, "jobs.out", [{"k": "out", "n": n, "emit": "done"} for n in range(3)])
        self.await_actor(endpoint, name="probe", dead=3, lag=0)
        dead = [json.loads(line)["dead_offset"] for line in self.run_baton(
            "dead", "list", "probe", "--json", endpoint=endpoint).splitlines()]
        self.run_baton("dead", "redrive", "probe", dead[0], endpoint=endpoint)
        self.await_actor(endpoint, name="probe", dead=3, died=4, lag=0)
        self.run_baton("dead", "discard", "probe", dead[1], "--yes", endpoint=endpoint)
        self.await_actor(endpoint, name="probe", dead=2, lag=0)
        probe.terminate()
        probe.wait(timeout=DEADLINE_S)
        self.publish(endpoint, "jobs.late", [{"k": f"k{i}", "n": i} for i in range(5)])
        self.await_actor(endpoint, name="probe", dead=2, lag=5)
        process.send_signal(number)
        process.communicate(timeout=DEADLINE_S)

    def records(self, data):
        return [json.loads(line) for line in
                self.run_baton("journal", "dump", "--json", data).splitlines()]

    def damage(self, *records):
        with open(self.segment, "r+b") as file:
            for record in records:
                file.seek(record["position"] + FRAME_BYTES + record["bytes"] // 2)
                byte = file.read(1)[0]
                file.seek(-1, os.SEEK_CUR)
                file.write(bytes([byte ^ 0x20]))

    def salvage(self, *options, code):
        shutil.rmtree(self.out, ignore_errors=True)
        before = fingerprint(self.data)
        text = self.run_baton("journal", "salvage", "--json", *options, self.data, self.out,
                              code=code)
        self.assertEqual(fingerprint(self.data), before)
        return json.loads(text) if text else None

    def test_a_whole_directory_is_copied_as_it_is(self):
        for number in (signal.SIGTERM, signal.SIGKILL):
            self.folder.cleanup()
            self.dir.mkdir()
            self.make(number)
            result = self.salvage(code=DONE)
            self.assertEqual((result["lost_records"], result["lost"], result["remarks"]),
                             (0, [], []))
            same = ("sequence", "type", "base", "count", "time", "bytes")
            self.assertEqual([[r[name] for name in same] for r in self.records(self.out)],
                             [[r[name] for name in same] for r in self.records(self.data)])

    def test_any_lost_record_leaves_a_journal_that_opens(self):
        self.make()
        records = self.records(self.data)
        self.assertGreaterEqual(
            {r["type"] for r in records},
            {"GENESIS", "REGISTER", "ASSIGN", "PUBLISH", "SETTLE", "REDRIVE", "DISCARD"})
        for views in (True, False):
            if not views:
                shutil.rmtree(self.data / "views")
            for record in records:
                self.damage(record)
                options = ["--partitions", 32] if record["sequence"] == 1 else []
                result = self.salvage(*options, code=LOST)
                self.assertEqual((result["lost_records"], result["lost_events"]),
                                 (1, record["count"]), record)
                kept = {r["sequence"]: r for r in self.records(self.out)}
                for other in records:
                    if other["sequence"] != record["sequence"]:
                        mine = kept[other["sequence"]]
                        self.assertEqual((mine["type"], mine["base"], mine["count"]),
                                         (other["type"], other["base"], other["count"]))
                self.damage(record)  # the same bit again: whole

    def test_a_range_that_is_lost_without_views(self):
        self.make()
        records = self.records(self.data)
        shutil.rmtree(self.data / "views")
        for first in range(1, len(records), 5):
            for size in (2, 7, len(records)):
                part = records[first:first + size]
                self.damage(*part)
                result = self.salvage(code=LOST)
                self.assertEqual((result["lost_records"], len(result["lost"])), (len(part), 1))
                verify = json.loads(self.run_baton("journal", "verify", "--json", self.out))
                self.assertEqual((verify["error"], verify["lost_records"]), (None, len(part)))
                self.damage(*part)

    def test_an_orchestrator_serves_what_is_left(self):
        self.make()
        records = self.records(self.data)
        #  One that was handled, and the newest, which waits for the actor.
        victims = [[r for r in records if r["type"] == "PUBLISH"][1], records[-1]]
        self.assertGreater(victims[1]["count"], 0)
        gone = {offset for r in victims for offset in range(r["base"], r["base"] + r["count"])}
        offsets = {o for r in records for o in range(r["base"], r["base"] + r["count"])}
        self.damage(*victims)
        result = self.salvage(code=LOST)
        self.assertEqual(result["lost_events"], len(gone))
        self.assertEqual({o for hole in result["lost"]
                          for o in range(hole["first_offset"], hole["end_offset"])}, gone)
        before = self.handled()
        process, endpoint = self.orchestrator(self.out)
        read = [json.loads(line) for line in self.run_baton(
            "read", endpoint=endpoint).splitlines()]
        self.assertEqual([event["offset"] for event in read], sorted(offsets - gone))
        self.publish(endpoint, "jobs.new", [{"k": f"k{i}", "n": i} for i in range(5)])
        probe = self.probe(endpoint)
        self.await_actor(endpoint, name="probe", lag=0, dead=2)
        #  The views told what was settled: nothing is handled again, and nothing that is left
        #  is forgotten.
        again = self.handled() - before
        waiting = {o for r in records[-5:] for s in r.get("sections", [])
                   if s["topic"] == "jobs.late" for o in range(s["base"], s["base"] + s["count"])}
        tail = max(offsets) + 1
        self.assertEqual(again, collections.Counter(
            (waiting - gone) | set(range(tail, tail + 5))))
        probe.terminate()
        probe.wait(timeout=DEADLINE_S)
        process.terminate()
        process.communicate(timeout=DEADLINE_S)
        self.assertEqual(process.returncode, 0)

    def test_without_its_views_what_is_not_known_is_handled_again(self):
        self.make()
        records = self.records(self.data)
        shutil.rmtree(self.data / "views")
        victim = [r for r in records if r["type"] == "SETTLE"][-1]
        self.damage(victim)
        self.salvage(code=LOST)
        process, endpoint = self.orchestrator(self.out)
        self.probe(endpoint)
        self.await_actor(endpoint, name="probe", lag=0)
        published = {o for r in records for s in r.get("sections", [])
                     if s["topic"].startswith("jobs.") for o in range(s["base"],
                                                                     s["base"] + s["count"])}
        self.assertEqual(set(self.handled()), published)
        process.terminate()
        process.communicate(timeout=DEADLINE_S)

    def test_small_files_and_names_do_not_matter(self):
        self.make()
        whole = len(self.records(self.data))
        (self.data / "journal" / "MARK").unlink()
        (self.data / "FORMAT").write_text("batin 1\n")
        (self.data / "views" / "data.mdb").write_bytes(b"rotten" * 4096)
        self.segment.rename(self.segment.with_name("00000000000000000007.seg"))
        result = self.salvage(code=DONE)
        self.assertEqual((result["kept_records"], result["lost_records"]), (whole, 0))
        text = " ".join(result["remarks"])
        for what in ("FORMAT", "MARK", "views"):
            self.assertIn(what, text)
        self.run_baton("journal", "verify", self.out)

    def test_exit_codes(self):
        for arguments in ((), (self.data,), (self.data, self.out, self.out)):
            self.run_baton("journal", "salvage", *arguments, code=USAGE)
        self.run_baton("journal", "salvage", self.data, self.out, code=NOT_DONE)
        self.assertFalse(self.out.exists())
        process, endpoint = self.orchestrator(self.data)
        self.publish(endpoint, "jobs.1", [{"k": "a"}])  # with its receipt all before it is there
        self.run_baton("journal", "salvage", self.data, self.out, code=NOT_DONE)
        process.kill()
        process.communicate(timeout=DEADLINE_S)
        self.out.mkdir()
        self.run_baton("journal", "salvage", self.data, self.out, code=NOT_DONE)
        self.out.rmdir()
        #  Neither the first record nor views: somebody must know the number of partitions.
        self.damage(self.records(self.data)[0])
        shutil.rmtree(self.data / "views", ignore_errors=True)
        self.run_baton("journal", "salvage", self.data, self.out, code=NOT_DONE)


if __name__ == "__main__":
    unittest.main()
