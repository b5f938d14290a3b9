# SPDX-License-Identifier: MPL-2.0
"""The processes under test: an orchestrator, a pipeline of probe actors, a producer."""

import json
import os
import pathlib
import signal
import subprocess
import sys
import time

from checkers import Stage

HERE = pathlib.Path(__file__).resolve().parent
STAGES = [Stage("first", "load.", "middle"), Stage("second", "middle", "final"),
          Stage("third", "final", None)]
TIMES = {"heartbeat_ms": 200, "session_timeout_ms": 1500, "reconnect_grace_ms": 300}
ATTEMPTS = 50  # so many deaths in one event's hands are no chance any more


class Process:
    """A process on a host that can be killed, paused and started again, under one name."""

    def __init__(self, hosts, host, name, arguments, directory):
        self.host, self.name = host, name
        self.command = hosts.command(host, [str(a) for a in arguments])
        self.log = directory / f"{name}.log"
        self.process, self.paused, self.start_at, self.wanted = None, False, None, ()
        self.environment = {**os.environ, "BATON_INSTANCE": name}

    def start(self):
        self.start_at, self.paused, self.wanted = None, False, (-signal.SIGKILL,)
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=log,
                                            stderr=log, env=self.environment)

    @property
    def running(self):
        return self.process is not None and self.process.poll() is None

    def signal(self, number):
        if self.running:
            self.process.send_signal(number)

    def kill(self):
        self.signal(signal.SIGKILL)
        self.process.wait()

    def pause(self):
        self.paused = True
        self.signal(signal.SIGSTOP)

    def resume(self):
        self.paused = False
        self.signal(signal.SIGCONT)

    def ask_to_stop(self):
        """From now on it should end with exit code 0, or by the signal if it has just started."""
        self.wanted = (0, -signal.SIGTERM)
        self.signal(signal.SIGTERM)


class System:
    def __init__(self, hosts, names, given, tools, directory):
        self.hosts, self.directory, self.tools = hosts, directory, tools
        self.endpoint = hosts.endpoint("center")
        self.orchestrator = Process(hosts, "center", "orchestrator",
                                    [tools["baton"], "orchestrator", self.configuration()],
                                    directory)
        self.instances = []
        for number in range(given.instances):
            for place, stage in enumerate(STAGES):
                host = names[(number + place) % len(names)]
                self.instances.append(self.instance(host, stage, number + 1))
        self.receipts = directory / "receipts"
        self.producer = Process(hosts, "source", "producer", [
            sys.executable, HERE / "producer.py", self.endpoint, self.receipts,
            "--rate", given.rate, "--keys", given.keys, "--seed", given.seed], directory)

    def configuration(self):
        fields = {"data_dir": self.directory / "data", "endpoint": self.endpoint, "partitions": 12,
                  "segment_bytes": "8 MiB", "disk_reserve_bytes": "16 MiB", **TIMES}
        path = self.directory / "orchestrator.conf"
        path.write_text("orchestrator\n" + "".join(f'    {k} = "{v}"\n' for k, v in fields.items()))
        return path

    def instance(self, host, stage, number):
        name = f"{stage.actor}-{number}"
        pattern = stage.topics + "*" if stage.topics.endswith(".") else stage.topics
        emits = ["--emit", stage.emits] if stage.emits else []
        return Process(self.hosts, host, name, [
            self.tools["probe"], "--connect", self.endpoint, "--name", stage.actor,
            "--instance", name, "--max-attempts", ATTEMPTS, "--backoff-min", 20,
            "--backoff-max", 200, "--connect-timeout", 0, "--",
            "--log", self.directory / f"{stage.actor}.handled", "--on", pattern, *emits],
            self.directory)

    @property
    def restartable(self):
        return [self.orchestrator, *self.instances]

    @property
    def processes(self):
        return [*self.restartable, self.producer]

    def baton(self, *words):
        return self.hosts.command("center", [str(self.tools["baton"]), *words,
                                             "--connect", self.endpoint])

    def status(self):
        done = subprocess.run(self.baton("status", "--json"), capture_output=True, text=True)
        return json.loads(done.stdout) if done.returncode == 0 else None

    def wait_until_up(self, deadline_s=30):
        """All actors registered: from here on every event is theirs."""
        end = time.monotonic() + deadline_s
        while time.monotonic() < end:
            status = self.status()
            if status and sum(1 for a in status["actors"] if a["instances"]) == len(STAGES):
                return
            time.sleep(0.05)
        raise RuntimeError("the system did not come up")

    def waiting(self):
        """What an undrained system waits for, as text; None when all has drained."""
        if self.producer.running:
            return "the producer has no receipt for its last batch"
        status = self.status()
        if status is None:
            return "the orchestrator does not answer"
        actors = {a["name"]: a for a in status["actors"]}
        late = [f"{s.actor}: {json.dumps(actors.get(s.actor))}" for s in STAGES
                if s.actor not in actors or actors[s.actor]["lag"] != 0]
        return "\n".join(late) or None

    def journal(self):
        """Everything in the journal, as the checkers want it."""
        reader = subprocess.Popen(self.baton("read", "--from", "beginning"), stdout=subprocess.PIPE)
        events = []
        for line in reader.stdout:
            event = json.loads(line)
            dead = event.get("deadoffset")
            events.append({"offset": int(event["offset"]), "id": event["id"],
                           "topic": event["type"], "key": event.get("subject"),
                           "n": event["data"]["n"],
                           "cause": event.get("causationid") if dead is None else None,
                           "dead": None if dead is None else int(dead)})
        if reader.wait() != 0:
            raise RuntimeError("the journal could not be read")
        return events

    def destroy(self):
        for process in self.processes:
            if process.running:
                process.kill()
