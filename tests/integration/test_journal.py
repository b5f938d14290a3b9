#!/usr/bin/python3
# SPDX-License-Identifier: MPL-2.0
"""`baton journal`: a data directory looked at beside an orchestrator, after one, and damaged.

usage: test_journal.py (BATON_BIN: folder of the programs)
"""
import json
import os
import pathlib
import signal
import subprocess
import tempfile
import unittest

BATON = str(pathlib.Path(os.environ["BATON_BIN"]) / "baton")
DEADLINE_S = 60
EVENTS = 40
FRAME_BYTES = 72


def run(*arguments, text_in=""):
    return subprocess.run([BATON, *map(str, arguments)], input=text_in, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True, timeout=DEADLINE_S)


class Journal(unittest.TestCase):

    def setUp(self):
        self.folder = tempfile.TemporaryDirectory(prefix="baton-journal-")
        self.addCleanup(self.folder.cleanup)
        self.dir = pathlib.Path(self.folder.name)
        self.data = self.dir / "data"
        self.segment = self.data / "journal" / "00000000000000000001.seg"

    def start(self):
        conf = self.dir / "a.conf"
        conf.write_text(f'orchestrator\n    data_dir = "{self.data}"\n'
                        '    endpoint = "tcp://127.0.0.1:*"\n    segment_bytes = 1MiB\n')
        process = subprocess.Popen([BATON, "orchestrator", conf], stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, text=True)
        self.addCleanup(process.communicate)
        self.addCleanup(process.kill)
        return process, process.stdout.readline().strip()

    def publish(self, endpoint):
        lines = "".join(json.dumps({"id": f"c{i % 7}", "n": i}) + "\n" for i in range(EVENTS))
        done = run("publish", "orders.placed", "--key-field", "id", "--connect", endpoint,
                   text_in=lines)
        self.assertEqual(done.returncode, 0, done.stderr)

    def make(self, number=signal.SIGTERM):
        process, endpoint = self.start()
        self.publish(endpoint)
        process.send_signal(number)
        process.communicate(timeout=DEADLINE_S)

    def records(self):
        dump = run("journal", "dump", "--json", self.data)
        self.assertEqual(dump.returncode, 0, dump.stderr)
        return [json.loads(line) for line in dump.stdout.splitlines()]

    def flip(self, at):
        with open(self.segment, "r+b") as file:
            file.seek(at)
            byte = file.read(1)[0]
            file.seek(at)
            file.write(bytes([byte ^ 0x20]))

    def test_verify_counts_what_was_published(self):
        for number in (signal.SIGTERM, signal.SIGKILL):
            self.folder.cleanup()
            self.dir.mkdir()
            self.make(number)
            result = json.loads(run("journal", "verify", "--json", self.data).stdout)
            self.assertEqual((result["events"], result["error"], result["running"]),
                             (EVENTS, None, False))
            self.assertEqual(sum(s["last_sequence"] - s["first_sequence"] + 1
                                 for s in result["segments"]), result["records"])
            text = run("journal", "verify", self.data)
            self.assertEqual(text.returncode, 0, text.stderr)
            self.assertIn(f"ok: {result['records']} records with {EVENTS} events", text.stdout)

    def test_dump_prints_each_record_with_its_sections(self):
        self.make()
        records = self.records()
        self.assertEqual(records[0]["type"], "GENESIS")
        self.assertEqual([r["sequence"] for r in records], list(range(1, len(records) + 1)))
        base = 0
        for record in records:
            self.assertEqual(record["base"], base)
            self.assertEqual(sum(s["count"] for s in record.get("sections", [])), record["count"])
            base += record["count"]
        self.assertEqual(base, EVENTS)
        self.assertEqual({s["topic"] for r in records for s in r.get("sections", [])},
                         {"orders.placed"})
        text = run("journal", "dump", self.data)
        self.assertEqual(text.returncode, 0)
        self.assertEqual(len(text.stdout.splitlines()), len(records))
        self.assertIn("orders.placed/", text.stdout)

    def test_a_running_journal_is_read_and_left_alone(self):
        process, endpoint = self.start()
        self.publish(endpoint)
        for _ in range(3):
            verify = run("journal", "verify", self.data)
            self.assertEqual(verify.returncode, 0, verify.stderr)
            self.assertIn("in use", verify.stderr)
        self.assertTrue(json.loads(run("journal", "verify", "--json", self.data).stdout)["running"])
        self.publish(endpoint)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=DEADLINE_S)
        self.assertEqual(process.returncode, 0)
        self.assertEqual(sum(r["count"] for r in self.records()), 2 * EVENTS)

    def test_damage_is_named_with_file_and_position_and_changes_nothing(self):
        self.make()
        victim = self.records()[1]
        self.flip(victim["position"] + FRAME_BYTES + 3)
        before = self.segment.read_bytes()
        for command in ("verify", "dump"):
            result = run("journal", command, self.data)
            self.assertEqual(result.returncode, 1)
            self.assertIn(f"{self.segment.name}, byte {victim['position']}: record 2",
                          result.stderr)
        result = run("journal", "verify", "--json", self.data)
        self.assertEqual(result.returncode, 1)
        self.assertEqual(json.loads(result.stdout)["error"], "ROT")
        # A start refuses it in the same words, and cuts nothing.
        start = run("orchestrator", "--data-dir", self.data, "--endpoint", "tcp://127.0.0.1:*")
        self.assertEqual(start.returncode, 1)
        self.assertIn(f"byte {victim['position']}", start.stderr)
        self.assertEqual(self.segment.read_bytes(), before)

    def test_exit_codes(self):
        self.assertEqual(run("journal", "--help").returncode, 0)
        for arguments in ((), ("verify",), ("dump",), ("look", "."), ("verify", ".", "."),
                          ("verify", "--colour", ".")):
            self.assertEqual(run("journal", *arguments).returncode, 2, arguments)
        missing = run("journal", "verify", self.dir / "missing")
        self.assertEqual(missing.returncode, 3)
        self.assertIn("No such file", missing.stderr)
        self.assertEqual(run("journal", "dump", self.dir).returncode, 3)
        self.assertEqual(os.listdir(self.dir), [])
        self.make()
        (self.data / "FORMAT").write_text("baton 2\n")
        newer = run("journal", "verify", self.data)
        self.assertEqual(newer.returncode, 3)
        self.assertIn("newer version", newer.stderr)


if __name__ == "__main__":
    unittest.main()
