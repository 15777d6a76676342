//! Finds the known name that was probably meant by an unknown one.

/// The most names that an error lists.
const NAMES_MAX: usize = 20;

/// Returns the known name that was probably meant by an unknown one.
pub(crate) fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lower = name.to_lowercase();
    // With more than a fourth of different letters it is another word, except where one is the other's beginning.
    let letters = name.chars().count();
    let most = (1 + letters / 4).min(letters / 2);
    let distance = |known: &str| {
        let known = known.to_lowercase();
        let begins = lower.len() >= 4 && (known.starts_with(&lower) || lower.starts_with(&known) && known.len() >= 4);
        let near = known.len().abs_diff(lower.len()) <= most;
        let letters = near.then(|| strsim::osa_distance(&lower, &known)).filter(|distance| *distance <= most);
        letters.or_else(|| begins.then_some(most + 1))
    };
    // Of `provider/model` only the model may have been written.
    let behind =
        |known: &'a str| known.split_once('/').filter(|_| !name.contains('/')).and_then(|(_, model)| distance(model));
    let near =
        known.into_iter().filter_map(|known| Some((distance(known).into_iter().chain(behind(known)).min()?, known)));
    near.min_by_key(|(distance, known)| (*distance, known.len())).map(|(_, known)| known)
}

/// Asks whether a known name was meant, where one is near.
pub fn did_you_mean<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    nearest(name, known).map(|near| format!("did you mean `{near}`?"))
}

/// Says which known name was probably meant or, where none is near, which there are, up to a limit.
pub fn meant<'a>(name: &str, known: impl IntoIterator<Item = &'a str> + Clone) -> String {
    if let Some(near) = did_you_mean(name, known.clone()) {
        return near;
    }
    let mut names = known.into_iter();
    let listed: Vec<&str> = names.by_ref().take(NAMES_MAX).collect();
    let more = names.count();
    let rest = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("there are: {}{rest}", if listed.is_empty() { "none".into() } else { listed.join(", ") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_is_nearly_one_brings_it_to_mind() {
        let known = [
            "openai",
            "anthropic",
            "mistral",
            "lmstudio",
            "tier",
            "weight",
            "attempts_max",
            "a/gpt-5-mini",
            "b/gpt-5-nano",
        ];
        for (name, expected) in [
            ("openia", Some("openai")),
            ("antropic", Some("anthropic")),
            ("Mistral", Some("mistral")),
            ("lm-studio", Some("lmstudio")),
            ("teir", Some("tier")),
            ("wieght", Some("weight")),
            ("a/gpt-5mini", Some("a/gpt-5-mini")),
            ("attempts", Some("attempts_max")),
            ("gpt-5-nano", Some("b/gpt-5-nano")),
            ("bedrock", None),
            ("", None),
        ] {
            assert_eq!(nearest(name, known), expected, "{name}");
        }
        assert_eq!(meant("bedrock", ["openai", "groq"]), "there are: openai, groq");
        assert_eq!(meant("opena", ["openai", "groq"]), "did you mean `openai`?");
    }
}
