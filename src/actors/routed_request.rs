//! A request on its route: what it needs of a target, and its size as targets measure it.

use std::sync::{Arc, OnceLock};

use super::table::{Table, Target};
use super::work::Work;
use crate::policy::routing::Needs;
use crate::policy::stale::QuestionKey;
use crate::policy::tokens::{Measure, Prompt, Shown};
use crate::policy::trim::OverWindow;
use crate::spec::RouteSpec;
use crate::words::{ChatRequest, Demand, Message, ModelKind, ResponseFormat, UserPart};

/// A request, with all by which its targets are chosen.
pub(crate) struct RoutedRequest {
    pub(crate) work: Work,
    pub(crate) table: Arc<Table>,
    pub(crate) route: Arc<RouteSpec>,
    pub(super) needs: Needs,
    /// The parts of it that not every target can take.
    pub(super) demands: Vec<Demand>,
    /// The parts of it that are no text.
    pub(super) shown: Shown,
    /// Whether more may be billed of its prompt than is sent, at any target.
    pub(super) grows: bool,
    /// The key of its answer, if its route keeps answers.
    pub(super) key: Option<QuestionKey>,
    prompts: [OnceLock<Prompt>; Measure::COUNT],
}

impl RoutedRequest {
    /// Counts a request as the targets of its route measure it.
    pub(super) fn new(work: Work, table: Arc<Table>, route: Arc<RouteSpec>) -> Self {
        let (demands, shown) = match &work {
            Work::Chat(request) => (request.demands(), Shown::of(request)),
            Work::Embed(request) => (request.demands(), Shown::default()),
        };
        let (needs, grows) = (needs(&table, &route, &work), demands.iter().any(Demand::grows));
        let asked = Self { work, table, route, needs, demands, shown, grows, key: None, prompts: Default::default() };
        for member in &asked.route.members {
            asked.prompt(asked.target(member.target));
        }
        asked
    }

    /// Returns the same by another table. What its call has added to its needs stays.
    pub(super) fn moved(&mut self, table: Arc<Table>, route: Arc<RouteSpec>) -> Self {
        let moved = Self::new(self.work.clone(), table, route);
        let Needs { priority, rule, price_max, deadline, .. } = self.needs;
        let needs = Needs { priority, rule, price_max, deadline, ..moved.needs };
        Self { needs, key: self.key.take(), ..moved }
    }

    /// Returns a target of its table.
    pub(super) fn target(&self, at: usize) -> &Arc<Target> {
        &self.table.targets[at]
    }

    /// Returns its size by a target's measure. It is counted once.
    pub(super) fn prompt(&self, target: &Target) -> &Prompt {
        let measure = target.spec().vocabulary.measure();
        let by_message = self.route.over_window == OverWindow::Trim;
        self.prompts[measure as usize].get_or_init(|| self.work.prompt(measure, by_message))
    }
}

/// Returns what a call's work asks of a target.
fn needs(table: &Table, route: &RouteSpec, work: &Work) -> Needs {
    let labels = |own: &[String]| table.layout.labels(own) | route.labels;
    match work {
        Work::Chat(request) => {
            let ChatRequest { response_format, priority, rule, .. } = &**request;
            Needs {
                kind: ModelKind::Chat,
                output_tokens: request.output_tokens_max,
                tools: !request.tools.is_empty(),
                images: request.messages.iter().any(shows_image),
                json: *response_format == ResponseFormat::Json,
                json_schema: matches!(response_format, ResponseFormat::JsonSchema { .. }),
                labels: labels(&request.labels),
                priority: *priority,
                rule: *rule,
                price_max: None,
                deadline: None,
                is_length_doubted: false,
            }
        }
        Work::Embed(request) => Needs {
            kind: ModelKind::Embedding,
            output_tokens: Some(0),
            labels: labels(&request.labels),
            priority: request.priority,
            rule: request.rule,
            ..Needs::default()
        },
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
