#!/usr/bin/env bash
# Installs into an empty folder: the programs there must find templates and toolchains there.
#
#   install_test.sh CMAKE BUILD_DIRECTORY
set -euo pipefail
prefix=$(mktemp -d)
trap 'rm -rf "$prefix"' EXIT
unset LATHE_TEMPLATES LATHE_TOOLCHAINS

"$1" --install "$2" --prefix "$prefix" > "$prefix/log"
for program in lathe lathe-agent; do "$prefix/bin/$program" --version; done
[ -x "$prefix/bin/lathe-worker" ]

# The message for an unknown profile names the folder that was searched, and what is there.
said=$("$prefix/bin/lathe" check --toolchain none --configs 1 2>&1 || true)
grep -F "'$prefix/share/lathe/toolchains'" <<< "$said"
grep -F jetson-orin <<< "$said"

# With a manifest changed in the installed folder, the program says so: that one it reads.
echo '{' > "$prefix/share/lathe/templates/resize/operator.json"
said=$("$prefix/bin/lathe" check resize 2>&1 || true)
grep -F "$prefix/share/lathe/templates/resize/operator.json" <<< "$said"
