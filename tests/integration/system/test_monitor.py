#!/usr/bin/python3
# SPDX-License-Identifier: MPL-2.0
"""`baton monitor --prometheus`: what a scrape gets, as Prometheus reads it."""

import http.client
import re
import shutil
import signal
import socket
import subprocess
import threading
import time
import unittest

from harness import BIN, DEADLINE_S, System, wait_for

SAMPLE = re.compile(r'([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (-?[0-9.]+(?:e[+-]?[0-9]+)?)')
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"')


def parse(test, text):
    """{name: {((label, value), ...): number}}; fails where Prometheus would refuse, or complain."""
    values, types, helps, family = {}, {}, {}, None
    test.assertTrue(text.endswith("\n"))
    for line in text.splitlines():
        if line.startswith("# HELP "):
            _, _, name, described = line.split(" ", 3)
            test.assertNotIn(name, helps, "a family that stands in two places")
            helps[name], family = described, name
        elif line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            test.assertEqual(name, family)
            test.assertIn(kind, ("counter", "gauge"))
            test.assertEqual(kind == "counter", name.endswith("_total"), name)
            types[name] = kind
        else:
            match = SAMPLE.fullmatch(line)
            test.assertTrue(match, line)
            name, labels, value = match.groups()
            test.assertEqual(name, family, "a sample outside its family")
            pairs = LABEL.findall(labels or "")
            test.assertEqual(",".join(f'{k}="{v}"' for k, v in pairs), labels or "")
            samples = values.setdefault(name, {})
            test.assertNotIn(tuple(pairs), samples, "the same sample twice")
            samples[tuple(pairs)] = float(value)
    test.assertEqual(set(helps), set(types))
    return values


class Monitor(System):

    def setUp(self):
        super().setUp()
        self.start_orchestrator()

    def start_monitor(self, *arguments):
        process = self.start("monitor", [BIN / "baton", "monitor", "--prometheus", "--listen",
                                         "127.0.0.1:0", "--connect", self.endpoint, *arguments],
                             stdout=subprocess.PIPE)
        self.addCleanup(process.stdout.close)
        url = process.stdout.readline().decode().strip()
        match = re.fullmatch(r"http://127\.0\.0\.1:([0-9]+)/metrics", url)
        self.assertTrue(match, url)
        self.port = int(match.group(1))
        self.assertNotEqual(self.port, 0)
        return process

    def request(self, path, method="GET", body=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=DEADLINE_S)
        try:
            connection.request(method, path, body=body)
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read().decode()
        finally:
            connection.close()

    def scrape(self):
        status, headers, text = self.request("/metrics")
        self.assertEqual((status, headers["Content-Type"]),
                         (200, "text/plain; version=0.0.4; charset=utf-8"))
        return parse(self, text)

    def test_a_scrape(self):
        self.start_probe("payment", ["orders.*"])
        wait_for("it is registered", lambda: self.actor_status("payment"))
        self.publish("orders.placed", [{"key": "a"}, {"key": "b", "do": "reject"}])
        wait_for("it died", lambda: self.actor_status("payment")["dead"] == 1)
        self.start_monitor()
        actor, topic = (("actor", "payment"),), (("topic", "orders.placed"),)
        values = wait_for("both are settled", lambda: (lambda values: values if values[
            "baton_actor_settled_events_total"].get(actor) == 2 else None)(self.scrape()))
        self.assertEqual(values["baton_up"], {(): 1})
        self.assertEqual(values["baton_topic_events_total"][topic], 2)
        self.assertEqual(values["baton_topic_actors"][topic], 1)
        self.assertEqual(values["baton_actor_published_events_total"], {actor: 2})
        self.assertEqual(values["baton_actor_died_events_total"], {actor: 1})
        self.assertEqual(values["baton_actor_dead_letters"], {actor: 1})
        self.assertEqual(values["baton_actor_lag_events"], {actor: 0})
        self.assertEqual(values["baton_actor_connected_instances"], {actor: 1})
        self.assertEqual(values["baton_journal_events_total"], {(): 3})
        instance = (("actor", "payment"), ("instance", "payment-1"))
        self.assertEqual(values["baton_instance_partitions"], {instance: 32})
        self.assertTrue(0 <= values["baton_instance_heard_age_seconds"][instance] < DEADLINE_S)
        promtool = shutil.which("promtool")
        if promtool:
            done = subprocess.run([promtool, "check", "metrics"], text=True, capture_output=True,
                                  input=self.request("/metrics")[2], timeout=DEADLINE_S)
            self.assertEqual((done.returncode, done.stdout, done.stderr), (0, "", ""))

    def test_an_orchestrator_that_goes_and_comes_back(self):
        monitor = self.start_monitor("--timeout", "1")
        self.assertEqual(self.scrape()["baton_up"], {(): 1})
        self.kill(self.orchestrator)
        wait_for("it is down", lambda: self.scrape() == {"baton_up": {(): 0}})
        self.assertEqual(self.request("/healthz")[::2], (200, "ok\n"))
        self.start_orchestrator()
        wait_for("it is up", lambda: self.scrape()["baton_up"] == {(): 1})
        self.stop(monitor)

    def test_the_orchestrator_is_asked_at_most_once_a_second(self):
        self.start_monitor()
        texts, lock = [], threading.Lock()

        def scrape_often():
            for _ in range(50):
                text = self.request("/metrics")[2]
                with lock:
                    texts.append(text)

        threads = [threading.Thread(target=scrape_often) for _ in range(4)]
        begin = time.monotonic()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        elapsed_s = time.monotonic() - begin
        self.assertEqual(len(texts), 200)
        # Each question takes its own time, to the microsecond, and the answer says it.
        asked = {line for text in texts for line in text.splitlines()
                 if line.startswith("baton_status_duration_seconds")}
        self.assertTrue(1 <= len(asked) <= elapsed_s + 1, (len(asked), elapsed_s))

    def test_what_is_not_there_and_what_is_not_allowed(self):
        self.start_monitor()
        self.assertEqual(self.request("/")[0], 200)
        self.assertEqual(self.request("/metricsx")[0], 404)
        status, headers, _ = self.request("/metrics", "POST", b"x" * 100000)
        self.assertEqual((status, headers["Allow"]), (405, "GET, HEAD"))
        self.assertEqual(self.request("/metrics", "HEAD")[::2], (200, ""))
        with socket.create_connection(("127.0.0.1", self.port), DEADLINE_S) as peer:
            peer.sendall(b"\x00\xff no request at all\r\n\r\n")
            self.assertEqual(self.request("/healthz")[0], 200)

    def test_words(self):
        self.start_monitor()
        for wrong in ([], ["--prometheus", "--listen", "here"], ["--prometheus", "x"],
                      ["--prometheus", "--listen", "127.0.0.1:99999"],
                      ["--prometheus", "--listen", "::1:9464"]):
            done = self.baton("monitor", *wrong, check=False)
            self.assertEqual((done.returncode, done.stdout), (2, ""), wrong)
        taken = self.baton("monitor", "--prometheus", "-l", f"127.0.0.1:{self.port}", check=False)
        self.assertEqual((taken.returncode, taken.stdout), (1, ""))
        self.assertIn("cannot listen", taken.stderr)

    def test_it_ends_while_somebody_is_connected(self):
        monitor = self.start_monitor()
        with socket.create_connection(("127.0.0.1", self.port), DEADLINE_S) as peer:
            peer.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            self.assertIn(b"200", peer.recv(1000))
            monitor.send_signal(signal.SIGINT)
            self.assertEqual(monitor.wait(DEADLINE_S), 0)


if __name__ == "__main__":
    unittest.main(verbosity=2)
