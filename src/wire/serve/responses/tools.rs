//! Reads tools, wherever a request offers them: in its own field, in an item of the conversation, or in what a search
//! for tools found.

use std::collections::HashSet;

use crate::wire::schema::is_strict;
use crate::wire::serve::node::{Node, Object, Read, each};
use crate::wire::serve::openai::declared;
use crate::wire::serve::reading::{foreign, free_tool, no_arguments};
use crate::words::{Dialect, Foreign, Text, Tool};

/// The tool by which a model finds others. Where the client searches, it is a function of this name in other dialects.
pub(super) const SEARCH: &str = "tool_search";
/// Its description, where it has none.
const SEARCHES: &str = "Finds more tools. Those that it finds can be called from then on.";
/// The namespace that OpenAI puts tools without a namespace into.
const DEFAULT_SPACE: &str = "functions";

/// The tools, as they are read.
#[derive(Default)]
pub(super) struct Tools {
    /// Those that the common form can express.
    pub(super) listed: Vec<Tool>,
    /// Their names.
    names: HashSet<String>,
    /// Names of those that take a text.
    pub(super) free: Vec<String>,
    /// Those of namespaces.
    pub(super) spaces: Vec<[String; 3]>,
    /// Whether the client searches for tools.
    pub(super) searches: bool,
    /// Those that the common form cannot express.
    pub(super) others: Vec<Foreign>,
}

/// Returns the name of a tool of a namespace where no names have spaces.
fn joined_name(namespace: &str, name: String) -> String {
    match namespace {
        "" | DEFAULT_SPACE => name,
        namespace if namespace.ends_with('_') => format!("{namespace}{name}"),
        namespace => format!("{namespace}__{name}"),
    }
}

/// Returns the name of a called tool, which may be of a namespace.
pub(super) fn called(item: &mut Object<'_>) -> Read<String> {
    let space = item.text("namespace")?.unwrap_or_default();
    Ok(joined_name(&space, item.need_text("name")?))
}

/// Tells whether a search for tools, its call or its result is the client's own; the provider's own is not known here.
pub(super) fn is_clients(search: &Object<'_>) -> bool {
    search.peek("execution") == "client"
}

/// Tells whether a namespace holds tools, and only such as have words here.
fn is_told(namespace: &Object<'_>) -> bool {
    let mut tools = namespace.objects("tools").peekable();
    !namespace.peek("name").is_empty()
        && tools.peek().is_some()
        && tools.all(|tool| matches!(tool.peek("type"), "function" | "custom" | ""))
}

impl Tools {
    /// Takes more tools of a list; says which these are. One that is offered again is offered once: conversations
    /// repeat what was found in them.
    pub(super) fn offer(&mut self, list: Vec<Node<'_>>) -> Read<String> {
        let before = self.others.len();
        let read = each("tools", list, |node| self.read(node.object("")?, ""))?;
        let mut names = Vec::new();
        for tool in read.into_iter().flatten() {
            names.push(tool.name.clone());
            if self.names.insert(tool.name.clone()) {
                self.listed.push(tool);
            }
        }
        names.extend(self.others[before..].iter().map(|tool| tool.kind.clone()));
        Ok(format!("Tools that can be called now: {}", names.join(", ")))
    }

    /// Reads a tool of a namespace or of none, or a namespace: no tools where it is what the common form cannot
    /// express.
    fn read(&mut self, mut tool: Object<'_>, space: &str) -> Read<Vec<Tool>> {
        let kind = tool.peek("type").to_owned();
        match kind.as_str() {
            "namespace" if space.is_empty() && is_told(&tool) => {
                let space = tool.need_text("name")?;
                let what = tool.words("description")?.unwrap_or_default();
                let listed = each("tools", tool.list("tools")?, |node| self.read(node.object("")?, &space))?;
                let mut listed: Vec<Tool> = listed.into_iter().flatten().collect();
                // What is said of all of them stands once, before what is said of the first.
                if let (Some(first), false) = (listed.first_mut(), what.is_empty()) {
                    let own = std::mem::take(&mut first.description);
                    first.description = Text::row(vec![what, own], "\n\n");
                }
                Ok(listed)
            }
            "function" | "" => {
                let mut tool = declared(tool)?;
                tool.name = self.spaced(space, tool.name);
                // A missing value means yes in this dialect, for a schema that allows it.
                tool.strict = tool.strict.or_else(|| is_strict(&tool.parameters).then_some(true));
                Ok(vec![tool])
            }
            "custom" => {
                let mut tool = tool.object("custom")?.unwrap_or(tool);
                let name = tool.need_text("name")?;
                let name = self.spaced(space, name);
                let mut description = tool.words("description")?.unwrap_or_default();
                if let Some(mut format) = tool.object("format")?
                    && let Some(grammar) = format.words("definition").map_err(|bad| bad.within("format"))?
                {
                    description.push("\n\n`input` must fit this grammar:\n".into());
                    description.push(grammar);
                }
                self.free.push(name.clone());
                Ok(vec![free_tool(name, description)])
            }
            SEARCH if is_clients(&tool) => {
                let description = tool.words("description")?.unwrap_or_else(|| SEARCHES.into());
                let parameters = tool.carried("parameters")?.unwrap_or_else(no_arguments);
                self.searches = true;
                Ok(vec![Tool { name: SEARCH.to_owned(), description, parameters, strict: None }])
            }
            _ => {
                self.others.push(foreign(Dialect::OpenAiResponses, &kind, tool)?);
                Ok(Vec::new())
            }
        }
    }

    /// Returns the name of a tool of a namespace or of none, and takes note of it.
    fn spaced(&mut self, space: &str, name: String) -> String {
        let joined = joined_name(space, name.clone());
        if !space.is_empty() {
            self.spaces.push([joined.clone(), space.to_owned(), name]);
        }
        joined
    }
}
