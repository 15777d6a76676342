//! A caller's options for its call: in headers or, where its library sends none of its own, in the metadata of the
//! request.
//!
//! Input: headers and a request's extra fields. Output: a call's options; options for this gateway are taken out of the
//! fields, so that they go to no provider. Where both give an option the header counts.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::time::Duration;

use http::HeaderMap;
use serde_json::Value;

use super::access::Hash;
use super::settings::Streams;
use crate::wire::VIA;
use crate::wire::serve::BadRequest;
use crate::words::names::Shown;
use crate::words::{Durable, Hedging, Json, NAME_BYTES_MAX, OnExhausted, Priority, Rule, UnknownName, did_you_mean};

/// How the names of the gateway's options begin.
pub(super) const OURS: &str = "x-standin-";

/// The header of a caller's name for one call. Some SDKs send one of their own, which their retries repeat.
const KEY: &str = "idempotency-key";

/// The headers in which clients' libraries say how many seconds they wait: those of OpenAI's and Anthropic's SDKs for
/// the next byte, and for all, and that of Google's.
const CLIENT_TIMEOUTS: [&str; 3] = ["x-stainless-read-timeout", "x-stainless-timeout", "x-server-timeout"];

/// The options of a call.
#[derive(Debug, Default)]
pub(super) struct CallOptions {
    pub(super) priority: Priority,
    pub(super) deadline: Option<Duration>,
    /// How long its client waits, if that says so.
    pub(super) client_timeout: Option<Duration>,
    pub(super) session: Option<String>,
    pub(super) labels: Vec<String>,
    pub(super) tags: BTreeMap<String, String>,
    pub(super) rule: Option<Rule>,
    pub(super) hedging: Option<Hedging>,
    /// The caller's name for this one call.
    pub(super) key: Option<String>,
    /// Whether it outlives caller and process.
    pub(super) durable: Option<Durable>,
    /// How the call goes on if no target can answer now.
    pub(super) on_exhausted: Option<OnExhausted>,
    /// How a stream is to be delivered.
    pub(super) streams: Option<Streams>,
    /// Whether some of them were in the request.
    pub(super) in_request: bool,
}

impl CallOptions {
    /// Reads them, and takes those in the request out of it.
    pub(super) fn read(headers: &HeaderMap, extra: &mut BTreeMap<String, Json>) -> Result<Self, BadRequest> {
        let mut options = Self::default();
        // Only what may hold one of them is read.
        let metadata = extra.get("metadata").filter(|metadata| metadata.as_str().contains(OURS));
        if let Some(Value::Object(mut metadata)) = metadata.map(Json::value) {
            let names: Vec<String> = metadata.keys().filter(|name| name.starts_with(OURS)).cloned().collect();
            options.in_request = !names.is_empty();
            for name in names {
                let field = format!("metadata.{name}");
                match metadata.remove(&name) {
                    Some(Value::String(text)) => options.take(&name, text.trim(), &field)?,
                    _ => return Err(bad(&field, "must be a string")),
                }
            }
            if metadata.is_empty() {
                extra.remove("metadata");
            } else if options.in_request {
                extra.insert("metadata".to_owned(), Value::Object(metadata).into());
            }
        }
        // What is no time there (`NOT_GIVEN`, 0) says nothing: no caller has written it.
        let seconds = CLIENT_TIMEOUTS.iter().filter_map(|name| headers.get(*name)?.to_str().ok()?.trim().parse().ok());
        let waits = seconds.filter_map(|seconds| Duration::try_from_secs_f64(seconds).ok());
        options.client_timeout = waits.filter(|waits| !waits.is_zero()).min();
        if let Some(key) = headers.get(KEY).filter(|key| !key.is_empty()) {
            let text = key.to_str().map_err(|_| bad(KEY, "is no text"))?;
            options.key = Some(in_short(text.to_owned()));
        }
        for (name, value) in headers.iter().filter(|(name, _)| name.as_str().starts_with(OURS) && *name != VIA) {
            let text = value.to_str().map_err(|_| bad(name.as_str(), "is no text"))?;
            options.take(name.as_str(), text.trim(), name.as_str())?;
        }
        Ok(options)
    }

    /// Returns what cannot be had where vectors are asked for.
    pub(super) fn beyond_vectors(&self) -> Option<BadRequest> {
        let problem = "is not kept with vectors: leave it out, the same texts give the same vectors";
        let is_durable = self.durable.is_some_and(|durable| durable != Durable::No);
        let field = self.key.as_ref().map(|_| KEY).or(is_durable.then_some("x-standin-durable"))?;
        Some(bad(field, problem))
    }

    /// Takes one; `field` is its place.
    fn take(&mut self, name: &str, text: &str, field: &str) -> Result<(), BadRequest> {
        let option = &name[OURS.len()..];
        let names: Vec<&str> = if option == "labels" { text.split(',').collect() } else { vec![option, text] };
        // A session's name may be of any length: its hash is kept.
        if option != "session"
            && let Some(name) = names.iter().find(|name| name.len() > NAME_BYTES_MAX)
        {
            return Err(bad(
                &Shown(field).to_string(),
                &format!("has {} bytes; {NAME_BYTES_MAX} are the most", name.len()),
            ));
        }
        match option {
            "priority" => self.priority = chosen(field, text)?,
            "deadline" => {
                let seconds = text.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
                let deadline = seconds.or_else(|| humantime::parse_duration(text).ok());
                let deadline = deadline.filter(|deadline| !deadline.is_zero());
                let problem = "must be seconds, or a time such as `90s` or `2m`";
                self.deadline = Some(deadline.ok_or_else(|| bad(field, problem))?);
            }
            "session" => self.session = Some(text.to_owned()),
            "labels" => self.labels.extend(text.split(',').map(|label| label.trim().to_owned())),
            "strategy" => self.rule = Some(chosen(field, text)?),
            "hedging" => self.hedging = Some(chosen(field, text)?),
            "on-exhausted" => self.on_exhausted = Some(chosen(field, text)?),
            "durable" => {
                self.durable = Some(match text {
                    "true" => Durable::Again,
                    "false" => Durable::No,
                    name => name.parse().map_err(|_| bad(field, "must be true, false, again or once"))?,
                });
            }
            "stream" => {
                self.streams = Some(match text {
                    "live" => Streams::Live,
                    "buffered" => Streams::Buffered,
                    _ => return Err(bad(field, "must be live or buffered")),
                });
            }
            option => match option.strip_prefix("tag-") {
                Some(tag) => {
                    self.tags.insert(tag.to_owned(), text.to_owned());
                }
                None => {
                    let known = "priority, deadline, session, labels, strategy, hedging, on-exhausted, durable, stream, tag-NAME";
                    return Err(bad(field, &format!("is unknown; there are {OURS}: {known}")));
                }
            },
        }
        Ok(())
    }
}

/// Returns a name, or its hash if it is longer than the limit.
pub(super) fn in_short(name: String) -> String {
    if name.len() > NAME_BYTES_MAX { Hash::of(&name).to_string() } else { name }
}

fn bad(field: &str, problem: &str) -> BadRequest {
    BadRequest::new(field, problem)
}

/// Reads a choice by its name.
fn chosen<T: FromStr<Err = UnknownName>>(field: &str, text: &str) -> Result<T, BadRequest> {
    text.parse().map_err(|unknown: UnknownName| {
        let near = did_you_mean(text, unknown.known.iter().copied());
        let meant = near.map_or(String::new(), |near| format!("; {near}"));
        bad(field, &format!("{unknown}{meant}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(headers: &[(&'static str, &str)], extra: Value) -> Result<(CallOptions, Value), String> {
        let headers = headers.iter().map(|(name, value)| (http::HeaderName::from_static(name), value.parse().unwrap()));
        let Value::Object(extra) = extra else { unreachable!("an object") };
        let mut extra = extra.into_iter().map(|(name, value)| (name, value.into())).collect();
        let options = CallOptions::read(&headers.collect(), &mut extra);
        let extra: serde_json::Map<_, _> = extra.into_iter().map(|(name, json)| (name, json.value())).collect();
        options.map(|options| (options, extra.into())).map_err(|bad| bad.to_string())
    }

    #[test]
    fn options_are_read_from_headers_and_metadata_and_headers_hold() {
        let metadata = serde_json::json!({"metadata": {
            "x-standin-priority": "batch", "x-standin-strategy": "least-cost", "x-standin-tag-team": "red",
            "mine": "kept",
            "x-standin-hedging": "race",
        }});
        let headers = [("x-standin-priority", "critical"), ("x-standin-deadline", "2m"), ("x-other", "1")];
        let (options, extra) = read(&headers, metadata).expect("good ones");
        assert_eq!((options.priority, options.rule), (Priority::Critical, Some(Rule::LeastCost)));
        assert_eq!(options.hedging, Some(Hedging::Race));
        assert_eq!((options.deadline, options.tags["team"].as_str()), (Some(Duration::from_secs(120)), "red"));
        assert!(options.in_request);
        assert_eq!(extra, serde_json::json!({"metadata": {"mine": "kept"}}));
    }

    #[test]
    fn how_long_a_client_waits_is_read_where_its_library_says_so_and_is_no_deadline() {
        for (headers, expected) in [
            (&[("x-stainless-read-timeout", "12.5")][..], Some(12_500)),
            (&[("x-stainless-timeout", "600"), ("x-stainless-read-timeout", "20.0")], Some(20_000)),
            (&[("x-server-timeout", "30")], Some(30_000)),
            (&[("x-stainless-timeout", "NOT_GIVEN")], None),
            (&[("x-stainless-timeout", "0"), ("x-stainless-read-timeout", "-1")], None),
            (&[], None),
        ] {
            let (options, _) = read(headers, serde_json::json!({})).expect("good ones");
            let expected = expected.map(Duration::from_millis);
            assert_eq!((options.client_timeout, options.deadline), (expected, None), "{headers:?}");
        }
    }

    #[test]
    fn metadata_that_was_for_here_alone_is_gone_and_other_metadata_is_left_alone() {
        let (_, extra) = read(&[], serde_json::json!({"metadata": {"x-standin-session": "s"}})).expect("good ones");
        assert_eq!(extra, serde_json::json!({}));
        for kept in [serde_json::json!({"metadata": {}}), serde_json::json!({"metadata": "text"})] {
            let (options, extra) = read(&[], kept.clone()).expect("good ones");
            assert_eq!((options.in_request, extra), (false, kept));
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused_by_where_it_stood() {
        for (headers, metadata, expected) in [
            (
                &[("x-standin-strategy", "best")][..],
                serde_json::json!({}),
                "x-standin-strategy: must be one of adaptive",
            ),
            (
                &[("x-standin-strategy", "least-csot")],
                serde_json::json!({}),
                "x-standin-strategy: must be one of adaptive, priority, weighted, round-robin, least-latency, \
                 least-cost, least-busy; did you mean `least-cost`?",
            ),
            (
                &[("x-standin-hedging", "off")],
                serde_json::json!({}),
                "x-standin-hedging: must be one of sequential, hedge, race",
            ),
            (
                &[("x-standin-on-exhausted", "park")],
                serde_json::json!({}),
                "x-standin-on-exhausted: must be one of fail, wait, degrade",
            ),
            (&[("x-standin-priorty", "batch")], serde_json::json!({}), "x-standin-priorty: is unknown"),
            (&[], serde_json::json!({"x-standin-deadline": "0"}), "metadata.x-standin-deadline: must be seconds"),
            (&[], serde_json::json!({"x-standin-session": 7}), "metadata.x-standin-session: must be a string"),
        ] {
            let problem = read(headers, serde_json::json!({"metadata": metadata})).expect_err(expected);
            assert!(problem.starts_with(expected), "{problem}");
        }
    }
}
