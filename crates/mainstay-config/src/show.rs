//! A tree as YAML, with the origin of each value.

use crate::node::{Node, Value};
use crate::yaml::resolve;

pub(crate) fn yaml(node: &Node) -> String {
    let mut text = String::new();
    map(node, 0, &mut text);
    text
}

fn map(node: &Node, indent: usize, text: &mut String) {
    for entry in node.entries() {
        pad(indent, text);
        pair(&entry.key, &entry.node, indent, text);
    }
}

fn pair(key: &str, node: &Node, indent: usize, text: &mut String) {
    text.push_str(&scalar(key, true));
    text.push(':');
    match &node.value {
        Value::Map(entries) if !entries.is_empty() => {
            text.push('\n');
            map(node, indent + 1, text);
        }
        Value::List(items) if !items.is_empty() => {
            text.push('\n');
            list(items, indent + 1, text);
        }
        _ => {
            text.push(' ');
            leaf(node, text);
        }
    }
}

fn list(items: &[Node], indent: usize, text: &mut String) {
    for item in items {
        pad(indent, text);
        text.push_str("- ");
        match item.entries() {
            [] => leaf(item, text),
            [first, rest @ ..] => {
                pair(&first.key, &first.node, indent + 1, text);
                for entry in rest {
                    pad(indent + 1, text);
                    pair(&entry.key, &entry.node, indent + 1, text);
                }
            }
        }
    }
}

fn leaf(node: &Node, text: &mut String) {
    match (&node.reference, &node.value) {
        (Some(reference), _) => text.push_str(&quoted(reference)),
        (None, Value::Map(_)) => text.push_str("{}"),
        (None, Value::List(_)) => text.push_str("[]"),
        (None, Value::Null | Value::Unset) => text.push('~'),
        (None, Value::Bool(bool)) => text.push_str(if *bool { "true" } else { "false" }),
        (None, Value::Number(number)) => text.push_str(number),
        (None, Value::Text(value)) => text.push_str(&scalar(value, false)),
    }
    text.push_str(" # ");
    // A file may be called anything.
    let origin = node.origin.in_short();
    text.extend(origin.chars().map(|char| if char.is_control() { '?' } else { char }));
    text.push('\n');
}

/// A text as it is read again: as a key, or as a value, in which `${` would stand for a variable.
fn scalar(value: &str, key: bool) -> String {
    let plain = value.starts_with(|char: char| char.is_ascii_alphanumeric() || char == '_')
        && value.chars().all(|char| char.is_ascii_alphanumeric() || "_-./".contains(char))
        && (key || matches!(resolve(value), Value::Text(_)));
    if plain && !(key && matches!(resolve(value), Value::Null | Value::Bool(_))) {
        value.to_owned()
    } else if key {
        quoted(value)
    } else {
        quoted(&value.replace("${", "$${"))
    }
}

/// JSON's quotes are YAML's.
fn quoted(value: &str) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

fn pad(indent: usize, text: &mut String) {
    (0..indent).for_each(|_| text.push_str("  "));
}
