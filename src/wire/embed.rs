//! Embeddings: texts out, vectors back, in the dialects that have them.
//!
//! Input: texts and an answer's whole body. Output: a request's body and one vector a text, in the texts' order. An
//! answer with a vector too few, of another length or with a number that is not finite is a failure: a caller that
//! stored it would notice much later.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

use super::draft::{broken, unusable};
use super::encoded::Encoded;
use super::flavour::Flavour;
use super::json::{Scalar, parse, says_something};
use super::model::Model;
use super::names::Names;
use super::request::{Each, Fields, Notes, bad, headers, unsupported, written};
use super::{classify, gemini};
use crate::words::{Dialect, EmbedRequest, Failure, FailureClass, Json, Usage, base64};

/// The longest answer: 2 048 texts, the most that any provider takes at once, of 3 072 numbers at 24 bytes are 151 MB.
pub const EMBED_BYTES_MAX: usize = 256 << 20;

/// The vectors of one answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Embedded {
    /// One for each text, in the texts' order.
    pub vectors: Vec<Vec<f32>>,
    /// Its tokens, if the provider counted them.
    pub usage: Option<Usage>,
    /// The model's name as the provider spelled it.
    pub model: Option<Arc<str>>,
}

/// Encodes a request for vectors. Numbers are asked for as the provider sends them by itself: base64 would be a third
/// of the bytes, but gateways that pass everything else choke on it.
///
/// # Errors
///
/// `Unsupported` where the dialect has no embeddings.
pub fn encode_embed<'a>(
    dialect: Dialect,
    flavour: &Flavour,
    request: &EmbedRequest,
    model: impl Into<Model<'a>>,
) -> Result<Encoded, Failure> {
    let model = model.into();
    let ours = request.extra_dialect.is_none_or(|theirs| dialect.shares_fields(theirs));
    let mut notes = Notes::default();
    let extra = Some(&request.extra).filter(|extra| ours && !extra.is_empty());
    notes.dropped_extra(request.extra.keys().map(String::as_str).filter(|_| !ours));
    let body = Body { dialect, request, model: model.name, extra };
    let path = match dialect {
        Dialect::OpenAiChat => flavour.embeddings_path(model.name),
        Dialect::Gemini => gemini::path(model.name, "batchEmbedContents")?.into(),
        Dialect::Ollama => "/api/embed".into(),
        Dialect::OpenAiResponses | Dialect::AnthropicMessages | Dialect::Vertex | Dialect::Function => {
            return Err(unsupported("embeddings"));
        }
    };
    if !request.tokens.is_empty() && dialect != Dialect::OpenAiChat {
        return Err(unsupported("tokens"));
    }
    let texts: usize = request.inputs.iter().map(String::len).sum();
    let tokens: usize = request.tokens.iter().map(|tokens| 8 * tokens.len()).sum();
    let mut buffer = Vec::with_capacity(tokens + texts + texts / 8 + 96 * request.asked() + 256);
    serde_json::to_writer(&mut buffer, &body).map_err(|problem| bad("request", &problem.to_string()))?;
    Ok(Encoded {
        path,
        headers: headers(false),
        body: buffer.into(),
        notes: notes.0,
        stops: Vec::new(),
        names: Names::default(),
        words: None,
    })
}

struct Body<'a> {
    dialect: Dialect,
    request: &'a EmbedRequest,
    model: &'a str,
    extra: Option<&'a BTreeMap<String, Json>>,
}

impl Serialize for Body<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { request, model, extra, .. } = *self;
        let mut body = Fields::new(serializer.serialize_map(None)?);
        if self.dialect == Dialect::Gemini {
            body.put("requests", &Each(|| request.inputs.iter().map(|text| One { body: self, text })))?;
            return body.end([]);
        }
        body.put("model", model)?;
        match &request.tokens[..] {
            [] => body.put("input", &request.inputs)?,
            tokens => body.put("input", tokens)?,
        }
        body.put_some("dimensions", request.dimensions.as_ref())?;
        body.end(extra.into_iter().flat_map(written))
    }
}

/// One text of a batch in Gemini's dialect, which names the model and its settings with each.
struct One<'a> {
    body: &'a Body<'a>,
    text: &'a str,
}

impl Serialize for One<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Body { request, model, extra, .. } = *self.body;
        let mut one = Fields::new(serializer.serialize_map(None)?);
        one.put("model", &gemini::resource(model))?;
        one.put("content", &Content { parts: [Part { text: self.text }] })?;
        one.put_some("outputDimensionality", request.dimensions.as_ref())?;
        one.end(extra.into_iter().flat_map(written))
    }
}

#[derive(Serialize)]
struct Content<'a> {
    parts: [Part<'a>; 1],
}

#[derive(Serialize)]
struct Part<'a> {
    text: &'a str,
}

/// Decodes the answer to a request; no field means one thing in one dialect and another in the next.
///
/// # Errors
///
/// What the provider reports inside the body, classified; `Cut` where it is no JSON; `Empty` without vectors;
/// `Unusable` where they are not one for each text, all of one length, as long as was asked, with finite numbers.
pub fn decode_embed(body: &[u8], request: &EmbedRequest) -> Result<Embedded, Failure> {
    let text = String::from_utf8_lossy(body);
    let answer: Answer<'_> = parse(&text).map_err(|problem| broken(&text, &problem))?;
    if answer.error.is_some_and(says_something) {
        return Err(classify::in_band(&text));
    }
    let (listed, usage) = (answer.data.or(answer.embeddings), answer.usage.or(answer.usage_metadata));
    let listed = listed.unwrap_or_default();
    if listed.is_empty() {
        let nothing = || Failure::new(FailureClass::Empty, "the answer holds no vectors");
        return Err(classify::recognise(&text).unwrap_or_else(nothing));
    }
    let input = usage.and_then(|usage| usage.prompt_tokens.count().or_else(|| usage.prompt_token_count.count()));
    let input = input.or_else(|| answer.prompt_eval_count.count());
    Ok(Embedded {
        vectors: sorted(listed, request)?,
        usage: input.map(|input| Usage { input, ..Usage::default() }),
        model: Some(answer.model.text()).filter(|model| !model.is_empty()).map(Into::into),
    })
}

/// Puts vectors into the order of their texts, and checks them.
fn sorted(listed: Vec<Entry>, request: &EmbedRequest) -> Result<Vec<Vec<f32>>, Failure> {
    let (count, wanted) = (listed.len(), request.asked());
    if count != wanted {
        return Err(unusable(&format!("{count} vectors came for {wanted} texts")));
    }
    let mut vectors = vec![Vec::new(); wanted];
    for (at, entry) in listed.into_iter().enumerate() {
        let at = entry.index.map_or(Some(at), |index| usize::try_from(index).ok());
        match at.and_then(|at| vectors.get_mut(at)) {
            Some(place) if place.is_empty() => *place = entry.vector,
            _ => return Err(unusable("two vectors came for one text, or one for none")),
        }
    }
    let length = request.dimensions.map_or(vectors[0].len(), |dimensions| dimensions as usize);
    match vectors.iter().find(|vector| vector.is_empty() || vector.len() != length) {
        Some(odd) => Err(unusable(&format!("a vector has {} numbers, and {length} were expected", odd.len()))),
        None if vectors.iter().flatten().all(|number| number.is_finite()) => Ok(vectors),
        None => Err(unusable("a vector holds a number that is not finite")),
    }
}

/// An answer's fields, of all dialects.
#[derive(serde::Deserialize)]
struct Answer<'a> {
    #[serde(borrow)]
    error: Option<&'a RawValue>,
    data: Option<Vec<Entry>>,
    embeddings: Option<Vec<Entry>>,
    #[serde(default, borrow)]
    model: Scalar<'a>,
    #[serde(borrow)]
    usage: Option<Counts<'a>>,
    #[serde(rename = "usageMetadata", borrow)]
    usage_metadata: Option<Counts<'a>>,
    #[serde(default, borrow)]
    prompt_eval_count: Scalar<'a>,
}

#[derive(serde::Deserialize)]
struct Counts<'a> {
    #[serde(default, borrow)]
    prompt_tokens: Scalar<'a>,
    #[serde(default, rename = "promptTokenCount", borrow)]
    prompt_token_count: Scalar<'a>,
}

/// A vector and the number of its text: `{"index": 0, "embedding": …}`, `{"values": …}`, or the bare numbers.
struct Entry {
    index: Option<u64>,
    vector: Vec<f32>,
}

impl<'de> Deserialize<'de> for Entry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(EntryVisitor)
    }
}

struct EntryVisitor;

impl<'de> Visitor<'de> for EntryVisitor {
    type Value = Entry;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a vector")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Entry, A::Error> {
        VectorVisitor.visit_seq(seq).map(|Vector(vector)| Entry { index: None, vector })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entry, A::Error> {
        let mut entry = Entry { index: None, vector: Vec::new() };
        while let Some(key) = map.next_key::<Scalar<'de>>()? {
            match key.text() {
                "index" => entry.index = map.next_value::<Scalar<'de>>()?.count(),
                "embedding" | "values" => entry.vector = map.next_value::<Vector>()?.0,
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(entry)
    }
}

/// Numbers, or their base64: four bytes each, the lowest first.
struct Vector(Vec<f32>);

impl<'de> Deserialize<'de> for Vector {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(VectorVisitor)
    }
}

struct VectorVisitor;

impl<'de> Visitor<'de> for VectorVisitor {
    type Value = Vector;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("numbers, or their base64")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Vector, A::Error> {
        let mut vector = Vec::with_capacity(seq.size_hint().unwrap_or(1_536).min(4_096));
        while let Some(number) = seq.next_element()? {
            vector.push(number);
        }
        Ok(Vector(vector))
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Vector, E> {
        let bytes = base64::decode(text).ok_or_else(|| E::custom("a vector that is no base64"))?;
        let (numbers, rest) = bytes.as_chunks::<4>();
        match rest {
            [] => Ok(Vector(numbers.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect())),
            _ => Err(E::custom("a vector whose last number is cut off")),
        }
    }
}

#[cfg(test)]
mod tests;
