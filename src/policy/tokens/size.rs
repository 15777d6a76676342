//! The parts of a request that cost tokens, counted once.

use std::ops::{Add, Sub};

use super::Measure;
use crate::words::text::{escape, unescaped};
use crate::words::{
    AssistantPart, ChatRequest, DocumentSource, Foreign, Json, Message, Proof, ResponseFormat, Text, Tool, UserPart,
    base64,
};

/// The features that a provider counts, in the order of a [`PromptSize`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Feature {
    /// 1: what every prompt costs, a hidden one of the provider's included.
    Base,
    /// Messages: roles and delimiters.
    Message,
    /// Texts, calls and results, in tokens by shape or by a vocabulary.
    Text,
    /// The part of it that is not ASCII, by shape.
    Foreign,
    /// Visible reasoning, by shape; many providers leave it out.
    Reasoning,
    /// 1 if there are tools: the instructions that come with the first.
    Tooling,
    /// The tools' names, descriptions and schemas, by shape.
    Schema,
    /// The frame of tool calls and results.
    Exchange,
    /// The schema of the answer, by shape; a provider that only constrains the sampling counts none.
    Format,
    /// Images of any size, and pages of documents.
    Image,
    /// Sealed thoughts that go back, in tens of bytes.
    Proof,
}

pub(super) const FEATURES: usize = 11;

/// A prompt, or a part of one, as what its tokens are estimated from. Sizes of parts add up.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PromptSize(pub(super) [f64; FEATURES]);

impl PromptSize {
    /// Counts a message.
    pub fn of_message(message: &Message, measure: Measure) -> Self {
        let mut size = Self::default();
        size.add_message(message, measure);
        size
    }

    /// Counts all of a request but its messages.
    fn of_frame(request: &ChatRequest) -> Self {
        let mut size = Self::default();
        size.put(Feature::Base, 1.0);
        if !request.tools.is_empty() {
            size.put(Feature::Tooling, 1.0);
            size.put(Feature::Schema, request.tools.iter().map(tool).sum());
        }
        let foreign = request.foreign_tools.iter().map(|tool| PER_TOOL + Shape::of(&tool.json).tokens());
        size.put(Feature::Schema, foreign.sum());
        if let ResponseFormat::JsonSchema { schema, .. } = &request.response_format {
            size.put(Feature::Format, json(schema));
        }
        size
    }

    fn add_message(&mut self, message: &Message, measure: Measure) {
        self.put(Feature::Message, 1.0);
        match message {
            Message::System(text) => self.add_words(text, measure),
            Message::User(parts) => parts.iter().for_each(|part| self.add_part(part, measure)),
            Message::Foreign(foreign) => self.add_foreign(foreign),
            Message::Assistant(parts) => parts.iter().for_each(|part| match part {
                AssistantPart::Text(text) => self.add_words(text, measure),
                AssistantPart::Reasoning(reasoning) => {
                    self.put(Feature::Reasoning, Shape::of_text(&reasoning.text).tokens());
                    self.add_proof(reasoning.proof.as_ref());
                }
                AssistantPart::ToolCall(call) => {
                    self.put(Feature::Exchange, 1.0);
                    self.add_text(&call.name, measure);
                    self.add_words(&call.arguments, measure);
                    self.add_proof(call.proof.as_ref());
                }
                AssistantPart::Foreign(foreign) => self.add_foreign(foreign),
            }),
            Message::Tool(result) => {
                self.put(Feature::Exchange, 1.0);
                result.content.iter().for_each(|part| self.add_part(part, measure));
            }
        }
    }

    fn add_part(&mut self, part: &UserPart, measure: Measure) {
        match part {
            UserPart::Text(text) => self.add_words(text, measure),
            UserPart::Image(_) => self.put(Feature::Image, 1.0),
            UserPart::Document(document) => match &document.source {
                DocumentSource::Text(text) => self.add_words(text, measure),
                DocumentSource::Base64 { data, .. } => self.put(Feature::Image, pages(data)),
                DocumentSource::Url(_) => self.put(Feature::Image, PAGES),
            },
            UserPart::Audio(audio) => self.put(Feature::Text, audio.data.len() as f64 / AUDIO_BYTES),
            UserPart::Foreign(foreign) => self.add_foreign(foreign),
        }
    }

    fn add_foreign(&mut self, foreign: &Foreign) {
        self.put(Feature::Text, Shape::of(&foreign.json).tokens().min(FOREIGN_MAX));
    }

    fn add_words(&mut self, text: &Text, measure: Measure) {
        match measure {
            Measure::Shape => self.add_shape(Shape::of_text(text)),
            #[cfg(any(test, feature = "exact-tokens"))]
            _ => self.add_text(text, measure),
        }
    }

    fn add_shape(&mut self, shape: Shape) {
        self.put(Feature::Text, shape.plain);
        self.put(Feature::Foreign, shape.foreign);
    }

    fn add_text(&mut self, text: &str, measure: Measure) {
        match measure {
            Measure::Shape => self.add_shape(Shape::of(text)),
            #[cfg(any(test, feature = "exact-tokens"))]
            exact => self.put(Feature::Text, super::exact::count(text, exact) as f64),
        }
    }

    fn add_proof(&mut self, proof: Option<&Proof>) {
        self.put(Feature::Proof, proof.map_or(0.0, |proof| proof.data.length() as f64 / 10.0));
    }

    fn put(&mut self, feature: Feature, amount: f64) {
        self.0[feature as usize] += amount;
    }

    pub(super) fn count(&self, feature: Feature) -> f64 {
        self.0[feature as usize]
    }
}

impl Add for PromptSize {
    type Output = Self;

    fn add(mut self, other: Self) -> Self {
        self.0.iter_mut().zip(other.0).for_each(|(sum, part)| *sum += part);
        self
    }
}

impl Sub for PromptSize {
    type Output = Self;

    fn sub(mut self, other: Self) -> Self {
        self.0.iter_mut().zip(other.0).for_each(|(sum, part)| *sum -= part);
        self
    }
}

/// A request's size.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Prompt {
    /// All of it.
    pub whole: PromptSize,
    /// Each message's, where it was asked for: to know what would be left if some were left out.
    pub messages: Box<[PromptSize]>,
}

impl Prompt {
    /// Counts texts that are no conversation, or their tokens.
    pub fn of_texts(texts: &[String], tokens: &[Vec<u32>], measure: Measure) -> Self {
        let mut whole = PromptSize::default();
        let tokens: usize = tokens.iter().map(Vec::len).sum();
        whole.put(Feature::Text, tokens as f64);
        for text in texts {
            whole.add_text(text, measure);
        }
        Self { whole, messages: Box::default() }
    }

    /// Counts a request. Nothing is allocated unless each message is asked for.
    pub fn of(request: &ChatRequest, measure: Measure, by_message: bool) -> Self {
        let mut whole = PromptSize::of_frame(request);
        if !by_message {
            request.messages.iter().for_each(|message| whole.add_message(message, measure));
            return Self { whole, messages: Box::default() };
        }
        let messages: Box<[_]> =
            request.messages.iter().map(|message| PromptSize::of_message(message, measure)).collect();
        whole = messages.iter().fold(whole, |sum, message| sum + *message);
        Self { whole, messages }
    }
}

/// Tokens of text by its shape. Every vocabulary in use splits text into words, numbers and punctuation before anything
/// else, so that the places where such a piece begins tell most of it, and the length the rest: against `OpenAI`'s
/// o200k and `DeepSeek`'s vocabulary over 2 000 excerpts of prose, code and markup of 60 to 2 000 bytes, the median
/// error is 4 to 5 % (four bytes a token: 14 %) with the same weights for both.
#[derive(Clone, Copy, Debug, Default)]
struct Shape {
    plain: f64,
    foreign: f64,
}

/// Tokens for each place where a piece of ASCII begins, and for each of its bytes (least squares, as above).
const PER_JOINT: f64 = 0.74;
const PER_BYTE: f64 = 0.06;
/// Tokens for each character of 2, 3 and 4 bytes: letters with accents and small alphabets; South Asian scripts and
/// symbols; East Asian ones; emoji.
const PER_FOREIGN: [f64; 4] = [0.25, 0.4, 0.65, 2.0];
/// Bytes of Base64 that are a page of a document, which costs as much as an image or a little more; the most pages that
/// are believed, and those of a document that is elsewhere. Scanned pages are ten times as long as typeset ones: in
/// doubt a document is taken for short, since too high an estimate keeps it from targets that could read it.
const PAGE_BYTES: f64 = 131_072.0;
const PAGES_MAX: f64 = 30.0;
const PAGES: f64 = 3.0;
/// The most that is believed of a part that the common form cannot express: it may be a video in Base64.
const FOREIGN_MAX: f64 = 4_096.0;
/// Bytes of Base64 that are a token of audio: 16 kHz at 16 bits are 42 kB a second, and 32 tokens at Google
/// (OpenAI: 10); compressed formats are shorter, and cost more for each byte.
const AUDIO_BYTES: f64 = 1_024.0;
/// What frames a pair, an item and a tool in JSON, beside its own text: two pieces and seven bytes; one and three; and
/// the words between a tool's parts.
const PER_PAIR: f64 = 2.0 * PER_JOINT + 7.0 * PER_BYTE;
const PER_ITEM: f64 = PER_JOINT + 3.0 * PER_BYTE;
const PER_TOOL: f64 = 8.0;

/// A text up to this long is read whole; of a longer one windows, evenly spread: four, and a thirty-second of its
/// bytes. A conversation of 200 kB in 60 messages is counted in 8 us so, for a point more of error at the 95th
/// percentile (docs/benchmarks.md).
const WHOLE_BYTES_MAX: usize = 512;
const WINDOW: usize = 64;
const WINDOWS_MIN: usize = 4;
/// The longest escape: two halves of a letter.
const LONGEST_ESCAPE: usize = 12;
const SAMPLED: usize = 32;
/// Spreads multiples evenly over any range: 2^32 over the golden ratio (Knuth, "The Art of Computer Programming", 6.4).
const GOLDEN: usize = 2_654_435_769;

impl Shape {
    fn of(text: &str) -> Self {
        let bytes = text.as_bytes();
        if bytes.len() <= WHOLE_BYTES_MAX {
            return Self::count(b' ', bytes);
        }
        Self::sampled(bytes.len(), |start| (WINDOW, Self::count(bytes[start - 1], &bytes[start..start + WINDOW])))
    }

    /// Counts a text that may have escapes or be in Base64. It is decoded in its windows alone.
    fn of_text(text: &Text) -> Self {
        if let Some(texts) = text.texts() {
            return texts.iter().map(Self::of_text).fold(Self::default(), Self::and);
        }
        if let Some(base64) = text.base64() {
            let window = |start, length| base64::window(base64, start, length);
            return match base64::decoded_len(base64) {
                length @ ..=WHOLE_BYTES_MAX => Self::count(b' ', &window(0, length)),
                length => Self::sampled(length, |start| {
                    let bytes = window(start - 1, WINDOW + 1);
                    (
                        WINDOW,
                        bytes.split_first().map_or_else(Self::default, |(before, bytes)| Self::count(*before, bytes)),
                    )
                }),
            };
        }
        text.json().map_or_else(|| Self::of(text), Self::of_escaped)
    }

    /// Counts a text that has escapes: it is the inside of a JSON string.
    fn of_escaped(json: &str) -> Self {
        if json.len() <= WHOLE_BYTES_MAX {
            return Self::count(b' ', unescaped(json).as_bytes());
        }
        Self::sampled(json.len(), |start| Self::escaped(json.as_bytes(), start))
    }

    fn and(self, other: Self) -> Self {
        Self { plain: self.plain + other.plain, foreign: self.foreign + other.foreign }
    }

    /// Counts windows of a text of this many bytes, by a function that says how many bytes the window at a place has
    /// and what it counts.
    fn sampled(bytes: usize, window: impl Fn(usize) -> (usize, Self)) -> Self {
        let windows = WINDOWS_MIN + bytes / (SAMPLED * WINDOW);
        let stride = bytes / windows;
        // At a varying place in its stretch, so that repeated text is not read at the same place again and again.
        let start = |at: usize| 1 + at * stride + at.wrapping_mul(GOLDEN) % (stride - WINDOW);
        let (counted, sum) = (0..windows)
            .map(start)
            .map(window)
            .fold((0, Self::default()), |(counted, a), (more, b)| (counted + more, a.and(b)));
        let scale = bytes as f64 / counted.max(1) as f64;
        Self { plain: sum.plain * scale, foreign: sum.foreign * scale }
    }

    /// Counts a window of the inside of a JSON string; returns how many bytes of it that takes.
    fn escaped(json: &[u8], start: usize) -> (usize, Self) {
        let mut says = Vec::with_capacity(WINDOW + LONGEST_ESCAPE);
        let (mut at, mut begin) = (behind_escape(json, start), None);
        let end = (start + WINDOW).min(json.len());
        while at < end {
            let letter = if json[at] == b'\\' { escape(&json[at..]) } else { None };
            match letter {
                Some((letter, length)) => {
                    says.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes());
                    at += length;
                }
                None => {
                    says.push(json[at]);
                    at += 1;
                }
            }
            // The first byte tells whether a piece begins after it.
            begin.get_or_insert((at, says.len()));
        }
        let (from, first) = begin.unwrap_or((at, 0));
        (at - from, if first == 0 { Self::default() } else { Self::count(says[first - 1], &says[first..]) })
    }

    fn count(before: u8, bytes: &[u8]) -> Self {
        let joints = f64::from(joints(before, bytes));
        if bytes.is_ascii() {
            return Self { plain: PER_JOINT * joints + PER_BYTE * bytes.len() as f64, foreign: 0.0 };
        }
        let (mut foreign, mut ascii) = (0.0, 0_usize);
        for byte in bytes {
            match byte {
                0..=0x7f => ascii += 1,
                0xc0..=0xdf => foreign += PER_FOREIGN[0],
                0xe0..=0xe2 => foreign += PER_FOREIGN[1],
                0xe3..=0xef => foreign += PER_FOREIGN[2],
                0xf0.. => foreign += PER_FOREIGN[3],
                _ => {}
            }
        }
        Self { plain: PER_JOINT * joints + PER_BYTE * ascii as f64, foreign }
    }

    fn tokens(self) -> f64 {
        self.plain + self.foreign
    }
}

/// Returns a place in the inside of a JSON string, or the end of the escape that it is within.
fn behind_escape(json: &[u8], at: usize) -> usize {
    let near = at.saturating_sub(5)..at;
    let Some(last) = near.rev().find(|before| json[*before] == b'\\') else { return at };
    let run = json[..=last].iter().rev().take(WINDOW).take_while(|byte| **byte == b'\\').count();
    let length = if json.get(last + 1) == Some(&b'u') { 6 } else { 2 };
    if run % 2 == 1 { at.max(last + length).min(json.len()) } else { at }
}

/// Kinds of bytes, as bits. A capital is a letter, too, so that what is new in a byte against the one before it begins
/// a piece: a word, a hump of one in camel case, punctuation, a line; and any digit.
const LETTER: u8 = 1;
const CAPITAL: u8 = 2;
const DIGIT: u8 = 4;
const PUNCTUATION: u8 = 8;
const CONTROL: u8 = 16;

/// Counts the places where a piece begins. In steps whose count fits a byte, by plain loops without a branch: the
/// compiler takes many bytes at once so, at any level of optimisation.
fn joints(mut before: u8, bytes: &[u8]) -> u32 {
    const STEP: usize = WINDOW;
    let mut joints = 0;
    let (steps, rest) = bytes.as_chunks::<STEP>();
    for step in steps {
        // The first is that of the byte before.
        let mut kinds = [before; STEP + 1];
        kinds[1..].copy_from_slice(step);
        for kind in &mut kinds {
            *kind = self::kind(*kind);
        }
        let mut begun = 0;
        for at in 0..STEP {
            begun += begins(kinds[at], kinds[at + 1]);
        }
        joints += u32::from(begun);
        before = step[STEP - 1];
    }
    for byte in rest {
        joints += u32::from(begins(kind(before), kind(*byte)));
        before = *byte;
    }
    joints
}

/// Tells whether a piece begins with a byte, by its kind and that of the one before.
#[inline]
fn begins(before: u8, here: u8) -> u8 {
    u8::from(here & !(before & !DIGIT) != 0)
}

#[inline]
fn kind(byte: u8) -> u8 {
    let within = |from: u8, count: u8| u8::from(byte.wrapping_sub(from) < count);
    let letter = u8::from((byte | 0x20).wrapping_sub(b'a') < 26);
    let word = (letter * LETTER) | (within(b'A', 26) * CAPITAL) | (within(b'0', 10) * DIGIT);
    let visible = within(b'!', b'~' - b' ');
    word | ((visible & u8::from(word == 0)) * PUNCTUATION) | (within(0, b' ') * CONTROL)
}

fn pages(base64: &str) -> f64 {
    (base64.len() as f64 / PAGE_BYTES).clamp(1.0, PAGES_MAX)
}

fn tool(tool: &Tool) -> f64 {
    PER_TOOL + Shape::of(&tool.name).tokens() + Shape::of_text(&tool.description).tokens() + json(&tool.parameters)
}

/// Returns the tokens of JSON by shape, as it would be written without blanks. It is read once, as it came, and no tree
/// is made of it.
fn json(json: &Json) -> f64 {
    let text = json.text().as_it_came().as_str();
    let bytes = text.as_bytes();
    let (mut at, mut tokens) = (0, 0.0);
    // Whether each thing that is open is a list, the innermost in the lowest bit.
    let mut lists = 0_u128;
    while let Some(byte) = bytes.get(at) {
        let frame = if lists & 1 == 1 { PER_ITEM } else { 0.0 };
        match byte {
            b'"' => {
                let (inside, is_plain) = string(&text[at + 1..]);
                at += inside.len() + 2;
                let is_name = bytes[at.min(bytes.len())..].trim_ascii_start().first() == Some(&b':');
                tokens += if is_name { PER_PAIR } else { frame };
                tokens += if is_plain { Shape::of(inside) } else { Shape::of_escaped(inside) }.tokens();
                continue;
            }
            b'{' | b'[' => {
                tokens += frame;
                lists = (lists << 1) | u128::from(*byte == b'[');
            }
            b'}' | b']' => lists >>= 1,
            b'-' | b'0'..=b'9' | b't' | b'f' | b'n' => {
                tokens += 1.0 + frame;
                let is_over = |byte: &u8| matches!(byte, b',' | b']' | b'}' | ..=b' ');
                at += bytes[at..].iter().position(is_over).unwrap_or(bytes.len() - at);
                continue;
            }
            _ => {}
        }
        at += 1;
    }
    tokens
}

/// Returns what is before the end of a JSON string, and whether it has no escapes.
fn string(rest: &str) -> (&str, bool) {
    let (bytes, mut at, mut is_plain) = (rest.as_bytes(), 0, true);
    while let Some(found) = memchr::memchr2(b'"', b'\\', bytes.get(at..).unwrap_or_default()) {
        at += found;
        if bytes[at] == b'"' {
            return (&rest[..at], is_plain);
        }
        at += 2;
        is_plain = false;
    }
    (rest, is_plain)
}
