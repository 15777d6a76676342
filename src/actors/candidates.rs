//! The targets that may serve a call: what they can do and admit, as last published.

use std::time::Duration;

use rand::rngs::Xoshiro256PlusPlus as SeededRng;

use super::clock::now;
use super::routed_request::RoutedRequest;
use super::table::{Table, Target};
use super::work::Work;
use crate::policy::hedge;
use crate::policy::routing::{self, Candidate, ForeignParts, Needs, Plan, RouteState, SkipReason, Sticky};
use crate::policy::snapshot::{Disabled, Health};
use crate::spec::{MemberSpec, RouteSpec};
use crate::wire;
use crate::words::{Demand, Demanded, Dialect, FailureClass, Hedging, TargetId};

impl Target {
    /// Returns why it cannot take a part of a request. Parts that the route leaves out do not count.
    fn obstacle(&self, asked: &RoutedRequest, demand: &Demand) -> Option<SkipReason> {
        let Work::Chat(request) = &asked.work else {
            let takes = self.provider.spec.dialect == Dialect::OpenAiChat;
            return (!takes).then_some(SkipReason::Foreign);
        };
        let (provider, can) = (&self.provider.spec, self.spec().capabilities);
        match &demand.what {
            Demanded::Foreign(dialect, _) => {
                let is_dropped = || asked.route.foreign_parts == ForeignParts::Drop && demand.may_be_left_out(request);
                (!provider.dialect.shares_fields(*dialect) && !is_dropped()).then_some(SkipReason::Foreign)
            }
            Demanded::Document(_) | Demanded::DocumentUrl if !can.documents => Some(SkipReason::Documents),
            Demanded::Audio if !can.audio => Some(SkipReason::Audio),
            what if wire::takes(provider.dialect, provider.flavour, request, what) => None,
            Demanded::Audio => Some(SkipReason::Audio),
            Demanded::Document(_) | Demanded::DocumentUrl => Some(SkipReason::Documents),
            Demanded::Tokens => Some(SkipReason::Foreign),
        }
    }

    /// Tells whether its provider says that the model is gone.
    fn is_gone(&self) -> bool {
        let health = self.provider.slot.health(self.index);
        let disabled = health.and_then(|health| health.disabled);
        matches!(disabled, Some(Disabled::Verdict { class: FailureClass::ModelGone, until }) if until > now())
    }
}

/// A target as a call finds it: its health as last published, and the call's work there.
pub(super) struct TargetView {
    pub(super) health: Health,
    /// Estimated length of the prompt there, as it would be sent.
    pub(super) prompt_tokens: u32,
    /// Whether the answer would come whole, in one burst.
    pub(super) whole: bool,
}

impl TargetView {
    /// Returns the age from which an attempt there may be joined for speed.
    pub(super) fn slow_after(&self, hedging: Hedging) -> Option<Duration> {
        hedge::slow_after(hedging, &self.health, self.whole, self.prompt_tokens)
    }

    /// Returns how long before its deadline a call must go there, as far as that was measured.
    pub(super) fn takes(&self, output_tokens: u32) -> Duration {
        self.health.takes(self.prompt_tokens, self.whole, output_tokens)
    }
}

/// Which targets of its route a call may have.
#[derive(Clone, Copy, Default)]
pub(super) struct Among<'a> {
    pub(super) without: &'a [usize],
    /// Those that are gone, as the caller has just heard. They are replaced by their replacements.
    pub(super) gone: &'a [usize],
    /// Whether it may have those that are marked as `degraded`, instead of all others.
    pub(super) degraded: bool,
}

impl RoutedRequest {
    /// Returns a target as it is now; `None` where nothing is published of it.
    pub(super) fn view(&self, target: usize) -> Option<TargetView> {
        let entry = self.target(target);
        let health = entry.provider.slot.health(entry.index)?;
        let whole = self.work.is_whole(&entry.provider.spec, entry.spec());
        Some(TargetView { health, prompt_tokens: self.fit(target, 0).tokens, whole })
    }

    /// Returns targets of its route with their health as last published. A target of a provider that is down admits
    /// nothing. One that is gone, as the caller has just heard or as is published, is replaced by its replacement.
    pub(super) fn candidates(&self, among: Among<'_>) -> Vec<Candidate> {
        let members = &self.route.members;
        let mut candidates: Vec<Candidate> = Vec::with_capacity(members.len());
        for member in members.iter().filter(|member| member.degraded == among.degraded) {
            let at = self.table.replacement_of(member.target, among.gone);
            let is_member = |at| members.iter().any(|member| member.target == at);
            // Members differ from each other; only a replacement may already be in the list.
            let twice = || candidates.iter().any(|known| known.target == at) || is_member(at);
            if among.without.contains(&at) || (at != member.target && twice()) {
                continue;
            }
            let target = self.target(at);
            let Some(TargetView { health, prompt_tokens, whole }) = self.view(at) else { continue };
            candidates.push(Candidate {
                target: at,
                tier: member.tier,
                weight: member.weight,
                domain: target.place.domain,
                model: target.place.model,
                prompt_tokens,
                whole,
                price: target.price.as_ref().map(|price| price.at(prompt_tokens.into())),
                capabilities: target.spec().capabilities,
                obstacle: self.demands.iter().find_map(|demand| target.obstacle(self, demand)),
                labels: target.place.labels,
                health,
            });
        }
        candidates
    }

    /// Plans its call when it begins. Where its estimated length is all that is in the way, targets are asked whose
    /// windows may be large enough after all.
    pub(super) fn first_plan(
        &mut self,
        pinned: Option<TargetId>,
        sticky: Option<Sticky>,
        memory: &mut RouteState,
        rng: &mut SeededRng,
    ) -> Plan {
        let plan = self.plan(Among::default(), &self.needs, pinned.clone(), sticky, memory, rng);
        if !plan.is_hopeless() || plan.too_small().next().is_none() {
            return plan;
        }
        self.needs.is_length_doubted = true;
        self.plan(Among::default(), &self.needs, pinned, sticky, memory, rng)
    }

    /// Plans its call among some targets of its route; `needs` are its own, or some that scatter such calls.
    pub(super) fn plan(
        &self,
        among: Among<'_>,
        needs: &Needs,
        pinned: Option<TargetId>,
        sticky: Option<Sticky>,
        memory: &mut RouteState,
        rng: &mut SeededRng,
    ) -> Plan {
        let pinned = pinned.and_then(|id| self.table.index(&id));
        routing::plan(&self.route.options, memory, &self.candidates(among), needs, sticky, pinned, now(), rng)
    }

    /// Returns the first part of it that no target of its route can take; else the first that one cannot.
    pub(super) fn untaken(&self) -> Option<&Demand> {
        let members = &self.route.members;
        let lacks = |demand: &Demand, member: &MemberSpec| self.target(member.target).obstacle(self, demand).is_some();
        let nobody = |demand: &&Demand| members.iter().all(|member| lacks(demand, member));
        let some = |demand: &&Demand| members.iter().any(|member| lacks(demand, member));
        self.demands.iter().find(nobody).or_else(|| self.demands.iter().find(some))
    }
}

impl Table {
    /// Returns how long an answer of the quickest target of a route takes, after a prompt of no length, as far as that
    /// was measured: a call with less time is not worth a place.
    pub(super) fn quickest(&self, route: &RouteSpec, work: &Work, output_tokens: u32) -> Duration {
        let all = route.members.iter().filter(|member| !member.degraded).map(|member| &self.targets[member.target]);
        let takes = all.filter_map(|target| {
            let whole = work.is_whole(&target.provider.spec, target.spec());
            Some(target.provider.slot.health(target.index)?.takes(0, whole, output_tokens))
        });
        takes.min().unwrap_or_default()
    }

    /// Returns the target that serves in a target's place: itself, unless it is gone and has a replacement.
    fn replacement_of(&self, mut at: usize, gone: &[usize]) -> usize {
        while let Some(next) = self.targets[at].place.replaced_by
            && (gone.contains(&at) || self.targets[at].is_gone())
        {
            at = next;
        }
        at
    }
}
