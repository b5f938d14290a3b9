# SPDX-License-Identifier: MPL-2.0
"""tests/bench/run as a program: what it says, and that an interruption leaves nothing behind. No
figure is looked at."""
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import unittest
import xml.etree.ElementTree

import plot

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "integration"))
from waiting import DEADLINE_S, wait_for  # noqa: E402

RUN = pathlib.Path(__file__).with_name("run")


class Run(unittest.TestCase):

    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="baton-bench-run-")
        self.addCleanup(folder.cleanup)
        self.out, self.journals = pathlib.Path(folder.name, "out"), pathlib.Path(folder.name, "tmp")
        self.journals.mkdir()

    def start(self, *arguments, **environment):
        process = subprocess.Popen(
            [sys.executable, RUN, "--out", self.out, *arguments], stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True,
            env={**os.environ, "TMPDIR": str(self.journals), **environment})
        self.addCleanup(process.communicate)
        self.addCleanup(process.kill)
        return process

    def run_to_end(self, *arguments, code=0):
        process = self.start(*arguments)
        out, err = process.communicate(timeout=DEADLINE_S)
        self.assertEqual(process.returncode, code, err)
        return out + err

    def left_over(self):
        """Processes that were started with our TMPDIR."""
        mine = f"TMPDIR={self.journals}".encode()
        found = []
        for environ in pathlib.Path("/proc").glob("[0-9]*/environ"):
            try:
                if mine in environ.read_bytes().split(b"\0"):
                    found.append(int(environ.parent.name))
            except OSError:
                pass
        return found

    def interrupt(self, process, number=signal.SIGINT):
        """Only the program itself: a terminal would tell its children too."""
        wait_for("a journal is made",
                 lambda: list(self.journals.glob("*/*")) or process.poll() is not None)
        self.assertIsNone(process.poll(), "it is at work")
        self.assertGreater(len(self.left_over()), 1)
        process.send_signal(number)
        out, err = process.communicate(timeout=DEADLINE_S)
        self.assertEqual(process.returncode, 128 + number, err)
        self.assertNotIn("Traceback", err)
        self.assertEqual(list(self.journals.iterdir()), [])
        self.assertEqual(self.left_over(), [])
        self.assertEqual(out, "")
        return err

    def test_help_names_options_and_cases(self):
        text = self.run_to_end("--help")
        for word in ("--quick", "--rounds", "--case", "--json", "--out", "--baton", "--peers",
                     "--instructions", "BATON_BUILD", "TMPDIR", "end to end, 1 KiB", "growth"):
            self.assertIn(word, text)

    def test_what_it_cannot_do_is_said(self):
        self.assertIn("there are: end to end", self.run_to_end("--case", "nothing", code=2))
        self.assertIn("--rounds", self.run_to_end("--rounds", "0", code=2))
        text = self.run_to_end("--case", "1 KiB", "--baton", "/no/such/program", code=1)
        self.assertIn("/no/such/program: No such file", text)
        self.assertNotIn("Traceback", text)

    def test_interrupted_in_a_case(self):
        self.interrupt(self.start("--case", "50,000 events/s"))

    def test_ended_in_a_case(self):
        self.interrupt(self.start("--case", "50,000 events/s"), signal.SIGTERM)

    def test_interrupted_in_a_large_case(self):
        self.interrupt(self.start("--quick", "--case", "growth"))

    def test_peers_that_are_not_installed_are_left_out_by_name(self):
        said = self.interrupt(self.start("--peers", "--case", "50,000 events/s",
                                         PATH="/no/such/folder"))
        for name in "Redis always", "Redis everysec", "NATS JetStream":
            self.assertIn(f"{name}: left out, ", said)
        self.assertNotIn("zmq_proxy: left out", said)

    def test_plots_are_well_formed_whatever_the_figures_are(self):
        for points in ([(1, 0)], [(2, 0.0), (1000, 12345.6)], [(1000, 7), (1000000, 7)]):
            for log_y in False, True:
                path = self.journals / "plot.svg"
                plot.lines(path, "a < b", "x & y", "z", {"<one>": points}, log_y)
                root = xml.etree.ElementTree.parse(path).getroot()
                self.assertEqual(len(root.findall("{*}circle")), len(points))


if __name__ == "__main__":
    unittest.main(verbosity=2)
