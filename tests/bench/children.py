# SPDX-License-Identifier: MPL-2.0
"""Programs that are run to their end, and that do not outlive an interruption."""
import os
import subprocess

GENTLE_S = 30  # to end their own children and remove their folders


class Failed(Exception):
    """Of a program or a system that is measured; the text is for whoever reads the terminal."""


def quiet_disk():
    """Waits until what was measured before is no longer on its way to the disk."""
    os.sync()


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
