# SPDX-License-Identifier: MPL-2.0
"""The load of the chaos test: numbered events per key, until SIGTERM; writes down every receipt.

    producer.py ENDPOINT RECEIPTS --rate N --keys N --seed N

A line of RECEIPTS is {"base": offset, "rows": [[key, n, do, times], ...]}, in the order of the
offsets that the receipt stands for. It is written when the receipt is there, so that it promises no
more than the orchestrator did. After SIGTERM the batch in hand still gets its receipt.
"""

import argparse
import json
import pathlib
import random
import signal
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "interop"))
from producer import Producer  # noqa: E402

TOPICS = ["load.a", "load.b"]


def order(chance):
    """What the first actor is to do: most events are quick, some are trouble of their own."""
    dice = chance.random()
    if dice < 0.02:
        return "retry", chance.randint(1, 2)
    if dice < 0.025:
        return "reject", 0
    if dice < 0.027:
        return "crash", 1
    return ("sleep", 0) if dice < 0.2 else ("ack", 0)


def main():
    options = argparse.ArgumentParser()
    options.add_argument("endpoint")
    options.add_argument("receipts")
    for name in ("--rate", "--keys", "--seed"):
        options.add_argument(name, type=int, required=True)
    given = options.parse_args()
    stopping = []
    signal.signal(signal.SIGTERM, lambda *_: stopping.append(True))
    chance, counts, sent = random.Random(given.seed), {}, 0
    producer = Producer(given.endpoint, "/chaos/producer")
    began = time.monotonic()
    with open(given.receipts, "w", buffering=1) as receipts:
        while not stopping:
            batch = []
            for _ in range(chance.randint(1, max(1, given.rate // 20))):
                key = f"k{chance.randrange(given.keys)}"
                counts[key] = counts.get(key, 0) + 1
                batch.append((key, counts[key], *order(chance)))
            base = producer.publish(chance.choice(TOPICS), [
                (key, {"n": n, "do": do, "times": times, "ms": 3, "emit": "middle"})
                for key, n, do, times in batch])
            parts = {}
            for row in batch:
                parts.setdefault(producer.partition(row[0]), []).append(row)
            receipts.write(json.dumps({"base": base, "rows": sum(parts.values(), [])}) + "\n")
            sent += len(batch)
            # After an outage it does not make up for all of it at once.
            began = max(began, time.monotonic() - sent / given.rate - 1)
            time.sleep(max(0, began + sent / given.rate - time.monotonic()))


if __name__ == "__main__":
    main()
