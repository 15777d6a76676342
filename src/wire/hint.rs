//! Reads status pages in their common forms: Atlassian Statuspage's `summary.json`, `status.json` and
//! `components.json`, which incident.io and Rootly write as well; incident.io's own summary; Google Cloud's
//! `incidents.json`; Better Stack's `index.json`.
//!
//! Input: a body, and the component that is meant. Output: its state, and the page's words. An unknown form or an
//! unknown state gives no hint.

use serde_json::Value;

use crate::words::Reported;

/// The most of a page that is read: Google's list of incidents has some megabytes.
pub const PAGE_BYTES_MAX: usize = 8 << 20;
/// The most characters of the page's words.
const SAYS_MAX: usize = 160;

/// Reads a status page.
pub fn status_page(body: &[u8], component: Option<&str>) -> Option<(Reported, String)> {
    let page: Value = serde_json::from_slice(body).ok()?;
    let (reported, says) = match &page {
        Value::Array(incidents) => google(incidents, component),
        page if page.get("ongoing_incidents").is_some() => Some(incident_io(page, component)),
        page if page.pointer("/data/attributes/aggregate_state").is_some() => better_stack(page, component),
        page => statuspage(page, component),
    }?;
    Some((reported, said(&says)))
}

/// Returns the state that a health address reports by its status.
pub fn health_endpoint(status: u16) -> Option<(Reported, String)> {
    match status {
        200..300 => Some((Reported::Well, format!("{status}"))),
        500..600 => Some((Reported::Down, format!("{status}"))),
        _ => None,
    }
}

/// Returns text for people: one short line without control characters.
fn said(words: &str) -> String {
    let words: Vec<&str> = words.split(|it: char| it.is_whitespace() || it.is_control()).collect();
    let words = words.into_iter().filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ");
    words.chars().take(SAYS_MAX).collect()
}

fn text<'a>(value: &'a Value, field: &str) -> Option<&'a str> {
    value.get(field)?.as_str()
}

fn list<'a>(value: &'a Value, field: &str) -> impl Iterator<Item = &'a Value> {
    value.get(field).and_then(Value::as_array).into_iter().flatten()
}

fn is(name: Option<&str>, component: &str) -> bool {
    name.is_some_and(|name| name.trim().eq_ignore_ascii_case(component.trim()))
}

/// Returns the state for a word of any of these pages.
fn reported(word: &str) -> Option<Reported> {
    Some(match word.to_ascii_lowercase().as_str() {
        "none" | "operational" | "available" | "service_information" => Reported::Well,
        "minor"
        | "major"
        | "maintenance"
        | "under_maintenance"
        | "degraded"
        | "degraded_performance"
        | "partial_outage"
        | "service_disruption" => Reported::Troubled,
        "critical" | "major_outage" | "full_outage" | "downtime" | "service_outage" => Reported::Down,
        _ => return None,
    })
}

fn named(name: &str, word: &str) -> String {
    format!("{name}: {}", word.to_ascii_lowercase().replace('_', " "))
}

fn statuspage(page: &Value, component: Option<&str>) -> Option<(Reported, String)> {
    if let Some(component) = component {
        let found = list(page, "components").find(|one| is(text(one, "name"), component))?;
        let word = text(found, "status")?;
        return Some((reported(word)?, named(component, word)));
    }
    let incident = list(page, "incidents").find_map(|one| {
        let open = !matches!(text(one, "status"), Some("resolved" | "postmortem" | "completed"));
        text(one, "name").filter(|_| open)
    });
    if let Some(status) = page.get("status") {
        let reported = reported(text(status, "indicator")?)?;
        let mut says = text(status, "description").unwrap_or(reported.name()).to_owned();
        if let Some(incident) = incident.filter(|_| reported != Reported::Well) {
            says = format!("{says}: {incident}");
        }
        return Some((reported, says));
    }
    // A list of components alone: the worst one counts.
    let all = list(page, "components").filter_map(|one| {
        let word = text(one, "status")?;
        Some((reported(word)?, named(text(one, "name")?, word)))
    });
    // The first of those that are alike.
    all.reduce(|worst, one| if one.0 > worst.0 { one } else { worst })
}

fn incident_io(page: &Value, component: Option<&str>) -> (Reported, String) {
    let mut worst = (Reported::Well, "no incident is open".to_owned());
    for incident in list(page, "ongoing_incidents").chain(list(page, "in_progress_maintenances")) {
        let affected =
            |component: &str| list(incident, "affected_components").find(|one| is(text(one, "name"), component));
        let word = match component.map(affected) {
            Some(None) => continue,
            Some(Some(affected)) => text(affected, "current_status"),
            None => text(incident, "current_worst_impact"),
        };
        let now = word.and_then(reported).unwrap_or(Reported::Troubled);
        if now > worst.0 {
            worst = (now, text(incident, "name").unwrap_or(now.name()).to_owned());
        }
    }
    worst
}

fn google(incidents: &[Value], component: Option<&str>) -> Option<(Reported, String)> {
    let mut worst = (Reported::Well, "no incident is open".to_owned());
    for incident in incidents {
        let impact = text(incident, "status_impact");
        // A list of another form.
        incident.get("begin").or(incident.get("status_impact"))?;
        let is_over = incident.get("end").is_some_and(|end| !end.is_null());
        let concerns = |component: &str| {
            is(text(incident, "service_name"), component)
                || list(incident, "affected_products").any(|product| is(text(product, "title"), component))
        };
        if is_over || !component.is_none_or(concerns) {
            continue;
        }
        let update = incident.get("most_recent_update").and_then(|update| text(update, "status"));
        let now = update.and_then(reported).or(impact.and_then(reported)).unwrap_or(Reported::Troubled);
        if now > worst.0 {
            worst = (now, text(incident, "external_desc").unwrap_or(now.name()).to_owned());
        }
    }
    Some(worst)
}

fn better_stack(page: &Value, component: Option<&str>) -> Option<(Reported, String)> {
    let attributes = |one: &'static str| {
        let included = list(page, "included").filter(move |it| text(it, "type") == Some(one));
        included.filter_map(|it| it.get("attributes"))
    };
    if let Some(component) = component {
        let found = attributes("status_page_resource").find(|one| is(text(one, "public_name"), component))?;
        let word = text(found, "status")?;
        return Some((reported(word)?, named(component, word)));
    }
    let word = page.pointer("/data/attributes/aggregate_state")?.as_str()?;
    let reported = reported(word)?;
    let open = |one: &&Value| one.get("ends_at").is_none_or(Value::is_null);
    let report = attributes("status_report").filter(open).find_map(|one| text(one, "title"));
    let report = report.filter(|_| reported != Reported::Well);
    Some((reported, report.map_or_else(|| word.to_owned(), |report| format!("{word}: {report}"))))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn each_common_form_of_a_status_page_is_read() {
        let summary = json!({"page": {"name": "Claude"},
            "status": {"indicator": "major", "description": "Partial System Outage"},
            "components": [{"name": "API", "status": "major_outage"}, {"name": "Console", "status": "operational"}],
            "incidents": [{"name": "Old", "status": "resolved"},
                {"name": "Elevated\nerrors", "status": "identified"}]});
        let well = json!({"page": {}, "status": {"indicator": "none", "description": "All Systems Operational"},
            "incidents": [{"name": "Slow", "status": "monitoring"}]});
        let components = json!({"page": {}, "components": [{"name": "A", "status": "operational"},
            {"name": "B", "status": "degraded_performance"}, {"name": "C", "status": "partial_outage"}]});
        let own = json!({"page_title": "OpenAI", "in_progress_maintenances": [], "ongoing_incidents": [
            {"name": "Slow files", "current_worst_impact": "degraded_performance",
             "affected_components": [{"name": "Files", "current_status": "degraded_performance"}]},
            {"name": "Chat is out", "current_worst_impact": "full_outage",
             "affected_components": [{"name": "Chat", "current_status": "full_outage"}]}]});
        let google = json!([
            {"begin": "x", "end": "y", "external_desc": "Over", "status_impact": "SERVICE_OUTAGE",
             "affected_products": [{"title": "Vertex Gemini API"}]},
            {"begin": "x", "external_desc": "Errors in us-east5", "status_impact": "SERVICE_DISRUPTION",
             "affected_products": [{"title": "Vertex Gemini API"}],
             "most_recent_update": {"status": "SERVICE_DISRUPTION"}},
            {"begin": "x", "external_desc": "Mended", "status_impact": "SERVICE_OUTAGE", "affected_products": [],
             "most_recent_update": {"status": "AVAILABLE"}}]);
        let better = json!({"data": {"type": "status_page", "attributes": {"aggregate_state": "downtime"}},
            "included": [
            {"type": "status_page_resource", "attributes": {"public_name": "API", "status": "degraded"}},
            {"type": "status_report", "attributes": {"title": "Done", "ends_at": "2026"}},
            {"type": "status_report", "attributes": {"title": "No answer", "ends_at": null}}]});
        for (page, component, expected) in [
            (&summary, None, Some((Reported::Troubled, "Partial System Outage: Elevated errors"))),
            (&summary, Some("api"), Some((Reported::Down, "api: major outage"))),
            (&summary, Some("Console"), Some((Reported::Well, "Console: operational"))),
            (&summary, Some("Nothing"), None),
            (&well, None, Some((Reported::Well, "All Systems Operational"))),
            (&components, None, Some((Reported::Troubled, "B: degraded performance"))),
            (&own, None, Some((Reported::Down, "Chat is out"))),
            (&own, Some("Files"), Some((Reported::Troubled, "Slow files"))),
            (&own, Some("Images"), Some((Reported::Well, "no incident is open"))),
            (&google, None, Some((Reported::Troubled, "Errors in us-east5"))),
            (&google, Some("Vertex Gemini API"), Some((Reported::Troubled, "Errors in us-east5"))),
            (&google, Some("Cloud Run"), Some((Reported::Well, "no incident is open"))),
            (&better, None, Some((Reported::Down, "downtime: No answer"))),
            (&better, Some("API"), Some((Reported::Troubled, "API: degraded"))),
            (&json!({"status": {"indicator": "purple"}}), None, None),
            (&json!({"hello": 1}), None, None),
            (&json!([1, 2]), None, None),
            (&json!(7), None, None),
        ] {
            let read = status_page(page.to_string().as_bytes(), component);
            assert_eq!(read, expected.map(|(how, says)| (how, says.to_owned())), "{component:?} of {page}");
        }
        let long = json!({"status": {"indicator": "minor", "description": "x\u{1b}[2J".repeat(200)}});
        let (_, says) = status_page(long.to_string().as_bytes(), None).expect("it is read");
        assert!(says.chars().count() <= SAYS_MAX && !says.contains('\u{1b}'), "{says:?}");
    }

    #[test]
    fn a_health_endpoint_says_by_its_status_how_it_is() {
        let how = |status| health_endpoint(status).map(|(how, _)| how);
        assert_eq!(
            [200, 204, 503, 500, 404, 401, 301].map(how),
            [Some(Reported::Well), Some(Reported::Well), Some(Reported::Down), Some(Reported::Down), None, None, None,]
        );
    }

    proptest! {
        #[test]
        fn no_page_breaks_its_reader(page in "\\PC{0,200}", component in any::<Option<String>>()) {
            let _ = status_page(page.as_bytes(), component.as_deref());
        }
    }
}
