//! What is configured, as the actors see it: providers, targets and routes, each named once and then by index.
//!
//! A table is immutable; a new configuration is a new table. A provider that did not change keeps its slot from table
//! to table, and with it its actor, its health and its connections.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use super::key::Key;
use super::shared::now;
use super::slot::Slot;
use super::work::Work;
use crate::policy::admission::AdmissionOptions;
use crate::policy::failover::FailoverOptions;
use crate::policy::restart::RestartOptions;
use crate::policy::routing::{Candidate, ForeignParts, LabelSet, Needs, RouteOptions, SkipReason};
use crate::policy::snapshot::Disabled;
use crate::policy::tokens::{Measure, Prompt, PromptSize, Vocabulary, Weights};
use crate::policy::trim::{Cut, OverWindow, budget, fits};
use crate::transport::{Http, Transport, TransportOptions};
use crate::wire::{self, Model, Quirks};
use crate::words::{
    Capabilities, ChatRequest, Date, Demand, Demanded, Dialect, Error, FailureClass, Message, ModelClass, ModelKind,
    Price, ResponseFormat, TargetId, UserPart,
};

/// How a provider's requests get out.
#[derive(Clone, Debug)]
pub(crate) enum Way {
    /// Over real sockets.
    Http(TransportOptions),
    /// Over a transport of the user's, shared by all incarnations.
    Custom(Arc<dyn Transport>),
}

impl Way {
    pub(crate) fn open(&self) -> Result<Arc<dyn Transport>, String> {
        match self {
            Self::Http(options) => Ok(Arc::new(Http::new(options)?)),
            Self::Custom(transport) => Ok(transport.clone()),
        }
    }
}

impl PartialEq for Way {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Http(a), Self::Http(b)) => a == b,
            (Self::Custom(a), Self::Custom(b)) => Arc::ptr_eq(a, b),
            _ => false,
        }
    }
}

/// A provider as configured. Two that are equal need no new actor.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ProviderSpec {
    pub(crate) name: Arc<str>,
    pub(crate) dialect: Dialect,
    /// The accent it speaks with.
    pub(crate) quirks: &'static Quirks,
    pub(crate) base_url: String,
    /// Parameters of every address, escaped; empty where there are none.
    pub(crate) query: String,
    /// Its host, by which a local fault is told from a provider's.
    pub(crate) host: String,
    pub(crate) keys: Vec<Key>,
    pub(crate) headers: http::HeaderMap,
    pub(crate) stream_upstream: Option<bool>,
    pub(crate) way: Way,
    pub(crate) admission: AdmissionOptions,
    pub(crate) restart: RestartOptions,
    pub(crate) targets: Vec<TargetSpec>,
}

/// A model at a provider as configured.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct TargetSpec {
    pub(crate) id: TargetId,
    /// Which model it is, whoever hosts it and whatever it is called there.
    pub(crate) family: String,
    /// How its tokens are estimated before any are counted.
    pub(crate) vocabulary: Vocabulary,
    pub(crate) class: ModelClass,
    pub(crate) price: Option<Price>,
    pub(crate) capabilities: Capabilities,
    pub(crate) labels: Vec<String>,
    pub(crate) domain: String,
    pub(crate) timers: Timers,
    /// The last day it answers, where that is known.
    pub(crate) retires: Option<Date>,
    /// Who serves in its place once its provider says that it is gone.
    pub(crate) replaced_by: Option<TargetId>,
}

/// A target's timers; what is `None` follows from its class and its health.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Timers {
    pub(crate) first_token: Option<Duration>,
    pub(crate) stall: Option<Duration>,
}

impl ProviderSpec {
    /// Returns the whole address of a path at this provider.
    pub(crate) fn url(&self, path: &str) -> String {
        let Self { base_url, query, .. } = self;
        match (query.is_empty(), path.contains('?')) {
            (true, _) => format!("{base_url}{path}"),
            (false, true) => format!("{base_url}{path}&{query}"),
            (false, false) => format!("{base_url}{path}?{query}"),
        }
    }
}

impl TargetSpec {
    /// Returns what the codecs are told of the model, which may be the only one of who asks for it.
    pub(crate) fn model(&self, meant: bool) -> Model<'_> {
        let TargetId { provider, model } = &self.id;
        let (reasons, answer_max) = (self.class == ModelClass::Reasoning, self.capabilities.output_tokens_max);
        Model { provider, name: model, family: &self.family, reasons, answer_max, meant }
    }

    /// Returns the longest gap between two pieces of content: 15 s for chat, 90 s for reasoning models.
    pub(crate) fn stall(&self) -> Duration {
        self.timers.stall.unwrap_or(match self.class {
            ModelClass::Chat => Duration::from_secs(15),
            ModelClass::Reasoning => Duration::from_secs(90),
        })
    }
}

/// A provider that is configured and has its slot.
pub(crate) struct Provider {
    pub(crate) spec: ProviderSpec,
    pub(crate) slot: Arc<Slot>,
}

/// One target of the table.
pub(crate) struct Target {
    pub(crate) provider: Arc<Provider>,
    /// Its index at the provider.
    pub(crate) index: usize,
    pub(crate) labels: LabelSet,
    pub(crate) domain: u16,
    pub(crate) model: u16,
}

impl Target {
    pub(crate) fn spec(&self) -> &TargetSpec {
        &self.provider.spec.targets[self.index]
    }

    pub(crate) fn id(&self) -> &TargetId {
        &self.spec().id
    }

    /// Returns what a prompt's features cost here, as far as is known now.
    fn weights(&self) -> Weights {
        self.provider.slot.weights(self.index)
    }

    /// Returns a request's size by this target's measure.
    fn prompt<'a>(&self, asked: &'a Asked) -> &'a Prompt {
        asked.prompt(self.spec().vocabulary.measure())
    }

    /// Returns why it cannot take something of a request; what a route leaves out is no reason.
    fn obstacle(&self, route: &Route, asked: &Asked, demand: &Demand) -> Option<SkipReason> {
        let Work::Chat(request) = &asked.work else { return None };
        let (provider, can) = (&self.provider.spec, self.spec().capabilities);
        match &demand.what {
            Demanded::Foreign(dialect, _) => {
                let takes = provider.dialect.shares_fields(*dialect) || route.spec.foreign_parts == ForeignParts::Drop;
                (!takes).then_some(SkipReason::Foreign)
            }
            Demanded::Document(_) | Demanded::DocumentUrl if !can.documents => Some(SkipReason::Documents),
            Demanded::Audio if !can.audio => Some(SkipReason::Audio),
            what if crate::wire::takes(provider.dialect, provider.quirks, request, what) => None,
            Demanded::Audio => Some(SkipReason::Audio),
            Demanded::Document(_) | Demanded::DocumentUrl => Some(SkipReason::Documents),
        }
    }

    /// Tells whether its provider says that the model is gone.
    fn is_gone(&self) -> bool {
        let health = self.provider.slot.health(self.index);
        let disabled = health.and_then(|health| health.disabled);
        matches!(disabled, Some(Disabled::Verdict { class: FailureClass::ModelGone, until }) if until > now())
    }
}

/// A route as configured.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct RouteSpec {
    pub(crate) name: Arc<str>,
    pub(crate) options: RouteOptions,
    pub(crate) failover: FailoverOptions,
    pub(crate) members: Vec<MemberSpec>,
    pub(crate) labels: Vec<String>,
    pub(crate) over_window: OverWindow,
    pub(crate) foreign_parts: ForeignParts,
}

/// Another name of a route.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct AliasSpec {
    pub(crate) name: Arc<str>,
    /// The route's own name.
    pub(crate) route: Arc<str>,
}

/// A target of a route.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct MemberSpec {
    pub(crate) target: TargetId,
    pub(crate) tier: u8,
    pub(crate) weight: f64,
}

/// A route of the table.
pub(crate) struct Route {
    pub(crate) spec: RouteSpec,
    members: Vec<Member>,
    labels: LabelSet,
}

struct Member {
    target: usize,
    tier: u8,
    weight: f64,
}

/// A request, and its size as the targets of its route measure it.
pub(crate) struct Asked {
    pub(crate) work: Work,
    /// Whether the size of each message is wanted, too.
    by_message: bool,
    prompts: [OnceLock<Prompt>; Measure::COUNT],
    /// What of it not every target can take.
    demands: Vec<Demand>,
}

impl Asked {
    fn new(work: Work, by_message: bool) -> Self {
        let demands = if let Work::Chat(request) = &work { request.demands() } else { Vec::new() };
        Self { work, by_message, prompts: Default::default(), demands }
    }

    /// Returns the request's size by a measure. It is counted once.
    fn prompt(&self, measure: Measure) -> &Prompt {
        self.prompts[measure as usize].get_or_init(|| match &self.work {
            Work::Chat(request) => Prompt::of(request, measure, self.by_message),
            Work::Embed(request) => Prompt::of_texts(&request.inputs, measure),
        })
    }

    /// Returns the conversation, and the limit of its answer; texts to be embedded are none, and their answer is no text.
    fn conversation(&self) -> (&[Message], Option<u32>) {
        match &self.work {
            Work::Chat(request) => (&request.messages, request.output_tokens_max),
            Work::Embed(_) => (&[], Some(0)),
        }
    }
}

/// How a request goes to a target.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fitted {
    pub(crate) size: PromptSize,
    /// The same by the target's own weights.
    pub(crate) tokens: u32,
    /// What is left out for its window's sake.
    pub(crate) cut: Option<Cut>,
    /// The tokens of that.
    pub(crate) left_out: u32,
    /// Whether its route has no other model: who asks for the route means this one.
    pub(crate) meant: bool,
}

/// Providers, targets and routes.
#[derive(Default)]
pub(crate) struct Table {
    pub(crate) providers: Vec<Arc<Provider>>,
    pub(crate) targets: Vec<Arc<Target>>,
    pub(crate) routes: HashMap<Arc<str>, Arc<Route>>,
    labels: HashMap<String, usize>,
    /// Where each target stands.
    places: HashMap<TargetId, usize>,
}

impl Table {
    /// Builds a table. The specs were checked: every member of a route is a target, an alias stands for a route, labels
    /// are at most 64.
    pub(crate) fn new(providers: Vec<Arc<Provider>>, routes: &[RouteSpec], aliases: &[AliasSpec]) -> Self {
        let mut table = Self { providers, ..Self::default() };
        let (mut labels, mut domains, mut models) = (HashMap::new(), HashMap::new(), HashMap::new());
        for provider in &table.providers {
            for (index, spec) in provider.spec.targets.iter().enumerate() {
                let labels = spec
                    .labels
                    .iter()
                    .fold(LabelSet::default(), |set, label| LabelSet(set.0 | 1 << (intern(&mut labels, label) & 63)));
                let small = |index: usize| u16::try_from(index).unwrap_or(u16::MAX);
                let domain = small(intern(&mut domains, &spec.domain));
                let model = small(intern(&mut models, &spec.family));
                table.places.entry(spec.id.clone()).or_insert(table.targets.len());
                table.targets.push(Arc::new(Target { provider: provider.clone(), index, labels, domain, model }));
            }
        }
        table.labels = labels;
        for spec in routes {
            let members = spec.members.iter().filter_map(|member| {
                let target = table.index(&member.target)?;
                Some(Member { target, tier: member.tier, weight: member.weight })
            });
            let route = Route { members: members.collect(), labels: table.labels(&spec.labels), spec: spec.clone() };
            table.routes.insert(spec.name.clone(), Arc::new(route));
        }
        for AliasSpec { name, route } in aliases {
            let Some(route) = table.routes.get(route).cloned() else { continue };
            table.routes.insert(name.clone(), route);
        }
        table
    }

    /// Returns a target's index.
    pub(crate) fn index(&self, id: &TargetId) -> Option<usize> {
        self.places.get(id).copied()
    }

    /// Returns the target of an id.
    pub(crate) fn find(&self, id: &TargetId) -> Result<&Arc<Target>, Error> {
        self.index(id).map(|at| &self.targets[at]).ok_or_else(|| {
            let known: Vec<String> = self.targets.iter().map(|target| target.id().to_string()).collect();
            let problem = format!("no target `{id}`; there are: {}", known.join(", "));
            Error::Invalid { field: "target".into(), problem }
        })
    }

    /// Tells whether a route has models of several makers that speak a dialect, of which each takes its own proofs alone.
    pub(super) fn has_several_makers(&self, route: &Route, dialect: Dialect) -> bool {
        let targets = route.members.iter().map(|member| &self.targets[member.target]);
        let speak = targets.filter(|target| target.provider.spec.dialect == dialect);
        wire::has_several_makers(dialect, speak.map(|target| &*target.id().model))
    }

    /// Returns the set of some labels. One that no target carries is carried by none.
    fn labels(&self, labels: &[String]) -> LabelSet {
        let bit = |label| self.labels.get(label).map_or(1 << 63, |at| 1 << (at & 63));
        LabelSet(labels.iter().map(bit).fold(0, |set: u64, bit| set | bit))
    }

    /// Returns what a call's work asks of a target.
    pub(super) fn needs_of(&self, route: &Route, work: &Work) -> Needs {
        match work {
            Work::Chat(request) => self.needs(route, request),
            Work::Embed(request) => Needs {
                kind: ModelKind::Embedding,
                output_tokens: Some(0),
                tools: false,
                images: false,
                json: false,
                json_schema: false,
                labels: self.labels(&request.labels) | route.labels,
                priority: request.priority,
                rule: request.rule,
                deadline: None,
            },
        }
    }

    /// Returns what a conversation asks of a target.
    pub(crate) fn needs(&self, route: &Route, request: &ChatRequest) -> Needs {
        Needs {
            kind: ModelKind::Chat,
            output_tokens: request.output_tokens_max,
            tools: !request.tools.is_empty(),
            images: request.messages.iter().any(shows_image),
            json: request.response_format == ResponseFormat::Json,
            json_schema: matches!(request.response_format, ResponseFormat::JsonSchema { .. }),
            labels: self.labels(&request.labels) | route.labels,
            priority: request.priority,
            rule: request.rule,
            deadline: None,
        }
    }

    /// Returns a route's targets with their health as last published. A provider that is not there has none to admit.
    /// In the place of a target that is gone, as the caller has just heard or is published, stands its replacement.
    pub(crate) fn candidates(&self, route: &Route, asked: &Asked, without: &[usize], gone: &[usize]) -> Vec<Candidate> {
        let mut candidates: Vec<Candidate> = Vec::with_capacity(route.members.len());
        for member in &route.members {
            let at = self.stand_in(member.target, gone);
            let is_member = |at| route.members.iter().any(|member| member.target == at);
            let twice = || candidates.iter().any(|known| known.target == at) || (at != member.target && is_member(at));
            if without.contains(&at) || twice() {
                continue;
            }
            let target = &self.targets[at];
            let spec = target.spec();
            let Some(health) = target.provider.slot.health(target.index) else { continue };
            candidates.push(Candidate {
                target: at,
                tier: member.tier,
                weight: member.weight,
                domain: target.domain,
                model: target.model,
                prompt_tokens: self.fit(at, route, asked, 0).tokens,
                whole: asked.work.is_whole(&target.provider.spec),
                price: spec.price,
                capabilities: spec.capabilities,
                obstacle: asked.demands.iter().find_map(|demand| target.obstacle(route, asked, demand)),
                labels: target.labels,
                health,
            });
        }
        candidates
    }

    /// Returns who serves in a target's place: itself, unless it is gone and has a replacement. Replacements were
    /// checked to go in no circle.
    fn stand_in(&self, mut at: usize, gone: &[usize]) -> usize {
        while let Some(replacement) = &self.targets[at].spec().replaced_by
            && (gone.contains(&at) || self.targets[at].is_gone())
            && let Some(next) = self.index(replacement)
        {
            at = next;
        }
        at
    }

    /// Returns the first part of a request that no target of a route can take; else the first that one cannot.
    pub(super) fn untaken<'a>(&self, route: &Route, asked: &'a Asked) -> Option<&'a Demand> {
        let lacks =
            |demand: &Demand, member: &Member| self.targets[member.target].obstacle(route, asked, demand).is_some();
        let nobody = |demand: &&Demand| route.members.iter().all(|member| lacks(demand, member));
        let some = |demand: &&Demand| route.members.iter().any(|member| lacks(demand, member));
        asked.demands.iter().find(nobody).or_else(|| asked.demands.iter().find(some))
    }

    /// Tells whether a target is one of a route's.
    pub(crate) fn serves(&self, route: &Route, target: &TargetId) -> bool {
        route.members.iter().any(|member| self.targets[member.target].id() == target)
    }

    /// Estimates the prompt of a request as the route's first target counts.
    pub(crate) fn estimate(&self, route: &Route, work: impl Into<Work>) -> u32 {
        // Nothing is to be cut, so that no message is counted by itself; and one measure is enough.
        let asked = Asked::new(work.into(), false);
        let first = route.members.first().map(|member| &self.targets[member.target]);
        first.map_or(0, |target| target.weights().tokens(&target.prompt(&asked).whole))
    }

    /// Counts a request as the targets of a route measure it.
    pub(crate) fn ask(&self, route: &Route, work: impl Into<Work>) -> Asked {
        let by_message = route.spec.over_window == OverWindow::Trim;
        let asked = Asked::new(work.into(), by_message);
        for member in &route.members {
            self.targets[member.target].prompt(&asked);
        }
        asked
    }

    /// Returns how a request goes to a target of its route, after that one found it too long so many times.
    pub(crate) fn fit(&self, target: usize, route: &Route, asked: &Asked, cuts: u32) -> Fitted {
        let target = &self.targets[target];
        let spec = target.spec();
        let (weights, prompt) = (target.weights(), target.prompt(asked));
        let tokens = weights.tokens(&prompt.whole);
        let meant = route.members.iter().all(|member| self.targets[member.target].model == target.model);
        let uncut = Fitted { size: prompt.whole, tokens, cut: None, left_out: 0, meant };
        let (can, (messages, output_max)) = (&spec.capabilities, asked.conversation());
        let output = can.answer_max(output_max);
        let window = can.context_tokens_max;
        if route.spec.over_window == OverWindow::Skip || (cuts == 0 && fits(tokens, output, window)) {
            return uncut;
        }
        let excess = f64::from(tokens) - f64::from(budget(tokens, output, window, cuts));
        let Some(cut) = Cut::find(messages, |at| weights.weigh(&prompt.messages[at]), excess) else { return uncut };
        let size = cut.left_out(messages).fold(prompt.whole, |size, at| size - prompt.messages[at]);
        let left = weights.tokens(&size);
        Fitted { size, tokens: left, cut: Some(cut), left_out: tokens.saturating_sub(left), meant }
    }

    /// Returns the route of a name.
    pub(crate) fn route(&self, name: &str) -> Result<&Arc<Route>, Error> {
        self.routes.get(name).ok_or_else(|| {
            let mut known: Vec<&str> = self.routes.keys().map(AsRef::as_ref).collect();
            known.sort_unstable();
            Error::Invalid {
                field: "route".into(),
                problem: format!("no route `{name}`; there are: {}", known.join(", ")),
            }
        })
    }
}

/// Returns the number of a name; a new one gets the next.
fn intern(names: &mut HashMap<String, usize>, name: &str) -> usize {
    let next = names.len();
    names.get(name).copied().unwrap_or_else(|| *names.entry(name.to_owned()).or_insert(next))
}

fn shows_image(message: &Message) -> bool {
    let parts = match message {
        Message::User(parts) => parts,
        Message::Tool(result) => &result.content,
        _ => return false,
    };
    parts.iter().any(|part| matches!(part, UserPart::Image(_)))
}
