#!/usr/bin/python3
# SPDX-License-Identifier: MPL-2.0
"""Checks what a formatter does not: lengths, licence lines, leftovers.

usage: style.py ROOT
Prints FILE:LINE: what is wrong; exits 1 if anything is.
"""
import os
import re
import sys

FILE_LINES_MAX = 800
FUNCTION_LINES_MAX = 90
COLUMNS_MAX = 100
FOLDERS = ("framework", "actors", "examples", "tests")
LEFTOVERS = re.compile(r"\b(TO" + r"DO|FIX" + r"ME|X" + r"XX)\b")

# Files or FILE:FUNCTION that may be longer, each with its reason. None.
EXCEPTIONS = {}


def sources(root):
    for folder in FOLDERS:
        for path, folders, names in os.walk(os.path.join(root, folder)):
            folders[:] = [f for f in folders if not f.startswith(("__", "."))]
            for name in sorted(names):
                yield os.path.relpath(os.path.join(path, name), root)
    yield "CMakeLists.txt"


def is_code(path, text):
    return path.endswith((".c", ".h", ".py", ".cmake", "CMakeLists.txt")) or text.startswith("#!")


def functions(lines):
    """(name, first line, length) of each C function: its braces stand in column 0."""
    start = None
    for number, line in enumerate(lines, 1):
        if line == "{":
            start = number
        elif line == "}" and start is not None:
            head = number_of_head(lines, start)
            yield function_name(lines[head - 1:start - 1]), head, number - head + 1
            start = None


def number_of_head(lines, start):
    """The line on which the definition begins that opens its brace on line `start`."""
    head = start
    while head > 1 and lines[head - 2] and not lines[head - 2].startswith(("}", "#", " *", "/*")) \
            and not lines[head - 2].endswith((";", "*/")):
        head -= 1
    return head


def function_name(lines):
    match = re.search(r"(\w+) \(", " ".join(lines))
    return match.group(1) if match else "?"


def check(path, text):
    lines = text.split("\n")
    if not text.endswith("\n"):
        yield len(lines), "the last line has no end"
    if not any("SPDX-License-Identifier: MPL-2.0" in line for line in lines[:2]):
        yield 1, "no SPDX line"
    if len(lines) - 1 > FILE_LINES_MAX and path not in EXCEPTIONS:
        yield FILE_LINES_MAX + 1, f"{len(lines) - 1} lines in a file, at most {FILE_LINES_MAX}"
    for number, line in enumerate(lines, 1):
        if "\t" in line:
            yield number, "a tab"
        if line != line.rstrip():
            yield number, "blanks at the end"
        if len(line) > COLUMNS_MAX:
            yield number, f"{len(line)} columns, at most {COLUMNS_MAX}"
        if LEFTOVERS.search(line):
            yield number, "left to do"
    if path.endswith((".c", ".h")):
        for name, first, length in functions(lines):
            if length > FUNCTION_LINES_MAX and f"{path}:{name}" not in EXCEPTIONS:
                yield first, f"{name}: {length} lines in a function, at most {FUNCTION_LINES_MAX}"


def main():
    root = sys.argv[1]
    wrong = 0
    seen = 0
    for path in sources(root):
        with open(os.path.join(root, path), "rb") as file:
            data = file.read()
        try:
            text = data.decode("utf-8")
        except UnicodeDecodeError:
            continue  # a sample of bytes, not code
        if not is_code(path, text):
            continue
        seen += 1
        for number, what in check(path, text):
            print(f"{path}:{number}: {what}")
            wrong += 1
    print(f"{seen} files, {wrong} found")
    return 1 if wrong or seen == 0 else 0


sys.exit(main())
