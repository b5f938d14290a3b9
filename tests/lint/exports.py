#!/usr/bin/python3
# SPDX-License-Identifier: MPL-2.0
"""Checks that the shared library shows its users the public names only.

usage: exports.py LIBBATON.SO
"""
import subprocess
import sys


def main():
    out = subprocess.run(["nm", "-D", "--defined-only", "--format=posix", sys.argv[1]], check=True,
                         stdout=subprocess.PIPE, text=True).stdout
    names = [line.split()[0] for line in out.splitlines() if line]
    wrong = [name for name in names if not name.startswith("baton_")]
    for name in wrong:
        print(f"{sys.argv[1]}: exports {name}")
    print(f"{len(names)} exported, {len(wrong)} not public")
    return 1 if wrong or not names else 0


sys.exit(main())
