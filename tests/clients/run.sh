#!/bin/sh
# Lets the official SDKs talk to the sidecar over drills: in calm weather, then in a storm.
# Needs Python 3.10 or later, Node 20 or later, and a registry of each, once: what is installed stays in target/clients.
# Usage: tests/clients/run.sh [--agents] [PROGRAM]; without one, the program is built. With --agents, Claude Code and Codex
# are installed too, and work through the sidecar: what they send and get must arrive byte for byte.
# Ends with 75 where the SDKs cannot be installed, with 1 where one of them fails.
set -eu

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
root=$(CDPATH='' cd -- "$here/../.." && pwd)
place=$root/target/clients
mkdir -p "$place"

agents=
if [ "${1:-}" = --agents ]; then
    agents=yes
    shift
fi
program=${1:-}
if [ -z "$program" ]; then
    cargo build --manifest-path "$root/Cargo.toml" --features sidecar --bin standin
    program=$root/target/debug/standin
fi

# What cannot be had is no fault of the program.
not_to_be_had() {
    echo "not run: the SDKs cannot be installed" >&2
    exit 75
}

python=$place/venv/bin/python
[ -x "$python" ] || python3 -m venv "$place/venv"
"$python" -c 'import openai, anthropic, google.genai, langchain_openai, pydantic_ai' 2>/dev/null ||
    "$python" -m pip install --quiet openai anthropic google-genai langchain-openai 'pydantic-ai-slim[openai]' ||
    not_to_be_had
[ -d "$place/node_modules/ai" ] ||
    npm install --silent --no-fund --no-audit --prefix "$place" openai @anthropic-ai/sdk ai @ai-sdk/openai zod || not_to_be_had

serving=
end() {
    [ -z "$serving" ] || kill "$serving" 2>/dev/null || true
}
trap end EXIT
trap 'exit 1' INT TERM

# Starts the program on a free port, and reads from what it says which one that is.
serve() {
    : >"$place/said"
    rm -f "$place"/kept.db*
    "$program" serve --drill --listen 127.0.0.1:0 --log off --store "$place/kept.db" "$@" 2>"$place/said" &
    serving=$!
    ROOT=
    while [ -z "$ROOT" ]; do
        kill -0 "$serving" || { cat "$place/said"; exit 1; }
        ROOT=$(sed -n 's|^ *Anthropic *base URL *||p' "$place/said")
    done
    export ROOT
}

# The SDKs' lines of the guide, as they stand there but for the port.
guide() {
    rm -rf "$place/guide"
    mkdir -p "$place/guide"
    awk -v place="$place/guide" '
        /^```(python|js)$/ { file = sprintf("%s/%02d.%s", place, ++count, substr($0, 4) == "js" ? "mjs" : "py"); next }
        /^```/ { file = "" }
        file { print > file }' "$root/docs/guide.md"
    for file in "$place/guide"/*; do
        sed -i "s|http://127.0.0.1:4000|$ROOT|g" "$file"
        case $file in
        *.py) said=$("$python" "$file") || said= ;;
        # Modules are looked for in the folders above it.
        *) said=$(node "$file") || said= ;;
        esac
        if [ "$said" = hello ]; then
            echo "ok      the guide's $(basename "$file")"
        else
            echo "not ok  the guide's $(basename "$file"): $said"
            failed=1
        fi
    done
}

failed=0
for weather in calm storm; do
    echo "# $weather"
    if [ "$weather" = storm ]; then serve --storm; else serve; fi
    "$python" "$here/check.py" || failed=1
    # Node looks for modules beside the program.
    cp "$here/check.mjs" "$place/check.mjs"
    node "$place/check.mjs" || failed=1
    [ "$weather" = storm ] || guide
    kill "$serving"
    wait "$serving" || failed=1
    serving=
done
if [ -n "$agents" ]; then
    echo "# agents"
    [ -x "$place/agents/node_modules/.bin/codex" ] && [ -x "$place/agents/node_modules/.bin/claude" ] ||
        npm install --silent --no-fund --no-audit --prefix "$place/agents" @anthropic-ai/claude-code @openai/codex
    # Agents try to reach home: where that can be done, they get a network without a way out.
    if unshare -n true 2>/dev/null; then
        unshare -n sh -c 'ip link set lo up && exec "$@"' sh python3 "$here/fidelity.py" "$program" "$place/agents" || failed=1
    else
        python3 "$here/fidelity.py" "$program" "$place/agents" || failed=1
    fi
fi
exit "$failed"
