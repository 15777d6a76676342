//! Invalid configurations: every table of the file gets wrong names, kinds and values, and twenty files with typical
//! mistakes are read.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use standin::sidecar::{Settings, SettingsErrors};

fn refused(text: &str) -> Option<SettingsErrors> {
    Settings::parse(text, |_| Some("k".to_owned())).err()
}

/// A step into a file: a field, or the only item of a list.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    Field(String),
    Item,
}

fn field(name: &str) -> Step {
    Step::Field(name.to_owned())
}

/// A path as errors write it.
fn named(path: &[Step]) -> String {
    path.iter().fold(String::new(), |named, step| match step {
        Step::Field(name) if named.is_empty() => name.clone(),
        Step::Field(name) => format!("{named}.{name}"),
        Step::Item => format!("{named}[0]"),
    })
}

/// A file in which everything that must be there is.
fn base() -> Value {
    json!({
        "server": {"keys": [{"name": "N", "sha256": "0".repeat(64)}]},
        "providers": {"NAME": {"base_url": "http://x/v1", "keys": [{"env": "K"}], "models": {"NAME": {}}}},
        "routes": {"NAME": {"targets": [{"target": "NAME/NAME"}]}},
    })
}

/// Puts a value at a path of the file.
fn with(path: &[Step], value: Value) -> Value {
    let mut file = base();
    let mut place = &mut file;
    for step in path {
        match step {
            Step::Field(name) => {
                if !place.is_object() {
                    *place = json!({});
                }
                place = &mut place[name.as_str()];
            }
            Step::Item => {
                if place.as_array().is_none_or(|items| items.len() != 1) {
                    *place = json!([{}]);
                }
                place = &mut place[0];
            }
        }
    }
    *place = value;
    file
}

/// Adds a field to a table of the file.
fn beside(table: &[Step], name: &str, value: Value) -> Value {
    let path: Vec<Step> = table.iter().cloned().chain([field(name)]).collect();
    with(&path, value)
}

/// Writes a file as TOML, a line for each of its own fields.
fn written(file: &Value) -> String {
    let lines = file.as_object().expect("a table").iter().map(|(name, value)| format!("{name} = {}\n", inline(value)));
    lines.collect()
}

fn inline(value: &Value) -> String {
    match value {
        Value::Array(items) => format!("[{}]", items.iter().map(inline).collect::<Vec<_>>().join(", ")),
        Value::Object(fields) => {
            let fields = fields.iter().map(|(name, value)| format!("{name:?} = {}", inline(value)));
            format!("{{{}}}", fields.collect::<Vec<_>>().join(", "))
        }
        Value::String(text) if ["nan", "inf"].contains(&&**text) => text.clone(),
        other => other.to_string(),
    }
}

/// The line of the path's first field.
fn line(file: &Value, path: &[Step]) -> usize {
    let Step::Field(first) = &path[0] else { panic!("a field first") };
    file.as_object().expect("a table").keys().position(|name| name == first).expect("it is there") + 1
}

/// A field that no table has.
const NOBODY: &str = "zzzzzz";

/// Returns the fields of a table, as the error of one that is not there tells them; none, if it is no table.
fn fields_of(table: &[Step]) -> Option<Vec<String>> {
    let path = named(&[table, &[field(NOBODY)]].concat());
    let errors = refused(&written(&with(table, json!({NOBODY: 1}))))?;
    let (_, error) =
        errors.iter().find(|(_, error)| error.field == path && error.problem.contains("is no known field"))?;
    let (_, names) = error.problem.split_once("there are ")?;
    Some(names.split(", ").map(|name| name.trim_matches('`').to_owned()).collect())
}

/// Walks from a table to all below it.
fn walk(table: &[Step], tables: &mut BTreeMap<Vec<Step>, Vec<String>>) {
    let Some(fields) = fields_of(table) else { return };
    for name in &fields {
        let below = |steps: &[Step]| [table, &[field(name)], steps].concat();
        walk(&below(&[]), tables);
        walk(&below(&[field("NAME")]), tables);
        walk(&below(&[Step::Item]), tables);
        // A choice whose names have tables of their own.
        let errors = refused(&written(&with(&below(&[]), json!(NOBODY)))).into_iter();
        let choices =
            errors.flat_map(|errors| errors.iter().map(|(_, error)| error.problem.clone()).collect::<Vec<_>>());
        let choices: Vec<String> =
            choices.filter_map(|said| Some(said.split_once("there are \"")?.1.to_owned())).collect();
        for choice in choices.iter().flat_map(|names| names.split("\", \"")) {
            walk(&below(&[field(choice.trim_end_matches('"'))]), tables);
        }
    }
    tables.insert(table.to_vec(), fields);
}

/// Holds an error of a field to what every error must have.
fn hold(file: &Value, path: &[Step], errors: &SettingsErrors, what: &str) {
    let (name, text) = (named(path), errors.to_string());
    let about = |field: &str| field.starts_with(&name) || name.starts_with(field);
    let about = errors.iter().filter(|(_, error)| about(&error.field)).count();
    assert!(about >= 1, "{what} at {name}: no error names it: {text}");
    for (place, error) in errors.iter() {
        // A name that leads nowhere because of this is reported at its own place.
        let leads_nowhere = ["is no known `provider/model`", "is no known model"];
        let leads_nowhere = leads_nowhere.iter().any(|words| error.problem.contains(words));
        let own = error.field.starts_with(&name) || !leads_nowhere;
        assert!(place.is_some_and(|place| !own || place.0 == line(file, path)), "{what} at {name}: {text}");
        let says = [
            "must ",
            "there are",
            "did you mean",
            "wants ",
            "is no ",
            "needs ",
            "has no ",
            "twice",
            "has a ",
            "has one of",
            "leave it out",
            "name at least",
            "add at least",
            "name what",
        ];
        assert!(says.iter().any(|words| error.problem.contains(words)), "{what} at {name} says no remedy: {text}");
    }
    for word in ["untagged", "variant", "enum", "invalid", "struct ", "expected", "did not match"] {
        assert!(!text.contains(word), "{what} at {name} speaks of the program: {text}");
    }
}

#[test]
fn every_table_is_walked_with_a_misspelt_field_a_wrong_kind_and_a_value_out_of_range() {
    assert_eq!(refused(&written(&base())).map(|errors| errors.to_string()), None);
    let mut tables = BTreeMap::new();
    walk(&[], &mut tables);
    let names: Vec<String> = tables.keys().map(|path| named(path)).collect();
    for table in [
        "",
        "server",
        "server.tls",
        "server.keys[0]",
        "failover",
        "restart",
        "providers.NAME",
        "providers.NAME.keys[0]",
        "providers.NAME.models.NAME",
        "providers.NAME.models.NAME.price",
        "providers.NAME.transport",
        "providers.NAME.breaker",
        "providers.NAME.breaker.alarm",
        "providers.NAME.health",
        "providers.NAME.health.slow",
        "routes.NAME",
        "routes.NAME.targets[0]",
        "routes.NAME.failover",
        "routes.NAME.options",
        "routes.NAME.options.second_value",
        "routes.NAME.options.strategy.threshold",
        "routes.NAME.options.strategy.least-latency",
    ] {
        assert!(names.iter().any(|name| name == table), "{table:?} is not among {names:?}");
    }
    let kinds =
        [json!(true), json!(7), json!(7.5), json!("zz zz"), json!([]), json!([["x"]]), json!({}), json!({"x": []})];
    let ranges = [
        json!(0),
        json!(-1),
        json!(i64::MAX),
        json!(-1.5),
        json!(1e300),
        json!("nan"),
        json!("inf"),
        json!(""),
        json!("0s"),
        json!("400days"),
        json!("9999999999years"),
        json!("5 parsecs"),
        json!(["", ""]),
    ];
    let (mut tried, mut told) = (0, 0);
    for (table, fields) in &tables {
        let here = |name: &str| [&table[..], &[field(name)]].concat();
        for name in fields {
            let misspelt = format!("{name}x");
            let file = beside(table, &misspelt, json!(1));
            let errors = refused(&written(&file)).unwrap_or_else(|| panic!("{misspelt} passes at {}", named(table)));
            let meant = format!("did you mean `{name}`?");
            assert!(errors.iter().any(|(_, error)| error.problem.contains(&meant)), "{misspelt}: {errors}");
            let about = if table.is_empty() || errors.iter().any(|(_, error)| error.field == named(&here(&misspelt))) {
                here(&misspelt)
            } else {
                table.clone()
            };
            hold(&file, &about, &errors, "a misspelt field");
            let mut refusals = 0;
            for kind in kinds.iter().chain(&ranges) {
                let file = beside(table, name, kind.clone());
                tried += 1;
                if let Some(errors) = refused(&written(&file)) {
                    refusals += 1;
                    // An error of one field may be reported at another field of the same table that contradicts it.
                    let own = errors.iter().any(|(_, error)| error.field.starts_with(&named(&here(name))));
                    hold(&file, &if own { here(name) } else { table.clone() }, &errors, &kind.to_string());
                }
            }
            assert!(refusals >= 3, "{} takes everything", named(&here(name)));
            told += refusals;
        }
    }
    assert!(tables.len() >= 23 && tried > 2_000 && told > 1_000, "{} {tried} {told}", tables.len());
}

/// A valid part of a file.
const REST: &str = "[providers.a]\nbase_url = 'http://x/v1'\nmodels.m = {}\n[routes.smart]\ntargets = ['a/m']\n";

#[test]
fn twenty_files_of_people_in_a_hurry_are_told_what_they_meant() {
    let rest = |text: &str| format!("{text}\n{REST}");
    let provider = |line: &str| REST.replace("models.m = {}", &format!("models.m = {{}}\n{line}"));
    let route = |targets: &str| REST.replace("['a/m']", targets);
    for (text, expected) in [
        (
            rest("[sever]\nlisten = '127.0.0.1:1'"),
            &["f.toml:1:2: sever: is no known field; did you mean `server`? there are"][..],
        ),
        (
            rest("[provider.b]\nbase_url = 'http://x'"),
            &["f.toml:1:2: provider: is no known field; did you mean `providers`?"],
        ),
        (rest("[route.fast]\ntargets = ['a/m']"), &["f.toml:1:2: route: is no known field; did you mean `routes`?"]),
        (
            rest("[server]\nport = 4000\nlisten = '0.0.0.0'"),
            &[
                "f.toml:2:1: server.port: is no known field; did you mean `listen`? there are `listen`",
                "f.toml:3:1: server.listen: must be an address and a port, as \"127.0.0.1:4000\"",
            ],
        ),
        (rest("[failover]\nattempts = 3"), &["f.toml:2:1: failover.attempts: is no known field; did you mean"]),
        (
            rest("[failover]\nattempts_max = '3'\ndeadline = 600"),
            &[
                "f.toml:2:1: failover.attempts_max: is a text; must be a whole number from 0 to 4294967295, as `attempts_max = 10`",
                "f.toml:3:1: failover.deadline: is a whole number; must be a time, as `deadline = \"5s\"`",
            ],
        ),
        (
            rest("[failover]\ndeadline = '5 sceonds'"),
            &[
                "f.toml:2:1: failover.deadline: is out of range or has another form; must be a time, as `deadline = \"5s\"`",
            ],
        ),
        (provider("key = ['k']"), &["f.toml:4:1: providers.a.key: is no known field; did you mean `keys`?"]),
        (provider("keys = 'k'"), &["f.toml:4:1: providers.a.keys: is a text; must be a list, as `keys = [\"…\"]`"]),
        (
            provider("keys = [{ enviroment = 'K' }]"),
            &["f.toml:4:11: providers.a.keys[0].enviroment: is no known field; there are `name`, `value`, `env`"],
        ),
        (
            provider("dialect = 'antropic'"),
            &["f.toml:4:1: providers.a.dialect: is unknown; did you mean \"anthropic\"? there are \"openai\""],
        ),
        (provider("flavour = 'azur'"), &["f.toml:4:1: providers.a.flavour: is unknown; did you mean `azure`?"]),
        (
            REST.replace("models.m = {}", "models = ['m']"),
            &["f.toml:3:1: providers.a.models: is a list; must be a table, as `models.NAME = {}`"],
        ),
        (
            REST.replace("models.m = {}", "models.m = 'm'"),
            &["f.toml:3:8: providers.a.models.m: is a text; must be a table, as `m = {}`"],
        ),
        (
            REST.replace("base_url = 'http://x/v1'", "preset = 'antrophic'"),
            &["f.toml:2:1: providers.a.preset: is unknown; did you mean `anthropic`?"],
        ),
        (
            REST.replace("base_url = 'http://x/v1'", "baseurl = 'http://x/v1'"),
            &["f.toml:2:1: providers.a.baseurl: is no known field; did you mean `base_url`?"],
        ),
        (
            route("[{ target = 'a/m', teir = 1 }, { target = 'a/m', wieght = 2 }]"),
            &[
                "f.toml:5:30: routes.smart.targets[0].teir: is no known field; did you mean `tier`? there are `target`, `tier`, `weight`",
                "f.toml:5:60: routes.smart.targets[1].wieght: is no known field; did you mean `weight`?",
            ],
        ),
        (
            route("['a/mm', 'm', 'b/m']\noptions.strategy = 'wieghted'"),
            &[
                "f.toml:5:12: routes.smart.targets[0]: is no known `provider/model`; did you mean `a/m`?",
                "f.toml:5:20: routes.smart.targets[1]: is no known `provider/model`; did you mean `a/m`?",
                "f.toml:5:25: routes.smart.targets[2]: is no known `provider/model`; did you mean `a/m`?",
                "f.toml:6:9: routes.smart.options.strategy: is unknown; did you mean \"weighted\"?",
            ],
        ),
        (
            format!("aliases.fast = 'smrt'\nserver.default_route = 'smarter'\ncalls_max = 0\n{REST}"),
            &[
                "f.toml:1:9: aliases.fast: leads to no route; did you mean `smart`?",
                "f.toml:2:8: server.default_route: is no route, alias or `provider/model`; did you mean `smart`?",
                "f.toml:3:1: calls_max: must be 1 to 4294967295",
            ],
        ),
        (provider("keys = ['${NONE'"), &["f.toml:"]),
        (
            format!("{REST}timeout = 30s"),
            &["f.toml:6:11: configuration: a text or a time must be in plain quotes, as \"smart\" or \"30s\""],
        ),
        (
            format!("{REST}timeout = '30s'\nfallbacks = ['b/m']\nstrategy = 'weighted'\nnum_retries = 2"),
            &[
                "f.toml:6:1: routes.smart.timeout: is no known field; did you mean `failover.deadline`?",
                "f.toml:7:1: routes.smart.fallbacks: is no known field; did you mean `targets`?",
                "f.toml:8:1: routes.smart.strategy: is no known field; did you mean `options.strategy`?",
                "f.toml:9:1: routes.smart.num_retries: is no known field; did you mean `failover.attempts_max`?",
            ],
        ),
        (provider("api_key = 'k'"), &["f.toml:4:1: providers.a.api_key: is no known field; did you mean `keys`?"]),
        (
            rest("[server]\nkeys = ['sk-1']"),
            &[
                "f.toml:2:9: server.keys[0]: is a text; must be a table, of which `standin key NAME` prints one, as `{ name = \"team\", sha256 = \"…\" }`",
            ],
        ),
        (
            REST.replace("models.m = {}", "models.m = { price = '$1' }"),
            &[
                "f.toml:3:14: providers.a.models.m.price: is a text; must be a table, as `price = { input = 0.25, output = 2.0 }`",
            ],
        ),
        (
            format!("{REST}{REST}"),
            &[
                "f.toml:6:12: configuration: this table is there several times, in lines 1, 6; put all of it into one",
                "f.toml:9:9: configuration: this table is there several times, in lines 4, 9; put all of it into one",
            ],
        ),
    ] {
        let errors = refused(&text).expect(&text).of("f.toml");
        let lines: Vec<&str> = errors.lines().collect();
        if expected.len() > 1 || !expected[0].ends_with(':') {
            assert_eq!(lines.len(), expected.len(), "{text}\n{errors}");
        }
        for (line, expected) in lines.iter().zip(expected) {
            assert!(line.starts_with(expected), "{text}\n{line}\n{expected}");
        }
    }
}

#[test]
fn an_error_that_follows_from_another_is_not_reported() {
    for text in [
        // The provider that the route names is there once its name is spelt right.
        REST.replace("[providers.a]", "[provider.a]"),
        REST.replace("base_url", "bsae_url"),
        REST.replace("models.m = {}", "models.m = 1"),
        REST.replace("models.m = {}", "model.m = {}"),
        REST.replace("base_url = 'http://x/v1'", "base_url = 'x'"),
        REST.replace("['a/m']", "[7]"),
        format!("aliases.fast = 'smart'\n{}", REST.replace("targets =", "tragets =")),
        format!("aliases.fast = 'smart'\nserver.default_route = 'fast'\n{}", REST.replace("['a/m']", "['x/m']")),
    ] {
        let errors = refused(&text).expect(&text);
        assert_eq!(errors.len(), 1, "{text}\n{errors}");
    }
}

#[test]
fn traps_of_toml_are_told_by_their_remedy() {
    const FINE: &str = "[providers.z]\nbase_url = 'http://z/v1'\nmodels.m = {}\n";
    for (text, expected) in [
        (
            "[providers.openai]\nkeys = ['k']\n[providers.openai.models.gpt-5.4-mini]\n",
            "must stand in quotes, as `models.\"gpt-5.4-mini\"`",
        ),
        ("[routes.gpt-5.4-mini]\ntargets = ['z/m']\n", "must stand in quotes, as `routes.\"gpt-5.4-mini\"`"),
        ("[aliases]\nold.er = 'z/m'\n", "must stand in quotes, as `aliases.\"old.er\"`"),
        ("[routes.smart]\ntargets = ['m']\n", "did you mean `z/m`?"),
        ("[server.keys]\nname = 'a'\n", "as `[[server.keys]]`"),
        ("[providers.y]\nbase_url = 'http://y/v1'\nmodels.m.retires = 5\n", "as `retires = \"2026-12-31\"`"),
        ("[server]\ntls = { certificate = \"C:\\users\\me\", key = 'k' }\n", "'C:\\keys\\mine'"),
        (
            "[providers.y]\nbase_url = 'http://y/v1'\nmodels = { a = {} }\n[providers.y.models.b]\n",
            "put all of it into one of the two",
        ),
        ("[aliases]\na = 'a'\n", "aliases.a: leads to itself"),
        (
            "[[server.keys]]\nname = ''\nsha256 = '0000000000000000000000000000000000000000000000000000000000000000'\n",
            "must be a name",
        ),
        ("[routes.\"\"]\ntargets = ['z/m']\n", "must be a name"),
    ] {
        let errors = refused(&format!("{text}{FINE}")).unwrap_or_else(|| panic!("{text} is taken"));
        assert!(errors.to_string().contains(expected), "{text}: {errors}");
        assert_eq!(errors.len(), 1, "{text}: {errors}");
    }
}

#[test]
fn a_table_that_is_unknown_or_a_circle_hides_no_other_error() {
    let text = "[failovr]\n[aliases]\na = 'b'\nb = 'a'\nc = 'nobody'\n[routes.smart]\ntargets = ['z/n']\n\
                [providers.z]\nbase_url = 'http://z/v1'\nmodels.m = {}\n";
    let errors = refused(text).expect("errors").to_string();
    for part in [
        "failovr: is no known field",
        "aliases.a: goes in a circle by way of `b`",
        "aliases.b: goes in a circle by way of `a`",
        "aliases.c: leads to no route",
        "routes.smart.targets[0]: is no known `provider/model`; did you mean `z/m`?",
    ] {
        assert!(errors.contains(part), "{part} is not said in\n{errors}");
    }
}

#[test]
fn a_wrong_field_hides_no_wrong_name_and_a_name_of_what_is_wrong_is_no_error() {
    let text = "aliases = { fast = 'smrt', cheap = 'quick' }\n\
                [server]\ndefault_route = 'smarter'\n\
                [[server.keys]]\nname = 'n'\nsha256 = 'HASH'\n\
                routes = ['a/mm', 'smart', 'a/m', 'b/any', 'quick']\n\
                [budgets.b]\ndollars = -1\nper = 'day'\nof = 'route:smrt'\n\
                [providers.a]\nbase_url = 'no address'\nbreaker.cooldown_bas = '1s'\nmodels.m = {}\n\
                models.n = { replaced_by = 'mm' }\n\
                [providers.b]\nbase_url = 'http://b/v1'\nmodles.x = {}\n\
                [routes.smart]\ntargets = ['a/m', 'a/mn', 'b/any']\noptions.price_max = -1\n\
                [routes.quick]\ntargets = ['a/n']\nlables = []\n";
    let errors = refused(&text.replace("HASH", &"0".repeat(64))).expect("it is refused");
    let mut fields: Vec<&str> = errors.iter().map(|(_, error)| error.field.as_str()).collect();
    fields.sort_unstable();
    let expected = [
        "aliases.fast",
        "budgets.b.dollars",
        "budgets.b.of",
        "providers.a.base_url",
        "providers.a.breaker.cooldown_bas",
        "providers.a.models.n.replaced_by",
        "providers.b.modles",
        "routes.quick.lables",
        "routes.smart.options.price_max",
        "routes.smart.targets[1]",
        "server.default_route",
        "server.keys[0].routes[0]",
    ];
    assert_eq!(fields, expected, "{errors}");
    let said = errors.to_string();
    for near in ["aliases.fast: leads to no route; did you mean `smart`?", "or `provider/model`; did you mean `smart`?"]
    {
        assert!(said.contains(near), "no {near} in\n{said}");
    }
}

#[test]
fn what_is_left_out_for_an_error_makes_no_other_name_wrong() {
    let text = "[[server.keys]]\nname = 'team'\nsha256 = 'none'\n\
                [budgets.b]\ndollars = 1\nper = 'day'\nof = 'client:team'\n\
                [providers.a]\napi_base = 'http://a/v1'\n\
                [routes.smart]\ntargets = ['a/m']\n";
    let errors = refused(text).expect("it is refused");
    let fields: Vec<&str> = errors.iter().map(|(_, error)| error.field.as_str()).collect();
    assert_eq!(fields, ["server.keys[0].sha256", "providers.a.api_base"], "{errors}");
}

#[test]
fn the_usual_short_name_of_a_dialect_is_taken() {
    let text = REST.replace("models.m", "dialect = 'openai'\nmodels.m");
    assert!(refused(&text).is_none());
}
