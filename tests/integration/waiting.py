# SPDX-License-Identifier: MPL-2.0
"""Waiting for what processes do, for all tests of whole processes: by looking, never by sleeping
for as long as it ought to take."""
import os
import pathlib
import time

# Generous: only a test that fails waits for so long. Sanitizer builds set more.
DEADLINE_S = float(os.environ.get("BATON_TEST_DEADLINE", "120"))


def wait_for(what, condition, deadline_s=DEADLINE_S):
    """Polls until condition() is true; the last value is returned."""
    end = time.monotonic() + deadline_s
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"after {deadline_s} s still not: {what}")
        time.sleep(0.02)


def runs(pid):
    """True unless the process is gone; one that nobody has reaped yet is gone."""
    try:
        stat = pathlib.Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] not in "ZX"
