//! A tree as a list of paths with their values: what fingerprints and comparisons are made of.

use std::collections::BTreeMap;
use std::fmt;

use crate::node::{Node, Value};
use crate::path;
use crate::visible::Visible;

/// One setting that is different.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Change {
    /// The path of the key.
    pub path: String,
    /// What it was; none if there was nothing. `***` if a `${VARIABLE}` brought it in.
    pub from: Option<String>,
    /// What it becomes.
    pub to: Option<String>,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let said = |value: &'_ Option<String>| Visible(value.as_deref().unwrap_or("nothing")).to_string();
        write!(f, "{}: {} -> {}", Visible(&self.path), said(&self.from), said(&self.to))
    }
}

pub(crate) struct Leaf {
    pub(crate) text: String,
    hidden: bool,
}

pub(crate) type Flat = BTreeMap<String, Leaf>;

pub(crate) fn flatten(node: &Node) -> Flat {
    let mut flat = Flat::new();
    walk(node, "", &mut flat);
    flat
}

fn walk(node: &Node, path: &str, flat: &mut Flat) {
    let mut leaf = |text: String| {
        flat.insert(path.to_owned(), Leaf { text, hidden: node.reference.is_some() });
    };
    match &node.value {
        Value::Map(entries) if entries.is_empty() => leaf("{}".to_owned()),
        Value::List(items) if items.is_empty() => leaf("[]".to_owned()),
        Value::Map(entries) => {
            entries.iter().for_each(|entry| walk(&entry.node, &path::join(path, &entry.key), flat));
        }
        Value::List(items) => {
            items.iter().enumerate().for_each(|(index, node)| walk(node, &path::item(path, index), flat));
        }
        _ => leaf(node.scalar().unwrap_or_default()),
    }
}

pub(crate) fn diff(from: &Flat, to: &Flat) -> Vec<Change> {
    let paths: std::collections::BTreeSet<&String> = from.keys().chain(to.keys()).collect();
    let said = |leaf: &Leaf| if leaf.hidden { "***".to_owned() } else { leaf.text.clone() };
    let changed =
        |path: &&String| from.get(*path).map(|leaf| &leaf.text) != to.get(*path).map(|leaf| &leaf.text);
    paths
        .into_iter()
        .filter(changed)
        .map(|path| Change { path: path.clone(), from: from.get(path).map(said), to: to.get(path).map(said) })
        .collect()
}
