//! Proofs in answers of chat completions. The dialect has none; gateways put them into blocks in fields of their own.
//!
//! Input: the blocks as they come, whole or piece by piece. Output: a proof for each that is proven, which holds it and
//! the blocks before it under the name of their field: so they go back to the gateway that sent them.

use std::convert::Infallible;

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::json::{Items, Scalar, loose};
use crate::words::{Dialect, Proof};

/// The fields: `OpenRouter`'s and `LiteLLM`'s.
pub(super) const BLOCKS: [&str; 2] = ["reasoning_details", "thinking_blocks"];

/// The members of a block that come in pieces.
const PIECES: [&str; 3] = ["text", "summary", "thinking"];

/// The blocks that are not proven yet.
#[derive(Debug, Default)]
pub(super) struct ThoughtBlocks(Vec<Map<String, Value>>);

impl ThoughtBlocks {
    /// Takes more blocks of a field, or pieces of them; returns the proofs that are complete now.
    pub(super) fn push(&mut self, field: &str, blocks: &RawValue) -> Vec<Proof> {
        let Ok(blocks) = serde_json::from_str::<Items<'_, Map<String, Value>>>(blocks.get()) else { return Vec::new() };
        let mut proofs = Vec::new();
        let Ok(()) = blocks.each(|block| {
            self.join(block);
            let holds = |name: &str| {
                let last = self.0.last().and_then(|block| block.get(name)?.as_str());
                last.is_some_and(|proof| !proof.is_empty())
            };
            if holds("signature") || holds("data") {
                let blocks = std::mem::take(&mut self.0);
                proofs.push(Proof::new(Dialect::OpenAiChat, json!({field: blocks}).to_string()));
            }
            Ok::<_, Infallible>(())
        });
        proofs
    }

    fn join(&mut self, block: Map<String, Value>) {
        let is_same =
            |open: &&mut Map<String, Value>| ["type", "index"].iter().all(|it| open.get(*it) == block.get(*it));
        let Some(open) = self.0.last_mut().filter(is_same) else { return self.0.push(block) };
        for (name, value) in block {
            let told = open.get_mut(&name);
            if value.is_null() && told.is_some() {
                continue;
            }
            if let (Some(Value::String(told)), Some(more)) = (told, value.as_str())
                && PIECES.contains(&&*name)
            {
                told.push_str(more);
                continue;
            }
            open.insert(name, value);
        }
    }
}

/// Returns what blocks show of a thought.
pub(super) fn told(blocks: &RawValue) -> String {
    loose! {
        #[derive(Deserialize)]
        struct Block<'a> {
            text: Scalar<'a>,
            summary: Scalar<'a>,
            thinking: Scalar<'a>,
        }
    }
    let blocks: Vec<Block<'_>> = serde_json::from_str(blocks.get()).unwrap_or_default();
    blocks.iter().flat_map(|block| [block.text.text(), block.summary.text(), block.thinking.text()]).collect()
}

/// Returns the blocks of a proof, by their field; nothing where it is no proof of this kind.
pub(super) fn blocks_of(proof: &Proof) -> Vec<(String, Vec<Value>)> {
    let fields: Map<String, Value> = serde_json::from_str(&proof.data).unwrap_or_default();
    let blocks = |(field, blocks): (String, Value)| match blocks {
        Value::Array(blocks) if BLOCKS.contains(&&*field) => Some((field, blocks)),
        _ => None,
    };
    fields.into_iter().filter_map(blocks).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the blocks that are proven, of what came in chunks.
    fn proven(chunks: &[Value]) -> Vec<Value> {
        let mut gathered = ThoughtBlocks::default();
        let raw = |chunk: &Value| serde_json::value::to_raw_value(chunk).expect("JSON");
        let proofs = chunks.iter().flat_map(|chunk| gathered.push("reasoning_details", &raw(chunk)));
        let proofs: Vec<Proof> = proofs.collect();
        let blocks = proofs.iter().flat_map(blocks_of).map(|(field, blocks)| json!([field, blocks]));
        blocks.collect()
    }

    #[test]
    fn blocks_in_pieces_are_put_together_and_proven_by_their_signature() {
        let text = |text: &str, signature: Value| {
            json!([{"type": "reasoning.text", "index": 0, "text": text,
                "signature": signature}])
        };
        let whole = json!({"type": "reasoning.text", "index": 0, "text": "so, hm", "signature": "S"});
        let summary = json!({"type": "reasoning.summary", "index": 0, "summary": "s"});
        let sealed = json!({"type": "reasoning.encrypted", "index": 1, "data": "E"});
        for (chunks, expected) in [
            (vec![json!([whole])], vec![json!([whole])]),
            (vec![text("so, ", Value::Null), text("hm", Value::Null), text("", json!("S"))], vec![json!([whole])]),
            (vec![json!([summary, sealed])], vec![json!([summary, sealed])]),
            (vec![json!([whole]), json!([sealed])], vec![json!([whole]), json!([sealed])]),
            (vec![json!([summary]), json!(null), json!("x"), json!([])], vec![]),
        ] {
            let expected: Vec<_> = expected.into_iter().map(|blocks| json!(["reasoning_details", blocks])).collect();
            assert_eq!(proven(&chunks), expected, "{chunks:?}");
        }
        assert!(blocks_of(&Proof::new(Dialect::OpenAiChat, "SIGABC")).is_empty());
    }
}
