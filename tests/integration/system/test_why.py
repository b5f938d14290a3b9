#!/usr/bin/python3
# SPDX-License-Identifier: MPL-2.0
"""`baton why`: each state that an event can be in, of real actors, is named as it is."""

import json
import time
import unittest

from harness import DEADLINE_S, System, wait_for


class Why(System):

    def setUp(self):
        super().setUp()
        self.start_orchestrator()

    def start_actor(self, actor, *patterns, options=()):
        probe = self.start_probe(actor, patterns, options=options)
        wait_for("it is registered", lambda: self.actor_status(actor))
        return probe

    def why(self, what, *arguments):
        return json.loads(self.baton("why", what, "--json", *arguments).stdout)

    def answer(self, offset, actor, *arguments):
        report = self.why(offset, "--offset", "--actor", actor, *arguments)
        self.assertEqual([it["actor"] for it in report["event"]["actors"]], [actor])
        return report["event"]["actors"][0]

    def state(self, offset, actor):
        return self.answer(offset, actor)["state"]

    def test_a_parked_event_and_those_behind_it(self):
        self.start_actor("slow", "t", options=("--backoff-min", "3600000", "--backoff-max",
                                               "3600000", "--max-attempts", "5"))
        self.start_actor("quick", "t")
        self.publish("t", [{"key": "a", "do": "ack"}, {"key": "b", "do": "retry"},
                           {"key": "b", "do": "ack"}, {"key": "b", "do": "ack"}])
        wait_for("three are parked", lambda: self.actor_status("slow")["parked"] == 3)
        first = next(e["offset"] for e in self.read("t") if e["subject"] == "b")
        it = self.answer(first, "slow")
        self.assertEqual((it["state"], it["attempts"], it["max_attempts"]), ("parked", 1, 5))
        self.assertEqual(it["reason"], "told to retry")
        self.assertTrue(1000000 < it["due_ms"] < 7200000, it)
        self.assertEqual(it["waiting_behind"], [first + 1, first + 2])
        self.assertIsNone(it["elder"])
        it = self.answer(first + 1, "slow")
        self.assertEqual((it["state"], it["attempts"], it["elder"]), ("parked", 0, first))
        self.assertIsNone(it["reason"])
        self.assertEqual(it["instance"], "slow-1")
        text = self.baton("why", first + 1, "--offset").stdout
        self.assertIn(f"slow: parked, behind {first} of its key", text)
        self.assertIn("behind it waits 1 of its key", text)
        self.assertIn("quick: ", text)  # all actors of the topic, unless one is named

        # Why the attempt failed, also after the orchestrator was killed.
        text = self.baton("why", first, "--offset", "--actor", "slow").stdout
        self.assertRegex(text, r"slow: parked, 1 of 5 attempts made, due in .*; "
                               r"last attempt: told to retry\n")
        self.kill(self.orchestrator)
        self.start_orchestrator()
        self.assertEqual(self.answer(first, "slow")["reason"], "told to retry")

        # And those before it: in the log of the instance.
        log = (self.dir / "slow-1.err").read_text()
        self.assertIn(f"offset {first} of t, attempt 1: retry: told to retry", log)

        # The same by key: only what is not settled, first one first.
        report = self.why("b", "--key", "--actor", "slow")
        self.assertEqual([e["offset"] for e in report["events"]], [first, first + 1, first + 2])
        self.assertEqual(report["dead_letters"], [])
        self.assertIn("due in", self.baton("why", "b").stdout)
        self.assertIn("none of its events waits", self.baton("why", "a", "-a", "slow").stdout)

    def test_a_storm_of_retries_does_not_flood_the_log(self):
        begin = time.monotonic()
        self.start_actor("actor", "t")
        self.publish("t", [{"key": str(i), "do": "retry", "times": 1} for i in range(100)])
        wait_for("all were tried again", lambda: self.actor_status("actor")["settled"] == 100)
        elapsed_s = time.monotonic() - begin
        self.assertEqual(self.actor_status("actor")["retried"], 100)
        lines = [line for line in (self.dir / "actor-1.err").read_text().splitlines()
                 if ": retry: told to retry" in line]
        self.assertTrue(1 <= len(lines) <= elapsed_s + 1, (len(lines), elapsed_s))

    def test_a_ready_event_says_how_many_are_before_it_and_that_nobody_runs(self):
        probe = self.start_actor("actor", "t")
        self.stop(probe)
        self.publish("t", [{"key": "a"}, {"key": "a"}, {"key": "a"}])
        self.publish("other", [{"key": "a"}])
        it = self.answer(2, "actor")
        self.assertEqual((it["state"], it["ahead"], it["ahead_of_key"]), ("ready", 2, 2))
        self.assertIsNone(it["instance"])
        text = self.baton("why", "2", "-o").stdout
        self.assertIn("ready, behind 2 events of its partition, 2 of them of its key", text)
        self.assertIn("no instance has its partition", text)
        self.assertIn("first in its partition", self.baton("why", "0", "-o").stdout)
        self.assertIn("no actor is registered for other", self.baton("why", "3", "-o").stdout)
        self.assertEqual(self.answer(2, "actor", "--scan", "1")["ahead"], None)

    def test_a_handler_that_takes_long_is_named(self):
        self.start_actor("actor", "t")
        self.publish("t", [{"key": "a", "do": "sleep", "ms": 60000}])
        wait_for("it says that it has it", lambda: self.actor_status("actor")["in_flight"] == 1)
        self.assertIn("being handled by actor-1, or about to be",
                      self.baton("why", "0", "-o").stdout)

    def test_an_event_that_hung_says_so_before_it_is_tried_again(self):
        probe = self.start_actor("actor", "t", options=("--handler-deadline", "500"))
        self.publish("t", [{"key": "a", "do": "hang", "ms": 600000}])
        self.assertEqual(probe.wait(timeout=DEADLINE_S), 70)
        wait_for("it is charged", lambda: self.answer(0, "actor")["attempts"])
        it = self.answer(0, "actor")
        self.assertEqual((it["state"], it["attempts"], it["reason"]),
                         ("ready", 1, "the handler did not return within its deadline of 500 ms"))
        self.assertIn("1 of 5 attempts ended with the death of the process; last attempt: the "
                      "handler did not return", self.baton("why", "0", "-o").stdout)

    def test_a_dead_letter_has_its_reason_and_leads_to_its_event(self):
        self.start_actor("actor", "t")
        self.publish("t", [{"key": "a", "do": "reject"}])
        wait_for("it died", lambda: self.actor_status("actor")["dead"] == 1)
        it = self.answer(0, "actor")
        self.assertEqual((it["state"], it["dead_offset"]), ("dead", 1))
        self.assertTrue(it["reason"])
        text = self.baton("why", "0", "-o").stdout
        self.assertIn(it["reason"], text)
        self.assertIn("baton dead redrive actor 1", text)
        self.assertIn("actor gave up 0 of this key: baton dead show actor 1",
                      self.baton("why", "a").stdout)
        copy = self.why("1", "-o")
        self.assertEqual([e["offset"] for e in copy["caused_by"]], [0])
        self.assertEqual([e["offset"] for e in self.why("0", "-o")["caused"]], [1])
        self.assertEqual(self.why(copy["event"]["id"])["event"]["offset"], 1)

    def test_the_chain_of_causes_up_and_down(self):
        self.start_actor("second", "two")
        self.stop(self.start_actor("first", "one"))
        self.publish("one", [{"key": "k", "emit": "two"}])
        self.publish("noise", [{"key": "x"}] * 3)  # between the cause and its effect
        self.start_actor("first", "one")
        event = wait_for("the second topic has it", lambda: self.read("two"))[0]
        self.assertEqual(event["offset"], 4)
        report = self.why(event["id"])
        self.assertEqual(report["event"]["offset"], 4)
        self.assertEqual([e["topic"] for e in report["caused_by"]], ["one"])
        self.assertIsNone(report["cause_not_found"])
        begin = self.read("one")[0]
        report = self.why(begin["id"])
        self.assertEqual(report["event"]["id"], begin["id"])
        self.assertEqual([(e["topic"], e["depth"]) for e in report["caused"]], [("two", 1)])
        self.assertFalse(report["more_effects"])
        wait_for("all is settled", lambda: self.state(4, "second") == "settled")
        text = self.baton("why", begin["id"]).stdout
        self.assertIn("first: settled", text)
        self.assertIn("caused\n", text)
        # The scan is shorter than the way from the one to the other: the id helps all the same,
        # and an effect that lies further on is not claimed to be nowhere.
        report = self.why(event["id"], "--scan", "1")
        self.assertEqual([e["topic"] for e in report["caused_by"]], ["one"])
        report = self.why(begin["offset"], "-o", "--scan", "1")
        self.assertEqual((report["caused"], report["searched_for_effects"]),
                         ([], {"from": 1, "to": 2}))

    def test_what_is_not_there(self):
        self.publish("t", [{"key": "a"}])
        done = self.baton("why", "no-such-thing", check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn("no event with the id or the key 'no-such-thing' from offset 0 up to 1",
                      done.stderr)
        done = self.baton("why", "7", "--offset", check=False)
        self.assertEqual((done.returncode, "journal ends at 1" in done.stderr), (1, True))
        done = self.baton("why", "a", "--actor", "nobody", check=False)
        self.assertEqual((done.returncode, "no actor nobody" in done.stderr), (1, True))
        for wrong in (["why"], ["why", "a", "b"], ["why", "a", "--offset"],
                      ["why", "1", "-o", "-k"], ["why", "a", "-a", "/"], ["why", ""],
                      ["why", "x" * 300]):
            done = self.baton(*wrong, check=False)
            self.assertEqual((done.returncode, done.stdout), (2, ""), wrong)
        self.kill(self.orchestrator)
        self.assertEqual(self.baton("why", "a", "--timeout", "1", check=False).returncode, 69)


if __name__ == "__main__":
    unittest.main(verbosity=2)
