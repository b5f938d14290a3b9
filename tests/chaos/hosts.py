# SPDX-License-Identifier: MPL-2.0
"""Hosts for the chaos test, and troubles of their links.

Where it is allowed the whole test runs in mount, process and network namespaces of its own
(unshare; without root in a user namespace too): each host is a network namespace in there, joined
to the others by a veth pair and a bridge. When the test ends, however it ends, the kernel removes
all of it; the machine's own network is never touched. Where it is not allowed everything runs on
one loopback address, and there are no troubles of links.
"""

import os
import random
import shutil
import subprocess
import sys

INSIDE = "BATON_CHAOS_INSIDE"
# A link that delays and one that loses, with netem, or where the kernel has none with a token
# bucket that is too narrow for the load: a long queue delays, a short one drops. One that is cut.
NETEM = {"delay": ["netem delay 30ms 20ms", "netem delay 150ms 100ms"],
         "loss": ["netem loss 2%", "netem loss 15%"],
         "cut": ["netem loss 100%"]}
BUCKET = {"delay": ["tbf rate 80kbit burst 1600b latency 500ms",
                    "tbf rate 40kbit burst 1600b latency 2s"],
          "loss": ["tbf rate 120kbit burst 1600b limit 2000b",
                   "tbf rate 60kbit burst 1600b limit 2000b"],
          "cut": ["tbf rate 8bit burst 1b limit 1b"]}
SCRIPT = """
mount -t tmpfs tmpfs /run && ip netns add probe &&
ip -n probe link add veth0 type veth peer name veth1 && ip -n probe link add bridge0 type bridge &&
tc -n probe qdisc add dev veth0 root tbf rate 8bit burst 1b limit 1b
"""


def unshare():
    command = ["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"]
    return command if os.geteuid() == 0 else command + ["--user", "--map-root-user"]


def enter():
    """Runs this program again in namespaces of its own, if it can; then it does not return."""
    os.environ["PATH"] += ":/usr/sbin:/sbin"
    if INSIDE in os.environ or not all(map(shutil.which, ("unshare", "ip", "tc"))):
        return
    done = subprocess.run(unshare() + ["sh", "-c", SCRIPT], capture_output=True)
    if done.returncode == 0:
        os.environ[INSIDE] = "1"
        sys.stdout.flush()
        os.execvp("unshare", unshare() + [sys.executable, *sys.argv])


def run(*words):
    subprocess.run(" ".join(words).split(), check=True, stdout=subprocess.DEVNULL)


class Namespaces:
    """Hosts by name, in the namespaces that enter() has made."""

    def __init__(self, names):
        run("mount -t tmpfs tmpfs /run")
        run("ip link set lo up")
        run("ip netns add switch")
        run("ip -n switch link add br0 type bridge")
        run("ip -n switch link set br0 up")
        self.addresses = {}
        for number, name in enumerate(names, 1):
            self.addresses[name] = f"10.0.0.{number}"
            run("ip netns add", name)
            run(f"ip -n switch link add port{number} type veth peer name eth0 netns {name}")
            run(f"ip -n switch link set port{number} master br0 up")
            run(f"ip -n {name} addr add 10.0.0.{number}/24 dev eth0")
            run(f"ip -n {name} link set eth0 up")
            run(f"ip -n {name} link set lo up")
        netem = subprocess.run("tc -n switch qdisc add dev br0 root netem delay 1ms".split(),
                               capture_output=True).returncode == 0
        if netem:
            run("tc -n switch qdisc del dev br0 root")
        self.links = NETEM if netem else BUCKET
        self.troubles = ["cut", "delay", "loss"]
        self.says = "hosts in network namespaces" + \
            ("" if netem else "; no netem in this kernel: delay and loss come from narrow links")
        self.spoiled = set()

    def endpoint(self, name):
        return f"tcp://{self.addresses[name]}:7711"

    def command(self, name, arguments):
        return ["ip", "netns", "exec", name, *arguments]

    def ends(self, name):
        """The two ends of a host's link: what comes in leaves the switch at its port."""
        port = "port" + self.addresses[name].rsplit(".", 1)[1]
        return {"in": ("switch", port), "out": (name, "eth0")}

    def spoil(self, name, kind, direction, chance=random):
        """direction: in, out, both, as the host sees it."""
        spec = chance.choice(self.links[kind])
        for end, (space, device) in self.ends(name).items():
            if direction in (end, "both"):
                run(f"tc -n {space} qdisc replace dev {device} root {spec}")
                self.spoiled.add((space, device))

    def heal(self, name):
        for space, device in self.ends(name).values():
            if (space, device) in self.spoiled:
                self.spoiled.discard((space, device))
                run(f"tc -n {space} qdisc del dev {device} root")


class Loopback:
    """All hosts are this one, on an address of the test's own."""

    def __init__(self, names):
        pid = os.getpid()
        self.address = f"127.{1 + pid // 62500 % 250}.{1 + pid // 250 % 250}.{1 + pid % 250}"
        self.troubles = []
        self.says = "on loopback, as namespaces are not allowed here or ip, tc or unshare are " \
            "missing: no partitions, no delay, no loss"

    def endpoint(self, name):
        return f"tcp://{self.address}:7711"

    def command(self, name, arguments):
        return list(arguments)

    def heal(self, name):
        pass


def make(names):
    return Namespaces(names) if INSIDE in os.environ else Loopback(names)
