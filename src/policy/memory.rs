//! What one process leaves to the next: everything known about a provider, and its age.
//!
//! Input: what a provider's machine knew last. Output: bytes for a file, and back. Its address, models and keys are
//! compared by marks: hashes made with a salt of their own, so that neither addresses nor keys can be read in the file.
//! An address, model or key with another mark is a different one, and what was kept does not apply to it.
//!
//! Two clocks outlive a process: the wall's, which a user may set, and the machine's own, which no user can set, but
//! which begins anew with the machine. Within one run of the machine its own clock says how long it was; otherwise the
//! wall's does, and impossible times (below 0, more than a month) are not believed.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use sha2::{Digest as _, Sha256};

use super::admission::Admission;
use super::budget::KnownBill;
use super::persist::{self, Persist, Reader, SchemaHash, Writer};
use super::tokens::TokenModel;

/// Raise it when a field means something else under the same name.
const SEMANTICS_VERSION: u64 = 1;
/// Clocks that differ by less were not set: they are read one after the other, and drift.
const DRIFT: Duration = Duration::from_secs(2);
/// By how much the wall's clock may differ from the machine's before that is reported.
const SET_MIN: Duration = Duration::from_secs(10);
/// The longest absence that is believed by the wall's clock alone.
const AWAY_MAX: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// The state of a provider.
#[derive(Clone, Debug)]
pub struct Memory {
    /// Its name.
    pub provider: Arc<str>,
    /// When it was taken, on the clock of its times.
    pub at: Instant,
    /// The salt of its marks.
    pub salt: Salt,
    /// The mark of its address.
    pub address: Fingerprint,
    /// Of each target its model, and the mark of how it is configured.
    pub targets: Vec<(String, Fingerprint)>,
    /// The mark of each key; the mark of nothing for a key that was never read.
    pub keys: Vec<Fingerprint>,
    /// Its machine; `None` if its age is not known.
    pub admission: Option<Arc<Admission>>,
    /// How each target counts tokens.
    pub tokens: Vec<TokenModel>,
    /// What was billed for prompts that cannot be counted.
    pub bills: Vec<KnownBill>,
}

/// The salt of marks: a new one for each memory.
pub type Salt = [u8; 16];

/// A salted hash of a text that must not be readable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fingerprint([u8; 16]);

impl Fingerprint {
    /// Returns the mark of some words.
    pub fn of(salt: &Salt, words: &[&[u8]]) -> Self {
        let mut hash = Sha256::new_with_prefix(salt);
        for word in words {
            hash.update((word.len() as u64).to_le_bytes());
            hash.update(word);
        }
        let mut mark = Self::default();
        mark.0.copy_from_slice(&hash.finalize()[..16]);
        mark
    }

    /// Tells whether it is the mark of nothing.
    pub fn is_none(self) -> bool {
        self == Self::default()
    }
}

/// The written form of a memory, without its provider's name.
struct Written {
    salt: Salt,
    address: Fingerprint,
    targets: Vec<WrittenTarget>,
    keys: Vec<Fingerprint>,
    admission: Admission,
    bills: Vec<KnownBill>,
}

struct WrittenTarget {
    model: String,
    mark: Fingerprint,
    tokens: TokenModel,
}

persist!(struct Written { salt, address, targets, keys, admission, bills });
persist!(struct WrittenTarget { model, mark, tokens });

impl Persist for Fingerprint {
    fn schema_hash(schema_hash: &mut SchemaHash) {
        schema_hash.name("Mark");
    }

    fn write(&self, to: &mut Writer) {
        self.0.write(to);
    }

    fn read(from: &mut Reader<'_>) -> Option<Self> {
        Persist::read(from).map(Self)
    }
}

impl Memory {
    /// Returns the number of the schema in which it is written: bytes of another are not read.
    pub fn schema_hash() -> i64 {
        persist::schema_hash::<Written>().wrapping_add(SEMANTICS_VERSION).cast_signed()
    }

    /// Returns it as bytes, and their sum; `None` if nothing of it is worth keeping. Targets of which nothing was ever
    /// heard are left out.
    pub fn write(&self, now: Instant) -> Option<(Vec<u8>, i64)> {
        let Self { salt, address, targets, keys, admission, tokens, bills, .. } = self;
        let admission = admission.as_ref()?;
        let all = 0..targets.len().min(tokens.len()).min(admission.targets());
        let known: Vec<usize> = all.filter(|&at| admission.is_known(at) || tokens[at].is_known()).collect();
        let target = |at: &usize| {
            let ((model, mark), tokens) = (targets[*at].clone(), tokens[*at].clone());
            WrittenTarget { model, mark, tokens }
        };
        let written = Written {
            salt: *salt,
            address: *address,
            targets: known.iter().map(target).collect(),
            keys: keys.clone(),
            admission: admission.only(&known),
            bills: bills.clone(),
        };
        let bytes = persist::write(&written, now);
        let sum = persist::sum(&bytes).cast_signed();
        Some((bytes, sum))
    }

    /// Reads what was written then, by the reader's clock; `None` if it is damaged. Without a time everything that has
    /// an age is left out.
    pub fn read(provider: &str, bytes: &[u8], sum: i64, then: Option<Instant>, now: Instant) -> Option<Self> {
        if persist::sum(bytes).cast_signed() != sum {
            return None;
        }
        let Written { salt, address, targets, keys, admission, bills } = persist::read(bytes, then.unwrap_or(now))?;
        if targets.len() != admission.targets() {
            return None;
        }
        let (tokens, targets) = targets.into_iter().map(|it| (it.tokens, (it.model, it.mark))).unzip();
        let admission = then.map(|_| Arc::new(admission));
        Some(Self { provider: provider.into(), at: now, salt, address, targets, keys, admission, tokens, bills })
    }
}

/// A moment, by the clocks that outlive a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WallMoment {
    /// The wall's.
    pub wall: SystemTime,
    /// The machine's own, where it tells.
    pub machine: Option<Uptime>,
}

/// How long a machine has been running.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Uptime {
    /// Which run of the machine it is.
    pub run: String,
    /// For how long, sleep included.
    pub time: Duration,
}

/// How long ago a moment was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Elapsed {
    /// This long.
    Measured(Duration),
    /// This long by the machine's clock; the wall's was set meanwhile, by this much and in this direction.
    ClockSet {
        /// How long it was.
        time: Duration,
        /// How far the wall's clock was set.
        by: Duration,
        /// Whether it was set back.
        back: bool,
    },
    /// Below 0, by this much: the wall's clock was set back.
    Negative(Duration),
    /// Longer than is believed: the wall's clock was set forward, or was wrong before.
    TooLong(Duration),
}

impl Elapsed {
    /// Returns how long it was, where that is believed.
    pub fn time(self) -> Option<Duration> {
        match self {
            Self::Measured(time) | Self::ClockSet { time, .. } => Some(time),
            Self::Negative(_) | Self::TooLong(_) => None,
        }
    }
}

impl WallMoment {
    /// Returns how long ago it was.
    pub fn ago(&self, now: &Self) -> Elapsed {
        let (apart, back) = match now.wall.duration_since(self.wall) {
            Ok(passed) => (passed, false),
            Err(error) => (error.duration(), true),
        };
        let machines = self.machine.as_ref().zip(now.machine.as_ref()).filter(|(then, now)| then.run == now.run);
        if let Some(time) = machines.and_then(|(then, now)| now.time.checked_sub(then.time)) {
            let (by, is_back) = if back { (apart + time, true) } else { (time.abs_diff(apart), time > apart) };
            return if by < SET_MIN { Elapsed::Measured(time) } else { Elapsed::ClockSet { time, by, back: is_back } };
        }
        match back {
            true if apart <= DRIFT => Elapsed::Measured(Duration::ZERO),
            true => Elapsed::Negative(apart),
            false if apart > AWAY_MAX => Elapsed::TooLong(apart),
            false => Elapsed::Measured(apart),
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;
    use rand::rngs::StdRng;

    use super::*;
    use crate::policy::admission::{
        AdmissionOptions, AdmissionRequest, BreakerOptions, HealthOptions, KeysInUse, TargetOptions,
    };
    use crate::policy::tokens::Vocabulary;

    const SECOND: Duration = Duration::from_secs(1);
    const DAY: Duration = Duration::from_secs(24 * 60 * 60);

    fn moment(wall: u64, machine: Option<(&str, u64)>) -> WallMoment {
        let machine = machine.map(|(run, up)| Uptime { run: run.to_owned(), time: Duration::from_secs(up) });
        WallMoment { wall: SystemTime::UNIX_EPOCH + DAY * 20_000 + Duration::from_secs(wall), machine }
    }

    #[test]
    fn the_machine_says_how_long_it_was_and_the_wall_where_it_cannot() {
        let day = DAY.as_secs();
        for (then, now, expected) in [
            ((0, None), (60, None), Elapsed::Measured(60 * SECOND)),
            ((0, Some(("a", 5))), (60, Some(("a", 65))), Elapsed::Measured(60 * SECOND)),
            // Another run of the machine, or one that counts otherwise.
            ((0, Some(("a", 5))), (60, Some(("b", 65))), Elapsed::Measured(60 * SECOND)),
            ((0, Some(("a", 500))), (60, Some(("a", 65))), Elapsed::Measured(60 * SECOND)),
            // The wall's clock was set.
            (
                (0, Some(("a", 5))),
                (60 + 7 * day, Some(("a", 65))),
                Elapsed::ClockSet { time: 60 * SECOND, by: 7 * DAY, back: false },
            ),
            (
                (7 * day, Some(("a", 5))),
                (60, Some(("a", 65))),
                Elapsed::ClockSet { time: 60 * SECOND, by: 7 * DAY, back: true },
            ),
            (
                (0, Some(("a", 5))),
                (30, Some(("a", 65))),
                Elapsed::ClockSet { time: 60 * SECOND, by: 30 * SECOND, back: true },
            ),
            ((0, Some(("a", 5))), (61, Some(("a", 65))), Elapsed::Measured(60 * SECOND)),
            // Nothing better is known.
            ((1, None), (0, None), Elapsed::Measured(Duration::ZERO)),
            ((60, None), (0, None), Elapsed::Negative(60 * SECOND)),
            ((0, None), (31 * day, None), Elapsed::TooLong(31 * DAY)),
        ] {
            let ago = moment(then.0, then.1).ago(&moment(now.0, now.1));
            assert_eq!(ago, expected, "{then:?} to {now:?}");
        }
    }

    fn memory(now: Instant) -> Memory {
        let targets = vec![TargetOptions::default(); 3];
        let options =
            AdmissionOptions { targets, keys: 1, breaker: BreakerOptions::default(), health: HealthOptions::default() };
        let mut admission = Admission::new(options, now);
        let ask = AdmissionRequest {
            target: 1,
            prompt_tokens: 9,
            whole: false,
            output_max: None,
            output_expected: 9,
            last_resort: false,
            look: None,
            in_use: KeysInUse::NONE,
            other_key: false,
        };
        admission.admit(ask, 0, now, &mut StdRng::seed_from_u64(1)).expect("all is well");
        let salt = [7; 16];
        let mark = |word: &str| Fingerprint::of(&salt, &[word.as_bytes()]);
        Memory {
            provider: "a".into(),
            at: now,
            salt,
            address: mark("http://a.test"),
            targets: ["x", "y", "z"].map(|model| (model.to_owned(), mark(model))).into(),
            keys: vec![mark("sk-1")],
            admission: Some(Arc::new(admission)),
            tokens: vec![TokenModel::new(Vocabulary::Claude); 3],
            bills: Vec::new(),
        }
    }

    #[test]
    fn targets_of_which_nothing_was_heard_are_left_out_and_no_word_can_be_read() {
        let now = Instant::now();
        let (bytes, sum) = memory(now).write(now).expect("something is known");
        let read = Memory::read("a", &bytes, sum, Some(now), now).expect("what was written");
        assert_eq!(read.targets, memory(now).targets[1..2]);
        let known = read.admission.expect("it has a time");
        assert_eq!((known.targets(), known.health(0, 0, now).admitted), (1, 1));
        assert!(!bytes.windows(4).any(|piece| piece == b"sk-1" || piece == b"http"));
        let timeless = Memory::read("a", &bytes, sum, None, now).expect("what was written");
        assert!(timeless.admission.is_none() && timeless.tokens.len() == 1, "how tokens are counted has no age");
    }

    #[test]
    fn damaged_bytes_are_never_read_and_those_that_seem_sound_never_panic() {
        let now = Instant::now();
        let (bytes, sum) = memory(now).write(now).expect("something is known");
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 0x55;
            assert!(Memory::read("a", &damaged, sum, Some(now), now).is_none(), "byte {at}");
            let _ = Memory::read("a", &damaged, persist::sum(&damaged).cast_signed(), Some(now), now);
        }
    }

    #[test]
    fn a_mark_tells_what_it_is_of_only_by_the_same_salt() {
        let (one, other) = ([1; 16], [2; 16]);
        assert_eq!(Fingerprint::of(&one, &[b"sk-1"]), Fingerprint::of(&one, &[b"sk-1"]));
        assert!(Fingerprint::of(&one, &[b"sk-1"]) != Fingerprint::of(&one, &[b"sk-2"]));
        assert!(Fingerprint::of(&one, &[b"sk-1"]) != Fingerprint::of(&other, &[b"sk-1"]));
        assert!(Fingerprint::of(&one, &[b"ab", b"c"]) != Fingerprint::of(&one, &[b"a", b"bc"]));
        assert!(Fingerprint::default().is_none() && !Fingerprint::of(&one, &[]).is_none());
    }
}
