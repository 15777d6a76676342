//! Properties of the generations of models: the table, and how a model's name tells its generation.

/// The properties of a generation of models.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Traits {
    /// The longest answer where the caller sets no limit: this dialect must name one. The model's own limit, except
    /// those where prompt and limit together must fit the window.
    pub(super) output_tokens: u32,
    /// How thinking is asked for.
    pub(super) thinking: ThinkingForm,
    /// Which sampling parameters it takes.
    pub(super) sampling: SamplingForm,
    /// Whether it holds answers and arguments to a schema.
    pub(super) schemas: bool,
    /// Whether it continues the assistant's last message.
    pub(super) prefills: bool,
    /// The words of efforts above `high` that it knows.
    pub(super) above: &'static [&'static str],
    /// Whether it thinks by default.
    pub(super) thinks: bool,
    /// Whether it takes an effort as a word (`output_config.effort`).
    pub(super) word: bool,
    /// Whether all this is known of it.
    pub(super) known: bool,
}

impl Traits {
    /// Tells whether a form of thinking can be asked for.
    pub(super) fn takes(self, form: &str) -> bool {
        match (self.thinking, form) {
            (_, "disabled") => true,
            (ThinkingForm::Budget, form) => form == "enabled",
            // Those before 4.7 take the older form, too.
            (ThinkingForm::Adaptive, form) => form == "adaptive" || self.sampling != SamplingForm::None,
            (ThinkingForm::None, _) => false,
        }
    }

    /// Tells whether it chooses its own sampling.
    pub(super) fn is_set(self) -> bool {
        self.sampling == SamplingForm::None
    }
}

/// How a generation is asked to think.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ThinkingForm {
    /// It cannot.
    None,
    /// By a number of tokens.
    Budget,
    /// By an effort; it decides itself.
    Adaptive,
}

/// Which sampling parameters a generation takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SamplingForm {
    /// `temperature` and `top_p`.
    Both,
    /// One of the two.
    One,
    /// Neither, with any value.
    None,
}

type Version = (u8, u8);

/// The generations of Claude, the newest first, each with the version that it began with.
const GENERATIONS: [(Version, Traits); 8] = {
    use SamplingForm as S;
    use ThinkingForm as T;
    const fn of(output_tokens: u32, thinking: T, sampling: S, schemas: bool) -> Traits {
        let prefills = !matches!(thinking, T::Adaptive);
        let word = matches!(thinking, T::Adaptive);
        Traits { output_tokens, thinking, sampling, schemas, prefills, above: &[], thinks: false, word, known: true }
    }
    const BOTH: &[&str] = &["xhigh", "max"];
    [
        ((5, 0), Traits { above: BOTH, thinks: true, ..of(64_000, T::Adaptive, S::None, true) }),
        ((4, 7), Traits { above: BOTH, ..of(64_000, T::Adaptive, S::None, true) }),
        ((4, 6), Traits { above: &["max"], ..of(64_000, T::Adaptive, S::One, true) }),
        ((4, 5), of(64_000, T::Budget, S::One, true)),
        ((4, 1), of(32_000, T::Budget, S::One, false)),
        ((3, 7), of(32_000, T::Budget, S::Both, false)),
        ((3, 5), of(8_192, T::None, S::Both, false)),
        ((0, 0), of(4_096, T::None, S::Both, false)),
    ]
};

/// Models of others that speak this dialect: what most of them take.
const OTHERS: Traits = Traits {
    output_tokens: 8_192,
    thinking: ThinkingForm::Budget,
    sampling: SamplingForm::Both,
    schemas: false,
    prefills: true,
    above: &[],
    thinks: false,
    word: false,
    known: false,
};

/// The version of the only model that takes an effort as a word and thinks within a budget, and its family.
const WORDED: (Version, &str) = ((4, 5), "opus");

/// The version from which on a Claude takes messages of the system within a conversation.
const AMID: Version = (4, 8);

/// Returns what a model takes, by its name. A Claude without a version in its name is taken for a new one.
pub(super) fn traits(model: &str) -> Traits {
    let Some((_, name)) = model.split_once("claude") else { return OTHERS };
    let version = version(name).unwrap_or((u8::MAX, 0));
    let traits = GENERATIONS.iter().find(|(since, _)| version >= *since).map_or(OTHERS, |(_, traits)| *traits);
    Traits { word: traits.word || (version == WORDED.0 && name.contains(WORDED.1)), ..traits }
}

/// Tells whether a model takes messages of the system within a conversation; `None` where it is no Claude.
pub(super) fn knows_system_messages(model: &str) -> Option<bool> {
    let (_, name) = model.split_once("claude")?;
    Some(version(name).is_none_or(|version| version >= AMID))
}

/// Models that always think: they refuse a request to switch it off.
const ALWAYS: [&str; 4] = ["fable", "mythos", "opus-5-5", "sonnet-5-5"];

/// Tells whether a model can be told not to think.
pub(super) fn may_rest(model: &str) -> bool {
    !ALWAYS.iter().any(|name| model.replace('.', "-").contains(name))
}

/// The maker of what no Claude thought. Others who speak this dialect do not look at signatures.
pub(super) const OTHER: &str = "other";

/// Returns the family and version of a Claude, from any of its names: `sonnet-4.5` of `claude-sonnet-4-5-20250929`;
/// `None` where they are not known.
pub(in crate::wire) fn maker(model: &str) -> Option<String> {
    let Some((_, name)) = model.split_once("claude") else { return Some(OTHER.to_owned()) };
    let (major, minor) = version(name)?;
    let mut words = name.split(|letter: char| !letter.is_ascii_alphanumeric());
    let family = words.find(|word| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase()));
    Some(format!("{}-{major}.{minor}", family.unwrap_or_default()))
}

/// Reads the version out of what follows "claude": `-3-7-sonnet-20250219`, `-sonnet-4@20250514`, `-opus-4.7`.
fn version(name: &str) -> Option<Version> {
    let mut words = name.split(|letter: char| !letter.is_ascii_alphanumeric());
    // Longer numbers are dates.
    let number = |word: &str| if word.len() <= 2 { word.parse::<u8>().ok() } else { None };
    let major = words.find_map(number)?;
    Some((major, words.next().and_then(number).unwrap_or(0)))
}
