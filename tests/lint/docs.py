#!/usr/bin/python3
# SPDX-License-Identifier: MPL-2.0
"""Checks that the documents say what is there: links lead somewhere, and the first actor of the
README is the one that is built.

usage: docs.py ROOT
Prints FILE:LINE: what is wrong; exits 1 if anything is.
"""
import os
import re
import sys

FIRST_LINES_MAX = 40
LINK = re.compile(r"\[[^\]]*\]\(([^)#]+)[^)]*\)")


def documents(root):
    for folder, folders, names in os.walk(root):
        folders[:] = [f for f in folders if not f.startswith((".", "build"))]
        for name in sorted(names):
            if name.endswith(".md"):
                yield os.path.relpath(os.path.join(folder, name), root)


def check_links(root, path):
    with open(os.path.join(root, path), encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            for target in LINK.findall(line):
                if "://" not in target and not os.path.exists(
                        os.path.join(root, os.path.dirname(path), target)):
                    yield number, f"the link {target} leads nowhere"


def check_first(root):
    with open(os.path.join(root, "examples/first/first.c"), encoding="utf-8") as file:
        first = file.read()
    with open(os.path.join(root, "README.md"), encoding="utf-8") as file:
        readme = file.read()
    if first.count("\n") >= FIRST_LINES_MAX:
        yield 1, f"the first actor has to have under {FIRST_LINES_MAX} lines"
    if "```c\n" + first + "```\n" not in readme:
        yield 1, "the README's first actor is not examples/first/first.c"


def main():
    root = sys.argv[1]
    wrong = [("README.md", number, what) for number, what in check_first(root)]
    seen = 0
    for path in documents(root):
        seen += 1
        wrong += [(path, number, what) for number, what in check_links(root, path)]
    for path, number, what in wrong:
        print(f"{path}:{number}: {what}")
    print(f"{seen} documents, {len(wrong)} found")
    return 1 if wrong or seen == 0 else 0


sys.exit(main())
