#!/usr/bin/python3
# SPDX-License-Identifier: MPL-2.0
"""Checks that the core is pure: what its archive takes from outside is on a short list.

usage: purity.py LIBCORE LIBWIRE LIBBASE
The core may use memory, strings, sorting, and what base and wire define; base and wire in turn must
not bring in sockets, threads, clocks, files or randomness by the back door. Prints ARCHIVE(OBJECT):
SYMBOL for what is wrong; exits 1 if anything is.
"""
import re
import subprocess
import sys

ALLOWED = {
    "malloc", "calloc", "realloc", "free", "abort",
    "memchr", "memcmp", "memcpy", "memmove", "memset", "memmem", "memrchr",
    "strchr", "strcmp", "strdup", "strlen", "strncmp", "strndup", "strnlen", "strrchr",
    "strspn", "strcspn", "strstr",
    "bsearch", "qsort", "snprintf", "vsnprintf",
    # Byte order, in inline functions of msgpack-c: calls where nothing is optimized.
    "ntohl", "ntohs",
    "__stack_chk_fail", "_GLOBAL_OFFSET_TABLE_",
    "__memcpy_chk", "__memmove_chk", "__memset_chk", "__snprintf_chk", "__vsnprintf_chk",
}
# What base and wire may use besides: they report broken invariants and know MessagePack.
ALLOWED_BELOW = {"stderr", "fprintf", "__fprintf_chk", "fputs", "fwrite", "fflush",
                 "__cpu_model", "__cpu_indicator_init", "getauxval"}
ALLOWED_BELOW_PREFIXES = ("msgpack_",)
INSTRUMENTATION = ("__asan_", "__ubsan_", "__tsan_", "__gcov_", "__sanitizer_", "__llvm_")


def symbols(archive, *options):
    """(object, symbol) pairs of an archive."""
    out = subprocess.run(["nm", "--format=posix", *options, archive], check=True,
                         stdout=subprocess.PIPE, text=True).stdout
    name = "?"
    for line in out.splitlines():
        member = re.match(r".*\[(.*)\]:$", line)
        if member:
            name = member.group(1)
        elif line:
            yield name, line.split()[0]


def main():
    core, wire, base = sys.argv[1:4]
    defined = {s for archive in (core, wire, base) for _, s in symbols(archive, "--defined-only")}
    wrong = 0
    seen = 0
    for archive in (core, wire, base):
        for name, symbol in sorted(set(symbols(archive, "--undefined-only"))):
            seen += 1
            below = archive != core
            if symbol in defined or symbol in ALLOWED or symbol.startswith(INSTRUMENTATION):
                continue
            if below and (symbol in ALLOWED_BELOW or symbol.startswith(ALLOWED_BELOW_PREFIXES)):
                continue
            print(f"{archive}({name}): {symbol}")
            wrong += 1
    print(f"{seen} symbols from outside, {wrong} not allowed")
    return 1 if wrong or seen == 0 else 0


sys.exit(main())
