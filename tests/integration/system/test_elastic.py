# SPDX-License-Identifier: MPL-2.0
"""Elastic actors: as many instances as the lag asks for, up and down under load, with nothing lost,
doubled or out of order; and not one more where more cannot help."""

import json
import re
import signal
import threading
import time

import harness
from harness import BIN, PROBE, wait_for


class Elastic(harness.System):

    def up(self, least=1, **properties):
        """`baton up` with the actor `probe`, beside an orchestrator of its own."""
        self.start_orchestrator()
        command = f"{PROBE} --name probe -- --log {self.dir}/probe.log --on t --emit out"
        rows = {"command": command, "instances": "1..8", "target_lag": 100, "cooldown": "2s",
                **properties}
        conf = self.dir / "up.conf"
        conf.write_text(f"connect = \"{self.endpoint}\"\ndata_dir = {self.dir}/up\nactors\n"
                        "    probe\n" + "".join(f'        {k} = "{v}"\n' for k, v in rows.items()))
        self.conf = conf
        process = self.start("up", [BIN / "baton", "up", conf])
        self.wait_running(least)
        wait_for("the actor is registered", lambda: self.actor_status("probe"))
        return process

    def running(self):
        done = self.baton("scale", "--data-dir", self.dir / "up", "--json", check=False)
        if done.returncode:
            return 0
        return sum(instance["state"] == "running" and instance["ready"]
                   for service in json.loads(done.stdout)["services"]
                   for instance in service["instances"])

    def wait_running(self, count):
        wait_for(f"{count} instances run", lambda: self.running() == count)

    def said(self):
        return (self.dir / "up.err").read_text()

    def wait_said(self, pattern):
        return wait_for(f"{pattern} in {self.said()}", lambda: re.search(pattern, self.said()))

    # ---- tests

    def test_up_and_down_under_load(self):
        up = self.up()
        keys = [f"k{i}" for i in range(200)]
        numbers = {"next": 1}
        quiet = threading.Event()

        def publish(rounds, ms):
            first = numbers["next"]
            numbers["next"] += rounds
            self.publish("t", [{"key": key, "n": n, "do": "sleep", "ms": ms}
                               for n in range(first, first + rounds) for key in keys])

        def trickle():
            while not quiet.wait(0.5):
                publish(1, 1)

        publish(12, 4)  # 10 s of work for one instance
        wait_for("eight instances", lambda: self.running() == 8)
        publish(5, 4)
        trickling = threading.Thread(target=trickle)
        trickling.start()
        try:
            self.wait_said("probe scaled from .* to 1: ")
            self.wait_running(1)
        finally:
            quiet.set()
            trickling.join()
        per_key = numbers["next"] - 1
        total = per_key * len(keys)
        actor = self.wait_settled("probe", total)
        rows = self.log("probe")
        self.assert_all_handled(rows, keys, per_key)
        self.assert_ordered(rows)
        self.assert_emitted_once("out", total)
        self.assertEqual((actor["died"], actor["retried"]), (0, 0))
        self.assertEqual({row["attempt"] for row in rows}, {1})  # leaving charges nobody
        if "partitions go to others" not in (self.dir / "orchestrator.err").read_text():
            self.assertEqual(len(rows), 2 * total)  # and hands nothing out twice
        self.assertEqual({row["instance"] for row in rows}, {f"probe-{i}" for i in range(1, 9)})
        self.assertIn("is over 100 for each of 1", self.said())
        self.stop(up)

    def test_one_hot_key(self):
        up = self.up()
        self.publish("t", [{"key": "hot", "n": n, "do": "sleep", "ms": 2}
                           for n in range(1, 1501)])
        self.wait_said(r"probe stays at 1: lag \d+ is all in 1 of 32 partitions: more instances "
                       "cannot help")
        self.wait_settled("probe", 1500)
        self.wait_said("probe stays at 1: lag .* suits 1")
        self.assertEqual({row["instance"] for row in self.log("probe")}, {"probe-1"})
        self.assertNotIn("scaled", self.said())
        self.stop(up)

    def test_a_hot_key_in_company(self):
        """Other keys trickle beside it, so that more than one partition is busy."""
        up = self.up()
        keys = ["x", "y"]
        self.publish("t", [{"key": "hot", "n": n, "do": "sleep", "ms": 2}
                           for n in range(1, 3001)])
        rounds = 0
        while not re.search(r"probe stays at 1: lag \d+( is all|, of which \d+) in 1 of 32 "
                            "partitions: more instances cannot help", self.said()):
            rounds += 1
            time.sleep(0.05)  # far less than a tenth of what is in the hot one
            self.publish("t", [{"key": key, "n": rounds, "do": "sleep", "ms": 1} for key in keys])
        self.wait_settled("probe", 3000 + rounds * len(keys))
        self.assertNotIn("scaled", self.said())
        self.stop(up)

    def test_parked_instances_are_not_revived(self):
        up = self.up(least=2, intensity="1 in 1h", instances="2..8")
        # Two deaths of each: the event that kills is blamed from the second one on.
        self.publish("t", [{"key": "poison", "n": 1, "do": "crash", "times": 1000}])
        self.wait_said("parked")
        self.publish("t", harness.load([f"k{i}" for i in range(1000)], 1))
        self.wait_said("probe is not scaled while it has parked instances")
        self.assertNotIn("scaled from", self.said())
        up.send_signal(signal.SIGTERM)
        self.assertEqual(up.wait(timeout=harness.DEADLINE_S), 0)

    def test_says_that_nobody_decides(self):
        up = self.up()
        self.kill(self.orchestrator)
        self.wait_said("elastic actors stay as they are: the orchestrator at .* does not answer")
        self.start_orchestrator()
        self.wait_said("elastic actors are scaled again")
        self.publish("t", [{"key": f"k{i}", "n": 1, "do": "sleep", "ms": 10}
                           for i in range(2000)])
        self.wait_said("probe scaled from 1 to ")
        self.wait_settled("probe", 2000)
        self.stop(up)

    def test_a_new_range_is_taken_over(self):
        up = self.up(instances="1..2")
        self.publish("t", [{"key": f"k{i % 100}", "n": i // 100 + 1, "do": "sleep", "ms": 20}
                           for i in range(3000)])
        self.wait_said("probe stays at 2: .* the most allowed")
        self.conf.write_text(self.conf.read_text().replace("1..2", "1..4"))
        up.send_signal(signal.SIGHUP)
        self.wait_said("probe scaled from . to 4: ")
        self.wait_running(4)
        self.wait_settled("probe", 3000)
        self.assert_ordered(self.log("probe"))
        self.stop(up)


if __name__ == "__main__":
    harness.main()
