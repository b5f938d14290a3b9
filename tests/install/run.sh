#!/bin/sh
# SPDX-License-Identifier: MPL-2.0
#
# Installs libbaton into a folder of its own, and builds and runs an outside program against it: by
# find_package and by pkg-config, and once more after the whole installation was moved.
#
# usage: run.sh CMAKE BUILD_DIR C_COMPILER CONSUMER_DIR
set -eu
cmake=$1 build=$2 cc=$3 consumer=$4

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

by_cmake () {
    "$cmake" -S "$consumer" -B "$work/$2" -DCMAKE_C_COMPILER="$cc" -DCMAKE_PREFIX_PATH="$1" \
        -DCMAKE_FIND_USE_PACKAGE_REGISTRY=OFF > "$work/log" 2>&1 &&
        "$cmake" --build "$work/$2" >> "$work/log" 2>&1 || { cat "$work/log"; return 1; }
    "$work/$2/consumer" "$work/$2-data"
}

by_pkg_config () {
    pc=$(find "$1" -name baton.pc)
    PKG_CONFIG_PATH=$(dirname "$pc")
    export PKG_CONFIG_PATH
    pkg-config --exists 'baton >= 0.1'
    libdir=$(pkg-config --variable=libdir baton)
    # shellcheck disable=SC2046 # several words are meant
    "$cc" -std=c11 -Wall -Wextra -Werror -o "$work/$2" "$consumer/consumer.c" \
        $(pkg-config --cflags --libs baton)
    LD_LIBRARY_PATH=$libdir "$work/$2" "$work/$2-data"
}

"$cmake" --install "$build" --prefix "$work/prefix" > "$work/log" 2>&1 ||
    { cat "$work/log"; exit 1; }
for file in include/baton/baton.h share/man/man1/baton.1 share/man/man3/libbaton.3 \
        lib/systemd/system/baton-orchestrator.service lib/systemd/system/baton-node.service \
        lib/systemd/system/baton@.service; do
    test -f "$work/prefix/$file" || { echo "not installed: $file"; exit 1; }
done
if command -v systemd-analyze > /dev/null; then
    systemd-analyze --man=no verify "$work/prefix/lib/systemd/system/baton-orchestrator.service" \
        "$work/prefix/lib/systemd/system/baton-node.service" \
        "$work/prefix/lib/systemd/system/baton@.service" > "$work/log" 2>&1 || {
        cat "$work/log"
        exit 1
    }
    # What it does not understand is a warning to it.
    if grep baton "$work/log"; then exit 1; fi
fi
"$work/prefix/bin/baton" lab list | grep -q '^flash-sale ' || { echo "no drills"; exit 1; }
by_cmake "$work/prefix" cmake-first
by_pkg_config "$work/prefix" pkg-config-first
mv "$work/prefix" "$work/moved"
by_cmake "$work/moved" cmake-moved
by_pkg_config "$work/moved" pkg-config-moved

# Each header stands on its own.
for header in "$work"/moved/include/baton/*.h; do
    "$cc" -std=c11 -Wall -Wextra -Werror -I"$work/moved/include" -fsyntax-only \
        -x c "$header"
done
