use http::HeaderValue;
use proptest::prelude::*;

use super::super::when::{WAIT_MAX, Zone, in_words};
use super::*;

fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
    let pair = |&(name, value): &(&str, &str)| {
        (HeaderName::try_from(name).expect("a name"), HeaderValue::try_from(value).expect("a value"))
    };
    pairs.iter().map(pair).collect()
}

#[expect(clippy::unnecessary_wraps, reason = "what is read")]
fn after(millis: u64) -> Option<RetryAfter> {
    Some(RetryAfter::After(Duration::from_millis(millis)))
}

#[expect(clippy::unnecessary_wraps, reason = "what is read")]
fn at(seconds: u64) -> Option<RetryAfter> {
    Some(RetryAfter::At(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)))
}

#[test]
fn reads_every_form_of_retry_after() {
    for (value, expected) in [
        ("20", after(20_000)),
        (" 20 ", after(20_000)),
        ("1.5", after(1_500)),
        ("17ms", after(17)),
        ("8.64s", after(8_640)),
        ("6m0s", after(360_000)),
        ("20m52.666s", after(1_252_666)),
        ("83h10m39.057s", after(299_439_057)),
        ("2025-06-02T15:14:45Z", at(1_748_877_285)),
        ("Mon, 02 Jun 2025 15:14:45 GMT", at(1_748_877_285)),
        ("1748877285", at(1_748_877_285)),
        ("1748877285000", at(1_748_877_285)),
        ("0", None),
        ("0.0", None),
        ("0s", None),
        ("-1", None),
        ("-1s", None),
        ("NaN", None),
        ("inf", None),
        ("-inf", None),
        ("1e300", Some(RetryAfter::After(WAIT_MAX))),
        ("1e15", Some(RetryAfter::After(WAIT_MAX))),
        ("99999999999999999999", Some(RetryAfter::After(WAIT_MAX))),
        ("3000000", Some(RetryAfter::After(WAIT_MAX))),
        ("86400000", Some(RetryAfter::After(WAIT_MAX))),
        ("5000h", Some(RetryAfter::After(WAIT_MAX))),
        ("", None),
        ("soon", None),
        ("99999999999999999999999h", None),
    ] {
        assert_eq!(retry_after(&headers(&[("retry-after", value)])), expected, "{value:?}");
    }
}

#[test]
fn a_header_for_a_wait_is_known_by_the_parts_of_its_name() {
    for (name, value, expected) in [
        ("x-ratelimit-retry-after", "90", after(90_000)),
        ("x-retry-in", "90", after(90_000)),
        ("cf-retry-after", "90", after(90_000)),
        ("msh-cooldown-seconds", "90", after(90_000)),
        ("x-cooldown", "90", after(90_000)),
        ("x-backoff-ms", "90000", after(90_000)),
        ("x-wait-seconds", "90", after(90_000)),
        ("retry-after-seconds", "90", after(90_000)),
        ("x-foo-retry-after-ms", "1500", after(1_500)),
        ("x-retry-at", "2025-06-02T15:14:45Z", at(1_748_877_285)),
        ("x-retry-count", "3", None),
        ("x-retry-attempts", "3", None),
        ("x-should-retry", "true", None),
        ("x-retry-limit", "3", None),
        ("x-await-time", "90", None),
        ("x-cooldown-id", "90", None),
    ] {
        assert_eq!(stated(&headers(&[(name, value)])), expected, "{name}");
    }
}

#[test]
fn prefers_milliseconds_then_seconds_then_the_reset_of_what_is_used_up() {
    let reset = [("x-ratelimit-remaining-tokens", "0"), ("x-ratelimit-reset-tokens", "6m0s")];
    for (more, expected) in [
        (&[("retry-after-ms", "1200"), ("retry-after", "30")][..], after(1_200)),
        (&[("retry-after-ms", "0"), ("retry-after", "1")], after(1_000)),
        (&[("retry-after-ms", "nonsense"), ("retry-after", "1")], after(1_000)),
        (&[("retry-after", "30")], after(30_000)),
        (&[("retry-after", "30, 30")], after(30_000)),
        (&[("retry-after", "-30")], after(360_000)),
        (&[], after(360_000)),
    ] {
        let all: Vec<_> = reset.iter().chain(more).copied().collect();
        assert_eq!(retry_after(&headers(&all)), expected, "{more:?}");
    }
}

#[test]
fn waits_for_the_latest_reset_and_only_for_limits_that_are_used_up() {
    for (pairs, expected) in [
        (
            &[
                ("x-ratelimit-remaining-requests", "0"),
                ("x-ratelimit-reset-requests", "12ms"),
                ("x-ratelimit-remaining-tokens", "0"),
                ("x-ratelimit-reset-tokens", "8.64s"),
            ][..],
            after(8_640),
        ),
        (&[("x-ratelimit-remaining-requests", "14"), ("x-ratelimit-reset-requests", "12s")], None),
        // Azure, of limits it does not know.
        (&[("x-ratelimit-remaining-tokens", "-1"), ("x-ratelimit-reset-tokens", "0")], None),
        (&[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "1754667660000")], at(1_754_667_660)),
        (
            &[
                ("anthropic-ratelimit-tokens-remaining", "0"),
                ("anthropic-ratelimit-tokens-reset", "2025-06-02T15:14:45Z"),
                ("anthropic-ratelimit-requests-remaining", "7"),
                ("anthropic-ratelimit-requests-reset", "2025-06-02T16:14:45Z"),
            ],
            at(1_748_877_285),
        ),
        (&[("ratelimitbysize-remaining", "0"), ("ratelimitbysize-reset", "17")], after(17_000)),
        (&[("x-ratelimit-remaining-tokens", "0")], None),
        // Of a limit of which nothing else is said.
        (&[("x-ratelimit-reset", "30")], after(30_000)),
        (&[("x-ratelimit-reset-after", "1.5")], after(1_500)),
        (&[("anthropic-ratelimit-unified-reset", "1748877285")], at(1_748_877_285)),
        (
            &[
                ("anthropic-ratelimit-unified-5h-status", "rejected"),
                ("anthropic-ratelimit-unified-5h-reset", "1748877285"),
                ("anthropic-ratelimit-unified-7d-status", "allowed"),
                ("anthropic-ratelimit-unified-7d-reset", "1749977285"),
            ],
            at(1_748_877_285),
        ),
        (&[("ratelimit", "limit=100, remaining=0, reset=50")], after(50_000)),
        (&[("ratelimit", "\"default\";r=0;t=17")], after(17_000)),
        (&[("ratelimit", "\"default\";r=4;t=17")], None),
        (&[("x-retry-after", "9")], after(9_000)),
        (&[("x-ms-retry-after-ms", "1500")], after(1_500)),
    ] {
        assert_eq!(retry_after(&headers(pairs)), expected, "{pairs:?}");
    }
}

#[test]
fn reads_the_wait_out_of_a_message() {
    for (message, expected) in [
        ("Rate limit reached. Please try again in 20s. Contact us", after(20_000)),
        ("Please try again in 1m2.5s.", after(62_500)),
        ("please TRY AGAIN IN 18.642s", after(18_642)),
        ("Please retry in 48.939935699s.", Some(RetryAfter::After(Duration::new(48, 939_935_699)))),
        ("try again in 250ms", after(250)),
        ("try again in 49m14.4s", after(2_954_400)),
        ("Retry after 30 seconds.", after(30_000)),
        ("Please try again in 5 minutes, or pay.", after(300_000)),
        ("Please try again in 30", None),
        ("Please try again later", None),
        ("try again in a moment", None),
        ("try again in ", None),
        ("", None),
    ] {
        assert_eq!(in_words(message, None, Zone::UTC), expected, "{message:?}");
    }
}

#[test]
fn reads_the_date() {
    let known = headers(&[("date", "Mon, 02 Jun 2025 15:14:45 GMT")]);
    assert_eq!(date(&known).map(RetryAfter::At), at(1_748_877_285));
    assert_eq!(date(&headers(&[])), None);
}

#[test]
fn knows_an_event_stream_by_its_type() {
    for (value, expected) in [
        ("text/event-stream", true),
        ("text/event-stream;charset=UTF-8", true),
        ("Text/Event-Stream; charset=utf-8", true),
        ("application/json", false),
        ("text/event", false),
    ] {
        assert_eq!(is_event_stream(&headers(&[("content-type", value)])), expected, "{value}");
    }
    assert!(!is_event_stream(&HeaderMap::new()));
}

proptest! {
    #[test]
    fn any_value_is_taken_and_no_wait_is_absurd(value in "\\PC{0,40}", number in any::<f64>()) {
        for text in [value, number.to_string()] {
            in_words(&format!("try again in {text}"), None, Zone::UTC);
            if let Some(RetryAfter::After(wait)) = parse(&text) {
                prop_assert!(wait > Duration::ZERO && wait <= WAIT_MAX);
            }
        }
    }
}
