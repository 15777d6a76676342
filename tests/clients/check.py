"""What Python's SDKs make of the sidecar over drills. ROOT is its address; prints ok or not ok for each check."""

import asyncio
import os
import sys
import time
import warnings

import anthropic
import openai
from google import genai
from google.genai import errors as genai_errors
from google.genai import types
from langchain_openai import ChatOpenAI
from pydantic import BaseModel
from pydantic_ai import Agent
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider

ROOT = os.environ["ROOT"]
MODEL = "smart"
SAID = "one two three four five"
WORDS = [{"role": "user", "content": SAID}]
WEATHER = "What is the weather in Oslo?"
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
failures = 0


class Place(BaseModel):
    city: str
    people: int


def check(name):
    """Runs a function at once, and says what became of it."""

    def run(function):
        global failures
        try:
            function()
            print(f"ok      {name}")
        except Exception as error:  # one that fails must not hide the others
            failures += 1
            print(f"not ok  {name}: {type(error).__name__}: {error}")

    return run


def same(seen, expected):
    assert seen == expected, f"{seen!r} instead of {expected!r}"


def raises(kind, status, function):
    try:
        function()
    except kind as error:
        same(getattr(error, "status_code", None) or getattr(error, "code", None), status)
        return error
    raise AssertionError(f"no {kind.__name__}")


def ending(response):
    """Waits until an answer in the background has ended."""
    reply = chat.responses.retrieve(response)
    while reply.status in ("queued", "in_progress"):
        time.sleep(0.02)
        reply = chat.responses.retrieve(response)
    return reply


chat = openai.OpenAI(base_url=f"{ROOT}/v1", api_key="any", timeout=60)
TOOL = {"type": "function", "function": {"name": "get_weather", "parameters": SCHEMA}}


@check("openai chat: whole")
def _():
    reply = chat.chat.completions.create(model=MODEL, messages=WORDS)
    same((reply.choices[0].message.content, reply.choices[0].finish_reason), (SAID, "stop"))
    assert reply.usage.completion_tokens == 5, reply.usage


@check("openai chat: stream")
def _():
    options = {"include_usage": True}
    pieces = list(chat.chat.completions.create(model=MODEL, messages=WORDS, stream=True, stream_options=options))
    same("".join(piece.choices[0].delta.content or "" for piece in pieces if piece.choices), SAID)
    assert pieces[-1].usage.completion_tokens == 5, pieces[-1]


@check("openai chat: tools, there and back")
def _():
    said = [{"role": "user", "content": WEATHER}]
    reply = chat.chat.completions.create(model=MODEL, messages=said, tools=[TOOL]).choices[0].message
    same(reply.tool_calls[0].function.name, "get_weather")
    result = {"role": "tool", "tool_call_id": reply.tool_calls[0].id, "content": "rain"}
    said += [reply.model_dump(exclude_none=True), result]
    again = chat.chat.completions.create(model=MODEL, messages=said, tools=[TOOL])
    same(again.choices[0].message.content, "the tool said: rain")


@check("openai chat: structured output")
def _():
    reply = chat.chat.completions.parse(model=MODEL, messages=WORDS, response_format=Place)
    assert isinstance(reply.choices[0].message.parsed, Place), reply


@check("openai chat: errors")
def _():
    # The name in the message says that the 400 is of the field, not of the body.
    error = raises(openai.BadRequestError, 400, lambda: chat.chat.completions.create(model=MODEL, messages=[]))
    assert "messages" in str(error), error


@check("openai chat: twenty streams at once")
def _():
    async def one(client, number):
        said = [{"role": "user", "content": f"number {number} of many"}]
        text = ""
        async for piece in await client.chat.completions.create(model=MODEL, messages=said, stream=True):
            text += piece.choices[0].delta.content or "" if piece.choices else ""
        same(text, f"number {number} of many")

    async def all_of_them():
        async with openai.AsyncOpenAI(base_url=f"{ROOT}/v1", api_key="any", timeout=60) as client:
            await asyncio.gather(*(one(client, number) for number in range(20)))

    asyncio.run(all_of_them())


@check("openai responses: whole")
def _():
    reply = chat.responses.create(model=MODEL, input=SAID)
    same((reply.output_text, reply.status), (SAID, "completed"))


@check("openai responses: stream")
def _():
    with chat.responses.stream(model=MODEL, input=SAID) as stream:
        text = "".join(event.delta for event in stream if event.type == "response.output_text.delta")
        same((text, stream.get_final_response().output_text), (SAID, SAID))


@check("openai responses: tools, there and back")
def _():
    tool = {"type": "function", "name": "get_weather", "parameters": SCHEMA}
    reply = chat.responses.create(model=MODEL, input=WEATHER, tools=[tool])
    call = next(item for item in reply.output if item.type == "function_call")
    result = {"type": "function_call_output", "call_id": call.call_id, "output": "rain"}
    said = [{"role": "user", "content": WEATHER}, call.model_dump(exclude_none=True), result]
    same(chat.responses.create(model=MODEL, input=said, tools=[tool]).output_text, "the tool said: rain")


@check("openai responses: structured output")
def _():
    reply = chat.responses.parse(model=MODEL, input=SAID, text_format=Place)
    assert isinstance(reply.output_parsed, Place), reply


@check("openai responses: in the background, looked at, read from a place, deleted")
def _():
    reply = chat.responses.create(model=MODEL, input=SAID, background=True)
    same((reply.status, reply.background), ("queued", True))
    ended = ending(reply.id)
    same((ended.status, ended.output_text), ("completed", SAID))
    events = list(chat.responses.retrieve(reply.id, stream=True))
    same([event.sequence_number for event in events], list(range(len(events))))
    same(list(chat.responses.retrieve(reply.id, stream=True, starting_after=3)), events[4:])
    same(events[-1].response.model_dump(), ended.model_dump())
    chat.responses.delete(reply.id)
    raises(openai.NotFoundError, 404, lambda: chat.responses.retrieve(reply.id))


@check("openai responses: a stream in the background that is left, and one that is cancelled")
def _():
    left = chat.responses.create(model=MODEL, input=SAID, background=True, stream=True)
    first = next(iter(left))
    left.close()
    same((first.type, first.response.status), ("response.created", "queued"))
    same(ending(first.response.id).output_text, SAID)
    with chat.responses.stream(response_id=first.response.id, starting_after=0) as stream:
        same("".join(event.delta for event in stream if event.type == "response.output_text.delta"), SAID)
    reply = chat.responses.create(model=MODEL, input="many words " * 2000, background=True)
    same(chat.responses.cancel(reply.id).status, "cancelled")
    same(ending(reply.id).status, "cancelled")
    same(list(chat.responses.retrieve(reply.id, stream=True))[-1].response.status, "cancelled")


@check("openai: models")
def _():
    names = [model.id for model in chat.models.list()]
    # The route, and each target behind it.
    assert MODEL in names and len(names) > 2 and all("/" in name for name in names if name != MODEL), names
    same(chat.models.retrieve(MODEL).id, MODEL)
    raises(openai.NotFoundError, 404, lambda: chat.models.retrieve("none"))


claude = anthropic.Anthropic(base_url=ROOT, api_key="any", timeout=60)
CLAUDE = {"model": MODEL, "max_tokens": 1000}
TOOL_OF_CLAUDE = {"name": "get_weather", "input_schema": SCHEMA}


@check("anthropic: whole")
def _():
    reply = claude.messages.create(messages=WORDS, **CLAUDE)
    same((reply.content[0].text, reply.stop_reason, reply.usage.output_tokens), (SAID, "end_turn", 5))


@check("anthropic: stream")
def _():
    with claude.messages.stream(messages=WORDS, **CLAUDE) as stream:
        same(("".join(stream.text_stream), stream.get_final_message().stop_reason), (SAID, "end_turn"))


@check("anthropic: tools, there and back")
def _():
    said = [{"role": "user", "content": WEATHER}]
    reply = claude.messages.create(messages=said, tools=[TOOL_OF_CLAUDE], **CLAUDE)
    call = next(block for block in reply.content if block.type == "tool_use")
    assert reply.stop_reason == "tool_use" and "city" in call.input, reply
    said.append({"role": "assistant", "content": [block.model_dump(exclude_none=True) for block in reply.content]})
    said.append({"role": "user", "content": [{"type": "tool_result", "tool_use_id": call.id, "content": "rain"}]})
    again = claude.messages.create(messages=said, tools=[TOOL_OF_CLAUDE], **CLAUDE)
    same(again.content[0].text, "the tool said: rain")


@check("anthropic: errors")
def _():
    raises(anthropic.BadRequestError, 400, lambda: claude.messages.create(messages=[], **CLAUDE))
    raises(anthropic.NotFoundError, 404, lambda: claude.models.retrieve("none"))


@check("anthropic: tokens and models")
def _():
    assert claude.messages.count_tokens(model=MODEL, messages=WORDS).input_tokens > 4
    assert MODEL in [model.id for model in claude.models.list()]


gemini = genai.Client(api_key="any", http_options=types.HttpOptions(base_url=ROOT, timeout=60_000))


@check("google: whole")
def _():
    reply = gemini.models.generate_content(model=MODEL, contents=SAID)
    same((reply.text, reply.usage_metadata.candidates_token_count), (SAID, 5))


@check("google: stream")
def _():
    pieces = list(gemini.models.generate_content_stream(model=MODEL, contents=SAID))
    same("".join(piece.text or "" for piece in pieces), SAID)
    same(pieces[-1].candidates[0].finish_reason, types.FinishReason.STOP)


@check("google: tools, there and back")
def _():
    asked = []

    def get_weather(city: str) -> str:
        """Tells the weather of a city."""
        asked.append(city)
        return "rain"

    config = types.GenerateContentConfig(tools=[get_weather])
    reply = gemini.chats.create(model=MODEL, config=config).send_message(WEATHER)
    assert asked and "rain" in reply.text, (asked, reply.text)


@check("google: structured output")
def _():
    config = types.GenerateContentConfig(response_mime_type="application/json", response_schema=Place)
    reply = gemini.models.generate_content(model=MODEL, contents=SAID, config=config)
    assert isinstance(reply.parsed, Place), reply


@check("google: errors, tokens and models")
def _():
    raises(genai_errors.ClientError, 404, lambda: gemini.models.get(model="none"))
    # An estimate, which follows what the providers count: these count words.
    assert 2 < gemini.models.count_tokens(model=MODEL, contents=SAID).total_tokens < 30
    assert f"models/{MODEL}" in [model.name for model in gemini.models.list()]


@check("langchain: whole, stream, tools and structured output")
def _():
    for responses in (False, True):
        model = ChatOpenAI(model=MODEL, base_url=f"{ROOT}/v1", api_key="any", use_responses_api=responses)
        same(model.invoke(SAID).text, SAID)
        same("".join(piece.text for piece in model.stream(SAID)), SAID)
        calls = model.bind_tools([TOOL]).invoke(WEATHER).tool_calls
        same([call["name"] for call in calls], ["get_weather"])
        assert isinstance(model.with_structured_output(Place).invoke(SAID), Place)


@check("pydantic-ai: whole, tools and structured output")
def _():
    model = OpenAIChatModel(MODEL, provider=OpenAIProvider(base_url=f"{ROOT}/v1", api_key="any"))
    same(Agent(model).run_sync(SAID).output, SAID)
    agent = Agent(model)

    @agent.tool_plain
    def get_weather(city: str) -> str:
        return "rain"

    assert "rain" in agent.run_sync(WEATHER).output
    assert isinstance(Agent(model, output_type=Place).run_sync(SAID).output, Place)


warnings.simplefilter("ignore")
sys.exit(1 if failures else 0)
