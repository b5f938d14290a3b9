# SPDX-License-Identifier: MPL-2.0
"""A build that subscribes to other topics takes over: a.new, b.new before, b.new, c.new after.

What was published before it joined is the older build's, what comes then the newer one's."""

import os
import signal

import harness
from harness import load, wait_for

KEYS = [f"k{i}" for i in range(12)]
OLD, NEW = ["a.*", "b.*"], ["b.*", "c.*"]
REASON = "the topic is not among the patterns of this build"


class Revision(harness.System):

    #  A frozen build stays a member for as long as a test takes.
    OPTIONS = {"partitions": "8", "session_timeout_ms": "60s"}

    def build(self, name, patterns, **more):
        """An instance, with a log of its own."""
        return self.start_probe("shop", patterns, instance=name, log=self.dir / f"{name}.log",
                                **more)

    def ends(self, name, topic):
        return [(r["key"], r["n"]) for r in self.log(name)
                if r["what"] == "end" and r["topic"] == topic]

    def rows(self, topic):
        """Of both builds: their clocks are one, and a key has one owner at a time."""
        return [r for r in self.log("old") + self.log("new") if r["topic"] == topic]

    def backlog(self, first, last):
        """Of a.new and b.new in turns, so that the order of a key goes across topics."""
        for n in range(first, last + 1):
            for topic in ("a.new", "b.new"):
                self.publish(topic, [{"key": key, "n": n, "do": "sleep", "ms": 5}
                                     for key in KEYS])

    def at_work(self, first, last):
        """An old build that has handled something, and has a backlog that it does not handle
        before it is thawed."""
        old = self.build("old", OLD)
        wait_for("the old build has joined", lambda: self.actor_status("shop"))
        self.backlog(1, first - 1)
        self.wait_settled("shop", len(KEYS) * 2 * (first - 1))
        os.kill(old.pid, signal.SIGSTOP)
        self.backlog(first, last)
        return old

    def stop_frozen(self, old):
        old.send_signal(signal.SIGTERM)
        old.send_signal(signal.SIGCONT)
        old.wait(timeout=harness.DEADLINE_S)

    def later(self, topic, per_key, after):
        self.publish(topic, [{**event, "n": event["n"] + after} for event in load(KEYS, per_key)])

    def takes_over(self):
        def registered():
            actor = self.actor_status("shop")
            return actor["patterns"] == NEW and actor
        return wait_for("the new build has joined", registered)

    def assert_handed_over(self, cut):
        """Nobody went past the cut, or before it, who should not; b.new once each, in order."""
        for row in self.log("old"):
            self.assertLess(row["offset"], cut)
        for row in self.log("new"):
            self.assertIn(row["topic"], ("b.new", "c.new"))
        rows = self.rows("b.new")
        ends = [(r["key"], r["n"]) for r in rows if r["what"] == "end"]
        self.assertEqual(len(ends), len(set(ends)), "handled twice")
        self.assert_ordered(rows)

    def test_the_older_build_handles_what_waits(self):
        self.start_orchestrator()
        self.publish("c.new", load(KEYS, 1))  # before anybody wanted it
        old = self.at_work(3, 6)
        new = self.build("new", NEW)
        actor = self.takes_over()
        cut = actor["former_until"]
        self.assertEqual(actor["former_patterns"], OLD)
        self.assertGreater(actor["to_drain"], 0)
        self.assertIn("wait for the older build", self.baton("status").stdout)
        old.send_signal(signal.SIGCONT)
        self.later("a.new", 1, after=6)  # nobody's any more
        self.later("b.new", 4, after=6)
        self.later("c.new", 4, after=1)
        done = self.wait_settled("shop", len(KEYS) * (12 + 8))
        self.assertEqual((done["dead"], done["to_drain"]), (0, 0))
        wanted = {(key, n) for key in KEYS for n in range(1, 7)}
        self.assertEqual(set(self.ends("old", "a.new")), wanted)
        self.assertEqual(set(self.ends("old", "b.new")), wanted, "b.new from before")
        self.assert_all_handled(self.rows("b.new"), KEYS, 10)
        self.assertEqual(set(self.ends("new", "c.new")),
                         {(key, n) for key in KEYS for n in range(2, 6)})
        self.assert_handed_over(cut)
        self.stop(old)
        self.stop(new)

    def test_an_older_build_that_is_stopped_ends_what_only_it_knows(self):
        self.start_orchestrator()
        old = self.at_work(2, 5)  # half a second of work, and it may go on for five
        self.build("new", NEW)
        cut = self.takes_over()["former_until"]
        handled = len(self.log("old"))
        old.send_signal(signal.SIGCONT)
        wait_for("it goes on, and has heard of it", lambda: len(self.log("old")) > handled)
        self.stop(old)
        self.later("b.new", 2, after=5)
        done = self.wait_settled("shop", len(KEYS) * 12)
        self.assertEqual((done["dead"], done["retried"]), (0, 0))
        self.assertEqual(len(set(self.ends("old", "a.new"))), len(KEYS) * 5)
        self.assert_all_handled(self.rows("b.new"), KEYS, 7)
        self.assert_handed_over(cut)

    def test_without_the_older_build_what_nobody_knows_is_dead(self):
        self.start_orchestrator()
        self.stop_frozen(self.at_work(3, 6))
        new = self.build("new", NEW)
        cut = self.takes_over()["former_until"]
        self.later("b.new", 2, after=6)
        self.later("c.new", 2, after=0)
        self.wait_settled("shop", len(KEYS) * (12 + 4))
        handled = set(self.ends("old", "a.new"))
        letters = self.read("$dead.shop")
        given_up = {(letter["data"]["key"], letter["data"]["n"]) for letter in letters}
        self.assertGreater(len(letters), 0)
        self.assertEqual(len(letters), len(given_up))
        self.assertEqual(handled & given_up, set())
        self.assertEqual(handled | given_up, {(key, n) for key in KEYS for n in range(1, 7)})
        self.assertEqual({letter["deadreason"] for letter in letters}, {REASON})
        self.assertEqual({letter["deadtopic"] for letter in letters}, {"a.new"})
        self.assert_all_handled(self.rows("b.new"), KEYS, 8)
        self.assertEqual(len(set(self.ends("new", "c.new"))), len(KEYS) * 2)
        self.assert_handed_over(cut)
        # Back to the build that knows the topic: what was given up can be had redriven.
        self.stop(new)
        self.build("old", OLD)
        wait_for("the old build is back", lambda: self.actor_status("shop")["patterns"] == OLD)
        self.baton("dead", "redrive", "shop", "--all", "--yes")
        wait_for("all of a.new is handled", lambda: len(set(self.ends("old", "a.new"))) == 72)

    def test_too_much_for_dead_letters_is_refused(self):
        self.start_orchestrator(dead_max=10)
        self.stop_frozen(self.at_work(1, 3))
        new = self.build("new", NEW)
        self.assertNotEqual(new.wait(timeout=harness.DEADLINE_S), 0)
        self.assertIn("dead_max", (self.dir / "new.err").read_text())
        self.assertEqual(self.actor_status("shop")["patterns"], OLD)
        self.build("old", OLD)
        self.wait_settled("shop", len(KEYS) * 6)
        self.build("new", NEW)
        self.takes_over()
        self.later("c.new", 1, after=0)
        wait_for("c.new is handled", lambda: len(self.ends("new", "c.new")) == len(KEYS))


if __name__ == "__main__":
    harness.main()
