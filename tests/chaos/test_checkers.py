# SPDX-License-Identifier: MPL-2.0
"""The checkers themselves: a sound history passes, each kind of breach is found in a broken one."""

import unittest

import checkers
from checkers import Row, Stage

STAGES = [Stage("first", "load.", "middle"), Stage("second", "middle", None)]


class History:
    """Three events of one key: one is done, one needs a retry, one is rejected."""

    def __init__(self):
        self.receipts = [(0, [("k", 1, "ack", 0), ("k", 2, "retry", 1), ("k", 3, "reject", 0)])]
        self.journal = [self.event(offset, f"p-{offset + 1}", "load.a", offset + 1)
                        for offset in range(3)]
        self.journal += [self.event(3, "first-0", "middle", 1, cause="p-1"),
                         self.event(4, "first-1", "middle", 2, cause="p-2"),
                         self.event(5, "dead-2", "$dead.first", 3, dead=2)]
        self.logs = {"first": [], "second": []}
        for what in (("first", 0, 1, 1), ("first", 1, 2, 1), ("first", 1, 2, 2), ("first", 2, 3, 1),
                     ("second", 3, 1, 1), ("second", 4, 2, 1)):
            self.handled(*what)

    @staticmethod
    def event(offset, id, topic, n, cause=None, dead=None):
        return {"offset": offset, "id": id, "topic": topic, "key": "k", "n": n, "cause": cause,
                "dead": dead}

    def handled(self, actor, offset, n, attempt):
        for what in ("begin", "end"):
            self.logs[actor].append(Row(what, "i", 1, offset, "t", "k", n, attempt))

    def verdict(self):
        counts = checkers.check(self.receipts, self.journal, self.logs, STAGES).counts
        return {figure: count for figure, count in counts.items() if count}


class Checkers(unittest.TestCase):

    def setUp(self):
        self.history = History()

    def found(self, **figures):
        self.assertEqual(self.history.verdict(), figures)

    def test_a_sound_history(self):
        self.found()

    def test_handled_again_after_a_crash_is_sound(self):
        self.history.handled("second", 3, 1, 1)
        self.found()

    def test_receipted_and_not_in_the_journal(self):
        self.history.receipts.append((6, [("k", 4, "ack", 0)]))
        self.found(lost=1)

    def test_not_where_the_receipt_says(self):
        self.history.receipts[0] = (1, self.history.receipts[0][1])
        self.found(lost=3)

    def test_never_handled(self):
        del self.history.logs["second"][-2:]
        self.found(lost=1)

    def test_begun_and_never_acknowledged(self):
        del self.history.logs["second"][-1]
        self.found(lost=1)

    def test_retried_and_never_acknowledged(self):
        del self.history.logs["first"][4:6]
        self.found(lost=1, out_of_order=1)

    def test_rejected_without_a_dead_letter(self):
        del self.history.journal[5]
        self.found(lost=1)

    def test_acknowledged_without_what_it_emitted(self):
        del self.history.journal[4]
        self.found(lost=1)

    def test_number_twice(self):
        self.history.journal.append(History.event(6, "p-9", "load.b", 3))
        self.history.handled("first", 6, 3, 1)
        self.assertEqual(self.history.verdict()["duplicated"], 1)

    def test_id_twice(self):
        self.history.journal[4]["id"] = "first-0"
        self.found(duplicated=1)

    def test_emitted_twice(self):
        self.history.journal.append(History.event(6, "first-9", "middle", 3, cause="p-2"))
        self.history.handled("second", 6, 3, 1)
        self.found(double_effects=1)

    def test_emitted_and_dead(self):
        self.history.journal.append(History.event(6, "first-9", "middle", 3, cause="p-3"))
        self.history.handled("second", 6, 3, 1)
        self.found(double_effects=1)

    def test_dead_twice(self):
        self.history.journal.append(History.event(6, "dead-9", "$dead.first", 3, dead=2))
        self.found(double_effects=1)

    def test_an_innocent_dead_letter(self):
        self.history.journal.append(History.event(6, "dead-9", "$dead.second", 2, dead=4))
        self.found(innocent=1)

    def test_begun_before_the_one_ahead_was_over(self):
        rows = self.history.logs["second"]
        rows[0:4] = [rows[2], rows[0], rows[1], rows[3]]
        self.found(out_of_order=1)

    def test_begun_while_the_one_ahead_waits_for_its_retry(self):
        rows = self.history.logs["first"]
        rows[4:8] = rows[6:8] + rows[4:6]
        self.found(out_of_order=1)

    def test_numbers_fall_in_the_journal(self):
        self.history.journal[3]["n"], self.history.journal[4]["n"] = 2, 1
        self.found(out_of_order=1)

    def test_lines_of_a_log(self):
        text = ["begin first-1 7 12 load.a k 3 1\n", "begin fibegin first-2 8 12 load.a k 3 2   \n",
                "en"]
        self.assertEqual([row.instance for row in checkers.rows_of(text)], ["first-1", "first-2"])


if __name__ == "__main__":
    unittest.main()
