//! Reads answers: chunks of a stream and whole replies, which differ only in `delta` and `message`.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::call_patch::{CallPatch, as_delta, called_delta, repaired};
use super::google;
use super::shape::CHUNK;
use crate::wire::bill::{self, ServerTools};
use crate::wire::classify;
use crate::wire::draft::{Draft, Forwarding, Fragment, OutputKind, arguments, broken};
use crate::wire::json::{Content, Scalar, is_success, loose, parse, says_something};
use crate::wire::stop_reason::{is_error, is_word, stop_reason};
use crate::wire::thought_blocks::{BLOCKS, told};
use crate::wire::tidy::begin;
use crate::words::{DriftKind, Failure, FailureClass, Piece, Usage};

/// Reads one event of a stream; tells whether it had content.
pub(in crate::wire) fn read_event(
    draft: &mut Draft,
    name: &str,
    data: &str,
    out: &mut Vec<Piece>,
) -> Result<bool, Failure> {
    let data = data.trim();
    match (name, data) {
        (_, "") => Ok(false),
        (_, "[DONE]") => {
            draft.done = true;
            Ok(false)
        }
        ("error", _) => Err(classify::in_band(data)),
        ("" | "message", _) => read(draft, data, false, out),
        _ => {
            draft.drifts.note(DriftKind::Event, name);
            // Events of other names belong to no answer as long as they are not of its shape.
            if parse::<Chunk<'_>>(data).is_ok() { read(draft, data, false, out) } else { Ok(false) }
        }
    }
}

/// Reads a whole answer; tells whether it had content.
pub(in crate::wire) fn read_whole(draft: &mut Draft, body: &str, out: &mut Vec<Piece>) -> Result<bool, Failure> {
    read(draft, body, true, out)
}

fn read(draft: &mut Draft, text: &str, whole: bool, out: &mut Vec<Piece>) -> Result<bool, Failure> {
    let chunk: Chunk<'_> = parse(text).map_err(|problem| broken(text, &problem))?;
    if chunk.error.is_some_and(says_something) {
        return Err(classify::in_band(text));
    }
    draft.identify(chunk.id.text(), chunk.model.text());
    draft.created = chunk.created.count().unwrap_or(draft.created);
    let groq = chunk.x_groq.and_then(|raw| serde_json::from_str::<Groq<'_>>(raw.get()).ok()).unwrap_or_default();
    let refused = chunk.base_resp.as_ref().and_then(|base| base.status_code.count());
    let refused = refused.is_some_and(|code| !is_success(code as f64));
    if groq.error.is_some_and(says_something) || refused {
        return Err(classify::in_band(text));
    }
    if !draft.verbatim {
        [chunk.citations, chunk.search_results, chunk.web_search]
            .into_iter()
            .flatten()
            .for_each(|list| draft.sources.list(list));
    }
    let usage = chunk.usage.or(groq.usage).or(chunk.choices.iter().find_map(|choice| choice.usage));
    let ends = chunk.choices.iter().any(|choice| !choice.finish_reason.text().is_empty());
    let bare = chunk.choices.is_empty();
    draft.drifts.look(&CHUNK, text, whole || ends || (usage.is_some() && bare));
    if let Some(usage) = usage.and_then(|raw| serde_json::from_str::<Tokens<'_>>(raw.get()).ok()) {
        draft.usage = usage.normal().or(draft.usage);
        draft.bill.searches = draft.bill.searches.max(usage.searches());
    }
    draft.bill.cost_usd = usage.and_then(|raw| bill::cost(raw.get())).or(draft.bill.cost_usd);
    bill::serve(&mut draft.bill, chunk.service_tier.text());
    if bare && usage.is_some() {
        draft.forwarding = Forwarding::Usage;
        return Ok(false);
    }
    if bare {
        return classify::recognise(text).map_or(Ok(false), Err);
    }
    let is_answer = chunk.object.text() == "chat.completion";
    // A whole answer in the only event of a stream: it says why it ended.
    let is_whole = |choice: &Choice<'_>| choice.message.is_some() && choice.delta.is_none() && choice.ends();
    let stands_alone = !whole && is_answer && draft.is_empty() && chunk.choices.iter().all(is_whole);
    let whole = whole || stands_alone;
    let mut content = false;
    let mut choices: Vec<_> = chunk.choices.into_iter().enumerate().collect();
    choices.sort_by_key(|(_, choice)| choice.index.count().unwrap_or(0));
    for (order, (place, choice)) in choices.into_iter().enumerate() {
        content |= choice.read(draft, text, ChoiceContext { whole, is_answer, order, place }, out)?;
    }
    if stands_alone {
        draft.is_whole(text);
    }
    Ok(content)
}

/// How a choice came.
#[derive(Clone, Copy)]
struct ChoiceContext {
    /// In a whole reply.
    whole: bool,
    /// In a whole reply that is an event of a stream, or in one by itself.
    is_answer: bool,
    /// How many came with it that go before it, by their numbers.
    order: usize,
    /// Its place among the choices that came with it.
    place: usize,
}

loose! {
    /// One chunk of a stream, or a whole reply.
    #[derive(Deserialize)]
    struct Chunk<'a> {
        object: Scalar<'a>,
        id: Scalar<'a>,
        model: Scalar<'a>,
        created: Scalar<'a>,
        #[serde(deserialize_with = "choices")]
        choices: Vec<Choice<'a>>,
        usage: Option<&'a RawValue>,
        service_tier: Scalar<'a>,
        x_groq: Option<&'a RawValue>,
        citations: Option<&'a RawValue>,
        search_results: Option<&'a RawValue>,
        /// What Z.ai found.
        web_search: Option<&'a RawValue>,
        base_resp: Option<MiniMaxStatus<'a>>,
        error: Option<&'a RawValue>,
    }
}

/// The status that `MiniMax` puts beside an answer: 0 where all is well.
#[derive(Deserialize)]
struct MiniMaxStatus<'a> {
    #[serde(borrow, default)]
    status_code: Scalar<'a>,
}

loose! {
    #[derive(Deserialize, Default)]
    struct Groq<'a> {
        usage: Option<&'a RawValue>,
        error: Option<&'a RawValue>,
    }

    #[derive(Deserialize)]
    struct Choice<'a> {
        index: Scalar<'a>,
        delta: Option<Delta<'a>>,
        message: Option<Delta<'a>>,
        finish_reason: Reason<'a>,
        stop_reason: Scalar<'a>,
        matched_stop: Scalar<'a>,
        /// Kimi has it here, in the last chunk of a stream.
        usage: Option<&'a RawValue>,
        error: Option<&'a RawValue>,
    }
}

/// Why an answer ended: a word or, of `SGLang`, an object with the word and what is said of it.
#[derive(Default)]
struct Reason<'a> {
    raw: Option<&'a RawValue>,
    word: Scalar<'a>,
}

impl<'de: 'a, 'a> Deserialize<'de> for Reason<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct ReasonObject<'t> {
            #[serde(borrow, default, rename = "type")]
            kind: Scalar<'t>,
        }
        let raw = <&'de RawValue>::deserialize(deserializer)?;
        let word = match raw.get() {
            "null" => Ok(Scalar::Nothing),
            told if told.starts_with('{') => serde_json::from_str::<ReasonObject<'de>>(told).map(|told| told.kind),
            word => serde_json::from_str(word),
        };
        Ok(Self { raw: Some(raw), word: word.unwrap_or_default() })
    }
}

impl Reason<'_> {
    fn text(&self) -> &str {
        self.word.text()
    }

    /// Returns what is said beside the word.
    fn said(&self) -> Option<&str> {
        self.raw.map(RawValue::get).filter(|raw| raw.starts_with('{'))
    }
}

loose! {
    #[derive(Deserialize, Default)]
    struct Delta<'a> {
        content: Content<'a>,
        reasoning_content: Content<'a>,
        reasoning: Content<'a>,
        refusal: Content<'a>,
        audio: Option<&'a RawValue>,
        images: Option<&'a RawValue>,
        executed_tools: Option<&'a RawValue>,
        annotations: Option<&'a RawValue>,
        reasoning_details: Option<&'a RawValue>,
        thinking_blocks: Option<&'a RawValue>,
        extra_content: Option<&'a RawValue>,
        tool_calls: Calls<'a>,
        function_call: Option<Function<'a>>,
    }
}

/// The calls of a message: a list or, of some small servers, one that stands alone.
#[derive(Default)]
struct Calls<'a> {
    all: Vec<Option<Call<'a>>>,
    alone: bool,
}

impl<'de: 'a, 'a> Deserialize<'de> for Calls<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = <&'de RawValue>::deserialize(deserializer)?.get();
        let alone = raw.starts_with('{');
        let all = if alone {
            serde_json::from_str(raw).map(|call| vec![Some(call)])
        } else {
            serde_json::from_str::<Option<_>>(raw).map(Option::unwrap_or_default)
        };
        Ok(Self { all: all.map_err(D::Error::custom)?, alone })
    }
}

loose! {
    #[derive(Deserialize)]
    struct Call<'a> {
        #[serde(rename = "type")]
        kind: Scalar<'a>,
        index: Scalar<'a>,
        id: Scalar<'a>,
        function: Option<Function<'a>>,
        extra_content: Option<&'a RawValue>,
        /// Some small servers have them without an object of their own.
        name: Scalar<'a>,
        arguments: Option<&'a RawValue>,
    }

    #[derive(Deserialize)]
    struct Function<'a> {
        name: Scalar<'a>,
        arguments: Option<&'a RawValue>,
        /// Their names at some small servers.
        parameters: Option<&'a RawValue>,
        input: Option<&'a RawValue>,
    }
}

impl Choice<'_> {
    /// Tells whether it says why it ended.
    fn ends(&self) -> bool {
        !matches!(self.finish_reason.text(), "" | "null")
    }

    fn read(self, draft: &mut Draft, text: &str, choice: ChoiceContext, out: &mut Vec<Piece>) -> Result<bool, Failure> {
        let ChoiceContext { whole, is_answer, place, order } = choice;
        let one = self.index.count().unwrap_or(0).max(order as u64);
        if let Some(error) = self.error.filter(|error| says_something(error)) {
            return Err(classify::in_band(error.get()));
        }
        let ends = self.ends();
        let is_message = self.delta.is_none() && self.message.is_some();
        let (said, all) = match (self.delta, self.message) {
            (delta, message) if whole => (message.or(delta), None),
            // In a stream a message repeats all that came before. Some servers send one in the place of a delta.
            (Some(delta), message) => (Some(delta), message),
            (None, Some(all)) if !draft.is_empty() && (is_answer || (ends && draft.repeats(&all.content.text))) => {
                (None, Some(all))
            }
            (None, message) => (message, None),
        };
        let mut repairs = Vec::new();
        let is_message = is_message && all.is_none();
        let mut content = said.unwrap_or_default().of(one, draft).read(draft, whole, &mut repairs, out)?;
        if let Some(all) = all {
            let rest = draft.new_text(&all.content.text).to_owned();
            content |= all.read_again(draft, out)?;
            if draft.verbatim && !rest.is_empty() {
                draft.replace(text, |chunk| as_delta(chunk, place, &rest));
            }
        }
        if repairs.iter().any(|repair| *repair != CallPatch::default()) {
            draft.replace(text, |chunk| repaired(chunk, whole, place, &repairs));
        }
        if is_message && draft.verbatim && !whole {
            draft.replace(text, |chunk| called_delta(chunk, place));
        }
        // vLLM and SGLang name the sequence; some gateways have the reason of another dialect there.
        if one == 0 {
            let named = [self.matched_stop.text(), self.stop_reason.text()];
            let is_name = |name: &&str| stop_reason(name).is_none() || name.bytes().any(|it| it.is_ascii_uppercase());
            let named = named.into_iter().filter(|name| !name.is_empty());
            named.filter(is_name).for_each(|name| draft.stopped_at(name));
        }
        let is = |reason: &str, words: &[&str]| words.iter().any(|word| is_word(reason, word));
        match self.finish_reason.text() {
            "" | "null" => {}
            // Only the first of several answers is judged by its end, and one of which nothing was taken ends nothing.
            _ if one > 0 && whole && !content => {}
            reason if one > 0 => draft.stopped_by(stop_reason(reason), reason),
            // Words for a model that failed, Z.ai's among them, and those of SGLang and vLLM for one that was stopped.
            reason if is(reason, &["network_error", "abort"]) || is_error(reason) => {
                let nothing = || Failure::new(FailureClass::Server, "the provider reports an error, not which");
                return Err(self.finish_reason.said().map_or_else(nothing, classify::in_band));
            }
            reason if is(reason, &["insufficient_system_resource"]) => {
                return Err(Failure::new(FailureClass::Overloaded, "insufficient system resource"));
            }
            reason if is_malformed(reason) => {
                let problem = "the model made a call that is none";
                draft.failed(Failure {
                    code: Some(begin(reason).to_owned()),
                    ..Failure::new(FailureClass::Unusable, problem)
                })?;
            }
            reason => draft.stopped_by_word(reason)?,
        }
        Ok(content)
    }
}

impl Delta<'_> {
    /// Leaves of one of several choices what no other one has said: the text of the first that speaks, the calls of the
    /// first that calls. They are parts of one answer, or several answers, of which one is read.
    fn of(mut self, one: u64, draft: &mut Draft) -> Self {
        let speaks = !(self.content.text.is_empty() && self.refusal.text.is_empty());
        if speaks && !draft.is_told_by(OutputKind::Text, one) {
            (self.content.text, self.refusal.text) = Default::default();
        }
        let thinks = [&self.content.thinking, &self.reasoning_content.text, &self.reasoning.text];
        if thinks.iter().any(|said| !said.is_empty()) && !draft.is_told_by(OutputKind::Thought, one) {
            (self.content.thinking, self.reasoning_content.text, self.reasoning.text) = Default::default();
        }
        let calls = !self.tool_calls.all.is_empty() || self.function_call.is_some();
        if calls && !draft.is_told_by(OutputKind::Calls, one) {
            (self.tool_calls, self.function_call) = Default::default();
        }
        self
    }

    /// Reads what is new. Notes for each call the faults that clients would not understand.
    fn read(
        mut self,
        draft: &mut Draft,
        whole: bool,
        repairs: &mut Vec<CallPatch>,
        out: &mut Vec<Piece>,
    ) -> Result<bool, Failure> {
        let mut content = self.think(draft, out);
        if !draft.verbatim {
            let blocks = BLOCKS.into_iter().zip([self.reasoning_details, self.thinking_blocks]);
            blocks
                .filter_map(|(field, raw)| Some((field, raw?)))
                .for_each(|(field, raw)| draft.prove_blocks(field, raw));
        }
        content |= draft.text(self.content.text, out);
        content |= draft.refusal(self.refusal.text, out);
        if let Some(signature) = google::signature(self.extra_content) {
            draft.prove(signature);
        }
        let others = [self.audio, self.images, self.executed_tools];
        if self.content.others || others.into_iter().flatten().any(says_something) {
            content |= draft.note_foreign_part();
        }
        if let (Some(annotations), false) = (self.annotations, draft.verbatim) {
            draft.sources.annotations(annotations);
        }
        for call in &mut self.tool_calls.all {
            let mut repair = CallPatch::default();
            let Some(call) = call else {
                repairs.push(repair);
                continue;
            };
            // One without an object of its own is no call to a client that gets it as it came.
            if !draft.verbatim {
                call.flatten();
            }
            if let Some(function) = &call.function {
                let fragment = function.fragment(call.index.count(), call.id.text())?;
                content |= draft.fragment(Fragment { proof: google::signature(call.extra_content), ..fragment })?;
                if draft.verbatim {
                    repair = call.repair(function, draft, whole);
                    repair.alone = self.tool_calls.alone;
                }
            } else {
                draft.drifts.note(DriftKind::Part, call.kind.text());
                content |= draft.acts();
            }
            repairs.push(repair);
        }
        // The deprecated form; if both are there, they are one call.
        if let (Some(function), true) = (&self.function_call, repairs.is_empty()) {
            content |= draft.fragment(function.fragment(None, "")?)?;
        }
        Ok(content)
    }

    /// Reads a message that repeats all that came before: new is only what was left out there.
    fn read_again(mut self, draft: &mut Draft, out: &mut Vec<Piece>) -> Result<bool, Failure> {
        let mut content = false;
        content |= !(draft.has_spoken() || draft.has_thought()) && self.think(draft, out);
        content |= if self.refusal.text.is_empty() {
            draft.end_of_texts(&self.content.text, out)
        } else {
            draft.end_of_refusals(&[self.content.text, self.refusal.text].concat(), out)
        };
        let functions =
            self.tool_calls.all.iter().flatten().filter_map(|call| Some((call.id.text(), call.function.as_ref()?)));
        let mut functions = functions.peekable();
        let old = self.function_call.as_ref().filter(|_| functions.peek().is_none()).map(|function| ("", function));
        for (at, (id, function)) in functions.chain(old).enumerate() {
            content |= draft.repeated_call(at, function.fragment(None, id)?)?;
        }
        Ok(content)
    }

    /// Reads what the model thought. Gateways send the same under both names.
    fn think(&mut self, draft: &mut Draft, out: &mut Vec<Piece>) -> bool {
        let [first, second] =
            [&mut self.reasoning_content, &mut self.reasoning].map(|said| std::mem::take(&mut said.text));
        let plain = if first.is_empty() { second } else { first };
        draft.thinks_plainly |= !(plain.is_empty() && self.content.thinking.is_empty());
        let content = draft.reasoning(plain, out);
        if draft.thinks_plainly {
            return draft.reasoning(std::mem::take(&mut self.content.thinking), out) || content;
        }
        // Some gateways show a thought in its blocks alone.
        let blocks = [self.reasoning_details, self.thinking_blocks].into_iter().flatten();
        let told = blocks.map(told).find(|told| !told.is_empty()).unwrap_or_default();
        draft.reasoning(told.into(), out)
    }
}

impl Call<'_> {
    /// Takes what it says without an object of its own for that of its function.
    fn flatten(&mut self) {
        if self.function.is_none() && !self.name.text().is_empty() {
            let (name, arguments) = (std::mem::take(&mut self.name), self.arguments);
            self.function = Some(Function { name, arguments, parameters: None, input: None });
        }
    }

    /// Returns what must change in a fragment that was read.
    fn repair(&self, function: &Function<'_>, draft: &mut Draft, whole: bool) -> CallPatch {
        let Some(told) = draft.told() else { return CallPatch::default() };
        CallPatch {
            index: (!whole && self.index.count() != Some(told.index)).then_some(told.index),
            id: told.id,
            // Clients join fragments: a repeated text would be there twice.
            again: !told.begins && !told.named && [&self.id, &function.name].iter().any(|said| !said.text().is_empty()),
            alone: false,
            arguments: told.added.or_else(|| function.repaired(whole)),
        }
    }
}

impl Function<'_> {
    fn fragment<'f>(&'f self, index: Option<u64>, id: &'f str) -> Result<Fragment<'f>, Failure> {
        let arguments = arguments(self.given())?;
        Ok(Fragment { index, id, name: self.name.text(), arguments, proof: None })
    }

    /// Returns the arguments, whatever they are called.
    fn given(&self) -> Option<&RawValue> {
        self.arguments.or(self.parameters).or(self.input)
    }

    /// Returns the arguments as a text, where they came as an object, under another name or as a text within a text.
    fn repaired(&self, whole: bool) -> Option<String> {
        let raw = self.given()?.get();
        if raw.starts_with('{') {
            return Some(raw.to_owned());
        }
        let twice = Some(raw).filter(|raw| whole && raw.starts_with("\"\\\"{"));
        let inner =
            twice.and_then(|raw| serde_json::from_str::<String>(&serde_json::from_str::<String>(raw).ok()?).ok());
        inner.or_else(|| serde_json::from_str(raw).ok().filter(|_| self.arguments.is_none()))
    }
}

/// Tells whether a reason says that the model's call was malformed, as Google's does, also through gateways
/// ("`function_call_filter: MALFORMED_FUNCTION_CALL`").
fn is_malformed(reason: &str) -> bool {
    let reason = reason.to_ascii_lowercase();
    ["malformed_", "unexpected_tool_call", "too_many_tool_calls", "missing_thought_signature"]
        .iter()
        .any(|what| reason.contains(what))
}

/// Reads the choices. No request of ours asks for more than one: some gateways part one answer into its text and its
/// calls.
fn choices<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Choice<'de>>, D::Error> {
    struct Choices;

    impl<'de> Visitor<'de> for Choices {
        type Value = Vec<Choice<'de>>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an array of choices")
        }

        fn visit_unit<E>(self) -> Result<Self::Value, E> {
            Ok(Vec::new())
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
            let mut choices = Vec::new();
            while let Some(choice) = seq.next_element()? {
                choices.push(choice);
            }
            Ok(choices)
        }

        fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
            IgnoredAny.visit_map(map).map(|_| Vec::new())
        }
    }

    deserializer.deserialize_any(Choices)
}

loose! {
    /// Usage under all its names.
    #[derive(Deserialize)]
    #[expect(clippy::struct_field_names, reason = "the names are the wire's")]
    struct Tokens<'a> {
        prompt_tokens: Scalar<'a>,
        completion_tokens: Scalar<'a>,
        total_tokens: Scalar<'a>,
        prompt_cache_hit_tokens: Scalar<'a>,
        num_cached_tokens: Scalar<'a>,
        cached_tokens: Scalar<'a>,
        cache_creation_input_tokens: Scalar<'a>,
        cache_read_input_tokens: Scalar<'a>,
        num_search_queries: Scalar<'a>,
        server_tool_use: Option<ServerTools<'a>>,
        prompt_tokens_details: Option<Details<'a>>,
        completion_tokens_details: Option<Details<'a>>,
    }

    #[derive(Deserialize, Default)]
    #[expect(clippy::struct_field_names, reason = "the names are the wire's")]
    struct Details<'a> {
        cached_tokens: Scalar<'a>,
        cache_write_tokens: Scalar<'a>,
        reasoning_tokens: Scalar<'a>,
    }
}

impl Tokens<'_> {
    /// Returns how often the provider searched.
    fn searches(&self) -> u64 {
        let of_tools = self.server_tool_use.as_ref().and_then(|tools| tools.web_search_requests.count());
        self.num_search_queries.count().or(of_tools).unwrap_or(0)
    }

    /// Returns the usage in this crate's count; `None` where it says nothing.
    fn normal(&self) -> Option<Usage> {
        let largest = |counts: &[&Scalar<'_>]| counts.iter().filter_map(|count| count.count()).max().unwrap_or(0);
        let nothing = Details::default();
        let prompt = self.prompt_tokens_details.as_ref().unwrap_or(&nothing);
        let completion = self.completion_tokens_details.as_ref().unwrap_or(&nothing);
        let input = largest(&[&self.prompt_tokens]);
        // xAI and Gemini leave reasoning out of `completion_tokens`, yet count (and bill) it in the total.
        let output = largest(&[&self.completion_tokens]).max(largest(&[&self.total_tokens]).saturating_sub(input));
        let usage = Usage {
            input,
            output,
            cached: largest(&[
                &prompt.cached_tokens,
                &self.prompt_cache_hit_tokens,
                &self.num_cached_tokens,
                &self.cached_tokens,
                &self.cache_read_input_tokens,
            ]),
            cache_write: largest(&[&prompt.cache_write_tokens, &self.cache_creation_input_tokens]),
            reasoning: largest(&[&completion.reasoning_tokens]),
        };
        (usage != Usage::default()).then_some(usage)
    }
}
