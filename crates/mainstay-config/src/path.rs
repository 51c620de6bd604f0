//! Paths of keys, as errors and comparisons write them.

use crate::node::Node;

/// A key further down. What could be mistaken for several keys is quoted.
pub(crate) fn join(path: &str, key: &str) -> String {
    let plain = !key.is_empty() && !key.chars().any(|char| char.is_control() || ".[]\"' ".contains(char));
    let key = if plain { key.to_owned() } else { format!("{key:?}") };
    if path.is_empty() { key } else { format!("{path}.{key}") }
}

/// An item of a list.
pub(crate) fn item(path: &str, index: usize) -> String {
    format!("{path}[{index}]")
}

/// What is at a path.
pub(crate) fn find<'a>(root: &'a Node, path: &str) -> Option<&'a Node> {
    fn below<'a>(node: &'a Node, here: &str, path: &str) -> Option<&'a Node> {
        if here == path {
            return Some(node);
        }
        if !path.starts_with(here) {
            return None;
        }
        let mut entries = node.entries().iter();
        let mut items = node.items().iter().enumerate();
        entries
            .find_map(|entry| below(&entry.node, &join(here, &entry.key), path))
            .or_else(|| items.find_map(|(index, node)| below(node, &item(here, index), path)))
    }
    below(root, "", path)
}
