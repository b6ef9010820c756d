#!/usr/bin/env bash
# A real aarch64 board, as far as a machine without one goes: the bundle of the cross-built agent, alone in a root directory, under qemu-user, in
# a network namespace with an address of its own, with mutual TLS. This machine tunes it over a veth link with NEON candidates that it
# cross-builds; the board has no compiler. Then the same through the fault proxy with 50 ms of delay each way, and with 2 % of packets lost.
#   tests/rpc/aarch64_board_test.sh BIN [BUNDLE]     BIN: lathe and fault-proxy; BUNDLE: an archive of tools/bundle-agent.sh, else it is built
# Exit status 77: skipped, with the reason. What it times is an emulator: only results are judged.
set -euo pipefail
source=$(cd "$(dirname "$0")/../.." && pwd)
bin=$(realpath "$1")
bundle=${2:-$source/build/lathe-agent-aarch64.tar.gz}

skip() { echo "skipped: $*"; exit 77; }
fail() { echo "FAILED: $*" >&2; [ -e "$work/agent.log" ] && tail -5 "$work/agent.log" >&2; exit 1; }
step() { printf '== %s (%d s)\n' "$*" "$SECONDS"; }
work=

[ "$(id -u)" -eq 0 ] || skip "needs root for a network namespace and binfmt_misc"
for tool in qemu-aarch64-static aarch64-linux-gnu-g++ ip iptables; do
  command -v "$tool" > /dev/null || skip "there is no $tool (Debian: apt install qemu-user-static g++-aarch64-linux-gnu iproute2 iptables)"
done
if [ ! -e "$bundle" ]; then
  [ -e "$source/build/aarch64/bin/lathe-agent" ] || skip "there is no bundle and no aarch64 build: run tools/bundle-agent.sh"
  "$source/tools/bundle-agent.sh" "$bundle"
fi

# So that the kernel starts aarch64 programs: the emulator is opened once, outside, and need not be in the board's root.
handler=/proc/sys/fs/binfmt_misc/lathe-aarch64
[ -e /proc/sys/fs/binfmt_misc/register ] || mount -t binfmt_misc binfmt_misc /proc/sys/fs/binfmt_misc 2> /dev/null || skip "this kernel has no binfmt_misc"
registered=
if ! grep -qs '^enabled' /proc/sys/fs/binfmt_misc/qemu-aarch64 "$handler"; then
  printf ':lathe-aarch64:M::\\x7f\\x45\\x4c\\x46\\x02\\x01\\x01\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x02\\x00\\xb7\\x00:\\xff\\xff\\xff\\xff\\xff\\xff\\xff\\x00\\xff\\xff\\xff\\xff\\xff\\xff\\xff\\xff\\xfe\\xff\\xff\\xff:%s:F' \
    "$(realpath "$(command -v qemu-aarch64-static)")" > /proc/sys/fs/binfmt_misc/register || skip "binfmt_misc takes no handler here"
  registered=yes
fi

work=$(mktemp -d)
space=lathe-board-$$
near=lb$$n far=lb$$f net=10.$((100 + $$ % 100)).$(($$ / 100 % 250)) # of our own, so that two runs do not meet
agent= proxy=
cleanup() {
  set +e  # a failed command here must not keep the rest from being cleaned up
  [ -n "$agent" ] && kill "$agent" 2> /dev/null && wait "$agent" 2> /dev/null
  [ -n "$proxy" ] && kill "$proxy" 2> /dev/null
  for mount in "$work"/root/{proc,tmp}; do mountpoint -q "$mount" && umount -l "$mount"; done
  iptables -D INPUT -i "$near" -m statistic --mode random --probability 0.02 -j DROP 2> /dev/null
  ip netns del "$space" 2> /dev/null
  ip link del "$near" 2> /dev/null
  [ -n "$registered" ] && echo -1 > "$handler"
  [ -n "${LATHE_KEEP:-}" ] && cp "$work"/*.json "$work"/*.err "$work"/*.db "$work"/*.ends "$work"/agent.* "$LATHE_KEEP"
  rm -rf "$work"
}
trap cleanup EXIT

step "the bundle, alone in a root directory"
root=$work/root
mkdir -p "$root"
tar -C "$root" -xzf "$bundle"
[ "$(ls "$root")" = lathe-agent-aarch64 ] || fail "the archive holds more than one directory"
version=$(chroot "$root" /lathe-agent-aarch64/bin/lathe-agent --version) || fail "it does not start"
echo "$version"
chroot "$root" /lathe-agent-aarch64/bin/lathe-worker --help > /dev/null || fail "the worker does not start"

step "it opens a driver library that only the board has"
mkdir -p "$root/usr/lib/aarch64-linux-gnu/tegra"
printf '#include <stdio.h>\n__attribute__((constructor)) static void Loaded() { fputs("the board has a driver\\n", stderr); }\n' > "$work/driver.c"
aarch64-linux-gnu-gcc -shared -fPIC "$work/driver.c" -o "$root/usr/lib/aarch64-linux-gnu/tegra/libOpenCL.so.1"
opened=$(chroot "$root" /lathe-agent-aarch64/bin/lathe-worker --opencl-devices 2>&1) || true # this driver offers nothing
[[ $opened == *"the board has a driver"* ]] || fail "libOpenCL.so.1 of the board was not opened"
rm -r "$root/usr"

step "an address of its own, certificates"
ip netns add "$space"
ip link add "$near" type veth peer name "$far" netns "$space"
ip addr add "$net.1/24" dev "$near"
ip link set "$near" up
ip -n "$space" addr add "$net.2/24" dev "$far"
ip -n "$space" link set "$far" up
ip -n "$space" link set lo up
export XDG_CONFIG_HOME=$work/config XDG_CACHE_HOME=$work/cache
certs=$work/config/lathe/certs
"$bin/lathe" certs init > /dev/null
"$bin/lathe" certs board emulated --address "$net.2" --address 127.0.0.1 > /dev/null
"$bin/lathe" certs client tester > /dev/null
# A board has /proc, /dev/null and a place to write; this one has no compiler, no libraries, no users.
mkdir -p "$root"/{proc,tmp,etc,cache,dev}
mknod -m 666 "$root/dev/null" c 1 3
mount -t proc proc "$root/proc"
mount -t tmpfs tmpfs "$root/tmp"
cp -r "$certs/boards/emulated" "$root/etc/certs"
# May measure, may not build: everything comes built.
printf '{"clients": {"tester": ["measure"]}}\n' > "$root/etc/agent.json"
ip netns exec "$space" chroot "$root" /lathe-agent-aarch64/bin/lathe-agent --listen "$net.2:7200" --certs /etc/certs --config /etc/agent.json \
  --directory /cache --user root > "$work/agent.out" 2> "$work/agent.log" &
agent=$!
for _ in $(seq 300); do grep -q '^listening' "$work/agent.out" && break; kill -0 "$agent" 2> /dev/null || fail "the agent ended"; sleep 0.2; done
client="$certs/clients/tester"
"$bin/lathe" boards "$net.2:7200" --certs "$client"

small=resize:h=24,w=40,c=3,oh=17,ow=19
conv=conv2d:h=14,w=14,c=16,k=16,r=3,s=3,pad_top=1,pad_left=1,pad_bottom=1,pad_right=1
# tune BOARD LOG TRIALS: as many measurements as asked for, each verified, on that board. One template a task: how trials are shared among
# several depends on the times, which are an emulator's.
tune() {
  "$bin/lathe" tune --workload "$small" --workload "$conv" --template resize_cpu --template direct_cpu --board "$1" --certs "$client" --toolchain "$source/toolchains/aarch64.json" \
    --log "$work/$2.db" --trials "$3" --strategy random --seed 1 --no-calibration --warm off --json > "$work/$2.json" 2> "$work/$2.err" ||
    { cat "$work/$2.err" >&2; fail "lathe tune ended with an error"; }
  grep -q '"architecture": *"aarch64-neon"' "$work/$2.json" || fail "it was not tuned for aarch64"
}
# The candidates of a log and how each ended.
ends() { "$bin/lathe" query --log "$work/$1.db" --trace --json | tr -d ' \n' | grep -o '"status":"[a-z_]*"\|"config":{[^}]*}' | paste - - | sort -u; }

step "tuned over the veth link"
tune "$net.2:7200" direct 12
ends direct > "$work/direct.ends"
[ "$(wc -l < "$work/direct.ends")" -ge 12 ] || fail "only $(wc -l < "$work/direct.ends") candidates were measured"
cut -f1 "$work/direct.ends" | sort | uniq -c
grep -q '"status":"ok"' "$work/direct.ends" || fail "no candidate was right"
! grep -q 'wrong_result\|crashed\|launch_error\|board_lost' "$work/direct.ends" || { cat "$work/direct.ends"; fail "a candidate did not compute what its reference does"; }

step "through the fault proxy: 50 ms each way"
mkfifo "$work/hold"
"$bin/fault-proxy" "$net.2" 7200 50 < "$work/hold" > "$work/proxy.out" 2> "$work/proxy.err" &
proxy=$!
exec 9> "$work/hold"
for _ in $(seq 50); do [ -s "$work/proxy.out" ] && break; sleep 0.1; done
tune "127.0.0.1:$(cat "$work/proxy.out")" delayed 12
exec 9>&-
wait "$proxy" || true
proxy=
cat "$work/proxy.err"
ends delayed | diff "$work/direct.ends" - || fail "with delay other results came"

step "with 2 % of packets lost, each way"
iptables -A INPUT -i "$near" -m statistic --mode random --probability 0.02 -j DROP
ip netns exec "$space" iptables -A INPUT -i "$far" -m statistic --mode random --probability 0.02 -j DROP
tune "$net.2:7200" lossy 12
iptables -L INPUT -v -n -x | grep "$near"
ip netns exec "$space" iptables -L INPUT -v -n -x | grep "$far"
iptables -D INPUT -i "$near" -m statistic --mode random --probability 0.02 -j DROP
ends lossy | diff "$work/direct.ends" - || fail "with loss other results came"

step "the board ends when asked, and leaves nothing"
kill -TERM "$agent"
wait "$agent" || fail "the agent ended with status $?"
agent=
left=$(find "$root/tmp" -mindepth 1 | wc -l)
[ "$left" -eq 0 ] || fail "$left files are left in its /tmp"
echo "passed in $SECONDS s"
