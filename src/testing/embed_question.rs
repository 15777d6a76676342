//! Texts to be embedded as the provider understood them, and their vectors. This file knows no dialect.

/// A request for vectors as the provider understood it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct EmbedQuestion {
    /// The model that is asked.
    pub(crate) model: String,
    /// The texts.
    pub(crate) inputs: Vec<String>,
    /// How many numbers a vector has.
    pub(crate) dimensions: usize,
    /// How the answer is to be written.
    pub(crate) form: Form,
}

/// How vectors are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// Numbers, of every text.
    Numbers,
    /// Base64, of every text.
    Base64,
    /// Numbers, of the one text there is.
    One,
}

impl EmbedQuestion {
    /// Returns the tokens of all texts: their words.
    pub(crate) fn tokens(&self) -> u64 {
        self.inputs.iter().map(|text| super::answer::words(text).count() as u64).sum()
    }

    /// Returns the vectors.
    pub(crate) fn vectors(&self) -> impl Iterator<Item = Vec<f32>> {
        self.inputs.iter().map(|text| vector(text, self.dimensions))
    }
}

/// Returns the vector that a scripted provider makes of a text: of length 1, the same at every provider, and of no
/// other text, so that a test can tell that a vector belongs to its text.
pub fn vector(text: &str, dimensions: usize) -> Vec<f32> {
    // FNV-1a for the text, splitmix64 for its numbers.
    let mut state = text
        .bytes()
        .fold(0xCBF2_9CE4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3));
    let mut next = || {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (state ^ state >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((mixed ^ mixed >> 31) >> 40) as f32 / (1_u32 << 23) as f32 - 1.0
    };
    let numbers: Vec<f32> = (0..dimensions).map(|_| next()).collect();
    let length = numbers.iter().map(|number| number * number).sum::<f32>().sqrt();
    numbers.into_iter().map(|number| number / length).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vector_is_of_its_text_and_of_length_one() {
        for dimensions in [1, 8, 1_536] {
            let hello = vector("hello", dimensions);
            assert_eq!(hello.len(), dimensions);
            assert!((hello.iter().map(|number| number * number).sum::<f32>() - 1.0).abs() < 1e-4);
            assert_eq!(hello, vector("hello", dimensions));
        }
        assert_ne!(vector("hello", 8), vector("hellp", 8));
    }
}
