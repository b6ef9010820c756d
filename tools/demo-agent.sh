# For the demos to source: starts build/release/bin/lathe-agent on loopback in "$out", sets `agent`, its process, and `board`, its address. It
# ends with the shell.
rm -f "$out/agent.port"
build/release/bin/lathe-agent --listen 127.0.0.1:0 --directory "$out/agent" > "$out/agent.port" 2> "$out/agent.log" &
agent=$!
trap 'kill "$agent" 2> /dev/null || true' EXIT
until [ -s "$out/agent.port" ]; do
  kill -0 "$agent" 2> /dev/null || { cat "$out/agent.log" >&2; exit 1; }
  sleep 0.1
done
board=127.0.0.1:$(grep -o '[0-9]*$' "$out/agent.port")
