#!/usr/bin/env bash
# Installs the Debian packages that Lathe is built from. Does nothing where they are installed; needs root otherwise.
set -euo pipefail

packages=(
  g++ make cmake ninja-build ccache mold pkg-config                                    # building
  libfmt-dev nlohmann-json3-dev libcli11-dev libmuparser-dev libssl-dev zlib1g-dev libeigen3-dev
  libsqlite3-dev libxgboost-dev                                                   # log, cost model
  libonnx-dev libprotobuf-dev protobuf-compiler                                   # reading models
  libgrpc++-dev protobuf-compiler-grpc                                            # remote boards
  ocl-icd-opencl-dev opencl-headers pocl-opencl-icd                               # OpenCL, on the CPU where there is no GPU
  oclgrind                                                                        # a simulator that sees races and accesses out of bounds
  libgtest-dev libgmock-dev                                                       # tests
)

missing=()
for package in "${packages[@]}"; do
  dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' || missing+=("$package")
done
[ ${#missing[@]} -eq 0 ] && exit 0

if [ "$(id -u)" -ne 0 ]; then
  echo "install-dependencies: needs root to install: ${missing[*]}" >&2
  echo "install-dependencies: run: sudo $0" >&2
  exit 1
fi
echo "installing: ${missing[*]}"
apt-get update -q
DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "${missing[@]}"
