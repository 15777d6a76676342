//! A model at a provider as a user sets it; the catalogue fills in the rest.

use std::time::Duration;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

use super::presets::{Bills, spellings};
use super::times::check_time;
use crate::catalog::{self, Listing, PriceConfig, WrittenRates};
use crate::policy::admission::TargetOptions;
use crate::policy::tokens::Vocabulary;
use crate::spec::{TargetSpec, Timers};
use crate::words::{Capabilities, ConfigError, Date, ModelClass, ModelKind, Price, TIERS_MAX, TargetId};

/// One model at a provider.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ModelConfig {
    /// The vendor's name of this model, if its name here does not tell: an Azure deployment, a local quantisation. All
    /// known properties of that model are used for this one.
    pub same_as: Option<String>,
    /// Whether it answers conversations, `chat`, or turns texts into vectors, `embedding`: it is asked for nothing
    /// else. Default: `embedding` if its name contains `embed` or is of a family of such models, else `chat`.
    pub kind: Option<KindConfig>,
    /// The model that serves in its place, as `provider/model` or a model of the same provider, once its provider
    /// refuses it because it is gone.
    pub replaced_by: Option<String>,
    /// The last day it answers, `2026-12-11`. Default: by the catalogue.
    #[serde(deserialize_with = "date")]
    pub retires: Option<Date>,
    /// Whether it thinks before it answers: sets first guesses of its latency, and its timers. Default: by the
    /// catalogue.
    pub reasoning: Option<bool>,
    /// Its price. Default: the catalogue's; a price that is unknown there, too, counts as the most expensive known one
    /// of the route.
    pub price: Option<PriceConfig>,
    /// Abilities that it lacks: `tools`, `images`, `documents`, `audio`, `json`, `json_schema`. Default: by the
    /// catalogue.
    pub lacks: Option<Vec<Ability>>,
    /// The most tokens of prompt and answer together. Default: by the catalogue.
    pub context_tokens_max: Option<u32>,
    /// The most tokens of the answer. Default: by the catalogue.
    pub output_tokens_max: Option<u32>,
    /// Labels beside its provider's.
    pub labels: Vec<String>,
    /// The most attempts in flight. Default: 2 048.
    pub in_flight_max: Option<u32>,
    /// The longest an attempt may be without content. Default: from the measured latency, 8 to 30 s, for reasoning
    /// models 60 to 300 s.
    #[serde(with = "humantime_serde")]
    pub first_token: Option<Duration>,
    /// The longest pause between two pieces of content. Default: 30 s, for reasoning models 90 s; where it is
    /// not set, other bytes end a pause, too.
    #[serde(with = "humantime_serde")]
    pub stall: Option<Duration>,
    /// Its usual time to first token, where it is known better than by its class.
    /// Default: 1 s, for reasoning models 10 s.
    #[serde(with = "humantime_serde")]
    pub ttft_median: Option<Duration>,
}

fn date<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Date>, D::Error> {
    let text = String::deserialize(deserializer)?;
    Date::parse(&text).map(Some).ok_or_else(|| D::Error::custom("is no day; one looks like 2026-12-11"))
}

/// The properties that a model takes from its provider.
#[derive(Clone, Copy, Debug)]
pub(super) struct HostOfModels<'a> {
    /// Its preset's name, where it has one.
    pub(super) preset: Option<&'a str>,
    pub(super) bills: Bills,
    pub(super) domain: &'a str,
    pub(super) labels: &'a [String],
}

impl HostOfModels<'_> {
    /// Returns the names that a model's price may be listed by.
    fn listing<'n>(&self, id: &TargetId, also: impl Iterator<Item = &'n str>) -> Listing {
        let mut names = vec![id.model.to_string()];
        also.for_each(|name| {
            if names.iter().all(|known| known != name) {
                names.push(name.to_owned());
            }
        });
        let preset: Vec<String> = self.preset.into_iter().flat_map(spellings).map(str::to_owned).collect();
        let sellers = self.bills.vendors().map(|vendors| {
            let vendors = vendors.iter().flat_map(|vendor| spellings(vendor)).map(str::to_owned);
            preset.iter().cloned().chain(vendors).collect()
        });
        let places = std::iter::once(id.provider.to_string()).chain(preset).collect();
        Listing { places, names, sellers }
    }
}

/// Something a model can be unable to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ability {
    /// Call tools.
    Tools,
    /// See images.
    Images,
    /// Read documents that are more than plain text.
    Documents,
    /// Take audio.
    Audio,
    /// Answer in JSON when told so.
    Json,
    /// Enforce a JSON schema on the answer.
    JsonSchema,
}

/// The kind of work of a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KindConfig {
    /// It answers conversations.
    Chat,
    /// It turns texts into vectors.
    Embedding,
}

impl ModelConfig {
    pub(super) fn target_options(&self, class: ModelClass) -> TargetOptions {
        let default = TargetOptions::default();
        TargetOptions {
            limited: self.first_token.is_some(),
            class,
            in_flight_max: self.in_flight_max.unwrap_or(default.in_flight_max),
            ttft_median: self.ttft_median,
        }
    }

    pub(super) fn check(
        &self,
        field: &str,
        id: TargetId,
        host: HostOfModels<'_>,
        errors: &mut Vec<ConfigError>,
    ) -> TargetSpec {
        let at = |name: &str| format!("{field}.{name}");
        for (name, duration) in
            [("first_token", self.first_token), ("stall", self.stall), ("ttft_median", self.ttft_median)]
        {
            errors.extend(duration.and_then(|duration| check_time(&at(name), duration).err()));
        }
        for (name, number) in [
            ("in_flight_max", self.in_flight_max),
            ("context_tokens_max", self.context_tokens_max),
            ("output_tokens_max", self.output_tokens_max),
        ] {
            if number == Some(0) {
                errors.push(ConfigError::new(at(name), "must be 1 or more; leave it out for the usual one"));
            }
        }
        if self.same_as.as_deref().is_some_and(|name| name.trim().is_empty()) {
            errors.push(ConfigError::new(at("same_as"), "is empty; leave it out, or name the vendor's model"));
        }
        let name = self.same_as.as_deref().unwrap_or(&id.model);
        let known = catalog::find(name);
        let price = self.price.as_ref().map(|price| check_price(price, &at("price"), errors));
        let listing = price.is_none().then(|| host.listing(&id, [name].into_iter().chain(known.map(|model| model.id))));
        let price = price.or_else(|| host.bills.price(name));
        let usual = known.map(|model| model.capabilities).unwrap_or_default();
        let can = |ability, usual| self.lacks.as_ref().map_or(usual, |lacks| !lacks.contains(&ability));
        let capabilities = Capabilities {
            kind: match self.kind {
                Some(KindConfig::Chat) => ModelKind::Chat,
                Some(KindConfig::Embedding) => ModelKind::Embedding,
                None => catalog::kind(name),
            },
            tools: can(Ability::Tools, usual.tools),
            images: can(Ability::Images, usual.images),
            documents: can(Ability::Documents, usual.documents),
            audio: can(Ability::Audio, usual.audio),
            json: can(Ability::Json, usual.json),
            json_schema: can(Ability::JsonSchema, usual.json_schema),
            context_tokens_max: self.context_tokens_max.or(usual.context_tokens_max),
            output_tokens_max: self.output_tokens_max.or(usual.output_tokens_max),
        };
        let reasons = self.reasoning.unwrap_or(known.is_some_and(|model| model.reasons_unasked));
        let family = catalog::family(name);
        TargetSpec {
            vocabulary: Vocabulary::of(known.map(|model| model.vendor), &family),
            family,
            class: if reasons { ModelClass::Reasoning } else { ModelClass::Chat },
            price,
            listing,
            capabilities,
            labels: host.labels.iter().chain(&self.labels).cloned().collect(),
            domain: host.domain.to_owned(),
            timers: Timers { first_token: self.first_token, stall: self.stall },
            retires: self.retires.or_else(|| known?.retires),
            // The catalogue and the route add to it later.
            named: true,
            // Found once all providers are known.
            replaced_by: None,
            id,
        }
    }
}

/// Checks a price.
fn check_price(own: &PriceConfig, field: &str, errors: &mut Vec<ConfigError>) -> Price {
    let check = |field: &str, rates: WrittenRates, errors: &mut Vec<ConfigError>| {
        let fields = rates.named().map(|(name, dollars)| {
            let must = match name {
                "search" => "must be dollars for one search, 0 or more, as 0.01",
                _ => "must be dollars per million tokens, 0 or more, as 0.25",
            };
            (name, dollars.is_none_or(|dollars| dollars.is_finite() && dollars >= 0.0), must)
        });
        errors.extend(ConfigError::unless(field, fields));
    };
    check(field, own.written(), errors);
    let fields = [
        ("tiers", own.tiers.len() <= TIERS_MAX, "must be three at most"),
        (
            "tiers",
            own.tiers.is_sorted_by(|one, other| one.above < other.above),
            "must stand in the order of `above`, and no two of them have the same",
        ),
    ];
    errors.extend(ConfigError::unless(field, fields));
    for (at, tier) in own.tiers.iter().enumerate() {
        check(&format!("{field}.tiers[{at}]"), tier.written(), errors);
    }
    own.price()
}
