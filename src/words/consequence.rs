//! The consequences of a failure: one row for each class, and the only place where code looks them up.
//!
//! A new class does not compile until it has a row. `docs/failures.md` prints the table, and a test compares.

use std::time::Duration;

use super::failure::{FailureClass, Scope};

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
    Redraw,
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
    /// Whether it ends by itself; else an operator has to act.
    pub passes: bool,
}

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
    pub heeds: bool,
    /// What the call does next.
    pub next: Next,
    /// What is put on hold, and for how long.
    pub hold: Option<HoldRule>,
    /// Its rank among refusals of one request: higher is more useful to the caller. `None` where it is not about the
    /// request.
    pub telling: Option<u8>,
    /// The status for the caller if no target answered.
    pub status: CallerStatus,
}

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const KEY_10: Option<HoldRule> = Some(HoldRule { whole_key: true, time: MINUTE.saturating_mul(10), passes: false });
const KEY_15: Option<HoldRule> = Some(HoldRule { whole_key: true, time: MINUTE.saturating_mul(15), passes: false });
const HERE_10: Option<HoldRule> = Some(HoldRule { whole_key: false, time: MINUTE.saturating_mul(10), passes: false });
const HERE_60: Option<HoldRule> = Some(HoldRule { whole_key: false, time: MINUTE.saturating_mul(60), passes: false });
const LIMIT: Option<HoldRule> = Some(HoldRule { whole_key: false, time: SECOND.saturating_mul(5), passes: true });

impl FailureClass {
    /// Returns everything that follows from the class.
    #[expect(clippy::match_same_arms, reason = "each class has a row of its own")]
    pub const fn consequences(self) -> Consequences {
        use CallerStatus::{
            ContentPolicy, ContextTooLong, Internal, Invalid, NeedsOperator, NoAnswer, RateLimited, TooLarge,
            Unavailable,
        };
        use FailureClass as C;
        use FaultOwner as W;
        use Next::{End, Leave, Pause, Redraw, Reject, Resend, Shorter, Silence};
        use Scope::{Endpoint, Key, Model, Request};
        const YES: bool = true;
        const NO: bool = false;
        #[rustfmt::skip]
        let (owner, scope, weight, heeds, next, hold, telling, status) = match self {
            C::Unsent              => (W::NotAFault,   Request,  0.0,  NO,  Resend,  None,    None,    Unavailable),
            C::Connect             => (W::Provider, Endpoint, 1.0,  NO,  Pause,   None,    None,    Unavailable),
            C::Server              => (W::Provider, Model,    1.0,  YES, Pause,   None,    None,    Unavailable),
            C::Overloaded          => (W::Provider, Endpoint, 1.0,  YES, Pause,   None,    None,    Unavailable),
            C::RateLimited         => (W::Account,  Key,      0.0,  YES, Leave,   LIMIT,   None,    RateLimited),
            C::RequestExceedsLimit => (W::Request,  Request,  0.0,  NO,  Leave,   None,    Some(2), TooLarge),
            C::OutOfMoney          => (W::Account,  Key,      0.0,  NO,  Leave,   KEY_15,  None,    NeedsOperator),
            C::Unauthorised        => (W::Account,  Key,      0.0,  NO,  Leave,   KEY_10,  None,    NeedsOperator),
            C::Forbidden           => (W::Account,  Key,      0.0,  NO,  Leave,   HERE_10, None,    NeedsOperator),
            C::ModelGone           => (W::Provider, Model,    0.0,  NO,  Leave,   HERE_60, None,    NeedsOperator),
            C::WrongAddress        => (W::Ours,     Endpoint, 0.0,  NO,  Leave,   HERE_10, None,    NeedsOperator),
            C::BadRequest          => (W::Request,  Request,  0.0,  NO,  Reject,  None,    Some(4), Invalid),
            // One unusual request proves nothing against a target; a target that refuses everything without an
            // explanation is out of order.
            C::Declined            => (W::Request,  Request,  0.25, NO,  Leave,   None,    Some(0), Invalid),
            C::Unsupported         => (W::Request,  Request,  0.0,  NO,  Leave,   None,    Some(1), Invalid),
            C::ContextTooLong      => (W::Request,  Request,  0.0,  NO,  Shorter, None,    Some(5), ContextTooLong),
            C::ContentPolicy       => (W::Request,  Request,  0.0,  NO,  Reject,  None,    Some(3), ContentPolicy),
            C::NoFirstToken        => (W::Provider, Model,    1.0,  NO,  Silence, None,    None,    Unavailable),
            C::Stalled             => (W::Provider, Model,    1.0,  NO,  Silence, None,    None,    Unavailable),
            C::Cut                 => (W::Provider, Model,    1.0,  NO,  Pause,   None,    None,    Unavailable),
            C::Empty               => (W::Provider, Request,  1.0,  NO,  Redraw,  None,    None,    NoAnswer),
            C::Unusable            => (W::Provider, Request,  0.5,  NO,  Redraw,  None,    None,    NoAnswer),
            C::Crashed             => (W::Ours,     Request,  0.0,  NO,  Pause,   None,    None,    Internal),
            C::Lack                => (W::Ours,     Request,  0.0,  NO,  Pause,   None,    None,    Unavailable),
            C::CallerLeft          => (W::NotAFault,   Request,  0.0,  NO,  End,     None,    None,    Unavailable),
            C::Cancelled           => (W::NotAFault,   Request,  0.0,  NO,  End,     None,    None,    Unavailable),
            C::CallEnded           => (W::NotAFault,   Request,  0.0,  NO,  End,     None,    None,    Unavailable),
            C::Stopped             => (W::NotAFault,   Request,  0.0,  NO,  End,     None,    None,    Unavailable),
            C::HedgeLost           => (W::NotAFault,   Request,  0.0,  NO,  End,     None,    None,    Unavailable),
        };
        Consequences { owner, scope, weight, heeds, next, hold, telling, status }
    }
}
