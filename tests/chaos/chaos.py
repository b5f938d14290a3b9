# SPDX-License-Identifier: MPL-2.0
"""kill -9, SIGSTOP and bad links for an orchestrator, a pipeline of three actors and a producer;
then everything drains and the history is judged. tests/chaos/run builds what is needed and starts
this."""

import argparse
import json
import os
import pathlib
import random
import shutil
import subprocess
import sys
import tempfile
import time

import checkers
import hosts
from system import STAGES, System
from trouble import Trouble


def parse():
    parser = argparse.ArgumentParser(prog="tests/chaos/run", description=__doc__)
    count = {"type": int, "metavar": "N"}
    parser.add_argument("--seconds", type=float, metavar="S",
                        help="trouble lasts so long (default 60; without end with --kills)")
    parser.add_argument("--kills", help="trouble ends after so many kill -9", **count)
    parser.add_argument("--seed", help="of troubles and load (default: from the system)", **count)
    parser.add_argument("--hosts", default=3, help="for the actors (default 3)", **count)
    parser.add_argument("--instances", default=2, help="of each actor (default 2)", **count)
    parser.add_argument("--rate", default=200, help="events a second (default 200)", **count)
    parser.add_argument("--keys", default=40, help="of the events (default 40)", **count)
    parser.add_argument("--drain", type=float, default=120, metavar="S",
                        help="all must be handled so long after the troubles (default 120)")
    parser.add_argument("--json", action="store_true", help="the last line is the verdict as JSON")
    given = parser.parse_args()
    for name in ("hosts", "instances", "rate", "keys"):
        if not 1 <= getattr(given, name) <= 10000 or given.hosts > 200:
            parser.error(f"--{name}: out of range")
    if given.seed is None:
        given.seed = random.SystemRandom().randrange(1 << 32)
        sys.argv += ["--seed", str(given.seed)]  # kept when this starts itself again
    if given.seconds is None and given.kills is None:
        given.seconds = 60
    return given


def replay(given):
    words = ["tests/chaos/run"]
    for name in ("seconds", "kills", "seed", "hosts", "instances", "rate", "keys"):
        value = getattr(given, name)
        if value is not None:
            words += [f"--{name}", f"{value:g}" if isinstance(value, float) else str(value)]
    return " ".join(words)


def storm(given, system, trouble):
    """Trouble for as long as it was asked for, then until everything has drained. None, or what is
    still waited for."""
    for process in system.restartable:
        process.start()
    system.wait_until_up()
    system.producer.start()
    end = time.monotonic() + given.seconds if given.seconds is not None else float("inf")
    kills = given.kills if given.kills is not None else float("inf")
    trouble.run(lambda: time.monotonic() >= end or trouble.counts["kills"] >= kills)
    trouble.end()
    system.producer.ask_to_stop()
    end = time.monotonic() + given.drain
    while True:
        trouble.keep_up()
        waiting = system.waiting()
        if waiting is None or time.monotonic() > end:
            return waiting
        time.sleep(0.1)


def stop(system, findings):
    """A shutdown on request is clean, and leaves a sound journal."""
    for process in [*system.instances, system.orchestrator]:
        process.ask_to_stop()
        try:
            code = process.process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            code = "nothing for 30 s"
        if code != 0:
            findings.append(f"{process.name} answered SIGTERM with {code}")
    done = subprocess.run([system.tools["baton"], "journal", "verify", system.directory / "data"],
                          capture_output=True, text=True)
    if done.returncode != 0:
        findings.append(f"baton journal verify: {done.stdout}{done.stderr}")


def judge(system):
    with open(system.receipts) as lines:
        receipts = [(entry["base"], entry["rows"]) for entry in map(json.loads, lines)]
    logs = {}
    for stage in STAGES:
        with open(system.directory / f"{stage.actor}.handled", errors="replace") as text:
            logs[stage.actor] = list(checkers.rows_of(text))
    journal = system.journal()
    figures = {"events": sum(len(rows) for _, rows in receipts), "journal": len(journal),
               "dead_letters": sum(1 for event in journal if event["dead"] is not None)}
    return figures, checkers.check(receipts, journal, logs, STAGES)


def report(given, figures, failed, directory):
    for name, value in figures.items():
        print(f"{name:15} {value}")
    if failed:
        print("\n".join(["", "BROKEN:", *failed, ""]))
        print(f"logs: {directory}\nagain: {replay(given)}")
    if given.json:
        print(json.dumps(figures))


def main():
    given = parse()
    hosts.enter()
    directory = pathlib.Path(tempfile.mkdtemp(prefix="baton-chaos-"))
    tools = {"baton": pathlib.Path(os.environ["BATON_BIN"]) / "baton",
             "probe": pathlib.Path(os.environ["BATON_PROBE"])}
    names = [f"host{n}" for n in range(1, given.hosts + 1)]
    net = hosts.make(["center", "source", *names])
    print(f"seed {given.seed}; {net.says}", flush=True)
    system = System(net, names, given, tools, directory)
    trouble = Trouble(system, net, names, random.Random(given.seed))
    began, failed, verdict = time.monotonic(), [], checkers.Verdict()
    judged = {"events": 0, "journal": 0, "dead_letters": 0}
    try:
        waiting = storm(given, system, trouble)
        if waiting:
            failed.append(f"not drained after {given.drain:g} s:\n{waiting}")
        else:
            judged, verdict = judge(system)
            stop(system, trouble.unexpected)
            if not judged["events"]:
                failed.append("no event has a receipt")
    except (RuntimeError, OSError) as error:
        failed.append(str(error))
    finally:
        system.destroy()
    failed += trouble.unexpected + verdict.examples
    figures = {"seed": given.seed, **judged, **trouble.counts, **verdict.counts,
               "unexpected": len(trouble.unexpected), "drained": judged["events"] > 0,
               "seconds": round(time.monotonic() - began, 1)}
    report(given, figures, failed, directory)
    if not failed:
        shutil.rmtree(directory)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
