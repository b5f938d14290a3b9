# SPDX-License-Identifier: MPL-2.0
"""The Python clients beside ours: what one publishes the other handles, in order, once."""

import json
import pathlib
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "integration" / "system"))
import actor  # noqa: E402
import harness  # noqa: E402
from harness import load, wait_for  # noqa: E402

HERE = pathlib.Path(__file__).resolve().parent
KEYS = [f"k{i}" for i in range(12)] + ["Zoë"]
PER_KEY = 40


class Interop(harness.System):

    def python(self, name, *arguments, **options):
        return self.start(name, [sys.executable, HERE / f"{name}.py", self.endpoint, *arguments],
                          **options)

    def publish_from_python(self, topics, events):
        topics = [topics] if isinstance(topics, str) else topics
        text = "".join(f"{event['key']} {json.dumps(event)}\n" for event in events)
        done = subprocess.run([sys.executable, str(HERE / "producer.py"), self.endpoint, *topics],
                              input=text, capture_output=True, text=True,
                              timeout=harness.DEADLINE_S)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(done.stdout.strip(), str(len(events)))

    def settled(self, name, events):
        return self.wait_settled(name, events)

    def seen(self, topic):
        rows = [(e["subject"], e["data"]["n"], e["data"]["seen"]) for e in self.read(topic)]
        self.assertEqual(len({s for _, _, s in rows}), len(rows), "emitted twice")
        for key in KEYS:
            mine = [n for k, n, _ in rows if k == key]
            self.assertEqual(mine, list(range(1, PER_KEY + 1)), f"order of {key}")

    def test_python_publishes_for_an_actor_in_c(self):
        self.start_orchestrator()
        self.publish_from_python("jobs.new", load(KEYS, PER_KEY))
        self.start_probe("worker", ["jobs.new"])
        self.settled("worker", len(KEYS) * PER_KEY)
        self.assert_all_handled(self.log("worker"), KEYS, PER_KEY)
        self.assert_ordered(self.log("worker"))

    def test_python_publishes_mixed_sections_for_actors_of_all_and_of_a_part(self):
        """Live and from the journal; in Python, which FETCHes, and in C, which has bundles."""
        topics = [f"jobs.t{n}" for n in range(7)]
        events = load(KEYS, PER_KEY)
        self.start_orchestrator()
        self.start_probe("all", ["jobs.*"])
        self.start_probe("part", topics[:2])
        self.python("actor", "reader", "jobs.*", "jobs-seen")
        for name in ("all", "part", "reader"):
            wait_for(f"{name} has joined", lambda: (self.actor_status(name) or {}).get("instances"))
        self.publish_from_python(topics, events)
        self.start_probe("late", ["jobs.*"], options=["--start", "beginning"])
        for name in ("all", "late", "reader"):
            self.settled(name, len(events))
        self.seen("jobs-seen")
        for name in ("all", "late"):
            self.assert_all_handled(self.log(name), KEYS, PER_KEY)
            self.assert_ordered(self.log(name))
        published = self.read("jobs.*")
        self.assertEqual({e["type"] for e in published}, set(topics))
        offsets = [e["offset"] for e in published if e["type"] in topics[:2]]
        self.settled("part", len(offsets))
        self.assertEqual(sorted({r["offset"] for r in self.log("part") if r["what"] == "end"}),
                         offsets)
        self.assertEqual({r["topic"] for r in self.log("part")}, set(topics[:2]))
        self.stop(self.orchestrator)
        self.baton("journal", "verify", self.dir / "data")

    def test_an_actor_in_python_handles_what_c_publishes_and_emits_once(self):
        self.start_orchestrator()
        self.python("actor", "reader", "jobs.*", "jobs-seen")
        self.publish("jobs.new", load(KEYS, PER_KEY))
        self.settled("reader", len(KEYS) * PER_KEY)
        self.seen("jobs-seen")

    def test_an_actor_in_python_survives_its_own_death_and_the_orchestrators(self):
        self.start_orchestrator(reconnect_grace_ms=200)
        first = self.python("actor", "reader", "jobs.*", "jobs-seen")
        events = load(KEYS, PER_KEY)
        self.publish_from_python("jobs.new", events[:len(events) // 2])
        wait_for("it has begun", lambda: self.read("jobs-seen"))
        self.kill(first)
        self.python("actor", "reader", "jobs.*", "jobs-seen")
        self.kill(self.orchestrator)
        self.start_orchestrator()
        self.publish_from_python("jobs.new", events[len(events) // 2:])
        self.settled("reader", len(events))
        self.seen("jobs-seen")

    def test_it_shares_partitions_with_an_actor_in_c_and_leaves_on_request(self):
        self.start_orchestrator()
        script = self.python("actor", "worker", "jobs.new", "jobs-seen")
        wait_for("it has joined", lambda: (self.actor_status("worker") or {}).get("instances"))
        self.start_probe("worker", ["jobs.new"], instance="worker-c")
        wait_for("both own some", lambda: len([
            i for i in (self.actor_status("worker") or {"instances": []})["instances"]
            if i["partitions"]]) == 2)
        self.publish("jobs.new", load(KEYS, PER_KEY))
        self.settled("worker", len(KEYS) * PER_KEY)
        self.stop(script)
        names = [i["name"] for i in self.actor_status("worker")["instances"]]
        self.assertEqual(names, ["worker-c"])
        in_c = {(r["key"], r["n"]) for r in self.log("worker") if r["what"] == "end"}
        in_python = {(e["subject"], e["data"]["n"]) for e in self.read("jobs-seen")}
        self.assertFalse(in_c & in_python, "one owner a partition")
        self.assertEqual(len(in_c) + len(in_python), len(KEYS) * PER_KEY)

    def test_a_client_may_tell_why_it_tries_again_and_need_not(self):
        self.start_orchestrator()
        reader = actor.Actor(self.endpoint, "reader", "jobs.*")
        reader.join()
        self.addCleanup(lambda: reader.socket.close(linger=0))
        self.publish("jobs.new", [{"key": "a"}])
        partition = self.read("jobs.new")[0]["partition"]
        for attempt, reason in enumerate(([], ["no stock"], []), 1):
            park = [0, attempt, 1000, 1, *reason]
            reader.ask(actor.SETTLE, [[partition, reader.owned[partition][0], 1, int(attempt == 1),
                                       [park], [], [], False]], [])
            told = json.loads(self.baton("why", "--offset", 0, "--json").stdout)
            answer = told["event"]["actors"][0]
            self.assertEqual((answer["state"], answer["attempts"], answer["reason"]),
                             ("parked", attempt, *(reason or [None])))


if __name__ == "__main__":
    harness.main()
