//! A tree as data, for machines.

use serde_json::{Map, Value as Json};

use crate::Origin;
use crate::node::{Entry, Node, Value};
use crate::path;

/// One effective setting: see [`Loaded::values`](crate::Loaded::values).
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Effective {
    /// The path of the key, as errors and changes have it.
    pub path: String,
    /// The value as a file has it. What a `${VARIABLE}` brought in is the reference.
    pub value: Json,
    /// Where it comes from.
    pub origin: Origin,
}

/// All leaves; empty maps and lists are some.
pub(crate) fn leaves(node: &Node) -> Vec<Effective> {
    fn walk(node: &Node, path: &str, all: &mut Vec<Effective>) {
        if is_leaf(node) {
            all.push(Effective { path: path.to_owned(), value: leaf(node), origin: node.origin.clone() });
        }
        node.entries().iter().for_each(|entry| walk(&entry.node, &path::join(path, &entry.key), all));
        node.items().iter().enumerate().for_each(|(index, node)| walk(node, &path::item(path, index), all));
    }
    let mut all = Vec::new();
    walk(node, "", &mut all);
    all
}

pub(crate) fn json(node: &Node) -> Json {
    tree(node, &leaf)
}

pub(crate) fn origins(node: &Node) -> Json {
    tree(node, &|node| node.origin.in_short().into())
}

fn tree(node: &Node, of: &impl Fn(&Node) -> Json) -> Json {
    match &node.value {
        _ if is_leaf(node) => of(node),
        Value::List(items) => items.iter().map(|node| tree(node, of)).collect(),
        _ => {
            let entry = |Entry { key, node, .. }: &Entry| (key.clone(), tree(node, of));
            Json::Object(node.entries().iter().map(entry).collect())
        }
    }
}

fn is_leaf(node: &Node) -> bool {
    node.entries().is_empty() && node.items().is_empty()
}

fn leaf(node: &Node) -> Json {
    match (&node.reference, &node.value) {
        (Some(reference), _) => reference.as_ref().into(),
        (None, Value::Map(_)) => Json::Object(Map::new()),
        (None, Value::List(_)) => Json::Array(Vec::new()),
        (None, Value::Null | Value::Unset) => Json::Null,
        (None, Value::Bool(bool)) => (*bool).into(),
        (None, Value::Number(text)) => serde_json::from_str(text).unwrap_or_else(|_| text.as_str().into()),
        (None, Value::Text(text)) => literally(text).into(),
    }
}

/// A text in which `${` stands for itself.
pub(crate) fn literally(text: &str) -> String {
    text.replace("${", "$${")
}
