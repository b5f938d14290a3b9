# SPDX-License-Identifier: MPL-2.0
"""The fan-out: gaps and tail loss forced by tiny high-water marks; slow actors beside fast ones."""

import json
import shutil

import harness
from harness import load, wait_for

KEYS = [f"k{i}" for i in range(16)]


class Flow(harness.System):

    def test_gaps_and_tail_loss_are_repaired(self):
        self.start_orchestrator(fanout_hwm=1)
        tiny = {"BATON_TEST_SUB_RCVHWM": "1"}
        self.start_probe("worker", ["jobs.new"], environment=tiny)
        self.start_probe("other", ["jobs.*"], environment=tiny)
        wait_for("both have joined",
                 lambda: self.actor_status("worker") and self.actor_status("other"))
        total = 0
        for round_number in range(5):
            events = load(KEYS, 100)
            for event in events:
                event["n"] += round_number * 100
            self.publish("jobs.new", events)
            total += len(events)
        for actor in ("worker", "other"):
            self.wait_settled(actor, total)
            rows = self.log(actor)
            self.assert_all_handled(rows, KEYS, 500)
            self.assert_ordered(rows)
            ends = [(r["key"], r["n"]) for r in rows if r["what"] == "end"]
            self.assertEqual(len(ends), len(set(ends)), "a repair repeats nothing")

    def test_a_slow_actor_does_not_slow_another(self):
        self.start_orchestrator()
        self.publish("jobs.new", load(KEYS, 50, do="sleep", ms=20))
        self.start_probe("slow", ["jobs.new"])
        wait_for("the slow one works", lambda: self.log("slow"))
        self.publish("quick.new", load(KEYS, 50))
        self.start_probe("fast", ["quick.new"])
        self.wait_settled("fast", len(KEYS) * 50)
        self.assertEqual(self.actor_status("fast")["lag"], 0)
        self.assertGreater(self.actor_status("slow")["lag"], 0, "it is still at it")
        wait_for("a heartbeat of the slow one says what it holds",
                 lambda: self.actor_status("slow")["in_flight"])

    def test_wildcards_and_order_across_topics(self):
        self.start_orchestrator()
        self.start_probe("worker", ["shop.*.new"])
        wait_for("it has joined", lambda: self.actor_status("worker"))
        for n in range(1, 21):
            topic = "shop.orders.new" if n % 2 else "shop.returns.new"
            self.publish(topic, [{"key": "a", "n": n}])
            self.publish("shop.orders.old", [{"key": "a", "n": 999}])
        self.wait_settled("worker", 20)
        ends = [r["n"] for r in self.log("worker") if r["what"] == "end"]
        self.assertEqual(ends, list(range(1, 21)))

    def test_many_topics_are_counted_the_same_live_and_from_the_journal(self):
        """So many that the producer mixes them (protocol.md, mixed sections)."""
        self.start_orchestrator(sync="interval")
        self.start_probe("keeper", ["bench.>"])  # so that nothing of it is forgotten
        wait_for("it has joined", lambda: self.actor_status("keeper"))
        self.baton("bench", "--connect", self.endpoint, "--topics", 150, "--events", 30000,
                   "--size", 40)
        self.wait_settled("keeper", 30000)
        self.stop(self.processes.pop())
        before = self.status()["topics"]
        self.assertEqual(len(before), 150)
        self.assertEqual(sum(topic["events"] for topic in before), 30000)
        self.kill(self.orchestrator)
        shutil.rmtree(self.dir / "data" / "views")
        self.start_orchestrator()
        self.assertEqual(self.status()["topics"], before)
        events = self.read("bench.>")
        self.assertEqual([event["offset"] for event in events], list(range(30000)))
        self.stop(self.orchestrator)
        self.baton("journal", "verify", self.dir / "data")

    def test_a_new_actor_starts_where_it_asks(self):
        self.start_orchestrator()
        self.publish("jobs.new", load(["a"], 3))
        self.publish("jobs.new", [{"key": "a", "n": 4}, {"key": "a", "n": 5}])
        # What entered the journal then or later: the second batch.
        published = self.read("jobs.new")[3]["time"]
        again = self.baton("read", "--from", published).stdout.splitlines()
        self.assertEqual([json.loads(line)["offset"] for line in again], [3, 4])
        for name, start in (("all", "beginning"), ("rest", "3"), ("tail", "tail"),
                            ("late", "2999-01-01"), ("time", published)):
            self.start_probe(name, ["jobs.new"], options=["--start", start])
            wait_for(f"{name} has joined", lambda: (self.actor_status(name) or {}).get("instances"))
        self.publish("jobs.new", [{"key": "a", "n": 6}])
        for name, first in (("all", 1), ("rest", 4), ("tail", 6), ("late", 6), ("time", 4)):
            wait_for(f"{name} saw the last one", lambda: any(
                r["n"] == 6 and r["what"] == "end" for r in self.log(name)))
            ends = [r["n"] for r in self.log(name) if r["what"] == "end"]
            self.assertEqual(ends, list(range(first, 7)))


if __name__ == "__main__":
    harness.main()
