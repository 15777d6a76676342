//! Embeddings as callers ask for them: in OpenAI's form, and in Gemini's for one text or a batch.

use bytes::Bytes;
use serde::ser::SerializeMap as _;
use serde::{Serialize, Serializer};

use super::node::{Node, Object, Read, each};
use super::out::json;
use super::reading::model;
use super::{BadRequest, CallerDialect};
use crate::words::names::Shown;
use crate::words::{EmbedRequest, Embeddings, base64};

/// A caller's request for vectors, understood.
#[derive(Clone, Debug, PartialEq)]
pub struct ParsedEmbedRequest {
    /// The request; its route is the model's name as the caller wrote it.
    pub request: EmbedRequest,
    /// How the vectors are to be written.
    pub form: VectorForm,
    /// How many values of its body were read.
    pub values: usize,
}

/// How vectors are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VectorForm {
    /// OpenAI's, as numbers.
    Numbers,
    /// OpenAI's, as base64: four bytes a number, the lowest first.
    Base64,
    /// Gemini's, of one text.
    One,
    /// Gemini's, of a batch.
    Batch,
}

impl VectorForm {
    /// Returns the dialect of the caller.
    pub const fn caller_dialect(self) -> CallerDialect {
        match self {
            Self::Numbers | Self::Base64 => CallerDialect::OpenAiChat,
            Self::One | Self::Batch => CallerDialect::Gemini,
        }
    }
}

/// Reads a caller's request for vectors; only Gemini's address says which model is asked.
///
/// # Errors
///
/// [`BadRequest`] names the field that cannot be understood.
pub fn read_embed(
    caller_dialect: CallerDialect,
    path_model: Option<&str>,
    body: &Bytes,
) -> Result<ParsedEmbedRequest, BadRequest> {
    let body = &super::text(body)?;
    let (body, values) = Object::parse(body)?;
    let mut asked = match caller_dialect {
        CallerDialect::Gemini => gemini(body, path_model),
        _ => openai(body, path_model),
    }?;
    asked.request.extra_dialect = Some(caller_dialect.dialect());
    asked.values = values;
    Ok(asked)
}

fn openai(mut body: Object<'_>, path_model: Option<&str>) -> Read<ParsedEmbedRequest> {
    let route = model(&mut body, path_model)?;
    let form = match body.text("encoding_format")?.as_deref() {
        None | Some("float") => VectorForm::Numbers,
        Some("base64") => VectorForm::Base64,
        Some(other) => {
            return Err(BadRequest::new("encoding_format", format!("is `{}`; must be float or base64", Shown(other))));
        }
    };
    let (mut inputs, mut tokens) = (Vec::new(), Vec::new());
    match body.need("input", "a string or an array of strings")? {
        Node::Text(text) => inputs.push(text.into()),
        Node::List(list) => match list.first() {
            Some(Node::Number(_)) => tokens.push(self::tokens("input", list)?),
            Some(Node::List(_)) => {
                tokens = each("input", list, |node| self::tokens("", node.list("")?))?;
            }
            _ => inputs = each("input", list, |node| node.text(""))?,
        },
        other => return Err(other.not("input", "must be a string or an array of strings")),
    }
    let dimensions = body.count("dimensions")?;
    let request = EmbedRequest { route, inputs, tokens, dimensions, extra: body.rest(), ..EmbedRequest::default() };
    Ok(ParsedEmbedRequest { request, form, values: 0 })
}

/// Reads a text that is given as its tokens.
fn tokens(key: &str, list: Vec<Node<'_>>) -> Read<Vec<u32>> {
    each(key, list, |node| node.count(""))
}

fn gemini(mut body: Object<'_>, path_model: Option<&str>) -> Read<ParsedEmbedRequest> {
    if !body.has("requests") {
        let (one, input) = one(body, path_model)?;
        let request = EmbedRequest { inputs: vec![input], ..one };
        return Ok(ParsedEmbedRequest { request, form: VectorForm::One, values: 0 });
    }
    let list = body.list("requests")?;
    let mut all = each("requests", list, |node| one(node.object("")?, path_model))?.into_iter();
    let (mut request, first) = all.next().ok_or_else(|| BadRequest::new("requests", "is empty"))?;
    let mut inputs = vec![first];
    for (at, (other, input)) in (1..).zip(all) {
        if other != request {
            let problem = "differs from the first in more than its content; send it by itself";
            return Err(BadRequest::new("", problem).at(at).within("requests"));
        }
        inputs.push(input);
    }
    request.inputs = inputs;
    Ok(ParsedEmbedRequest { request, form: VectorForm::Batch, values: 0 })
}

/// Reads the request for one text, and the text.
fn one(mut body: Object<'_>, path_model: Option<&str>) -> Read<(EmbedRequest, String)> {
    let route = model(&mut body, path_model)?;
    let route = route.strip_prefix("models/").unwrap_or(&route).to_owned();
    let mut content = body.need("content", "an object with parts")?.object("content")?;
    let parts = content.list("parts").and_then(|parts| {
        each("parts", parts, |node| {
            let mut part = node.object("")?;
            part.text("text")?.ok_or_else(|| BadRequest::new("", "is no text; texts alone can be embedded here"))
        })
    });
    let text = parts.map_err(|bad| bad.within("content"))?.concat();
    let dimensions = body.either("outputDimensionality", "output_dimensionality");
    let dimensions = dimensions.map(|node| node.count("outputDimensionality")).transpose()?;
    Ok((EmbedRequest { route, dimensions, extra: body.rest(), ..EmbedRequest::default() }, text))
}

/// Writes vectors in the form that was asked for; `model` is the name as the caller wrote it.
pub fn write_embed(form: VectorForm, model: &str, embeddings: &Embeddings) -> Vec<u8> {
    let vectors = &embeddings.vectors;
    let tokens = embeddings.usage.input;
    let digits = if form == VectorForm::Base64 { 6 } else { 14 };
    let mut out = Vec::with_capacity(256 + vectors.iter().map(|vector| 64 + digits * vector.len()).sum::<usize>());
    match form {
        VectorForm::Numbers | VectorForm::Base64 => {
            let entry = |(index, vector)| OpenAiEntry { index, vector, form };
            let data = vectors.iter().map(Vec::as_slice).enumerate().map(entry).collect();
            let usage = OpenAiUsage { prompt_tokens: tokens, total_tokens: tokens };
            json(&mut out, &OpenAiAnswer { object: "list", data, model, usage });
        }
        VectorForm::One => {
            let embedding = GeminiEntry { values: vectors.first().map(Vec::as_slice).unwrap_or_default() };
            json(&mut out, &GeminiOne { embedding, usage_metadata: GeminiUsage { prompt_token_count: tokens } });
        }
        VectorForm::Batch => {
            let embeddings = vectors.iter().map(|values| GeminiEntry { values }).collect();
            json(&mut out, &GeminiBatch { embeddings, usage_metadata: GeminiUsage { prompt_token_count: tokens } });
        }
    }
    out
}

#[derive(Serialize)]
struct OpenAiAnswer<'a> {
    object: &'static str,
    data: Vec<OpenAiEntry<'a>>,
    model: &'a str,
    usage: OpenAiUsage,
}

#[derive(Serialize)]
struct OpenAiUsage {
    prompt_tokens: u64,
    total_tokens: u64,
}

struct OpenAiEntry<'a> {
    index: usize,
    vector: &'a [f32],
    form: VectorForm,
}

impl Serialize for OpenAiEntry<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut entry = serializer.serialize_map(Some(3))?;
        entry.serialize_entry("object", "embedding")?;
        entry.serialize_entry("index", &self.index)?;
        match self.form {
            VectorForm::Base64 => {
                let bytes: Vec<u8> = self.vector.iter().flat_map(|number| number.to_le_bytes()).collect();
                entry.serialize_entry("embedding", &base64::encode(&bytes))?;
            }
            _ => entry.serialize_entry("embedding", self.vector)?,
        }
        entry.end()
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct GeminiOne<'a> {
    embedding: GeminiEntry<'a>,
    usage_metadata: GeminiUsage,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct GeminiBatch<'a> {
    embeddings: Vec<GeminiEntry<'a>>,
    usage_metadata: GeminiUsage,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct GeminiUsage {
    prompt_token_count: u64,
}

#[derive(Serialize)]
struct GeminiEntry<'a> {
    values: &'a [f32],
}
