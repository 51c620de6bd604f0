//! A tree as YAML, with the origin of each value.

use crate::effective::literally;
use crate::node::{Node, Value};
use crate::visible::is_hidden;

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
    text.push_str(&scalar(key));
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
        (None, Value::Text(value)) => text.push_str(&scalar(&literally(value))),
    }
    text.push_str(" # ");
    text.push_str(&node.origin.in_short());
    text.push('\n');
}

/// A text as every reader of YAML takes it for a text: in quotes, unless it is plainly a word or a duration.
fn scalar(value: &str) -> String {
    if is_word(value) || is_duration(value) { value.to_owned() } else { quoted(value) }
}

fn is_word(value: &str) -> bool {
    // Words of YAML 1.1 and 1.2 for what is no text.
    const TAKEN: [&str; 12] =
        ["true", "false", "yes", "no", "on", "off", "y", "n", "null", "nan", "inf", "infinity"];
    value.starts_with(|char: char| char.is_ascii_alphabetic() || char == '_')
        && value.chars().all(|char| char.is_ascii_alphanumeric() || "_-./".contains(char))
        && !TAKEN.iter().any(|taken| value.eq_ignore_ascii_case(taken))
}

/// Whether it is a duration as this list writes it; each has a unit.
fn is_duration(value: &str) -> bool {
    humantime::parse_duration(value).is_ok_and(|duration| crate::check::format(duration) == value)
}

/// JSON's quotes are YAML's.
fn quoted(value: &str) -> String {
    let json = serde_json::to_string(value).unwrap_or_default();
    json.chars().fold(String::with_capacity(json.len()), |mut text, char| {
        if is_hidden(char) {
            text.push_str(&format!("\\u{:04x}", u32::from(char)));
        } else {
            text.push(char);
        }
        text
    })
}

fn pad(indent: usize, text: &mut String) {
    (0..indent).for_each(|_| text.push_str("  "));
}
