# SPDX-License-Identifier: MPL-2.0
"""Handlers that fail: retry order, rejects, crashes, hangs; and the dead letters that follow."""

import json

import harness
from harness import load, wait_for


class Failures(harness.System):

    def ends(self, actor, key=None):
        return [(r["key"], r["n"]) for r in self.log(actor)
                if r["what"] == "end" and (key is None or r["key"] == key)]

    def dead(self, actor, *arguments):
        done = self.baton("dead", "list", actor, "--json", *arguments)
        return [json.loads(line) for line in done.stdout.splitlines()]

    def test_retry_keeps_the_order_of_its_key_and_holds_up_no_other(self):
        self.start_orchestrator()
        events = load(["a", "b", "c"], 5)
        events[0].update(do="retry", times=3)  # a's first event
        self.publish("jobs.new", events)
        self.start_probe("worker", ["jobs.new"])
        self.wait_settled("worker", 15)
        rows = self.log("worker")
        tries = [r["attempt"] for r in rows if (r["what"], r["key"], r["n"]) == ("begin", "a", 1)]
        self.assertEqual(tries, [1, 2, 3, 4])
        self.assertEqual(self.ends("worker", "a")[-5:], [("a", n) for n in range(1, 6)])
        self.assertEqual(self.ends("worker", "b"), [("b", n) for n in range(1, 6)])
        behind = [i for i, r in enumerate(rows)
                  if (r["what"], r["key"], r["n"]) == ("begin", "a", 2)]
        last_try = max(i for i, r in enumerate(rows) if (r["key"], r["n"]) == ("a", 1))
        others = max(i for i, r in enumerate(rows) if r["key"] in ("b", "c"))
        self.assertGreater(behind[0], last_try)
        self.assertLess(others, last_try, "other keys flowed on while a's first event waited")

    def test_attempts_run_out_then_the_event_is_dead_and_its_key_goes_on(self):
        self.start_orchestrator()
        events = load(["a"], 3)
        events[0].update(do="retry")
        self.publish("jobs.new", events)
        self.start_probe("worker", ["jobs.new"], options=["--max-attempts", "3"])
        self.wait_settled("worker", 3)
        tries = [r["attempt"] for r in self.log("worker") if r["what"] == "begin" and r["n"] == 1]
        self.assertEqual(tries, [1, 2, 3])
        letters = self.dead("worker")
        self.assertEqual(len(letters), 1)
        self.assertEqual(letters[0]["attempts"], 3)
        event = self.read("$dead.worker")[0]
        self.assertEqual(event["data"]["n"], 1)
        self.assertEqual(event["deadtopic"], "jobs.new")
        self.assertIn("told to retry", event["deadreason"])

    def test_retries_and_their_attempts_survive_the_instance_and_the_orchestrator(self):
        self.start_orchestrator()
        events = load(["a"], 2)
        events[0].update(do="retry", times=2)
        self.publish("jobs.new", events)
        slow = ["--backoff-min", "1500", "--backoff-max", "1500"]
        worker = self.start_probe("worker", ["jobs.new"], options=slow)
        wait_for("the first event is parked",
                 lambda: (self.actor_status("worker") or {}).get("parked", 0) == 2)
        self.kill(worker)
        self.kill(self.orchestrator)
        self.start_orchestrator()
        self.start_probe("worker", ["jobs.new"], options=slow)
        self.wait_settled("worker", 2)
        tries = [r["attempt"] for r in self.log("worker") if r["what"] == "begin" and r["n"] == 1]
        self.assertEqual(tries, [1, 2, 3])
        self.assert_ordered([r for r in self.log("worker") if r["attempt"] == 3 or r["n"] == 2])

    def test_poison_event_is_found_and_only_it_is_charged(self):
        self.start_orchestrator()
        events = load(["a", "b", "c", "d"], 10)
        poison = next(e for e in events if (e["key"], e["n"]) == ("b", 4))
        poison.update(do="crash")
        self.publish("jobs.new", events)
        for _ in range(10):
            worker = self.start_probe("worker", ["jobs.new"], options=["--max-attempts", "3"])
            wait_for("the worker died or is done", lambda: worker.poll() is not None or (
                (self.actor_status("worker") or {"lag": 1})["lag"] == 0
                and (self.actor_status("worker") or {"died": 0})["died"] == 1))
            if worker.poll() is None:
                break
        self.wait_settled("worker", 40)
        letters = self.dead("worker")
        self.assertEqual(len(letters), 1)
        self.assertEqual(self.read("$dead.worker")[0]["data"]["n"], 4)
        self.assertEqual(self.read("$dead.worker")[0]["subject"], "b")
        charged = {(r["key"], r["n"]) for r in self.log("worker") if r["attempt"] > 1}
        self.assertLessEqual(charged, {("b", 4)}, "only the guilty event was charged (G6)")
        deaths = [r for r in self.log("worker")
                  if r["what"] == "begin" and (r["key"], r["n"]) == ("b", 4)]
        self.assertLessEqual(len(deaths), 4, "one unknown death, then max_attempts")
        ended = {e for e in self.ends("worker")}
        self.assertEqual(len(ended), 39)

    def test_dead_letters_are_listed_redriven_and_discarded(self):
        self.start_orchestrator()
        events = load(["a", "b"], 3, do="reject", times=1)
        self.publish("jobs.new", events)
        self.start_probe("worker", ["jobs.new"])
        self.wait_settled("worker", 6)
        letters = self.dead("worker")
        self.assertEqual(len(letters), 6)
        shown = json.loads(self.baton("dead", "show", "worker", letters[0]["dead_offset"],
                                      "--json").stdout)
        self.assertIn("told to reject", json.dumps(shown))

        self.baton("dead", "redrive", "worker", "--all", "--dry-run")
        self.assertEqual(len(self.dead("worker")), 6, "a dry run changes nothing")

        before = len(self.log("worker"))
        self.baton("dead", "redrive", "worker", *[l["dead_offset"] for l in letters[:4]])
        wait_for("the redriven ones are dead again",
                 lambda: (self.actor_status("worker") or {"died": 0})["died"] == 10)
        again = [(r["key"], r["n"]) for r in self.log("worker")[before:] if r["what"] == "begin"]
        self.assertEqual(len(again), 4)
        for key in "ab":
            mine = [n for k, n in again if k == key]
            self.assertEqual(mine, sorted(mine), "in order")
        self.assertEqual(len(self.dead("worker")), 6)

        self.baton("dead", "discard", "worker", letters[4]["dead_offset"])
        self.assertEqual(len(self.dead("worker")), 5)
        self.baton("dead", "discard", "worker", "--all")
        self.assertEqual(self.dead("worker"), [])

    def test_a_handler_past_its_deadline_is_charged_and_the_rest_goes_on(self):
        self.start_orchestrator()
        events = load(["a", "b"], 3)
        events[0].update(do="hang", ms=3000, times=1)
        self.publish("jobs.new", events)
        short = ["--handler-deadline", "1000"]
        self.start_probe("worker", ["jobs.new"], instance="worker-1", options=short)
        wait_for("the first event hangs", lambda: self.log("worker"))
        self.start_probe("worker", ["jobs.new"], instance="worker-2", options=short)
        self.wait_settled("worker", 6)
        tries = [r["attempt"] for r in self.log("worker")
                 if r["what"] == "begin" and (r["key"], r["n"]) == ("a", 1)]
        self.assertEqual(tries, [1, 2])
        others = {r["attempt"] for r in self.log("worker") if (r["key"], r["n"]) != ("a", 1)}
        self.assertEqual(others, {1}, "nobody else was charged")

    def test_a_handler_longer_than_the_session_timeout_costs_nobody_a_session(self):
        self.start_orchestrator(session_timeout_ms=1500, reconnect_grace_ms=300, heartbeat_ms=200)
        events = load(["a", "b"], 4)
        events[0].update(do="sleep", ms=5000)
        events[5].update(do="sleep", ms=100)
        self.start_probe("worker", ["jobs.new"], instance="worker-1")
        self.publish("jobs.new", events)
        wait_for("it sleeps", lambda: self.log("worker"))
        self.start_probe("worker", ["jobs.new"], instance="worker-2")
        self.wait_settled("worker", 8)
        rows = self.log("worker")
        self.assertEqual(len([r for r in rows if r["what"] == "begin"]), 8, "each was handled once")
        self.assertEqual({r["attempt"] for r in rows}, {1})
        self.publish("jobs.new", load(["a", "b"], 2))
        self.wait_settled("worker", 12)

    def test_a_handler_that_never_ends_ends_its_process(self):
        self.start_orchestrator()
        self.publish("jobs.new", load(["a"], 1, do="hang", ms=600000))
        worker = self.start_probe("worker", ["jobs.new"], options=["--handler-deadline", "500"])
        self.assertEqual(worker.wait(timeout=harness.DEADLINE_S), 70)

    def test_emitting_too_much_or_to_a_bad_topic_is_a_dead_letter_with_the_reason(self):
        self.start_orchestrator()
        events = load(["a"], 3)
        events[0].update(do="flood")
        events[1].update(do="bad-topic")
        self.publish("jobs.new", events)
        self.start_probe("worker", ["jobs.new"])
        self.wait_settled("worker", 3)
        reasons = [event["deadreason"] for event in self.read("$dead.worker")]
        self.assertEqual(len(reasons), 2)
        self.assertEqual(self.read("probe.flood"), [], "emissions of a failed call are discarded")
        self.assertEqual(self.ends("worker", "a")[-1], ("a", 3))

    def test_sigterm_finishes_the_event_in_hand_and_charges_nobody(self):
        self.start_orchestrator()
        self.publish("jobs.new", load(["a", "b", "c"], 20, do="sleep", ms=20))
        worker = self.start_probe("worker", ["jobs.new"])
        wait_for("it works", lambda: len(self.ends("worker")) >= 3)
        self.stop(worker)
        rows = self.log("worker")
        self.assertEqual(rows[-1]["what"], "end", "the event in hand was finished")
        handled = len(self.ends("worker"))
        self.assertEqual(self.actor_status("worker")["settled"], handled)
        self.start_probe("worker", ["jobs.new"])
        self.wait_settled("worker", 60)
        self.assertEqual(len(self.ends("worker")), 60, "nothing was handled twice")
        self.assertEqual({r["attempt"] for r in self.log("worker")}, {1})


if __name__ == "__main__":
    harness.main()
