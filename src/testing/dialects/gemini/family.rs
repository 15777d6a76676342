//! Properties of a model, by its name. A name without a number is the newest model's.

/// A generation of models.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Family {
    version: (u32, u32),
    is_pro: bool,
    is_lite: bool,
}

impl Family {
    pub(super) fn of(model: &str) -> Self {
        let version = model.strip_prefix("gemini-").and_then(version).unwrap_or((u32::MAX, 0));
        Self { version, is_pro: model.contains("-pro"), is_lite: model.contains("-lite") }
    }

    /// Tells whether it is of the third generation: calls have ids and come back signed, or not at all; tools and JSON
    /// go together; how hard it thinks is a level.
    pub(super) fn is_third(self) -> bool {
        self.version.0 >= 3
    }

    /// Tells whether it thinks.
    pub(super) fn thinks(self) -> bool {
        self.version >= (2, 5)
    }

    /// Tells whether it takes penalties for repetition.
    pub(super) fn takes_penalties(self) -> bool {
        self.version < (2, 5)
    }

    /// Tells whether it continues an answer that it is given the beginning of.
    pub(super) fn continues(self) -> bool {
        self.version < (3, 5) || self.version == (3, 5) && !self.is_lite
    }

    /// Returns the least and the most tokens it can be told to think for.
    pub(super) fn budgets(self) -> (i64, i64) {
        match (self.is_third(), self.is_pro, self.is_lite) {
            (true, ..) => (1, 65_535),
            (_, true, _) => (128, 32_768),
            (_, _, true) => (512, 24_576),
            _ => (1, 24_576),
        }
    }

    /// Tells whether it can be told not to think.
    pub(super) fn may_not_think(self) -> bool {
        !self.is_pro
    }

    /// Tells whether it can be told to think next to nothing.
    pub(super) fn knows_minimal(self) -> bool {
        self.is_third() && !self.is_pro && self.version <= (3, 6)
    }
}

/// Reads the number a name begins with: `2.5-flash`, `3-pro-preview`.
fn version(name: &str) -> Option<(u32, u32)> {
    let number = name.split('-').next()?;
    let (major, minor) = number.split_once('.').unwrap_or((number, "0"));
    Some((major.parse().ok()?, minor.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_tells_the_generation() {
        for (model, version) in [
            ("gemini-1.5-flash", (1, 5)),
            ("gemini-2.0-flash-001", (2, 0)),
            ("gemini-2.5-flash-lite", (2, 5)),
            ("gemini-3-pro-preview", (3, 0)),
            ("gemini-3.1-pro-preview", (3, 1)),
            ("gemini-4-argon", (4, 0)),
            ("gemini-flash-latest", (u32::MAX, 0)),
            ("gemini-", (u32::MAX, 0)),
            ("m", (u32::MAX, 0)),
        ] {
            assert_eq!(Family::of(model).version, version, "{model}");
        }
        assert!(Family::of("gemini-3.5-flash").continues());
        assert!(!Family::of("gemini-3.5-flash-lite").continues());
    }
}
