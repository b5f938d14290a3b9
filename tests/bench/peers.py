# SPDX-License-Identifier: MPL-2.0
"""The same load on other systems: their servers, with bench_peer as producer and consumers.

Each run starts a server of its own on free loopback ports with its data in a folder of its own, on
the file system that baton's journal is on too, and ends it by its pid. `run` gives what the cases
of tests/bench/run give for baton: events a second, processor time, latency.
"""
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
import time

from children import Failed, output

# Name, system of bench_peer, server program, what it is told.
REDIS = ["--save", "", "--appendonly", "yes", "--protected-mode", "no", "--daemonize", "no",
         "--logfile", "", "--loglevel", "warning", "--appendfsync"]
PEERS = {
    "Redis always": ("redis", "redis-server", REDIS + ["always"], {}),
    "Redis everysec": ("redis", "redis-server", REDIS + ["everysec"], {}),
    "NATS JetStream": ("nats", "nats-server", [], {}),
    "zmq_proxy": ("proxy", None, [], {}),
    "zmq_proxy, batches": ("proxy", None, [], {"window": 64000}),
    "4 KiB + fdatasync": ("disk", None, [], {}),  # no system, but what each that syncs waits for
}
PERCENTILES = ("p50_us", "p90_us", "p99_us", "p99.9_us")
START_S = 20
TICKS = os.sysconf("SC_CLK_TCK")


def free_ports(count):
    """Free now: a server that loses the race for one fails, and that is said."""
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def processor_s(pid):
    """Of a living process, user and system."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def wait_for_port(port, process):
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise Failed(f"the server ended with {process.returncode}")
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.02)
    raise Failed("the server does not listen")


class Peer:
    def __init__(self, name, program, folder):
        self.name, self.program = name, str(program)
        self.system, self.server, self.options, self.extra = PEERS[name]
        self.folder = tempfile.mkdtemp(prefix="baton-bench-peer.", dir=folder)
        self.children = []

    def start(self, argv, **options):
        process = subprocess.Popen(argv, cwd=self.folder, stdin=subprocess.DEVNULL, **options)
        self.children.append(process)
        return process

    def role(self, role, **values):
        return self.start([self.program, self.system, role,
                           *(f"{name}={value}" for name, value in values.items())],
                          stdout=subprocess.PIPE, text=True)

    def start_server(self):
        if self.system == "proxy":
            ports = free_ports(2)
            self.endpoint = "127.0.0.1:%d:%d" % tuple(ports)
            process = self.role("server", endpoint=self.endpoint)
            if process.stdout.readline().strip() != "ready":
                raise Failed("the proxy did not come up")
            return process
        port, = free_ports(1)
        self.endpoint = f"127.0.0.1:{port}"
        if self.system == "redis":
            argv = [self.server, "--port", str(port), "--bind", "127.0.0.1", "--dir", self.folder,
                    *self.options]
        else:
            argv = [self.server, "-a", "127.0.0.1", "-p", str(port), "-js", "-sd", self.folder]
        process = self.start(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_for_port(port, process)
        return process

    def measure(self, events, size, rate, groups):
        if self.system == "disk":
            return self.measure_disk(events, size, rate)
        server = self.start_server()
        common = {"endpoint": self.endpoint, "events": events, "size": size}
        consumers = [self.role("consumer", group=f"g{i}", **common) for i in range(groups)]
        for consumer in consumers:
            if consumer.stdout.readline().strip() != "ready":
                raise Failed(f"{self.name}: a consumer did not come up")
        if self.system == "proxy":
            time.sleep(0.5)  # subscriptions have no acknowledgement
        before = processor_s(server.pid)
        producer = self.role("producer", rate=rate, **common, **self.extra)
        results = [self.result(child) for child in [producer, *consumers]]
        used = processor_s(server.pid) - before
        seconds = (max(r["last_ns"] for r in results[1:]) - results[0]["first_ns"]) / 1e9
        processor_us = used * 1e6 + sum(r["user_us"] + r["system_us"] for r in results)
        return {"handled_per_second": events * groups / seconds,
                "together_us": processor_us / events, "server_us": used * 1e6 / events,
                **{name: max(r[name] for r in results[1:]) for name in PERCENTILES}}

    def measure_disk(self, events, size, rate):
        result = self.result(self.role("producer", events=events, size=size, rate=rate))
        seconds = (result["last_ns"] - result["first_ns"]) / 1e9
        return {"handled_per_second": events / seconds, "server_us": 0,
                "together_us": (result["user_us"] + result["system_us"]) / events,
                **{name: result[name] for name in PERCENTILES}}

    def result(self, child):
        try:
            out, _ = child.communicate(timeout=600)
        except subprocess.TimeoutExpired as error:
            raise Failed(f"{self.name}: no end in sight") from error
        if child.returncode:
            raise Failed(f"{self.name}: a client ended with {child.returncode}")
        return json.loads(out.split("result ", 1)[1])

    def close(self):
        for child in reversed(self.children):
            if child.poll() is None:
                child.send_signal(signal.SIGKILL)
            child.wait()
            if child.stdout:
                child.stdout.close()
        shutil.rmtree(self.folder, ignore_errors=True)


def available(program):
    """The peers that can run here, and why the others cannot."""
    code, systems, err = output(str(program), "list")
    if code:
        raise Failed(f"{program} list: {err.strip()}")
    systems = systems.split()
    there, missing = [], {}
    for name, (system, server, _, _) in PEERS.items():
        if system not in systems:
            missing[name] = "its client library was not there when bench_peer was built"
        elif server and not shutil.which(server):
            missing[name] = f"{server} is not installed"
        else:
            there.append(name)
    return there, missing


def run(name, program, folder, events, size, rate=0, groups=1):
    peer = Peer(name, program, folder)
    try:
        return peer.measure(events, size, rate, groups)
    finally:
        peer.close()
