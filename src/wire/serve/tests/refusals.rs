//! Calls without an answer, and answers that break off.

use std::time::{Duration, SystemTime};

use super::*;
use crate::words::{
    Amount, AttemptEnd, AttemptRecord, CallFacts, Cause, Error, Failure, FailureClass, OverBudget, UnavailableTarget,
};

fn tried(class: FailureClass) -> Vec<AttemptRecord> {
    let about = Arc::new(CallFacts::new(CallId::new(0, 1), SystemTime::UNIX_EPOCH, "r"));
    let mut record = AttemptRecord::new(about, 1, TargetId::new("p", "m"), "k");
    record.took = Duration::from_secs(1);
    record.end = AttemptEnd::Failed(Failure::new(class, "said the provider"));
    vec![record]
}

fn rejected(class: FailureClass) -> Error {
    Error::Rejected { failure: Failure::new(class, "said the provider"), attempts: tried(class) }
}

fn unavailable(target: TargetId, cause: Cause) -> UnavailableTarget {
    UnavailableTarget { target, cause, back_in: None, keys: Vec::new() }
}

fn invalid(field: &str) -> Error {
    Error::Invalid { field: field.to_owned(), problem: "is wrong".to_owned() }
}

fn exhausted(class: FailureClass, seconds: u64) -> Error {
    Error::Exhausted {
        attempts: tried(class),
        retry_after: Some(Duration::from_millis(seconds * 1000 - 1)),
        barred: Vec::new(),
    }
}

#[test]
fn what_time_mends_decides_between_a_limit_and_an_outage_whichever_was_asked_last() {
    use FailureClass as C;
    let (limit, key, money, gone) = (C::RateLimited, C::Unauthorised, C::OutOfMoney, C::ModelGone);
    let failure = Cause::Failure;
    // Why each target is out, how the last attempt failed, and the status.
    for (causes, last, status) in [
        (vec![failure(limit)], None, 429),
        (vec![failure(limit)], Some(limit), 429),
        (vec![failure(limit), failure(limit)], Some(limit), 429),
        (vec![failure(limit), failure(key)], Some(key), 429),
        (vec![failure(money), failure(limit), failure(gone), Cause::Operator], None, 429),
        (vec![failure(limit), failure(C::Overloaded)], Some(limit), 503),
        (vec![failure(limit), Cause::Breaker], Some(C::Server), 503),
        (vec![failure(limit), Cause::Full], None, 503),
        (vec![Cause::Down], None, 503),
        (vec![failure(key), failure(money)], Some(money), 424),
        (vec![failure(gone), Cause::Operator], None, 424),
        (vec![Cause::Operator], None, 424),
        // One that is down comes back by itself, whatever was heard last.
        (vec![failure(key), Cause::Down], Some(key), 503),
        (vec![failure(key), Cause::Breaker], Some(C::Server), 503),
        // The request's own fault is what its caller can mend.
        (vec![failure(key)], Some(C::ContextTooLong), 400),
        (vec![Cause::Breaker], Some(C::ContextTooLong), 400),
        (vec![], Some(limit), 429),
        (vec![], None, 503),
    ] {
        let target = TargetId::new("p", "m");
        let barred = causes.iter().map(|&cause| unavailable(target.clone(), cause)).collect();
        let attempts = last.map_or_else(Vec::new, tried);
        for retry_after in [None, Some(Duration::from_secs(86_400))] {
            let error = Error::Exhausted { attempts: attempts.clone(), retry_after, barred: Vec::clone(&barred) };
            let refusal = refuse(CallerDialect::OpenAiChat, RefusalReason::Call(&error));
            assert_eq!(refusal.status, status, "{causes:?}, {last:?}");
            let [wait, again] = ["retry-after", "x-should-retry"].map(|name| refusal.headers.get(name));
            // What may be well again in a moment is asked again then, and what an operator has to mend is not.
            let waits = status != 424 && (retry_after.is_some() || last == Some(C::Server));
            assert_eq!(wait.is_some(), waits, "{causes:?}, {last:?}");
            assert!(status != 424 || again.is_some_and(|again| again == "false"), "{causes:?}, {last:?}");
            assert!(wait.is_none() || again.is_none(), "they contradict each other: {error}");
        }
    }
}

#[test]
fn every_error_has_its_status_and_its_name_in_every_dialect() {
    use FailureClass as C;
    let nobody =
        Error::Exhausted { attempts: Vec::new(), retry_after: Some(Duration::from_secs(7)), barred: Vec::new() };
    // The error, its status, OpenAI's code, Anthropic's type, Gemini's status, seconds to wait, whether it is final.
    let table = [
        (invalid("messages"), 400, json!(null), "invalid_request_error", "INVALID_ARGUMENT", None, true),
        (invalid("route"), 404, json!("model_not_found"), "not_found_error", "NOT_FOUND", None, true),
        (
            Error::NoTarget { route: "r".into(), why: "w".into() },
            400,
            json!(null),
            "invalid_request_error",
            "INVALID_ARGUMENT",
            None,
            true,
        ),
        (
            Error::TooLong { route: "r".into(), tokens: 9_000, answer: None, window: 8_000, why: "w".into() },
            400,
            json!("context_length_exceeded"),
            "invalid_request_error",
            "INVALID_ARGUMENT",
            None,
            true,
        ),
        (rejected(C::BadRequest), 400, json!(null), "invalid_request_error", "INVALID_ARGUMENT", None, true),
        (
            rejected(C::ContextTooLong),
            400,
            json!("context_length_exceeded"),
            "invalid_request_error",
            "INVALID_ARGUMENT",
            None,
            true,
        ),
        (
            rejected(C::ContentPolicy),
            400,
            json!("content_policy_violation"),
            "invalid_request_error",
            "INVALID_ARGUMENT",
            None,
            true,
        ),
        (
            exhausted(C::ContextTooLong, 1),
            400,
            json!("context_length_exceeded"),
            "invalid_request_error",
            "INVALID_ARGUMENT",
            Some(1),
            false,
        ),
        (
            exhausted(C::RateLimited, 3),
            429,
            json!("rate_limit_exceeded"),
            "rate_limit_error",
            "RESOURCE_EXHAUSTED",
            Some(3),
            false,
        ),
        (
            exhausted(C::Server, 2),
            503,
            json!("server_is_overloaded"),
            "overloaded_error",
            "UNAVAILABLE",
            Some(2),
            false,
        ),
        (exhausted(C::Unauthorised, 2), 424, json!("needs_operator"), "api_error", "FAILED_PRECONDITION", None, true),
        (nobody, 503, json!("server_is_overloaded"), "overloaded_error", "UNAVAILABLE", Some(7), false),
        (
            Error::DeadlineExceeded { attempts: tried(C::NoFirstToken) },
            504,
            json!("timeout"),
            "timeout_error",
            "DEADLINE_EXCEEDED",
            None,
            true,
        ),
        (
            Error::Overloaded { calls_max: 5, retry_after: None },
            503,
            json!("server_is_overloaded"),
            "overloaded_error",
            "UNAVAILABLE",
            Some(1),
            false,
        ),
        (
            Error::Overloaded { calls_max: 5, retry_after: Some(Duration::from_millis(6_200)) },
            503,
            json!("server_is_overloaded"),
            "overloaded_error",
            "UNAVAILABLE",
            Some(7),
            false,
        ),
        (Error::Draining, 503, json!("server_is_overloaded"), "overloaded_error", "UNAVAILABLE", Some(1), false),
        (Error::Crashed, 500, json!(null), "api_error", "INTERNAL", None, true),
    ];
    for (error, status, code, kind, name, wait, is_final) in table {
        for caller_dialect in CALLER_DIALECTS {
            let refusal = refuse(caller_dialect, RefusalReason::Call(&error));
            let body: Value = serde_json::from_slice(&refusal.body).expect("JSON");
            let own = if caller_dialect == CallerDialect::Anthropic && status == 503 { 529 } else { status };
            assert_eq!(refusal.status.as_u16(), own, "{caller_dialect:?}: {error:?}");
            let header = |name: &str| refusal.headers.get(name).map(|value| value.to_str().expect("a text").to_owned());
            assert_eq!(header("retry-after"), wait.map(|wait: u64| wait.to_string()), "{caller_dialect:?}: {error:?}");
            assert_eq!(
                header("x-should-retry").as_deref(),
                is_final.then_some("false"),
                "{caller_dialect:?}: {error:?}"
            );
            assert_eq!(header("content-type").as_deref(), Some("application/json"));
            assert!(body["error"]["message"].as_str().is_some_and(|message| !message.is_empty()), "{body}");
            match caller_dialect {
                CallerDialect::OpenAiChat | CallerDialect::OpenAiResponses => {
                    assert_eq!(body["error"]["code"], code, "{error:?}");
                    assert!(body["error"]["type"].is_string() && body["error"].get("param").is_some(), "{body}");
                }
                CallerDialect::Anthropic => {
                    assert_eq!((&body["type"], &body["error"]["type"]), (&json!("error"), &json!(kind)), "{error:?}");
                }
                CallerDialect::Gemini => {
                    assert_eq!(
                        (&body["error"]["code"], &body["error"]["status"]),
                        (&json!(status), &json!(name)),
                        "{error:?}"
                    );
                    let delay = &body["error"]["details"][0]["retryDelay"];
                    assert_eq!(*delay, wait.map_or(Value::Null, |wait| format!("{wait}s").into()), "{error:?}");
                }
            }
        }
    }
}

#[test]
fn the_client_half_takes_a_refusal_for_what_it_was() {
    for class in
        [FailureClass::ContextTooLong, FailureClass::ContentPolicy, FailureClass::RateLimited, FailureClass::Overloaded]
    {
        for caller_dialect in CALLER_DIALECTS {
            let refusal = refuse(caller_dialect, RefusalReason::Call(&exhausted(class, 2)));
            let sent = crate::wire::Sent::default();
            let failure = crate::wire::classify(refusal.status.as_u16(), &refusal.headers, &refusal.body, sent);
            // Anthropic and Gemini have no word for a filter's refusal.
            if class != FailureClass::ContentPolicy
                || matches!(caller_dialect, CallerDialect::OpenAiChat | CallerDialect::OpenAiResponses)
            {
                assert_eq!(failure.class, class, "{caller_dialect:?}: {failure:?}");
            }
        }
    }
}

#[test]
fn a_refusal_of_all_keeps_its_status() {
    for (class, status, expected) in [
        (FailureClass::RequestExceedsLimit, Some(413), 413),
        (FailureClass::BadRequest, Some(422), 422),
        (FailureClass::Declined, Some(415), 415),
        (FailureClass::Declined, Some(418), 400),
        (FailureClass::Unsupported, Some(501), 400),
        (FailureClass::RequestExceedsLimit, Some(429), 413),
        (FailureClass::BadRequest, None, 400),
    ] {
        let failure = crate::words::Failure { status, ..crate::words::Failure::new(class, "no") };
        let error = Error::Rejected { failure, attempts: Vec::new() };
        for caller_dialect in CALLER_DIALECTS {
            let refusal = refuse(caller_dialect, RefusalReason::Call(&error));
            assert_eq!(refusal.status.as_u16(), expected, "{caller_dialect:?} {class} {status:?}");
        }
    }
}

#[test]
fn a_bad_request_names_its_field() {
    let bad = BadRequest::new("role", "must be user").at(2).within("messages");
    for caller_dialect in CALLER_DIALECTS {
        let refusal = refuse(caller_dialect, RefusalReason::Request(&bad));
        let body = String::from_utf8(refusal.body).expect("text");
        assert_eq!(refusal.status, 400);
        assert!(body.contains("messages[2].role: must be user"), "{body}");
    }
    let body = refuse(CallerDialect::OpenAiChat, RefusalReason::Request(&bad)).body;
    let body: Value = serde_json::from_slice(&body).expect("JSON");
    assert_eq!(body["error"]["param"], "messages[2].role");
    let statuses = [RefusalReason::Unauthorised, RefusalReason::NotFound("nothing here"), RefusalReason::TooLong(5)]
        .map(|refused| refuse(CallerDialect::Anthropic, refused).status.as_u16());
    assert_eq!(statuses, [401, 404, 413]);
}

#[test]
fn an_answer_that_breaks_off_is_never_ended_as_if_it_were_whole() {
    let attempts = tried(FailureClass::Cut);
    let error = Error::Interrupted { failure: Failure::new(FailureClass::Cut, "the stream ended"), attempts };
    let reset = ReplyEvent::Reset(Failure::new(FailureClass::Cut, "the stream ended"));
    for caller_dialect in CALLER_DIALECTS {
        for spoken in [None, Some(ReplyEvent::Text("Hel".to_owned())), Some(ReplyEvent::Reasoning("Hm".to_owned()))] {
            for by_event in [true, false] {
                let mut writer = Writer::new(form(caller_dialect), 7, 0);
                let mut out = Vec::new();
                if let Some(event) = &spoken {
                    writer.event(event, &mut out);
                }
                out.extend_from_slice(writer.keep_alive());
                if by_event {
                    writer.event(&reset, &mut out);
                } else {
                    writer.failed(&error, &mut out);
                }
                let length = out.len();
                writer.event(&ReplyEvent::Finished(Box::new(finished(vec![text("x")], StopReason::Stop))), &mut out);
                assert_eq!(out.len(), length, "nothing follows an error");
                let stream = String::from_utf8(out.clone()).expect("text");
                for end in ["[DONE]", "message_stop", "response.completed", "finishReason", "\"finish_reason\":\""] {
                    assert!(!stream.contains(end), "{caller_dialect:?}: {stream}");
                }
                let mut decoder = crate::wire::Decoder::new(caller_dialect.dialect(), true);
                let failure = decoder.push(&out, &mut Vec::new()).expect_err("an error");
                let classes = [FailureClass::Overloaded, FailureClass::Server];
                assert!(classes.contains(&failure.class), "{caller_dialect:?}: {failure:?}: {stream}");
            }
        }
    }
}

#[test]
fn models_are_listed_in_every_dialect() {
    let listing = Listing {
        id: "smart".to_owned(),
        created: 1_700_000_000,
        owner: "standin".to_owned(),
        input_tokens_max: Some(200_000),
        output_tokens_max: None,
    };
    let list = |caller_dialect| -> Value {
        serde_json::from_slice(&models(caller_dialect, std::slice::from_ref(&listing))).expect("JSON")
    };
    let entry = json!({"id": "smart", "object": "model", "created": 1_700_000_000, "owned_by": "standin"});
    assert_eq!(list(CallerDialect::OpenAiChat), json!({"object": "list", "data": [entry]}));
    let entry = json!({"type": "model", "id": "smart", "display_name": "smart", "created_at": "2023-11-14T22:13:20Z",
        "max_input_tokens": 200_000});
    let page = json!({"data": [entry], "has_more": false, "first_id": "smart", "last_id": "smart"});
    assert_eq!(list(CallerDialect::Anthropic), page);
    assert_eq!(list(CallerDialect::Gemini)["models"][0]["name"], "models/smart");
    let one: Value = serde_json::from_slice(&model(CallerDialect::Anthropic, &listing)).expect("JSON");
    assert_eq!(one, entry);
    let counts =
        CALLER_DIALECTS.map(|caller_dialect| String::from_utf8(count_tokens(caller_dialect, 9)).expect("text"));
    assert!(counts.iter().all(|count| count.contains(":9")), "{counts:?}");
}

#[test]
fn a_caller_is_told_to_wait_as_long_as_a_hold_lasts_and_no_hold_lasts_for_ever() {
    const DAY: u64 = 24 * 60 * 60;
    for (wait, told) in [
        (Duration::MAX, 31 * DAY),
        (Duration::from_secs(u64::MAX), 31 * DAY),
        (Duration::from_secs(31 * DAY), 31 * DAY),
        (Duration::from_secs(7_200), 7_200),
    ] {
        let error = Error::Exhausted {
            attempts: tried(FailureClass::RateLimited),
            retry_after: Some(wait),
            barred: Vec::new(),
        };
        for refused in [RefusalReason::TooMany(wait), RefusalReason::Call(&error)] {
            let refusal = refuse(CallerDialect::Gemini, refused);
            assert_eq!(refusal.headers["retry-after"], told.to_string());
            assert!(!refusal.headers.contains_key("x-should-retry"));
            let body = String::from_utf8(refusal.body).expect("a text");
            assert!(body.contains(&format!(r#""retryDelay":"{told}s""#)), "{body}");
        }
    }
}

#[test]
fn a_refusals_own_code_reaches_callers_whose_dialect_has_codes() {
    for (code, told) in [
        ("empty_array", Some("empty_array")),
        ("invalid_request_error", None),
        ("400", None),
        ("BadRequestError", None),
    ] {
        let failure = Failure { code: Some(code.to_owned()), ..Failure::new(FailureClass::BadRequest, "no") };
        let failure = Failure { status: Some(400), ..failure };
        let error = Error::Rejected { failure, attempts: Vec::new() };
        let refusal = refuse(CallerDialect::OpenAiChat, RefusalReason::Call(&error));
        let body: Value = serde_json::from_slice(&refusal.body).expect("JSON");
        assert_eq!(body["error"]["code"].as_str(), told, "{code}");
    }
}

#[test]
fn a_budget_that_is_spent_is_told_in_every_dialect() {
    let budget = OverBudget {
        budget: "teams".into(),
        of: "team red".into(),
        spent: Amount::Dollars(5.01),
        limit: Amount::Dollars(5.0),
        per: "a day".into(),
        // Two hours and a half: a header that says an hour would be wrong.
        renews_in: Some(Duration::from_secs(9_060)),
        reserved: Amount::Dollars(0.0),
        unpriced: false,
        expected: None,
    };
    let error = Error::OverBudget { budget: Box::new(budget), attempts: Vec::new() };
    for (caller_dialect, status, kind) in [
        (CallerDialect::OpenAiChat, 429, "insufficient_quota"),
        (CallerDialect::OpenAiResponses, 429, "insufficient_quota"),
        (CallerDialect::Anthropic, 402, "billing_error"),
        (CallerDialect::Gemini, 429, "RESOURCE_EXHAUSTED"),
    ] {
        let refusal = refuse(caller_dialect, RefusalReason::Call(&error));
        let body: Value = serde_json::from_slice(&refusal.body).expect("JSON");
        assert_eq!(refusal.status.as_u16(), status, "{body}");
        let said =
            if caller_dialect == CallerDialect::Gemini { &body["error"]["status"] } else { &body["error"]["type"] };
        assert_eq!(said, kind, "{body}");
        let message = body["error"]["message"].as_str().expect("a message");
        assert!(message.starts_with("budget `teams` of team red: 5.01 of 5.00 dollars a day spent"), "{message}");
        assert_eq!(refusal.headers["retry-after"], "9060");
        assert_eq!(refusal.headers["x-should-retry"], "false");
    }
}

#[test]
fn a_budget_that_calls_in_flight_have_reserved_is_a_limit_of_the_moment() {
    let budget = OverBudget {
        budget: "all".into(),
        of: String::new(),
        spent: Amount::Dollars(1.0),
        limit: Amount::Dollars(5.0),
        per: "a day".into(),
        renews_in: Some(Duration::ZERO),
        reserved: Amount::Dollars(4.0),
        unpriced: false,
        expected: None,
    };
    let error = Error::OverBudget { budget: Box::new(budget), attempts: Vec::new() };
    for caller_dialect in
        [CallerDialect::OpenAiChat, CallerDialect::OpenAiResponses, CallerDialect::Anthropic, CallerDialect::Gemini]
    {
        let refusal = refuse(caller_dialect, RefusalReason::Call(&error));
        assert_eq!(refusal.status.as_u16(), 429, "{caller_dialect:?}");
        assert_eq!(refusal.headers["retry-after"], "1", "{caller_dialect:?}");
        assert!(!refusal.headers.contains_key("x-should-retry"), "{caller_dialect:?}");
    }
}

#[test]
fn the_field_that_a_provider_names_reaches_callers_of_openais_dialects() {
    let failure = |param: Option<&str>| Failure {
        status: Some(400),
        param: param.map(str::to_owned),
        ..Failure::new(FailureClass::BadRequest, "Unsupported parameter.")
    };
    for caller_dialect in [CallerDialect::OpenAiChat, CallerDialect::OpenAiResponses] {
        for param in [Some("input[0].content"), None] {
            let error = Error::Rejected { failure: failure(param), attempts: Vec::new() };
            let refusal = refuse(caller_dialect, RefusalReason::Call(&error));
            let body: Value = serde_json::from_slice(&refusal.body).expect("JSON");
            assert_eq!(body["error"]["param"].as_str(), param);
        }
    }
    let body =
        br#"{"error":{"message":"Unsupported parameter: 'max_tokens'.","code":"unsupported_parameter","param":"max_tokens"}}"#;
    let read = crate::wire::classify(400, &http::HeaderMap::new(), body, crate::wire::Sent::default());
    assert_eq!(read.param.as_deref(), Some("max_tokens"));
}
