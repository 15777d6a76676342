//! The sources of an answer, as far as all dialects have them: an address, its title, a quote, and the part of the text
//! that cites it.
//!
//! Input: sources in a provider's dialect, each with a place in the text so far in that dialect's measure. Output:
//! [`Source`]s with places in characters. A place in a document that the caller sent, or a file, has no common form: it
//! is only noted. An answer that passes unchanged keeps its own, and needs none of this.

use std::ops::Range;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::json::{Scalar, loose};
use crate::words::{AssistantPart, Source};

/// The most sources of one answer.
const SOURCES_MAX: usize = 1_000;

/// A place in the text of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
enum CitedRange {
    Unknown,
    Characters(Range<usize>),
    Bytes(Range<usize>),
    /// From a byte on, to the end of the block that is being told.
    Since(usize),
}

/// The sources of an answer as far as they are known.
#[derive(Debug, Default)]
pub(super) struct Sources {
    found: Vec<(Source, CitedRange)>,
    /// Bytes of text so far, and where the block began that is being told.
    bytes: usize,
    block: usize,
    has_lost: bool,
}

impl Sources {
    /// Notes that more of the text has come.
    pub(super) fn told(&mut self, bytes: usize) {
        self.bytes += bytes;
    }

    /// Begins a block of text.
    pub(super) fn begin(&mut self) {
        self.end();
        self.block = self.bytes;
    }

    fn end(&mut self) {
        for (_, place) in &mut self.found {
            if let CitedRange::Since(start) = *place {
                *place = CitedRange::Bytes(start..self.bytes);
            }
        }
    }

    fn add(&mut self, source: Source, place: CitedRange) {
        let is_known =
            |(known, at): &(Source, CitedRange)| *known == source && (*at == place || place == CitedRange::Unknown);
        if self.found.len() < SOURCES_MAX && !self.found.iter().any(is_known) {
            self.found.push((source, place));
        }
    }

    /// Takes annotations as OpenAI has them, in either of its dialects.
    pub(super) fn annotations(&mut self, raw: &RawValue) {
        let Ok(all) = serde_json::from_str::<Vec<&RawValue>>(raw.get()) else { return };
        for raw in all {
            self.annotation(raw);
        }
    }

    /// Takes one of them.
    pub(super) fn annotation(&mut self, raw: &RawValue) {
        // Flat in responses, within a field of its type's name in chat completions.
        let inner = serde_json::from_str::<Annotation<'_>>(raw.get()).ok().and_then(|one| one.url_citation);
        let Some(cited) = inner.or_else(|| serde_json::from_str(raw.get()).ok()) else { return };
        match cited.source() {
            Some(source) => self.add(source, cited.place().map_or(CitedRange::Unknown, CitedRange::Characters)),
            None => self.has_lost = true,
        }
    }

    /// Takes addresses that belong to the answer as a whole.
    pub(super) fn list(&mut self, raw: &RawValue) {
        let Ok(all) = serde_json::from_str::<Vec<&RawValue>>(raw.get()) else { return };
        for raw in all {
            let cited = match serde_json::from_str::<Scalar<'_>>(raw.get()) {
                Ok(Scalar::Text(url)) => Some(Source { url: url.into_owned(), ..Source::default() }),
                _ => serde_json::from_str::<Reference<'_>>(raw.get()).ok().and_then(|cited| cited.source()),
            };
            self.of_all(cited);
        }
    }

    /// Takes an address that belongs to the answer as a whole.
    fn of_all(&mut self, source: Option<Source>) {
        let Some(source) = source.filter(|source| source.url.contains("://")) else { return };
        // The same address with its title says more.
        match self.found.iter_mut().find(|(known, _)| known.url == source.url) {
            Some((known, _)) if known.title.is_empty() => known.title = source.title,
            Some(_) => {}
            None => self.add(source, CitedRange::Unknown),
        }
    }

    /// Takes a citation of Anthropic's, which is of the block that is being told.
    pub(super) fn citation(&mut self, raw: &RawValue) {
        match serde_json::from_str::<Reference<'_>>(raw.get()).ok().and_then(|cited| cited.source()) {
            Some(source) => self.add(source, CitedRange::Since(self.block)),
            None => self.has_lost = true,
        }
    }

    /// Takes several of them.
    pub(super) fn citations(&mut self, raw: &RawValue) {
        let Ok(all) = serde_json::from_str::<Vec<&RawValue>>(raw.get()) else { return };
        for raw in all {
            self.citation(raw);
        }
    }

    /// Takes the grounding of an answer, in Google's form.
    pub(super) fn grounding(&mut self, raw: &RawValue) {
        let Ok(grounding) = serde_json::from_str::<Grounding<'_>>(raw.get()) else { return };
        let chunks = grounding.grounding_chunks.unwrap_or_default();
        let found: Vec<Option<Source>> = chunks.iter().map(Chunk::source).collect();
        self.has_lost |= found.iter().any(Option::is_none);
        let supports = grounding.grounding_supports.unwrap_or_default();
        let mut used = vec![false; found.len()];
        for support in &supports {
            let segment = support.segment.as_ref();
            let place = segment.and_then(Reference::place).map_or(CitedRange::Unknown, CitedRange::Bytes);
            for at in support.grounding_chunk_indices.iter().flatten() {
                if let Some(Some(source)) = found.get(*at) {
                    used[*at] = true;
                    self.add(source.clone(), place.clone());
                }
            }
        }
        for (source, used) in found.into_iter().zip(used) {
            if let (Some(source), false) = (source, used) {
                self.add(source, CitedRange::Unknown);
            }
        }
    }

    /// Takes what the text repeats of others, in Google's form.
    pub(super) fn attributions(&mut self, raw: &RawValue) {
        let Ok(Attributions { citation_sources, citations }) = serde_json::from_str(raw.get()) else { return };
        for cited in citation_sources.into_iter().chain(citations).flatten() {
            match cited.source() {
                Some(source) => self.add(source, cited.place().map_or(CitedRange::Unknown, CitedRange::Bytes)),
                None => self.has_lost = true,
            }
        }
    }

    /// Takes the addresses that were fetched for the answer, in Google's form.
    pub(super) fn fetched(&mut self, raw: &RawValue) {
        let Ok(Fetched { url_metadata }) = serde_json::from_str(raw.get()) else { return };
        for page in url_metadata.into_iter().flatten() {
            if matches!(page.url_retrieval_status.text(), "" | "URL_RETRIEVAL_STATUS_SUCCESS") {
                let url = page.retrieved_url.text().to_owned();
                self.of_all(Some(Source { url, ..Source::default() }));
            }
        }
    }

    /// Returns them, each with its place in the text of these parts; and whether some could not be expressed.
    pub(super) fn finish(mut self, parts: &[AssistantPart]) -> (Vec<Source>, bool) {
        self.end();
        if self.found.is_empty() {
            return (Vec::new(), self.has_lost);
        }
        let text: String = parts.iter().filter_map(AssistantPart::as_text).collect();
        let all = text.chars().count();
        let characters = |bytes: usize| text.char_indices().take_while(|(at, _)| *at < bytes).count();
        let placed = self.found.into_iter().map(|(source, place)| {
            let place = match place {
                CitedRange::Unknown | CitedRange::Since(_) => 0..all,
                CitedRange::Characters(place) => place.start.min(all)..place.end.min(all),
                CitedRange::Bytes(place) => characters(place.start)..characters(place.end),
            };
            Source { place: place.start..place.end.max(place.start), ..source }
        });
        (placed.collect(), self.has_lost)
    }
}

#[derive(Deserialize)]
struct Annotation<'a> {
    #[serde(borrow, default)]
    url_citation: Option<Reference<'a>>,
}

loose! {
    /// The fields of a source, under all their names.
    #[derive(Deserialize, Default)]
    struct Reference<'a> {
        url: Scalar<'a>,
        uri: Scalar<'a>,
        link: Scalar<'a>,
        source: Scalar<'a>,
        title: Scalar<'a>,
        cited_text: Scalar<'a>,
        content: Scalar<'a>,
        #[serde(alias = "startIndex")]
        start_index: Scalar<'a>,
        #[serde(alias = "endIndex")]
        end_index: Scalar<'a>,
    }
}

impl Reference<'_> {
    fn source(&self) -> Option<Source> {
        let first = |all: &[&Scalar<'_>]| {
            all.iter().map(|one| one.text()).find(|text| !text.is_empty()).unwrap_or_default().to_owned()
        };
        let url = first(&[&self.url, &self.uri, &self.link, &self.source]);
        let cited = first(&[&self.cited_text, &self.content]);
        (url.contains("://")).then(|| Source { url, title: self.title.text().to_owned(), cited, place: 0..0 })
    }

    fn place(&self) -> Option<Range<usize>> {
        let count = |scalar: &Scalar<'_>| usize::try_from(scalar.count()?).ok();
        let end = count(&self.end_index)?;
        Some(count(&self.start_index).unwrap_or(0)..end)
    }
}

loose! {
    /// What a text repeats of others: at Google's own address, and at Vertex AI.
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Attributions<'a> {
        citation_sources: Option<Vec<Reference<'a>>>,
        citations: Option<Vec<Reference<'a>>>,
    }

    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Fetched<'a> {
        url_metadata: Option<Vec<FetchedPage<'a>>>,
    }

    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct FetchedPage<'a> {
        retrieved_url: Scalar<'a>,
        url_retrieval_status: Scalar<'a>,
    }

    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Grounding<'a> {
        grounding_chunks: Option<Vec<Chunk<'a>>>,
        grounding_supports: Option<Vec<Support<'a>>>,
    }

    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Chunk<'a> {
        web: Option<Reference<'a>>,
        retrieved_context: Option<Reference<'a>>,
        maps: Option<Reference<'a>>,
    }
}

impl Chunk<'_> {
    fn source(&self) -> Option<Source> {
        [&self.web, &self.retrieved_context, &self.maps].into_iter().flatten().find_map(Reference::source)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Support<'a> {
    #[serde(borrow, default)]
    segment: Option<Reference<'a>>,
    #[serde(default)]
    grounding_chunk_indices: Option<Vec<usize>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(json: &str) -> &RawValue {
        serde_json::from_str(json).expect("JSON")
    }

    fn found(sources: Sources, text: &str) -> Vec<(String, String, Range<usize>)> {
        let (found, _) = sources.finish(&[AssistantPart::Text(text.into())]);
        found.into_iter().map(|source| (source.url, source.title, source.place)).collect()
    }

    #[test]
    fn sources_are_read_as_every_dialect_tells_them_with_places_in_characters() {
        let (url, title) = ("https://x.test".to_owned(), "T".to_owned());
        let mut chat = Sources::default();
        let said = r#"[{"type":"url_citation","url_citation":{"url":"https://x.test","title":"T","start_index":1,"end_index":99}}]"#;
        chat.annotations(raw(said));
        chat.annotations(raw(said));
        assert_eq!(found(chat, "äbc"), [(url.clone(), title.clone(), 1..3)], "once, and no further than the text");
        let mut responses = Sources::default();
        responses.annotation(raw(
            r#"{"type":"url_citation","url":"https://x.test","title":"T","start_index":0,"end_index":2}"#,
        ));
        assert_eq!(found(responses, "äbc"), [(url.clone(), title.clone(), 0..2)]);
        let mut list = Sources::default();
        list.list(raw(r#"["https://x.test"]"#));
        list.list(raw(r#"[{"url":"https://x.test","title":"T"}]"#));
        assert_eq!(found(list, "äbc"), [(url.clone(), title.clone(), 0..3)]);
        let mut messages = Sources::default();
        messages.told("ä".len());
        messages.begin();
        messages.citation(raw(r#"{"type":"web_search_result_location","url":"https://x.test","title":"T"}"#));
        messages.told("b".len());
        messages.begin();
        messages.told("c".len());
        assert_eq!(found(messages, "äbc"), [(url.clone(), title.clone(), 1..2)], "of its block alone");
        let mut google = Sources::default();
        let said = r#"{"groundingChunks":[{"web":{"uri":"https://x.test","title":"T"}},{"web":{"uri":"https://y.test"}}],
            "groundingSupports":[{"segment":{"endIndex":2},"groundingChunkIndices":[0,7]}]}"#;
        google.grounding(raw(said));
        let expected = [(url, title, 0..1), ("https://y.test".to_owned(), String::new(), 0..3)];
        assert_eq!(found(google, "äbc"), expected, "its places are bytes");
    }

    #[test]
    fn what_google_repeats_and_fetches_is_cited() {
        let url = "https://x.test".to_owned();
        for field in ["citationSources", "citations"] {
            let mut sources = Sources::default();
            let said =
                format!(r#"{{"{field}":[{{"startIndex":2,"endIndex":3,"uri":"https://x.test","license":"mit"}}]}}"#);
            sources.attributions(raw(&said));
            sources.attributions(raw(&said));
            assert_eq!(found(sources, "äbc"), [(url.clone(), String::new(), 1..2)], "once, and its places are bytes");
        }
        let mut sources = Sources::default();
        sources.attributions(raw(r#"{"citationSources":[{"startIndex":2,"endIndex":3}]}"#));
        assert!(sources.finish(&[]).1, "without an address it is noted");
        let mut sources = Sources::default();
        sources.grounding(raw(r#"{"groundingChunks":[{"web":{"uri":"https://x.test","title":"T"}}]}"#));
        sources.fetched(raw(
            r#"{"urlMetadata":[{"retrievedUrl":"https://x.test","urlRetrievalStatus":"URL_RETRIEVAL_STATUS_SUCCESS"},
                {"retrievedUrl":"https://y.test"},
                {"retrievedUrl":"https://z.test","urlRetrievalStatus":"URL_RETRIEVAL_STATUS_ERROR"}]}"#,
        ));
        let expected = [(url, "T".to_owned(), 0..3), ("https://y.test".to_owned(), String::new(), 0..3)];
        assert_eq!(found(sources, "äbc"), expected);
    }

    #[test]
    fn a_source_without_an_address_is_noted_as_left_out() {
        let mut sources = Sources::default();
        sources.citations(raw(r#"[{"type":"char_location","document_index":0,"cited_text":"x"}]"#));
        assert_eq!(sources.finish(&[]), (vec![], true));
        let mut sources = Sources::default();
        for odd in ["null", "7", "{}", r#"[null, 7, [], "x"]"#] {
            sources.list(raw(odd));
            sources.grounding(raw(odd));
            sources.annotations(raw(odd));
        }
        assert_eq!(sources.found, []);
    }
}
