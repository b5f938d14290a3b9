#!/usr/bin/python3
# SPDX-License-Identifier: MPL-2.0
"""The subcommands that talk to an orchestrator: publish, read, status, dead, forget, bench.

usage: test_cli.py (BATON_BIN: folder of the programs; BATON_PROBE: the actor for tests)
"""
import json
import os
import pathlib
import signal
import subprocess
import tempfile
import time
import unittest

from waiting import DEADLINE_S, wait_for

BATON = str(pathlib.Path(os.environ["BATON_BIN"]) / "baton")
PROBE = os.environ["BATON_PROBE"]


class Cli(unittest.TestCase):

    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="baton-cli-")
        self.addCleanup(folder.cleanup)
        self.dir = pathlib.Path(folder.name)
        conf = self.dir / "orchestrator.conf"
        conf.write_text(f"orchestrator\n    data_dir = {self.dir}/data\n"
                        "    endpoint = tcp://127.0.0.1:*\n    segment_bytes = 1MiB\n"
                        "    disk_reserve_bytes = 1MiB\n")
        process = self.start(BATON, "orchestrator", str(conf), stdout=subprocess.PIPE)
        self.orchestrator = process
        self.endpoint = process.stdout.readline().strip()
        self.assertTrue(self.endpoint)

    def start(self, *arguments, stdout=subprocess.DEVNULL):
        with open(self.dir / "log", "ab") as log:
            process = subprocess.Popen(arguments, stdin=subprocess.DEVNULL, stdout=stdout,
                                       stderr=log, text=True, env=self.environment())
        self.addCleanup(process.communicate)
        self.addCleanup(process.kill)
        return process

    def environment(self):
        return {**os.environ, "BATON_CONNECT": getattr(self, "endpoint", "")}

    def baton(self, *arguments, stdin="", code=0):
        done = subprocess.run([BATON, *map(str, arguments)], input=stdin, capture_output=True,
                              text=True, timeout=DEADLINE_S, env=self.environment())
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        return done

    def events(self, *arguments):
        return [json.loads(line) for line in self.baton("read", *arguments).stdout.splitlines()]

    def probe(self, *patterns):
        on = [word for pattern in patterns for word in ("--on", pattern)]
        return self.start(PROBE, "--name", "probe", "--instance", "probe-1", "--backoff-min", "20",
                          "--", *on)

    def actor(self, **wanted):
        """Waits until the actor's figures are as wanted."""
        def figures():
            status = json.loads(self.baton("status", "--json").stdout)
            for actor in status["actors"]:
                if all(actor[name] == value for name, value in wanted.items()):
                    return actor
            return None
        return wait_for(f"an actor with {wanted}", figures)

    # ---- publish and read

    def test_bad_lines_are_named_and_the_rest_goes_on(self):
        good = self.dir / "good.jsonl"
        good.write_text('{"customer":{"id":7},"n":1}\n\n{"customer":{"id":"k"},"n":2}')
        bad = self.dir / "bad.jsonl"
        bad.write_bytes(b'{"n":3\n{"n":4}\n{"customer":{"id":null}}\n\xff\n[1]\n'
                        b'{"customer":{"id":18446744073709551616}}\n'
                        b'{"customer":{"id":1},"n":5}\n')
        done = self.baton("publish", "orders.placed", "--key-field", "customer.id", "--source",
                          "/test", good, bad, self.dir / "missing", code=1)
        for line, why in ((1, "expected near end of file"), (2, "'customer.id' is not there"),
                          (3, "neither a string nor an integer"), (4, "unable to decode byte 0xff"),
                          (5, "'customer.id' is not there"), (6, "too big integer")):
            self.assertRegex(done.stderr, rf"(?m)^{bad}:{line}: .*{why}")
        self.assertIn(f"{self.dir}/missing: No such file", done.stderr)
        self.assertRegex(done.stdout, r"^3 receipts for 3 events, offsets 0 to 2, .*; 6 bad lines$")

        read = self.events()
        self.assertEqual([event["data"]["n"] for event in read], [1, 2, 5])
        self.assertEqual([event["subject"] for event in read], ["7", "k", "1"])
        self.assertEqual([event["offset"] for event in read], [0, 1, 2])
        self.assertEqual({event["type"] for event in read}, {"orders.placed"})
        self.assertEqual({event["source"] for event in read}, {"/test"})
        self.assertEqual({event["specversion"] for event in read}, {"1.0"})
        self.assertEqual(len({event["id"] for event in read}), 3)

    def test_values_come_back_as_they_were(self):
        values = [None, True, -(2**63), 2**63 - 1, 0.1, 1e300, 2.0, "ä\n\"\\\u0001", [],
                  {"a": {"b": [1, {}]}}, "x" * 100000]
        lines = "".join(json.dumps(value) + "\n" for value in values)
        done = json.loads(self.baton("publish", "v", "--json", stdin=lines).stdout)
        self.assertEqual((done["receipts"], done["bad_lines"], done["refused"]),
                         (len(values), 0, 0))
        self.assertEqual([event["data"] for event in self.events()], values)

    def publisher(self, *arguments):
        process = subprocess.Popen([BATON, "publish", *arguments], stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                   env=self.environment())
        self.addCleanup(process.communicate)
        self.addCleanup(process.kill)
        return process

    def test_a_publisher_that_is_interrupted_says_where(self):
        process = self.publisher("v")
        process.stdin.write('{"n": 1}\n{"n": 2}\n')
        process.stdin.flush()
        wait_for("two events", lambda: len(self.events()) == 2)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=DEADLINE_S)
        self.assertEqual(process.returncode, 130, out + err)
        self.assertIn("2 receipts for 2 events, offsets 0 to 1", out)
        self.assertIn("the first line without a receipt: (standard input):3\n", err)

    def test_what_has_no_receipt_when_a_publisher_is_stopped_is_counted(self):
        process = self.publisher("v", "--timeout", "1")
        process.stdin.write('{"n": 1}\n')
        process.stdin.flush()
        wait_for("an event", lambda: len(self.events()) == 1)
        self.orchestrator.send_signal(signal.SIGSTOP)
        tasks = pathlib.Path(f"/proc/{self.orchestrator.pid}/task")
        wait_for("every thread has stopped",
                 lambda: all(task.read_text().rpartition(")")[2].split()[0] == "T"
                             for task in tasks.glob("*/stat")))
        process.stdin.write('\n{"n": 2}\n{"n": 3}\n')
        process.stdin.close()
        process.stdin = None
        self.assertIn("no receipts", process.stderr.readline())
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=DEADLINE_S)
        self.orchestrator.send_signal(signal.SIGCONT)
        self.assertEqual(process.returncode, 143, out + err)
        self.assertIn("1 receipts for 3 events", out)
        self.assertIn("receipt: (standard input):3 (it and what comes after it, 2 events,", err)
        self.assertNotIn("refused", err)

    def test_too_large_and_too_deep_are_named(self):
        deep = "[" * 33 + "]" * 33
        large = '"' + "x" * (1024 * 1024) + '"'
        done = self.baton("publish", "v", stdin=f"{deep}\n{large}\n1\n", code=1)
        self.assertRegex(done.stderr, r"\(standard input\):1: .*\(TOO_DEEP\)")
        self.assertRegex(done.stderr, r"\(standard input\):2: .* 1 MiB \(TOO_LARGE\)")
        self.assertEqual([event["data"] for event in self.events()], [1])

    def test_order_of_a_key_is_that_of_the_lines(self):
        lines = "".join(f'{{"k":"{n % 7}","n":{n}}}\n' for n in range(5000))
        self.baton("publish", "v", "--key-field", "k", stdin=lines)
        read = self.events()
        self.assertEqual(len(read), 5000)
        for key in range(7):
            numbers = [event["data"]["n"] for event in read if event["subject"] == str(key)]
            self.assertEqual(numbers, list(range(key, 5000, 7)))

    def test_reading_starts_and_stops_where_told(self):
        self.baton("publish", "a.b", stdin="1\n2\n3\n")
        self.baton("publish", "a.c", stdin="4\n")
        self.baton("publish", "d", stdin="5\n")

        def data(*arguments):
            return [event["data"] for event in self.events(*arguments)]
        self.assertEqual(data("--from", "2"), [3, 4, 5])
        self.assertEqual(data("--from", "1", "--count", "2"), [2, 3])
        self.assertEqual(data("--topic", "a.*"), [1, 2, 3, 4])
        self.assertEqual(data("--topic", "d", "--topic", "a.c"), [4, 5])
        self.assertEqual(data("--topic", "nothing"), [])
        self.assertEqual(data("--from", "tail"), [])
        self.assertIn("past the end", self.baton("read", "--from", "99", code=1).stderr)
        self.assertEqual(data("--from", "1h"), [1, 2, 3, 4, 5])
        self.assertEqual(data("--from", "2020-01-01"), [1, 2, 3, 4, 5])
        self.assertEqual(data("--from", "2999-01-01T00:00:00Z"), [])

    def test_following_sees_what_comes(self):
        self.baton("publish", "a", stdin="1\n")
        follower = self.start(BATON, "read", "--follow", "--from", "0", "--count", "3",
                              stdout=subprocess.PIPE)
        self.assertEqual(json.loads(follower.stdout.readline())["data"], 1)
        self.baton("publish", "a", stdin="2\n")
        self.assertEqual(json.loads(follower.stdout.readline())["data"], 2)
        self.baton("publish", "a", stdin="3\n4\n")
        self.assertEqual(json.loads(follower.stdout.readline())["data"], 3)
        self.assertEqual(follower.wait(timeout=DEADLINE_S), 0)

    def test_wrong_usage_is_refused(self):
        for words in (["publish"], ["publish", "a b"], ["publish", "$dead.x"], ["publish", "a.*"],
                      ["publish", "a", "--key", "k", "--key-field", "f"],
                      ["publish", "a", "--rate", "0"], ["publish", "a", "--conect", "x"],
                      ["publish", "a", "--key", "k" * 256], ["read", "x"],
                      ["read", "--from", "now"], ["read", "--topic", "a..b"],
                      ["read", "--count", "0"], ["status", "x"], ["status", "--jso", "x"],
                      ["dead"], ["dead", "eat", "x"], ["dead", "list"],
                      ["dead", "list", "a b"], ["dead", "show", "x"], ["dead", "redrive", "x"],
                      ["dead", "redrive", "x", "1", "--all"], ["dead", "discard", "x", "one"],
                      ["forget"], ["forget", "a", "b"], ["bench", "--sync", "often"],
                      ["bench", "--instances", "0"], ["bench", "x"]):
            with self.subTest(words):
                done = self.baton(*words, code=2)
                self.assertIn(f"Try 'baton {words[0]} --help'.", done.stderr)

    def test_unreachable_is_said_in_time(self):
        for words in (["publish", "a"], ["read"], ["read", "--follow"], ["status"],
                      ["dead", "list", "x"], ["forget", "x"]):
            with self.subTest(words):
                began = time.monotonic()
                done = self.baton(*words, "--connect", f"ipc://{self.dir}/nobody", "--timeout", 1,
                                  code=69)
                self.assertIn("UNREACHABLE", done.stderr)
                self.assertGreaterEqual(time.monotonic() - began, 0.9)

    def test_what_is_no_endpoint_is_wrong_usage(self):
        for words in (["publish", "a"], ["read"], ["status"], ["top", "--batch"], ["why", "x"],
                      ["dead", "list", "x"], ["forget", "x"], ["bench"],
                      ["monitor", "--prometheus"]):
            with self.subTest(words):
                done = self.baton(*words, "--connect", "nonsense", code=2)
                self.assertIn("'nonsense' is no endpoint", done.stderr)

    # ---- status, dead, forget

    def test_what_could_not_be_printed_is_an_error(self):
        self.baton("publish", "orders.placed", stdin='{"n": 1}\n')
        for arguments in (["help"], ["status"], ["read"], ["why", "--offset", "0"], ["top", "-b"],
                          ["lab", "list"]):
            with open("/dev/full", "w", encoding="utf-8") as full:
                done = subprocess.run([BATON, *arguments], stdout=full, stderr=subprocess.PIPE,
                                      text=True, timeout=DEADLINE_S, env=self.environment())
            self.assertEqual(done.returncode, 1, (arguments, done.stderr))
            self.assertIn("standard output", done.stderr, arguments)

    def test_a_key_gives_no_orders_to_a_terminal(self):
        key = "k\x1b[2J\x9b"
        probe = self.probe("orders.>")
        self.actor(name="probe")
        self.baton("publish", "orders.placed", "--key-field", "k",
                   stdin=json.dumps({"k": key, "do": "reject"}) + "\n")
        self.actor(name="probe", dead=1)
        probe.kill()
        letter = json.loads(self.baton("dead", "list", "probe", "--json").stdout)["dead_offset"]
        for arguments in (["why", key], ["why", "--offset", 0], ["dead", "list", "probe"],
                          ["read"], ["dead", "show", "probe", letter]):
            done = self.baton(*arguments)
            self.assertNotRegex(done.stdout, "[\x00-\x09\x0b-\x1f\x7f-\x9f]", arguments)
        self.assertIn("key k?[2J?", self.baton("why", "--offset", 0).stdout)
        refused = self.baton("why", key + "\n!", code=1)
        self.assertNotIn("\x1b", refused.stderr)
        self.assertEqual(len(refused.stderr.splitlines()), 1)

    def test_status_counts(self):
        probe = self.probe("jobs.>")
        self.actor(name="probe", lag=0)
        probe.kill()
        probe.wait()
        self.baton("publish", "jobs.one", "--key", "k", stdin="{}\n" * 5)
        self.baton("publish", "other", stdin="{}\n")
        actor = self.actor(name="probe", lag=5)
        self.assertEqual((actor["ready"], actor["parked"], actor["dead"]), (5, 0, 0))
        self.assertTrue(actor["lag_exact"])
        self.assertGreaterEqual(actor["oldest_unsettled_age_ms"], 0)
        self.assertIsNone(actor["settled_per_second"])

        self.probe("jobs.>")
        actor = self.actor(name="probe", lag=0, settled=5)
        self.assertIsNone(actor["oldest_unsettled_age_ms"])
        status = json.loads(self.baton("status", "--json", "--sample", 1).stdout)
        self.assertEqual(status["orchestrator"]["tail"], 6)
        topics = {topic["name"]: topic for topic in status["topics"]}
        self.assertEqual((topics["jobs.one"]["events"], topics["other"]["events"]), (5, 1))
        self.assertEqual(topics["jobs.one"]["events_per_second"], 0)
        table = self.baton("status").stdout
        self.assertRegex(table, r"(?m)^jobs\.one +5 ")
        self.assertRegex(table, r"(?m)^probe +1 +0 +0 +0 +0 +0 +5 ")

    def test_dead_letters(self):
        self.probe("jobs")
        self.actor(name="probe")
        lines = "".join(f'{{"n":{n},"do":"reject"}}\n' for n in (1, 2, 3))
        self.baton("publish", "jobs", "--key", "k", stdin=lines)
        self.actor(name="probe", dead=3, lag=0)
        listed = [json.loads(line)
                  for line in self.baton("dead", "list", "probe", "--json").stdout.splitlines()]
        published = [json.loads(line)["offset"]
                     for line in self.baton("read", "--topic", "jobs").stdout.splitlines()]
        self.assertEqual([letter["offset"] for letter in listed], published)
        self.assertEqual({(letter["topic"], letter["key"]) for letter in listed}, {("jobs", "k")})
        self.assertIn("told to reject", listed[0]["reason"])
        names = [letter["dead_offset"] for letter in listed]
        self.assertIn("told to reject", self.baton("dead", "list", "probe").stdout)

        shown = json.loads(self.baton("dead", "show", "probe", names[1]).stdout)
        self.assertEqual((shown["data"]["n"], shown["deadtopic"], shown["subject"]),
                         (2, "jobs", "k"))
        self.baton("dead", "show", "probe", 0, code=1)

        done = self.baton("dead", "redrive", "probe", "--all", "--dry-run").stdout
        self.assertEqual(done, "3 dead letters of probe would be redriven\n")
        self.baton("dead", "redrive", "probe", names[0], 999, code=1)
        self.actor(name="probe", dead=3, died=3)

        #  It is rejected again: a new letter in the place of the old one.
        self.baton("dead", "redrive", "probe", names[0])
        self.actor(name="probe", dead=3, died=4)
        done = json.loads(self.baton("dead", "discard", "probe", names[1], names[2], "--yes",
                                     "--json").stdout)
        self.assertEqual((done["discarded"], done["dead_offsets"]), (2, names[1:]))
        self.actor(name="probe", dead=1)
        self.baton("dead", "discard", "probe", "--all", "--yes")
        self.assertEqual(self.baton("dead", "list", "probe").stdout, "probe has no dead letters\n")
        self.baton("dead", "list", "nobody", code=1)

    def test_forgetting(self):
        probe = self.probe("jobs")
        self.actor(name="probe")
        self.baton("forget", "probe", code=1)
        probe.terminate()
        probe.wait(timeout=DEADLINE_S)
        self.baton("forget", "probe")
        self.assertEqual(json.loads(self.baton("status", "--json").stdout)["actors"], [])
        self.baton("forget", "probe", code=1)

    # ---- bench

    def test_bench_measures(self):
        done = self.baton("bench", "--events", 2000, "--actors", 2, "--instances", 2, "--producers",
                          2, "--sync", "never", "--data-dir", self.dir, "--json")
        result = json.loads(done.stdout)
        self.assertEqual(result["receipts"], 2000)
        self.assertGreaterEqual(result["handled"], 4000)
        self.assertGreater(result["published_per_second"], 0)
        latency = result["delivery_latency"]
        self.assertLessEqual(latency["min_us"], latency["p50_us"])
        self.assertLessEqual(latency["p50_us"], latency["max_us"])
        for role in "orchestrator", "actors", "producers":
            self.assertGreater(result["usage"][role]["us_per_event"], 0)
            self.assertGreater(result["usage"][role]["memory_kib"], 0)
        self.assertNotIn("timer_late", result)  # nothing was due at any time
        self.assertEqual(list(self.dir.glob("baton-bench.*")), [])

    def test_bench_tells_how_late_its_timer_was(self):
        done = self.baton("bench", "--events", 100, "--rate", 1000, "--sync", "never", "--data-dir",
                          self.dir, "--json")
        late = json.loads(done.stdout)["timer_late"]
        self.assertLessEqual(late["min_us"], late["p50_us"])
        self.assertLessEqual(late["p50_us"], late["max_us"])

    def test_bench_measures_a_pipeline(self):
        done = self.baton("bench", "--events", 500, "--stages", 3, "--sync", "never", "--data-dir",
                          self.dir, "--json")
        result = json.loads(done.stdout)
        self.assertEqual(result["receipts"], 500)
        self.assertEqual(result["handled"], 500)

    def test_bench_cleans_up_at_an_orchestrator_of_ones_own(self):
        self.baton("bench", "--events", 500, "--connect", self.endpoint)
        status = json.loads(self.baton("status", "--json").stdout)
        self.assertEqual(status["actors"], [])
        self.assertEqual(sum(topic["events"] for topic in status["topics"]), 500)


if __name__ == "__main__":
    unittest.main(verbosity=2)
