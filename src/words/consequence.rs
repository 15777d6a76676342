//! The consequences of a failure: one row for each class, and the only place where code looks them up.
//!
//! A new class does not compile until it has a row. `docs/failures.md` prints the table, and a test compares.

use std::time::Duration;

use super::failure_class::{FailureClass, Scope};
use super::named::named;

/// Whose fault a failure is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FaultOwner {
    /// The provider's.
    Provider,
    /// The account's: its key, its money, its limits.
    Account,
    /// The request's.
    Request,
    /// This process' or this machine's.
    Ours,
    /// Not a fault: the caller no longer wants it, or another attempt was faster.
    NotAFault,
}

/// What the call does next at the target that failed. Other targets are asked in any case, unless the call ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Next {
    /// It sends the same again at once, once; after that it is as after a pause.
    Resend,
    /// It tries again after a pause, or when the provider says.
    Pause,
    /// It tries again after a pause, while other targets are asked too.
    Silence,
    /// It asks again once, at once: another answer may be better.
    AskAgain,
    /// It sends less, as long as it can be made shorter.
    Shorter,
    /// It does not come back, unless the provider says when.
    Leave,
    /// The call ends, unless the route says that others are asked.
    Reject,
    /// The call ends.
    End,
}

/// What a failure puts on hold, and for how long if the provider does not say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HoldRule {
    /// Whether it holds the key at all targets; otherwise it holds the target, or the key at that target.
    pub whole_key: bool,
    /// How long. Then it is tried again; earlier only by a call that has no other target.
    pub time: Duration,
    /// What an operator has to do before it ends; `None` where it ends by itself.
    pub remedy: Option<Remedy>,
}

impl HoldRule {
    /// Tells whether it ends by itself; else an operator has to act.
    pub const fn passes(&self) -> bool {
        self.remedy.is_none()
    }
}

/// What an operator has to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Remedy {
    /// Replace the key.
    ReplaceKey,
    /// Pay, or raise the account's limit.
    AddCredit,
    /// Have the key's account allowed to use the target.
    HaveAllowed,
    /// Name another model, or have it opened to the account.
    NameAnother,
    /// Correct the provider's address.
    CorrectAddress,
}

/// Why what was paid for an attempt bought no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Waste {
    /// Its provider said so, or it came to nothing here.
    Failed,
    /// Its answer broke off, or paused for too long.
    CutOff,
    /// Its answer was empty or unusable.
    DrawnAgain,
    /// Another attempt of its call was faster.
    SlowerOfTwo,
    /// Its caller left, or read no more.
    Abandoned,
    /// A holder ended its call.
    Cancelled,
    /// Its call ended before it did.
    CallEnded,
    /// The runtime stopped.
    Stopped,
}
named!(Waste {
    Failed = "failed",
    CutOff = "cut off",
    DrawnAgain = "drawn again",
    SlowerOfTwo = "slower of two",
    Abandoned = "abandoned",
    Cancelled = "cancelled",
    CallEnded = "call ended",
    Stopped = "stopped",
});

/// The status for a caller of the sidecar if no target answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CallerStatus {
    /// Its request is invalid: 400.
    Invalid,
    /// Its conversation is too long: 400.
    ContextTooLong,
    /// A filter refused it: 400.
    ContentPolicy,
    /// Its request is too large: 413.
    TooLarge,
    /// It asks too often: 429.
    RateLimited,
    /// No target can answer now: 503, or 529.
    Unavailable,
    /// No target can answer until an operator acts: 424.
    NeedsOperator,
    /// Its result is no answer: 502.
    NoAnswer,
    /// We are at fault: 500.
    Internal,
}

/// Everything that follows from a class.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Consequences {
    /// Whose fault it is.
    pub owner: FaultOwner,
    /// How far it usually reaches.
    pub scope: Scope,
    /// What it weighs on the target's health: 0 where it is not the provider's.
    pub weight: f64,
    /// Whether the provider's Retry-After is obeyed.
    pub obeys_retry_after: bool,
    /// What the call does next.
    pub next: Next,
    /// What is put on hold, and for how long.
    pub hold: Option<HoldRule>,
    /// Its rank among refusals of one request: higher is more useful to the caller. `None` where it is not about the
    /// request.
    pub refusal_rank: Option<u8>,
    /// The status for the caller if no target answered.
    pub status: CallerStatus,
    /// Why what was paid for it bought no answer.
    pub waste: Waste,
}

/// Returns the rule that holds a key at all targets for so many minutes, until an operator acts.
const fn key(minutes: u64, remedy: Remedy) -> HoldRule {
    HoldRule { whole_key: true, time: Duration::from_secs(60 * minutes), remedy: Some(remedy) }
}

/// Returns the rule that holds a target, or a key at it, for so many minutes, until an operator acts.
const fn here(minutes: u64, remedy: Remedy) -> HoldRule {
    HoldRule { whole_key: false, time: Duration::from_secs(60 * minutes), remedy: Some(remedy) }
}

const KEY: Option<HoldRule> = Some(key(10, Remedy::ReplaceKey));
const MONEY: Option<HoldRule> = Some(key(15, Remedy::AddCredit));
const PERMIT: Option<HoldRule> = Some(here(10, Remedy::HaveAllowed));
const MODEL: Option<HoldRule> = Some(here(60, Remedy::NameAnother));
const PLACE: Option<HoldRule> = Some(here(10, Remedy::CorrectAddress));
const LIMIT: Option<HoldRule> = Some(HoldRule { whole_key: false, time: Duration::from_secs(5), remedy: None });

impl FailureClass {
    /// Tells whether it is no failure: no call wanted the answer any more.
    pub const fn is_unwanted(self) -> bool {
        matches!(self.consequences().next, Next::End)
    }

    /// Returns everything that follows from the class.
    pub const fn consequences(self) -> Consequences {
        use CallerStatus::{
            ContentPolicy as Policy, ContextTooLong as TooLong, Internal, Invalid, NeedsOperator as Operator, NoAnswer,
            RateLimited, TooLarge, Unavailable,
        };
        use FailureClass as C;
        use FaultOwner::{Account, NotAFault, Ours, Provider, Request as Caller};
        use Next::{AskAgain, End, Leave, Pause, Reject, Resend, Shorter, Silence};
        use Scope::{Endpoint, Key, Model, Request};
        use Waste::{Abandoned, CallEnded, Cancelled, CutOff, DrawnAgain, Failed, SlowerOfTwo, Stopped};
        const YES: bool = true;
        const NO: bool = false;
        #[rustfmt::skip]
        let (owner, scope, weight, obeys_retry_after, next, hold, refusal_rank, status, waste) = match self {
            C::Unsent         => (NotAFault, Request,  0.0,  NO,  Resend,   None,   None,    Unavailable, Failed),
            C::Connect        => (Provider,  Endpoint, 1.0,  NO,  Pause,    None,   None,    Unavailable, Failed),
            C::Server         => (Provider,  Model,    1.0,  YES, Pause,    None,   None,    Unavailable, Failed),
            C::Overloaded     => (Provider,  Endpoint, 1.0,  YES, Pause,    None,   None,    Unavailable, Failed),
            C::RateLimited    => (Account,   Key,      0.0,  YES, Leave,    LIMIT,  None,    RateLimited, Failed),
            C::RequestExceedsLimit => (Caller, Request, 0.0, NO, Leave, None, Some(2), TooLarge, Failed),
            C::OutOfMoney     => (Account,   Key,      0.0,  NO,  Leave,    MONEY,  None,    Operator,    Failed),
            C::Unauthorised   => (Account,   Key,      0.0,  NO,  Leave,    KEY,    None,    Operator,    Failed),
            C::Forbidden      => (Account,   Key,      0.0,  NO,  Leave,    PERMIT, None,    Operator,    Failed),
            C::ModelGone      => (Provider,  Model,    0.0,  NO,  Leave,    MODEL,  None,    Operator,    Failed),
            C::WrongAddress   => (Ours,      Endpoint, 0.0,  NO,  Leave,    PLACE,  None,    Operator,    Failed),
            C::BadRequest     => (Caller,    Request,  0.0,  NO,  Reject,   None,   Some(4), Invalid,     Failed),
            // One unusual request proves nothing against a target; a target that refuses everything without an
            // explanation is out of order.
            C::Declined       => (Caller,    Request,  0.25, NO,  Leave,    None,   Some(0), Invalid,     Failed),
            C::Unsupported    => (Caller,    Request,  0.0,  NO,  Leave,    None,   Some(1), Invalid,     Failed),
            C::ContextTooLong => (Caller,    Request,  0.0,  NO,  Shorter,  None,   Some(5), TooLong,     Failed),
            C::ContentPolicy  => (Caller,    Request,  0.0,  NO,  Reject,   None,   Some(3), Policy,      Failed),
            C::NoFirstToken   => (Provider,  Model,    1.0,  NO,  Silence,  None,   None,    Unavailable, Failed),
            C::Stalled        => (Provider,  Model,    1.0,  NO,  Silence,  None,   None,    Unavailable, CutOff),
            C::Cut            => (Provider,  Model,    1.0,  NO,  Pause,    None,   None,    Unavailable, CutOff),
            C::Empty          => (Provider,  Request,  1.0,  NO,  AskAgain, None,   None,    NoAnswer,    DrawnAgain),
            C::Unusable       => (Provider,  Request,  0.5,  NO,  AskAgain, None,   None,    NoAnswer,    DrawnAgain),
            C::Crashed        => (Ours,      Request,  0.0,  NO,  Pause,    None,   None,    Internal,    Failed),
            C::LocalShortage  => (Ours,      Request,  0.0,  NO,  Pause,    None,   None,    Unavailable, Failed),
            C::CallerLeft     => (NotAFault, Request,  0.0,  NO,  End,      None,   None,    Unavailable, Abandoned),
            C::Cancelled      => (NotAFault, Request,  0.0,  NO,  End,      None,   None,    Unavailable, Cancelled),
            C::CallEnded      => (NotAFault, Request,  0.0,  NO,  End,      None,   None,    Unavailable, CallEnded),
            C::Stopped        => (NotAFault, Request,  0.0,  NO,  End,      None,   None,    Unavailable, Stopped),
            C::HedgeLost      => (NotAFault, Request,  0.0,  NO,  End,      None,   None,    Unavailable, SlowerOfTwo),
        };
        Consequences { owner, scope, weight, obeys_retry_after, next, hold, refusal_rank, status, waste }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_call_wants_any_more_is_nobodys_fault_and_every_lasting_hold_says_what_to_do() {
        for class in FailureClass::ALL {
            let it = class.consequences();
            assert!(!class.is_unwanted() || it.owner == FaultOwner::NotAFault, "{class}");
            let is_of_answer = matches!(it.waste, Waste::Failed | Waste::CutOff | Waste::DrawnAgain);
            assert_eq!(class.is_unwanted(), !is_of_answer, "{class}");
            let needs_operator = it.hold.is_some_and(|rule| !rule.passes());
            assert_eq!(it.status == CallerStatus::NeedsOperator, needs_operator, "{class}");
        }
    }
}
