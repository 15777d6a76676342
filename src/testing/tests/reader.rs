//! Reads a client's result, for the tests in process and on sockets. It is independent of the writers.

use serde_json::{Value, json};

use crate::testing::{Fault, ProviderError, RetryHint};

/// A request that is answered with three tokens.
pub(crate) fn ask(stream: bool) -> String {
    let user = json!({"role": "user", "content": "one two three"});
    json!({"model": "m", "messages": [user], "stream": stream}).to_string()
}

/// Retells a body: tokens quoted, `=finish`, `#prompt/completion`, `?` for what is no JSON, `…` for an event without
/// end.
pub(crate) fn retell(body: &[u8]) -> String {
    let text = std::str::from_utf8(body).expect("the provider writes UTF-8");
    if !text.starts_with("data:") && !text.starts_with(':') {
        return serde_json::from_str(text).map_or("?".to_owned(), |body: Value| retell_json(&body));
    }
    let mut told = Vec::new();
    for event in text.split_inclusive("\n\n") {
        let Some(event) = event.strip_suffix("\n\n") else {
            told.push("…".to_owned());
            continue;
        };
        told.push(match event.strip_prefix("data: ") {
            None => ":".to_owned(),
            Some("[DONE]") => "done".to_owned(),
            Some(data) => serde_json::from_str(data).map_or("?".to_owned(), |data: Value| retell_json(&data)),
        });
    }
    told.join(" ")
}

fn retell_json(body: &Value) -> String {
    if let Some(error) = body.get("error") {
        return format!("error({})", error["type"].as_str().unwrap());
    }
    let mut told = Vec::new();
    if let Some(choice) = body["choices"].get(0) {
        let said = choice.get("delta").or_else(|| choice.get("message")).unwrap();
        if said.get("role").is_some() && choice.get("delta").is_some() {
            return "role".to_owned();
        }
        for key in ["reasoning_content", "content"] {
            told.extend(said[key].as_str().map(|text| format!("'{text}'")));
        }
        for call in said["tool_calls"].as_array().into_iter().flatten() {
            let (id, name) = (call["id"].as_str(), call["function"]["name"].as_str());
            told.extend(name.map(|name| format!("{}:{name}", if id.is_some() { "call" } else { "nameless" })));
            told.extend(call["function"]["arguments"].as_str().map(|text| format!("({text})")));
        }
        told.extend(choice["finish_reason"].as_str().map(|reason| format!("={reason}")));
    }
    if let Some(usage) = body.get("usage").filter(|usage| !usage.is_null()) {
        told.push(format!("#{}/{}", usage["prompt_tokens"], usage["completion_tokens"]));
    }
    told.join(" ")
}

/// A client's result for each fault, streamed and whole: status, body retold, and how it ended: `.` well, `!` broken,
/// `~` not.
pub(crate) fn cases() -> Vec<(Option<Fault>, &'static str, &'static str)> {
    use Fault as F;
    use ProviderError as E;
    let reply = F::Reply { status: 418, headers: http::HeaderMap::new(), body: "short and stout".into() };
    let well = "200 role 'one' ' two' ' three' =stop done .";
    let well_whole = "200 'one two three' =stop #3/3 .";
    let same = |fault, both| (Some(fault), both, both);
    let zero = std::time::Duration::ZERO;
    vec![
        (None, well, well_whole),
        same(F::Refuse, "refused"),
        same(F::Reset, "reset"),
        same(F::Hang, "~"),
        same(F::Error(E::Server), "500 error(server_error) ."),
        same(F::Error(E::BadGateway), "502 ? ."),
        same(F::Error(E::Unavailable), "503 error(service_unavailable_error) ."),
        same(F::Error(E::Overloaded), "529 error(overloaded_error) ."),
        same(F::Error(E::ContextTooLong), "400 error(invalid_request_error) ."),
        same(F::Error(E::Unauthorised), "401 error(invalid_request_error) ."),
        same(F::Error(E::OutOfMoney), "402 error(insufficient_quota) ."),
        same(F::Error(E::ModelGone), "404 error(invalid_request_error) ."),
        same(F::RateLimited(RetryHint::Silent), "429 error(requests) ."),
        same(reply, "418 ? ."),
        (Some(F::SlowFirst { factor: 2.0, plus: zero }), well, well_whole),
        (Some(F::SlowTokens(2.0)), well, well_whole),
        (Some(F::StallAfter(2)), "200 role 'one' ' two' ~", "200 ? ~"),
        (Some(F::StallAfter(0)), "200 role ~", "200 ? ~"),
        (Some(F::CutAfter(2)), "200 role 'one' ' two' !", "200 ? !"),
        (Some(F::CutAfter(9)), "200 role 'one' ' two' ' three' !", "200 ? !"),
        (Some(F::TruncatedJson), "200 role 'one' ' two' … .", "200 ? ."),
        (Some(F::InvalidJson), "200 role 'one' ' two' ? =stop done .", "200 ? ."),
        (Some(F::Empty), "200 role =stop done .", "200 '' =stop #3/0 ."),
        (
            Some(F::Finish("length".into())),
            "200 role 'one' ' two' ' three' =length done .",
            "200 'one two three' =length #3/3 .",
        ),
        (Some(F::ErrorEvent { after: 1 }), "200 role 'one' error(server_error) .", "200 error(server_error) ."),
        (Some(F::LyingHeaders), well, well_whole),
    ]
}
