//! The targets that may serve a call: what it needs, and what the targets of its route can do and admit, as last
//! published.

use std::time::Duration;

use super::clock::now;
use super::prompt::MeasuredRequest;
use super::table::{Table, Target};
use super::work::Work;
use crate::policy::routing::{Candidate, ForeignParts, Needs, SkipReason};
use crate::policy::snapshot::Disabled;
use crate::spec::{MemberSpec, RouteSpec};
use crate::wire;
use crate::words::{
    ChatRequest, Demand, Demanded, Dialect, FailureClass, Message, ModelKind, ResponseFormat, UserPart,
};

impl Target {
    /// Returns why it cannot take a part of a request. Parts that the route leaves out do not count.
    fn obstacle(&self, route: &RouteSpec, asked: &MeasuredRequest, demand: &Demand) -> Option<SkipReason> {
        let Work::Chat(request) = &asked.work else {
            let takes = self.provider.spec.dialect == Dialect::OpenAiChat;
            return (!takes).then_some(SkipReason::Foreign);
        };
        let (provider, can) = (&self.provider.spec, self.spec().capabilities);
        match &demand.what {
            Demanded::Foreign(dialect, _) => {
                let is_dropped = || route.foreign_parts == ForeignParts::Drop && demand.may_be_left_out(request);
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

impl Table {
    /// Returns what a call's work asks of a target.
    pub(super) fn needs_of(&self, route: &RouteSpec, work: &Work) -> Needs {
        match work {
            Work::Chat(request) => self.needs(route, request),
            Work::Embed(request) => Needs {
                kind: ModelKind::Embedding,
                output_tokens: Some(0),
                labels: self.layout.labels(&request.labels) | route.labels,
                priority: request.priority,
                rule: request.rule,
                ..Needs::default()
            },
        }
    }

    /// Returns what a conversation asks of a target.
    pub(crate) fn needs(&self, route: &RouteSpec, request: &ChatRequest) -> Needs {
        Needs {
            kind: ModelKind::Chat,
            output_tokens: request.output_tokens_max,
            tools: !request.tools.is_empty(),
            images: request.messages.iter().any(shows_image),
            json: request.response_format == ResponseFormat::Json,
            json_schema: matches!(request.response_format, ResponseFormat::JsonSchema { .. }),
            labels: self.layout.labels(&request.labels) | route.labels,
            priority: request.priority,
            rule: request.rule,
            price_max: None,
            deadline: None,
        }
    }

    /// Returns a route's targets with their health as last published. A target of a provider that is down admits
    /// nothing. Either those that are marked as `degraded`, or all others. A target that is gone, as the caller has
    /// just heard or as is published, is replaced by its replacement.
    pub(crate) fn candidates(
        &self,
        route: &RouteSpec,
        asked: &MeasuredRequest,
        without: &[usize],
        gone: &[usize],
        degraded: bool,
    ) -> Vec<Candidate> {
        let mut candidates: Vec<Candidate> = Vec::with_capacity(route.members.len());
        for member in route.members.iter().filter(|member| member.degraded == degraded) {
            let at = self.replacement_of(member.target, gone);
            let is_member = |at| route.members.iter().any(|member| member.target == at);
            // Members differ from each other; only a replacement may already be in the list.
            let twice = || candidates.iter().any(|known| known.target == at) || is_member(at);
            if without.contains(&at) || (at != member.target && twice()) {
                continue;
            }
            let target = &self.targets[at];
            let spec = target.spec();
            let Some(health) = target.provider.slot.health(target.index) else { continue };
            let prompt_tokens = self.fit(at, route, asked, 0).tokens;
            candidates.push(Candidate {
                target: at,
                tier: member.tier,
                weight: member.weight,
                domain: target.place.domain,
                model: target.place.model,
                prompt_tokens,
                whole: asked.work.is_whole(&target.provider.spec, spec),
                price: target.price.as_ref().map(|price| price.at(prompt_tokens.into())),
                capabilities: spec.capabilities,
                obstacle: asked.demands.iter().find_map(|demand| target.obstacle(route, asked, demand)),
                labels: target.place.labels,
                health,
            });
        }
        candidates
    }

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

    /// Returns the first part of a request that no target of a route can take; else the first that one cannot.
    pub(super) fn untaken<'a>(&self, route: &RouteSpec, asked: &'a MeasuredRequest) -> Option<&'a Demand> {
        let lacks =
            |demand: &Demand, member: &MemberSpec| self.targets[member.target].obstacle(route, asked, demand).is_some();
        let nobody = |demand: &&Demand| route.members.iter().all(|member| lacks(demand, member));
        let some = |demand: &&Demand| route.members.iter().any(|member| lacks(demand, member));
        asked.demands.iter().find(nobody).or_else(|| asked.demands.iter().find(some))
    }
}

fn shows_image(message: &Message) -> bool {
    let parts = match message {
        Message::User(parts) => parts,
        Message::Tool(result) => &result.content,
        _ => return false,
    };
    parts.iter().any(|part| matches!(part, UserPart::Image(_)))
}
