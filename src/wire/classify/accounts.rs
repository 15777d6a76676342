//! Recognises the refusal of a key or an account by its shape: who it speaks of, and what it says became of that.
//!
//! No table of whole phrases knows the next server's. A sentence accuses a key where a subject (an API key, an account,
//! a project) and a verdict (disabled, not found, archived) stand close together, and nothing between them is a part of
//! a request; the same of money and of quotas. What is only supposed ("check whether your key expired") accuses nobody,
//! and `token` is a key only where its verdict could not be said of a text's tokens.

mod words;

use self::words::{
    BARRED, BETWEEN, COUNTED, DOUBTED, DUE, FOREIGN, FOREIGN_OTHERS, KEYS, KINDS, LACKING, LIMITS, MARKED, MET, MONEY,
    ONCE, OTHERS, OWNERS, PAYMENTS, QUOTAS, SPENT, SUPPOSED, THINGS, USED_UP, WEAK,
};
use crate::wire::time_field::parts;
use crate::words::FailureClass;

/// The most words between a subject and a verdict behind it.
const GAP_MAX: usize = 7;
/// What ends a part of a sentence, and the word for that.
const ENDS: [char; 2] = [':', ','];
const END: &str = ":";
/// The longest sentence whose weak subject needs no more than a word that is said of other things, too.
const SHORT: usize = 4;

/// Returns what a text says of a key, an account or its quota, if it does: a provider's own words, in lower case.
pub(super) fn verdict(text: &str) -> Option<FailureClass> {
    sentences(text).find_map(|sentence| Sentence::of(sentence).verdict().or_else(|| in_other_words(sentence)))
}

/// The same of a code: `project_archived`, `ApiKeyDisabled`.
pub(super) fn verdict_of_code(code: &str) -> Option<FailureClass> {
    Sentence::of(&parts(code).join(" ")).verdict()
}

/// Returns the sentences of a text. A point within a word ends none.
fn sentences(text: &str) -> impl Iterator<Item = &str> {
    text.split(['\n', '!', '?', ';', '。', '！', '？', '；']).flat_map(|line| line.split(". "))
}

/// Returns what a sentence in another language says.
fn in_other_words(sentence: &str) -> Option<FailureClass> {
    let sentence = sentence.to_lowercase();
    FOREIGN.iter().find_map(|(class, subjects, verdicts)| {
        let first = |words: &[&str]| words.iter().filter_map(|word| sentence.find(word)).min();
        let (_, verdict) = (first(subjects)?, first(verdicts)?);
        first(FOREIGN_OTHERS).is_none_or(|other| other > verdict).then_some(*class)
    })
}

/// A sentence as its words, of letters and digits. What ends a part of it is a word of its own.
struct Sentence<'a>(Vec<&'a str>);

/// Where some words stand in a sentence, and how many they are.
type Place = (usize, usize);

impl<'a> Sentence<'a> {
    fn of(sentence: &'a str) -> Self {
        let is_gap = |letter: char| !(letter.is_alphanumeric() || letter == '_');
        let mut words = Vec::new();
        for part in sentence.split_inclusive(ENDS) {
            // The end of `isn't` stands where "not" does.
            let own = part.split(is_gap).filter(|word| !word.is_empty());
            words.extend(own.map(|word| if word == "t" { "not" } else { word }));
            words.extend(part.ends_with(ENDS).then_some(END));
        }
        Self(words)
    }

    fn verdict(&self) -> Option<FailureClass> {
        let is_short = self.0.iter().filter(|word| **word != END).count() <= SHORT;
        let is_barred = || {
            [KEYS, OWNERS].iter().any(|subjects| self.says(subjects, BARRED) || self.says(subjects, DOUBTED))
                || self.verdict_follows_if(|at| at == 0 || MARKED.contains(&self.0[at - 1]), WEAK, BARRED)
                || (is_short && (self.says(&["token", "user"], DOUBTED) || self.leads(BARRED, WEAK)))
        };
        let is_spent =
            self.verdict_follows(MONEY, SPENT) || self.verdict_follows(PAYMENTS, DUE) || self.leads(LACKING, COUNTED);
        let is_used_up = || {
            (self.verdict_follows(QUOTAS, USED_UP) || self.leads(LACKING, QUOTAS))
                || (self.verdict_follows(LIMITS, MET) || self.leads(MET, LIMITS))
        };
        // Who is suspended for lack of money lacks money.
        if is_spent {
            Some(FailureClass::OutOfMoney)
        } else if is_barred() {
            Some(FailureClass::Unauthorised)
        } else {
            let is_once = self.places(ONCE).next().is_some();
            is_used_up().then_some(if is_once { FailureClass::OutOfMoney } else { FailureClass::RateLimited })
        }
    }

    fn says(&self, subjects: &[&str], verdicts: &[&str]) -> bool {
        self.verdict_follows(subjects, verdicts) || self.leads(verdicts, subjects)
    }

    /// Tells whether a verdict follows a subject: "the API key that you sent has been revoked".
    fn verdict_follows(&self, subjects: &[&str], verdicts: &[&str]) -> bool {
        self.verdict_follows_if(|_| true, subjects, verdicts)
    }

    /// The same of a subject at such a place.
    fn verdict_follows_if(&self, stands: impl Fn(usize) -> bool, subjects: &[&str], verdicts: &[&str]) -> bool {
        self.places(subjects).filter(|(at, _)| stands(*at)).any(|(at, length)| {
            let behind = at + length;
            let mut found = self.places(verdicts).filter(|(verdict, _)| (behind..=behind + GAP_MAX).contains(verdict));
            self.is_ours(at) && found.any(|verdict| self.is_of(behind, verdict))
        })
    }

    /// Tells whether a verdict is of the subject before this place, and of nothing between or behind.
    fn is_of(&self, behind: usize, (verdict, length): Place) -> bool {
        let (word, before) = (self.0[verdict], self.0[verdict - 1]);
        // "Your organization has disabled this model"; "your trial has ended".
        let acts = matches!(before, "has" | "have" | "had" | "not" | "never")
            && !matches!(word, "expired" | "ended" | "lapsed" | "ran" | "run" | "not");
        let gap = &self.0[behind..verdict];
        // "… in the request".
        let is_place =
            |at: usize| at > 0 && gap[..at].iter().any(|word| matches!(*word, "in" | "with" | "from" | "by"));
        let mut things = gap.iter().enumerate().filter(|(_, word)| THINGS.contains(word));
        let is_other = things.any(|(at, word)| !(matches!(*word, "request" | "url") && is_place(at)));
        !(acts || is_other || self.is_narrow(verdict + length))
    }

    /// Tells whether a verdict stands before its subject: "invalid API key".
    fn leads(&self, verdicts: &[&str], subjects: &[&str]) -> bool {
        self.places(verdicts).any(|(at, length)| {
            let behind = at + length;
            let between = self.0[behind..].iter().take_while(|word| BETWEEN.contains(word)).count();
            // A word between may be the subject's own.
            let mut nouns = self.places(subjects).filter(|(noun, _)| (behind..=behind + between).contains(noun));
            let is_named = |end: usize| self.0.get(end).is_some_and(|next| THINGS.contains(next) || *next == "id");
            self.is_ours(at) && nouns.any(|(noun, length)| !(is_named(noun + length) || self.is_narrow(noun + length)))
        })
    }

    /// Tells whether what follows is of one model or a part of a host alone: "disabled for this model".
    fn is_narrow(&self, at: usize) -> bool {
        const NARROW: [&str; 7] = ["deployment", "endpoint", "feature", "model", "models", "region", "tool"];
        let next = self.0[at..].iter().take(4);
        matches!(self.0.get(at), Some(&("for" | "on" | "to" | "in" | "from")))
            && next.into_iter().any(|it| NARROW.contains(it))
    }

    /// Tells whether what is said from this place on is a fact, and said of the key that a request was sent with.
    fn is_ours(&self, at: usize) -> bool {
        let before = &self.0[..at];
        let has = |words: &[&str]| before.iter().any(|word| words.contains(word));
        let is_kind = before.last().is_some_and(|word| KINDS.contains(word));
        let is_either = has(&["model", "models"]) && has(&["or"]);
        !(has(OTHERS) || has(SUPPOSED) || is_kind || is_either)
    }

    /// Returns where any of these stands.
    fn places(&self, phrases: &[&str]) -> impl Iterator<Item = Place> {
        let mut found = Vec::new();
        for phrase in phrases {
            let length = phrase.split(' ').count();
            let stands = |window: &[&str]| phrase.split(' ').eq(window.iter().copied());
            found.extend(
                (0..self.0.len()).filter(|at| self.0.get(*at..at + length).is_some_and(stands)).map(|at| (at, length)),
            );
        }
        found.into_iter()
    }
}
