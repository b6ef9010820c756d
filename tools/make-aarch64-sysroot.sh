#!/usr/bin/env bash
# Makes a directory of Debian arm64 headers and libraries to cross-build lathe-agent and lathe-worker against:
#   tools/make-aarch64-sysroot.sh [DIRECTORY]        (default: build/sysroot-aarch64, where the preset aarch64 looks)
# Packages are only unpacked, nothing of them runs, and the system stays as it is. Needs mmdebstrap and the Debian mirror.
set -euo pipefail
cd "$(dirname "$0")/.."
sysroot=$(realpath -m "${1:-build/sysroot-aarch64}")
packages=libc6-dev,libstdc++-12-dev,libfmt-dev,nlohmann-json3-dev,libcli11-dev,libmuparser-dev,libssl-dev,zlib1g-dev,libprotobuf-dev,libgrpc++-dev,opencl-headers

fail() { echo "make-aarch64-sysroot: $*" >&2; exit 1; }
if [ -e "$sysroot" ]; then
  [ -e "$sysroot/.complete" ] && { echo "make-aarch64-sysroot: '$sysroot' is there already"; exit 0; }
  fail "'$sysroot' is there, but is no finished sysroot: remove it, or name another directory"
fi
for tool in mmdebstrap protoc grpc_cpp_plugin; do
  command -v "$tool" > /dev/null || fail "needs $tool (Debian: apt install mmdebstrap protobuf-compiler protobuf-compiler-grpc)"
done

mkdir -p "$(dirname "$sysroot")"
# Unpacked beside and renamed: an interrupted run leaves nothing that looks finished.
unfinished=$sysroot.unfinished
rm -rf "$unfinished"
mmdebstrap --quiet --arch=arm64 --variant=extract --include="$packages" bookworm "$unfinished"
# Absolute links would lead out of the sysroot; device nodes and the like are of no use in one.
rm -rf "$unfinished/dev"
find "$unfinished" -xdev -type l -lname '/*' | while read -r link; do ln -sfnr "$unfinished$(readlink "$link")" "$link"; done
# gRPC's CMake package wants its plugins beside its libraries; those that run are this machine's.
for tool in "$(dirname "$(command -v grpc_cpp_plugin)")"/grpc_*_plugin "$(command -v protoc)"; do
  ln -sfn "$tool" "$unfinished/usr/bin/$(basename "$tool")"
done
touch "$unfinished/.complete"
mv "$unfinished" "$sysroot"
echo "make-aarch64-sysroot: made '$sysroot', $(du -sh "$sysroot" | cut -f1)"
