# SPDX-License-Identifier: MPL-2.0
"""One system on several hosts: `baton up` and two nodes, each with a data directory of its own, all
on this machine. Whatever happens to them: nothing is lost, doubled or out of order, and nothing
runs that the file does not say."""

import json
import os
import pathlib
import random
import re
import signal
import socket
import subprocess
import time

import harness
import zmtp
from harness import BIN, PROBE, load, wait_for


def exists(pid):
    """True unless the process is gone; one that nobody has reaped yet is gone."""
    try:
        stat = pathlib.Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] not in "ZX"


class Nodes(harness.System):

    def setUp(self):
        super().setUp()
        self.where = f"ipc://{self.dir}/nodes"
        self.pids = set()
        self.addCleanup(self.kill_strays)

    def kill_strays(self):
        """Of a test that failed: what the supervisors had started, by the ids that they told."""
        for pid in self.pids:
            try:
                if str(self.dir) in pathlib.Path(f"/proc/{pid}/environ").read_text():
                    os.kill(pid, signal.SIGKILL)
            except (FileNotFoundError, ProcessLookupError):
                pass

    # ---- tools

    def write_up(self, properties="", actors=""):
        """An orchestrator, which finds nobody dead by itself for a minute, and the actors: name ->
        lines of properties."""
        text = self.write_conf(session_timeout_ms="60s", reconnect_grace_ms="60s").read_text()
        text += f'nodes = "{self.where}"\nrestart_backoff_max = 300ms\n{properties}actors\n'
        for name, lines in actors.items():
            probe = f"{PROBE} --name {name} -- --log {self.dir}/{name}.log --on t --emit out"
            text += f"    {name}\n        environment\n            MARK = {self.dir}\n"
            if not lines[0].startswith("command"):
                text += f'        command = "{probe}"\n'
            text += "".join(f"        {line}\n" for line in lines)
        self.conf = self.dir / "up.conf"
        self.conf.write_text(text)
        return self.conf

    def up(self, actors, properties="", name="up"):
        process = self.start(name, [BIN / "baton", "up", self.write_up(properties, actors)])
        wait_for("the orchestrator answers", lambda: self.status() is not None)
        return process

    def node(self, host, *options, name=None):
        return self.start(name or host, [BIN / "baton", "node", "--join", self.where, "--name",
                                         host, "--data-dir", self.dir / (name or host), *options])

    def ask(self, *arguments, host="data", check=True):
        return self.baton(*arguments, "--data-dir", self.dir / host, check=check)

    def listing(self):
        done = self.ask("scale", "--json", check=False)
        found = json.loads(done.stdout) if done.returncode == 0 else {"services": []}
        instances = {instance["instance"]: instance for service in found["services"]
                     for instance in service["instances"]}
        self.pids.update(instance["pid"] for instance in instances.values() if instance["pid"])
        return found, instances

    def ready(self):
        """name -> pid of what is ready, but for the orchestrator."""
        return {name: its["pid"] for name, its in self.listing()[1].items()
                if its["ready"] and name != "orchestrator-1"}

    def wait_ready(self, *names):
        return wait_for(f"{names} are ready", lambda: set(self.ready()) == set(names) and
                        self.ready())

    def node_state(self, host):
        return next((node["state"] for node in self.listing()[0].get("nodes", [])
                     if node["name"] == host), None)

    def wait_node(self, host, state):
        wait_for(f"{host} is {state}", lambda: self.node_state(host) == state)

    def said(self, name="up"):
        path = self.dir / f"{name}.err"
        return path.read_text() if path.exists() else ""

    def wait_said(self, pattern, name="up"):
        return wait_for(f"{pattern} in {self.said(name)}",
                        lambda: re.search(pattern, self.said(name)))

    def stream(self, keys, per_key, rate):
        """Publishes in the background."""
        source = self.dir / "stream.jsonl"
        source.write_text("".join(json.dumps(event) + "\n"
                                  for event in load(keys, per_key, do="sleep", ms=2)))
        return self.start("publish", [BIN / "baton", "publish", "t", source, "--key-field", "key",
                                      "--rate", rate, "--connect", self.endpoint])

    def check(self, actor, keys, per_key, blamed=False):
        """Nothing is lost, doubled in its effects, or out of order; and nobody was blamed."""
        status = self.wait_settled(actor, len(keys) * per_key)
        rows = self.log(actor)
        self.assert_all_handled(rows, keys, per_key)
        self.assert_ordered(rows)
        self.assert_emitted_once("out", len(keys) * per_key)
        self.assertEqual(status["died"], 0)
        if not blamed:
            self.assertEqual({row["attempt"] for row in rows}, {1})
            self.assertEqual(len(rows), 2 * len(keys) * per_key)  # nothing was handed out twice
        return rows

    # ---- who runs what

    def test_each_host_runs_its_part(self):
        up = self.up({"p": ["hosts", "    up = 1", "    a = 2", "    b = 1"],
                      "q": ["host = b", "instances = 2"],
                      "s": ["command = \"sh -c 'echo $BATON_INSTANCE; exec sleep 1000'\"",
                            "host = b"]})
        self.wait_ready("p-1")
        self.assertEqual((self.node_state("a"), self.node_state("b")), ("absent", "absent"))
        self.assertRegex(self.ask("scale").stdout, r"(?m)^b +absent +0  4 wait for it$")
        a, b = self.node("a"), self.node("b")
        pids = self.wait_ready("p-1", "p-1.a", "p-2.a", "p-1.b", "q-1.b", "q-2.b", "s-1.b")
        self.assertEqual((self.node_state("a"), self.node_state("b")), ("joined", "joined"))

        def parent(pid):
            return int(re.search(r"PPid:\s+(\d+)",
                                 pathlib.Path(f"/proc/{pid}/status").read_text()).group(1))
        self.assertEqual({parent(pids[name]) for name in ("p-1.a", "p-2.a")}, {a.pid})
        self.assertEqual({parent(pids[name]) for name in pids if name.endswith(".b")}, {b.pid})
        wait_for("they have joined the orchestrator under these names", lambda: {
            its["name"] for actor in self.status()["actors"] for its in actor["instances"]
        } == set(pids) - {"s-1.b"})
        keys = [f"k{i}" for i in range(40)]
        self.publish("t", load(keys, 10))
        self.wait_settled("p", 400)
        self.wait_settled("q", 400)
        self.assertEqual({row["instance"] for row in self.log("p")},
                         {"p-1", "p-1.a", "p-2.a", "p-1.b"})
        # What a node's instances print is kept there; what runs there is not for it to say.
        self.assertRegex(self.ask("logs", host="b").stdout, r"(?m)^s-1 .*s-1\.b$")
        self.assertEqual(self.ask("scale", "p", 3, host="a", check=False).returncode, 1)
        self.stop(up)
        self.assertEqual([pid for pid in pids.values() if exists(pid)], [])
        # The nodes' instances have drained before those here and the orchestrator were stopped.
        left = re.findall(r"orchestrator: [pq]/(\S+) left", self.said())
        self.assertEqual(left[-1], "p-1")
        self.assertEqual(set(left), set(pids) - {"s-1.b"})
        self.ask("down", host="a")
        self.assertEqual(a.wait(timeout=harness.DEADLINE_S), 0)
        self.stop(b)

    def join_over_tcp(self):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.where = f"tcp://127.0.0.1:{free.getsockname()[1]}"

    def test_over_tcp_and_a_node_leaves_and_comes_back(self):
        self.join_over_tcp()
        up = self.up({"p": ["host = a"]})
        a = self.node("a")
        first = self.wait_ready("p-1.a")
        self.stop(a)
        self.wait_node("a", "left")
        self.assertFalse(exists(first["p-1.a"]))
        self.assertIn("node a has left", self.said())
        self.node("a", name="again")
        self.assertNotEqual(self.wait_ready("p-1.a"), first)
        self.stop(up)

    def test_a_second_node_of_a_name_is_refused(self):
        up = self.up({"p": ["host = a"]})
        a = self.node("a")
        pids = self.wait_ready("p-1.a")
        self.node("a", name="other")
        self.wait_said("refuses this node: another node of the name 'a' is here", name="other")
        self.wait_said("a node 'a' is refused: another node of the name 'a' is here")
        self.assertEqual(self.ready(), pids)
        # It is let in when the first one has gone.
        self.kill(a)
        self.wait_said("joined .* as a", name="other")
        self.assertNotEqual(self.wait_ready("p-1.a"), pids)
        self.assertEqual(self.node("up").wait(timeout=harness.DEADLINE_S), 2)
        self.stop(up)

    def test_a_node_is_ready_when_it_has_joined(self):
        """As a unit of systemd: it lives before that, too."""
        told = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(told.close)
        told.bind(str(self.dir / "notify"))
        told.settimeout(harness.DEADLINE_S)
        a = self.start("a", [BIN / "baton", "node", "--join", self.where, "--name", "a",
                             "--data-dir", self.dir / "a"],
                       {"NOTIFY_SOCKET": str(self.dir / "notify"), "WATCHDOG_USEC": "1000000"})
        heard = b""
        while heard.count(b"WATCHDOG=1") < 3:
            heard += told.recv(4096)
        self.assertIn(b"STATUS=waits for", heard)
        self.assertNotIn(b"READY=1", heard)
        up = self.up({"p": ["host = a"]})
        while b"READY=1" not in heard:
            heard += told.recv(4096)
        self.wait_ready("p-1.a")
        self.stop(a)
        told.settimeout(1)
        while b"STOPPING=1" not in heard:
            heard += told.recv(4096)
        self.stop(up)

    # ---- scale, restart, reload

    def test_scale_and_restart_act_on_all_hosts(self):
        up = self.up({"p": ["hosts", "    up = 1", "    a = 1", "    b = 1"]})
        self.node("a")
        self.node("b")
        self.wait_ready("p-1", "p-1.a", "p-1.b")
        keys = [f"k{i}" for i in range(40)]
        stream = self.stream(keys, 50, 700)
        wait_for("it is busy", lambda: len(self.log("p")) > 200)
        done = self.ask("scale", "p", 6)
        self.assertEqual(done.stdout, "p: 3 -> 6\n")
        before = self.wait_ready(*[f"p-{n}{host}" for n in (1, 2) for host in ("", ".a", ".b")])
        done = self.ask("restart", "p")
        self.assertEqual(done.stdout.splitlines()[-1], "p: 6 of 6 replaced")
        after = self.ready()
        self.assertEqual(set(after), set(before))
        self.assertEqual([name for name in after if after[name] == before[name]], [])
        # Host by host: a has begun when this one was done, and b when a was.
        ended = re.findall(r"orchestrator: p/(p-\S+) left", self.said())
        self.assertEqual([name[3:] for name in ended], ["", "", ".a", ".a", ".b", ".b"])
        self.assertEqual(self.ask("scale", "p.b", 0).stdout, "p: 6 -> 4\n")
        self.wait_ready("p-1", "p-2", "p-1.a", "p-2.a")
        self.assertEqual(self.ask("scale", "p", 2).stdout, "p: 4 -> 2\n")
        self.wait_ready("p-1", "p-1.a")
        for wrong in ("p.c", "p.", "nobody"):
            self.assertEqual(self.ask("scale", wrong, 1, check=False).returncode, 1, wrong)
        self.assertEqual(stream.wait(timeout=harness.DEADLINE_S), 0)
        self.check("p", keys, 50)
        self.stop(up)

    def test_start_first_on_all_hosts(self):
        """Each host's successor has a number that none there has; nobody else is told how."""
        order = "restart_order = start-first"
        up = self.up({"p": ["hosts", "    up = 1", "    a = 2", order],
                      "s": ["command = \"sh -c 'env | grep ORDER; echo env of $BATON_INSTANCE; "
                            "exec sleep 1000'\"", "host = a", order]})
        self.node("a")
        before = self.wait_ready("p-1", "p-1.a", "p-2.a", "s-1.a")
        keys = [f"k{i}" for i in range(40)]
        stream = self.stream(keys, 50, 500)
        wait_for("it is busy", lambda: len(self.log("p")) > 200)
        done = self.ask("restart", "p")
        self.assertEqual(done.stdout.splitlines()[-1], "p: 3 of 3 replaced")
        after = self.ready()
        self.assertEqual(set(after), {"p-2", "p-1.a", "p-3.a", "s-1.a"})
        self.assertFalse({after[name] for name in after if name[0] == "p"} & set(before.values()))
        self.assertEqual(stream.wait(timeout=harness.DEADLINE_S), 0)
        self.check("p", keys, 50)
        self.assertIn("p-2 is stopped: p-1 is ready", self.said("a"))
        self.assertRegex(self.ask("logs", "s", host="a").stdout, r"s-1 .*env of s-1\.a\n$")
        self.assertNotIn("BATON_RESTART_ORDER", self.ask("logs", "s", host="a").stdout)
        # A build that does not work replaces nobody, on any host.
        conf = self.conf.read_text()
        self.conf.write_text(conf.replace(f'"{PROBE} --name p ', '"/bin/false '))
        self.ask("reload")
        wait_for("the first one is parked", lambda: self.listing()[1].get("p-1", {}).get("state")
                 == "parked")
        self.assertEqual(self.ready(), after)
        # Another order alone replaces nobody either, and counts from now on.
        self.conf.write_text(conf.replace(order, "restart_order = stop-first"))
        self.ask("reload")
        wait_for("nothing is left to replace", lambda: not any(
            s["rolling"] for s in self.listing()[0]["services"]))
        self.assertEqual({name: pid for name, pid in self.ready().items() if ".a" in name},
                         {name: pid for name, pid in after.items() if ".a" in name})
        self.ask("restart", "p")
        self.assertEqual({name for name in self.ready() if name.endswith(".a")},
                         {"p-1.a", "p-3.a", "s-1.a"})
        self.stop(up)

    def test_reload_moves_an_actor_to_another_host(self):
        up = self.up({"p": ["host = a", "instances = 2"]})
        self.node("a")
        self.node("b")
        before = self.wait_ready("p-1.a", "p-2.a")
        keys = [f"k{i}" for i in range(40)]
        stream = self.stream(keys, 50, 700)
        wait_for("it is busy", lambda: len(self.log("p")) > 200)
        self.write_up(actors={"p": ["host = b", "instances = 2"]})
        self.ask("reload")
        after = self.wait_ready("p-1.b", "p-2.b")
        self.assertEqual(stream.wait(timeout=harness.DEADLINE_S), 0)
        rows = self.check("p", keys, 50)
        self.assertEqual({row["instance"] for row in rows}, {"p-1.a", "p-2.a", "p-1.b", "p-2.b"})
        self.assertEqual([pid for pid in before.values() if exists(pid)], [])
        # Another definition replaces there, too; what is the same is left alone.
        self.write_up(actors={"p": ["host = b", "instances = 2", "watchdog = 20s"]})
        self.ask("reload")
        self.assertEqual(self.wait_ready("p-1.b", "p-2.b"), after)
        self.write_up(actors={"p": ["host = b", "instances = 2", f"directory = {self.dir}"]})
        self.ask("reload")
        wait_for("both are replaced", lambda: not set(self.ready().values()) & set(after.values())
                 and len(self.ready()) == 2)
        self.stop(up)

    def test_a_build_that_does_not_work_costs_one_instance(self):
        """Another definition goes from host to host, like a restart."""
        good = ["hosts", "    up = 1", "    a = 2", "    b = 1", "intensity = 1 in 1h"]
        up = self.up({"p": good})
        self.node("a")
        self.node("b")
        before = self.wait_ready("p-1", "p-1.a", "p-2.a", "p-1.b")
        conf = self.conf.read_text()
        self.conf.write_text(conf.replace(PROBE, "/bin/false"))
        self.ask("reload")
        wait_for("the first one is parked", lambda: self.listing()[1]["p-1"]["state"] == "parked")
        listed = self.listing()
        self.assertTrue(next(s for s in listed[0]["services"] if s["name"] == "p")["rolling"])
        self.assertEqual({name: its["current"] for name, its in listed[1].items()
                          if name.startswith("p-")},
                         {"p-1": True, "p-1.a": False, "p-2.a": False, "p-1.b": False})
        self.conf.write_text(conf)
        self.ask("reload")
        after = self.wait_ready("p-1", "p-1.a", "p-2.a", "p-1.b")
        wait_for("nothing is left to replace", lambda: not any(
            s["rolling"] for s in self.listing()[0]["services"]))
        after = self.ready()
        self.assertEqual([name for name in after if after[name] != before[name]], ["p-1"])
        # And one that works reaches all of them, in turn.
        self.write_up(actors={"p": good + [f"directory = {self.dir}"]})
        self.ask("reload")
        wait_for("all are replaced", lambda: len(self.ready()) == 4 and not
                 set(self.ready().values()) & set(after.values()))
        left = re.findall(r"orchestrator: p/(p-\S+) left", self.said())
        self.assertEqual([name[3:] for name in left[-4:]], ["", ".a", ".a", ".b"])
        self.stop(up)

    def test_an_elastic_actor_grows_on_all_hosts(self):
        up = self.up({"p": ["target_lag = 100", "cooldown = 2s", "hosts", "    up = 1..2",
                            "    a = 0", "    b = 1..3"]})
        self.node("a")
        self.node("b")
        self.wait_ready("p-1", "p-1.b")
        keys = [f"k{i}" for i in range(200)]
        self.publish("t", load(keys, 15, do="sleep", ms=4))
        self.wait_ready("p-1", "p-2", "p-1.b", "p-2.b", "p-3.b")
        self.wait_ready("p-1", "p-1.b")
        self.check("p", keys, 15)
        self.stop(up)

    # ---- what goes wrong

    def test_a_node_is_killed_and_comes_back(self):
        """Far below the session timeout, which is a minute here, its partitions are elsewhere."""
        up = self.up({"p": ["hosts", "    a = 2", "    b = 2"]})
        a = self.node("a")
        self.node("b")
        before = self.wait_ready("p-1.a", "p-2.a", "p-1.b", "p-2.b")
        keys = [f"k{i}" for i in range(40)]
        stream = self.stream(keys, 50, 500)
        wait_for("it is busy", lambda: len(self.log("p")) > 200)
        start = time.monotonic()
        self.kill(a)
        wait_for("its children died with it", lambda: not any(
            exists(before[name]) for name in ("p-1.a", "p-2.a")))
        self.wait_node("a", "lost")
        lost_s = time.monotonic() - start
        listed = self.listing()[1]
        self.assertEqual({listed[name]["state"] for name in ("p-1.a", "p-2.a")}, {"lost"})
        self.assertRegex(self.ask("scale").stdout, r"(?m)^a +lost ")

        def taken_over():
            return {its["name"]: its["partitions"] for its in
                    self.actor_status("p")["instances"] if its["connected"]} == \
                {"p-1.b": 16, "p-2.b": 16}
        wait_for("the other host has all partitions", taken_over)
        print(f"a node was killed: lost after {lost_s:.1f} s, its partitions elsewhere after "
              f"{time.monotonic() - start:.1f} s, with a session timeout of 60 s")
        self.assertEqual(set(self.ready()), {"p-1.b", "p-2.b"})  # nothing was started elsewhere
        self.node("a", name="again")
        after = self.wait_ready("p-1.a", "p-2.a", "p-1.b", "p-2.b")
        self.assertEqual([after[n] for n in ("p-1.b", "p-2.b")],
                         [before[n] for n in ("p-1.b", "p-2.b")])
        self.assertEqual(stream.wait(timeout=harness.DEADLINE_S), 0)
        self.check("p", keys, 50, blamed=True)
        self.stop(up)

    def test_baton_up_is_killed_and_comes_back(self):
        """The orchestrator dies with it; what runs elsewhere waits for both, and goes on."""
        actors = {"p": ["hosts", "    a = 1..3", "    b = 2"], "q": ["instances = 0"]}
        up = self.up(actors)
        a, b = self.node("a"), self.node("b")
        self.wait_ready("p-1.a", "p-1.b", "p-2.b")
        self.ask("scale", "p.a", 2)
        before = self.wait_ready("p-1.a", "p-2.a", "p-1.b", "p-2.b")
        keys = [f"k{i}" for i in range(40)]
        self.publish("t", load(keys, 10))
        self.kill(up)
        self.wait_said("no `baton up` answers .* what runs here goes on", name="a")
        self.assertEqual([pid for pid in before.values() if not exists(pid)], [])
        again = self.up(actors, name="up-again")
        self.assertEqual(self.wait_ready("p-1.a", "p-2.a", "p-1.b", "p-2.b"), before)
        self.wait_said("node a has joined .* 2 instances run there", name="up-again")
        self.publish("t", [{"key": key, "n": n} for n in range(11, 21) for key in keys])
        self.check("p", keys, 20, blamed=True)
        self.assertEqual(self.ready(), before)
        self.assertIsNone(a.poll())
        self.assertIsNone(b.poll())
        self.stop(again)
        self.assertEqual([pid for pid in before.values() if exists(pid)], [])

    def test_a_node_tells_of_deaths_itself(self):
        """Also while there is no `baton up`; here the orchestrator is none of its children."""
        self.start_orchestrator(session_timeout_ms="60s", reconnect_grace_ms="60s")
        text = self.write_up(actors={"p": ["hosts", "    a = 1", "    b = 1",
                                           "restart = temporary"]}).read_text()
        self.conf.write_text(f'connect = "{self.endpoint}"\ndata_dir = {self.dir}/up\n'
                             f'nodes = {text.split("nodes = ")[1]}')
        up = self.start("up", [BIN / "baton", "up", self.conf])
        self.node("a")
        self.node("b")

        def shared(**partitions):
            wait_for(f"partitions: {partitions}", lambda: {
                its["name"][4:]: its["partitions"]
                for its in (self.actor_status("p") or {"instances": []})["instances"]
                if its["connected"]} == partitions)
        shared(a=16, b=16)
        self.kill(up)
        pids = {its["instance"]: its["pid"] for service in
                json.loads(self.ask("scale", "--json", host="a").stdout)["services"]
                for its in service["instances"]}
        start = time.monotonic()
        os.kill(pids["p-1"], signal.SIGKILL)
        shared(b=32)
        print(f"an instance at a node was killed, without `baton up`: its partitions were "
              f"elsewhere after {time.monotonic() - start:.1f} s")

    def test_a_node_that_hangs_is_lost_and_heard_again(self):
        """SIGSTOP to the node alone: what it runs goes on, and is told that it was given up."""
        up = self.up({"p": ["hosts", "    up = 1", "    a = 1"]})
        a = self.node("a")
        before = self.wait_ready("p-1", "p-1.a")
        keys = [f"k{i}" for i in range(40)]
        stream = self.stream(keys, 80, 400)
        wait_for("it is busy", lambda: len(self.log("p")) > 100)
        a.send_signal(signal.SIGSTOP)
        self.wait_node("a", "lost")
        a.send_signal(signal.SIGCONT)
        self.wait_said("node a is back")
        wait_for("both are there", lambda: self.ready() == before)
        self.assertEqual(stream.wait(timeout=harness.DEADLINE_S), 0)
        self.check("p", keys, 80, blamed=True)
        self.assertEqual(self.ready(), before)
        self.stop(up)

    def test_strangers_are_answered_or_dropped(self):
        self.join_over_tcp()
        up = self.up({"p": ["hosts", "    a = 1", "    b = 1"]})
        self.node("a")
        before = self.wait_ready("p-1.a")

        def say(*frames):
            """What comes back for a message, within a second."""
            peer = zmtp.dial(self.where)
            self.addCleanup(peer.close)
            zmtp.shake_hands(peer, "DEALER")
            zmtp.send_some(peer, zmtp.message(*frames))
            peer.settimeout(1)
            try:
                return peer.recv(4096)
            except OSError:
                return b""
        text = random.Random(1)
        self.assertIn(b"version 2 of the protocol", say(b"BN\x02\x01\x90"))
        self.assertIn(b"message type 0x7f", say(b"BN\x01\x7f\x90"))
        # REPORT of a host that may not be called so: "up", "a", "x.y"; "c" is welcome.
        report = b"BN\x01\x01\x96%b\x01\xa0\x00\xa0\x90"
        self.assertIn(b"is the host of `baton up` itself", say(report % b"\xa2up"))
        self.assertIn(b"another node of the name 'a'", say(report % b"\xa1a"))
        self.assertIn(b"host", say(report % b"\xa3x.y"))
        self.assertIn(b"BN\x01\x81", say(report % b"\xa1c"))
        self.assertEqual(self.node_state("c"), "joined")
        for frames in ((b"",), (b"BN",), (b"BN\x01\x01",), (report % b"\xa1d", b"more"),
                       (b"BN\x01\x01\x96" + text.randbytes(200),), (text.randbytes(5000),),
                       (b"BN\x01\x01" + bytes(2 << 20),)):
            self.assertNotIn(b"BN", say(*frames), frames[0][:20])
        wait_for("c is lost", lambda: self.node_state("c") == "lost")
        crowd = [zmtp.dial(self.where) for _ in range(300)]
        self.wait_said("more than 64 connections where nodes join: refused")
        for peer in crowd:
            zmtp.send_some(peer, text.randbytes(1000))
        self.assertEqual(self.ready(), before)
        for peer in crowd:
            peer.close()
        self.node("b")
        self.assertEqual(self.wait_ready("p-1.a", "p-1.b")["p-1.a"], before["p-1.a"])
        self.assertLess(len(re.findall("where nodes join|is refused", self.said())), 20)
        self.stop(up)

    def test_what_cannot_run_there_is_said(self):
        text = self.write_up(actors={"p": ["host = a", "intensity = 1 in 60s"]}).read_text()
        self.conf.write_text(text.replace(PROBE, "/nowhere/program"))
        up = self.start("up", [BIN / "baton", "up", self.conf])
        self.node("a")
        wait_for("it is parked", lambda: self.listing()[1].get("p-1.a", {}).get("state") ==
                 "parked")
        self.assertRegex(self.listing()[1]["p-1.a"]["reason"],
                         "cannot be started: /nowhere/program")
        # A name that is nowhere in the file is more often mistyped than meant.
        self.node("aa")
        self.wait_said("nothing for a host of the name aa", name="aa")
        self.stop(up)
        self.assertEqual(subprocess.run([BIN / "baton", "node"], capture_output=True,
                                        check=False).returncode, 2)


if __name__ == "__main__":
    harness.main()
