//! The parts of a prompt that are no text, and the most tokens that they can be.
//!
//! What they usually are is a matter of estimates; this is what a budget can rely on before one of them was billed.

use super::Vocabulary;
use crate::words::{ChatRequest, Document, DocumentSource, Message, Text, UserPart};

/// Bytes that a page of a document has at least: a typeset one has some thousand, a scanned one a hundred thousand.
const PAGE_BYTES_MIN: usize = 1_024;

/// The parts of a prompt that are no text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shown {
    /// Images, and the most pages.
    images: usize,
    /// Bytes of sounds, in Base64. Each is a token at most: Google's 32 tokens a second are 256 bits then, fewer than
    /// any codec makes of speech.
    sounds: usize,
}

impl Shown {
    /// Counts those of a request.
    pub fn of(request: &ChatRequest) -> Self {
        let mut shown = Self::default();
        for message in &request.messages {
            let parts: &[UserPart] = match message {
                Message::User(parts) => parts,
                Message::Tool(result) => &result.content,
                Message::System(_) | Message::Assistant(_) | Message::Foreign(_) => continue,
            };
            for part in parts {
                match part {
                    UserPart::Image(_) => shown.images += 1,
                    UserPart::Document(Document { source: DocumentSource::Base64 { data, .. }, .. }) => {
                        shown.images += pages_max(data);
                    }
                    UserPart::Audio(audio) => shown.sounds += audio.data.len(),
                    UserPart::Text(_) | UserPart::Document(_) | UserPart::Foreign(_) => {}
                }
            }
        }
        shown
    }

    /// Returns the most tokens that they are for a model of this vocabulary.
    pub fn tokens_max(self, vocabulary: Vocabulary) -> u32 {
        let tokens = self.images.saturating_mul(image_max(vocabulary)).saturating_add(self.sounds);
        u32::try_from(tokens).unwrap_or(u32::MAX)
    }
}

/// Returns the most pages of a document in Base64.
fn pages_max(base64: &Text) -> usize {
    base64.len() / 4 * 3 / PAGE_BYTES_MIN + 1
}

/// Returns the tokens of the largest image, and of a page with its text. Sources: the guides of the vendors to images,
/// as of November 2026. A model of which nothing is known is taken for the dearest.
const fn image_max(vocabulary: Vocabulary) -> usize {
    match vocabulary {
        // 1 600, and three times that for models of high resolution; a page has up to 3 000 of text and 1 600 of image.
        Vocabulary::Claude => 4_784,
        // 258 for each tile of 768 pixels: 16 of the largest square, 32 of a panorama.
        Vocabulary::Gemini => 8_256,
        // GPT-4o mini: 2 833, and 5 667 for each tile of 512 pixels, of which there are up to eight.
        _ => 48_169,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::words::{Image, ToolResult};

    #[test]
    fn images_pages_and_sounds_are_found_wherever_they_are_shown() {
        let image = || UserPart::Image(Image::Url("https://x.dev/a.png".into()));
        let page = |bytes: usize| {
            let data = "A".repeat(bytes).into();
            UserPart::Document(Document::new(DocumentSource::Base64 { media_type: "application/pdf".into(), data }))
        };
        let mut request = ChatRequest::new("r").user("look");
        assert_eq!(Shown::of(&request).tokens_max(Vocabulary::Unknown), 0);
        request.messages.push(Message::User(vec![image(), page(400)]));
        let result = ToolResult { content: vec![image(), page(1_400_000)], ..ToolResult::new("id", "look", "") };
        request.messages.push(Message::Tool(result));
        let shown = Shown::of(&request);
        assert!(shown.images > 1_000 && shown.images < 1_100, "{shown:?}");
        assert_eq!(shown.tokens_max(Vocabulary::Claude), u32::try_from(shown.images * 4_784).expect("small"));
        assert!(shown.tokens_max(Vocabulary::O200k) > shown.tokens_max(Vocabulary::Gemini));
    }
}
