#!/usr/bin/env bash
# Packs lathe-agent and lathe-worker for aarch64 boards into one archive that brings its own loader and libraries:
#   tools/bundle-agent.sh [ARCHIVE]                  (default: build/lathe-agent-aarch64.tar.gz)
# It starts wherever it is unpacked, whatever glibc the board has (JetPack 4 and up), and opens the board's own OpenCL and CUDA libraries;
# tools/bundle/own_loader.cpp says how. Builds the preset aarch64 first; $LATHE_AARCH64_BUILD names another build directory of it.
set -euo pipefail
cd "$(dirname "$0")/.."
archive=$(realpath -m "${1:-build/lathe-agent-aarch64.tar.gz}")
build=$(realpath -m "${LATHE_AARCH64_BUILD:-build/aarch64}")

fail() { echo "bundle-agent: $*" >&2; exit 1; }
command -v aarch64-linux-gnu-g++ > /dev/null || fail "needs a cross compiler (Debian: apt install g++-aarch64-linux-gnu)"
if [ ! -e "$build/CMakeCache.txt" ]; then
  [ "$build" = "$PWD/build/aarch64" ] || fail "'$build' is no build directory"
  tools/make-aarch64-sysroot.sh
  cmake --preset aarch64
fi
cmake --build "$build" --target lathe-agent lathe-worker
sysroot=$(realpath "$(sed -n 's/^LATHE_SYSROOT:PATH=//p' "$build/CMakeCache.txt")")
[ -e "$sysroot/.complete" ] || fail "'$sysroot', which '$build' was built with, is no sysroot"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
bundle=$work/lathe-agent-aarch64
mkdir -p "$bundle/bin" "$bundle/lib" "$bundle/libexec"
for program in lathe-agent lathe-worker; do
  aarch64-linux-gnu-strip -o "$bundle/libexec/$program" "$build/bin/$program"
done
aarch64-linux-gnu-g++ -std=c++20 -Os -Wall -Wextra -Werror -static -s --sysroot="$sysroot" tools/bundle/own_loader.cpp -o "$bundle/bin/lathe-agent"
cp "$bundle/bin/lathe-agent" "$bundle/bin/lathe-worker"

# What the programs need, and what that needs.
find_library() {
  local place
  for place in lib/aarch64-linux-gnu usr/lib/aarch64-linux-gnu lib; do
    [ -e "$sysroot/$place/$1" ] && { realpath "$sysroot/$place/$1"; return; }
  done
  fail "'$1' is needed, but not in '$sysroot'"
}
needed() { aarch64-linux-gnu-readelf -d "$1" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p'; }
# All of glibc's parts: a driver that asks for one that is not here would get the board's, of another glibc.
queue="ld-linux-aarch64.so.1 libc.so.6 libm.so.6 libdl.so.2 libpthread.so.0 librt.so.1 libutil.so.1 libresolv.so.2 libanl.so.1 libBrokenLocale.so.1
  libnss_files.so.2 libnss_dns.so.2 libgcc_s.so.1 libstdc++.so.6 $(needed "$bundle/libexec/lathe-agent") $(needed "$bundle/libexec/lathe-worker")"
while [ -n "$queue" ]; do
  next=
  for name in $queue; do
    [ -e "$bundle/lib/$name" ] && continue
    file=$(find_library "$name")
    install -m 755 "$file" "$bundle/lib/$name"
    next="$next $(needed "$file")"
  done
  queue=$next
done
cp tools/systemd/lathe-agent.service "$bundle/"
cat > "$bundle/README" <<'TEXT'
lathe-agent for aarch64 boards, with its own loader and libraries. Unpack anywhere, then:
    bin/lathe-agent                          loopback, port 7200
    bin/lathe-agent --listen 0.0.0.0:7200 --certs /etc/lathe/certs --config /etc/lathe/agent.json
Boards without a compiler measure what `lathe tune --toolchain` builds elsewhere. $LATHE_DRIVER_PATH: further directories of drivers.
TEXT
mkdir -p "$(dirname "$archive")"
tar -C "$work" --sort=name --owner=0 --group=0 --numeric-owner -czf "$archive" lathe-agent-aarch64
echo "bundle-agent: $archive, $(du -h "$archive" | cut -f1), $(ls "$bundle/lib" | wc -l) libraries"
