//! The words that are kept: requests, events of answers, and how calls fail.

use super::{Tape, by_name, fields, put_bytes, take_text, variants};
use crate::words::{
    Amount, AssistantPart, AttemptEnd, AttemptRecord, Audio, Barred, CallFacts, CallId, Cause, ChatRequest,
    CommitPolicy, Degraded, Dialect, Document, DocumentSource, Durable, Effort, Error, Failure, FailureClass, Finished,
    Foreign, Hedging, Image, Marks, Message, Note, OnExhausted, Original, OverBudget, Price, Priority, Proof,
    Reasoning, ReplyEvent, ResponseFormat, RetryAfter, Rule, Sampling, Scope, Source, StopReason, TargetId, Text, Tool,
    ToolCall, ToolChoice, ToolResult, Usage, UserPart,
};

impl Tape for Text {
    fn put(&self, out: &mut Vec<u8>) {
        put_bytes(self.as_str().as_bytes(), out);
    }

    fn take(from: &mut &[u8]) -> Option<Self> {
        take_text(from).map(Self::from)
    }
}

by_name!(Priority, Rule, Hedging, OnExhausted, Durable, FailureClass);

fields!(ChatRequest {
    route,
    messages,
    tools,
    foreign_tools,
    tool_choice,
    parallel_tool_calls,
    response_format,
    sampling,
    effort,
    output_tokens_max,
    priority,
    rule,
    hedging,
    deadline,
    on_exhausted,
    session,
    labels,
    key,
    durable,
    tags,
    client,
    commit,
    extra,
    extra_headers,
    extra_dialect,
    extra_needed,
    via,
    model_as,
    original,
});
variants!(Message { 0 = System(text), 1 = User(parts), 2 = Assistant(parts), 3 = Tool(result), 4 = Foreign(foreign) });
variants!(UserPart { 0 = Text(text), 1 = Image(image), 2 = Document(it), 3 = Audio(audio), 4 = Foreign(foreign) });
variants!(AssistantPart { 0 = Text(text), 1 = Reasoning(thought), 2 = ToolCall(call), 3 = Foreign(foreign) });
fields!(Foreign { dialect, kind, json, optional });
fields!(Document { source, title, context, citations });
variants!(DocumentSource { 0 = Text(text), 1 = Base64 { media_type, data }, 2 = Url(address) });
fields!(Audio { media_type, data });
variants!(Image { 0 = Url(address), 1 = Base64 { media_type, data } });
fields!(Reasoning { text, proof });
fields!(Proof { dialect, issuer, data });
fields!(ToolCall { id, name, arguments, proof });
fields!(ToolResult { call_id, name, content, is_error });
fields!(Tool { name, description, parameters, strict });
variants!(ToolChoice { 0 = Auto, 1 = None, 2 = Required, 3 = Named(name), 4 = Foreign(foreign) });
variants!(ResponseFormat { 0 = Text, 1 = Json, 2 = JsonSchema { name, schema, strict } });
fields!(Sampling { temperature, top_p, presence_penalty, frequency_penalty, seed, stop });
variants!(Effort { 0 = None, 1 = Minimal, 2 = Low, 3 = Medium, 4 = High, 5 = XHigh, 6 = Max });
variants!(CommitPolicy { 0 = Reset, 1 = Fail, 2 = Buffered });
variants!(Dialect {
    0 = OpenAiChat,
    1 = OpenAiResponses,
    2 = AnthropicMessages,
    3 = Gemini,
    4 = Vertex,
    5 = Ollama,
    6 = Function,
});
fields!(Original { dialect, body, model, fields, nulls, stream, stream_usage, left_out, marks, lost, method });
fields!(Marks { developer, cached, scoped, invoice, sealed, proof, begun });
variants!(Note { 0 = Dropped(what), 1 = Converted(what), 2 = Trimmed { messages, tokens } });

variants!(ReplyEvent {
    0 = Waiting { back_in, barred },
    1 = Started { call, target, attempt, prompt_tokens },
    2 = Text(text),
    3 = Reasoning(text),
    4 = Proof(proof),
    5 = Verbatim(events),
    6 = ToolCall(call),
    7 = Reset(failure),
    8 = Finished(finished),
});
fields!(Finished {
    call,
    parts,
    verbatim,
    target,
    model,
    stop,
    stop_sequence,
    sources,
    usage,
    cost_usd,
    attempts,
    last_resort,
    degraded,
    notes,
});
fields!(CallId { runtime, number });
fields!(TargetId { provider, model });
fields!(Source { url, title, cited, place });
fields!(Usage { input, output, cached, cache_write, reasoning });
variants!(Degraded { 0 = Target, 1 = Stale { age }, 2 = Text });
variants!(StopReason { 0 = Stop, 1 = Length, 2 = ToolCalls, 3 = ContentFilter, 4 = Refusal, 5 = Other });
fields!(AttemptRecord {
    call,
    about,
    attempt,
    target,
    model,
    key,
    started_after,
    first_token,
    took,
    usage,
    estimated,
    price,
    cost_usd,
    bytes_sent,
    bytes_received,
    probe,
    last_resort,
    degraded,
    hedge,
    end,
});
fields!(CallFacts { id, started_at, route, session, tags, priority, dialect, client });
fields!(Price { input, cached_input, cache_write, output, reasoning });
variants!(AttemptEnd { 0 = Won, 1 = Failed(failure) });
fields!(Failure { class, scope, status, code, message, retry_after });
variants!(Scope { 0 = Request, 1 = Key, 2 = Model, 3 = Endpoint });
variants!(RetryAfter { 0 = After(time), 1 = At(time) });
fields!(Barred { target, cause, back_in });
variants!(Cause { 0 = Failure(class), 1 = Breaker, 2 = Operator, 3 = Full, 4 = Down });

variants!(Error {
    0 = Invalid { field, problem },
    1 = NoTarget { route, why },
    2 = NoTargetTakes { route, field, what, why, remedy },
    3 = Rejected { failure, attempts },
    4 = Exhausted { attempts, retry_after, barred },
    5 = OverBudget { budget, attempts },
    6 = DeadlineExceeded { attempts },
    7 = Interrupted { failure, attempts },
    8 = Overloaded { calls_max, retry_after },
    9 = Draining,
    10 = Unavailable,
    11 = Crashed,
    12 = ConsumerStalled(time),
    13 = KeyConflict,
    14 = NotKept(call),
    15 = Cancelled,
    16 = NotDurable(why),
});
fields!(OverBudget { budget, of, spent, limit, per, renews_in, reserved, unpriced });
variants!(Amount { 0 = Dollars(dollars), 1 = Tokens(tokens) });
