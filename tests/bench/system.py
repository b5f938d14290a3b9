# SPDX-License-Identifier: MPL-2.0
"""An orchestrator, actors and producers as processes, started one by one: for the cases that one
run of `baton bench` does not have. The processes are those of `baton bench` (framework/cli/bench.h
says what they print)."""
import json
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import threading
import time

import msgpack
import zmq

from children import Failed, quiet_disk

PATIENCE_S = 300
HELLO, JOIN, LEAVE, STATUS, ERROR = 1, 3, 8, 9, 0xFF
POLICY = [5, 100, 30000, 30000]


def wait(what, condition, needed=(), seconds=PATIENCE_S):
    """Until condition (). `needed`: processes without which it will never be true."""
    deadline = time.monotonic() + seconds
    while not condition():
        ended = [process for process in needed if process.process.poll() is not None]
        if ended and not condition():
            raise Failed(f"{what}: {ended[0].what} has ended with {ended[0].process.returncode}")
        if time.monotonic() >= deadline:
            raise Failed(f"{what}: not within {seconds} s")
        time.sleep(0.01)


class Process:
    """A child of `baton bench`; what it prints is kept as it comes."""

    def __init__(self, argv):
        self.what = " ".join(argv)
        self.started = time.monotonic()
        try:
            self.process = subprocess.Popen(argv, stdout=subprocess.PIPE,
                                            stdin=subprocess.DEVNULL, text=True)
        except OSError as error:
            raise Failed(f"{argv[0]}: {error.strerror}") from error
        self.ready = self.result = None
        self.handled = 0
        self.ready_after = None
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self):
        for line in self.process.stdout:
            word, _, rest = line.strip().partition(" ")
            if word == "handled":
                self.handled = int(rest)
            elif word == "result":
                self.result = json.loads(rest)
            elif word == "ready":
                self.ready_after = time.monotonic() - self.started
                self.ready = rest

    def end(self, number=signal.SIGTERM):
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.reader.join()
        self.process.stdout.close()
        return self.result

    def processor_s(self):
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text()
        fields = fields.rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory_mib(self):
        """The most that was resident so far."""
        for line in pathlib.Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmHWM"):
                return int(line.split()[1]) / 1024
        return 0


class Admin:
    """Requests of the protocol, for what the bench's processes do not do."""

    def __init__(self, endpoint):
        self.endpoint, self.request = endpoint, 0

    def ask(self, socket, kind, *fields):
        self.request += 1
        socket.send(b"BT\x01" + bytes([kind]) + msgpack.packb([self.request, *fields]))
        while socket.poll(10000):
            head = socket.recv_multipart()[0]
            request, *reply = msgpack.unpackb(head[4:], strict_map_key=False)
            if request == self.request and head[3] == ERROR:
                raise Failed(f"{reply[2]}: {reply[3]}")
            if request == self.request:
                return reply
        raise Failed("the orchestrator does not answer")

    def connect(self, role, name):
        socket = zmq.Context.instance().socket(zmq.DEALER)
        socket.setsockopt(zmq.LINGER, 0)
        socket.connect(self.endpoint)
        incarnation = int.from_bytes(os.urandom(8), "big") | 1
        self.ask(socket, HELLO, role, name, incarnation)
        return socket, incarnation

    def status(self):
        socket, _ = self.connect(3, "bench")
        reply = self.ask(socket, STATUS)[0]
        socket.close()
        return reply

    def register(self, name, pattern):
        """An actor that nobody runs."""
        socket, incarnation = self.connect(2, name)
        self.ask(socket, JOIN, name, "nobody", incarnation, [pattern], 0, 0, POLICY)
        self.ask(socket, LEAVE, 0, 0, 2**64 - 1)
        socket.close()


class System:
    """To be used with `with`: whatever was started or made is gone at its end."""

    def __init__(self, baton, partitions=None):
        self.baton, self.partitions = str(baton), partitions
        self.processes = []
        self.orchestrator = self.admin = self.folder = None

    def __enter__(self):
        quiet_disk()
        self.folder = tempfile.mkdtemp(prefix="baton-bench.",
                                       dir=os.environ.get("TMPDIR", "/var/tmp"))
        try:
            self.start_orchestrator()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for process in reversed(self.processes):
            process.end(signal.SIGKILL)
        shutil.rmtree(self.folder, ignore_errors=True)

    def start(self, role, **options):
        argv = [self.baton, "bench", "--role", role]
        for name, value in options.items():
            argv += ["--" + name.replace("_", "-"), str(value)]
        process = Process(argv)
        self.processes.append(process)
        return process

    def end(self, process, number=signal.SIGTERM):
        self.processes.remove(process)
        return process.end(number)

    def start_orchestrator(self):
        options = {"partitions": self.partitions} if self.partitions else {}
        self.orchestrator = self.start("orchestrator", data_dir=self.folder, **options)
        wait("the orchestrator comes up", lambda: self.orchestrator.ready, [self.orchestrator])
        self.admin = Admin(self.orchestrator.ready)

    def actor(self, name, topic, start, **options):
        return self.start("actor", connect=self.orchestrator.ready, name=name, topic=topic,
                          index=start, **options)

    def joined(self, count):
        wait("the actors join", lambda: self.admin.status()["orchestrator"]["instances"] >= count)

    def producer(self, topic, events, **options):
        return self.start("producer", connect=self.orchestrator.ready, topic=topic, events=events,
                          size=100, **options)

    def produced(self, producer):
        wait("the producer ends", lambda: producer.process.poll() is not None,
             [self.orchestrator])
        self.processes.remove(producer)
        result = producer.end()
        if not result:
            raise Failed("the producer failed")
        return result

    def handled(self, actors, events):
        """Until they have handled so many together."""
        wait("the actors handle everything", lambda: sum(a.handled for a in actors) >= events,
             [self.orchestrator, *actors])
