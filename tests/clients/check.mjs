// What Node's SDKs make of the sidecar over drills. ROOT is its address; prints ok or not ok for each check.

import assert from "node:assert/strict";
import Anthropic from "@anthropic-ai/sdk";
import { createOpenAI } from "@ai-sdk/openai";
import { generateText, Output, stepCountIs, streamText, tool } from "ai";
import OpenAI from "openai";
import { z } from "zod";

const root = process.env.ROOT;
const model = "smart";
const said = "one two three four five";
const messages = [{ role: "user", content: said }];
const question = "What is the weather in Oslo?";
const parameters = { type: "object", properties: { city: { type: "string" } }, required: ["city"] };
let failures = 0;

async function check(name, run) {
  try {
    await run();
    console.log(`ok      ${name}`);
  } catch (error) {
    failures += 1;
    console.log(`not ok  ${name}: ${error}`);
  }
}

const openai = new OpenAI({ baseURL: `${root}/v1`, apiKey: "any", timeout: 60_000 });

await check("openai chat: whole", async () => {
  const reply = await openai.chat.completions.create({ model, messages });
  assert.equal(reply.choices[0].message.content, said);
  assert.equal(reply.usage.completion_tokens, 5);
});

await check("openai chat: stream", async () => {
  const stream = openai.chat.completions.stream({ model, messages });
  let text = "";
  stream.on("content", (piece) => (text += piece));
  assert.equal((await stream.finalChatCompletion()).choices[0].finish_reason, "stop");
  assert.equal(text, said);
});

await check("openai chat: a loop of tools", async () => {
  const asked = [];
  const get_weather = { name: "get_weather", parameters, parse: JSON.parse, function: (input) => (asked.push(input), "rain") };
  const messages = [{ role: "user", content: question }];
  const tools = [{ type: "function", function: get_weather }];
  const runner = openai.chat.completions.runTools({ model, messages, tools });
  assert.equal(await runner.finalContent(), "the tool said: rain");
  assert.equal(asked.length, 1);
});

await check("openai responses: in the background", async () => {
  let reply = await openai.responses.create({ model, input: said, background: true });
  const { id } = reply;
  while (["queued", "in_progress"].includes(reply.status)) {
    await new Promise((wake) => setTimeout(wake, 20));
    reply = await openai.responses.retrieve(id);
  }
  assert.equal(reply.output_text, said);
  const numbers = [];
  for await (const event of await openai.responses.retrieve(id, { stream: true, starting_after: 2 })) {
    numbers.push(event.sequence_number);
  }
  assert.equal(numbers[0], 3);
  await openai.responses.delete(id);
  await assert.rejects(openai.responses.retrieve(id), { status: 404 });
});

await check("openai responses: whole and stream", async () => {
  assert.equal((await openai.responses.create({ model, input: said })).output_text, said);
  const stream = openai.responses.stream({ model, input: said });
  assert.equal((await stream.finalResponse()).output_text, said);
});

await check("openai: errors", async () => {
  await assert.rejects(openai.chat.completions.create({ model, messages: [] }), OpenAI.BadRequestError);
  await assert.rejects(openai.models.retrieve("none"), OpenAI.NotFoundError);
});

await check("openai chat: leaving in the middle", async () => {
  const long = [{ role: "user", content: "word ".repeat(2_000) }];
  const stream = await openai.chat.completions.create({ model, messages: long, stream: true });
  for await (const _ of stream) break;
  assert.equal((await openai.chat.completions.create({ model, messages })).choices[0].message.content, said);
});

const anthropic = new Anthropic({ baseURL: root, apiKey: "any", timeout: 60_000 });
const claude = { model, max_tokens: 1_000 };

await check("anthropic: whole and stream", async () => {
  assert.equal((await anthropic.messages.create({ ...claude, messages })).content[0].text, said);
  const stream = anthropic.messages.stream({ ...claude, messages });
  assert.equal(await stream.finalText(), said);
});

await check("anthropic: tools as a stream", async () => {
  const tools = [{ name: "get_weather", input_schema: parameters }];
  const messages = [{ role: "user", content: question }];
  const reply = await anthropic.messages.stream({ ...claude, messages, tools }).finalMessage();
  const call = reply.content.find((block) => block.type === "tool_use");
  assert.equal(typeof call.input.city, "string");
  const result = { type: "tool_result", tool_use_id: call.id, content: "rain" };
  messages.push({ role: "assistant", content: reply.content }, { role: "user", content: [result] });
  const again = await anthropic.messages.create({ ...claude, messages, tools });
  assert.equal(again.content[0].text, "the tool said: rain");
});

await check("anthropic: errors", async () => {
  await assert.rejects(anthropic.messages.create({ ...claude, messages: [] }), Anthropic.BadRequestError);
});

const vercel = createOpenAI({ baseURL: `${root}/v1`, apiKey: "any" });
for (const [name, by] of [["chat", vercel.chat(model)], ["responses", vercel.responses(model)]]) {
  await check(`ai (${name}): whole and stream`, async () => {
    assert.equal((await generateText({ model: by, prompt: said })).text, said);
    let text = "";
    for await (const piece of streamText({ model: by, prompt: said }).textStream) text += piece;
    assert.equal(text, said);
  });

  await check(`ai (${name}): a loop of tools`, async () => {
    const inputSchema = z.object({ city: z.string() });
    const get_weather = tool({ description: "Tells the weather.", inputSchema, execute: async () => "rain" });
    const reply = await generateText({ model: by, prompt: question, tools: { get_weather }, stopWhen: stepCountIs(3) });
    assert.match(reply.text, /rain/);
  });

  await check(`ai (${name}): structured output`, async () => {
    const schema = z.object({ city: z.string(), people: z.number() });
    const reply = await generateText({ model: by, prompt: said, output: Output.object({ schema }) });
    assert.equal(typeof reply.output.people, "number");
  });
}

process.exit(failures ? 1 : 0);
