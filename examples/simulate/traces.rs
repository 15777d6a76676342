//! Recorded histories in place of made-up ones: incidents of status pages, and when real calls arrived.
//!
//! The files are looked for in a directory that the user names; missing files are not played.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use super::scenarios;
use super::world::{How, Scenario, Truth};

/// The columns that are read of a line of a table, or nothing if one is missing.
fn columns<const N: usize>(line: &str, wanted: [usize; N]) -> Option<[&str; N]> {
    let fields: Vec<&str> = line.split(',').collect();
    let found = wanted.map(|at| fields.get(at).copied());
    found.iter().all(Option::is_some).then(|| found.map(Option::unwrap_or_default))
}

/// Two providers with the incidents that their status pages told of, and a third one that is always well, in windows of
/// four weeks.
pub fn incidents(directory: &Path, rate: f64) -> Vec<Scenario> {
    let Ok(text) = std::fs::read_to_string(directory.join("incidents/incidents_2021_2025.csv")) else {
        return Vec::new();
    };
    let mut by_provider: BTreeMap<&str, Vec<(f64, f64, u8)>> = BTreeMap::new();
    for line in text.lines().skip(1) {
        let Some([provider, level]) = columns(line, [0, 2]) else { continue };
        // Services may hold commas: times are counted from the end.
        let mut ends = line.rsplit(',');
        let lasting = ends.next().and_then(|text| text.parse::<f64>().ok());
        let start = ends.next().and_then(|text| text.parse::<f64>().ok());
        let (Some(lasting), Some(start), Ok(level)) = (lasting, start, level.parse()) else { continue };
        if line.contains("API") || line.contains("api") {
            by_provider.entry(provider).or_default().push((start, 60.0 * lasting, level));
        }
    }
    let mut most: Vec<_> = by_provider.into_values().collect();
    most.sort_by_key(|of| std::cmp::Reverse(of.len()));
    let last = most.iter().flatten().map(|(start, ..)| *start).fold(0.0, f64::max);
    let month = 28.0 * 86_400.0;
    let windows = (1_u32..=12).map(|back| {
        let from = last - f64::from(back) * month;
        let mut scenario = scenarios::mixed(rate, 0.0, 0);
        (scenario.name, scenario.seconds) = ("incidents as they were told".to_owned(), month);
        for (target, incidents) in scenario.targets.iter_mut().zip(&most) {
            let well = target.truth[0].1;
            target.truth = vec![(0.0, well)];
            let mut within: Vec<_> =
                incidents.iter().filter(|(start, ..)| (from..from + month).contains(start)).collect();
            within.sort_by(|a, b| a.0.total_cmp(&b.0));
            for (start, lasting, level) in within {
                let at = (start - from).max(target.truth.last().map_or(0.0, |last| last.0));
                let loss = [0.02, 0.1, 0.4, 0.9, 0.0][usize::from(*level).min(4)];
                target.truth.push((at, Truth { loss, how: How::Error, ..well }));
                target.truth.push((at + lasting, well));
            }
        }
        scenario
    });
    if most.len() < 2 { Vec::new() } else { windows.collect() }
}

/// The outages of a made-up day under the calls of a recorded hour.
pub fn arrivals(directory: &Path) -> Vec<Scenario> {
    let names = ["azure_2023_conv", "azure_2023_code", "mooncake_fast25_conversation"];
    let read = |name: &&str| {
        let text = std::fs::read_to_string(directory.join(format!("arrivals/{name}.csv"))).ok()?;
        let calls = text.lines().skip(1).filter_map(|line| {
            let [at, prompt, tokens] = columns(line, [0, 1, 2])?;
            Some((at.parse::<f64>().ok()? / 1_000.0, prompt.parse().ok()?, tokens.parse().ok()?))
        });
        let calls: Vec<(f64, u32, u32)> = calls.collect();
        let seconds = calls.last()?.0 + 1.0;
        let mut scenario = scenarios::all(60.0 * calls.len() as f64 / seconds, seconds).swap_remove(0);
        scenario.name = format!("hard down under {name}");
        scenario.arrivals = Some(Arc::new(calls));
        Some(scenario)
    };
    names.iter().filter_map(read).collect()
}
