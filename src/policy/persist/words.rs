//! The words that last: requests, events of answers, and how calls fail.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Mutex;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;
use serde_json::value::RawValue;

use super::{Persist, Reader, SchemaHash, Writer};
use crate::words::locks::lock;
use crate::words::{
    Amount, AssistantPart, AttemptEnd, AttemptRecord, Audio, CallFacts, CallId, Cause, ChatRequest, CommitPolicy,
    Degraded, Dialect, Document, DocumentSource, Durable, Effort, Error, Failure, FailureClass, FieldName, Finished,
    Foreign, Hedging, Image, Json, Marks, Message, Note, OnExhausted, Original, OverBudget, Priority, Proof, Rates,
    Reasoning, ReplyEvent, ResponseFormat, RetryAfter, Rule, Sampling, Scope, Source, StopReason, TargetId, Text, Tool,
    ToolCall, ToolChoice, ToolResult, UnavailableTarget, Unread, Usage, UserPart,
};

/// Makes enums persistent whose variants have names, which are read back by these: one more name is no other schema.
macro_rules! by_name {
    ($($kind:ident),*) => {
        $(impl Persist for $kind {
            fn schema_hash(schema_hash: &mut SchemaHash) {
                schema_hash.name(stringify!($kind));
            }

            fn write(&self, to: &mut Writer) {
                to.bytes(self.name().as_bytes());
            }

            fn read(from: &mut Reader<'_>) -> Option<Self> {
                let name = from.text()?;
                Self::ALL.iter().find(|one| one.name() == name).copied()
            }
        })*
    };
}
by_name!(FailureClass, Priority, Rule, Hedging, OnExhausted, Durable);

texts!(Text);

persist!(struct ChatRequest {
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
} anew { client_timeout });
persist!(
    enum Message {
        System(text),
        User(parts),
        Assistant(parts),
        Tool(result),
        Foreign(foreign),
    }
);
persist!(
    enum UserPart {
        Text(text),
        Image(image),
        Document(it),
        Audio(audio),
        Foreign(foreign),
    }
);
persist!(
    enum AssistantPart {
        Text(text),
        Reasoning(thought),
        ToolCall(call),
        Foreign(foreign),
    }
);
persist!(struct Foreign { dialect, kind, json, optional });
persist!(struct Document { source, title, context, citations });
persist!(enum DocumentSource { Text(text), Base64 { media_type, data }, Url(address) });
persist!(struct Audio { media_type, data });
persist!(enum Image { Url(address), Base64 { media_type, data } });
persist!(struct Reasoning { text, proof });
persist!(struct Proof { dialect, issuer, data });
persist!(struct ToolCall { id, name, arguments, proof });
persist!(struct ToolResult { call_id, name, content, is_error });
persist!(struct Tool { name, description, parameters, strict });
persist!(
    enum ToolChoice {
        Auto,
        None,
        Required,
        Named(name),
        Foreign(foreign),
    }
);
persist!(enum ResponseFormat { Text, Json, JsonSchema { name, schema, strict } });
persist!(struct Sampling { temperature, top_p, presence_penalty, frequency_penalty, seed, stop });
persist!(
    enum Effort {
        None,
        Minimal,
        Low,
        Medium,
        High,
        XHigh,
        Max,
    }
);
persist!(
    enum CommitPolicy {
        Reset,
        Fail,
        Buffered,
    }
);
persist!(
    enum Dialect {
        OpenAiChat,
        OpenAiResponses,
        AnthropicMessages,
        Gemini,
        Vertex,
        Ollama,
        Function,
    }
);
persist!(
    struct Original { dialect, body, model, fields, nulls, stream, stream_usage, left_out, marks, lost, unread, method }
);
persist!(struct Unread { field, problem });
persist!(struct Marks { developer, cached, scoped, invoice, sealed, proof, begun, background, hides_thoughts });
persist!(enum Note { Dropped(what), DroppedField(name), Converted(what), Trimmed { messages, tokens } });

persist!(enum ReplyEvent {
    Waiting { back_in, barred },
    Started { call, target, attempt, prompt_tokens },
    Text(text),
    Reasoning(text),
    Proof(proof),
    Verbatim(events),
    ToolCall(call),
    Reset(failure),
    Finished(finished),
    Refusal,
});
persist!(struct Finished {
    call,
    parts,
    verbatim,
    target,
    model,
    stop,
    refuses,
    stop_sequence,
    sources,
    usage,
    cost_usd,
    attempts,
    last_resort,
    degraded,
    notes,
});
persist!(struct CallId { runtime, number });
persist!(struct TargetId { provider, model });
persist!(struct Source { url, title, cited, place });
persist!(struct Usage { input, output, cached, cache_write, reasoning });
persist!(enum Degraded { Target, Stale { age }, Text });
persist!(
    enum StopReason {
        Stop,
        Length,
        ToolCalls,
        ContentFilter,
        Refusal,
        Other,
    }
);
persist!(struct AttemptRecord {
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
} anew { bill });
persist!(struct CallFacts { id, started_at, route, session, tags, priority, dialect, client });
persist!(struct Rates as Price { input, cached_input, cache_write, output, reasoning, cache_write_1h, search });
persist!(
    enum AttemptEnd {
        Won,
        Failed(failure),
    }
);
persist!(struct Failure { class, scope, status, code, param, message, retry_after });
persist!(
    enum Scope {
        Request,
        Key,
        Model,
        Endpoint,
    }
);
persist!(
    enum RetryAfter {
        After(time),
        At(time),
    }
);
persist!(struct UnavailableTarget as Barred { target, cause, back_in, keys });
persist!(
    enum Cause {
        Failure(class),
        Breaker,
        Operator,
        Full,
        Down,
    }
);

persist!(enum Error {
    Invalid { field, problem },
    NoTarget { route, why },
    TooLong { route, tokens, answer, window, why },
    NoTargetTakes { route, field, what, why, remedy },
    Rejected { failure, attempts },
    Exhausted { attempts, retry_after, barred },
    OverBudget { budget, attempts },
    DeadlineExceeded { attempts },
    Interrupted { failure, attempts },
    Overloaded { calls_max, retry_after },
    Draining,
    Unavailable,
    Crashed,
    ConsumerStalled(time),
    KeyConflict,
    NotKept(call),
    Cancelled,
    NotDurable(why),
    Unopened(why),
});
persist!(struct OverBudget { budget, of, spent, limit, per, renews_in, reserved, unpriced, expected });
persist!(
    enum Amount {
        Dollars(dollars),
        Tokens(tokens),
    }
);

impl<T: Persist, E: Persist> Persist for Result<T, E> {
    fn schema_hash(schema_hash: &mut SchemaHash) {
        schema_hash.name("Result");
        T::schema_hash(schema_hash);
        E::schema_hash(schema_hash);
    }

    fn write(&self, to: &mut Writer) {
        self.is_ok().write(to);
        match self {
            Ok(it) => it.write(to),
            Err(error) => error.write(to),
        }
    }

    fn read(from: &mut Reader<'_>) -> Option<Self> {
        Some(if bool::read(from)? { Ok(T::read(from)?) } else { Err(E::read(from)?) })
    }
}

impl Persist for i64 {
    fn schema_hash(schema_hash: &mut SchemaHash) {
        schema_hash.name("i64");
    }

    fn write(&self, to: &mut Writer) {
        to.number(self.cast_unsigned());
    }

    fn read(from: &mut Reader<'_>) -> Option<Self> {
        from.number().map(u64::cast_signed)
    }
}

impl Persist for Range<usize> {
    fn schema_hash(schema_hash: &mut SchemaHash) {
        schema_hash.name("Range");
    }

    fn write(&self, to: &mut Writer) {
        (self.start, self.end).write(to);
    }

    fn read(from: &mut Reader<'_>) -> Option<Self> {
        let (start, end) = Persist::read(from)?;
        Some(start..end)
    }
}

impl Persist for SystemTime {
    fn schema_hash(schema_hash: &mut SchemaHash) {
        schema_hash.name("SystemTime");
    }

    fn write(&self, to: &mut Writer) {
        self.duration_since(UNIX_EPOCH).unwrap_or_default().write(to);
    }

    fn read(from: &mut Reader<'_>) -> Option<Self> {
        UNIX_EPOCH.checked_add(Duration::read(from)?)
    }
}

/// The most names of parts that live as long as the process: there are some hundred.
const NAMES_MAX: usize = 4_096;

impl Persist for &'static str {
    fn schema_hash(schema_hash: &mut SchemaHash) {
        schema_hash.name("name");
    }

    fn write(&self, to: &mut Writer) {
        to.bytes(self.as_bytes());
    }

    /// A text that is a constant of the code is a static text again: each is made once.
    fn read(from: &mut Reader<'_>) -> Option<Self> {
        static NAMES: Mutex<BTreeSet<&str>> = Mutex::new(BTreeSet::new());
        let name = from.text()?;
        let mut names = lock(&NAMES);
        if let Some(known) = names.get(name) {
            return Some(known);
        }
        if names.len() >= NAMES_MAX {
            return None;
        }
        let name: &'static str = Box::leak(name.into());
        names.insert(name);
        Some(name)
    }
}

impl Persist for FieldName {
    fn schema_hash(schema_hash: &mut SchemaHash) {
        schema_hash.name("FieldName");
    }

    fn write(&self, to: &mut Writer) {
        to.bytes(self.as_str().as_bytes());
    }

    fn read(from: &mut Reader<'_>) -> Option<Self> {
        from.text().map(Self::new)
    }
}

impl Persist for Bytes {
    fn schema_hash(schema_hash: &mut SchemaHash) {
        schema_hash.name("Bytes");
    }

    fn write(&self, to: &mut Writer) {
        to.bytes(self);
    }

    fn read(from: &mut Reader<'_>) -> Option<Self> {
        from.bytes().map(Self::copy_from_slice)
    }
}

impl Persist for BTreeMap<String, String> {
    fn schema_hash(schema_hash: &mut SchemaHash) {
        schema_hash.name("BTreeMap");
    }

    fn write(&self, to: &mut Writer) {
        to.number(self.len() as u64);
        for (name, value) in self {
            name.write(to);
            value.write(to);
        }
    }

    fn read(from: &mut Reader<'_>) -> Option<Self> {
        Vec::<(String, String)>::read(from).map(|all| all.into_iter().collect())
    }
}

impl Persist for Json {
    fn schema_hash(schema_hash: &mut SchemaHash) {
        schema_hash.name("JSON");
    }

    fn write(&self, to: &mut Writer) {
        to.bytes(self.as_str().as_bytes());
    }

    fn read(from: &mut Reader<'_>) -> Option<Self> {
        from.text()?.parse().ok()
    }
}

/// Fields are written as one object.
impl Persist for BTreeMap<String, Json> {
    fn schema_hash(schema_hash: &mut SchemaHash) {
        schema_hash.name("JSON");
    }

    fn write(&self, to: &mut Writer) {
        let fields = self.iter().map(|(name, json)| format!("{}:{json}", Value::from(name.as_str())));
        to.bytes(format!("{{{}}}", fields.collect::<Vec<_>>().join(",")).as_bytes());
    }

    fn read(from: &mut Reader<'_>) -> Option<Self> {
        let fields: BTreeMap<String, &RawValue> = serde_json::from_str(from.text()?).ok()?;
        fields.into_iter().map(|(name, json)| Some((name, json.get().parse().ok()?))).collect()
    }
}

impl Persist for HeaderMap {
    fn schema_hash(schema_hash: &mut SchemaHash) {
        schema_hash.name("HeaderMap");
    }

    fn write(&self, to: &mut Writer) {
        to.number(self.len() as u64);
        for (name, value) in self {
            to.bytes(name.as_str().as_bytes());
            to.bytes(value.as_bytes());
        }
    }

    fn read(from: &mut Reader<'_>) -> Option<Self> {
        let mut headers = Self::new();
        for _ in 0..from.count()? {
            let name = HeaderName::from_bytes(from.bytes()?).ok()?;
            headers.append(name, HeaderValue::from_bytes(from.bytes()?).ok()?);
        }
        Some(headers)
    }
}

#[cfg(test)]
mod tests;
