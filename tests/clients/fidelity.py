#!/usr/bin/env python3
"""Lets coding agents work through the sidecar with scripted turns, and holds that nobody can tell that it stands between:
the provider gets byte for byte what its client sent, but for the model's name, and the client gets what the provider sent.

    fidelity.py PROGRAM [AGENTS]

PROGRAM is the sidecar, AGENTS a folder with node_modules/.bin/claude and codex in it (see run.sh). Works on loopback only.
With `-` for PROGRAM there is nothing between, to see that the scripts are what the agents take.
"""

import http.client
import http.server
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
import zlib
from pathlib import Path

PROGRAM, AGENTS = sys.argv[1], Path(sys.argv[2])


def png():
    """Returns a small picture."""

    def chunk(kind, data):
        body = kind + data
        return len(data).to_bytes(4, "big") + body + zlib.crc32(body).to_bytes(4, "big")

    rows = b"".join(b"\x00" + bytes([30 * y, 10, 200] * 8) for y in range(8))
    head = (8).to_bytes(4, "big") + (8).to_bytes(4, "big") + b"\x08\x02\x00\x00\x00"
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def pdf():
    """Returns a document of one page."""
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 200 200] >>",
    ]
    out, places = b"%PDF-1.4\n", []
    for number, content in enumerate(objects, 1):
        places.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, content)
    start = len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    out += b"".join(b"%010d 00000 n \n" % place for place in places)
    return out + b"trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, start)


class Server(http.server.ThreadingHTTPServer):
    """A server on a free port of loopback, with a list of what went through it."""

    daemon_threads = True

    def __init__(self, handler):
        super().__init__(("127.0.0.1", 0), handler)
        self.seen, self.lock = [], threading.Lock()
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def port(self):
        return self.server_address[1]

    def note(self, *what):
        with self.lock:
            self.seen.append(what)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def body(self):
        return self.rfile.read(int(self.headers.get("content-length") or 0))

    def empty(self, status):
        self.send_response(status)
        self.send_header("content-length", "0")
        self.end_headers()

    def do_HEAD(self):
        self.empty(200)

    def do_GET(self):
        self.empty(404)


class Provider(Handler):
    """Answers with the turns of a script, in pieces that end anywhere."""

    def do_POST(self):
        body = self.body()
        events = b"".join(self.server.script(json.loads(body)))
        self.server.note(self.path, body, dict(self.headers), events)
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        for at in range(0, len(events), 700):
            piece = events[at : at + 700]
            self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            self.wfile.flush()
            time.sleep(0.002)
        self.wfile.write(b"0\r\n\r\n")


class Recorder(Handler):
    """Stands before the sidecar and writes down what goes through."""

    def do_HEAD(self):
        self.forward("HEAD", b"")

    def do_GET(self):
        self.forward("GET", b"")

    def do_POST(self):
        self.forward("POST", self.body())

    def forward(self, method, body):
        connection = http.client.HTTPConnection("127.0.0.1", self.server.to, timeout=120)
        headers = {k: v for k, v in self.headers.items() if k.lower() not in ("host", "accept-encoding")}
        connection.request(method, self.path, body=body, headers=headers)
        answer = connection.getresponse()
        self.send_response(answer.status)
        for key, value in answer.getheaders():
            if key.lower() not in ("transfer-encoding", "content-length", "connection", "date"):
                self.send_header(key, value)
        if method == "HEAD":
            self.send_header("content-length", "0")
            return self.end_headers()
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        got = b""
        try:
            while piece := answer.read1(65536):
                got += piece
                self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
                self.wfile.flush()
            self.wfile.write(b"0\r\n\r\n")
        except http.client.HTTPException:
            # What broke off breaks off here, too.
            self.close_connection = True
        if method == "POST":
            self.server.note(self.path, body, dict(self.headers), got, answer.status)


def event(value):
    return b"event: %s\ndata: %s\n\n" % (value["type"].encode(), json.dumps(value).encode())


# ------------------------------------------------------------------------------------------------ Anthropic's messages


def message(blocks, stop, extra=None):
    """Yields the events of an answer; a block is its start and its deltas."""
    head = {
        "id": f"msg_{time.time_ns()}",
        "type": "message",
        "role": "assistant",
        "model": "claude-sonnet-4-5",
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "container": None,
        "context_management": {"applied_edits": []},
        "usage": {
            "input_tokens": 9,
            "cache_creation_input_tokens": 5,
            "cache_read_input_tokens": 3,
            "output_tokens": 1,
            "service_tier": "standard",
            "inference_geo": "us",
        },
    }
    yield event({"type": "message_start", "message": head})
    yield event({"type": "ping"})
    for index, (start, deltas) in enumerate(blocks):
        yield event({"type": "content_block_start", "index": index, "content_block": start})
        for delta in deltas:
            yield event({"type": "content_block_delta", "index": index, "delta": delta})
        yield event({"type": "content_block_stop", "index": index})
    yield event(
        {
            "type": "message_delta",
            "delta": {"stop_reason": stop, "stop_sequence": None, "container": None},
            "usage": {"output_tokens": 30, **(extra or {})},
            "some_new_field": {"a": [1.0, 1e3]},
        }
    )
    yield event({"type": "message_stop"})


def text(words, citations=()):
    return {"type": "text", "text": ""}, [{"type": "text_delta", "text": words}] + [
        {"type": "citations_delta", "citation": citation} for citation in citations
    ]


def thought(words, signature):
    return {"type": "thinking", "thinking": "", "signature": ""}, [
        {"type": "thinking_delta", "thinking": words},
        {"type": "signature_delta", "signature": signature},
    ]


def use(number, name, **arguments):
    given = json.dumps(arguments)
    return {"type": "tool_use", "id": f"toolu_{number:03}", "name": name, "input": {}, "caller": {"type": "direct"}}, [
        {"type": "input_json_delta", "partial_json": part} for part in ("", given[:7], given[7:])
    ]


def claude_script(work):
    def script(body):
        tools = [tool.get("type") or "" for tool in body.get("tools", [])]
        if any(tool.startswith("web_search") for tool in tools):
            found = {
                "type": "web_search_result",
                "title": "T",
                "url": "https://x.test",
                "encrypted_content": "RU5D",
                "page_age": None,
            }
            search = {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {}}
            return message(
                [
                    (search, [{"type": "input_json_delta", "partial_json": '{"query": "news"}'}]),
                    ({"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": [found]}, []),
                    text(
                        "News.",
                        [
                            {
                                "type": "web_search_result_location",
                                "url": "https://x.test",
                                "title": "T",
                                "encrypted_index": "SU5E",
                                "cited_text": "c",
                            }
                        ],
                    ),
                ],
                "end_turn",
                {"server_tool_use": {"web_search_requests": 1}},
            )
        results = json.dumps(body["messages"]).count('"tool_result"')
        if "Read" not in [tool.get("name") for tool in body.get("tools", [])]:
            return message([text("A title")], "end_turn")
        turns = [
            [
                thought("I look at the picture first.", "EqQBCgIYAhIM1gbcDa9GJwZA2b3h"),
                text("First the picture. "),
                use(1, "Read", file_path=str(work / "picture.png")),
            ],
            [
                thought("", "EqQBCgIYAhIMnothing"),
                text("Then the document."),
                use(2, "Read", file_path=str(work / "paper.pdf")),
            ],
            [
                thought("What is new?", "EqQBCgIYAhIMnews"),
                text("And the news."),
                use(3, "WebSearch", query="news"),
                use(4, "Bash", command="echo done", description="Say done"),
            ],
            [text("All is done.")],
        ]
        # The last turn makes two calls at once.
        turn = min(results, 2) if results < 4 else 3
        return message(
            turns[turn], "end_turn" if turn == 3 else "tool_use", {"output_tokens_details": {"thinking_tokens": 7}}
        )

    return script


# --------------------------------------------------------------------------------------------------- OpenAI's responses


# From how many tokens on a conversation is compacted.
LIMIT = 20_000


def usage(total):
    return {
        "input_tokens": total - 20,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": 20,
        "output_tokens_details": {"reasoning_tokens": 5},
        "total_tokens": total,
    }


def response(items, counted):
    head = {
        "id": f"resp_{time.time_ns()}",
        "object": "response",
        "created_at": 1,
        "model": "gpt-5.4-2026-03-05",
        "status": "in_progress",
        "output": [],
        "service_tier": "default",
        "metadata": {},
        "phase": None,
        "prompt_cache_retention": None,
    }
    number = iter(range(10_000))

    def say(kind, **fields):
        return event({"type": kind, "sequence_number": next(number), **fields})

    yield say("response.created", response=head)
    yield say("response.in_progress", response=head)
    for index, item in enumerate(items):
        yield say("response.output_item.added", output_index=index, item={**item, "status": "in_progress"})
        if item["type"] == "message":
            part = item["content"][0]
            yield say(
                "response.content_part.added",
                output_index=index,
                content_index=0,
                item_id=item["id"],
                part={**part, "text": "", "annotations": []},
            )
            yield say(
                "response.output_text.delta",
                output_index=index,
                content_index=0,
                item_id=item["id"],
                delta=part["text"],
                logprobs=[],
                obfuscation="abc",
            )
            for at, annotation in enumerate(part["annotations"]):
                yield say(
                    "response.output_text.annotation.added",
                    output_index=index,
                    content_index=0,
                    item_id=item["id"],
                    annotation_index=at,
                    annotation=annotation,
                )
            yield say(
                "response.output_text.done",
                output_index=index,
                content_index=0,
                item_id=item["id"],
                text=part["text"],
                logprobs=[],
            )
            yield say("response.content_part.done", output_index=index, content_index=0, item_id=item["id"], part=part)
        if item["type"] == "function_call":
            given = item["arguments"]
            for piece in (given[:5], given[5:]):
                yield say("response.function_call_arguments.delta", output_index=index, item_id=item["id"], delta=piece)
            yield say("response.function_call_arguments.done", output_index=index, item_id=item["id"], arguments=given)
        if item["type"] == "web_search_call":
            yield say("response.web_search_call.searching", output_index=index, item_id=item["id"])
            yield say("response.web_search_call.completed", output_index=index, item_id=item["id"])
        yield say("response.output_item.done", output_index=index, item=item)
    yield say("response.completed", response={**head, "status": "completed", "output": items, "usage": counted})


def said(number, words, annotations=()):
    return {
        "type": "message",
        "id": f"msg_{number}",
        "role": "assistant",
        "status": "completed",
        "phase": "commentary",
        "content": [{"type": "output_text", "text": words, "annotations": list(annotations), "logprobs": []}],
    }


def reasoning(number):
    return {
        "type": "reasoning",
        "id": f"rs_{number}",
        "summary": [],
        "encrypted_content": "gAAAA" + "Q" * 40,
        "content": None,
    }


def called(number, name, namespace=None, **arguments):
    item = {
        "type": "function_call",
        "id": f"fc_{number}",
        "call_id": f"call_{number}",
        "status": "completed",
        "name": name,
        "arguments": json.dumps(arguments),
    }
    return {**item, "namespace": namespace} if namespace else item


def codex_script(work):
    """Three turns; after the first the conversation is too long, and is compacted."""
    turn = iter(range(10_000))

    def script(body):
        spaces = [tool for tool in body.get("tools", []) if tool.get("type") == "namespace"]
        if body["input"][-1].get("type") == "compaction_trigger":
            return response([{"type": "compaction", "id": "cmp_1", "encrypted_content": "gAAAA" + "Z" * 30}], usage(30))
        if not spaces:
            return response([said(9, "A summary.")], usage(30))
        search = {
            "type": "web_search_call",
            "id": "ws_1",
            "status": "completed",
            "action": {"type": "search", "query": "news", "queries": ["news"]},
        }
        source = {"type": "url_citation", "url": "https://x.test", "title": "T", "start_index": 0, "end_index": 2}
        now = next(turn)
        turns = [
            [
                reasoning(1),
                search,
                said(1, "I look.", [source]),
                called(1, "exec_command", cmd="echo hello"),
                called(2, "view_image", path=str(work / "picture.png")),
            ],
            [reasoning(2), called(3, spaces[0]["tools"][0]["name"], spaces[0]["name"]) if spaces else said(2, "So.")],
            [said(4, "All is done.")],
        ]
        return response(turns[min(now, 2)], usage(LIMIT + 10 if now == 1 else 30))

    return script


# ------------------------------------------------------------------------------------------------------------- The play


def serve(folder, config):
    """Starts the sidecar; returns it and its port."""
    (folder / "standin.toml").write_text(config)
    port = free_port()
    log = open(folder / "log", "w")
    process = subprocess.Popen(
        [PROGRAM, "serve", "--config", str(folder / "standin.toml"), "--listen", f"127.0.0.1:{port}"],
        stderr=log,
        stdout=log,
    )
    for _ in range(100):
        try:
            http.client.HTTPConnection("127.0.0.1", port, timeout=1).connect()
            return process, port
        except OSError:
            time.sleep(0.05)
    raise SystemExit((folder / "log").read_text())


def free_port():
    server = Server(Handler)
    port = server.port
    server.shutdown()
    server.server_close()
    return port


def renamed(body):
    """Returns a request without the model's name."""
    return re.sub(rb'^(\{(?:[^{}\[\]]*?,)?\s*"model"\s*:\s*)"[^"]*"', rb'\1"M"', body, count=1)


def first_difference(one, other):
    at = next((at for at, (a, b) in enumerate(zip(one, other)) if a != b), min(len(one), len(other)))
    return f"at {at}: {one[max(0, at - 60):at + 120]!r} against {other[max(0, at - 60):at + 120]!r}"


passed = failed = 0


def check(name, problem):
    global passed, failed
    if problem:
        failed += 1
        print(f"NOT OK {name}: {problem}", flush=True)
    else:
        passed += 1
        print(f"ok {name}", flush=True)


def play(name, dialect, model, asked, script, run, wanted):
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        work = folder / "work"
        work.mkdir()
        (work / "picture.png").write_bytes(png())
        (work / "paper.pdf").write_bytes(pdf())
        subprocess.run(["git", "init", "-q", str(work)], check=True)
        provider = Server(Provider)
        provider.script = script(work)
        config = f"""
[providers.p]
base_url = "http://127.0.0.1:{provider.port}/v1"
dialect = "{dialect}"
keys = ["theirs"]
models."{model}" = {{}}
[routes.r]
targets = ["p/{model}"]
[server]
default_route = "r"
"""
        process, port = (None, provider.port) if PROGRAM == "-" else serve(folder, config)
        recorder = Server(Recorder)
        recorder.to = port
        try:
            out = run(folder, work, f"http://127.0.0.1:{recorder.port}", asked)
        finally:
            if process:
                process.send_signal(signal.SIGTERM)
                process.wait(20)
        sent = sorted((renamed(body), path) for path, body, *_ in recorder.seen)
        got = sorted((renamed(body), path) for path, body, *_ in provider.seen)
        check(f"{name}: its work is done", "" if "All is done." in out else out[-600:])
        problem = "" if len(sent) == len(got) else f"{len(sent)} requests went in, {len(got)} came out"
        pairs = [(a, b) for (a, _), (b, _) in zip(sent, got) if a != b]
        check(
            f"{name}: {len(sent)} requests arrive as they were sent",
            problem or (first_difference(*pairs[0]) if pairs else ""),
        )
        told = sorted(answer for *_, answer in provider.seen)
        heard = sorted(answer for *_, answer, _ in recorder.seen)
        pairs = [(a, b) for a, b in zip(told, heard) if a != b]
        check(f"{name}: {len(told)} answers arrive as they were told", first_difference(*pairs[0]) if pairs else "")
        everything = b"\n".join(body for _, body, *_ in provider.seen)
        for word in wanted:
            check(f"{name}: the provider saw {word}", "" if word.encode() in everything else "it did not come up")
        betas = {headers.get("anthropic-beta") for _, _, headers, *_ in recorder.seen}
        arrived = {headers.get("anthropic-beta") for _, _, headers, *_ in provider.seen}
        check(f"{name}: what it asks for in advance arrives", "" if betas == arrived else f"{betas} against {arrived}")


def environment(folder, **more):
    keep = {key: os.environ[key] for key in ("PATH", "LANG", "TERM") if key in os.environ}
    return {**keep, "HOME": str(folder), **more}


def claude(folder, work, root, model):
    more = {
        "ANTHROPIC_BASE_URL": root,
        "ANTHROPIC_API_KEY": "x",
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        "DISABLE_TELEMETRY": "1",
        "DISABLE_AUTOUPDATER": "1",
        "CLAUDE_CONFIG_DIR": str(folder / ".claude"),
        "IS_SANDBOX": "1",
    }
    command = [
        str(AGENTS / "node_modules/.bin/claude"),
        "-p",
        "Look at all",
        "--model",
        model,
        "--dangerously-skip-permissions",
    ]
    done = subprocess.run(
        command,
        cwd=work,
        env=environment(folder, **more),
        capture_output=True,
        text=True,
        timeout=180,
        stdin=subprocess.DEVNULL,
    )
    return done.stdout + done.stderr


def codex(folder, work, root, model):
    home = folder / ".codex"
    home.mkdir()
    (home / "config.toml").write_text(f"""
model = "{model}"
model_provider = "side"
model_auto_compact_token_limit = {LIMIT}
approval_policy = "never"
sandbox_mode = "danger-full-access"
[model_providers.side]
name = "side"
base_url = "{root}/v1"
env_key = "SIDE_KEY"
wire_api = "responses"
[analytics]
enabled = false
""")
    command = [str(AGENTS / "node_modules/.bin/codex"), "exec", "--skip-git-repo-check", "Look at all"]
    done = subprocess.run(
        command,
        cwd=work,
        env=environment(folder, CODEX_HOME=str(home), SIDE_KEY="x"),
        capture_output=True,
        text=True,
        timeout=180,
        stdin=subprocess.DEVNULL,
    )
    return done.stdout + done.stderr


play(
    "claude",
    "anthropic",
    "claude-sonnet-4-5",
    "claude-sonnet-4-5",
    claude_script,
    claude,
    ["EqQBCgIYAhIM1gbcDa9GJwZA2b3h", "image/png", "application/pdf", "web_search_20250305", "context_management"],
)
play("claude, another model", "anthropic", "claude-opus-4-5", "claude-sonnet-4-5", claude_script, claude, ["image/png"])
play(
    "codex",
    "openai-responses",
    "gpt-5.4",
    "gpt-5.4",
    codex_script,
    codex,
    ["gAAAA", "input_image", '"namespace"', '"web_search"', '"web_search_call"'],
)
print(f"{passed} passed, {failed} failed")
sys.exit(1 if failed else 0)
