# SPDX-License-Identifier: MPL-2.0
"""baton beside its peers: each case on all of them in turn, round after round (A B C A B C ...),
so that what else the machine does hits all of them alike. What counts are the ratios within a
round."""
import statistics
import sys

import peers
from children import CPU_LATENCY, Failed, may_keep_awake, processors, quiet_disk

# Name, arguments of baton bench, what peers.run is told, events of baton, events of a peer with a
# journal; one without gets as many as baton. Figures are per event or second, so the number only
# has to make a run of some seconds.
LATENCY = {"rate": 1000}
KEEP_AWAKE = ["--keep-awake", "100"]  # baton asks for it itself; for the others it is done here
CASES = (
    ("end to end, 100 B", ["--size", "100"], {"size": 100}, 3000000, 300000),
    ("end to end, 1 KiB", ["--size", "1024"], {"size": 1024}, 500000, 150000),
    ("fan-out to 4 actors, 100 B", ["--size", "100", "--actors", "4"],
     {"size": 100, "groups": 4}, 1000000, 100000),
    ("1,000 events/s, 100 B", ["--size", "100", "--rate", "1000"],
     {"size": 100, **LATENCY}, 10000, 10000),
    ("1,000 events/s, 100 B, kept awake", ["--size", "100", "--rate", "1000", *KEEP_AWAKE],
     {"size": 100, **LATENCY}, 10000, 10000),
    ("50,000 events/s, 100 B", ["--size", "100", "--rate", "50000"],
     {"size": 100, "rate": 50000}, 250000, 250000),
)
BATON = {"baton always": "always", "baton interval": "interval"}


def of_baton(run):
    result = {"handled_per_second": run["handled_per_second"],
              "together_us": sum(usage["us_per_event"] for usage in run["usage"].values()),
              "server_us": run["usage"]["orchestrator"]["us_per_event"]}
    for percentile in peers.PERCENTILES:
        result[percentile] = run["delivery_latency"][percentile]
    return result


def measure(bench, program, folder, rounds, quick, wanted):
    """{case: {system: [result of each round]}}"""
    there, missing = peers.available(program)
    for name, why in missing.items():
        print(f"{name}: left out, {why}", file=sys.stderr)
    runs = {}
    part = 5 if quick else 1
    for number in range(rounds):
        for case, arguments, load, events, peer_events in CASES:
            awake = set(KEEP_AWAKE) <= set(arguments)
            if wanted and not any(text in case for text in wanted):
                continue
            if awake and not may_keep_awake():
                print(f"{case}: left out, {CPU_LATENCY} may not be written", file=sys.stderr)
                continue
            row = runs.setdefault(case, {})
            for name, sync in BATON.items():
                row.setdefault(name, []).append(
                    of_baton(bench([*arguments, "--sync", sync], events // part)))
            for name in there:
                if "rate" in load and "batches" in name:
                    continue  # waits for a full batch: says nothing about latency
                if load.get("rate") != LATENCY["rate"] and "fdatasync" in name:
                    continue  # more than a disk can do, each by itself
                count = events if "proxy" in name else peer_events
                quiet_disk()
                try:
                    with processors(awake):
                        row.setdefault(name, []).append(
                            peers.run(name, program, folder, count // part, **load))
                except Failed as error:
                    raise Failed(f"{case}, {name}: {error}") from error
            print(f"round {number + 1} of {rounds}: {case}", file=sys.stderr)
    return runs


def median(results, name):
    return statistics.median(result[name] for result in results)


def rows(runs):
    """One for each case and system, with baton's ratio to it, the median over the rounds."""
    for case, systems in runs.items():
        ours = systems["baton always"]
        for name, results in systems.items():
            ratios = [a["handled_per_second"] / b["handled_per_second"]
                      for a, b in zip(ours, results)]
            yield {"case": case, "system": name, "runs": len(results),
                   "rate": median(results, "handled_per_second"),
                   "rate_min": min(r["handled_per_second"] for r in results),
                   "rate_max": max(r["handled_per_second"] for r in results),
                   "together_us": median(results, "together_us"),
                   **{name: median(results, name) for name in peers.PERCENTILES},
                   "ratio": statistics.median(ratios), "ratio_min": min(ratios),
                   "ratio_max": max(ratios)}


def print_table(machine, table):
    print(machine)
    print("ratio: baton always to this system, within a round; differences under 25 % mean nothing")
    case = None
    for row in table:
        if row["case"] != case:
            case = row["case"]
            print(f"\n{case:34} {'events/s':>10} {'from':>10} {'to':>10} {'us/event':>9}"
                  f" {'p50 us':>9} {'p99 us':>9} {'ratio':>7} {'from':>6} {'to':>6}")
        print(f"  {row['system']:32} {row['rate']:10.0f} {row['rate_min']:10.0f}"
              f" {row['rate_max']:10.0f} {row['together_us']:9.2f} {row['p50_us']:9.0f}"
              f" {row['p99_us']:9.0f} {row['ratio']:7.2f} {row['ratio_min']:6.2f}"
              f" {row['ratio_max']:6.2f}")
