# SPDX-License-Identifier: MPL-2.0
"""Trouble at random: what, to whom, for how long, all from one seed.

The seed decides the order of troubles, not what the machine makes of it: a replay is the same
storm, not always the same wreck.
"""

import heapq
import time

# How likely each is before the seed scales it; from almost never to twice as often.
WEIGHTS = {"kill": 45, "kill_orchestrator": 10, "restart": 5, "pause": 12, "pause_orchestrator": 5,
           "pause_producer": 3, "cut": 12, "delay": 5, "loss": 5}
BETWEEN_S = 0.15  # mean time between two troubles


class Trouble:
    def __init__(self, system, hosts, names, chance):
        self.system, self.hosts, self.names, self.chance = system, hosts, names, chance
        self.counts = dict.fromkeys(("kills", "restarts", "pauses", "partitions", "delays",
                                     "losses", "own_crashes"), 0)
        self.later, self.order = [], 0
        self.spoiled = set()
        self.unexpected = []
        kinds = {k: w for k, w in WEIGHTS.items()
                 if k in hosts.troubles or k not in ("cut", "delay", "loss")}
        self.kinds = list(kinds)
        self.weights = [w * chance.uniform(0.1, 2) for w in kinds.values()]

    def after(self, delay_s, action):
        self.order += 1
        heapq.heappush(self.later, (time.monotonic() + delay_s, self.order, action))

    def duration(self):
        """Mostly shorter than the session timeout, sometimes well beyond."""
        return self.chance.uniform(0.05, 0.8) if self.chance.random() < 0.8 else \
            self.chance.uniform(1.5, 3.5)

    def run(self, over):
        """Until over() is true."""
        next_at = time.monotonic()
        while not over():
            now = time.monotonic()
            while self.later and self.later[0][0] <= now:
                heapq.heappop(self.later)[2]()
            self.keep_running(now)
            if now >= next_at:
                self.one()
                next_at = now + min(1, self.chance.expovariate(1 / BETWEEN_S))
            time.sleep(0.005)

    def keep_running(self, now):
        """Starts what is down. A process that has ended in a way that no order explains is a
        finding."""
        for process in self.system.restartable:
            if process.running:
                continue
            if process.start_at is None:
                code = process.process.returncode
                if code == -9 and process in self.system.instances and code in process.wanted:
                    self.counts["own_crashes"] += 1  # an event had told it to
                elif code not in process.wanted:
                    self.unexpected.append(f"{process.name} ended with {code}")
                process.start_at = now
            if now >= process.start_at:
                process.start()
        producer = self.system.producer
        if not producer.running and producer.process.returncode not in producer.wanted:
            raise RuntimeError(f"the producer has ended, see {producer.log}")

    def one(self):
        kind = self.chance.choices(self.kinds, self.weights)[0]
        victim = self.chance.choice(self.system.instances)
        host = self.chance.choice(self.names + ["source"])
        direction = self.chance.choice(["in", "out", "both", "both"])
        if kind == "kill":
            self.kill(victim)
        elif kind == "kill_orchestrator":
            self.kill(self.system.orchestrator)
        elif kind == "restart":
            self.restart(victim)
        elif kind == "pause":
            self.pause(victim)
        elif kind == "pause_orchestrator":
            self.pause(self.system.orchestrator)
        elif kind == "pause_producer":
            self.pause(self.system.producer)
        else:
            self.spoil(host, kind, direction)

    def kill(self, process):
        back = self.chance.choice([0, 0, 0.1, 0.5, 2])
        if process.running:
            process.kill()
            self.counts["kills"] += 1
            process.start_at = time.monotonic() + back

    def restart(self, process):
        if process.running and not process.paused:
            process.ask_to_stop()
            self.counts["restarts"] += 1

    def pause(self, process):
        duration = self.duration()
        if process.running and not process.paused:
            process.pause()
            self.counts["pauses"] += 1
            of = process.process
            self.after(duration, lambda: process.resume() if process.process is of else None)

    def spoil(self, host, kind, direction):
        duration = self.duration()
        if host in self.spoiled:
            return
        self.spoiled.add(host)
        self.hosts.spoil(host, kind, direction, self.chance)
        self.counts[{"cut": "partitions", "delay": "delays", "loss": "losses"}[kind]] += 1
        self.after(duration, lambda: self.heal(host))

    def heal(self, host):
        self.spoiled.discard(host)
        self.hosts.heal(host)

    def end(self):
        """Everything runs again, on good links."""
        self.later = []
        for host in list(self.spoiled):
            self.heal(host)
        for process in self.system.processes:
            if process.paused:
                process.resume()

    def keep_up(self):
        self.keep_running(time.monotonic() + 10)
