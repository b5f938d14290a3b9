# SPDX-License-Identifier: MPL-2.0
"""Programs that are run to their end, and that do not outlive an interruption."""
import contextlib
import os
import struct
import subprocess

GENTLE_S = 30  # to end their own children and remove their folders


class Failed(Exception):
    """Of a program or a system that is measured; the text is for whoever reads the terminal."""


def quiet_disk():
    """Waits until what was measured before is no longer on its way to the disk."""
    os.sync()


CPU_LATENCY = "/dev/cpu_dma_latency"


def may_keep_awake():
    return os.access(CPU_LATENCY, os.W_OK)


@contextlib.contextmanager
def processors(awake):
    """While it lasts, idle processors spin instead of sleeping, if asked for: what an orchestrator
    does by keep_awake_ms, for systems that do not."""
    device = os.open(CPU_LATENCY, os.O_WRONLY) if awake else None
    try:
        if awake:
            os.write(device, struct.pack("=i", 0))
        yield
    finally:
        if awake:
            os.close(device)


def output(*argv):
    """(exit code, standard output, standard error)"""
    try:
        child = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                 stderr=subprocess.PIPE, text=True)
    except OSError as error:
        raise Failed(f"{argv[0]}: {error.strerror}") from error
    with child:
        try:
            out, err = child.communicate()
        except BaseException:  # also Ctrl-C: subprocess.run would kill it in the middle of tidying
            child.terminate()
            try:
                child.wait(GENTLE_S)
            except subprocess.TimeoutExpired:
                child.kill()
            raise
    return child.returncode, out, err
