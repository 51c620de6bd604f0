//! The description of all keys as JSON Schema, and as a table.

use serde_json::{Map, Value, json};

use crate::keys::ROOT;
use crate::shape::{Shape, Table};

/// Durations as they are written in most files; the reader takes longer words for the units, too.
const DURATION: &str = r"^\s*(\d+(\.\d+)?\s*(ns|nsec|us|usec|ms|msec|s|sec|secs|seconds?|m|min|mins|minutes?|h|hr|hrs|hours?|d|days?|w|weeks?)\s*)+$";
/// A value that a variable brings in is checked when it is there.
const REFERENCE: &str = r"\$\{[A-Za-z0-9_]+\}";

pub(crate) fn schema() -> Value {
    let mut schema = of(&Shape::Map(&ROOT));
    if let Some(object) = schema.as_object_mut() {
        object.insert("$schema".to_owned(), json!("https://json-schema.org/draft/2020-12/schema"));
        object.insert("title".to_owned(), json!("Mainstay settings"));
    }
    schema
}

fn of(shape: &Shape) -> Value {
    match shape {
        Shape::Map(table) => map(table),
        Shape::Names { of: shape, .. } => json!({
            "type": ["object", "null"],
            "propertyNames": { "minLength": 1, "maxLength": 128 },
            "additionalProperties": of(shape),
        }),
        Shape::List { of: shape, least, most } => {
            json!({ "type": "array", "items": of(shape), "minItems": least, "maxItems": most })
        }
        Shape::Either { scalar, map, .. } => json!({ "anyOf": [of(scalar), of(map)] }),
        Shape::Text => json!({ "type": "string" }),
        Shape::Name => json!({ "type": "string", "minLength": 1 }),
        scalar => json!({ "anyOf": [of_scalar(scalar), { "type": "string", "pattern": REFERENCE }] }),
    }
}

fn of_scalar(shape: &Shape) -> Value {
    match shape {
        Shape::Bool => json!({ "type": "boolean" }),
        Shape::Count { least, most } => json!({ "type": "integer", "minimum": least, "maximum": most }),
        Shape::Number { most, .. } if *most == f64::MAX => json!({ "type": "number" }),
        Shape::Number { least, above: true, most } => {
            json!({ "type": "number", "exclusiveMinimum": least, "maximum": most })
        }
        Shape::Number { least, most, .. } => json!({ "type": "number", "minimum": least, "maximum": most }),
        Shape::Duration { least, none, .. } => {
            let mut kinds = vec![json!({ "type": "string", "pattern": DURATION })];
            if least.is_zero() {
                kinds.push(json!({ "const": 0 }));
            }
            if *none {
                kinds.push(json!({ "const": "none" }));
            }
            json!({ "anyOf": kinds })
        }
        Shape::DurationOrNumber => {
            json!({ "anyOf": [{ "type": "number" }, { "type": "string", "pattern": DURATION }] })
        }
        Shape::Choice(words) => json!({ "enum": words }),
        _ => json!({}),
    }
}

fn map(table: &Table) -> Value {
    let mut properties = Map::new();
    for key in table.keys {
        let mut property = of(&key.shape);
        if let Some(object) = property.as_object_mut() {
            let expected = key.shape.expected();
            object.insert("description".to_owned(), json!(format!("{} ({expected})", key.doc)));
            if let Some(default) = default(&key.shape, key.default) {
                object.insert("default".to_owned(), default);
            }
        }
        properties.insert(key.name.to_owned(), property);
    }
    let twice = |(one, other): &(&str, &str)| {
        let known = |path: &str| table.get(path.split('.').next().unwrap_or(path)).is_some();
        (known(one) && known(other)).then(|| json!({ "not": { "allOf": [required(one), required(other)] } }))
    };
    let not: Vec<Value> = table.instead.iter().filter_map(twice).collect();
    let mut map =
        json!({ "type": ["object", "null"], "properties": properties, "additionalProperties": false });
    if let (Some(object), false) = (map.as_object_mut(), not.is_empty()) {
        object.insert("allOf".to_owned(), json!(not));
    }
    map
}

/// That a path is there.
fn required(path: &str) -> Value {
    match path.split_once('.') {
        None => json!({ "type": "object", "required": [path] }),
        Some((key, rest)) => {
            json!({ "type": "object", "required": [key], "properties": { key: required(rest) } })
        }
    }
}

/// The default as a value, if the description has it as one.
fn default(shape: &Shape, text: &str) -> Option<Value> {
    let value = match shape {
        Shape::Bool | Shape::Count { .. } | Shape::Number { .. } => serde_json::from_str(text).ok()?,
        Shape::Duration { none: true, .. } if text == "none" => json!(text),
        Shape::Duration { .. } => humantime::parse_duration(text).ok().map(|_| json!(text))?,
        _ => return None,
    };
    Some(value)
}

pub(crate) fn table() -> String {
    let mut lines =
        vec!["| key | takes | default | meaning |".to_owned(), "| --- | --- | --- | --- |".to_owned()];
    rows(&Shape::Map(&ROOT), "", &mut lines);
    lines.join("\n") + "\n"
}

fn rows(shape: &Shape, path: &str, lines: &mut Vec<String>) {
    match shape {
        Shape::Map(table) => {
            for key in table.keys {
                let path = crate::path::join(path, key.name);
                let takes = match &key.shape {
                    Shape::Map(_) | Shape::Names { .. } => String::new(),
                    Shape::List { of: Shape::Map(_), .. } => "a list".to_owned(),
                    Shape::Either { scalar, .. } => format!("{}, or a map", scalar.expected()),
                    shape => shape.expected(),
                };
                lines.push(format!("| `{path}` | {takes} | {} | {} |", key.default, key.doc));
                rows(&key.shape, &path, lines);
            }
        }
        Shape::Names { of, .. } => rows(of, &format!("{path}.<name>"), lines),
        Shape::List { of, .. } => rows(of, &format!("{path}[]"), lines),
        Shape::Either { map, .. } => rows(map, path, lines),
        _ => {}
    }
}
