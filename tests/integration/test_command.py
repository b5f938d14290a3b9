#!/usr/bin/python3
# SPDX-License-Identifier: MPL-2.0
"""The baton command itself, and `baton orchestrator`, as a person or a script meets them.

usage: test_command.py (BATON_BIN: folder of the programs)
"""
import json
import os
import pathlib
import resource
import signal
import subprocess
import tempfile
import unittest

from waiting import wait_for

BATON = str(pathlib.Path(os.environ["BATON_BIN"]) / "baton")
MANUAL = pathlib.Path(__file__).parents[2] / "framework" / "docs" / "man" / "baton.1"
DEADLINE_S = 60


def run(*arguments, **options):
    return subprocess.run([BATON, *map(str, arguments)], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          timeout=DEADLINE_S, **options)


class Command(unittest.TestCase):

    def setUp(self):
        self.folder = tempfile.TemporaryDirectory(prefix="baton-command-")
        self.addCleanup(self.folder.cleanup)
        self.dir = pathlib.Path(self.folder.name)
        self.data = self.dir / "data"

    def start(self, *arguments, environment=None):
        """Starts an orchestrator; returns when it has printed its endpoint."""
        process = subprocess.Popen([BATON, "orchestrator", *map(str, arguments)],
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                   env={**os.environ, **(environment or {})})
        self.addCleanup(process.communicate)
        self.addCleanup(process.kill)
        endpoint = process.stdout.readline().strip()
        self.assertRegex(endpoint, r"^(tcp://127\.0\.0\.1:[1-9]\d*|ipc://.+)$")
        return process, endpoint

    def stop(self, process, number=signal.SIGTERM):
        process.send_signal(number)
        _, errors = process.communicate(timeout=DEADLINE_S)
        return process.returncode, errors

    def conf(self, text):
        path = self.dir / "a.conf"
        path.write_text(text)
        return path

    # ---- the end

    def test_a_final_checkpoint_that_fails_is_told(self):
        """Not a byte can be written to a file any more: the journal has everything already."""
        conf = self.conf("orchestrator\n" + "".join(f'    {name} = "{value}"\n' for name, value in (
            ("data_dir", self.data), ("endpoint", f"ipc://{self.dir}/requests"),
            ("fanout_endpoint", f"ipc://{self.dir}/fanout"), ("segment_bytes", "1 MiB"),
            ("disk_reserve_bytes", 1))))
        # Python ignores SIGXFSZ, and so does what it starts like this: the write fails instead.
        process = subprocess.Popen([BATON, "orchestrator", conf], restore_signals=False,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.addCleanup(process.communicate)
        self.addCleanup(process.kill)
        endpoint = process.stdout.readline().strip()
        published = subprocess.run([BATON, "publish", "a.b", "--connect", endpoint], text=True,
                                   input='{"n": 1}\n', capture_output=True, timeout=DEADLINE_S)
        self.assertEqual(published.returncode, 0, published.stderr)
        _, hard = resource.prlimit(process.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (1, hard))
        code, errors = self.stop(process)
        self.assertEqual(code, 1, errors)
        last = errors.splitlines()[-1]
        self.assertIn("the final checkpoint failed: ", last)
        self.assertIn("nothing is lost", last)
        process, endpoint = self.start(conf)
        read = run("read", "--connect", endpoint)
        self.assertEqual(json.loads(read.stdout)["data"], {"n": 1}, read.stderr)
        self.assertEqual(self.stop(process)[0], 0)

    # ---- the command

    def test_every_subcommand_helps(self):
        listed = run("help")
        self.assertEqual(listed.returncode, 0)
        names = [line.split()[0] for line in listed.stdout.splitlines() if line.startswith("  ")]
        self.assertIn("orchestrator", names)
        self.assertIn("publish", names)
        page = MANUAL.read_text()
        for name in names:
            with self.subTest(name):
                helped = run(name, "--help")
                self.assertEqual(helped.returncode, 0, helped.stderr)
                self.assertTrue(helped.stdout.startswith("Usage: baton "))
                self.assertEqual(run("help", name).stdout, helped.stdout)
                self.assertRegex(helped.stdout, r"(?s)\nExit codes: 0 .*2 wrong\s+usage")
                if name not in ("orchestrator", "up", "node", "down", "monitor", "help",
                                "version"):
                    self.assertIn("--json", helped.stdout)
                self.assertRegex(page, rf"\n\.BR? {name}\b")

    def test_the_manual_has_the_options(self):
        checked = subprocess.run([MANUAL.parent / "options", BATON, "--check"], timeout=DEADLINE_S,
                                 stdout=subprocess.PIPE, text=True)
        self.assertEqual(checked.returncode, 0, checked.stdout)

    def test_mistyped_subcommands_are_guessed(self):
        for word, guess in (("publsh", "publish"), ("orchestator", "orchestrator")):
            result = run(word)
            self.assertEqual(result.returncode, 2)
            self.assertIn(f"there is no subcommand '{word}'; did you mean '{guess}'?",
                          result.stderr)
        for word in ("x" * 200, "foo"):
            self.assertNotIn("did you mean", run(word).stderr)
        self.assertEqual(run().returncode, 2)

    def test_version(self):
        self.assertRegex(run("--version").stdout, r"^baton \d+\.\d+\.\d+, protocol 1, journal ")

    # ---- baton orchestrator

    def test_check_only_checks(self):
        good = self.conf(f"orchestrator\n    data_dir = {self.data}\n    partitions = 8\n")
        result = run("orchestrator", "--check", good)
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        self.assertFalse(self.data.exists())
        bad = self.conf("orchestrator\n    partitions = 8\n    sinc = always\n")
        for arguments in (["--check", bad], [bad]):
            result = run("orchestrator", *arguments)
            self.assertEqual(result.returncode, 2)
            self.assertIn(f"{bad}:3: unknown property 'sinc'", result.stderr)

    def test_help_prints_a_file_that_is_accepted(self):
        text = run("orchestrator", "--help").stdout
        self.assertLessEqual(max(map(len, text.splitlines())), 110)
        lines = text[text.index("\norchestrator\n") + 1:text.index("\nExit codes")]
        result = run("orchestrator", "--check", self.conf(lines))
        self.assertEqual(result.returncode, 0, result.stderr)

    def test_wrong_usage(self):
        for arguments in (["--nope"], ["a.conf", "b.conf"], ["--log", "loud"],
                          ["--endpoint", "nowhere"], [self.dir / "missing.conf"], [self.dir]):
            with self.subTest(arguments):
                result = run("orchestrator", *arguments)
                self.assertEqual(result.returncode, 2, result.stderr)
                self.assertIn("baton orchestrator: ", result.stderr)
        self.assertFalse(pathlib.Path(".baton").exists())

    def test_serves_until_told_to_stop(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            process, _ = self.start("--data-dir", self.data, "--endpoint", "tcp://127.0.0.1:*")
            code, errors = self.stop(process, number)
            self.assertEqual(code, 0, errors)
            self.assertIn("stopped", errors.splitlines()[-1])
        self.assertEqual(oct(self.data.stat().st_mode & 0o777), "0o700")

    def test_the_command_line_wins_over_the_file(self):
        path = self.conf(f"orchestrator\n    data_dir = {self.dir}/other\n"
                         "    endpoint = tcp://127.0.0.1:*\n")
        process, endpoint = self.start(path, "--data-dir", self.data,
                                       "--endpoint", f"ipc://{self.dir}/socket")
        self.assertEqual(endpoint, f"ipc://{self.dir}/socket")
        self.assertEqual(self.stop(process)[0], 0)
        self.assertTrue(self.data.exists())
        self.assertFalse((self.dir / "other").exists())

    def test_what_is_closed_is_not_taken_by_other_files(self):
        endpoint = f"ipc://{self.dir}/requests"
        process = subprocess.Popen(["sh", "-c", 'exec "$@" <&- 2>&-', "sh", BATON,
                                    "orchestrator", "--data-dir", self.data, "--endpoint",
                                    endpoint], stdout=subprocess.DEVNULL)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        wait_for("the orchestrator answers", lambda: run(
            "status", "--connect", endpoint, "--timeout", 1).returncode == 0)
        self.assertEqual([os.readlink(f"/proc/{process.pid}/fd/{fd}") for fd in range(3)],
                         ["/dev/null"] * 3)
        process.terminate()
        self.assertEqual(process.wait(timeout=DEADLINE_S), 0)
        for words, code in (("version >&-", 1), ("version <&-", 0),
                            ("orchestrator --check >&- 2>&-", 1)):
            done = subprocess.run(f"exec {BATON} {words}", shell=True, capture_output=True,
                                  timeout=DEADLINE_S, check=False)
            self.assertEqual(done.returncode, code, (words, done))

    def test_log_lines_as_json(self):
        process, _ = self.start("--data-dir", self.data, "--endpoint", "tcp://127.0.0.1:*",
                                "--log", "json")
        _, errors = self.stop(process)
        lines = [json.loads(line) for line in errors.splitlines()]
        self.assertEqual({line["who"] for line in lines}, {"orchestrator"})
        self.assertTrue(all({"time", "level", "text"} <= set(line) for line in lines))

    def test_warns_when_others_can_reach_it(self):
        process = subprocess.Popen([BATON, "orchestrator", "--data-dir", self.data,
                                    "--endpoint", "tcp://0.0.0.0:*"], text=True,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.addCleanup(process.kill)
        process.stdout.readline()
        _, errors = self.stop(process)
        self.assertIn("nothing is encrypted", errors)
        process, _ = self.start("--data-dir", self.data, "--endpoint", "tcp://127.0.0.1:*")
        self.assertNotIn("nothing is encrypted", self.stop(process)[1])

    def test_the_second_one_on_a_directory_ends_with_the_owner_named(self):
        process, _ = self.start("--data-dir", self.data, "--endpoint", "tcp://127.0.0.1:*")
        second = run("orchestrator", "--data-dir", self.data, "--endpoint", "tcp://127.0.0.1:*")
        self.assertEqual(second.returncode, 1)
        self.assertIn(f"another process ({process.pid}) owns the data directory", second.stderr)
        self.assertIn("LOCKED", second.stderr)
        self.assertEqual(self.stop(process)[0], 0)

    def test_an_address_in_use(self):
        process, endpoint = self.start("--data-dir", self.data, "--endpoint", "tcp://127.0.0.1:*")
        second = run("orchestrator", "--data-dir", self.dir / "other", "--endpoint", endpoint)
        self.assertEqual(second.returncode, 1)
        self.assertIn(endpoint, second.stderr)
        self.assertIn("ADDRESS", second.stderr)
        self.assertEqual(self.stop(process)[0], 0)


if __name__ == "__main__":
    unittest.main(verbosity=2)
