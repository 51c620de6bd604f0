//! Is every value what its key calls for? And if so, written in one way.

use std::time::Duration;

use mainstay_core::{Name, humane};

use crate::error::{Errors, SettingError, did_you_mean};
use crate::node::{Entry, Node, Value};
use crate::path;
use crate::shape::{Shape, Table, listed};

/// Checks a tree against its shape, and writes its values in one way: durations, numbers, short forms.
pub(crate) fn check(node: &mut Node, shape: &'static Shape, path: &str, errors: &mut Errors) {
    if node.value == Value::Unset {
        return;
    }
    match shape {
        Shape::Map(table) => map(node, table, path, shape, errors),
        Shape::Names { of, default } => names(node, of, *default, path, shape, errors),
        Shape::List { of, least, most } => list(node, of, *least..=*most, path, shape, errors),
        Shape::Either { map, .. } if node.is_map() => check(node, map, path, errors),
        Shape::Either { scalar, keys, .. } => {
            let known = errors.len();
            check_scalar(node, scalar, shape, path, errors);
            if errors.len() == known && !keys.is_empty() {
                let whole = std::mem::replace(node, Node::map(node.origin.clone()));
                keys.iter().for_each(|key| node.set(key, whole.clone()));
            }
        }
        scalar => check_scalar(node, scalar, shape, path, errors),
    }
}

fn check_scalar(node: &mut Node, shape: &'static Shape, whole: &Shape, path: &str, errors: &mut Errors) {
    match written(node, shape) {
        Some(value) => node.value = value,
        None => errors.push(SettingError::at(node, path, whole.expected()).hint(hint(node, shape))),
    }
}

/// A scalar in the one way in which it is written, if it is one of the shape.
fn written(node: &Node, shape: &Shape) -> Option<Value> {
    match (shape, &node.value) {
        (Shape::Bool, Value::Bool(bool)) => Some(Value::Bool(*bool)),
        (Shape::Count { least, most }, Value::Number(text)) => {
            let count: u64 = text.parse().ok()?;
            (*least..=*most).contains(&count).then(|| Value::Number(count.to_string()))
        }
        (Shape::Number { least, above, most }, Value::Number(text)) => {
            let number: f64 = text.parse().ok()?;
            let fits = (*least..=*most).contains(&number) && !(*above && number <= *least);
            fits.then(|| decimal(number))
        }
        (Shape::Duration { none: true, .. }, Value::Text(text)) if text == "none" => {
            Some(Value::Text(text.clone()))
        }
        (Shape::Duration { least, most, .. }, Value::Text(_) | Value::Number(_)) => {
            let duration = duration(node)?;
            (*least..=*most).contains(&duration).then(|| Value::Text(format(duration)))
        }
        (Shape::DurationOrNumber, Value::Number(text)) => Some(decimal(text.parse().ok()?)),
        (Shape::DurationOrNumber, Value::Text(_)) => Some(Value::Text(format(duration(node)?))),
        // A variable has nothing but text; that it looks like a number is chance.
        (Shape::Text | Shape::Name, Value::Number(text)) if node.reference.is_some() => {
            Some(Value::Text(text.clone()))
        }
        (Shape::Text, Value::Text(text)) => Some(Value::Text(text.clone())),
        (Shape::Name, Value::Text(text)) => Name::new(text).ok().map(|_| Value::Text(text.clone())),
        (Shape::Choice(words), Value::Text(text)) => {
            words.contains(&text.as_str()).then(|| Value::Text(text.clone()))
        }
        _ => None,
    }
}

fn decimal(number: f64) -> Value {
    // Zero has one sign.
    Value::Number((number + 0.0).to_string())
}

/// Whether there is a unit in it that is not always as long, and one letter from minutes.
fn has_calendar_unit(text: &str) -> bool {
    let mut units = text.split(|char: char| !char.is_alphabetic());
    units.any(|unit| ["M", "month", "months", "y", "yr", "yrs", "year", "years"].contains(&unit))
}

/// A duration as it is shown, of units that can be read.
pub(crate) fn format(duration: Duration) -> String {
    const DAY: u64 = 24 * 60 * 60;
    let days = duration.as_secs() / DAY;
    let rest = duration.saturating_sub(Duration::from_secs(days * DAY));
    match (days, rest.is_zero()) {
        (0..28, _) => humane::format(duration),
        (_, true) => format!("{days}days"),
        (_, false) => format!("{days}days{}", humane::format(rest)),
    }
}

/// A duration with its unit; a zero needs none. Months and years are no units.
pub(crate) fn duration(node: &Node) -> Option<Duration> {
    match &node.value {
        Value::Text(text) if has_calendar_unit(text) => None,
        Value::Text(text) => humantime::parse_duration(text).ok(),
        Value::Number(text) if text == "0" => Some(Duration::ZERO),
        _ => None,
    }
}

fn hint(node: &Node, shape: &Shape) -> Option<String> {
    if node.reference.is_some() {
        return None;
    }
    match (shape, &node.value) {
        (Shape::Duration { .. }, Value::Number(text)) => {
            let with = |unit: &&'static str| {
                let value = Value::Text(format!("{text}{unit}"));
                written(&Node::new(value, crate::Origin::Default), shape).is_some()
            };
            let units: Vec<String> =
                ["s", "ms"].into_iter().filter(with).map(|unit| format!("`{text}{unit}`")).collect();
            (!units.is_empty()).then(|| format!("a unit is missing: did you mean {}?", units.join(" or ")))
        }
        (Shape::Duration { .. } | Shape::DurationOrNumber, Value::Text(text)) if has_calendar_unit(text) => {
            Some("`m` is minutes; there are no months and years".to_owned())
        }
        (Shape::Choice(words), Value::Text(text)) => did_you_mean(text, words.iter().copied()),
        (Shape::Text | Shape::Name, Value::Number(_) | Value::Bool(_)) => {
            Some("put it into quotes".to_owned())
        }
        (Shape::Count { .. } | Shape::Number { .. } | Shape::Bool, Value::Text(text))
            if !matches!(crate::yaml::resolve(text), Value::Text(_)) =>
        {
            Some("leave the quotes away".to_owned())
        }
        _ => None,
    }
}

fn map(node: &mut Node, table: &'static Table, path: &str, shape: &Shape, errors: &mut Errors) {
    let Some(()) = open(node, path, shape, errors) else { return };
    for Entry { key, at, node } in node.entries_mut() {
        let below = path::join(path, key);
        match table.get(key) {
            Some(known) => check(node, &known.shape, &below, errors),
            None => errors.push(unknown(at, path, key, table.names().collect())),
        }
    }
    let mut told = Vec::new();
    for (one, other) in table.instead {
        if let (Some(_), Some(_)) = (node.at(one), node.at(other)) {
            // Of two, the later one is at fault.
            let places = [one, other].map(|word| (place(node, word), *word));
            let [(one_at, one), (other_at, other)] = places;
            let (at, word, first) =
                if one_at > other_at { (one_at, one, other) } else { (other_at, other, one) };
            if let Some(at) = at.filter(|at| !told.contains(at)) {
                told.push(at.clone());
                let found = format!("`{word}` beside `{first}`");
                let expected = "one of the two, because they say the same thing";
                errors.push(SettingError::new(
                    &at,
                    path::join(path, word.split('.').next().unwrap_or(word)),
                    found,
                    expected,
                ));
            }
        }
    }
}

/// Where the key at the end of a path stands.
fn place(node: &Node, path: &str) -> Option<crate::Origin> {
    let (above, key) = match path.rsplit_once('.') {
        Some((above, key)) => (node.at(above)?, key),
        None => (node, path),
    };
    above.entries().iter().find(|entry| entry.key == key).map(|entry| entry.at.clone())
}

pub(crate) fn unknown(at: &crate::Origin, path: &str, key: &str, known: Vec<&str>) -> SettingError {
    let hint = did_you_mean(key, known.iter().copied());
    let expected = match (&hint, known.is_empty()) {
        (Some(_), _) => "a known key".to_owned(),
        (None, true) => "no key here".to_owned(),
        (None, false) => format!("one of {}", listed(known.into_iter())),
    };
    let found = format!("the unknown key `{}`", crate::node::shortened(key));
    SettingError::new(at, path::join(path, key), found, expected).hint(hint)
}

fn names(node: &mut Node, of: &'static Shape, default: bool, path: &str, shape: &Shape, errors: &mut Errors) {
    let Some(()) = open(node, path, shape, errors) else { return };
    for Entry { key, at, node } in node.entries_mut() {
        let below = path::join(path, key);
        if !(default && key == "default")
            && let Err(error) = Name::new(&*key)
        {
            let found = format!("the name {:?}", crate::node::shortened(key));
            errors.push(SettingError::new(at, &below, found, format!("a name: it {}", error.rule)));
        }
        check(node, of, &below, errors);
    }
}

/// A map, or nothing at all, which is an empty one.
fn open(node: &mut Node, path: &str, shape: &Shape, errors: &mut Errors) -> Option<()> {
    if matches!(node.value, Value::Null) && node.reference.is_none() {
        node.value = Value::Map(Vec::new());
    }
    if node.is_map() {
        return Some(());
    }
    errors.push(SettingError::at(node, path, shape.expected()));
    None
}

fn list(
    node: &mut Node,
    of: &'static Shape,
    range: std::ops::RangeInclusive<usize>,
    path: &str,
    shape: &Shape,
    errors: &mut Errors,
) {
    match &mut node.value {
        Value::List(items) if range.contains(&items.len()) => {
            for (index, node) in items.iter_mut().enumerate() {
                check(node, of, &path::item(path, index), errors);
            }
        }
        Value::List(items) => {
            let found = format!("a list of {}", items.len());
            errors.push(SettingError::new(&node.origin, path, found, shape.expected()));
        }
        _ => errors.push(SettingError::at(node, path, shape.expected())),
    }
}
