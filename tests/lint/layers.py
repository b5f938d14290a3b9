#!/usr/bin/python3
# SPDX-License-Identifier: MPL-2.0
"""Checks that includes point one way: a layer knows only those below it.

usage: layers.py ROOT
Prints FILE:LINE: what is wrong; exits 1 if anything is.
"""
import os
import re
import sys

# Folder of framework/ -> folders whose headers it may include, besides its own and the public ones.
LAYERS = {
    "base": set(),
    "wire": {"base"},
    "core": {"base", "wire"},
    "journal": {"base"},
    "shell": {"base", "wire", "core"},
    "orchestrator": {"base", "wire", "core", "journal", "shell"},
    "client": {"base", "wire", "core", "shell"},
    "supervisor": {"base", "shell"},
    "lab": {"base", "wire", "shell", "client", "supervisor"},
    "cli": {"base", "wire", "core", "journal", "shell", "orchestrator", "client", "supervisor",
            "lab"},
}
# Headers of the outside world, and the layers that may use them.
OUTSIDE = {
    "zmq.h": {"shell", "orchestrator", "client", "cli"},
    "czmq.h": {"shell", "orchestrator", "client", "supervisor", "lab", "cli"},
    "lmdb.h": {"journal"},
    "jansson.h": {"lab", "cli"},
    "msgpack.h": {"wire"},
    "microhttpd.h": {"cli"},
    "curses.h": {"cli"},
    "pthread.h": {"shell", "journal", "orchestrator", "client", "lab", "cli"},
    "sqlite3.h": set(),
}
INCLUDE = re.compile(r'^\s*#\s*include\s+(["<])([^">]+)[">]')


def check_framework(layer, header, quoted):
    folder = header.split("/")[0] if "/" in header else None
    if folder in LAYERS and folder != layer and folder not in LAYERS[layer]:
        return f"{layer} may not know {folder} ({header})"
    if not quoted and header in OUTSIDE and layer not in OUTSIDE[header]:
        return f"{layer} may not use {header}"
    return None


def check_outside(folder, header, quoted):
    """Actors and examples use the public headers only."""
    if "/" in header and header.split("/")[0] in LAYERS:
        return f"{folder} may use the public headers only ({header})"
    return None


def check_file(root, path):
    parts = path.split("/")
    with open(os.path.join(root, path), encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            match = INCLUDE.match(line)
            if match is None:
                continue
            quoted, header = match.group(1) == '"', match.group(2)
            if parts[0] == "framework" and parts[1] in LAYERS:
                what = check_framework(parts[1], header, quoted)
            elif parts[0] == "framework":
                what = None if header.startswith("baton/") or "/" not in header \
                    else f"a public header may include public headers only ({header})"
            else:
                what = check_outside(parts[0], header, quoted)
            if what is not None:
                yield number, what


def main():
    root = sys.argv[1]
    wrong = 0
    seen = 0
    for top in ("framework", "actors", "examples"):
        for folder, _, names in os.walk(os.path.join(root, top)):
            for name in sorted(names):
                if not name.endswith((".c", ".h")):
                    continue
                path = os.path.relpath(os.path.join(folder, name), root)
                seen += 1
                for number, what in check_file(root, path):
                    print(f"{path}:{number}: {what}")
                    wrong += 1
    for name in os.listdir(os.path.join(root, "framework")):
        if name not in LAYERS and name not in ("include", "docs", "cmake", "CMakeLists.txt"):
            print(f"framework/{name}: a layer that tests/lint/layers.py does not know")
            wrong += 1
    print(f"{seen} files, {wrong} found")
    return 1 if wrong or seen == 0 else 0


sys.exit(main())
