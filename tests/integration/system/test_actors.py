# SPDX-License-Identifier: MPL-2.0
"""The ready-made actors."""

import harness
from harness import BIN


class Router(harness.System):

    def router(self, *rules):
        return self.start("router", [BIN / "router", "--connect", self.endpoint, "--start",
                                     "beginning", "--", "--on", "orders.*", *rules])

    def test_events_go_where_the_first_matching_rule_says(self):
        self.start_orchestrator()
        self.publish("orders.new", [
            {"key": "a", "country": "France", "total": 5},
            {"key": "b", "country": "Spain", "total": 7},
            {"key": "a", "country": "Spain", "total": 5, "gift": True},
            {"key": "c", "total": 9}])
        self.router("--when", "country=France", "domestic", "--when", "gift=true", "gifts",
                    "--when", "total=7", "sevens", "--else", "rest")
        self.wait_settled("router", 4)
        for topic, totals, key in (("domestic", [5], "a"), ("gifts", [5], "a"),
                                   ("sevens", [7], "b"), ("rest", [9], "c")):
            events = self.read(topic)
            self.assertEqual([e["data"]["total"] for e in events], totals, topic)
            self.assertEqual([e["subject"] for e in events], [key], topic)
            came_in = {e["id"]: e for e in self.read("orders.new")}
            self.assertEqual(events[0]["data"], came_in[events[0]["causationid"]]["data"])

    def test_what_no_rule_matches_goes_nowhere_and_a_bad_topic_is_a_dead_letter(self):
        self.start_orchestrator()
        self.publish("orders.new", [{"key": "a", "n": 1}, {"key": "a", "n": 2}])
        self.router("--when", "n=2", "not a topic")
        self.wait_settled("router", 2)
        self.assertEqual([e["type"] for e in self.read()],
                         ["orders.new", "orders.new", "$dead.router"])

    def test_wrong_rules_are_refused_with_the_usage(self):
        process = self.router("--when", "no condition", "t")
        self.assertEqual(process.wait(timeout=harness.DEADLINE_S), 2)
        self.assertIn("--when FIELD=VALUE TOPIC", (self.dir / "router.err").read_text())


if __name__ == "__main__":
    harness.main()
