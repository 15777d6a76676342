//! Floor 2: what is known of models that one can buy: prices, windows, abilities, retirement dates.
//!
//! Input: a model's name as some provider spells it. Output: a row of a data file that has a date of its own. It is
//! advice: what a configuration says comes first, and a model that is not here is an unknown one, never an error. It
//! reads no clock: a caller that asks whether a model is retired says what day it is.

mod price;
mod prices;

use std::sync::LazyLock;

use crate::words::{Capabilities, Date, ModelKind, Price, PriceTier, Rates, without_path};

pub(crate) use price::WrittenRates;
pub use price::{PriceConfig, PriceTierConfig};
pub(crate) use prices::Listing;
pub use prices::PriceList;

/// The data: one model a line, columns parted by tabs, named in its head.
const DATA: &str = include_str!("models.tsv");

/// What is known of one model.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Model {
    /// The company that sells it.
    pub vendor: &'static str,
    /// Its name there.
    pub id: &'static str,
    /// Its price there, where that is one price.
    pub price: Option<Price>,
    /// Abilities that it is known to lack, and its windows; all others are assumed.
    pub capabilities: Capabilities,
    /// Whether it can think before it answers.
    pub reasons: bool,
    /// Whether it does so by default.
    pub reasons_unasked: bool,
    /// Whether it takes temperature, `top_p` and their like.
    pub samples: bool,
    /// Whether one can chat with it; if not, it answers at its vendor's newer interface only (OpenAI's responses).
    pub chats: bool,
    /// The last day it answers, where that was announced.
    pub retires: Option<Date>,
}

static MODELS: LazyLock<Vec<Model>> = LazyLock::new(|| DATA.lines().filter_map(parse).collect());

/// Returns the day the data is of.
pub fn as_of() -> Option<Date> {
    let head = DATA.lines().next()?;
    let at = head.find("as of ")? + "as of ".len();
    Date::parse(head.get(at..at + "2026-11-21".len())?)
}

/// Returns all models, vendor by vendor.
pub fn models() -> &'static [Model] {
    &MODELS
}

/// Returns what is known of a model, by its name at its vendor or as other hosts spell that: with a path before it, a
/// variant or a version behind it, a dot for a dash.
pub fn find(name: &str) -> Option<&'static Model> {
    find_among(name, |_| true)
}

/// Returns what is known of a model as certain vendors sell it: one vendor's open model may cost more at another's.
pub fn find_at(vendors: &[&str], name: &str) -> Option<&'static Model> {
    find_among(name, |model| vendors.contains(&model.vendor))
}

/// Returns the name of a model without its host and its dated version: two targets of one family are the same model at
/// two places. A model that is not known is its own family, with any path, case and date.
pub fn family(name: &str) -> String {
    let known = |name: &str| find(name).map(|model| model.id);
    let Some(id) = known(name) else {
        return undated(&without_path(name).to_ascii_lowercase().replace('@', "-")).to_owned();
    };
    known(undated(id)).unwrap_or(id).to_owned()
}

/// Families of embedding models whose names do not say so.
const EMBEDDING: [&str; 8] = ["bge", "e5", "gte", "gtr", "minilm", "mpnet", "nomic", "voyage"];
/// Words of a name beside such a family's that say that it does not embed.
const NOT_EMBEDDING: [&str; 3] = ["chat", "rerank", "reranker"];

/// Returns what a model is for, by its name: the makers of embedding models say so in it, or it is of a family of them.
pub fn kind(name: &str) -> ModelKind {
    let name = name.to_ascii_lowercase();
    let has = |known: &[&str]| name.split(|c: char| !c.is_ascii_alphanumeric()).any(|word| known.contains(&word));
    let embeds = name.contains("embed") || has(&EMBEDDING) && !has(&NOT_EMBEDDING);
    if embeds { ModelKind::Embedding } else { ModelKind::Chat }
}

fn find_among(name: &str, fits: impl Fn(&Model) -> bool) -> Option<&'static Model> {
    let name = name.to_ascii_lowercase();
    let last = without_path(&name);
    let plain = without_variant(last.split('@').next().unwrap_or(last));
    let known = |name: &str| MODELS.iter().find(|model| is_spelled(model.id, name) && fits(model));
    [name.as_str(), last, plain, undated(plain)].into_iter().find_map(known)
}

/// Compares names, in which hosts write a dash for a dot or a dot for a dash.
fn is_spelled(id: &str, name: &str) -> bool {
    let letter = |byte: u8| if byte == b'.' { b'-' } else { byte };
    id.len() == name.len() && id.bytes().map(letter).eq(name.bytes().map(letter))
}

/// Cuts off a host's suffix for its way to serve a model (`:free`, `:fastest`). A suffix with a digit is a size, of
/// another model: `:8b`.
fn without_variant(name: &str) -> &str {
    match name.split_once(':') {
        Some((front, variant)) if !variant.bytes().any(|byte| byte.is_ascii_digit()) => front,
        _ => name,
    }
}

/// Cuts a date off a model's name: `-2025-08-07` or `-20250807`.
fn undated(name: &str) -> &str {
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
    let cut = ["-2025-08-07".len(), "-20250807".len()].into_iter().find_map(|length| {
        let at = name.len().checked_sub(length)?;
        let (front, date) = (name.get(..at)?, name.get(at..)?);
        (date.starts_with("-20") && digits(date)).then_some(front)
    });
    cut.unwrap_or(name)
}

fn parse(line: &'static str) -> Option<Model> {
    if line.starts_with('#') {
        return None;
    }
    let mut columns = line.split('\t');
    let mut next = || columns.next();
    let (vendor, id) = (next()?, next()?);
    let (context, output_max) = (next()?.parse().ok(), next()?.parse().ok());
    let dollars: [Option<f64>; 4] = [next()?, next()?, next()?, next()?].map(|column| column.parse().ok());
    let [input, cached_input, cache_write, output] = dollars;
    let retires = Date::parse(next()?);
    let abilities: Vec<&str> = next()?.split(' ').collect();
    // Most lines end here.
    let [cache_write_1h, search] = [next(), next()].map(|column| column.and_then(|column| column.parse().ok()));
    let tiers = next().unwrap_or_default();
    let has = |ability: &str| abilities.contains(&ability);
    let price = input.zip(output).map(|(input, output)| {
        let rates = Rates {
            cached_input: cached_input.unwrap_or(input),
            cache_write: cache_write.unwrap_or(input),
            cache_write_1h,
            search,
            ..Rates::new(input, output)
        };
        Price { rates, tiers: tier(tiers, &rates).into_iter().collect() }
    });
    let capabilities = Capabilities {
        kind: kind(id),
        tools: !has("-tools"),
        images: !has("-images"),
        // Pages are shown as images.
        documents: !has("-documents") && !has("-images"),
        audio: !has("-audio"),
        json: true,
        json_schema: !has("-json_schema"),
        context_tokens_max: context,
        output_tokens_max: output_max,
    };
    Some(Model {
        vendor,
        id,
        price,
        capabilities,
        reasons: has("reasoning"),
        reasons_unasked: has("unasked"),
        samples: !has("-sampling"),
        chats: !has("-chat"),
        retires,
    })
}

/// Reads the prices of long prompts: `above:input/cached_input/cache_write/output`; a write for an hour costs twice the
/// prompt, where it has a price.
fn tier(text: &str, first: &Rates) -> Option<PriceTier> {
    let (above, dollars) = text.split_once(':')?;
    let dollars: Vec<Option<f64>> = dollars.split('/').map(|dollars| dollars.parse().ok()).collect();
    let [input, cached_input, cache_write, output] = dollars[..] else { return None };
    let (input, output) = input.zip(output)?;
    let rates = Rates {
        cached_input: cached_input.unwrap_or(input),
        cache_write: cache_write.unwrap_or(input),
        cache_write_1h: first.cache_write_1h.map(|_| 2.0 * input),
        search: first.search,
        ..Rates::new(input, output)
    };
    Some(PriceTier { above: above.parse().ok()?, rates })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_of_the_data_is_read() {
        let lines = DATA.lines().filter(|line| !line.starts_with('#')).count();
        assert_eq!(DATA.lines().filter_map(parse).count(), lines);
        assert!(lines > 200);
        assert!(as_of().is_some_and(|date| date >= Date::parse("2026-11-21").expect("a date")));
    }

    #[test]
    fn what_a_model_is_for_is_known_by_its_name_or_its_family() {
        for (name, kind) in [
            ("text-embedding-3-small", ModelKind::Embedding),
            ("BAAI/bge-m3", ModelKind::Embedding),
            ("intfloat/multilingual-e5-large", ModelKind::Embedding),
            ("thenlper/gte-large", ModelKind::Embedding),
            ("sentence-transformers/all-MiniLM-L6-v2", ModelKind::Embedding),
            ("nomic-v1.5", ModelKind::Embedding),
            ("voyage-3-large", ModelKind::Embedding),
            ("jina-embeddings-v3", ModelKind::Embedding),
            ("BAAI/bge-reranker-v2-m3", ModelKind::Chat),
            ("gpt-5.4-mini", ModelKind::Chat),
            ("minimax-m2", ModelKind::Chat),
            ("qwen3:14b", ModelKind::Chat),
        ] {
            assert_eq!(super::kind(name), kind, "{name}");
        }
    }

    #[test]
    fn a_model_is_found_however_its_host_spells_it() {
        for (name, id) in [
            ("claude-haiku-4-5", "claude-haiku-4-5"),
            ("anthropic/claude-haiku-4-5", "claude-haiku-4-5"),
            ("claude-haiku-4-5@20251001", "claude-haiku-4-5"),
            ("publishers/anthropic/models/claude-haiku-4-5@20251001", "claude-haiku-4-5"),
            ("claude-haiku-4-5-20251001", "claude-haiku-4-5-20251001"),
            ("claude-haiku-5-5-20261001", "claude-haiku-5-5"),
            ("models/gemini-2.5-flash", "gemini-2.5-flash"),
            ("deepseek/deepseek-v3.2:free", "deepseek-v3.2"),
            ("Gemini-2.5-Flash", "gemini-2.5-flash"),
            ("anthropic/claude-haiku-4.5", "claude-haiku-4-5"),
        ] {
            assert_eq!(find(name).map(|model| model.id), Some(id), "{name}");
        }
    }

    #[test]
    fn an_unknown_model_is_none() {
        for name in ["", "/", "my-own-model", "-2025-08-07", "é", "20250807", "deepseek-r1:8b"] {
            assert_eq!(find(name), None, "{name}");
        }
    }

    #[test]
    fn a_row_holds_prices_windows_and_what_the_model_cannot() {
        let model = find("claude-haiku-5-5").expect("a known model");
        assert_eq!(
            model.price.as_ref().map(|it| (it.rates.input, it.rates.cached_input, it.rates.output)),
            Some((0.1, 0.01, 0.5))
        );
        let writes = find("claude-haiku-4-5").and_then(|model| model.price.as_ref());
        assert_eq!(writes.map(|price| price.rates.cache_write), Some(1.25));
        assert_eq!(model.capabilities.context_tokens_max, Some(1_000_000));
        assert!(model.capabilities.tools && model.reasons && !model.samples);
    }

    #[test]
    fn long_prompts_hours_and_searches_have_prices_of_their_own() {
        let price = |name| find(name).and_then(|model| model.price.as_ref()).expect(name);
        let pro = price("gemini-2.5-pro").at(200_001);
        assert_eq!((pro.input, pro.cached_input, pro.output), (2.5, 0.25, 15.0));
        let sonnet = price("claude-sonnet-5-5").rates;
        assert_eq!((sonnet.cache_write_1h, sonnet.search), (Some(2.0 * sonnet.input), Some(0.01)));
        let lines = DATA.lines().filter(|line| !line.starts_with('#'));
        let with_tiers = lines.filter(|line| line.split('\t').nth(12).is_some_and(|tiers| !tiers.is_empty()));
        let read =
            models().iter().filter(|model| model.price.as_ref().is_some_and(|price| !price.tiers.is_empty())).count();
        assert!(read > 20 && with_tiers.count() == read, "{read}");
    }

    #[test]
    fn one_model_is_one_family_at_all_hosts() {
        for (family_name, names) in [
            (
                "claude-haiku-4-5",
                &["claude-haiku-4-5-20251001", "anthropic/claude-haiku-4.5", "claude-haiku-4-5@20251001"][..],
            ),
            ("gpt-5-mini", &["gpt-5-mini", "openai/gpt-5-mini", "gpt-5-mini-2025-08-07"]),
            ("gemini-2.5-pro", &["models/gemini-2.5-pro", "google/gemini-2.5-pro"]),
            // Not in the catalogue.
            ("claude-3-7-sonnet", &["claude-3-7-sonnet-20250219", "claude-3-7-sonnet@20250219"]),
            ("llama3.3:70b", &["llama3.3:70b"]),
            ("llama-3.3-70b-instruct", &["meta-llama/Llama-3.3-70B-Instruct"]),
        ] {
            for name in names {
                assert_eq!(family(name), family_name, "{name}");
            }
        }
        assert_ne!(family("qwen3:8b"), family("qwen3:70b"));
    }

    #[test]
    fn a_model_that_two_sell_has_the_price_of_the_one_that_is_asked() {
        let price = |vendors: &[&str]| {
            let price = find_at(vendors, "deepseek-v4-pro").and_then(|model| model.price.as_ref());
            price.map(|price| price.rates.input)
        };
        assert_eq!((price(&["deepseek"]), price(&["qwen"]), price(&["openai"])), (Some(1.32), Some(2.4), None));
    }

    #[test]
    fn no_two_models_of_a_vendor_have_one_spelling_and_two_prices() {
        for model in models() {
            let twin = find_at(&[model.vendor], model.id).expect("it is there");
            assert_eq!(twin.price, model.price, "{} and {}", model.id, twin.id);
        }
    }
}
