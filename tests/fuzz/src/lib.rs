//! What the codecs must do for any bytes: not panic, read the same in any chunks, and use no more memory than the input
//! justifies. Each function is one target; the first bytes of its input choose what the rest is fed to.

pub mod serving;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use standin::internals::wire::serve::{self, BadRequest, CallerDialect, RefusalReason, Writer};
use standin::internals::wire::sse::{SseItem, SseParser, TooLong};
use standin::internals::wire::{self, Decoder, Ending, Flavour, Sent};
use standin::{
    AssistantPart, ChatRequest, Dialect, Drift, Error, Failure, Message, Piece, ReplyEvent, RetryAfter, TargetId,
};

/// The dialects, by the first byte of an input.
pub const DIALECTS: [Dialect; 6] = [
    Dialect::OpenAiChat,
    Dialect::OpenAiResponses,
    Dialect::AnthropicMessages,
    Dialect::Gemini,
    Dialect::Vertex,
    Dialect::Ollama,
];

/// What every input begins with: the dialect, whether the headers say it streams, and how it is cut into chunks.
pub const HEAD: usize = 10;

struct Input<'a> {
    dialect: Dialect,
    streaming: bool,
    seed: u64,
    body: &'a [u8],
}

impl<'a> Input<'a> {
    fn of(data: &'a [u8]) -> Option<Self> {
        let (head, body) = data.split_first_chunk::<HEAD>()?;
        let [dialect, streaming, seed @ ..] = *head;
        let dialect = DIALECTS[usize::from(dialect) % DIALECTS.len()];
        Some(Self { dialect, streaming: streaming % 2 == 1, seed: u64::from_le_bytes(seed), body })
    }

    /// Cuts the body into chunks of 1 to 64 bytes; some are empty.
    fn chunks(&self) -> Vec<&'a [u8]> {
        let (mut rest, mut state, mut chunks) = (self.body, self.seed, Vec::new());
        while !rest.is_empty() {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let most = [0, 1, 2, 7, 64][usize::try_from(state >> 61).unwrap_or(0) % 5];
            let (chunk, tail) = rest.split_at((usize::try_from(state >> 33).unwrap_or(0) % (most + 1)).min(rest.len()));
            chunks.push(chunk);
            rest = tail;
        }
        chunks
    }
}

/// The parser of event streams.
pub fn sse(data: &[u8]) {
    let Some(input) = Input::of(data) else { return };
    let bytes_max = if input.streaming { 64 } else { 1 << 20 };
    let whole = items(&[input.body], bytes_max);
    let cut = items(&input.chunks(), bytes_max);
    assert_eq!(whole, cut, "chunks change what a stream holds");
    let (items, _) = whole;
    let bytes: usize = items.iter().flatten().map(|(name, data)| name.len() + data.len()).sum();
    // A byte that is no UTF-8 becomes a character of three.
    assert!(bytes <= 3 * input.body.len(), "{bytes} bytes of events out of {}", input.body.len());
}

/// A comment, or an event's name and data.
type Item = Option<(String, String)>;

fn items(chunks: &[&[u8]], bytes_max: usize) -> (Vec<Item>, Result<bool, TooLong>) {
    let mut parser = SseParser::new(bytes_max);
    let mut items = Vec::new();
    for chunk in chunks {
        let pushed = parser.push(chunk, |item| {
            items.push(match item {
                SseItem::Comment => None,
                SseItem::Event { name, data, .. } => Some((name.to_owned(), data.to_owned())),
            });
            Ok(())
        });
        if let Err(problem) = pushed {
            return (items, Err(problem));
        }
    }
    (items, Ok(parser.is_mid_event()))
}

type Decoded = (Vec<Piece>, Vec<Drift>, Result<Ending, Failure>);

fn decoded(input: &Input<'_>, chunks: &[&[u8]]) -> Decoded {
    let mut decoder = Decoder::new(input.dialect, input.streaming);
    let mut pieces = Vec::new();
    for chunk in chunks {
        if let Err(failure) = decoder.push(chunk, &mut pieces) {
            return (pieces, decoder.take_drift(), Err(failure));
        }
    }
    (pieces, decoder.take_drift(), decoder.finish())
}

/// The decoders.
pub fn decode(data: &[u8]) {
    let Some(input) = Input::of(data) else { return };
    let whole = decoded(&input, &[input.body]);
    let cut = decoded(&input, &input.chunks());
    assert_eq!(whole, cut, "chunks change what an answer says");
    let (pieces, drift, ending) = whole;
    let said: usize = pieces
        .iter()
        .map(|piece| match piece {
            Piece::Text(text) | Piece::Reasoning(text) => text.len(),
            Piece::Proof(proof) => proof.data.len(),
            Piece::Verbatim(bytes) => bytes.len(),
            _ => panic!("a piece of a kind that is not known here: {piece:?}"),
        })
        .sum();
    let room = 3 * input.body.len();
    assert!(said <= room, "{said} bytes of content out of {}", input.body.len());
    assert!(drift.len() <= 16 && drift.iter().all(|drift| drift.name.len() <= 64), "{drift:?}");
    match ending {
        Ok(ending) => {
            let kept: usize = ending.parts.iter().map(size).sum();
            // An id and an empty object for each of 128 calls.
            assert!(kept <= room + 128 * 64, "{kept} bytes of parts out of {}", input.body.len());
            for call in ending.tool_calls() {
                assert!(!call.id.is_empty() && !call.name.is_empty());
                assert!(serde_json::from_str::<serde::Object>(&call.arguments).is_ok(), "{}", call.arguments);
            }
        }
        Err(failure) => sane(&failure),
    }
}

fn size(part: &AssistantPart) -> usize {
    match part {
        AssistantPart::Text(text) => text.len(),
        AssistantPart::Reasoning(reasoning) => {
            reasoning.text.len() + reasoning.proof.as_ref().map_or(0, |proof| proof.data.len())
        }
        AssistantPart::ToolCall(call) => {
            let proof = call.proof.as_ref().map_or(0, |proof| proof.data.len());
            call.id.len() + call.name.len() + call.arguments.len() + proof
        }
        AssistantPart::Foreign(foreign) => foreign.kind.len() + foreign.json.len(),
        other => panic!("a part that is new: {other:?}"),
    }
}

fn sane(failure: &Failure) {
    for text in [Some(&failure.message), failure.code.as_ref()].into_iter().flatten() {
        assert!(text.len() <= wire::WORDS_BYTES_MAX && wire::tidy(text).chars().count() <= 500, "{text}");
    }
    if let Some(RetryAfter::After(wait)) = failure.retry_after {
        assert!(wait.as_secs() <= 31 * 24 * 3_600, "{wait:?}");
    }
}

/// The classifier: status and headers come first, one a line, then the body.
pub fn classify(data: &[u8]) {
    let Some(input) = Input::of(data) else { return };
    let (head, body) = match input.body.windows(2).position(|pair| pair == b"\n\n") {
        Some(end) => (&input.body[..end], &input.body[end + 2..]),
        None => (&[][..], input.body),
    };
    let mut headers = HeaderMap::new();
    for line in head.split(|byte| *byte == b'\n').take(32) {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
        let name = HeaderName::from_bytes(line[..colon].trim_ascii());
        if let (Ok(name), Ok(value)) = (name, HeaderValue::from_bytes(line[colon + 1..].trim_ascii())) {
            headers.append(name, value);
        }
    }
    let status = u16::try_from(300 + input.seed % 300).unwrap_or(500);
    let sent =
        Sent { model: "gpt-5-mini", prompt_tokens: 1_000, now: wire::headers::date(&headers), ..Default::default() };
    let failure = wire::classify(status, &headers, body, sent);
    assert_eq!(failure.status, Some(status));
    sane(&failure);
    if let Some(drift) = wire::unknown_code(&failure) {
        assert!(drift.name.len() <= 64 && !drift.name.is_empty(), "{drift:?}");
    }
    let _ = wire::is_event_stream(&headers);
}

/// The encoders: everything that was decoded can go back to any target, as JSON.
pub fn encode(data: &[u8]) {
    let Some(input) = Input::of(data) else { return };
    let (_, _, Ok(ending)) = decoded(&input, &[input.body]) else { return };
    let results: Vec<Message> = ending.tool_calls().map(|call| Message::tool_result(call, "done")).collect();
    let request = ChatRequest::new("r").user("Hi").message(Message::Assistant(ending.parts));
    let request = results.into_iter().fold(request, ChatRequest::message).user("Go on");
    let flavours: Vec<&'static str> = Flavour::names().collect();
    let flavour = flavours[usize::try_from(input.seed % 64).unwrap_or(0) % flavours.len()];
    let flavour = Flavour::named(flavour).expect("one of the names");
    for dialect in DIALECTS {
        match wire::encode(dialect, flavour, &request, &TargetId::new("p", "gemini-3-pro"), input.streaming) {
            Ok(encoded) => assert!(object(&encoded.body.whole()), "{dialect:?}"),
            Err(failure) => sane(&failure),
        }
    }
}

/// How callers speak, by the first byte of an input.
pub const CALLER_DIALECTS: [CallerDialect; 4] =
    [CallerDialect::OpenAiChat, CallerDialect::OpenAiResponses, CallerDialect::Anthropic, CallerDialect::Gemini];

/// The readers of callers' requests: an understood request can go to any target, all others are refused with the field.
pub fn requests(data: &[u8]) {
    let Some(input) = Input::of(data) else { return };
    let caller_dialect = CALLER_DIALECTS[usize::from(data[0]) % CALLER_DIALECTS.len()];
    let body: Bytes = input.body.to_owned().into();
    // Gemini's addresses name the model; the others' bodies do, unless an input is to be read in spite of that.
    let path_model = (caller_dialect == CallerDialect::Gemini || input.seed % 2 == 0).then_some("m");
    if let Err(bad) = serve::read_embed(caller_dialect, path_model, &body) {
        refused(caller_dialect, &bad);
    }
    let asked = match serve::read(caller_dialect, path_model, input.streaming, &body) {
        Ok(asked) => asked,
        Err(bad) => return refused(caller_dialect, &bad),
    };
    assert_eq!(
        serve::read(caller_dialect, path_model, input.streaming, &body).as_ref(),
        Ok(&asked),
        "it is read otherwise"
    );
    if asked.request.check().is_ok() {
        let flavours: Vec<&'static str> = Flavour::names().collect();
        let flavour = flavours[usize::try_from(input.seed % 64).unwrap_or(0) % flavours.len()];
        let flavour = Flavour::named(flavour).expect("one of the names");
        for dialect in DIALECTS {
            for streaming in [false, true] {
                match wire::encode(dialect, flavour, &asked.request, &TargetId::new("p", "gemini-3-pro"), streaming) {
                    Ok(encoded) => assert!(object(&encoded.body.whole()), "{dialect:?}"),
                    Err(failure) => sane(&failure),
                }
            }
        }
    }
    let mut out = Vec::new();
    let mut writer = Writer::new(asked.form, input.seed, 1);
    writer.event(&ReplyEvent::Text("said".to_owned()), &mut out);
    writer.failed(&Error::Crashed, &mut out);
    let out = String::from_utf8(out).expect("an answer is text");
    for end in ["[DONE]", "message_stop", "response.completed", "\"finishReason\":\"STOP\""] {
        assert!(!out.contains(end), "it looks whole: {out}");
    }
}

fn refused(caller_dialect: CallerDialect, bad: &BadRequest) {
    let refusal = serve::refuse(caller_dialect, RefusalReason::Request(bad));
    assert!(refusal.status.as_u16() == 400 && object(&refusal.body), "{bad}");
}

fn object(body: &[u8]) -> bool {
    serde_json::from_slice::<serde::Object>(body).is_ok()
}

mod serde {
    /// Any JSON object.
    pub type Object = serde_json::Map<String, serde_json::Value>;
}
