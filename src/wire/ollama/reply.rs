//! Reads answers: lines of a stream and whole replies, which are one line.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::shape::LINE;
use crate::wire::classify;
use crate::wire::draft::{Draft, Fragment, arguments, broken};
use crate::wire::json::{Content, Scalar, loose, parse, says_something};
use crate::words::{Failure, Piece, StopReason, Usage};

/// Reads one line; tells whether it had content.
pub(in crate::wire) fn read(draft: &mut Draft, text: &str, out: &mut Vec<Piece>) -> Result<bool, Failure> {
    let line: Line<'_> = parse(text).map_err(|problem| broken(text, &problem))?;
    if line.error.is_some_and(says_something) {
        return Err(classify::in_band(text));
    }
    let done = line.done.is_some_and(|done| done.get() == "true");
    if line.done.is_none() && line.message.is_none() {
        return classify::recognise(text).map_or(Ok(false), Err);
    }
    draft.drifts.look(&LINE, text, done);
    // Answers have no id; the time of their beginning serves as one.
    draft.identify(line.created_at.text(), line.model.text());
    let mut content = draft.reasoning(line.thinking.text, out);
    content |= draft.text(line.response.text, out);
    if let Some(message) = line.message {
        content |= message.read(draft, out)?;
    }
    if done {
        let reason = line.done_reason.text();
        match reason {
            // Versions before the summer of 2024 give none.
            "" => draft.stopped(StopReason::Stop),
            // The request was only to load a model, or to unload it.
            "load" | "unload" => draft.stopped(StopReason::Other),
            reason => draft.stopped_by_word(reason)?,
        }
        let count = |count: &Scalar<'_>| count.count().unwrap_or(0);
        // Tokens read from the cache are not counted at all.
        let (input, output) = (count(&line.prompt_eval_count), count(&line.eval_count));
        let usage = Usage { input, output, ..Usage::default() };
        draft.usage = (usage != Usage::default()).then_some(usage);
        draft.done = true;
    }
    Ok(content)
}

loose! {
    /// A line of a chat; of a mere completion it has the text itself.
    #[derive(Deserialize)]
    struct Line<'a> {
        created_at: Scalar<'a>,
        model: Scalar<'a>,
        message: Option<Message<'a>>,
        response: Content<'a>,
        thinking: Content<'a>,
        done: Option<&'a RawValue>,
        done_reason: Scalar<'a>,
        prompt_eval_count: Scalar<'a>,
        eval_count: Scalar<'a>,
        error: Option<&'a RawValue>,
    }

    #[derive(Deserialize)]
    struct Message<'a> {
        content: Content<'a>,
        thinking: Content<'a>,
        tool_calls: Option<Vec<Call<'a>>>,
    }

    #[derive(Deserialize)]
    struct Call<'a> {
        id: Scalar<'a>,
        function: Option<Function<'a>>,
    }

    #[derive(Deserialize)]
    struct Function<'a> {
        name: Scalar<'a>,
        arguments: Option<&'a RawValue>,
    }
}

impl Message<'_> {
    fn read(self, draft: &mut Draft, out: &mut Vec<Piece>) -> Result<bool, Failure> {
        let mut content = draft.reasoning(self.thinking.text, out);
        content |= draft.text(self.content.text, out);
        for call in self.tool_calls.iter().flatten() {
            let Some(function) = &call.function else { continue };
            // Calls come whole; their indices begin anew with each line.
            let index = Some(draft.calls_begun());
            let (id, name, arguments) = (call.id.text(), function.name.text(), arguments(function.arguments)?);
            content |= draft.fragment(Fragment { index, id, name, arguments, proof: None })?;
        }
        Ok(content)
    }
}
