//! The machine's rows, one line each.
//!
//! `check("a b: server ok", "a b =b")` reads: over the targets a and b, the first attempt fails as `server`, the next
//! one answers; the call asks a, then b, and ends with b's answer.
//!
//! Before the colon: targets in the order of the plan, each with `#2` its number of keys (else one), `/128` its context
//! window in thousands, `~2` how often its conversation can be cut shorter, `*500` its first-token limit in ms (half of
//! which it may be silent before another is asked beside it, and an eighth of which it usually takes), and what keeps
//! it out of plans: `-3s` not back before that time, `-full` no free place, `-paced` limits with room in a second,
//! `-probed` a probe that is out, `-never` an operator, `-open` a breaker (so it may be asked as a last resort), `%1`
//! its failure domain (else one of its own), `^` that it is not there for hedges, `!` that its breaker is closed (so a
//! first visit is free). Settings: `stream` and `fail` (commit
//! policies; else buffered), `by=5s` (deadline; else 600 s), `max=5` (attempts), `wait=1s`, `parks` (three times, until
//! a target is back or for a second), `twice` (a silent target may be asked again beside itself, when it is late),
//! `less` (takes less rather than end, from targets that are out as `-less`, and if it `says` so from a text),
//! `policy` (content policy failover), `bad` (bad request failover), `broke` (an empty budget), `race`,
//! `hedge=300ms` (a second one from that age on), `share=0` (of what hedges may cost), `again=1` (the same target
//! before others).
//!
//! After the colon: what happens, in order: `ok`, `content`, any failure class, `refused` (by a full target) and `away`
//! (by a provider that is down for good); `free` a place for a call in a queue, `late` that none will come in time,
//! `turn:b@3s` its turn at a target after that time; `server!` a failure that opens its target's breaker;
//! with `+5s` the time to come back; with `b.` before it for the attempt at `b`, else the last one's; with `3s@` after
//! how long. `heard` is more content, `given` that its target was given up.
//!
//! Expected: `a` a try, `a!` a resend, `a?` a last resort, `a'` a shorter conversation, `a<500` its first-token limit
//! in ms, if it has one, and `a@500` when it was asked where the script says `when`, both if it says `show`; `q` a
//! place in a queue, `~` a wait with nothing in flight, `~1500` where the script says `show`; `reset`, `>a` content
//! goes to the caller, `-a` an attempt is stopped, `=a` the answer; `rejected`, `exhausted`, `exhausted+30s`,
//! `deadline`, `interrupted`; `silent` all that was asked is silent.

use rand::SeedableRng;
use rand::rngs::StdRng;

use super::*;
use crate::policy::snapshot::Gate;
use crate::words::FailureClass;

mod pairs;
mod places;
mod storm;

struct Bench {
    machine: Failover,
    budget: RetryBudget,
    targets: Vec<Target>,
    start: Instant,
    now: Instant,
    /// When something happened last.
    since: Instant,
    rng: StdRng,
    /// What runs: attempt and target.
    started: Vec<(u32, usize)>,
    shows: bool,
    tells: bool,
    says: bool,
    buffered: bool,
    plans: u32,
    parked: u32,
    trace: Vec<String>,
}

struct Target {
    planned: Planned,
    out: Option<Out>,
}

#[derive(Clone, Copy, PartialEq)]
enum Out {
    Until(Duration),
    Full,
    Paced,
    Probed,
    Never,
    Open,
    Less,
}

fn time(text: &str) -> Duration {
    humantime::parse_duration(text).unwrap_or_else(|_| panic!("no time: {text}"))
}

fn letter(target: usize) -> char {
    char::from(b'a' + u8::try_from(target).unwrap())
}

fn place(letter: &str) -> usize {
    usize::from(letter.bytes().next().unwrap() - b'a')
}

fn class(name: &str) -> FailureClass {
    name.parse().unwrap_or_else(|_| panic!("no class: {name}"))
}

fn target(word: &str) -> Target {
    let (word, out) = match word.split_once('-') {
        None => (word, None),
        Some((word, "full")) => (word, Some(Out::Full)),
        Some((word, "paced")) => (word, Some(Out::Paced)),
        Some((word, "probed")) => (word, Some(Out::Probed)),
        Some((word, "never")) => (word, Some(Out::Never)),
        Some((word, "open")) => (word, Some(Out::Open)),
        Some((word, "less")) => (word, Some(Out::Less)),
        Some((word, until)) => (word, Some(Out::Until(time(until)))),
    };
    let (word, is_closed) = word.strip_suffix('!').map_or((word, false), |word| (word, true));
    let (word, shown_whole) = word.strip_suffix('$').map_or((word, false), |word| (word, true));
    let (word, spare) = word.strip_suffix('^').map_or((word, true), |word| (word, false));
    let (word, domain) = word.split_once('%').map_or((word, None), |(word, domain)| (word, domain.parse().ok()));
    let (word, keys) = word.split_once('#').unwrap_or((word, "1"));
    let keys = keys.parse().unwrap();
    let (word, first_token) = word.split_once('*').unwrap_or((word, "8000"));
    let (word, cuts) = word.split_once('~').unwrap_or((word, "0"));
    let cuts_max = cuts.parse().unwrap();
    let window = word.split_once('/').map(|(_, window)| window.parse::<u32>().unwrap() * 1_000);
    let first_token_max = Duration::from_millis(first_token.parse().unwrap());
    let planned = Planned {
        target: place(word),
        context_tokens_max: window,
        cuts_max,
        keys,
        first_token_max,
        needs: first_token_max / 8,
        patience: first_token_max / 2,
        pause_max: Duration::from_secs(3),
        overdue: None,
        measured: true,
        closed: is_closed,
        domain: domain.unwrap_or(90 + place(word)),
        hedge_after: None,
        hedge: spare.then_some(Cost::of(None)),
        shown_whole,
    };
    Target { planned, out }
}

impl Bench {
    fn new(setting: &str) -> Self {
        let (mut options, mut commit, mut deadline) =
            (FailoverOptions::default(), CommitPolicy::Buffered, Duration::from_secs(600));
        let (mut targets, mut budget, mut hedge_after, mut twice, mut shows, mut tells) =
            (Vec::new(), RetryBudget::default(), None, false, false, false);
        for word in setting.split_whitespace() {
            match word.split_once('=').unwrap_or((word, "")) {
                ("stream", _) => commit = CommitPolicy::Reset,
                ("fail", _) => commit = CommitPolicy::Fail,
                ("by", text) => deadline = time(text),
                ("max", text) => options.attempts_max = Some(text.parse().unwrap()),
                ("wait", text) => options.wait_max = time(text),
                ("policy", _) => options.content_policy_failover = true,
                ("bad", _) => options.bad_request_failover = true,
                ("broke", _) => {
                    budget = RetryBudget::default();
                    while budget.take(RetryKind::Failover) {}
                }
                ("race", _) => hedge_after = Some(Duration::ZERO),
                ("hedge", text) => hedge_after = Some(time(text)),
                ("again", text) => options.same_target_retries = text.parse().unwrap(),
                ("share", text) => options.hedge_share_max = text.parse().unwrap(),
                ("parks", _) => options.on_exhausted = OnExhausted::Wait,
                ("less", _) => options.on_exhausted = OnExhausted::Degrade,
                ("twice", _) => twice = true,
                ("says", _) => {}
                ("show", _) => shows = true,
                ("when", _) => tells = true,
                _ => targets.push(target(word)),
            }
        }
        let now = Instant::now();
        let mut machine = Failover::new(options, commit, now + deadline);
        machine.set_steps_down(targets.iter().any(|target| matches!(target.out, Some(Out::Less))));
        for target in &mut targets {
            target.planned.hedge_after = hedge_after;
            target.planned.overdue = twice.then_some(target.planned.patience);
        }
        let buffered = commit == CommitPolicy::Buffered;
        let (rng, started, trace) = (StdRng::seed_from_u64(1), Vec::new(), Vec::new());
        Self {
            machine,
            budget,
            targets,
            start: now,
            now,
            since: now,
            rng,
            started,
            shows,
            tells,
            says: setting.contains(" less says"),
            buffered,
            plans: 0,
            parked: 0,
            trace,
        }
    }

    fn plan(&mut self) {
        let (mut picks, mut refusals, mut last) = (Vec::new(), Vec::new(), Vec::new());
        let spent = self.machine.spent();
        for target in self.targets.iter().filter(|target| !spent.contains(&target.planned.target)) {
            let refusal = |gate, until| (target.planned.target, Refusal { gate, until });
            match target.out {
                Some(Out::Until(until)) if self.now < self.start + until => {
                    refusals.push(refusal(Gate::RateLimited, Some(self.start + until)));
                }
                None | Some(Out::Until(_)) => picks.push(target.planned),
                Some(Out::Full) => refusals.push(refusal(Gate::InFlight, None)),
                Some(Out::Paced) => refusals.push(refusal(Gate::Paced, Some(self.now + Duration::from_secs(1)))),
                Some(Out::Probed) => refusals.push(refusal(Gate::Breaker, None)),
                Some(Out::Never) => refusals.push(refusal(Gate::Disabled, None)),
                Some(Out::Open) => last.push(target.planned),
                Some(Out::Less) => {}
            }
        }
        let last_resort = picks.is_empty() && !last.is_empty();
        let picks = if last_resort { last } else { picks };
        self.machine.planned(picks, refusals, last_resort, self.now);
        self.plans += 1;
    }

    fn say(&mut self, text: impl Into<String>) {
        self.trace.push(text.into());
    }

    fn of(&self, number: u32) -> char {
        letter(self.started.iter().find(|(known, _)| *known == number).unwrap().1)
    }

    fn ask(&mut self, this: Try, events: &mut std::iter::Peekable<impl Iterator<Item = String>>) {
        let mark = if this.resend {
            "!"
        } else if this.last_resort {
            "?"
        } else {
            ""
        };
        let limit = this.first_token_max.filter(|_| self.shows);
        let limit = limit.map_or_else(String::new, |limit| format!("<{}", limit.as_millis()));
        let at = self.now - self.start + Duration::from_micros(999);
        let at = if self.tells { format!("@{}", at.as_millis()) } else { String::new() };
        let shorter = "'".repeat(this.cuts as usize);
        self.say(format!("{}{shorter}{mark}{limit}{at}", letter(this.target)));
        let refused = events.next_if(|event| event.starts_with("refused") || event.starts_with("away"));
        match refused {
            Some(event) => {
                let until = event.split_once('+').map(|(_, wait)| self.now + time(wait));
                let full = if until.is_some() { Gate::RateLimited } else { Gate::InFlight };
                let gate = if event.starts_with("away") { Gate::Disabled } else { full };
                self.machine.refused(Refusal { gate, until }, &self.budget, self.now);
            }
            None => {
                self.started.push((this.number, this.target));
                self.machine.admitted(self.now);
            }
        }
    }

    fn happen(&mut self, event: &str) {
        let (after, event) = event.split_once('@').unwrap_or(("0s", event));
        self.now = self.now.max(self.since + time(after));
        self.since = self.now;
        let (number, event) = match event.split_once('.') {
            Some((target, event)) => (self.started.iter().rev().find(|(_, at)| *at == place(target)).unwrap().0, event),
            None => (self.started.last().unwrap().0, event),
        };
        let (event, breaks) = event.strip_suffix('!').map_or((event, false), |event| (event, true));
        if breaks {
            let (_, at) = *self.started.iter().find(|(known, _)| *known == number).unwrap();
            self.targets[at].out = Some(Out::Probed);
        }
        let (event, back) = match event.split_once('+') {
            Some((event, wait)) => (event, Some(self.now + time(wait))),
            None => (event, None),
        };
        match event {
            "nothing" => {}
            "ok" => self.machine.succeeded(number, &self.budget),
            "content" => self.machine.content(number, self.now),
            "heard" => self.machine.heard(number, self.now),
            "given" => self.machine.given_up(number),
            "back" => self.machine.came_back(number, self.now),
            name => {
                let (name, scope) = name.split_once('/').map_or((name, None), |(name, _)| (name, Some(Scope::Model)));
                let failure = Failure::new(class(name), "");
                let failure = Failure { scope: scope.unwrap_or(failure.scope), ..failure };
                self.machine.failed(number, &failure, back, self.now, &mut self.rng);
            }
        }
    }

    /// Runs until the call's end; with nothing left to happen, time passes.
    fn run(&mut self, script: &str) -> String {
        let events: Vec<String> = script.split_whitespace().map(str::to_owned).collect();
        let mut events = events.into_iter().peekable();
        for _ in 0..1_000 {
            match self.machine.next(&self.budget, self.now) {
                Step::Plan => self.plan(),
                Step::Try(this) => self.ask(this, &mut events),
                Step::Reset(_) => self.say("reset"),
                Step::Commit(_) if self.buffered => {}
                Step::Commit(number) => self.say(format!(">{}", self.of(number))),
                Step::Cancel(number, _) => self.say(format!("-{}", self.of(number))),
                Step::Queue(_) if events.peek().is_some_and(|event| event == "late") => {
                    self.say("q");
                    events.next();
                    self.machine.unplaced(Some(self.now + Duration::from_secs(5)), self.now);
                }
                Step::Queue(_) if events.peek().is_some_and(|event| event == "free") => {
                    self.say("q");
                    events.next();
                    self.targets.iter_mut().for_each(|target| target.out = None);
                    self.machine.woken(None, self.now);
                }
                Step::Queue(_) if events.peek().is_some_and(|event| event.starts_with("turn")) => {
                    let event = events.next().unwrap();
                    let (letter, after) = event[5..].split_once('@').unwrap_or((&event[5..], "0s"));
                    self.say("q");
                    self.now += time(after);
                    self.targets[place(letter)].out = None;
                    self.machine.woken(Some(place(letter)), self.now);
                }
                Step::Wait(until) | Step::Queue(until) => {
                    assert!(until > self.now && until <= self.machine.deadline, "waits for the past, or too long");
                    let runs = self.machine.targets.iter().any(CallTarget::runs);
                    let early = |event: &String| {
                        let after = event.split_once('@').map_or(Duration::ZERO, |(after, _)| time(after));
                        let places = matches!(event.as_str(), "free" | "late");
                        runs && !places && self.since + after <= until
                    };
                    match events.next_if(early) {
                        Some(event) => self.happen(&event),
                        None => {
                            if !runs {
                                let millis = (until - self.now).as_millis();
                                self.say(if self.shows { format!("~{millis}") } else { "~".to_owned() });
                            }
                            self.now = until;
                        }
                    }
                }
                Step::Exhausted(back) => {
                    self.say("parked");
                    self.parked += 1;
                    self.now = back.unwrap_or(self.now + Duration::from_secs(1));
                    if self.parked > 3 {
                        self.machine.end_exhausted();
                    } else {
                        self.machine.anew();
                    }
                }
                Step::Silent => {
                    self.say("silent");
                    if self.targets.iter().any(|target| target.out == Some(Out::Less)) {
                        self.targets.retain_mut(|target| target.out.take() == Some(Out::Less));
                        self.machine.anew();
                    } else if self.says {
                        self.machine.end_silent(self.now);
                    }
                }
                Step::Finish(number) => {
                    self.say(format!("={}", self.of(number)));
                    return self.end(events);
                }
                Step::GiveUp(why) => {
                    self.say(match why {
                        GiveUp::Rejected(_) => "rejected".to_owned(),
                        GiveUp::Exhausted(None) => "exhausted".to_owned(),
                        GiveUp::Exhausted(Some(back)) => {
                            format!("exhausted+{}", humantime::format_duration(back - self.now))
                        }
                        GiveUp::Deadline => "deadline".to_owned(),
                        GiveUp::Interrupted(_) => "interrupted".to_owned(),
                    });
                    return self.end(events);
                }
            }
        }
        panic!("no end: {:?}", self.trace)
    }

    /// Ends the call: later events are ignored.
    fn end(&mut self, events: impl Iterator<Item = String>) -> String {
        assert!(!self.machine.targets.iter().any(CallTarget::runs), "an attempt is left behind");
        events.for_each(|event| self.happen(&event));
        assert!(self.machine.said.is_empty(), "the dead do not speak");
        self.trace.join(" ")
    }
}

fn check(script: &str, expected: &str) {
    let (setting, events) = script.split_once(':').unwrap();
    assert_eq!(Bench::new(setting).run(events), expected, "{script}");
}

#[test]
fn a_call_with_nothing_left_to_try_is_parked_and_begins_again() {
    check("a-3s b-never parks: ok", "parked a =a");
    check("a-1s parks: ok", "parked a =a");
    check("a b parks max=2: server server ok", "a b parked a =a");
    check("a parks: rate_limited+3s ok", "a parked a =a");
    // The attempt that is free for a new call is also free for a parked call that goes on; all further attempts are
    // paid for.
    check("a b c parks broke: rate_limited rate_limited rate_limited ok", "a b parked a parked a =a");
    // It keeps its place in the end: three times here.
    check("a-never parks:", "parked parked parked parked exhausted");
}

#[test]
fn a_call_whose_request_is_at_fault_is_neither_parked_nor_asked_again() {
    check("a b parks: bad_request", "a rejected");
    check("a parks: unsupported", "a rejected");
    check("a b parks: empty empty empty", "a a b exhausted");
    check("a b-3s parks: unsupported ok", "a parked b =b");
    check("a/8 b-3s parks: context_too_long ok", "a parked b =b");
}

#[test]
fn each_failure_class_has_its_own_next_step() {
    // Failures that are no fault of a target: once again at once; then as any failure.
    check("a b: unsent ok", "a a! =a");
    check("a b: unsent unsent ok", "a a! b =b");
    check("a: unsent unsent ok", "a a! ~ a =a");
    // The provider's fault: the next target, at once; the same after a pause, if there is no other.
    for class in ["connect", "overloaded", "no_first_token", "stalled", "cut", "crashed"] {
        check(&format!("a b: {class} ok"), "a b =b");
        check(&format!("a: {class} ok"), "a ~ a =a");
        check(&format!("a max=2: {class} {class}"), "a ~ a exhausted");
    }
    check("a b: server ok", "a b =b");
    check("a: server ok", "a ~ a =a");
    check("a b: server overloaded ok", "a b ~ a =a");
    check("a b: server server ok", "a b ~ a =a");
    // Limits.
    check("a b: rate_limited ok", "a b =b");
    check("a b: rate_limited+1s ok", "a b =b");
    check("a: rate_limited+1s ok", "a ~ a =a");
    check("a: rate_limited+3s ok", "a exhausted+3s");
    check("a by=10s: rate_limited+1s ok", "a ~ a =a");
    check("a by=10s: rate_limited+1500ms ok", "a exhausted+1s 500ms");
    check("a: rate_limited ok", "a ~ a? =a");
    check("a b: request_exceeds_limit ok", "a b =b");
    // Verdicts.
    check("a#2 b: model_gone ok", "a b =b");
    for class in ["out_of_money", "unauthorised", "forbidden", "model_gone"] {
        check(&format!("a b: {class} ok"), "a b =b");
        check(&format!("a: {class}"), "a exhausted");
    }
    // The request's own.
    check("a b: bad_request", "a rejected");
    check("a b bad: bad_request ok", "a b =b");
    // By the rules of one target.
    check("a b: bad_request/model ok", "a b =b");
    check("a b: bad_request/model bad_request/model", "a b rejected");
    check("a b c: unsupported bad_request/model ok", "a b c =c");
    check("a b c: bad_request/model bad_request ok", "a b rejected");
    check("a b bad: bad_request bad_request", "a b rejected");
    check("a b: declined ok", "a b =b");
    check("a b: declined declined", "a b rejected");
    check("a: declined", "a rejected");
    check("a b: declined server ok", "a b ~ b =b");
    check("a b: unsupported ok", "a b =b");
    check("a b: unsupported unsupported", "a b rejected");
    check("a b: content_policy", "a rejected");
    check("a b policy: content_policy ok", "a b =b");
    check("a b policy: content_policy content_policy", "a b rejected");
    // The answer's.
    for class in ["empty", "unusable"] {
        check(&format!("a b: {class} ok"), "a a =a");
        check(&format!("a b: {class} {class} ok"), "a a b =b");
        check(&format!("a b c max=9: {class} {class} {class}"), "a a b exhausted");
    }
    // Its reader's.
    check("a b stream: content cancelled", "a >a interrupted");
}

#[test]
fn a_failure_of_the_key_goes_to_the_next_key_at_once_and_uses_no_attempt() {
    for class in ["out_of_money", "unauthorised", "forbidden", "rate_limited", "rate_limited+1h"] {
        check(&format!("a#2 b: {class} ok"), "a a =a");
        check(&format!("a#2 b: {class} {class} ok"), "a a b =b");
        check(&format!("a#2 b: {class} refused+10m ok"), "a a b =b");
        check(&format!("a#2: {class} refused+10m"), "a a exhausted+10m");
        // Four bad ones of five, with any attempts and budget.
        let four = [class; 4].join(" ");
        check(&format!("a#5 b max=1 broke: {four} ok"), "a a a a a =a");
        check(&format!("a#5 b max=1 broke: {four} {class} ok"), "a a a a a b =b");
        check(&format!("a#2 b#2 c: {class} {class} {class} {class} ok"), "a a b b c =c");
        // And then as any failure.
        check(&format!("a#5 b max=1: {class} server"), "a a exhausted");
    }
    // The sooner of the keys is waited for, if that is soon.
    check("a#2: rate_limited+40s rate_limited+1s ok", "a a ~ a =a");
    check("a#2: rate_limited+40s refused+1s ok", "a a ~ a =a");
    check("a#2: unauthorised refused+10m", "a a exhausted+10m");
    check("a#2 b stream: unauthorised content ok", "a a >a =a");
}

#[test]
fn a_request_that_all_asked_targets_refused_is_rejected_though_others_are_left() {
    check("a b c d: declined declined unsupported", "a b c rejected");
    check("a b c-30s max=2: declined declined", "a b rejected");
    check("a b c-30s: declined declined", "a b exhausted+30s");
    check("a b c max=2: declined overloaded", "a b exhausted");
}

#[test]
fn of_several_refusals_the_caller_gets_the_most_specific() {
    use FailureClass as C;
    let said = |class, code: Option<&str>| Failure { code: code.map(str::to_owned), ..Failure::new(class, "no") };
    let rising = [
        said(C::Declined, None),
        said(C::Declined, Some("x")),
        said(C::Unsupported, None),
        said(C::RequestExceedsLimit, None),
        said(C::ContentPolicy, None),
        said(C::BadRequest, None),
        said(C::ContextTooLong, None),
    ];
    assert!(rising.is_sorted_by(|less, more| refusal_rank(less) < refusal_rank(more)));
    assert!(rising.iter().all(|failure| is_own(failure.class)));
}

#[test]
fn a_conversation_that_is_too_long_goes_to_larger_windows_only() {
    check("a/128 b/64 c/200: context_too_long ok", "a c =c");
    check("a/128 b/128: context_too_long", "a rejected");
    check("a/128 b: context_too_long ok", "a b =b");
    check("a b/64: context_too_long ok", "a b =b");
    check("a/64 b/128 c/200: context_too_long context_too_long ok", "a b c =c");
    // One that comes back later is no larger for it.
    check("a/128 b/64-1s c/64-30s: context_too_long", "a ~ exhausted+29s");
    // One that could take it may come back: that is no verdict on the request.
    check("a/128 b/200-30s: context_too_long", "a exhausted+30s");
    check("a/128 b/200 max=2: context_too_long overloaded", "a b exhausted");
}

#[test]
fn a_conversation_that_can_be_cut_goes_to_larger_windows_first_and_then_shorter_to_the_same() {
    check("a~2: context_too_long ok", "a a' =a");
    check("a~2: context_too_long context_too_long ok", "a a' a'' =a");
    check("a~2 max=9: context_too_long context_too_long context_too_long", "a a' a'' rejected");
    check("a/128~2 b/64~2 c/200~2: context_too_long ok", "a c =c");
    check("a/128~2 b/64~2 c/200~2: context_too_long server ok", "a c a' =a");
    check("a/128~2 b: context_too_long context_too_long ok", "a b a' =a");
    // It is asked again like any target: as long as there are attempts and a budget.
    check("a~2 max=1: context_too_long", "a rejected");
    check("a~2 broke: context_too_long", "a rejected");
}

#[test]
fn attempts_are_counted_and_resends_are_not() {
    check("a b c d: cut cut cut", "a b c exhausted");
    check("a b c d max=1: cut", "a exhausted");
    check("a max=1: unsent ok", "a a! =a");
    check("a b c: cut cut unsent ok", "a b c c! =c");
    check("a b c: unsent cut unsent cut unsent cut", "a a! b b! c c! exhausted");
    check("a max=5: server server server server server", "a ~ a ~ a ~ a ~ a exhausted");
}

#[test]
fn pauses_at_a_sole_target_grow_and_keep_the_deadline() {
    let pauses = |setting: &str| {
        let trace = Bench::new(setting).run(&"server ".repeat(12));
        let pauses = trace.split(' ').filter_map(|word| word.strip_prefix('~')?.parse::<u64>().ok());
        pauses.collect::<Vec<_>>()
    };
    let pauses_of_many = pauses("a max=6 show by=20s");
    assert_eq!(pauses_of_many.len(), 5);
    for (n, pause) in pauses_of_many.iter().enumerate() {
        assert!(*pause <= 500 << n, "{pauses_of_many:?}");
    }
    assert!(pauses_of_many[2..].iter().any(|pause| *pause > 1_000), "no longer than any wait: {pauses_of_many:?}");
    assert!(pauses("a by=5s max=12 show").iter().sum::<u64>() <= 5_000);
    // The wait that a provider asks for is a wish: the call waits no longer than for any other target.
    check("a show: server+1s ok", "a ~1000 a =a");
    check("a: server+30s", "a exhausted+30s");
}

#[test]
fn a_target_that_comes_back_goes_before_a_pause_at_one_that_failed() {
    check("a b-1ms: server ok", "a ~ b =b");
    check("a b-30s: server ok", "a ~ a =a");
}

#[test]
fn the_commit_rule_holds() {
    // Before the first content nothing is seen.
    check("a b stream: cut content ok", "a b >b =b");
    // After it, by policy.
    check("a b stream: content cut content ok", "a >a b reset >b =b");
    check("a b fail: content cut", "a >a interrupted");
    check("a b: content cut content ok", "a b =b");
    // The caller keeps what it has until another answer replaces it, because there may be none.
    check("a b stream max=2: content cut cut", "a >a b interrupted");
    check("a stream max=1: content cut", "a >a interrupted");
    check("a stream: content cut content ok", "a >a ~ a reset >a =a");
    check("a b stream: content cut bad_request", "a >a b interrupted");
    check("a b c stream: content cut cut content ok", "a >a b c reset >c =c");
    check("a b c stream: content cut content cut content ok", "a >a b reset >b c reset >c =c");
    check("a b stream by=9s: content cut nothing", "a >a b a -b -a interrupted");
    // Content that is its end: tool calls alone.
    check("a b stream: ok", "a >a =a");
    check("a stream: content content ok", "a >a =a");
}

#[test]
fn two_attempts_in_flight_follow_the_same_rules_as_one() {
    check("a b c race stream: a.content a.ok", "a b >a -b =a");
    check("a b c race stream: b.content a.ok a.content b.ok", "a b >b -a =b");
    check("a b c race: b.content a.ok b.ok", "a b -b =a");
    check("a b c race: b.cut a.ok", "a b =a");
    check("a b c race: a.server b.ok", "a b =b");
    check("a b c race: a.server b.server c.ok", "a b c =c");
    check("a b race: a.server b.forbidden ok", "a b ~ a =a");
    check("a b race: a.bad_request b.ok", "a b -b rejected");
    check("a b c race: b.unsent a.ok", "a b =a");
    check("a race: ok", "a =a");
    check("a b c race stream: a.content a.cut c.content c.ok", "a b >a -b c reset >c =c");
    check("a b race by=5s: nothing", "a b -a -b deadline");
    check("a b race max=1: ok", "a =a");
    check("a b-open race: ok", "a =a");
}

#[test]
fn a_hedge_joins_a_slow_attempt_once_and_takes_nothing_from_other_attempts() {
    check("a b c hedge=1s when: 2s@ok", "a@0 b@1000 -a =b");
    check("a b c hedge=1s when: 900ms@ok", "a@0 =a");
    check("a b c hedge=1s when: 2s@a.ok", "a@0 b@1000 -b =a");
    check("a b hedge=1s stream when: 900ms@content 60s@ok", "a@0 >a =a");
    check("a b hedge=1s when: 900ms@content 3s@ok", "a@0 =a");
    check("a b hedge=1s when: 900ms@heard 2s@ok", "a@0 =a");
    // Once a call; an attempt that is late after that is joined as always, and the call keeps all its attempts.
    check("a b c hedge=1s when: 3900ms@ok", "a@0 b@1000 -a =b");
    check("a b c d e hedge=1s when: 60s@ok", "a@0 b@1000 c@5000 d@9000 e@13000 -a -b -c -d =e");
    check("a b c d hedge=1s: 2s@b.cut 1s@a.cut cut cut", "a b c d exhausted");
    check("a b c hedge=1s when: cut 2s@ok", "a@0 b@0 c@1000 -b =c");
    // It fails: the first goes on.
    check("a b c hedge=1s when: 1500ms@b.cut 1s@a.ok", "a@0 b@1000 =a");
    check("a b c hedge=1s when: 1500ms@b.cut 4s@ok", "a@0 b@1000 c@4000 -a =c");
    check("a b hedge=1s max=1: 60s@ok", "a =a");
}

#[test]
fn a_hedge_goes_to_another_failure_domain_and_to_no_busy_target() {
    check("a%1 b%1 c%2 hedge=1s: 2s@ok", "a c -a =c");
    check("a%1 b%1 hedge=1s when: 5s@ok", "a@0 b@4000 -a =b");
    check("a b^ c hedge=1s: 2s@ok", "a c -a =c");
    check("a b^ race: ok", "a =a");
    check("a b-open hedge=1s when: 5s@ok", "a@0 b?@4000 -a =b");
    check("a-open b-open hedge=1s when: 5s@ok", "a?@0 b?@4000 -a =b");
    // A target that refuses it is followed by the next, and if all do, the first goes on.
    check("a b c hedge=1s: refused ok", "a b =b");
    check("a b c hedge=1s when: 1s@nothing 1s@ok", "a@0 b@1000 -a =b");
    check("a b-9s hedge=1s when: 5s@ok", "a@0 =a");
}

#[test]
fn a_hedge_is_paid_out_of_a_budget_of_its_own_and_a_move_like_any_other() {
    check("a b hedge=1s share=0 when: 5s@ok", "a@0 b@4000 -a =b");
    check("a b race share=0: ok", "a =a");
    let mut bench = Bench::new("a b c hedge=1s");
    assert_eq!(bench.run("2s@ok"), "a b -a =b");
    assert_eq!(bench.budget.tokens(), 10, "the first move of a call is free");
    assert!(!bench.budget.hedges.take(0.05, Cost::of(None), bench.now), "the one that nothing was spent for is taken");
    // A refused hedge gives its money back.
    let mut bench = Bench::new("a b-full hedge=1s");
    bench.targets[1].out = None;
    assert_eq!(bench.run("refused ok"), "a b =b");
    assert!(bench.budget.hedges.take(0.05, Cost::of(None), bench.now));
}

#[test]
fn where_many_are_slow_no_attempt_is_joined_for_that() {
    let mut bench = Bench::new("a b hedge=1s when");
    while bench.budget.hedges.is_straggler() {}
    assert_eq!(bench.run("5s@ok"), "a@0 b@4000 -a =b");
}

#[test]
fn an_attempt_whose_target_is_given_up_is_joined_at_once_by_the_target_of_a_new_plan() {
    check("a b c when: 1s@given 1s@ok", "a@0 b@1000 -a =b");
    check("a b c when: 1s@given 1s@a.ok", "a@0 b@1000 -b =a");
    check("a b when: 1s@given 1s@b.given 1s@ok", "a@0 b@1000 -a =b");
    check("a b c when: 1s@given 1s@b.given 1s@ok", "a@0 b@1000 c@2000 -a -b =c");
    check("a b c d max=2: 1s@given cut cut", "a b c c b -a -c -b deadline");
    check("a: 1s@given 1s@ok", "a =a");
    check("a b max=1: 1s@given 1s@ok", "a =a");
    // Beside one that works already no other is needed, and what the caller reads is left alone.
    check("a b c hedge=1s when: 2s@a.given 1s@ok", "a@0 b@1000 -a =b");
    check("a b stream: content given 1s@ok", "a >a =a");
    let mut bench = Bench::new("a b c");
    assert_eq!(bench.run("1s@given 1s@ok"), "a b -a =b");
    assert_eq!((bench.plans, bench.machine.is_scattered()), (2, true));
}

#[test]
fn where_no_other_target_is_left_a_silent_one_is_asked_again_beside_itself() {
    check("a twice when: 5s@ok", "a@0 a@4000 -a =a");
    check("a stream twice: 5s@content ok", "a a >a -a =a");
    // The first one may still win, and what is not late is not joined.
    check("a twice when: 5s@a.ok", "a@0 a@4000 -a =a");
    check("a twice when: 3500ms@ok", "a@0 =a");
    check("a twice when: 3s@heard 5s@ok", "a@0 =a");
    check("a stream twice: content 60s@ok", "a >a =a");
    // At growing intervals, and no more at once than a call may make attempts: the first is never the one that goes.
    check("a twice when: 17s@ok", "a@0 a@4000 a@8000 a@12000 -a -a -a =a");
    let trace = "a@0 a@4000 a@8000 a@12000 -a a@18000 -a a@27000 -a a@40500 -a -a -a =a";
    check("a twice when: 60s@ok", trace);
    let trace = "a@0 a@4000 a@8000 -a a@12000 -a a@18000 -a a@27000 -a a@40500 -a -a =a";
    check("a max=2 twice when: 60s@ok", trace);
    check("a max=1 twice: 60s@ok", "a =a");
    // Others go first, those that come back are asked as if it were not there, and then each has its own pace.
    check("a b twice when: 9s@ok", "a@0 b@4000 a@8000 b@8000 -a -b -a =b");
    let trace = "a@0 b@4000 a@8000 b@8000 a@12000 b@12000 b@16000 -b a@18000 -a -a -b -a -b -b =a";
    check("a b twice when: 20s@ok", trace);
    check("a b-6s twice when: 7s@ok", "a@0 a@4000 b@6000 -a -a =b");
    check("a b-full twice: free ok", "a a q b -a -a =b");
    check("a b-open twice when: 7s@ok", "a@0 b?@4000 -a =b");
    // Where it fails the other goes on, and the target is asked again as ever, or else as those are that are silent.
    check("a twice: 5s@server 4s@ok", "a a a -a =a");
    check("a broke twice: 5s@server 4s@ok", "a a a -a =a");
    check("a twice: 5s@bad_request", "a a -a rejected");
    check("a#2 twice: 5s@unauthorised ok", "a a a -a =a");
    // It may be refused, and comes back when it was told.
    check("a twice when: 4s@nothing refused 10s@ok", "a@0 a@4000 a@5000 a@9000 a@13500 -a -a -a =a");
    check("a twice when: 4s@nothing refused+6s 7s@ok", "a@0 a@4000 a@10000 -a =a");
    check("a by=4s twice: 60s@ok", "a -a deadline");
    // Once its target is back it is asked at once if it is overdue, whatever it was told; what is not late is not.
    check("a twice when: 4s@nothing refused+60s 6s@back 1s@ok", "a@0 a@4000 a@10000 -a =a");
    check("a twice when: 3s@back 500ms@ok", "a@0 =a");
    // Given up and back at the moment at which it was asked.
    check("a twice when: 0s@given 0s@back 1s@ok", "a@0 a@0 -a =a");
    // No budget pays for it: only answers would fill that.
    check("a broke twice when: 5s@ok", "a@0 a@4000 -a =a");
    let mut bench = Bench::new("a twice");
    assert_eq!(bench.run("5s@ok"), "a a -a =a");
    assert_eq!(bench.budget.tokens(), 10);
}

#[test]
fn a_call_that_may_take_less_does_so_once_all_are_silent_by_as_much_again_and_callers_no_longer_watch() {
    check("a less says twice when: 60s@ok", "a@0 a@4000 a@8000 silent -a -a -a exhausted");
    let silence = |setting: &str| {
        let mut bench = Bench::new(setting);
        bench.run("");
        (bench.now - bench.start).as_secs()
    };
    assert_eq!(silence("a*400 less says twice"), 10, "however quick it usually is");
    assert_eq!(silence("a*40000 less says twice"), 40, "as much again");
    assert_eq!(silence("a*60000 less says"), 60, "where nothing is measured its own limit counts");
    assert_eq!(silence("a*400 b*400 less says twice"), 10);
    assert_eq!(silence("a twice"), 600, "a call that is to fail waits for the answer");
    // What says nothing ends nothing, and targets that are kept for this are asked beside.
    check("a less twice: 11s@ok", "a a a silent -a -a =a");
    check("a b-less less twice: 9s@nothing 3s@b.ok", "a a a silent b -a -a -a =b");
    check("a b-less less twice: 9s@nothing 3s@a.ok", "a a a silent b -a -a -b =a");
    // They are asked in time, however short that is.
    check("a b-less less twice by=3s when: 2500ms@b.ok", "a@0 silent b@1928 -a =b");
    check("a c b-less less twice by=900ms stream when: 800ms@b.content b.ok", "a@0 c@300 silent b@600 >b -a -c =b");
    check("a less says twice by=3s when: 9s@nothing", "a@0 -a deadline");
    // Never once the caller has read something.
    check("a stream less says twice: content 60s@ok", "a >a =a");
    let trace = Bench::new("a b stream less says twice").run("content cut 60s@ok");
    assert!(!trace.contains("silent") && trace.contains("reset"), "{trace}");
}

#[test]
fn the_first_attempt_always_starts_and_later_ones_unless_no_answer_could_come_in_time() {
    check("a b by=1ms: ok", "a =a");
    check("a b by=3s: 1500ms@cut ok", "a b =b");
    check("a b by=320ms: 20ms@cut ok", "a b =b");
    check("a b by=320ms stream: content 20ms@cut content ok", "a >a b reset >b =b");
    check("a b by=30ms stream: content 20ms@cut ok", "a >a interrupted");
    check("a by=3s: nothing", "a -a deadline");
}

#[test]
fn an_attempt_that_is_silent_for_too_long_is_joined_by_the_next_and_may_still_win() {
    check("a b when: 5s@ok", "a@0 b@4000 -a =b");
    check("a b when: 5s@a.ok", "a@0 b@4000 -b =a");
    check("a b stream: 5s@content b.ok", "a b >b -a =b");
    check("a b stream: 5s@a.content a.ok", "a b >a -b =a");
    check("a b: 5s@b.cut a.ok", "a b =a");
    // A target that waits behind is asked in its time, and those that failed again.
    check("a b c when: 9s@ok", "a@0 b@4000 c@8000 -a -b =c");
    check("a b: 5s@b.cut 1s@a.cut ok", "a b b =b");
    // It is late again only if it is silent again.
    check("a b when: 3s@heard 2s@heard 2s@ok", "a@0 =a");
    check("a b when: 3s@heard 5s@ok", "a@0 b@6000 -a =b");
    // A target's own limit ends its attempt.
    check("a*1000 b when: 600ms@nothing 400ms@a.no_first_token ok", "a@0 b@500 =b");
    // An attempt whose content the caller reads is never late.
    check("a b stream: content 60s@ok", "a >a =a");
}

#[test]
fn a_silent_target_leaves_the_usual_time_to_the_targets_behind_it() {
    check("a b by=3s when: 2900ms@ok", "a@0 b@1928 -a =b");
    check("a b by=6s when: 2s@heard 3500ms@ok", "a@0 b@4928 -a =b");
    // Too little for all: each gets a part.
    check("a b c by=3s when: 2900ms@ok", "a@0 b@1000 c@2000 -a -b =c");
    check("a b c d e by=1s when: 990ms@ok", "a@0 b@200 c@400 d@600 e@800 -a -b -c -d =e");
    check("a b by=200ms when: 190ms@ok", "a@0 b@100 -a =b");
    // A quick target needs little of it.
    check("a b*800 by=3s when: 2950ms@ok", "a@0 b@2884 -a =b");
    // A target that comes back meanwhile is behind, too; and one that comes back later is waited for.
    check("a b-2s by=5s when: 4900ms@ok", "a@0 b@3928 -a =b");
    check("a b-4500ms by=5s when: 4900ms@ok", "a@0 b@4500 -a =b");
    // One that admits nothing is asked only when there is no other.
    check("a b-open when: 5s@ok", "a@0 b?@4000 -a =b");
}

#[test]
fn silence_does_not_count_among_attempts_unless_there_is_to_be_one_only() {
    check("a b c d max=2: 60s@ok", "a b c d -a -b -c =d");
    check("a b max=1: 60s@ok", "a =a");
    check("a b c max=1: 5s@a.cut", "a exhausted");
    check("a b c d max=2: 5s@cut 1s@cut 9s@ok", "a b c b c -a -b =c");
    check("a b c broke: 60s@ok", "a b -a =b");
}

#[test]
fn an_attempt_has_its_targets_limit_as_long_as_another_target_could_follow() {
    check("a b c show: cut cut ok", "a<8000 b<8000 c =c");
    check("a b c d show: cut cut ok", "a<8000 b<8000 c =c");
    check("a show: ok", "a =a");
    check("a b-5s show: ok", "a<8000 =a");
    check("a b-9s show: ok", "a =a");
    check("a b max=1 show: ok", "a =a");
    check("a b by=5s show: ok", "a =a");
}

#[test]
fn the_same_target_is_asked_once_more_before_others_where_its_route_says_so() {
    check("a b: server ok", "a b =b");
    check("a b again=1: server ok", "a ~ a =a");
    check("a b again=1: server server ok", "a ~ a b =b");
    check("a b again=2 max=4: server server ok", "a ~ a ~ a =a");
    check("a b again=1 max=2: server server", "a b exhausted");
    check("a b again=2 max=3: server server server", "a ~ a b exhausted");
    // The call waits for the time that the target asks for, if that is short.
    check("a b again=1: rate_limited+1s ok", "a ~ a =a");
    check("a b again=1: overloaded+1s ok", "a ~ a =a");
    check("a b again=1: rate_limited+2s ok", "a b =b");
    check("a b again=1 by=5s: overloaded+1s ok", "a b =b");
    check("a#2 b again=1: rate_limited+1s ok", "a a =a");
    let mut bench = Bench::new("a b again=1");
    assert_eq!(bench.run("rate_limited+1s ok"), "a ~ a =a");
    let waited = bench.now - bench.start;
    assert!((1_100..=1_200).contains(&waited.as_millis()), "later than its hold, and not all at once: {waited:?}");
    // A target that still refuses then is no reason to wait on.
    check("a b again=1: rate_limited+1s refused+1s ok", "a ~ a b =b");
    // Only that is waited for, and never for a caller that has read some of an answer.
    for class in ["overloaded", "connect", "cut", "rate_limited", "declined"] {
        check(&format!("a b again=1: {class} ok"), "a b =b");
    }
    check("a b again=1 stream: content server ok", "a >a b reset >b =b");
    // It is paid for like any other of its kind.
    check("a b again=1 broke: server ok", "a ~ b =b");
}

#[test]
fn a_calls_first_move_is_free_and_the_next_ones_are_not() {
    check("a b c broke: cut ok", "a b =b");
    check("a b c broke: cut cut", "a b exhausted");
    check("a#2 b c broke: unauthorised cut ok", "a a b =b");
    check("a broke: unsent ok", "a a! =a");
    check("a broke: server", "a exhausted");
    check("a b broke: empty ok", "a b =b");
    check("a broke: rate_limited+1s", "a exhausted+1s");
    // A target that refuses is no move.
    check("a b c broke: cut refused ok", "a b c =c");
    // Nor is a first attempt that is refused.
    check("a b c broke: refused cut ok", "a b c =c");
}

#[test]
fn where_nothing_is_configured_a_call_can_ask_each_target_and_one_or_two_again() {
    for (targets, attempts) in [(1, 3), (2, 4), (3, 3), (8, 8), (12, 12)] {
        assert_eq!(FailoverOptions::default().of_route(targets).attempts(), attempts);
    }
    let set = FailoverOptions { attempts_max: Some(1), ..FailoverOptions::default() };
    assert_eq!(set.of_route(5).attempts(), 1);
}

#[test]
fn a_first_visit_to_a_target_that_is_not_known_to_be_ill_costs_nothing() {
    check("a! b! c! broke: cut cut ok", "a b c =c");
    check("a! b! c broke: cut cut", "a b exhausted");
    check("a! b! c! d! broke max=4: cut cut cut ok", "a b c d =d");
    // Only the first.
    check("a! b! broke: server server", "a b exhausted");
    // Beside silences, too.
    check("a! b! c! d! broke by=900ms: 899ms@d.ok", "a b c d -a -b -c =d");
    check("a! b c broke by=4s when: 3900ms@ok", "a@0 b@1855 -a =b");
}

#[test]
fn the_budget_of_a_try_is_given_back_when_its_target_refuses() {
    for (script, spent) in [
        ("a b c: cut cut ok", 1),
        ("a b c: forbidden forbidden away away away away", 0),
        ("a: server refused+1m", 0),
        ("a: server ok", 1),
        ("a b: empty refused ok", 0),
        ("a#2 b: unauthorised refused+10m ok", 0),
        ("a#3 b: unauthorised unauthorised refused+10m away away away away", 0),
    ] {
        let (setting, events) = script.split_once(':').unwrap();
        let mut bench = Bench::new(setting);
        let trace = bench.run(events);
        assert_eq!(10 - bench.budget.tokens(), spent, "{script}: {trace}");
        if spent == 0 {
            // Five of the ten tokens for the same target may be taken, so all ten are there again.
            assert_eq!((0..9).filter(|_| bench.budget.take(RetryKind::SameTarget)).count(), 5, "{script}");
        }
    }
}

#[test]
fn a_last_resort_is_asked_when_no_other_target_admits() {
    check("a-open b-open: cut ok", "a? b? =b");
    check("a b-open: forbidden ok", "a b? =b");
    check("a-never b-open: ok", "b? =b");
    check("a-open: server ok", "a? ~ a? =a");
}

#[test]
fn refusals_cost_no_attempt_and_say_when_to_come_back() {
    check("a b: refused ok", "a b =b");
    check("a b c: refused refused refused refused ok", "a b c a b =b");
    check("a-30s b-40s:", "exhausted+30s");
    check("a-30s b-never:", "exhausted+30s");
    check("a-never:", "exhausted");
    check(":", "exhausted");
    check("a b-30s: forbidden", "a exhausted+30s");
    check("a b: away away away away away away", "a b a b a b exhausted");
}

#[test]
fn a_target_that_is_back_soon_is_waited_for() {
    check("a-1500ms: ok", "~ a =a");
    check("a-2500ms:", "exhausted+2s 500ms");
    check("a-500ms wait=400ms:", "exhausted+500ms");
    check("a-1500ms by=10s:", "exhausted+1s 500ms");
    check("a-900ms by=10s: ok", "~ a =a");
    check("a-2s b-1s show: ok", "~1000 b<8000 =b");
    // A hold lasts a little longer than was said.
    check("a: rate_limited+2s refused+100ms ok", "a ~ a ~ a =a");
    check("a b-1s: forbidden ok", "a ~ b =b");
    // Patience is for all waits together, until something is admitted.
    check("a-1s: refused+500ms refused+500ms refused+500ms ok", "~ a a a ~ a =a");
    check("a-1s wait=1s: refused+500ms refused+500ms refused+500ms", "~ a a a exhausted+500ms");
}

#[test]
fn a_call_that_finds_no_place_waits_only_for_one() {
    check("a-full: free ok", "q a =a");
    check("a-paced: free ok", "q a =a");
    check("a b: refused refused refused refused refused refused free ok", "a b a b a b q a =a");
    check("a-full b-3s: free ok", "q a =a");
    // One that is back gives it its turn.
    check("a-full b-1s: turn:b@1s ok", "q b =b");
    // It ends where it would come too late, and says when one comes.
    check("a-full: late", "q exhausted+5s");
    check("a-full by=20s:", "~ deadline");
    // One that is to be asked again has its place like any other.
    check("a: server refused refused refused free ok", "a ~ a a a q a =a");
    // Beside one that is silent, too.
    check("a*400 b-full: free b.ok", "a q b -a =b");
    check("a*400 b-full: late a.ok", "a q =a");
}

#[test]
fn a_target_that_cannot_say_when_it_is_back_is_waited_for_until_patience_ends_and_not_looked_at() {
    let mut bench = Bench::new("a-probed");
    assert_eq!(bench.run(""), "~ exhausted");
    // 2 s, and a little more.
    assert_eq!(bench.now - bench.start, Duration::from_millis(2_300));
    assert_eq!(bench.plans, 2);
    check("a-probed: free ok", "q a =a");
    check("a-probed b-full by=20s:", "~ deadline");
}

#[test]
fn plans_are_made_as_seldom_as_may_be() {
    for (script, plans) in [
        ("a b c: ok", 1),
        ("a b c: cut cut ok", 1),
        // A second try is planned when it is due.
        ("a b: cut cut ok", 3),
        ("a b: cut cut", 5),
        ("a: unsent ok", 1),
        ("a b: refused refused refused refused refused refused", 3),
        ("a-1s: ok", 2),
    ] {
        let (setting, events) = script.split_once(':').unwrap();
        let mut bench = Bench::new(setting);
        // Without the patience to look again.
        bench.machine.options.wait_max = if setting.contains('-') { Duration::from_secs(2) } else { Duration::ZERO };
        let trace = bench.run(events);
        assert_eq!(bench.plans, plans, "{script}: {trace}");
    }
}

#[test]
fn a_reconfiguration_renames_targets_and_forgets_those_that_are_gone() {
    let mut bench = Bench::new("a b c");
    let shift = |target: usize| target.checked_sub(1);
    let script = ["", "cut"];
    for event in script {
        // Up to where the attempt runs.
        loop {
            match bench.machine.next(&bench.budget, bench.now) {
                Step::Plan => bench.plan(),
                Step::Try(this) => bench.ask(this, &mut std::iter::empty().peekable()),
                _ => break,
            }
        }
        if event.is_empty() {
            // a is gone while it is at work, b is a now, and c is b.
            bench.machine.reindex(shift);
            bench.targets.remove(0);
            for target in &mut bench.targets {
                target.planned.target -= 1;
            }
        }
    }
    assert_eq!(bench.machine.spent(), [GONE], "it still runs");
    // It fails in a way that would have it asked again; instead b is, which is a now.
    assert_eq!(bench.run("server ok"), "a a =a");
}

#[test]
fn an_unknown_attempt_changes_nothing() {
    let mut bench = Bench::new("a stream");
    let failure = Failure::new(FailureClass::BadRequest, "");
    bench.machine.content(7, bench.now);
    bench.machine.succeeded(7, &bench.budget);
    bench.machine.failed(7, &failure, None, bench.now, &mut bench.rng);
    assert_eq!(bench.run("content ok"), "a >a =a");
}

/// A call with these targets planned, for tests of what the machine tells beside its steps.
struct Call {
    machine: Failover,
    budget: RetryBudget,
    now: Instant,
    rng: StdRng,
}

impl Call {
    fn new(options: FailoverOptions, commit: CommitPolicy, targets: &[&str]) -> Self {
        let now = Instant::now();
        let mut machine = Failover::new(options, commit, now + Duration::from_secs(600));
        machine.planned(targets.iter().map(|word| target(word).planned), [], false, now);
        Self { machine, budget: RetryBudget::default(), now, rng: StdRng::seed_from_u64(1) }
    }

    fn next(&mut self) -> Step {
        self.machine.next(&self.budget, self.now)
    }

    fn tries(&mut self) -> Try {
        let Step::Try(this) = self.next() else { panic!("{:?}", self.machine) };
        self.machine.admitted(self.now);
        this
    }

    fn fails(&mut self, number: u32, class: FailureClass) {
        self.machine.failed(number, &Failure::new(class, ""), None, self.now, &mut self.rng);
    }
}

fn buffered(targets: &[&str]) -> Call {
    Call::new(FailoverOptions::default(), CommitPolicy::Buffered, targets)
}

#[test]
fn what_would_not_be_asked_for_want_of_a_place_is_at_work_done_with_or_has_a_time_of_its_own() {
    let mut call = buffered(&["a", "b"]);
    assert_eq!(call.machine.occupied(), [0, 1]);
    call.tries();
    assert_eq!((call.machine.occupied(), call.machine.spent()), (vec![0, 1], vec![0]));
    call.fails(1, FailureClass::Declined);
    call.tries();
    call.fails(2, FailureClass::Server);
    assert_eq!((call.machine.occupied(), call.machine.spent()), (vec![0, 1], vec![0]));
    // It is to be asked again, and has no place.
    call.now += Duration::from_secs(10);
    assert_eq!(call.next(), Step::Plan);
    call.machine.planned([target("b").planned], [], false, call.now);
    assert!(matches!(call.next(), Step::Try(this) if this.target == 1));
    call.machine.refused(Refusal { gate: Gate::InFlight, until: None }, &call.budget, call.now);
    assert_eq!((call.machine.occupied(), call.machine.refusing()), (vec![0], vec![0]));
    call.machine.woken(None, call.now);
    assert!(matches!(call.next(), Step::Plan | Step::Try(_)));
}

#[test]
fn a_target_that_is_out_for_good_is_not_asked_again() {
    check("a: server away ok", "a ~ a exhausted");
}

#[test]
fn beside_an_attempt_that_is_late_a_target_is_waited_for_as_long_as_that_may_take() {
    check("a b-5s when: 9s@ok", "a@0 b@6000 -a =b");
    check("a b-9s when: 12s@ok", "a@0 b@9000 -a =b");
}

#[test]
fn a_call_is_hedged_once_however_much_hedges_may_cost() {
    let mut bench = Bench::new("a b c hedge=300ms when");
    for _ in 0..100 {
        bench.budget.hedges.ended(None, Cost::of(None), bench.now);
    }
    assert_eq!(bench.run("3s@ok"), "a@0 b@300 -a =b");
}

#[test]
fn calls_that_are_quick_again_let_hedges_be_again() {
    let budget = RetryBudget::default();
    while budget.hedges.is_straggler() {}
    let after = |budget: RetryBudget, setting: &str| {
        (0..200).fold(budget, |budget, _| {
            let mut bench = Bench::new(setting);
            bench.budget = budget;
            bench.run("ok");
            bench.budget
        })
    };
    let budget = after(budget, "a b");
    assert!(!budget.hedges.is_straggler(), "those would not have hedged");
    assert!(after(budget, "a b hedge=300ms").hedges.is_straggler());
}

#[test]
fn answers_let_the_same_target_be_asked_again() {
    let mut budget = RetryBudget::default();
    while budget.take(RetryKind::SameTarget) {}
    for _ in 0..20 {
        let mut bench = Bench::new("a");
        bench.budget = budget;
        bench.run("ok");
        budget = bench.budget;
    }
    assert!(budget.allows(RetryKind::SameTarget));
}

#[test]
fn of_refusals_of_the_request_the_most_telling_is_told() {
    use FailureClass::{Declined, Unsupported};
    for classes in [[Unsupported, Declined], [Declined, Unsupported]] {
        let mut call = buffered(&["a", "b"]);
        for (number, class) in (1..).zip(classes) {
            call.tries();
            call.fails(number, class);
        }
        assert_eq!(call.next(), Step::Plan);
        call.machine.planned([], [], false, call.now);
        let told = Failure::new(Unsupported, "");
        assert_eq!(call.next(), Step::GiveUp(GiveUp::Rejected(told)), "{classes:?}");
    }
}

#[test]
fn an_attempt_knows_which_one_it_joins_and_why() {
    let mut call = buffered(&["a", "b"]);
    assert_eq!(call.tries().beside, None);
    call.now += Duration::from_secs(5);
    assert_eq!(call.tries().beside, Some((1, Join::Overdue)));
    let mut call = buffered(&["a", "b"]);
    call.tries();
    assert!(!call.machine.is_scattered());
    call.machine.given_up(1);
    assert!(call.machine.is_scattered());
    assert_eq!(call.next(), Step::Plan);
    call.machine.planned([target("b").planned], [], false, call.now);
    assert_eq!(call.tries().beside, Some((1, Join::GivenUp)));
}

#[test]
fn a_word_that_comes_late_makes_no_attempt_older() {
    let mut call = buffered(&["a"]);
    let at = |seconds| call.now + Duration::from_secs(seconds);
    let (second, fifth, eighth) = (at(2), at(5), at(8));
    call.tries();
    call.machine.content(1, call.now);
    call.now = fifth;
    for heard in [fifth, second] {
        call.machine.heard(1, heard);
        assert_eq!(call.next(), Step::Wait(eighth), "three seconds of silence are tolerated");
    }
}

#[test]
fn when_an_attempt_is_slow_is_as_its_target_is_now_and_only_where_it_may_be_joined() {
    for (hedge_after, joined) in [(Some(Duration::from_secs(3)), true), (None, false)] {
        let mut call = buffered(&[]);
        let planned = |word: &str| Planned { hedge_after, ..target(word).planned };
        call.machine.planned([planned("a"), planned("b")], [], false, call.now);
        call.tries();
        call.machine.slow_after(1, Some(Duration::from_secs(1)));
        call.now += Duration::from_secs(1);
        let step = call.next();
        assert_eq!(matches!(step, Step::Try(Try { beside: Some((1, Join::Slow)), .. })), joined, "{step:?}");
    }
}

#[test]
fn a_target_that_breaks_off_what_it_begins_is_shown_once_it_is_whole() {
    check("a b fail: content cut", "a >a interrupted");
    check("a$ b fail: content cut content ok", "a b >b =b");
    check("a$ b fail: content ok", "a >a =a");
    check("a$ fail: content cut content ok", "a ~ a >a =a");
}

#[test]
fn a_call_behind_others_waits_for_a_place_and_asks_nothing() {
    let mut call = buffered(&[]);
    call.machine.queue_behind_others();
    assert_eq!(call.next(), Step::Queue(call.machine.deadline()));
    let sooner = call.now + Duration::from_secs(7);
    call.machine.set_deadline(sooner);
    call.machine.queue_behind_others();
    assert_eq!((call.next(), call.machine.deadline()), (Step::Queue(sooner), sooner));
    call.machine.woken(None, call.now);
    assert_eq!(call.next(), Step::Plan);
}

#[test]
fn a_key_that_was_not_asked_has_a_part_of_the_time_as_another_target_has() {
    let begun = |deadline: u64, caller: fn(Instant) -> CallerPatience, keys| {
        let now = Instant::now();
        let options = FailoverOptions::default();
        let machine = Failover::new(options, CommitPolicy::Buffered, now + Duration::from_secs(deadline));
        let planned = Planned {
            keys,
            needs: Duration::from_secs(3),
            patience: Duration::from_secs(12),
            overdue: Some(Duration::from_secs(12)),
            measured: false,
            ..target("a").planned
        };
        let mut call = Call {
            machine: machine.with_caller(caller(now)),
            budget: RetryBudget::default(),
            now,
            rng: StdRng::seed_from_u64(1),
        };
        call.machine.planned([planned], [], false, now);
        assert!(!call.tries().other_key);
        let mut asked = Vec::new();
        while (call.now - now).as_secs() < deadline.min(20) {
            match call.next() {
                Step::Plan => call.machine.planned([], [], false, call.now),
                Step::Try(this) => {
                    asked.push(((call.now - now).as_millis(), this.other_key));
                    call.machine.admitted(call.now);
                }
                Step::Wait(until) | Step::Queue(until) => call.now = until,
                step => panic!("{step:?}"),
            }
        }
        asked
    };
    let own = |_: Instant| CallerPatience::Deadline;
    assert_eq!(begun(3, own, 2), [(1_000, true)], "the last has two parts of it");
    assert_eq!(begun(3, own, 3), [(750, true), (1_500, true)]);
    assert_eq!(begun(3, own, 9), [(750, true), (1_500, true)], "so many at most as a call makes attempts");
    assert_eq!(begun(3, own, 1), []);
    assert_eq!(begun(600, own, 2), [(12_000, true)]);
    let unknown = begun(600, CallerPatience::Unknown, 2);
    assert!((4_900..5_100).contains(&unknown[0].0) && unknown[0].1, "{unknown:?}");
    let soon = begun(600, |now| CallerPatience::Until(now + Duration::from_secs(4)), 2);
    assert!((1_300..1_400).contains(&soon[0].0), "as its client says, and it goes on: {soon:?}");
}

/// When a call over silent targets asked each of them, and when it took less, in milliseconds; `overdue` where that is
/// measured, `kept` where targets are kept for taking less.
fn silent(caller: fn(Instant) -> CallerPatience, targets: usize, overdue: Option<u64>, kept: bool) -> Vec<u128> {
    let now = Instant::now();
    let options = FailoverOptions { on_exhausted: OnExhausted::Degrade, ..FailoverOptions::default() };
    let machine = Failover::new(options, CommitPolicy::Buffered, now + Duration::from_secs(600));
    let late = Duration::from_secs(overdue.unwrap_or(12));
    let mut call = Call {
        machine: machine.with_caller(caller(now)),
        budget: RetryBudget::default(),
        now,
        rng: StdRng::seed_from_u64(1),
    };
    call.machine.set_steps_down(kept);
    let planned = |at: usize| Planned {
        target: at,
        needs: overdue.map_or(Duration::from_secs(3), |_| late),
        patience: late,
        overdue: Some(late),
        measured: overdue.is_some(),
        ..target("a!").planned
    };
    call.machine.planned((0..targets).map(planned), [], false, now);
    let mut times = Vec::new();
    loop {
        let at = (call.now - now).as_millis();
        match call.next() {
            Step::Plan => call.machine.planned([], [], false, call.now),
            Step::Try(this) => {
                times.extend(this.look.is_none().then_some(at));
                call.machine.admitted(call.now);
            }
            Step::Wait(until) | Step::Queue(until) => call.now = until,
            // One attempt of those at its one target, for another.
            Step::Cancel(..) => {}
            Step::Silent => return times.into_iter().chain([at]).collect(),
            step => panic!("{step:?}"),
        }
    }
}

#[test]
fn a_call_that_takes_less_does_so_while_its_caller_still_waits() {
    let says = |now: Instant| CallerPatience::Until(now + Duration::from_secs(16));
    assert_eq!(silent(says, 1, None, true), [0, 8_000], "half of its time");
    assert_eq!(silent(says, 3, None, true), [0, 3_200, 6_400, 9_600], "or what the attempts before leave");
    assert_eq!(silent(says, 1, None, false), [0, 14_000], "a text takes its way only");
    assert_eq!(silent(says, 1, Some(40), true), [0, 8_000], "also where it is measured that answers take long");
    assert_eq!(silent(CallerPatience::Unknown, 1, None, true), [0, 10_000], "of a caller that says nothing, too");
    assert_eq!(
        silent(CallerPatience::Unknown, 1, Some(40), true),
        [0, 20_000],
        "but no assumption before what is late"
    );
    assert_eq!(silent(CallerPatience::Unknown, 1, Some(2), true), [0, 10_000]);
    let deadline = |_: Instant| CallerPatience::Deadline;
    assert_eq!(silent(deadline, 1, None, false), [0, 24_000], "who waits for minutes is not hurried");
}

#[test]
fn where_nothing_is_measured_silent_targets_share_the_callers_time_evenly_and_the_last_has_two_parts() {
    assert_eq!(silent(CallerPatience::Unknown, 2, None, false)[..2], [0, 5_000]);
    assert_eq!(silent(CallerPatience::Unknown, 4, None, false)[..4], [0, 3_000, 6_000, 9_000]);
    assert_eq!(silent(CallerPatience::Unknown, 2, Some(8), false)[..2], [0, 7_500], "measured times keep their rule");
}

#[test]
fn a_provider_without_another_key_refuses_it_once_and_is_looked_at_as_ever() {
    let mut call = buffered(&["a#3"]);
    call.machine.targets[0].planned.overdue = Some(Duration::from_secs(4));
    call.tries();
    call.now += Duration::from_millis(4_001);
    let Step::Plan = call.next() else { panic!("{:?}", call.machine) };
    call.machine.planned([], [], false, call.now);
    let Step::Try(this) = call.next() else { panic!("{:?}", call.machine) };
    assert!(this.other_key && this.look.is_none());
    call.machine.refused(Refusal { gate: Gate::Paced, until: None }, &call.budget, call.now);
    let Step::Try(this) = call.next() else { panic!("{:?}", call.machine) };
    assert!(!this.other_key && this.look.is_some());
}
