//! A document as a tree in which every node knows its line.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle};

use crate::node::{Entry, Node, Value};
use crate::{Origin, SettingError};

/// The longest document: 1 MiB.
pub(crate) const MAX_BYTES: usize = 1 << 20;
/// How deep maps and lists may lie in each other.
const MAX_DEPTH: usize = 64;
/// The most values, those that aliases repeat among them.
const MAX_NODES: usize = 1 << 16;

/// What is parsed, for the origins.
#[derive(Clone)]
pub(crate) enum Place {
    File { name: Arc<str>, layer: usize },
    Variable(Arc<str>),
}

impl Place {
    fn origin(&self, marker: &Marker) -> Origin {
        match self {
            Place::File { .. } => self.at(marker.line().max(1), marker.col() + 1),
            Place::Variable(_) => self.whole(),
        }
    }

    fn at(&self, line: usize, column: usize) -> Origin {
        match self {
            Place::File { name, layer } => Origin::File { layer: *layer, file: name.clone(), line, column },
            Place::Variable(name) => Origin::Variable(name.clone()),
        }
    }

    pub(crate) fn whole(&self) -> Origin {
        self.at(0, 0)
    }
}

/// A list or a map that is not finished.
struct Frame {
    node: Node,
    anchor: usize,
    /// Of a map: the key whose value comes next.
    key: Option<(String, Origin)>,
    /// Whether that key does not count, because it is a mistake.
    refused: bool,
    known: HashSet<String>,
}

struct Composer {
    frames: Vec<Frame>,
    /// What an alias stands for, how many values that is, and how deep it is.
    anchors: HashMap<usize, (Node, usize, usize)>,
    nodes: usize,
    root: Option<Node>,
    errors: Vec<SettingError>,
}

/// What a document says, if it is one, and what is wrong with it.
pub(crate) type Parsed = (Option<Node>, Vec<SettingError>);

/// Parses one document. An empty one is `Null`. A mistake of syntax leaves nothing; a repeated key, a merge key and a tag are
/// told, and left out.
pub(crate) fn parse(text: &str, place: &Place) -> Parsed {
    if text.len() > MAX_BYTES {
        let found = format!("{} bytes", text.len());
        return (None, vec![SettingError::new(&place.whole(), "", found, "at most 1048576 bytes")]);
    }
    // The parser's scanner and state machine unwrap what they have made sure of themselves. Nothing is known that makes them
    // stumble; a file must never take the program with it all the same.
    let composed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| compose(text, place)));
    let composed = composed.unwrap_or_else(|_| {
        Err(vec![SettingError::new(&place.whole(), "", "what no YAML parser understands", "a YAML document")])
    });
    match composed {
        Ok((node, errors)) => (Some(node), errors),
        Err(errors) => (None, errors),
    }
}

fn compose(text: &str, place: &Place) -> Result<(Node, Vec<SettingError>), Vec<SettingError>> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut composer =
        Composer { frames: Vec::new(), anchors: HashMap::new(), nodes: 0, root: None, errors: Vec::new() };
    let mut documents = 0;
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| {
            let found = format!("a mistake of syntax ({})", error.info());
            vec![SettingError::new(&place.origin(error.marker()), "", found, "a YAML document")]
        })?;
        if let Event::DocumentStart(_) = event {
            documents += 1;
            if documents > 1 {
                let origin = place.origin(&span.start);
                return Err(vec![SettingError::new(&origin, "", "a second document", "one document")]);
            }
        }
        if let Err(error) = composer.take(event, place.origin(&span.start)) {
            composer.errors.push(*error);
            return Err(composer.errors);
        }
    }
    Ok((composer.root.unwrap_or_else(|| Node::new(Value::Null, place.whole())), composer.errors))
}

impl Composer {
    fn take(&mut self, event: Event<'_>, origin: Origin) -> Result<(), Box<SettingError>> {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                self.refuse_tag(tag.is_some(), &origin);
                let value =
                    if style == ScalarStyle::Plain { resolve(&text) } else { Value::Text(text.into_owned()) };
                self.count(1, &origin)?;
                if self.expects_key() {
                    let key = match value {
                        Value::Null | Value::Unset => "~".to_owned(),
                        Value::Bool(bool) => bool.to_string(),
                        Value::Number(text) | Value::Text(text) => text,
                        Value::List(_) | Value::Map(_) => String::new(),
                    };
                    self.key(key, style == ScalarStyle::Plain, origin);
                    return Ok(());
                }
                self.put(Node::new(value, origin), anchor, 1);
            }
            Event::SequenceStart(anchor, tag) => {
                self.refuse_tag(tag.is_some(), &origin);
                self.open(Value::List(Vec::new()), anchor, origin)?;
            }
            Event::MappingStart(anchor, tag) => {
                self.refuse_tag(tag.is_some(), &origin);
                self.open(Value::Map(Vec::new()), anchor, origin)?;
            }
            Event::SequenceEnd | Event::MappingEnd => {
                if let Some(frame) = self.frames.pop() {
                    let size = if frame.anchor > 0 { size(&frame.node) } else { 0 };
                    self.put(frame.node, frame.anchor, size);
                }
            }
            Event::Alias(anchor) => {
                if self.expects_key() {
                    return Err(Box::new(SettingError::new(&origin, "", "an alias as a key", "a key")));
                }
                let Some((node, size, depth)) = self.anchors.get(&anchor).cloned() else {
                    let found = "an alias of what is not finished";
                    return Err(Box::new(SettingError::new(
                        &origin,
                        "",
                        found,
                        "an alias of an anchor above it",
                    )));
                };
                self.go_down(depth, &origin)?;
                self.count(size, &origin)?;
                self.put(node, 0, 0);
            }
            Event::Nothing
            | Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentStart(_)
            | Event::DocumentEnd => {}
        }
        Ok(())
    }

    fn refuse_tag(&mut self, tagged: bool, origin: &Origin) {
        if tagged {
            self.errors.push(SettingError::new(origin, "", "a tag", "a value without a tag"));
        }
    }

    fn count(&mut self, more: usize, origin: &Origin) -> Result<(), Box<SettingError>> {
        self.nodes = self.nodes.saturating_add(more);
        if self.nodes > MAX_NODES {
            let expected = format!("at most {MAX_NODES}, aliases expanded");
            return Err(Box::new(SettingError::new(origin, "", "too many values", expected)));
        }
        Ok(())
    }

    fn go_down(&self, more: usize, origin: &Origin) -> Result<(), Box<SettingError>> {
        if self.frames.len() + more > MAX_DEPTH {
            let expected = format!("at most {MAX_DEPTH} maps and lists in each other");
            return Err(Box::new(SettingError::new(origin, "", "a deeper one", expected)));
        }
        Ok(())
    }

    fn expects_key(&self) -> bool {
        self.frames.last().is_some_and(|frame| frame.node.is_map() && frame.key.is_none())
    }

    fn key(&mut self, key: String, plain: bool, origin: Origin) {
        let path = self.path(&key);
        let Some(frame) = self.frames.last_mut() else { return };
        frame.refused = false;
        if plain && key == "<<" {
            let hint = "merge keys are not supported; use `default`".to_owned();
            let error =
                SettingError::new(&origin, path, "the merge key `<<`", "keys with values of their own");
            self.errors.push(error.hint(Some(hint)));
            frame.refused = true;
        } else if !frame.known.insert(key.clone()) {
            let first = frame.node.entries().iter().find(|entry| entry.key == key);
            let expected = match first.map(|entry| &entry.at) {
                Some(Origin::File { line, .. }) => {
                    format!("each key once; the first `{key}` is in line {line}")
                }
                _ => "each key once".to_owned(),
            };
            self.errors.push(SettingError::new(&origin, path, format!("a second `{key}`"), expected));
            frame.refused = true;
        }
        frame.key = Some((key, origin));
    }

    fn path(&self, last: &str) -> String {
        let keys = self.frames.iter().filter_map(|frame| frame.key.as_ref().map(|(key, _)| key.as_str()));
        keys.chain([last]).fold(String::new(), |path, key| crate::path::join(&path, key))
    }

    fn open(&mut self, value: Value, anchor: usize, origin: Origin) -> Result<(), Box<SettingError>> {
        if self.expects_key() {
            return Err(Box::new(SettingError::new(&origin, "", "a map or a list as a key", "a key")));
        }
        self.go_down(1, &origin)?;
        self.count(1, &origin)?;
        self.frames.push(Frame {
            node: Node::new(value, origin),
            anchor,
            key: None,
            refused: false,
            known: HashSet::new(),
        });
        Ok(())
    }

    fn put(&mut self, node: Node, anchor: usize, size: usize) {
        if anchor > 0 {
            let depth = depth(&node);
            self.anchors.insert(anchor, (node.clone(), size, depth));
        }
        match self.frames.last_mut() {
            None => self.root = Some(node),
            Some(frame) => match (&mut frame.node.value, frame.key.take()) {
                (Value::List(items), _) => items.push(node),
                (Value::Map(_), Some(_)) if frame.refused => {}
                (Value::Map(entries), Some((key, at))) => entries.push(Entry { key, at, node }),
                _ => {}
            },
        }
    }
}

fn size(node: &Node) -> usize {
    let below = match &node.value {
        Value::List(items) => items.iter().map(size).sum(),
        Value::Map(entries) => entries.iter().map(|entry| size(&entry.node)).sum(),
        _ => 0,
    };
    1 + below
}

fn depth(node: &Node) -> usize {
    match &node.value {
        Value::List(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Map(entries) => 1 + entries.iter().map(|entry| depth(&entry.node)).max().unwrap_or(0),
        _ => 0,
    }
}

/// What a plain scalar is, by YAML 1.2's core schema without its rarer spellings of numbers.
pub(crate) fn resolve(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "true" | "True" | "TRUE" => Value::Bool(true),
        "false" | "False" | "FALSE" => Value::Bool(false),
        _ => {
            let number = text.starts_with(|first: char| first.is_ascii_digit() || "+-.".contains(first))
                && text.chars().any(|char| char.is_ascii_digit())
                && text.parse::<f64>().is_ok_and(f64::is_finite);
            if number { Value::Number(text.to_owned()) } else { Value::Text(text.to_owned()) }
        }
    }
}
