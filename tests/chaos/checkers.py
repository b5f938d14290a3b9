# SPDX-License-Identifier: MPL-2.0
"""The verdict on a history: what was receipted, what the journal holds, what the actors wrote down.

Nothing here shares code with baton. The history is complete when it is checked: all has drained.

  lost            receipted and not in the journal, or at another offset than the receipt says; in
                  the journal and neither acknowledged by an actor nor dead-lettered; acknowledged
                  by a stage without the event that it had to emit
  duplicated      in the journal twice: the same number of a key, or the same id
  out_of_order    begun by an actor for the first time before the event ahead of it in its key was
                  acknowledged or given up; or the numbers of a key do not ascend in the journal
  double_effects  emitted, or dead-lettered, more than once for one cause, or both
  innocent        dead-lettered without having asked for it
"""

import collections
import re

ROW = re.compile(r"(begin|end) (\S+) (\d+) (\d+) (\S+) (\S+) (-?\d+) (\d+) *$")
Row = collections.namedtuple("Row", "what instance pid offset topic key n attempt")
# A stage: the actor, what its topics start with, the topic that it emits to (or None).
Stage = collections.namedtuple("Stage", "actor topics emits")


def rows_of(text):
    for line in text:
        found = ROW.search(line)
        if found:
            what, instance, pid, offset, topic, key, n, attempt = found.groups()
            yield Row(what, instance, int(pid), int(offset), topic, key, int(n), int(attempt))


class Verdict:
    FIGURES = ("lost", "duplicated", "out_of_order", "double_effects", "innocent")

    def __init__(self):
        self.counts = dict.fromkeys(self.FIGURES, 0)
        self.examples = []

    def broken(self, figure, text):
        self.counts[figure] += 1
        if self.counts[figure] <= 10:
            self.examples.append(f"{figure}: {text}")

    @property
    def ok(self):
        return not any(self.counts.values())


def check(receipts, journal, logs, stages):
    """receipts: (base, [(key, n, do, times)]); journal: dicts with offset, id, topic, key, n, cause
    and dead (the offset of which it is the dead letter, or None); logs: rows by actor."""
    verdict = Verdict()
    orders = check_receipts(verdict, receipts, journal, stages[0])
    by_cause, dead = effects(journal)
    seen = set()
    for event in journal:
        if event["id"] in seen:
            verdict.broken("duplicated", f"id {event['id']} again at offset {event['offset']}")
        seen.add(event["id"])
    for stage in stages:
        events = [e for e in journal if e["dead"] is None and e["topic"].startswith(stage.topics)]
        check_stage(verdict, stage, events, orders if stage is stages[0] else {},
                    logs[stage.actor], by_cause, dead)
    return verdict


def check_receipts(verdict, receipts, journal, first):
    """What each (key, n) was told to do."""
    at, places, orders = {}, collections.defaultdict(list), {}
    for event in journal:
        if event["dead"] is None and event["topic"].startswith(first.topics):
            at[event["offset"]] = (event["key"], event["n"])
            places[event["key"], event["n"]].append(event["offset"])
    for (key, n), offsets in places.items():
        if len(offsets) > 1:
            verdict.broken("duplicated", f"{key} {n} at offsets {offsets}")
    for base, rows in receipts:
        for offset, (key, n, do, times) in enumerate(rows, base):
            orders[key, n] = (do, times)
            if (key, n) not in places:
                verdict.broken("lost", f"{key} {n} has a receipt and is not in the journal")
            elif at.get(offset) != (key, n):
                verdict.broken("lost", f"{key} {n} is not at offset {offset} of its receipt")
    return orders


def effects(journal):
    by_cause, dead = collections.defaultdict(list), collections.defaultdict(list)
    for event in journal:
        if event["dead"] is not None:
            dead[event["topic"].partition(".")[2], event["dead"]].append(event["offset"])
        elif event["cause"] is not None:
            by_cause[event["topic"], event["cause"]].append(event["offset"])
    return by_cause, dead


def acknowledges(row, orders):
    do, times = orders.get((row.key, row.n), ("ack", 0))
    if row.what != "end" or do == "reject":
        return False
    return do not in ("retry", "crash") or row.attempt > times


def check_stage(verdict, stage, events, orders, log, by_cause, dead):
    ahead, last = {}, {}
    for event in events:
        key, previous = event["key"], last.get(event["key"])
        if previous:
            ahead[event["offset"]] = previous["offset"]
            if event["n"] <= previous["n"]:
                verdict.broken("out_of_order", f"{key} {event['n']} at offset {event['offset']} "
                               f"behind {previous['n']} in the journal")
        last[key] = event
    over = check_log(verdict, stage, log, orders, ahead)
    for event in events:
        name = f"{event['key']} {event['n']} (offset {event['offset']}) at {stage.actor}"
        letters = dead.get((stage.actor, event["offset"]), [])
        emitted = by_cause.get((stage.emits, event["id"]), [])
        if len(letters) + len(emitted) > 1:
            verdict.broken("double_effects", f"{name}: emitted {emitted}, dead letters {letters}")
        if letters:
            if orders.get((event["key"], event["n"]), ("ack", 0))[0] != "reject":
                verdict.broken("innocent", f"{name} was dead-lettered")
        elif event["offset"] not in over:
            verdict.broken("lost", f"{name} was never acknowledged nor dead-lettered")
        elif stage.emits and not emitted:
            verdict.broken("lost", f"{name} was acknowledged, what it emitted is not there")


def check_log(verdict, stage, log, orders, ahead):
    """The offsets that were acknowledged; rejected ones are only over for the order."""
    begun, over, acknowledged = set(), set(), set()
    for row in log:
        if row.what == "begin" and row.offset not in begun:
            begun.add(row.offset)
            if row.offset in ahead and ahead[row.offset] not in over:
                verdict.broken("out_of_order", f"{row.instance} (pid {row.pid}) began {row.key} "
                               f"{row.n} (offset {row.offset}) before offset {ahead[row.offset]} "
                               f"was over")
        if acknowledges(row, orders):
            acknowledged.add(row.offset)
        if row.offset in acknowledged or \
                row.what == "end" and orders.get((row.key, row.n), ("",))[0] == "reject":
            over.add(row.offset)
    return acknowledged
