//! The public interface, as docs/public.md lists it: every name that other crates can use, with its public parts.

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::fmt::Write as _;
use std::fs;

use syn::{Attribute, Fields, ImplItem, Item, ItemEnum, ItemStruct, TraitItem, Type, UseTree, Visibility};

use super::{files, read, root};

/// A file of the source with its items, and the path of its module: `["words", "chat"]`.
struct Source {
    module: Vec<String>,
    items: Vec<Item>,
}

fn sources() -> Vec<Source> {
    let folder = root().join("src");
    let mut sources = Vec::new();
    for file in files(&folder, ".rs") {
        let inside = file.strip_prefix(&folder).expect("a file of the source").with_extension("");
        let module: Vec<String> = inside.iter().map(|part| part.to_string_lossy().into_owned()).collect();
        if module[0] == "bin" || module.iter().any(|part| part == "tests") {
            continue;
        }
        let module = module.into_iter().filter(|part| part != "mod" && part != "lib").collect();
        let text = fs::read_to_string(&file).expect("a readable file");
        sources.push(Source { module, items: syn::parse_file(&text).expect("Rust").items });
    }
    sources
}

fn is_public(visibility: &Visibility) -> bool {
    matches!(visibility, Visibility::Public(_))
}

/// Tells whether an item is hidden from the documentation, or for tests alone.
fn is_hidden(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        let syn::Meta::List(list) = &attribute.meta else { return false };
        let said = list.tokens.to_string();
        (list.path.is_ident("doc") && said == "hidden") || (list.path.is_ident("cfg") && said.starts_with("test"))
    })
}

/// Returns the paths of a `use`: modules and name.
fn used(tree: &UseTree, above: &[String], all: &mut Vec<(Vec<String>, String)>) {
    match tree {
        UseTree::Path(path) => {
            let part = Some(path.ident.to_string()).filter(|part| part != "crate");
            used(&path.tree, &above.iter().cloned().chain(part).collect::<Vec<_>>(), all);
        }
        UseTree::Name(name) => all.push((above.to_vec(), name.ident.to_string())),
        UseTree::Group(group) => group.items.iter().for_each(|tree| used(tree, above, all)),
        UseTree::Rename(_) | UseTree::Glob(_) => panic!("the public face is said name by name, under {above:?}"),
    }
}

fn fields(fields: &Fields) -> Vec<String> {
    let shown = fields.iter().filter(|field| is_public(&field.vis) && !is_hidden(&field.attrs));
    let named = shown.filter_map(|field| field.ident.as_ref());
    named.map(ToString::to_string).collect()
}

/// Tells whether an item may grow.
fn is_open(item: &Item) -> bool {
    let (Item::Struct(ItemStruct { attrs, .. }) | Item::Enum(ItemEnum { attrs, .. })) = item else { return false };
    attrs.iter().any(|attribute| attribute.path().is_ident("non_exhaustive"))
}

/// Returns kind, name and public parts of an item that can be public.
fn shape(item: &Item) -> Option<(&'static str, String, Vec<String>)> {
    let (visibility, kind, name, parts) = match item {
        Item::Struct(it) => (&it.vis, "struct", &it.ident, fields(&it.fields)),
        Item::Enum(it) => {
            let variants = it.variants.iter().map(|variant| variant.ident.to_string());
            (&it.vis, "enum", &it.ident, variants.collect())
        }
        Item::Trait(it) => {
            let of = |item: &TraitItem| match item {
                TraitItem::Fn(function) => Some(format!("{}()", function.sig.ident)),
                _ => None,
            };
            (&it.vis, "trait", &it.ident, it.items.iter().filter_map(of).collect())
        }
        Item::Fn(it) => (&it.vis, "fn", &it.sig.ident, Vec::new()),
        Item::Type(it) => (&it.vis, "type", &it.ident, Vec::new()),
        Item::Const(it) => (&it.vis, "const", &it.ident, Vec::new()),
        _ => return None,
    };
    is_public(visibility).then(|| (kind, name.to_string(), parts))
}

/// Returns the public functions that belong to a type, from wherever in the room of its module they are.
fn functions(sources: &[Source], room: &str, name: &str) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    for source in sources.iter().filter(|source| source.module.first().is_some_and(|first| first == room)) {
        for item in &source.items {
            // The items that `named!` adds to its type.
            if let Item::Macro(it) = item
                && it.mac.path.is_ident("named")
                && it.mac.tokens.clone().into_iter().next().is_some_and(|first| first.to_string() == name)
            {
                all.insert("name()".to_owned());
            }
            let Item::Impl(it) = item else { continue };
            let is_it = |path: &syn::Path| path.segments.last().is_some_and(|last| last.ident == name);
            let is_its = matches!(&*it.self_ty, Type::Path(path) if is_it(&path.path));
            if it.trait_.is_some() || !is_its {
                continue;
            }
            all.extend(it.items.iter().filter_map(|item| match item {
                ImplItem::Fn(it) if is_public(&it.vis) && !is_hidden(&it.attrs) => Some(format!("{}()", it.sig.ident)),
                _ => None,
            }));
        }
    }
    all
}

/// Writes the public names of a module: its own items, and re-exports.
fn describe(sources: &[Source], room: Option<&str>, items: &[Item], out: &mut BTreeMap<String, String>) {
    let mut line = |room: &str, item: &Item| {
        let Some((kind, name, mut parts)) = shape(item) else { return false };
        parts.extend(functions(sources, room, &name));
        if is_open(item) {
            parts.push("…".to_owned());
        }
        let parts = if parts.is_empty() { String::new() } else { format!(": {}", parts.join(", ")) };
        out.insert(name.clone(), format!("- {kind} `{name}`{parts}"));
        true
    };
    for item in items {
        if let Some(room) = room {
            line(room, item);
        }
        let Item::Use(it) = item else { continue };
        if !is_public(&it.vis) || is_hidden(&it.attrs) {
            continue;
        }
        let mut names = Vec::new();
        used(&it.tree, &[], &mut names);
        for (above, name) in names {
            // Of several with one name the nearest: in that module, below it, or else in the same room.
            let is_it = |item: &&Item| shape(item).is_some_and(|(_, its, _)| its == name);
            let found = sources.iter().filter_map(|source| Some((source, source.items.iter().find(is_it)?)));
            let near = |source: &Source| {
                let is_there = source.module.ends_with(&above) || source.module.starts_with(&above);
                (is_there, source.module.first().map(String::as_str) == room)
            };
            if let Some((source, item)) = found.max_by_key(|(source, _)| near(source)) {
                line(source.module.first().map(String::as_str).unwrap_or_default(), item);
            }
        }
    }
}

fn page() -> String {
    let sources = sources();
    let lib = sources.iter().find(|source| source.module.is_empty()).expect("lib.rs");
    let mut page = String::from(
        "# The public face\n\n\
         Every name that a program can write, with its public fields, variants and functions; what ends with … may grow.\n\
         What is not here is no promise. A test writes this page anew and compares: `PUBLIC=write cargo test --features sidecar --test docs public`\n\
         takes a change over, which belongs into the changelog too.\n",
    );
    let mut section = |title: &str, room: Option<&str>, items: &[Item]| {
        let mut lines = BTreeMap::new();
        describe(&sources, room, items, &mut lines);
        let _ = write!(page, "\n## {title}\n\n");
        for line in lines.values() {
            let _ = writeln!(page, "{line}");
        }
    };
    section("`standin`", None, &lib.items);
    for item in &lib.items {
        let Item::Mod(it) = item else { continue };
        if !is_public(&it.vis) || is_hidden(&it.attrs) {
            continue;
        }
        let name = it.ident.to_string();
        let feature = it.attrs.iter().find_map(|attribute| {
            let syn::Meta::List(list) = &attribute.meta else { return None };
            let said = list.tokens.to_string();
            said.strip_prefix("feature = \"").map(|rest| rest.trim_end_matches('"').to_owned())
        });
        let title = format!("`standin::{name}`{}", feature.map_or(String::new(), |it| format!(", feature `{it}`")));
        match &it.content {
            Some((_, items)) => section(&title, None, items),
            None => {
                let file = sources.iter().find(|source| source.module == [name.as_str()]).expect("its file");
                section(&title, Some(&name), &file.items);
            }
        }
    }
    let consequence = sources.iter().find(|source| source.module == ["words", "consequence"]).expect("its file");
    section("`standin::consequence`", Some("words"), &consequence.items);
    super::columns::wrapped(&page, false)
}

#[test]
fn the_public_face_is_as_it_is_written_down() {
    let page = page();
    if env::var_os("PUBLIC").is_some() {
        fs::write(root().join("docs/public.md"), &page).expect("a page that can be written");
    }
    let written = read("docs/public.md");
    let (is, was): (BTreeSet<&str>, BTreeSet<&str>) = (page.lines().collect(), written.lines().collect());
    let more: Vec<_> = is.difference(&was).collect();
    let less: Vec<_> = was.difference(&is).collect();
    assert!(
        page == written,
        "docs/public.md does not say: {more:#?}\nbut says: {less:#?}\nwith PUBLIC=write it is written"
    );
}
