#!/usr/bin/python3
# SPDX-License-Identifier: MPL-2.0
"""The shop's comparison, on books written by hand: right ones pass, and each way to be wrong is
found. A check that finds nothing is worth nothing until it has found something.

usage: test_reconcile.py RECONCILE
"""
import json
import os
import sqlite3
import subprocess
import sys
import tempfile
import unittest

RECONCILE = sys.argv.pop(1)

ORDERS = """InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country
1,A,"a ""nice"" lamp, red",2,2010-12-01 08:26:00,0.125,17850.0,United Kingdom
1,B,a cup,3,2010-12-01 08:26:00,1.1,17850.0,United Kingdom
2,A,a lamp,0,2010-12-01 08:27:00,2.5,17850.0,United Kingdom
C3,A,a lamp,-1,2010-12-01 08:28:00,2.5,17850.0,United Kingdom
4,A,a lamp,1,2010-12-01 08:29:00,2.5,,France
5,A,a lamp,1,2010-12-01 08:30:00,-2.5,13047.0,France
6,A,a lamp,4,2010-12-01 08:31:00,2.5,13047.0,France
"""

SCHEMA = """
CREATE TABLE events (seq INTEGER PRIMARY KEY AUTOINCREMENT, source TEXT, id TEXT, topic TEXT,
    order_no TEXT, customer TEXT, amount INTEGER, detail TEXT, journal_offset INTEGER,
    deliveries INTEGER DEFAULT 1, UNIQUE (source, id));
CREATE TABLE violations (source TEXT, id TEXT, customer TEXT, journal_offset INTEGER,
    after_offset INTEGER);
"""
GATEWAY = "CREATE TABLE charges (id TEXT PRIMARY KEY, order_no TEXT, amount INTEGER," \
          " outcome TEXT, asked INTEGER);"

EVENTS = [  # topic, order, customer, amount
    ("orders.submitted", "1", "17850.0", None),
    ("orders.submitted", "2", "17850.0", None),
    ("orders.submitted", "C3", "17850.0", None),
    ("orders.submitted", "4", "guest-4", None),
    ("orders.submitted", "5", "13047.0", None),
    ("orders.submitted", "6", "13047.0", None),
    ("orders.validated", "1", "17850.0", 3550000),
    ("orders.rejected", "2", "17850.0", None),
    ("orders.cancelled", "C3", "17850.0", None),
    ("orders.validated", "4", "guest-4", 2500000),
    ("orders.rejected", "5", "13047.0", None),
    ("orders.validated", "6", "13047.0", 10000000),
    ("payments.charged", "1", "17850.0", 3550000),
    ("payments.charged", "4", "guest-4", 2500000),
    ("payments.declined", "6", "13047.0", 10000000),
    ("shipments.requested", "1", "17850.0", None),
    ("shipments.requested", "4", "guest-4", None),
]
INSERT = "INSERT INTO events (source, id, topic, order_no, customer, amount, journal_offset)" \
         " VALUES ('/test', ?, ?, ?, ?, ?, ?)"


class Reconcile(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="baton-reconcile-")
        self.addCleanup(folder.cleanup)
        self.orders = os.path.join(folder.name, "orders.csv")
        self.ledger_path = os.path.join(folder.name, "ledger.db")
        self.gateway_path = os.path.join(folder.name, "gateway.db")
        with open(self.orders, "w", encoding="utf-8") as file:
            file.write(ORDERS)
        self.ledger = sqlite3.connect(self.ledger_path, isolation_level=None)
        self.addCleanup(self.ledger.close)
        self.ledger.executescript(SCHEMA)
        for offset, (topic, order, customer, amount) in enumerate(EVENTS):
            self.ledger.execute(INSERT, (str(offset), topic, order, customer, amount, offset))
        self.gateway = sqlite3.connect(self.gateway_path, isolation_level=None)
        self.addCleanup(self.gateway.close)
        self.gateway.executescript(GATEWAY)
        self.gateway.executemany("INSERT INTO charges VALUES (?, ?, ?, ?, ?)", [
            ("a", "1", 3550000, "charged", 1),
            ("b", "4", 2500000, "charged", 3),
            ("c", "6", 10000000, "declined", 1)])

    def run_it(self, *options):
        done = subprocess.run([RECONCILE, "--orders", self.orders, "--ledger", self.ledger_path,
                               "--gateway", self.gateway_path, "--json", *options],
                              stdout=subprocess.PIPE, text=True, check=False)
        return done.returncode, json.loads(done.stdout.splitlines()[-1])

    def assert_finds(self, field, count, *options):
        code, result = self.run_it(*options)
        self.assertEqual((code, result[field], result["reconciled"]), (1, count, False))

    def test_right_books_agree(self):
        code, result = self.run_it("--kills", "7", "--seconds", "1.5")
        self.assertEqual(code, 0)
        self.assertEqual(result, {
            "orders_submitted": 6, "orders_validated": 3, "orders_rejected": 2,
            "orders_cancelled": 1, "payments_charged": 2, "payments_declined": 1,
            "shipments_requested": 2, "revenue": "6.05", "lost": 0, "duplicated": 0,
            "out_of_order": 0, "unexpected": 0, "wrong_amounts": 0, "dead_letters": 0,
            "charges_repeated": 2, "redelivered": 0, "kills": 7, "seconds": 1.5,
            "ledger": self.ledger_path, "reconciled": True})

    def test_each_lost_event_is_found(self):
        for row in range(1, len(EVENTS) + 1):
            with self.subTest(EVENTS[row - 1]):
                self.ledger.execute("BEGIN")
                self.ledger.execute("DELETE FROM events WHERE seq = ?", (row,))
                self.ledger.execute("COMMIT")
                self.assert_finds("lost", 1)
                self.setUp()

    def test_an_order_that_nobody_charged_is_lost(self):
        self.gateway.execute("DELETE FROM charges WHERE order_no = '1'")
        self.ledger.execute("DELETE FROM events WHERE order_no = '1' AND"
                            " topic IN ('payments.charged', 'shipments.requested')")
        self.assert_finds("lost", 2)

    def test_a_doubled_event_is_found(self):
        self.ledger.execute(INSERT, ("x", "shipments.requested", "1", "17850.0", None, 99))
        self.assert_finds("duplicated", 1)

    def test_a_double_charge_is_found(self):
        self.gateway.execute("INSERT INTO charges VALUES ('d', '1', 3550000, 'charged', 1)")
        self.assert_finds("duplicated", 1)

    def test_a_violation_is_found(self):
        self.ledger.execute("INSERT INTO violations VALUES ('/test', '7', '17850.0', 7, 9)")
        self.assert_finds("out_of_order", 1)

    def test_rows_out_of_order_are_found(self):
        self.ledger.execute("UPDATE events SET journal_offset = 100 WHERE id = '8'")
        self.assert_finds("out_of_order", 2)

    def test_orders_that_left_the_files_order_are_found(self):
        self.ledger.execute("UPDATE events SET order_no = 'x' WHERE id = '0'")
        self.ledger.execute("UPDATE events SET order_no = '1' WHERE id = '1'")
        self.ledger.execute("UPDATE events SET order_no = '2' WHERE id = '0'")
        self.assert_finds("out_of_order", 1)

    def test_an_event_that_should_not_be_is_found(self):
        self.ledger.execute(INSERT, ("x", "shipments.requested", "6", "13047.0", None, 99))
        self.assert_finds("unexpected", 1)

    def test_a_wrong_amount_is_found(self):
        self.ledger.execute("UPDATE events SET amount = amount + 1 WHERE id = '12'")
        self.assert_finds("wrong_amounts", 1)

    def test_a_wrong_charge_is_found(self):
        self.gateway.execute("UPDATE charges SET amount = 1 WHERE id = 'b'")
        self.assert_finds("wrong_amounts", 1)

    def test_dead_letters_are_a_difference(self):
        self.assert_finds("dead_letters", 2, "--dead-letters", "2")

    def test_a_decline_that_nobody_asked_for_is_found(self):
        self.assert_finds("declined_unasked", 1, "--no-declines")

    def test_a_missing_file_is_no_agreement(self):
        done = subprocess.run([RECONCILE, "--orders", self.orders, "--ledger", "/nowhere/l.db",
                               "--gateway", self.gateway_path], check=False,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.assertEqual(done.returncode, 66)
        self.assertIn("/nowhere/l.db", done.stderr)


unittest.main()
