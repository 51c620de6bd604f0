use std::sync::Arc;

use crate::Origin;

/// A value with its origin.
#[derive(Clone, PartialEq)]
pub(crate) struct Node {
    pub(crate) value: Value,
    pub(crate) origin: Origin,
    /// The text with the `${VARIABLE}` that brought the value in: it is never printed.
    pub(crate) reference: Option<Arc<str>>,
}

#[derive(Clone, PartialEq)]
pub(crate) enum Value {
    Null,
    /// Of a reference to a variable that has been told to be none.
    Unset,
    Bool(bool),
    /// As it was written.
    Number(String),
    Text(String),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

#[derive(Clone, PartialEq)]
pub(crate) struct Entry {
    pub(crate) key: String,
    /// Where the key stands.
    pub(crate) at: Origin,
    pub(crate) node: Node,
}

impl Node {
    pub(crate) fn new(value: Value, origin: Origin) -> Self {
        Self { value, origin, reference: None }
    }

    pub(crate) fn map(origin: Origin) -> Self {
        Self::new(Value::Map(Vec::new()), origin)
    }

    pub(crate) fn text(text: impl Into<String>, origin: Origin) -> Self {
        Self::new(Value::Text(text.into()), origin)
    }

    pub(crate) fn number(number: impl ToString, origin: Origin) -> Self {
        Self::new(Value::Number(number.to_string()), origin)
    }

    pub(crate) fn bool(bool: bool, origin: Origin) -> Self {
        Self::new(Value::Bool(bool), origin)
    }

    /// What serde says of something, all of it with one origin.
    pub(crate) fn of_json(json: &serde_json::Value, origin: &Origin) -> Self {
        let value = match json {
            serde_json::Value::Null => Value::Null,
            serde_json::Value::Bool(bool) => Value::Bool(*bool),
            serde_json::Value::Number(number) => Value::Number(match (number.as_u64(), number.as_f64()) {
                (None, Some(number)) => number.to_string(),
                _ => number.to_string(),
            }),
            serde_json::Value::String(text) => Value::Text(text.clone()),
            serde_json::Value::Array(list) => {
                Value::List(list.iter().map(|json| Self::of_json(json, origin)).collect())
            }
            serde_json::Value::Object(map) => {
                let entry = |(key, json): (&String, _)| Entry {
                    key: key.clone(),
                    at: origin.clone(),
                    node: Self::of_json(json, origin),
                };
                let mut entries: Vec<Entry> = map.iter().map(entry).collect();
                // Whether they have an order is a feature of serde_json's that anybody may ask for.
                entries.sort_by(|one, other| one.key.cmp(&other.key));
                Value::Map(entries)
            }
        };
        Self::new(value, origin.clone())
    }

    /// The entries of a map; none of anything else.
    pub(crate) fn entries(&self) -> &[Entry] {
        match &self.value {
            Value::Map(entries) => entries,
            _ => &[],
        }
    }

    /// The entries of a map; none of anything else.
    pub(crate) fn entries_mut(&mut self) -> impl Iterator<Item = &mut Entry> {
        match &mut self.value {
            Value::Map(entries) => entries.iter_mut(),
            _ => [].iter_mut(),
        }
    }

    pub(crate) fn items(&self) -> &[Node] {
        match &self.value {
            Value::List(items) => items,
            _ => &[],
        }
    }

    pub(crate) fn get(&self, key: &str) -> Option<&Node> {
        self.entries().iter().find(|entry| entry.key == key).map(|entry| &entry.node)
    }

    /// What is at a path of keys with dots between them.
    pub(crate) fn at(&self, path: &str) -> Option<&Node> {
        path.split('.').try_fold(self, |node, key| node.get(key))
    }

    pub(crate) fn get_mut(&mut self, key: &str) -> Option<&mut Node> {
        self.entries_mut().find(|entry| entry.key == key).map(|entry| &mut entry.node)
    }

    /// Gives a key a value. What is no map becomes one.
    pub(crate) fn set(&mut self, key: &str, node: Node) {
        let entry = Entry { key: key.to_owned(), at: node.origin.clone(), node };
        match &mut self.value {
            Value::Map(entries) => match entries.iter_mut().find(|entry| entry.key == key) {
                Some(known) => *known = entry,
                None => entries.push(entry),
            },
            other => *other = Value::Map(vec![entry]),
        }
    }

    /// Gives the end of a path of keys a value.
    pub(crate) fn set_at(&mut self, path: &[String], node: Node) {
        match path {
            [] => *self = node,
            [key] => self.set(key, node),
            [key, rest @ ..] => {
                if self.get(key).is_none() {
                    self.set(key, Node::map(node.origin.clone()));
                }
                if let Some(below) = self.get_mut(key) {
                    below.set_at(rest, node);
                }
            }
        }
    }

    /// Gives a key another name and value, in its place.
    pub(crate) fn rename(&mut self, from: &str, to: &str, node: Node) {
        if let Some(entry) = self.entries_mut().find(|entry| entry.key == from) {
            *entry = Entry { key: to.to_owned(), at: node.origin.clone(), node };
        }
    }

    /// Takes away what is at a path of keys with dots between them.
    pub(crate) fn remove(&mut self, path: &str) {
        match (path.split_once('.'), &mut self.value) {
            (Some((key, rest)), _) => {
                if let Some(below) = self.get_mut(key) {
                    below.remove(rest);
                }
            }
            (None, Value::Map(entries)) => entries.retain(|entry| entry.key != path),
            (None, _) => {}
        }
    }

    pub(crate) fn is_map(&self) -> bool {
        matches!(self.value, Value::Map(_))
    }

    pub(crate) fn as_text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(crate) fn as_bool(&self) -> Option<bool> {
        match &self.value {
            Value::Bool(bool) => Some(*bool),
            _ => None,
        }
    }

    /// The text of a scalar.
    pub(crate) fn scalar(&self) -> Option<String> {
        match &self.value {
            Value::Bool(bool) => Some(bool.to_string()),
            Value::Number(text) | Value::Text(text) => Some(text.clone()),
            Value::Null | Value::Unset | Value::List(_) | Value::Map(_) => None,
        }
    }

    /// Whether a `${VARIABLE}` brought in anything of it.
    pub(crate) fn is_hidden(&self) -> bool {
        self.reference.is_some()
            || self.entries().iter().any(|entry| entry.node.is_hidden())
            || self.items().iter().any(Node::is_hidden)
    }

    /// The same as a value, unless a `${VARIABLE}` brought this one in: what an error says of a value beside the one that it is about.
    pub(crate) fn told(&self) -> String {
        self.or_hidden(self.scalar().unwrap_or_default())
    }

    /// What was made of this value, for an error.
    pub(crate) fn or_hidden(&self, text: impl std::fmt::Display) -> String {
        if self.is_hidden() { "***".to_owned() } else { text.to_string() }
    }

    /// What an error says was found.
    pub(crate) fn found(&self) -> String {
        match (self.reference.as_deref(), &self.value) {
            (None, _) => {}
            // What is hidden without a variable may be secret, and empty as well.
            (Some(""), _) => return "***".to_owned(),
            (Some(_), Value::Null) => return "an empty variable".to_owned(),
            (Some(_), Value::Text(text)) if text.trim().is_empty() => return "an empty variable".to_owned(),
            // A variable is no list, if it is text.
            (Some(_), Value::List(_)) => return "a value that is not UTF-8".to_owned(),
            (Some(_), _) => return "***".to_owned(),
        }
        match &self.value {
            Value::Null | Value::Unset => "nothing".to_owned(),
            Value::Bool(bool) => bool.to_string(),
            Value::Number(text) => shortened(text),
            Value::Text(text) => format!("{:?}", shortened(text)),
            Value::List(_) => "a list".to_owned(),
            Value::Map(_) => "a map".to_owned(),
        }
    }
}

/// An error is no place for a page of text.
pub(crate) fn shortened(text: &str) -> String {
    const MOST: usize = 60;
    match text.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}
