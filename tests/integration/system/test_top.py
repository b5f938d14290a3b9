#!/usr/bin/python3
# SPDX-License-Identifier: MPL-2.0
"""`baton top` on a terminal of its own (a pty): what it shows, its keys, and that the terminal is
as it was however it ends."""

import errno
import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time
import unittest

from harness import BIN, DEADLINE_S, System, wait_for

ESCAPES = re.compile(rb"\x1b(\[[0-9;?]*[A-Za-z]|[()][A-Z0-9]|[=>78M])|\x0f")


class Terminal:
    """A pty, and a shell in it, so that there are jobs to stop and to continue."""

    def __init__(self, environment, columns=100, lines=30):
        self.master, self.slave = pty.openpty()
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        self.before = termios.tcgetattr(self.slave)
        self.shell = subprocess.Popen(
            ["/bin/bash", "--norc", "--noprofile", "--noediting", "-i"], stdin=self.slave,
            stdout=self.slave, stderr=self.slave, start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
            env={**os.environ, "TERM": "xterm-256color", "PS1": "ready> ", **environment})
        self.seen = b""

    def close(self):
        # The shell hangs up on what runs in it; whatever ignores that dies with the pty.
        self.shell.send_signal(signal.SIGHUP)
        os.close(self.master)
        os.close(self.slave)
        try:
            self.shell.wait(DEADLINE_S)
        except subprocess.TimeoutExpired:
            self.shell.kill()
            self.shell.wait()

    def type(self, text):
        os.write(self.master, text.encode())

    def resize(self, columns, lines):
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def pump(self):
        while select.select([self.master], [], [], 0.02)[0]:
            try:
                self.seen += os.read(self.master, 65536)
            except OSError as error:
                if error.errno != errno.EIO:
                    raise
                return

    def expect(self, word):
        """Waits for what a program without a screen prints."""
        self.raw(word.encode())

    def shows(self, *words):
        """Waits until they are on the screen, all at once; Ctrl-L makes ncurses send all of it."""
        end = time.monotonic() + DEADLINE_S
        while True:
            self.pump()
            self.seen = b""
            self.type("\x0c")
            self.pump()
            text = ESCAPES.sub(b" ", self.seen).decode(errors="replace")
            if all(word in text for word in words):
                return text
            if time.monotonic() > end:
                raise AssertionError(f"not all of {words} in {text!r}")
            time.sleep(0.05)

    def raw(self, sequence):
        """Waits for bytes as they are."""
        end = time.monotonic() + DEADLINE_S
        while sequence not in self.seen:
            self.pump()
            if time.monotonic() > end:
                raise AssertionError(f"no {sequence!r} in {self.seen[-3000:]!r}")
        self.seen = self.seen[self.seen.index(sequence) + len(sequence):]

    def modes(self):
        return termios.tcgetattr(self.slave)[3] & (termios.ICANON | termios.ECHO)


ENTER, LEAVE = b"\x1b[?1049h", b"\x1b[?1049l"
COOKED = termios.ICANON | termios.ECHO


class Top(System):

    def setUp(self):
        super().setUp()
        self.start_orchestrator()

    def terminal(self, environment=None, **size):
        terminal = Terminal({"BATON_CONNECT": self.endpoint, **(environment or {})}, **size)
        self.addCleanup(terminal.close)
        terminal.expect("ready> ")
        return terminal

    def top(self, terminal, *arguments):
        terminal.type(" ".join([str(BIN / "baton"), "top", *arguments, "; echo code=$?"]) + "\n")
        terminal.raw(ENTER)

    def assert_given_back(self, terminal, code):
        terminal.raw(LEAVE)
        terminal.expect(f"code={code}")
        wait_for("the terminal is as it was", lambda: terminal.modes() == COOKED)

    def test_keys_and_quit(self):
        self.start_probe("payment", ["orders.*"])
        wait_for("it is registered", lambda: self.actor_status("payment"))
        self.publish("orders.placed", [{"key": "a", "do": "reject"}])
        wait_for("it died", lambda: self.actor_status("payment")["dead"] == 1)
        terminal = self.terminal()
        self.top(terminal)
        terminal.shows("ACTOR", "!payment", "TOPIC", "orders.placed", "sort (lag)")
        self.assertEqual(terminal.modes(), 0)
        terminal.type("s")
        terminal.shows("sort (flight)")
        terminal.type("\x1bOD")  # left
        terminal.shows("sort (lag)")
        self.assertNotIn("payment-1", terminal.shows("!payment"))
        terminal.type("i")
        terminal.shows("payment-1", "heard")
        terminal.type("t")
        self.assertNotIn("TOPIC", terminal.shows("!payment"))
        terminal.type("h")
        self.assertNotIn("!payment", terminal.shows("look again at once"))
        terminal.type("x")
        terminal.shows("!payment")
        terminal.resize(60, 6)
        self.assertNotIn("payment-1", terminal.shows("!payment"))
        terminal.type("\x1bOB")  # down
        terminal.shows("payment-1")
        terminal.type("q")
        self.assert_given_back(terminal, 0)

    def test_colours_and_no_color(self):
        probe = self.start_probe("payment", ["orders.*"])
        wait_for("it is registered", lambda: self.actor_status("payment"))
        self.stop(probe)
        self.publish("orders.placed", [{"key": "a"}])
        terminal = self.terminal()
        self.top(terminal)
        terminal.raw(b"\x1b[31m")  # red: nobody is there for what waits
        terminal.type("q")
        self.assert_given_back(terminal, 0)
        terminal = self.terminal({"NO_COLOR": "1"})
        self.top(terminal, "--rounds", "1")
        terminal.pump()
        before = terminal.seen
        self.assert_given_back(terminal, 0)
        self.assertNotIn(b"\x1b[31m", before)

    def test_signals_give_the_terminal_back(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            terminal = self.terminal()
            self.top(terminal)
            terminal.shows("ACTOR")
            group = os.tcgetpgrp(terminal.master)
            self.assertNotEqual(group, terminal.shell.pid)
            os.killpg(group, number)
            terminal.raw(LEAVE)
            wait_for("the terminal is as it was", lambda: terminal.modes() == COOKED)

    def test_stop_and_continue(self):
        terminal = self.terminal()
        self.top(terminal)
        terminal.shows("ACTOR")
        terminal.type("\x1a")  # Ctrl-Z
        terminal.raw(LEAVE)
        terminal.expect("Stopped")
        wait_for("the terminal is as it was", lambda: terminal.modes() == COOKED)
        terminal.type("fg\n")
        terminal.raw(ENTER)
        terminal.shows("ACTOR")
        terminal.type("q")
        terminal.raw(LEAVE)

    def test_an_orchestrator_that_goes_and_comes_back(self):
        terminal = self.terminal()
        self.top(terminal, "--timeout", "1")
        terminal.shows("ACTOR")
        self.kill(self.orchestrator)
        terminal.shows("no answer from")
        terminal.type("h")  # keys are answered all the same
        terminal.shows("look again at once")
        terminal.type("h")
        self.start_orchestrator()
        terminal.shows("q quit", "ACTOR")
        terminal.type("q")
        self.assert_given_back(terminal, 0)

    def test_batch(self):
        self.start_probe("payment", ["orders.*"])
        wait_for("it is registered", lambda: self.actor_status("payment"))
        done = self.baton("top", "--batch", "-n", "2", "--width", "80", "--sort", "name")
        self.assertEqual(done.stdout.count(" payment "), 2, done.stdout)
        self.assertNotIn("\x1b", done.stdout)
        self.assertTrue(all(len(line) <= 80 for line in done.stdout.splitlines()))
        lines = self.baton("top", "--json", "-n", "2").stdout.splitlines()
        self.assertEqual([json.loads(line)["actors"][0]["name"] for line in lines],
                         ["payment", "payment"])
        for wrong in (["top"], ["top", "--batch", "--sort", "colour"], ["top", "-b", "x"]):
            done = self.baton(*wrong, check=False)
            self.assertEqual((done.returncode, done.stdout), (2, ""), wrong)
        self.kill(self.orchestrator)
        self.assertEqual(self.baton("top", "-b", "--timeout", "1", check=False).returncode, 69)


if __name__ == "__main__":
    unittest.main(verbosity=2)
