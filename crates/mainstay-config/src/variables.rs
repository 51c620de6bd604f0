//! The layers that come from the environment: the variables of the original, and those that every key has.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::check::check;
use crate::error::{Errors, SettingError, did_you_mean};
use crate::keys::{BREAKER, ROOT};
use crate::node::Node;
use crate::shape::{Shape, listed};
use crate::yaml::{self, Place};
use crate::{Environment, Origin};

/// The prefix of the variables that every key has; `__` stands between the keys.
const PREFIX: &str = "MAINSTAY__";

pub(crate) static ROOT_SHAPE: Shape = Shape::Map(&ROOT);

/// A prefix of the original's variables, and whose they are.
struct Family {
    prefix: &'static str,
    breaker: &'static str,
    members: &'static [Member],
}

struct Member {
    suffix: &'static str,
    key: &'static str,
    shape: Option<&'static Shape>,
}

impl Member {
    const fn of(suffix: &'static str, key: &'static str) -> Self {
        Self { suffix, key, shape: None }
    }
}

static SEED: [Member; 5] = [
    Member::of("MAX_REQUESTS", "max_requests"),
    Member::of("INTERVAL", "interval"),
    Member::of("TIMEOUT", "timeout"),
    Member::of("FAILURE_THRESHOLD", "failure_threshold"),
    Member::of("SUCCESS_THRESHOLD", "success_threshold"),
];

static ENFORCE: [Member; 3] = [
    Member { suffix: "ERROR_THRESHOLD", key: "error_threshold", shape: Some(&Shape::RATE) },
    Member {
        suffix: "WINDOW_SECONDS",
        key: "window_seconds",
        shape: Some(&Shape::Count { least: 1, most: 24 * 60 * 60 }),
    },
    Member { suffix: "MIN_REQUESTS", key: "min_requests", shape: Some(&Shape::COUNT) },
];

/// The longer of two prefixes stands first.
static FAMILIES: [Family; 6] = [
    Family { prefix: "CB_GRPC_CONN_", breaker: "grpc_conn", members: &SEED },
    Family { prefix: "CB_REDIS_", breaker: "redis", members: &SEED },
    Family { prefix: "CB_DB_", breaker: "database", members: &SEED },
    Family { prefix: "CB_GRPC_", breaker: "grpc", members: &SEED },
    Family { prefix: "CB_HTTP_", breaker: "http", members: &SEED },
    Family { prefix: "ENFORCE_CB_", breaker: "agent_core", members: &ENFORCE },
];

/// The layer of the original's variables.
pub(crate) fn seed_layer(environment: &Environment, errors: &mut Errors) -> Node {
    let mut layer = Node::map(Origin::Default);
    for (name, value) in environment.iter() {
        let Some((family, suffix)) =
            FAMILIES.iter().find_map(|family| Some((family, name.strip_prefix(family.prefix)?)))
        else {
            continue;
        };
        let origin = Origin::Variable(Arc::from(name));
        let Some(member) = family.members.iter().find(|member| member.suffix == suffix) else {
            let known: Vec<String> = FAMILIES
                .iter()
                .flat_map(|family| {
                    family.members.iter().map(|member| format!("{}{}", family.prefix, member.suffix))
                })
                .collect();
            let hint = did_you_mean(name, known.iter().map(String::as_str));
            let expected = "a variable that is known, or another prefix";
            errors.push(SettingError::new(&origin, "", "an unknown variable", expected).hint(hint));
            continue;
        };
        let shape = member.shape.or_else(|| BREAKER.get(member.key).map(|key| &key.shape));
        let Some(shape) = shape else { continue };
        let path = format!("circuit_breakers.{}.{}", family.breaker, member.key);
        let Some(value) = usable(&origin, &path, value, Some(shape), errors) else { continue };
        let mut node = Node::new(yaml::resolve(value), origin);
        check(&mut node, shape, &path, errors);
        layer.set_at(&["circuit_breakers", family.breaker, member.key].map(str::to_owned), node);
    }
    layer
}

/// The layer of the variables that every key has. Names are matched with those that the layers below have.
pub(crate) fn generic_layer(
    environment: &Environment,
    below: &Node,
    sections: &[String],
    errors: &mut Errors,
) -> Node {
    let mut layer = Node::map(Origin::Default);
    for (name, value) in environment.iter() {
        let Some(segments) = strip_prefix_of_any_case(name, PREFIX) else { continue };
        let origin = Origin::Variable(Arc::from(name));
        let segments: Vec<&str> = segments.split("__").collect();
        let (keys, shape) = match find(&segments, below, &layer, sections) {
            Ok(found) => found,
            Err(Unfound::Unknown { path, hint }) => {
                let expected = "a variable that is known: MAINSTAY__ and the keys with `__` between them";
                errors.push(SettingError::new(&origin, path, "an unknown variable", expected).hint(hint));
                continue;
            }
            Err(Unfound::Several { path, names }) => {
                let found = format!("a name for {}", listed(names.iter().map(String::as_str)));
                let expected = "names that differ in more than case and `-`, `.`, `_` or spaces";
                errors.push(SettingError::new(&origin, path, found, expected));
                continue;
            }
        };
        let path = keys.iter().fold(String::new(), |path, key| crate::path::join(&path, key));
        let Some(value) = usable(&origin, &path, value, shape, errors) else { continue };
        if let Some(taken) = taken(&layer, &keys) {
            let expected = format!("one variable for a key; there is {} as well", taken.origin);
            errors.push(SettingError::new(&origin, path, "a second variable", expected));
            continue;
        }
        let plain = matches!(shape, None | Some(Shape::Text | Shape::Name));
        let node = if plain {
            (Some(Node::text(value, origin.clone())), Vec::new())
        } else {
            yaml::parse(value, &Place::Variable(Arc::from(name)))
        };
        let (node, wrong) = node;
        errors.extend(wrong.into_iter().map(|error| crate::SettingError { path: path.clone(), ..error }));
        if let Some(mut node) = node {
            if shape.is_none() {
                // What is secret in the program's own sections, only the program knows.
                node.reference = Some(Arc::from(name));
            }
            layer.set_at(&keys, node);
        }
    }
    layer
}

/// A variable that is set to nothing, or to what is no text, is an error.
fn usable<'a>(
    origin: &Origin,
    path: &str,
    value: Option<&'a str>,
    shape: Option<&Shape>,
    errors: &mut Errors,
) -> Option<&'a str> {
    let expected = || shape.map_or_else(|| "text".to_owned(), Shape::expected);
    match value {
        Some(value) if !value.trim().is_empty() => Some(value),
        Some(_) => {
            let hint = "unset it to use what the file or the default says".to_owned();
            errors.push(SettingError::new(origin, path, "an empty variable", expected()).hint(Some(hint)));
            None
        }
        None => {
            errors.push(SettingError::new(origin, path, "a value that is not UTF-8", expected()));
            None
        }
    }
}

fn strip_prefix_of_any_case<'a>(name: &'a str, prefix: &str) -> Option<&'a str> {
    let head = name.get(..prefix.len())?;
    if head.eq_ignore_ascii_case(prefix) { name.get(prefix.len()..) } else { None }
}

/// Why the name of a variable leads nowhere.
enum Unfound {
    Unknown {
        path: String,
        hint: Option<String>,
    },
    /// It may be any of several names.
    Several {
        path: String,
        names: Vec<String>,
    },
}

type Found = (Vec<String>, Option<&'static Shape>);

/// Which keys the segments of a variable's name are, and what is expected there.
fn find(segments: &[&str], below: &Node, layer: &Node, sections: &[String]) -> Result<Found, Unfound> {
    let mut keys: Vec<String> = Vec::with_capacity(segments.len());
    let mut shape = Some(&ROOT_SHAPE);
    let (mut below, mut layer) = (Some(below), Some(layer));
    for segment in segments {
        let path = keys.iter().fold(String::new(), |path, key| crate::path::join(&path, key));
        if segment.is_empty() || keys.len() > 16 {
            return Err(Unfound::Unknown { path, hint: None });
        }
        let free = || {
            let known = [below, layer].into_iter().flatten().flat_map(Node::entries);
            let known = known.filter(|entry| alike(&entry.key, segment)).map(|entry| entry.key.clone());
            let names: Vec<String> = known.collect::<BTreeSet<_>>().into_iter().collect();
            match names.as_slice() {
                [] => Ok(segment.to_ascii_lowercase()),
                [name] => Ok(name.clone()),
                _ => Err(Unfound::Several { path: path.clone(), names }),
            }
        };
        let key = match shape {
            // The program's own sections, whose keys nobody but the program knows.
            None => free()?,
            Some(_) if keys.is_empty() && sections.iter().any(|section| alike(section, segment)) => {
                let section = sections.iter().find(|section| alike(section, segment));
                shape = None;
                keys.extend(section.cloned());
                below = section.and_then(|section| below?.get(section));
                layer = section.and_then(|section| layer?.get(section));
                continue;
            }
            Some(Shape::Names { .. } | Shape::Either { map: Shape::Names { .. }, .. }) => free()?,
            Some(known) => {
                let table = known.table().ok_or(Unfound::Unknown { path: path.clone(), hint: None })?;
                match table.keys.iter().find(|key| alike(key.name, segment)) {
                    Some(key) => key.name.to_owned(),
                    None => {
                        let near = crate::error::nearest(&segment.to_ascii_lowercase(), table.names());
                        let said = |near: &str| {
                            let keys = keys.iter().map(String::as_str).chain([near]);
                            let name = keys.map(variable_segment).collect::<Vec<_>>().join("__");
                            format!("did you mean `{PREFIX}{name}`?")
                        };
                        return Err(Unfound::Unknown { path, hint: near.map(said) });
                    }
                }
            }
        };
        shape = shape.and_then(|shape| shape.below(&key));
        below = below.and_then(|node| node.get(&key));
        layer = layer.and_then(|node| node.get(&key));
        keys.push(key);
    }
    Ok((keys, shape))
}

/// What another variable says of a key, or of all that it is a part of.
fn taken<'a>(layer: &'a Node, keys: &[String]) -> Option<&'a Node> {
    let mut node = layer;
    for key in keys {
        if !node.is_map() {
            return Some(node);
        }
        node = node.get(key)?;
    }
    Some(node)
}

/// A key as the names of variables have it.
fn variable_segment(key: &str) -> String {
    key.to_ascii_uppercase().replace(['-', '.', ' '], "_")
}

fn alike(key: &str, segment: &str) -> bool {
    variable_segment(key) == segment.to_ascii_uppercase()
}

/// What a breaker of one of the original's names starts from, in the words that it is given in.
pub(crate) fn row(breaker: &str) -> Option<Node> {
    let (row, words): (_, [(_, &str); 5]) = match breaker {
        "redis" => ("CB_REDIS_*", seed_row(["5", "30s", "15s", "3", "2"])),
        "database" => ("CB_DB_*", seed_row(["3", "1m", "30s", "5", "2"])),
        "grpc" => ("CB_GRPC_*", seed_row(["5", "45s", "20s", "3", "2"])),
        "grpc_conn" => ("CB_GRPC_CONN_*", seed_row(["3", "1m", "30s", "3", "1"])),
        "http" => ("CB_HTTP_*", seed_row(["5", "30s", "15s", "3", "2"])),
        "agent_core" => return Some(enforce_row()),
        _ => return None,
    };
    Some(row_of(row, &words))
}

fn seed_row(values: [&'static str; 5]) -> [(&'static str, &'static str); 5] {
    let [max_requests, interval, timeout, failures, successes] = values;
    [
        ("max_requests", max_requests),
        ("interval", interval),
        ("timeout", timeout),
        ("failure_threshold", failures),
        ("success_threshold", successes),
    ]
}

pub(crate) fn enforce_row() -> Node {
    row_of("ENFORCE_CB_*", &[("error_threshold", "0.5"), ("window_seconds", "30"), ("min_requests", "20")])
}

fn row_of(row: &'static str, words: &[(&str, &str)]) -> Node {
    let mut node = Node::map(Origin::Table(row));
    for (key, value) in words {
        node.set(key, Node::new(yaml::resolve(value), Origin::Table(row)));
    }
    node
}

/// The names that have a row.
pub(crate) const ROWS: [&str; 6] = ["redis", "database", "grpc", "grpc_conn", "http", "agent_core"];
