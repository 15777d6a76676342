//! The parts of a request's messages and tools that no reader knows: they go to targets of its dialect, and to no
//! others.
//!
//! Input: the fields of a body before they are parsed. Output: notes for all targets that get it in another form. An
//! object with a part that there are no words for is carried or refused as a whole, and is not looked into. Fields of
//! the body itself are not meant: those are kept by their names.

use super::CallerDialect;
use super::node::{Node, Object};
use super::reading::{has_words, note};
use crate::words::Note;

/// Fields that may be anywhere: the object's kind, marks that are carried where they are read, and what a provider only
/// tells of its own answers.
const ANYWHERE: [&str; 8] = ["type", "role", "cache_control", "id", "status", "phase", "index", "caller"];

/// Members of an object that are read, each with those of the object or the objects within it.
type KnownMembers = &'static [(&'static str, Inner)];

#[derive(Clone, Copy)]
enum Inner {
    /// All of it is read or carried.
    All,
    /// An object, of which these are.
    Of(KnownMembers),
    /// A list, whose objects are of these kinds.
    Each(&'static [Kind]),
}

/// A kind of object: its `type`, and the fields that are read. The common form can express all of these.
struct Kind(&'static [&'static str], KnownMembers);

use Inner::{All, Each, Of};

const CHAT_PARTS: &[Kind] = &[
    Kind(&["text", "input_text", "output_text", ""], &[("text", All)]),
    Kind(&["refusal"], &[("refusal", All)]),
    Kind(&["thinking"], &[("thinking", All), ("closed", All)]),
    Kind(&["input_audio"], &[("input_audio", Of(&[("data", All), ("format", All)]))]),
    Kind(&["image_url"], &[("image_url", Of(&[("url", All), ("detail", All)]))]),
    Kind(&["file"], &[("file", Of(&[("filename", All), ("file_data", All), ("file_id", All)]))]),
];
const CHAT_FUNCTION: KnownMembers = &[("name", All), ("description", All), ("parameters", All), ("strict", All)];
const CUSTOM: KnownMembers = &[("name", All), ("description", All), ("format", All)];
/// A function in the form of one of OpenAI's dialects within that of the other.
const EITHER_FUNCTION: KnownMembers =
    &[("function", Of(CHAT_FUNCTION)), ("name", All), ("description", All), ("parameters", All), ("strict", All)];
const CHAT_CALLED: KnownMembers = &[("name", All), ("arguments", All)];
const CHAT: KnownMembers = &[
    (
        "messages",
        Each(&[Kind(
            &[""],
            &[
                ("content", Each(CHAT_PARTS)),
                ("role", All),
                ("name", All),
                ("tool_call_id", All),
                (
                    "tool_calls",
                    Each(&[
                        Kind(
                            &["function", ""],
                            &[("function", Of(CHAT_CALLED)), ("custom", All), ("extra_content", All)],
                        ),
                        Kind(&["custom"], &[("custom", Of(&[("name", All), ("input", All)]))]),
                    ]),
                ),
                ("function_call", Of(CHAT_CALLED)),
                ("reasoning_content", All),
                ("reasoning", All),
                ("reasoning_details", All),
                ("extra_content", All),
                ("refusal", All),
                ("audio", All),
                ("prefix", All),
                ("partial", All),
            ],
        )]),
    ),
    ("tools", Each(&[Kind(&["function", ""], EITHER_FUNCTION)])),
    ("functions", Each(&[Kind(&[""], CHAT_FUNCTION)])),
];

const RESPONSES_PARTS: &[Kind] = &[
    Kind(&["input_text", "output_text", "text", "summary_text", ""], &[("text", All)]),
    Kind(&["refusal"], &[("refusal", All)]),
    Kind(&["input_image"], &[("image_url", All), ("detail", All), ("file_id", All)]),
    Kind(&["input_file"], &[("filename", All), ("file_data", All), ("file_url", All), ("file_id", All)]),
    Kind(&["input_audio"], &[("input_audio", Of(&[("data", All), ("format", All)]))]),
];
const RESPONSES: KnownMembers = &[
    (
        "input",
        Each(&[
            Kind(&["message", ""], &[("content", Each(RESPONSES_PARTS))]),
            Kind(&["function_call"], &[("call_id", All), ("name", All), ("namespace", All), ("arguments", All)]),
            Kind(&["custom_tool_call"], &[("call_id", All), ("name", All), ("namespace", All), ("input", All)]),
            Kind(
                &["function_call_output", "custom_tool_call_output"],
                &[("call_id", All), ("output", Each(RESPONSES_PARTS))],
            ),
        ]),
    ),
    (
        "tools",
        Each(&[
            Kind(&["function", ""], EITHER_FUNCTION),
            Kind(&["custom"], &[("custom", Of(CUSTOM)), ("name", All), ("description", All), ("format", All)]),
        ]),
    ),
];

const ANTHROPIC_SHOWN: KnownMembers =
    &[("source", Of(&[("data", All), ("media_type", All), ("url", All), ("file_id", All), ("content", All)]))];
const ANTHROPIC_BLOCKS: &[Kind] = &[
    Kind(&["text"], &[("text", All)]),
    Kind(&["image"], ANTHROPIC_SHOWN),
    Kind(
        &["document"],
        &[ANTHROPIC_SHOWN[0], ("title", All), ("context", All), ("citations", Of(&[("enabled", All)]))],
    ),
    Kind(&["tool_use"], &[("name", All), ("input", All)]),
    Kind(&["tool_result"], &[("tool_use_id", All), ("is_error", All), ("content", Each(SHOWN_IN_RESULTS))]),
];
const SHOWN_IN_RESULTS: &[Kind] = &[Kind(&["text"], &[("text", All)]), Kind(&["image"], ANTHROPIC_SHOWN)];
const ANTHROPIC: KnownMembers = &[
    ("system", Each(ANTHROPIC_BLOCKS)),
    ("messages", Each(&[Kind(&[""], &[("content", Each(ANTHROPIC_BLOCKS))])])),
    (
        "tools",
        Each(&[Kind(&["custom", ""], &[("name", All), ("description", All), ("input_schema", All), ("strict", All)])]),
    ),
];

const GEMINI_PART: KnownMembers = &[
    ("text", All),
    ("thought", All),
    ("thoughtSignature", All),
    ("mediaResolution", All),
    ("videoMetadata", All),
    ("inlineData", All),
    ("fileData", All),
    ("functionCall", Of(&[("name", All), ("args", All)])),
    ("functionResponse", Of(&[("name", All), ("response", All), ("parts", Each(&[Kind(&[""], GEMINI_SHOWN)]))])),
];
const GEMINI_SHOWN: KnownMembers = &[("text", All), ("inlineData", All), ("fileData", All)];
const GEMINI: KnownMembers = &[
    ("systemInstruction", Of(&[("parts", Each(&[Kind(&[""], GEMINI_PART)]))])),
    ("contents", Each(&[Kind(&[""], &[("parts", Each(&[Kind(&[""], GEMINI_PART)]))])])),
    (
        "tools",
        Each(&[Kind(
            &[""],
            &[(
                "functionDeclarations",
                Each(&[Kind(
                    &[""],
                    &[("name", All), ("description", All), ("parameters", All), ("parametersJsonSchema", All)],
                )]),
            )],
        )]),
    ),
];

/// Adds the notes of a body, for targets that get it in another dialect.
pub(super) fn notes(caller_dialect: CallerDialect, body: &Object<'_>, notes: &mut Vec<Note>) {
    let known = match caller_dialect {
        CallerDialect::OpenAiChat => CHAT,
        CallerDialect::OpenAiResponses => RESPONSES,
        CallerDialect::Anthropic => ANTHROPIC,
        CallerDialect::Gemini => GEMINI,
    };
    for (name, node) in body.fields() {
        let Some((name, inner)) = known.iter().find(|(known, _)| is_named(caller_dialect, name, known)) else {
            continue;
        };
        if !is_read(caller_dialect, node, *inner) {
            let what = if matches!(*name, "tools" | "functions") { "tools" } else { "messages.content" };
            note(notes, Note::Dropped(what));
        }
    }
}

/// Tells whether all of a value is read.
fn is_read(caller_dialect: CallerDialect, node: &Node<'_>, inner: Inner) -> bool {
    match (inner, node) {
        (Of(known), Node::Object(object)) => is_known(caller_dialect, object, known),
        (Each(kinds), Node::List(list)) => list.iter().all(|node| is_of_kinds(caller_dialect, node, kinds)),
        // Google takes one for a list of one.
        (Each(kinds), Node::Object(_)) => is_of_kinds(caller_dialect, node, kinds),
        _ => true,
    }
}

fn is_of_kinds(caller_dialect: CallerDialect, node: &Node<'_>, kinds: &[Kind]) -> bool {
    let Node::Object(object) = node else { return true };
    // A list with only one kind of objects needs no `type` to tell them apart.
    let found = match kinds {
        [Kind(only, known)] if *only == [""] => Some(*known),
        _ => kinds.iter().find(|Kind(names, _)| names.contains(&object.peek("type"))).map(|Kind(_, known)| *known),
    };
    found.is_none_or(|known| is_known(caller_dialect, object, known))
}

fn is_known(caller_dialect: CallerDialect, object: &Object<'_>, known: KnownMembers) -> bool {
    object.fields().all(|(name, node)| match known.iter().find(|(known, _)| is_named(caller_dialect, name, known)) {
        Some((_, inner)) => is_read(caller_dialect, node, *inner),
        None => {
            ANYWHERE.contains(&name)
                || says_nothing(node)
                || (caller_dialect == CallerDialect::Gemini && is_carried(object, known))
        }
    })
}

/// Tells whether an object of Google's is carried as it is: a part that there are no words for, or a tool of its own
/// beside functions.
fn is_carried(object: &Object<'_>, known: KnownMembers) -> bool {
    const ODD: [&str; 4] = ["videoMetadata", "video_metadata", "executableCode", "codeExecutionResult"];
    let is_there = |known: &str| object.fields().any(|(name, _)| is_named(CallerDialect::Gemini, name, known));
    let has_no_words = |data: &Object<'_>| !has_words(data.peek("mimeType"));
    ODD.iter().any(|odd| object.has(odd))
        || object.within("inlineData").is_some_and(has_no_words)
        || known.iter().any(|(name, _)| *name == "functionDeclarations")
        || !known.iter().any(|(known, _)| is_there(known))
}

/// Tells whether a member has this name, at Google also in its other spelling.
pub(super) fn is_named(caller_dialect: CallerDialect, name: &str, known: &str) -> bool {
    let is_letter = |letter: &u8| *letter != b'_';
    let plain =
        |name: &str| name.bytes().filter(is_letter).map(|letter| letter.to_ascii_lowercase()).collect::<Vec<u8>>();
    name == known || (caller_dialect == CallerDialect::Gemini && name.contains('_') && plain(name) == plain(known))
}

/// Tells whether a value is none: clients fill in missing fields.
fn says_nothing(node: &Node<'_>) -> bool {
    match node {
        Node::Null | Node::Bool(false) => true,
        Node::Text(text) => text.is_empty(),
        Node::List(list) => list.is_empty(),
        Node::Object(object) => object.is_empty(),
        _ => false,
    }
}
