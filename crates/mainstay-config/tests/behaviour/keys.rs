//! The one description of all keys: what it promises is read, and it leaves nothing out.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that panics fails, as it should"
)]

use std::collections::BTreeSet;
use std::time::Duration;

use mainstay_config::{Environment, Loader, Settings};
use serde_json::Value;

const FULL: &str = include_str!("../full.yaml");
const SAMPLE: &str = include_str!("../../../../examples/settings/mainstay.yaml");

/// The keys of a schema, wherever they stand.
fn described(schema: &Value, keys: &mut BTreeSet<String>) {
    if let Some(properties) = schema.get("properties").and_then(Value::as_object) {
        keys.extend(properties.keys().cloned());
        properties.values().for_each(|schema| described(schema, keys));
    }
    for below in ["additionalProperties", "items"] {
        schema.get(below).into_iter().for_each(|schema| described(schema, keys));
    }
    schema
        .get("anyOf")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .for_each(|schema| described(schema, keys));
}

fn keys() -> BTreeSet<String> {
    let mut keys = BTreeSet::new();
    described(&Settings::schema(), &mut keys);
    keys
}

fn said(text: &str) -> impl Iterator<Item = String> {
    let words = text.split(|char: char| !(char.is_ascii_alphanumeric() || char == '_' || char == ':'));
    words.filter_map(|word| Some(word.strip_suffix(':')?.to_owned()))
}

#[test]
fn every_key_is_in_the_files_that_are_tested() {
    let said: BTreeSet<String> = said(FULL).chain(said(SAMPLE)).collect();
    let missing: Vec<_> = keys().difference(&said).cloned().collect();
    assert_eq!(missing, ["max_failures"; 0]);
}

/// For each line with a value: some other value that is accepted makes other settings.
#[test]
fn every_key_is_read() {
    let candidates = [
        "true",
        "false",
        "1",
        "2",
        "3",
        "4",
        "0.03",
        "0.2",
        "0.7",
        "1.5",
        "1s",
        "4s",
        "17s",
        "25s",
        "3m",
        "90ms",
        "200ms",
        "none",
        "cache",
        "skip",
        "proceed",
        "proceed_silently",
        "shared",
        "internal",
        "exclusive",
        "degraded",
        "unhealthy",
        "some",
    ];
    let (mut said, mut read) = (BTreeSet::new(), BTreeSet::new());
    for text in [FULL, SAMPLE] {
        let debug = |text: &str| {
            let loaded = Loader::new().text("f", text).load().ok()?;
            Some((format!("{:?}", loaded.settings()), loaded.fingerprint()))
        };
        let (settings, fingerprint) = debug(text).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        for (index, line) in lines.iter().enumerate() {
            let Some((key, value)) = line.split_once(": ") else { continue };
            if value.starts_with('{') {
                continue;
            }
            let other = candidates.iter().any(|candidate| {
                let mut lines: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
                lines[index] = format!("{key}: {candidate}");
                debug(&lines.join("\n"))
                    .is_some_and(|(other, print)| other != settings && print != fingerprint)
            });
            let key = key.trim_start_matches([' ', '-']);
            said.insert(key);
            if other {
                read.insert(key);
            }
        }
    }
    let unread: Vec<_> = said.difference(&read).collect();
    assert!(unread.is_empty(), "{unread:?}");
}

#[test]
fn every_setting_of_a_breaker_has_a_key() {
    let all = mainstay_breaker::Settings::new()
        .trip(mainstay_breaker::Trip::consecutive_failures(1).within(Duration::from_secs(1)))
        .trip(
            mainstay_breaker::Trip::slow_rate(0.5, Duration::from_secs(1))
                .over(mainstay_breaker::Window::calls(1))
                .min_calls(1),
        )
        .trip(mainstay_breaker::Trip::failure_rate(0.5))
        .trip(mainstay_breaker::Trip::failures(1))
        .ramp(Duration::from_secs(1))
        .timeout(Duration::from_secs(1));
    fn names(json: &Value, all: &mut BTreeSet<String>) {
        json.as_array().into_iter().flatten().for_each(|json| names(json, all));
        for (key, json) in json.as_object().into_iter().flatten() {
            all.insert(key.clone());
            names(json, all);
        }
    }
    let mut settings = BTreeSet::new();
    names(&serde_json::to_value(all).unwrap(), &mut settings);
    assert!(settings.len() > 20, "{settings:?}");
    let missing: Vec<_> = settings.difference(&keys()).cloned().collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn every_setting_of_a_check_and_every_threshold_has_a_key() {
    let known = keys();
    let printed = format!("{:#?}", mainstay_health::CheckSettings::default());
    let fields = printed.lines().filter_map(|line| line.strip_prefix("    ")?.split_once(':'));
    let fields: Vec<&str> = fields
        .map(|(field, _)| field)
        .filter(|field| !field.starts_with(' ') && *field != "defaults")
        .collect();
    assert!(fields.len() > 12, "{fields:?}");
    assert!(fields.iter().all(|field| known.contains(*field)), "{fields:?}");
    let thresholds = serde_json::to_value(mainstay_degrade::Thresholds::default()).unwrap();
    assert!(thresholds["minor"].as_object().unwrap().keys().all(|figure| known.contains(figure)));
}

#[test]
fn the_schema_closes_every_map_of_known_keys_and_tells_what_each_key_is_for() {
    fn walk(schema: &Value, path: &str) {
        if let Some(properties) = schema.get("properties").and_then(Value::as_object) {
            assert_eq!(schema["additionalProperties"], false, "{path}");
            for (key, schema) in properties {
                assert!(schema["description"].as_str().is_some_and(|text| text.len() > 10), "{path}.{key}");
                walk(schema, &format!("{path}.{key}"));
            }
        }
    }
    let schema = Settings::schema();
    assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
    walk(&schema, "");
    let redis = &schema["properties"]["circuit_breakers"]["additionalProperties"]["properties"];
    assert_eq!(redis["retry_after_cap"]["default"], "5m");
}

#[test]
fn the_defaults_that_are_told_are_those_in_force() {
    fn walk(schema: &Value, effective: &Value, path: &str, same: &mut usize) {
        for (key, schema) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
            // A part of the open time has a default of its own where any of it is said.
            if key == "open_for" {
                continue;
            }
            let (path, effective) = (format!("{path}.{key}"), &effective[key]);
            if let (Some(told), false) = (schema.get("default"), effective.is_null() || effective.is_object())
            {
                assert_eq!(told, effective, "{path}");
                *same += 1;
            }
            walk(schema, effective, &path, same);
        }
    }
    let loaded = Loader::new().text("f", "circuit_breakers: { a: {} }").load().unwrap();
    let (schema, effective) = (Settings::schema(), loaded.to_json());
    let mut same = 0;
    walk(&schema, &effective, "", &mut same);
    let breaker = &schema["properties"]["circuit_breakers"]["additionalProperties"];
    walk(breaker, &effective["circuit_breakers"]["a"], "", &mut same);
    assert!(same > 15, "only {same}");
}

#[test]
fn every_setting_can_be_said_by_its_variable() {
    let mut tried = 0;
    for text in [FULL, SAMPLE] {
        let loaded = Loader::new().text("f", text).load().unwrap();
        // A list is a value as a whole.
        let values = loaded.values();
        for value in values.iter().filter(|value| !value.path.contains(['[', '"'])) {
            let name = format!("MAINSTAY__{}", value.path.to_ascii_uppercase().replace('.', "__"));
            let said = value.value.as_str().map_or_else(|| value.value.to_string(), str::to_owned);
            let environment = Environment::from_iter([(name.as_str(), said.as_str())]);
            let by_variable = Loader::new().text("f", text).environment(environment).load();
            let by_variable = by_variable.unwrap_or_else(|errors| panic!("{errors}"));
            let origin = by_variable.origin(&value.path).map(ToString::to_string);
            assert_eq!(origin.as_deref(), Some(name.as_str()), "{said}");
            assert_eq!(by_variable.fingerprint(), loaded.fingerprint(), "{name}={said}");
            tried += 1;
        }
    }
    assert!(tried > 150, "only {tried}");
}
