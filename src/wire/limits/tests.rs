use std::time::Duration;

use http::{HeaderName, HeaderValue};
use proptest::prelude::*;

use super::*;

/// When the tables' responses were read: 2025-06-02T15:14:45Z.
const NOW: Duration = Duration::from_secs(1_748_877_285);

fn headers<'h>(pairs: impl IntoIterator<Item = (&'h str, &'h str)>) -> HeaderMap {
    let pair = |(name, value): (&str, &str)| {
        (HeaderName::try_from(name).expect("a name"), HeaderValue::try_from(value).expect("a value"))
    };
    pairs.into_iter().map(pair).collect()
}

fn read(pairs: &[(&str, &str)]) -> Limits {
    limits(&headers(pairs.iter().copied()), SystemTime::UNIX_EPOCH + NOW)
}

#[expect(clippy::unnecessary_wraps, reason = "what is read")]
fn gauge(remaining: u64, limit: u64, reset: Option<u64>) -> Option<Gauge> {
    Some(Gauge { reset: reset.map(Duration::from_millis), ..Gauge::new(limit, remaining) })
}

#[test]
fn every_providers_form_is_read() {
    let openai = [
        ("x-ratelimit-limit-requests", "10000"),
        ("x-ratelimit-remaining-requests", "9999"),
        ("x-ratelimit-reset-requests", "6ms"),
        ("x-ratelimit-limit-tokens", "200000"),
        ("x-ratelimit-remaining-tokens", "199227"),
        ("x-ratelimit-reset-tokens", "1m2.5s"),
        ("x-ratelimit-limit-input-images", "50000"),
        ("x-ratelimit-remaining-input-images", "0"),
    ];
    let groq = [
        ("x-ratelimit-limit-requests", "14400"),
        ("x-ratelimit-remaining-requests", "14397"),
        ("x-ratelimit-reset-requests", "17.399999999s"),
    ];
    let anthropic = [
        ("anthropic-ratelimit-requests-limit", "4000"),
        ("anthropic-ratelimit-requests-remaining", "3999"),
        ("anthropic-ratelimit-requests-reset", "2025-06-02T15:14:46Z"),
        ("anthropic-ratelimit-input-tokens-limit", "400000"),
        ("anthropic-ratelimit-input-tokens-remaining", "300000"),
        ("anthropic-ratelimit-input-tokens-reset", "2025-06-02T15:15:48Z"),
        ("anthropic-ratelimit-output-tokens-limit", "80000"),
        ("anthropic-ratelimit-output-tokens-remaining", "40000"),
        ("anthropic-ratelimit-output-tokens-reset", "2025-06-02T15:15:15Z"),
        ("anthropic-ratelimit-tokens-limit", "480000"),
        ("anthropic-ratelimit-tokens-remaining", "340000"),
        ("anthropic-ratelimit-tokens-reset", "2025-06-02T15:15:48Z"),
    ];
    let anthropic_as_openai = [
        ("x-ratelimit-requests", "4000"),
        ("x-ratelimit-remaining-requests", "3999"),
        ("x-ratelimit-reset-requests", "0s"),
    ];
    let azure = [
        ("x-ratelimit-limit-requests", "250"),
        ("x-ratelimit-remaining-requests", "249"),
        ("x-ratelimit-reset-requests", "1"),
        ("x-ratelimit-limit-tokens", "250000"),
        ("x-ratelimit-remaining-tokens", "249861"),
        ("x-ratelimit-reset-tokens", "0"),
    ];
    let azure_unknown =
        [("x-ratelimit-limit-tokens", "-1"), ("x-ratelimit-remaining-tokens", "-1"), ("x-ratelimit-reset-tokens", "0")];
    let mistral = [
        ("x-ratelimit-limit-req-minute", "120"),
        ("x-ratelimit-remaining-req-minute", "119"),
        ("x-ratelimit-limit-tokens-minute", "2000000"),
        ("x-ratelimit-remaining-tokens-minute", "1999147"),
        ("x-ratelimit-limit-tokens-month", "10000000000"),
        ("x-ratelimit-remaining-tokens-month", "1"),
        ("x-ratelimit-tokens-query-cost", "107"),
    ];
    let mistral_older = [
        ("ratelimitbysize-limit", "500000"),
        ("ratelimitbysize-remaining", "401381"),
        ("ratelimitbysize-reset", "33"),
        ("ratelimitbysize-query-cost", "32010"),
        ("x-ratelimitbysize-limit-minute", "500000"),
        ("x-ratelimitbysize-remaining-minute", "401381"),
        ("x-ratelimitbysize-limit-month", "1000000000"),
        ("x-ratelimitbysize-remaining-month", "7"),
    ];
    let together = [
        ("x-ratelimit-limit", "10"),
        ("x-ratelimit-remaining", "9"),
        ("x-ratelimit-reset", "2"),
        ("x-ratelimit-limit-tokens", "3000"),
        ("x-ratelimit-remaining-tokens", "1500"),
    ];
    let openrouter =
        [("x-ratelimit-limit", "20"), ("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "1748877315500")];
    let xai = [
        ("x-ratelimit-limit-requests", "1800"),
        ("x-ratelimit-remaining-requests", "1700"),
        ("x-ratelimit-limit-tokens", "10000000"),
        ("x-ratelimit-remaining-tokens", "10000000"),
    ];
    for (name, pairs, requests, tokens) in [
        ("openai", &openai[..], gauge(9_999, 10_000, Some(6)), gauge(199_227, 200_000, Some(62_500))),
        (
            "groq",
            &groq,
            Some(Gauge { reset: Some(Duration::new(17, 399_999_999)), ..Gauge::new(14_400, 14_397) }),
            None,
        ),
        ("anthropic", &anthropic, gauge(3_999, 4_000, Some(1_000)), gauge(40_000, 80_000, Some(30_000))),
        ("azure", &azure, gauge(249, 250, Some(1_000)), gauge(249_861, 250_000, None)),
        ("azure, unknown", &azure_unknown, None, None),
        ("mistral", &mistral, gauge(119, 120, None), gauge(1_999_147, 2_000_000, None)),
        ("mistral, older", &mistral_older, None, gauge(401_381, 500_000, Some(33_000))),
        ("together", &together, gauge(9, 10, Some(2_000)), gauge(1_500, 3_000, None)),
        ("openrouter", &openrouter, gauge(0, 20, Some(30_500)), None),
        ("anthropic, as openai", &anthropic_as_openai, gauge(3_999, 4_000, None), None),
        ("xai", &xai, gauge(1_700, 1_800, None), gauge(10_000_000, 10_000_000, None)),
        ("nobody", &[("content-type", "text/plain"), ("x-remaining-patience", "3")], None, None),
    ] {
        assert_eq!(read(pairs), Limits { requests, tokens, ..Limits::default() }, "{name}");
    }
}

#[test]
fn a_limit_that_lies_or_is_over_says_nothing_or_what_can_be_true() {
    for (limit, remaining, reset, expected) in [
        ("10", "19", "2", gauge(10, 10, Some(2_000))),
        ("10", "-1", "2", None),
        ("-10", "1", "2", None),
        ("0", "0", "2", None),
        ("10", "NaN", "2", None),
        ("inf", "3", "2", None),
        ("10", "many", "2", None),
        ("10", "", "2", None),
        ("1e300", "1e299", "2", None),
        ("10", "4.7", "2", gauge(4, 10, Some(2_000))),
        ("10", "4", "", gauge(4, 10, None)),
        ("10", "4", "soon", gauge(4, 10, None)),
        ("10", "4", "-5", gauge(4, 10, None)),
        ("10", "4", "NaN", gauge(4, 10, None)),
        // Ended by its own date; and too far off to be a limit's date.
        ("10", "0", "2025-06-02T15:14:44Z", None),
        ("10", "0", "2031-06-02T15:14:44Z", gauge(0, 10, None)),
        ("10", "0", "1748877284", None),
        ("10", "0", "1748877295", gauge(0, 10, Some(10_000))),
        ("10", "0", "83h10m39.057s", gauge(0, 10, Some(299_439_057))),
        ("10", "0", "5000h", gauge(0, 10, None)),
    ] {
        let pairs = [
            ("x-ratelimit-limit-requests", limit),
            ("x-ratelimit-remaining-requests", remaining),
            ("x-ratelimit-reset-requests", reset),
        ];
        assert_eq!(read(&pairs), Limits { requests: expected, ..Limits::default() }, "{pairs:?}");
    }
    assert!(read(&[("x-ratelimit-remaining-requests", "5")]).is_empty(), "of a limit that is not known");
    assert!(read(&[("x-ratelimit-limit-requests", "5")]).is_empty(), "of which nobody says what is left");
}

#[test]
fn a_date_is_read_against_the_responses_own() {
    let pairs = [
        ("date", "Mon, 02 Jun 2025 15:14:00 GMT"),
        ("anthropic-ratelimit-requests-limit", "50"),
        ("anthropic-ratelimit-requests-remaining", "49"),
        ("anthropic-ratelimit-requests-reset", "2025-06-02T15:14:20Z"),
    ];
    assert_eq!(read(&pairs).requests, gauge(49, 50, Some(20_000)), "by our clock it would be over");
}

#[test]
fn a_limit_is_of_the_time_that_its_name_says() {
    let told = |limit, window| Some(Gauge { window: Duration::from_secs(window), ..Gauge::new(limit, 1) });
    for (names, limit, expected) in [
        (["requests", "-1s"], 5, Limits { requests_short: told(5, 1), ..Limits::default() }),
        (["requests", "-second"], 5, Limits { requests_short: told(5, 1), ..Limits::default() }),
        (["req", "-10-second"], 9, Limits { requests_short: told(9, 10), ..Limits::default() }),
        (["req", "-second"], 2, Limits { requests_short: told(2, 1), ..Limits::default() }),
        (["tokens", "-10s"], 800, Limits { tokens_short: told(800, 10), ..Limits::default() }),
        (["tokens", "-1m"], 800, Limits { tokens: told(800, 60), ..Limits::default() }),
        (["requests", "-hour"], 5, Limits::default()),
        (["requests", "-1d"], 5, Limits::default()),
        (["requests", "-0s"], 5, Limits::default()),
        (["requests", "-2m"], 5, Limits::default()),
        (["requests", "s"], 5, Limits::default()),
        (["requests", "-99999999999999999999s"], 5, Limits::default()),
    ] {
        let [of, within] = names;
        let name = |what: &str| format!("x-ratelimit-{what}-{of}{within}");
        let (left, most, limit) = (name("remaining"), name("limit"), limit.to_string());
        let pairs = [(most.as_str(), limit.as_str()), (left.as_str(), "1")];
        assert_eq!(read(&pairs), expected, "{names:?}");
    }
    let both = read(&[
        ("x-ratelimit-limit-requests-1s", "5"),
        ("x-ratelimit-remaining-requests-1s", "4"),
        ("x-ratelimit-limit-requests", "100"),
        ("x-ratelimit-remaining-requests", "10"),
    ]);
    assert_eq!((both.requests.map(|it| it.limit), both.requests_short.map(|it| it.limit)), (Some(100), Some(5)));
}

/// Recorded, and not of about a minute, or not of requests or tokens.
const NOT_READ: [&str; 2] = ["month", "input-images"];

#[test]
fn every_limit_of_recorded_answers_is_read() {
    let mut found = 0;
    for case in crate::wire::tests::cases() {
        let Some(pairs) = case["response"]["headers"].as_object() else { continue };
        // Without the response's date no limit had ended.
        let pairs = pairs.iter().filter(|(name, _)| *name != "date");
        let headers = headers(pairs.filter_map(|(name, value)| Some((name.as_str(), value.as_str()?))));
        let told = headers.iter().filter(|(name, value)| {
            let name = name.as_str();
            let known = !NOT_READ.iter().any(|part| name.contains(part));
            known && name.contains("ratelimit") && name.contains("remaining") && *value != "-1"
        });
        for (name, value) in told {
            let read = NAMES.iter().filter_map(|names| Some((names, window_of(name.as_str(), names.remaining)?)));
            let gauges: Vec<Gauge> =
                read.filter_map(|(names, said)| super::gauge(names, said, &headers, SystemTime::UNIX_EPOCH)).collect();
            let [gauge] = gauges[..] else { panic!("{}: {name}: {gauges:?}", case["case"]) };
            let said: u64 = value.to_str().expect("a text").parse().expect("a number");
            assert_eq!(gauge.remaining, said.min(gauge.limit), "{}: {name}", case["case"]);
            found += 1;
        }
    }
    assert!(found > 5, "only {found}");
}

proptest! {
    #[test]
    fn no_value_makes_a_limit_absurd(values in prop::collection::vec(("\\PC{0,12}", any::<f64>()), 3 * NAMES.len())) {
        let mut pairs = HeaderMap::new();
        for (names, values) in NAMES.iter().zip(values.chunks(3)) {
            for (name, (text, number)) in [names.limit, names.remaining, names.reset].into_iter().zip(values) {
                let value = if number.is_sign_negative() { text.clone() } else { number.to_string() };
                if let Ok(value) = HeaderValue::try_from(value) {
                    pairs.insert(name, value);
                }
            }
        }
        let limits = limits(&pairs, SystemTime::UNIX_EPOCH + NOW);
        for gauge in limits.requests.into_iter().chain(limits.tokens) {
            prop_assert!(gauge.limit > 0 && gauge.remaining <= gauge.limit);
            prop_assert!(gauge.reset.is_none_or(|reset| reset <= WAIT_MAX));
        }
    }
}

#[test]
fn the_words_of_a_refusal_name_its_limit() {
    let tokens = |limit| Some(NamedLimit { tokens: true, limit, window: MINUTE });
    let requests = |limit| Some(NamedLimit { tokens: false, limit, window: MINUTE });
    let within =
        |tokens, limit, window| Some(NamedLimit { tokens, limit: Some(limit), window: Duration::from_secs(window) });
    for (words, expected) in [
        (
            "Rate limit reached for gpt-4o on tokens per min (TPM): Limit 30000, Used 14567, Requested 24754.",
            tokens(Some(30_000)),
        ),
        ("Rate limit reached for x on requests per min (RPM): Limit 3, Used 3, Requested 1.", requests(Some(3))),
        ("exceed the rate limit for your organization of 50,000 input tokens per minute", tokens(Some(50_000))),
        ("Rate limit reached: maximum of 30000 tokens per minute. Try again in 20s.", tokens(Some(30_000))),
        ("You hit the TPM limit of this key", tokens(None)),
        ("the rate limit of 8,000 output tokens per minute", None),
        ("10 requests per minute and 1000 tokens per minute are the most", None),
        ("on requests per day (RPD): Limit 1000, Used 1000", None),
        ("Too many requests", None),
        ("limit 0 tokens per minute", tokens(None)),
        ("limit 99999999999999999999999 tokens per minute", tokens(None)),
        ("Rate limit exceeded: 2 requests per second", within(false, 2, 1)),
        ("You may make 1 request every 10 seconds", within(false, 1, 10)),
        ("the most are 20 calls/s", within(false, 20, 1)),
        ("Requests rate limit exceeded (RPS): Limit 5", within(false, 5, 1)),
        ("5,000 tokens per sec are the most", within(true, 5_000, 1)),
        ("3 requests per 2 minutes", None),
        ("2 requests per second and 100 requests per minute are the most", None),
        ("1000 requests per day", None),
        ("60 requests a minute", requests(Some(60))),
    ] {
        assert_eq!(named(words), expected, "{words}");
    }
}
