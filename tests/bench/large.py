# SPDX-License-Identifier: MPL-2.0
"""What needs a long journal or a large system: catching up, restarting, many of everything, and how
the cost of an event grows with what is there."""
import signal
import sys
import time

from system import System, wait

TOPIC = "bench.large"


def say(text):
    print(text, file=sys.stderr, flush=True)


def rate_of(actor, seconds):
    """Events a second that it handles, over a while."""
    before, start = actor.handled, time.monotonic()
    time.sleep(seconds)
    return (actor.handled - before) / (time.monotonic() - start)


def catch_up(baton, events, live_rate=100000, seconds=5):
    """One actor lives from a steady load; then another one, `events` behind, catches up beside."""
    with System(baton) as system:
        live = system.actor("live", TOPIC, 0)
        system.joined(1)
        system.produced(system.producer(TOPIC, events))
        system.handled([live], events)
        load = system.producer(TOPIC, live_rate * 600, rate=live_rate)
        time.sleep(1)
        alone = rate_of(live, seconds)
        start = time.monotonic()
        late = system.actor("late", TOPIC, 0)
        before = live.handled
        wait("the actor catches up", lambda: late.handled >= events,
             [system.orchestrator, load, late])
        took = time.monotonic() - start
        beside = (live.handled - before) / took
        system.end(load, signal.SIGKILL)
        return {"behind": events, "live_rate": live_rate, "caught_up_per_second": events / took,
                "live_alone": alone, "live_beside": beside, "live_loss": 1 - beside / alone,
                "orchestrator_mib": system.orchestrator.memory_mib()}


def restart(baton, events, actors=5):
    """The orchestrator of a journal of so many events starts again: after it was killed, and after
    it was asked to stop. Until it has answered a request."""
    with System(baton) as system:
        all_of_them = [system.actor(f"a{i}", TOPIC, 0) for i in range(actors)]
        system.joined(actors)
        system.produced(system.producer(TOPIC, events))
        system.handled(all_of_them, events * actors)
        result = {"events": events, "actors": actors}
        for actor in all_of_them:
            system.end(actor)
        for name, number in (("after_kill_s", signal.SIGKILL), ("after_stop_s", signal.SIGTERM)):
            system.end(system.orchestrator, number)
            start = time.monotonic()
            system.start_orchestrator()
            system.admin.status()
            result[name] = time.monotonic() - start
        result["orchestrator_mib"] = system.orchestrator.memory_mib()
        return result


def crowd(baton, events, running, instances=32, actors=200, topics=1000, partitions=64):
    """One actor of many instances gets all topics; the others have a topic each, spread over all,
    and a process each if they run; else their events are kept for them."""
    with System(baton, partitions) as system:
        main = [system.actor("main", f"{TOPIC}.in.*", 0) for _ in range(instances)]
        step = topics // actors
        patterns = [f"{TOPIC}.in.{i * step}" for i in range(actors - 1)]
        others = []
        for i, pattern in enumerate(patterns):
            if running:
                others.append(system.actor(f"other{i}", pattern, 0))
            else:
                system.admin.register(f"other{i}", pattern)
        system.joined(instances + len(others))
        start, used = time.monotonic(), system.orchestrator.processor_s()
        system.produced(system.producer(TOPIC, events, topics=topics))
        system.handled(main, events)
        took = time.monotonic() - start
        system.handled(others, len(others) * (events // topics))
        return {"per_second": events / took,
                "orchestrator_us": (system.orchestrator.processor_s() - used) * 1e6 / events,
                "orchestrator_mib": system.orchestrator.memory_mib()}


def many(baton, events, instances=32, actors=200, topics=1000, partitions=64):
    """Many of everything, with the actors that have no instance of the 32, and with all running;
    and the simple case on the same machine in the same minute."""
    simple = throughput(baton, events)["per_second"]
    result = {"events": events, "instances": instances, "actors": actors, "topics": topics,
              "partitions": partitions, "simple_per_second": simple}
    for name, running in (("registered", False), ("running", True)):
        figures = crowd(baton, events, running, instances, actors, topics, partitions)
        result[f"{name}_share"] = figures["per_second"] / simple
        for figure, value in figures.items():
            result[f"{name}_{figure}"] = value
    return result


def throughput(baton, events, idle_actors=0, before=0, **load):
    """One producer, one actor; `before` events are in the journal already."""
    pattern = f"{TOPIC}.in.*" if load.get("topics", 1) > 1 else TOPIC
    with System(baton) as system:
        for i in range(idle_actors):
            system.admin.register(f"idle{i}", f"idle.{i}")
        actor = system.actor("a", pattern, 0)
        system.joined(1)
        if before:
            system.produced(system.producer(TOPIC, before, **load))
            system.handled([actor], before)
        used = system.orchestrator.processor_s() + actor.processor_s()
        start = time.monotonic()
        made = system.produced(system.producer(TOPIC, events, **load))
        system.handled([actor], before + events)
        took = time.monotonic() - start
        used = system.orchestrator.processor_s() + actor.processor_s() - used
        used += (made["user_us"] + made["system_us"]) / 1e6
        return {"per_second": events / took, "us_per_event": used * 1e6 / events,
                "orchestrator_mib": system.orchestrator.memory_mib()}


def growth(baton, events, rounds):
    """{what grows: [(how many, least processor microseconds per event of the rounds)]}. The least:
    what else the machine does only ever adds."""
    axes = {
        "events in the journal": [(n, {"before": n}) for n in (events, events * 3, events * 10)],
        "keys": [(n, {"keys": n}) for n in (1000, 10000, 100000, 1000000)],
        "topics": [(n, {"topics": n}) for n in (1, 10, 100, 1000)],
        "actors": [(n, {"idle_actors": n}) for n in (1, 10, 100, 900)],
    }
    curves = {}
    for axis, points in axes.items():
        for count, load in points:
            runs = [throughput(baton, events, **load) for _ in range(rounds)]
            curves.setdefault(axis, []).append((count, min(r["us_per_event"] for r in runs)))
            say(f"growth, {axis}: {count}: {curves[axis][-1][1]:.2f} us")
    return curves
