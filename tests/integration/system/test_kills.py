# SPDX-License-Identifier: MPL-2.0
"""kill -9 of orchestrator and instances while events flow; rebalance while events flow.

G1, G2, G3, G5: nothing lost, emitted once, order by key kept.
"""

import random
import threading

import harness
from harness import load, wait_for

KEYS = [f"customer-{i}" for i in range(40)]


class Kills(harness.System):
    PER_KEY = 50

    def publish_in_background(self, **fields):
        events = load(KEYS, self.PER_KEY, **fields)
        thread = threading.Thread(target=self.publish, args=("jobs.new", events))
        thread.start()
        self.addCleanup(thread.join)
        return thread

    def finish(self, thread):
        thread.join()
        total = len(KEYS) * self.PER_KEY
        self.wait_settled("worker", total)
        rows = self.log("worker")
        self.assert_all_handled(rows, KEYS, self.PER_KEY)
        self.assert_ordered(rows)
        self.assert_emitted_once("jobs.done", total)
        self.assertEqual(self.actor_status("worker")["died"], 0, "nobody was guilty")

    def progress(self):
        return sum(1 for row in self.log("worker") if row["what"] == "end")

    def after(self, events):
        wait_for(f"{events} events handled", lambda: self.progress() >= events)

    def test_orchestrator_killed_under_load(self):
        self.start_orchestrator()
        self.start_probe("worker", ["jobs.new"])
        thread = self.publish_in_background(do="sleep", ms=1, emit="jobs.done")
        for step in range(1, 5):
            self.after(step * 100)
            self.kill(self.orchestrator)
            self.start_orchestrator(wait=False)
        self.finish(thread)

    def test_instances_killed_under_load(self):
        seed = random.SystemRandom().randrange(1 << 32)
        print(f"seed {seed}")
        chance = random.Random(seed)
        self.start_orchestrator()
        names = [f"worker-{i}" for i in (1, 2, 3)]
        running = {n: self.start_probe("worker", ["jobs.new"], instance=n) for n in names}
        thread = self.publish_in_background(do="sleep", ms=1, emit="jobs.done")
        for step in range(1, 9):
            self.after(step * 100)
            victim = chance.choice(names)
            self.kill(running[victim])
            running[victim] = self.start_probe("worker", ["jobs.new"], instance=victim)
        self.finish(thread)

    def test_instance_that_never_returns_is_replaced_by_the_others(self):
        self.start_orchestrator(reconnect_grace_ms=200, session_timeout_ms=2000)
        first = self.start_probe("worker", ["jobs.new"], instance="worker-1")
        self.start_probe("worker", ["jobs.new"], instance="worker-2")
        thread = self.publish_in_background(do="sleep", ms=1, emit="jobs.done")
        self.after(200)
        self.kill(first)
        self.finish(thread)

    def test_rebalance_while_events_flow(self):
        self.start_orchestrator()
        running = [self.start_probe("worker", ["jobs.new"], instance="worker-1")]
        thread = self.publish_in_background(do="sleep", ms=1, emit="jobs.done")
        self.after(100)
        running.append(self.start_probe("worker", ["jobs.new"], instance="worker-2"))
        running.append(self.start_probe("worker", ["jobs.new"], instance="worker-3"))
        wait_for("all three handle events",
                 lambda: len({row["instance"] for row in self.log("worker")}) == 3)
        self.stop(running[0])
        self.stop(running[2])
        self.finish(thread)
        ends = [(r["key"], r["n"]) for r in self.log("worker") if r["what"] == "end"]
        self.assertEqual(len(ends), len(set(ends)), "a planned move repeats nothing")


if __name__ == "__main__":
    harness.main()
