//! `mainstay config diff`: what changes, and whether anything does.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use crate::command::{Ended, Place, SAMPLE, ended, piped};
use serde_json::{Value, json};

#[test]
fn the_same_settings_end_with_0_and_say_nothing() {
    let other = SAMPLE.replace("timeout: 60s", "timeout: 1m # the same");
    let place = Place::with(&[("a.yaml", SAMPLE), ("b.yaml", &other)]);
    assert_eq!(place.run(&["config", "diff", "a.yaml", "b.yaml"]), Ended::new(0, "", ""));
    assert_eq!(
        place.run(&["config", "diff", "a.yaml", "b.yaml", "--format", "json"]),
        Ended::new(0, "[]\n", "")
    );
}

#[test]
fn different_settings_end_with_1_and_say_what_changes() {
    let place = Place::with(&[
        ("a.yaml", "health: { drain_delay: 5s }\ncircuit_breakers: { redis: { timeout: 60s } }"),
        (
            "b.yaml",
            "health: { drain_delay: 9s }\ncircuit_breakers: { redis: { timeout: 60s, call_timeout: 1s } }",
        ),
    ]);
    let expected = "circuit_breakers.redis.call_timeout: none -> 1s\nhealth.drain_delay: 5s -> 9s\n";
    assert_eq!(place.run(&["config", "diff", "a.yaml", "b.yaml"]), Ended::new(1, expected, ""));

    let ended = place.run(&["config", "diff", "a.yaml", "b.yaml", "--format", "json"]);
    assert_eq!((ended.code, ended.err.as_str()), (1, ""));
    let expected = json!([
        { "path": "circuit_breakers.redis.call_timeout", "from": "none", "to": "1s" },
        { "path": "health.drain_delay", "from": "5s", "to": "9s" },
    ]);
    assert_eq!(serde_json::from_str::<Value>(&ended.out).unwrap(), expected);
}

#[test]
fn a_file_that_does_not_load_ends_with_78_and_both_are_told() {
    let place = Place::with(&[("a.yaml", "health: 1"), ("b.yaml", "helth: {}"), ("fine.yaml", "")]);
    let ended = place.run(&["config", "diff", "a.yaml", "b.yaml"]);
    assert_eq!((ended.code, ended.out.as_str()), (78, ""));
    assert!(ended.err.starts_with("error: a.yaml:1:9: health: found 1, expected"), "{}", ended.err);
    assert!(ended.err.contains("\nerror: b.yaml:1:1: helth: found"), "{}", ended.err);
    assert!(ended.err.ends_with("\n2 mistakes\n"), "{}", ended.err);
    assert_eq!(place.run(&["config", "diff", "a.yaml", "fine.yaml"]).code, 78);
    assert_eq!(place.run(&["config", "diff", "fine.yaml", "b.yaml"]).code, 78);
}

#[test]
fn variables_are_on_top_of_both_unless_they_are_ignored() {
    let place =
        Place::with(&[("a.yaml", "health: { drain_delay: 5s }"), ("b.yaml", "health: { drain_delay: 9s }")]);
    let mut command = place.command(&["config", "diff", "a.yaml", "b.yaml"]);
    command.env("MAINSTAY__HEALTH__DRAIN_DELAY", "1s");
    assert_eq!(ended(&mut command), Ended::new(0, "", ""));
    assert_eq!(ended(command.arg("--no-env")), Ended::new(1, "health.drain_delay: 5s -> 9s\n", ""));
}

#[test]
fn a_variable_that_is_wrong_on_top_of_both_is_told_once() {
    let place = Place::with(&[("a.yaml", ""), ("b.yaml", "health: { drain_delay: 9s }")]);
    let mut command = place.command(&["config", "diff", "a.yaml", "b.yaml"]);
    let ended = ended(command.env("CB_REDIS_MAX_REQUESTS", "0"));
    assert_eq!((ended.code, ended.err.lines().last()), (78, Some("1 mistake")), "{ended:?}");
}

#[test]
fn what_a_variable_brings_in_is_not_told() {
    let place = Place::with(&[
        ("a.yaml", "health: { service: orders }"),
        ("b.yaml", "health: { service: '${NAME}' }"),
    ]);
    let ended = ended(place.command(&["config", "diff", "a.yaml", "b.yaml"]).env("NAME", "hunter2"));
    assert_eq!(ended, Ended::new(1, "health.service: orders -> ***\n", ""));
}

#[test]
fn either_file_may_be_standard_input_but_not_both() {
    let place = Place::with(&[("a.yaml", "health: { drain_delay: 5s }")]);
    let text = "health: { drain_delay: 9s }";
    let ended = piped(&mut place.command(&["config", "diff", "-", "a.yaml"]), text);
    assert_eq!(ended, Ended::new(1, "health.drain_delay: 9s -> 5s\n", ""));
    let ended = piped(&mut place.command(&["config", "diff", "a.yaml", "-"]), text);
    assert_eq!(ended, Ended::new(1, "health.drain_delay: 5s -> 9s\n", ""));
    let ended = piped(&mut place.command(&["config", "diff", "-", "-"]), text);
    assert_eq!((ended.code, ended.out.as_str()), (2, ""));
    assert!(ended.err.starts_with("error: `-` (standard input) can be read only once\n"), "{}", ended.err);
}
