#!/usr/bin/python3
# SPDX-License-Identifier: MPL-2.0
"""The shop example with real processes: whole, under kills, interrupted, and with a bad file.

usage: test_shop.py EXAMPLES/ECOMMERCE/RUN
"""
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time
import unittest

RUN = sys.argv.pop(1)
DEADLINE_S = float(os.environ.get("BATON_TEST_DEADLINE", "90"))
# Where processes take longer to start, they need more time between their deaths to get anywhere.
KILL_EVERY_MS = round(100 * DEADLINE_S / 90)
SETTLE_S = round(300 * DEADLINE_S / 90)


class Shop(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="baton-shop-")
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.keep = self.folder / "run"

    def run_it(self, *options):
        done = subprocess.run([RUN, "--keep", self.keep, "--json", *options],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                              check=False)
        self.assertEqual(self.processes(), [])
        return done

    def processes(self):
        """Those that were started for this run: its folder is in their command line."""
        found = []
        for entry in pathlib.Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    line = (entry / "cmdline").read_bytes()
                    folder = os.readlink(entry / "cwd")
                except OSError:
                    continue
                if str(self.keep).encode() in line or folder == str(self.keep):
                    found.append((entry.name, line))
        return found

    def assert_reconciled(self, done, orders):
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        result = json.loads(done.stdout.splitlines()[-1])
        self.assertEqual(result["orders_submitted"], orders)
        self.assertEqual(orders, result["orders_validated"] + result["orders_rejected"]
                         + result["orders_cancelled"])
        for field in ("lost", "duplicated", "out_of_order", "dead_letters"):
            self.assertEqual(result[field], 0, field)
        self.assertTrue(os.path.exists(result["ledger"]))
        return result

    def test_nothing_is_lost_while_the_gateway_fails_and_declines(self):
        done = self.run_it("--count", "300", "--fail-rate", "0.2", "--decline-rate", "0.1")
        result = self.assert_reconciled(done, 300)
        self.assertGreater(result["payments_declined"], 0)
        self.assertGreater(result["charges_repeated"], 0)
        self.assertEqual(result["shipments_requested"], result["payments_charged"])

    def test_nothing_is_lost_while_processes_are_killed(self):
        done = self.run_it("--count", "1500", "--instances", "3",
                           "--kill-every", str(KILL_EVERY_MS), "--timeout", str(SETTLE_S))
        result = self.assert_reconciled(done, 1500)
        self.assertGreater(result["kills"], 0)

    def test_interrupted_it_leaves_no_process(self):
        process = subprocess.Popen([RUN, "--keep", self.keep, "--count", "20000"],
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        end = time.monotonic() + DEADLINE_S
        while not (self.keep / "ledger.db").exists():
            self.assertLess(time.monotonic(), end, "the ledger has not started")
            time.sleep(0.02)
        self.assertNotEqual(self.processes(), [])
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(timeout=DEADLINE_S), 143)
        self.assertEqual(self.processes(), [])

    def test_a_bad_file_is_named_and_nothing_is_started(self):
        orders = self.folder / "orders.csv"
        orders.write_text("InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,"
                          "CustomerID,Country\n1,a,b,1,d,2.5,7,UK\n2,a,b,1,d,2.5,7\n")
        done = self.run_it("--orders", orders)
        self.assertEqual(done.returncode, 1)
        self.assertIn(f"{orders}:3: 7 columns where the header has 8", done.stderr)
        self.assertEqual(list(self.keep.iterdir()), [])

    def test_a_folder_with_something_in_it_is_left_alone(self):
        self.keep.mkdir()
        (self.keep / "mine").write_text("mine")
        done = self.run_it()
        self.assertEqual(done.returncode, 2)
        self.assertEqual([path.name for path in self.keep.iterdir()], ["mine"])


unittest.main(verbosity=2)
