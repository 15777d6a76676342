//! Documents, audio, and what the common form cannot express, as the documents' tables have it.

use super::*;
use crate::wire::tests::DIALECTS;
use crate::wire::{Flavour, takes};
use crate::words::{ChatRequest, Demanded, Dialect};

const PROVIDERS: &str = include_str!("../../../../docs/providers.md");

/// Returns the rows of the table whose head begins so.
fn table(head: &str) -> Vec<Vec<&'static str>> {
    let (_, rest) = PROVIDERS.split_once(head).expect("a table");
    let rows = rest.lines().skip(2).take_while(|line| line.starts_with('|'));
    rows.map(|row| row.trim_matches('|').split('|').map(str::trim).collect()).collect()
}

fn names(cell: &str) -> impl Iterator<Item = &str> {
    cell.split(", ").map(|name| name.trim_matches('`'))
}

/// A request that holds a part, a tool and a field of such names.
fn with(caller_dialect: CallerDialect, part: Option<&str>, tool: Option<&str>, field: Option<&str>) -> Value {
    let block = part.map(|kind| match caller_dialect {
        CallerDialect::Gemini => json!({"text": null, kind: {"x": 1}}),
        _ => json!({"type": kind, "x": 1}),
    });
    let parts = |text: Value| [Some(text), block.clone()].into_iter().flatten().collect::<Vec<_>>();
    let mut body = match caller_dialect {
        CallerDialect::OpenAiChat | CallerDialect::Anthropic => {
            json!({"model": "m",
                "messages": [{"role": "user", "content": parts(json!({"type": "text", "text": "x"}))}]})
        }
        CallerDialect::OpenAiResponses => {
            json!({"model": "m", "input": parts(json!({"role": "user", "content": "x"}))})
        }
        CallerDialect::Gemini => json!({"contents": [{"role": "user", "parts": parts(json!({"text": "x"}))}]}),
    };
    if let Some(tool) = tool {
        body["tools"] = if caller_dialect == CallerDialect::Gemini {
            json!([{tool: {}}])
        } else {
            json!([{"type": tool, "name": "t"}])
        };
    }
    if let Some(field) = field {
        body[field] = match field {
            "n" => 2.into(),
            "modalities" => json!(["audio"]),
            "conversation" | "container" | "cachedContent" | "previous_response_id" => "x".into(),
            _ => json!({"x": 1}),
        };
    }
    body
}

#[test]
fn what_the_documents_call_carried_is_demanded_of_a_target_of_the_same_dialect() {
    let mut seen = 0;
    for row in table("| caller | blocks") {
        let caller_dialect = CALLER_DIALECTS.into_iter().find(|caller_dialect| {
            let name = match caller_dialect {
                CallerDialect::OpenAiChat => "`openai-chat`",
                CallerDialect::OpenAiResponses => "`openai-responses`",
                CallerDialect::Anthropic => "`anthropic`",
                CallerDialect::Gemini => "`gemini`",
            };
            name == row[0]
        });
        let caller_dialect = caller_dialect.expect(row[0]);
        let check = |body: &Value, name: &str| {
            let demands = asked(caller_dialect, body).request.demands();
            let expected = Demanded::Foreign(caller_dialect.dialect(), name.to_owned());
            assert!(demands.iter().any(|demand| demand.what == expected), "{name}: {demands:?}");
        };
        for part in names(row[1]) {
            check(&with(caller_dialect, Some(part), None, None), if part == "videoMetadata" { "text" } else { part });
            seen += 1;
        }
        names(row[2]).for_each(|tool| check(&with(caller_dialect, None, Some(tool), None), tool));
        names(row[3]).for_each(|field| check(&with(caller_dialect, None, None, Some(field)), field));
    }
    assert!(seen > 15);
}

#[test]
fn documents_and_audio_go_where_the_documents_say() {
    let rows = table("| | `openai-chat` | `openai-responses` | `anthropic` | `gemini` | `vertex` | `ollama` |");
    assert_eq!(rows.len(), 4);
    for row in rows {
        let what = match row[0] {
            "PDF by value" => Demanded::Document("application/pdf".to_owned()),
            "PDF at an address" => Demanded::DocumentUrl,
            "other document by value" => Demanded::Document("application/msword".to_owned()),
            "audio" => Demanded::Audio,
            other => panic!("{other}"),
        };
        for (dialect, said) in DIALECTS.into_iter().zip(&row[1..]) {
            let generic = Flavour::named("generic").expect("a flavour");
            let taken = takes(dialect, generic, &ChatRequest::new("r").user("x"), &what);
            assert_eq!(taken, *said == "yes", "{dialect:?}: {}", row[0]);
        }
    }
}

#[test]
fn half_a_letter_in_a_request_is_no_reason_to_refuse_it() {
    for caller_dialect in CALLER_DIALECTS {
        let body = with(caller_dialect, None, None, None).to_string().replace("\"x\"", r#""x\ud83d""#);
        let asked = read(caller_dialect, Some("m"), false, &body.into()).expect("a request");
        assert!(format!("{:?}", asked.request.messages).contains('\u{fffd}'), "{caller_dialect:?}");
    }
}

#[test]
fn the_line_for_an_invoice_goes_to_claude_alone() {
    let line = "x-anthropic-billing-header: cc_version=2.1; cch=74943;";
    let asked = asked(
        CallerDialect::Anthropic,
        &json!({"model": "m", "max_tokens": 9,
            "system": [{"type": "text", "text": line}, {"type": "text", "text": "You are."}],
            "messages": [{"role": "user", "content": "x"}]}),
    );
    for (dialect, model, expected) in [
        (Dialect::AnthropicMessages, "claude-sonnet-4-5", true),
        (Dialect::AnthropicMessages, "kimi-k3", false),
        (Dialect::OpenAiChat, "m", false),
        (Dialect::OpenAiResponses, "m", false),
        (Dialect::Gemini, "gemini-3.8-flash", false),
        (Dialect::Ollama, "m", false),
    ] {
        for original in [asked.request.original.clone(), None] {
            let request = ChatRequest { original, ..(*asked.request).clone() };
            let generic = Flavour::named("generic").expect("a flavour");
            let sent = crate::wire::encode(dialect, generic, &request, model, false).expect("a body");
            let sent = String::from_utf8_lossy(&sent.body.whole()).into_owned();
            assert_eq!(sent.contains("cch="), expected, "{dialect:?} {model}: {sent}");
            assert!(sent.contains("You are."), "{sent}");
        }
    }
}
