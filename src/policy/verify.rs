//! Whether an answer that ended well counts: it may not be in the form that was asked for.
//!
//! Input: the request and the answer. Output: the first objection of a list of validators. A validator in the list
//! holds for every dialect. Nothing here changes an answer.

use crate::words::{AssistantPart, ChatRequest, Failure, FailureClass, Note, ResponseFormat, StopReason, ToolChoice};

/// The answer, as far as it is judged.
#[derive(Clone, Copy, Debug)]
pub struct JudgedAnswer<'a> {
    /// Why it ended.
    pub stop: StopReason,
    /// Its text and tool calls.
    pub parts: &'a [AssistantPart],
    /// The JSON of its text without the text around it, where there was any and JSON was asked for.
    pub json: Option<&'a str>,
    /// Whether it has parts that the common form cannot express, and its caller can read them.
    pub has_foreign_parts: bool,
}

/// An objection to an answer, in words for people, if there is one.
type Validator = fn(&ChatRequest, &JudgedAnswer<'_>) -> Option<&'static str>;

/// All validators, in the order in which they are asked.
const VALIDATORS: [Validator; 2] = [is_json, calls_a_tool];

/// Judges an answer. An answer that was cut short by its limit or a filter is not checked for its form.
///
/// # Errors
/// `Unusable` with the first objection.
pub fn verify(request: &ChatRequest, answer: &JudgedAnswer<'_>) -> Result<(), Failure> {
    match VALIDATORS.iter().find_map(|objects| objects(request, answer)) {
        Some(objection) => Err(Failure::new(FailureClass::Unusable, objection)),
        None => Ok(()),
    }
}

/// Returns the note of an answer that reaches its caller although it is not in the form that was asked for.
pub fn missed(request: &ChatRequest) -> Note {
    Note::Dropped(if asks_for_a_tool(request) { "tool_choice" } else { "response_format" })
}

/// Tells whether a fixed text is in the form that was asked for.
pub fn fits(request: &ChatRequest, text: &str) -> bool {
    let parts = [AssistantPart::Text(text.to_owned().into())];
    is_json(request, &JudgedAnswer { stop: StopReason::Stop, parts: &parts, json: None, has_foreign_parts: false })
        .is_none()
}

/// An answer is JSON where that was asked for.
fn is_json(request: &ChatRequest, answer: &JudgedAnswer<'_>) -> Option<&'static str> {
    let asked = request.response_format != ResponseFormat::Text && answer.stop == StopReason::Stop;
    let text = || answer.parts.iter().filter_map(AssistantPart::as_text).collect::<String>();
    let is = || answer.json.is_some() || serde_json::from_str::<serde::de::IgnoredAny>(&text()).is_ok();
    (asked && !is()).then_some("the answer is not the JSON that was asked for")
}

/// A tool is called where one was required. Some servers ignore what they cannot enforce.
fn calls_a_tool(request: &ChatRequest, answer: &JudgedAnswer<'_>) -> Option<&'static str> {
    let asked = asks_for_a_tool(request);
    let calls = answer.has_foreign_parts || answer.parts.iter().any(|part| part.as_tool_call().is_some());
    (asked && answer.stop == StopReason::Stop && !calls).then_some("no tool was called, and one was required")
}

fn asks_for_a_tool(request: &ChatRequest) -> bool {
    matches!(request.tool_choice, ToolChoice::Required | ToolChoice::Named(_))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::words::ToolCall;

    fn asks(response_format: ResponseFormat, tool_choice: ToolChoice) -> ChatRequest {
        ChatRequest { tool_choice, response_format, ..ChatRequest::new("r").user("Hi") }
    }

    fn objection(request: &ChatRequest, parts: &[AssistantPart], edit: fn(&mut JudgedAnswer<'_>)) -> Option<String> {
        let mut answer = JudgedAnswer { stop: StopReason::Stop, parts, json: None, has_foreign_parts: false };
        edit(&mut answer);
        verify(request, &answer).err().map(|failure| {
            assert_eq!(failure.class, FailureClass::Unusable);
            failure.message
        })
    }

    #[test]
    fn an_answer_to_a_request_of_json_is_json_unless_it_was_cut_short() {
        let json = asks(ResponseFormat::Json, ToolChoice::Auto);
        let text = |text: &str| [AssistantPart::Text(text.into())];
        let objects = Some("the answer is not the JSON that was asked for");
        assert_eq!(objection(&json, &text("{}"), |_| {}), None);
        assert_eq!(objection(&json, &text("{\"a\": "), |_| {}).as_deref(), objects);
        assert_eq!(objection(&json, &text("Here it is: {}"), |_| {}).as_deref(), objects);
        assert_eq!(objection(&json, &text("Here it is: {}"), |answer| answer.json = Some("{}")), None);
        assert_eq!(objection(&json, &text("{\"a\": "), |answer| answer.stop = StopReason::Length), None);
        assert_eq!(objection(&asks(ResponseFormat::Text, ToolChoice::Auto), &text("Hi"), |_| {}), None);
    }

    #[test]
    fn a_required_tool_is_called_unless_the_answer_has_parts_without_a_common_form() {
        let request = asks(ResponseFormat::Text, ToolChoice::Required);
        let call = ToolCall { id: "1".into(), name: "f".into(), arguments: "{}".into(), ..ToolCall::default() };
        assert_eq!(objection(&request, &[], |_| {}).as_deref(), Some("no tool was called, and one was required"));
        assert_eq!(objection(&request, &[AssistantPart::ToolCall(call)], |_| {}), None);
        assert_eq!(objection(&request, &[], |answer| answer.has_foreign_parts = true), None);
        assert_eq!(objection(&request, &[], |answer| answer.stop = StopReason::Refusal), None);
        assert_eq!(missed(&request), Note::Dropped("tool_choice"));
        assert_eq!(missed(&asks(ResponseFormat::Json, ToolChoice::Auto)), Note::Dropped("response_format"));
    }

    #[test]
    fn a_fixed_text_fits_where_it_is_in_the_form_that_was_asked_for() {
        let json = asks(ResponseFormat::Json, ToolChoice::Required);
        assert!(fits(&json, "{}") && !fits(&json, "Nobody answers just now."));
        assert!(fits(&asks(ResponseFormat::Text, ToolChoice::Required), "Nobody answers just now."));
    }
}
